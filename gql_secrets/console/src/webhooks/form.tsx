/** Creates a webhook, or edits one: its endpoint, its events, and a description. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ChangeDialog } from "../dialogs/changeDialog";
import { useChange } from "../dialogs/useChange";
import type { WebhookEvent, WebhookRow } from "../graphql/adminQueries";
import { CREATE_WEBHOOK, type Problem, UPDATE_WEBHOOK } from "../graphql/mutations";
import { Button } from "../ui/basics";
import { Field, Switch } from "../ui/fields";
import { say } from "../ui/toast";
import { SigningSecret } from "./secret";
import { ALL_EVENTS, EVENTS, webhookName } from "./words";

const FIELDS = ["url", "events", "description"] as const;

interface Input {
  readonly url: string;
  readonly description: string;
  readonly events: readonly WebhookEvent[];
}

const EMPTY: Input = { url: "", description: "", events: [] };
const isSame = (one: Input, other: Input): boolean => JSON.stringify(one) === JSON.stringify(other);

interface Missing {
  readonly field: (typeof FIELDS)[number];
  readonly message: string;
}

function missingIn({ url, events }: Input): Missing | null {
  if (url.trim() === "") return { field: "url", message: "Enter the URL of the endpoint." };
  return events.length > 0 ? null : { field: "events", message: "Choose at least one event." };
}

function useInput(before: Input) {
  const [input, setInput] = useState(before);
  const [missing, setMissing] = useState<Missing | null>(null);
  const isWhole = () => {
    const lack = missingIn(input);
    setMissing(lack);
    return lack === null;
  };
  const onInput = (next: Input) => {
    setMissing(null);
    setInput(next);
  };
  return { input, isWhole, form: { input, onInput, missing } };
}

export function CreateWebhookDialog({ onDone, close }: { onDone: () => void; close: () => void }) {
  const { input, isWhole, form } = useInput(EMPTY);
  const [secret, setSecret] = useState<string | null>(null);
  const variables = {
    url: input.url.trim(),
    events: [...input.events],
    description: input.description.trim() || null,
  };
  const change = useChange(CREATE_WEBHOOK, ({ signingSecret }) => {
    if (signingSecret) setSecret(signingSecret);
    onDone();
  });
  if (secret) return <SigningSecret name={webhookName(variables)} secret={secret} close={close} />;
  return (
    <ChangeDialog
      title="Create webhook"
      act="Create webhook"
      change={change}
      fields={FIELDS}
      onAct={() => {
        if (isWhole()) change.send(variables);
      }}
      close={close}
      dirty={!isSame(input, EMPTY)}
      show={{ document: CREATE_WEBHOOK, variables: { ...variables, url: "https://…" } }}
    >
      <WebhookForm {...form} problems={change.problems} disabled={change.pending} />
    </ChangeDialog>
  );
}

interface EditProps {
  webhook: WebhookRow;
  onDone: () => void;
  close: () => void;
}

export function EditWebhookDialog({ webhook, onDone, close }: EditProps) {
  const [before] = useState<Input>({
    url: webhook.url,
    description: webhook.description ?? "",
    events: ALL_EVENTS.filter((event) => webhook.events.includes(event)),
  });
  const { input, isWhole, form } = useInput(before);
  const change = useChange(UPDATE_WEBHOOK, () => {
    say("Saved.");
    onDone();
    close();
  });
  const variables = {
    webhookId: webhook.id,
    ...(input.url === before.url ? {} : { url: input.url.trim() }),
    ...(input.description === before.description ? {} : { description: input.description.trim() }),
    ...(String(input.events) === String(before.events) ? {} : { events: [...input.events] }),
  };
  return (
    <ChangeDialog
      title={`Edit webhook ${webhook.number}`}
      act="Save"
      change={change}
      fields={FIELDS}
      onAct={() => {
        if (!isWhole()) return;
        if (isSame(input, before)) close();
        else change.send(variables);
      }}
      close={close}
      dirty={!isSame(input, before)}
      show={{ document: UPDATE_WEBHOOK, variables: { ...variables, ...("url" in variables && { url: "https://…" }) } }}
    >
      <WebhookForm {...form} problems={change.problems} disabled={change.pending} />
    </ChangeDialog>
  );
}

interface FormProps {
  input: Input;
  onInput: (input: Input) => void;
  missing: Missing | null;
  problems: readonly Problem[];
  disabled: boolean;
}

function WebhookForm({ input, onInput, missing, problems, disabled }: FormProps) {
  const form = useRef<HTMLDivElement>(null);
  const error = (field: Missing["field"]) =>
    (missing?.field === field ? missing.message : null) ??
    problems.find((problem) => problem.field?.[0] === field)?.message ??
    null;
  useEffect(() => {
    if (disabled || (!missing && problems.length === 0)) return; // a field that is disabled takes no focus
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"], fieldset.invalid input')?.focus();
  }, [missing, problems, disabled]);
  const all = input.events.length === ALL_EVENTS.length;
  const toggle = (event: WebhookEvent, on: boolean) =>
    onInput({
      ...input,
      events: ALL_EVENTS.filter((each) => (each === event ? on : input.events.includes(each))),
    });
  return (
    <div class="client-form" ref={form}>
      <Field
        label="URL"
        value={input.url}
        onInput={(url) => onInput({ ...input, url })}
        error={error("url")}
        disabled={disabled}
        autoFocus
        hint="An https address that the server reaches, such as https://hooks.example.com/gql-secrets."
      />
      <Field
        label="Description (optional)"
        value={input.description}
        onInput={(description) => onInput({ ...input, description })}
        error={error("description")}
        disabled={disabled}
      />
      <fieldset class={`events ${error("events") ? "invalid" : ""}`} disabled={disabled}>
        <legend>Events</legend>
        <Button kind="quiet" onClick={() => onInput({ ...input, events: all ? [] : ALL_EVENTS })}>
          {all ? "Choose none" : "Choose all"}
        </Button>
        {ALL_EVENTS.map((event) => (
          <Switch
            key={event}
            kind="checkbox"
            label={EVENTS[event].type}
            hint={EVENTS[event].words}
            checked={input.events.includes(event)}
            onChange={(on) => toggle(event, on)}
          />
        ))}
        {error("events") && (
          <p class="error" role="alert">
            {error("events")}
          </p>
        )}
      </fieldset>
    </div>
  );
}
