/** The form for everything that describes a client, and for what it may do. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "../graphql/mutations";
import type { Feature } from "../graphql/queries";
import { ADMINISTERS, FEATURES, featureName } from "../lib/words";
import { Field, Switch } from "../ui/fields";
import { Note } from "../ui/notes";

export const FORM_FIELDS = [
  "name",
  "description",
  "contact",
  "labels",
  "maximumAgeDays",
  "features",
  "selfReset",
  "allowList",
] as const;

const MAX_AGE_DAYS = 3650;

export interface ClientInput {
  readonly name: string;
  readonly description: string;
  readonly features: readonly Feature[];
  readonly allowList: string;
  readonly contact: string;
  readonly labels: string;
  /** Days, or nothing: then the client inherits the installation's. */
  readonly maximumAge: string;
  readonly selfReset: boolean;
}

/** A field whose text cannot be sent, and why. */
export interface Lack {
  readonly field: "name" | "maximumAgeDays";
  readonly message: string;
}

export function lackIn({ name, maximumAge }: ClientInput): Lack | null {
  if (name.trim() === "") return { field: "name", message: "Enter a name." };
  const days = maximumAge.trim();
  if (days === "" || (/^[0-9]{1,4}$/.test(days) && Number(days) >= 1 && Number(days) <= MAX_AGE_DAYS)) return null;
  return {
    field: "maximumAgeDays",
    message: `Enter a whole number of days from 1 to ${MAX_AGE_DAYS}, or leave it empty.`,
  };
}

export const daysIn = (text: string): number | null => (text.trim() === "" ? null : Number(text));

export const networksIn = (text: string): string[] => text.split(/[\s,;]+/).filter(Boolean);

/** The last refusal leads to the first field at fault. */
function useFocusOnError({ problems, lack, disabled }: ClientFormProps) {
  const form = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (disabled || (!lack && problems.length === 0)) return; // a field that is disabled takes no focus
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [problems, lack, disabled]);
  return form;
}

interface ClientFormProps {
  input: ClientInput;
  onInput: (input: ClientInput) => void;
  problems: readonly Problem[];
  disabled: boolean;
  lack?: Lack | null;
}

export function ClientForm(props: ClientFormProps) {
  const { input, onInput, problems, disabled, lack } = props;
  const error = (field: string) =>
    (lack?.field === field ? lack.message : null) ??
    problems.find((problem) => problem.field?.[0] === field)?.message ??
    null;
  const toggle = (feature: Feature, on: boolean) =>
    onInput({
      ...input,
      features: on ? [...input.features, feature] : input.features.filter((had) => had !== feature),
    });
  const form = useFocusOnError(props);
  const [hadFeatures] = useState(input.features.length > 0);
  return (
    <div class="client-form" ref={form}>
      <Field
        label="Name"
        value={input.name}
        onInput={(name) => onInput({ ...input, name })}
        error={error("name")}
        disabled={disabled}
        autoFocus
      />
      <Field
        label="Description"
        value={input.description}
        onInput={(description) => onInput({ ...input, description })}
        error={error("description")}
        disabled={disabled}
        lines={2}
        hint="Optional: what it is for."
      />
      <Field
        label="Contact"
        value={input.contact}
        onInput={(contact) => onInput({ ...input, contact })}
        error={error("contact")}
        disabled={disabled}
        hint="Optional: whom to call about it, such as a mailing list or a person’s name."
      />
      <Field
        label="Labels"
        value={input.labels}
        onInput={(labels) => onInput({ ...input, labels })}
        error={error("labels")}
        disabled={disabled}
        hint="Optional: key=value, separated by spaces, such as team=payments tier=1."
      />
      <Field
        label="Maximum age of a secret (days)"
        value={input.maximumAge}
        onInput={(maximumAge) => onInput({ ...input, maximumAge })}
        error={error("maximumAgeDays")}
        disabled={disabled}
        inputMode="numeric"
        short
        hint="After this many days the secret is due for rotation. Leave it empty to use the installation’s."
      />
      <details class="more" open={hadFeatures || Boolean(error("features"))}>
        <summary>Features</summary>
        <p class="field-hint">Most clients need none: they only call your APIs.</p>
        <fieldset disabled={disabled}>
          <legend class="hidden">Features</legend>
          {(Object.keys(FEATURES) as Feature[]).map((feature) => (
            <Switch
              key={feature}
              kind="checkbox"
              label={featureName(feature)}
              hint={FEATURES[feature]}
              checked={input.features.includes(feature)}
              onChange={(on) => toggle(feature, on)}
            />
          ))}
        </fieldset>
        {error("features") && (
          <p class="error" role="alert">
            {error("features")}
          </p>
        )}
        {input.features.includes(ADMINISTERS) && (
          <Note tone="warn" title="An owner administers the whole installation.">
            <p>It can reset, create and delete every client, including itself.</p>
          </Note>
        )}
      </details>
      <Switch
        kind="checkbox"
        label="May reset its own secret"
        hint="The application itself can use the smooth reset, for example in a cron job."
        checked={input.selfReset}
        disabled={disabled}
        onChange={(selfReset) => onInput({ ...input, selfReset })}
      />
      {error("selfReset") && (
        <p class="error" role="alert">
          {error("selfReset")}
        </p>
      )}
      <details class="more" open={Boolean(error("allowList"))}>
        <summary>Allow list</summary>
        <Field
          label="Networks it may call from"
          value={input.allowList}
          onInput={(allowList) => onInput({ ...input, allowList })}
          error={error("allowList")}
          disabled={disabled}
          lines={3}
          hint="One per line, such as 10.1.0.0/16 or 2001:db8::/32. 0.0.0.0/0 and ::/0 together mean anywhere."
        />
      </details>
    </div>
  );
}
