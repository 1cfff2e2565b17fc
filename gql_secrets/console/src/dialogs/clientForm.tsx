/** The form for a client's name, description, features and allow list. */

import { useEffect, useRef } from "preact/hooks";
import type { Problem } from "../graphql/mutations";
import type { Feature } from "../graphql/queries";
import { ADMINISTERS, FEATURES, featureName } from "../lib/words";
import { Field, Switch } from "../ui/fields";
import { Note } from "../ui/notes";

export const FORM_FIELDS = ["name", "description", "features", "allowList"] as const;

export interface ClientInput {
  readonly name: string;
  readonly description: string;
  readonly features: readonly Feature[];
  readonly allowList: string;
}

export const networksIn = (text: string): string[] => text.split(/[\s,;]+/).filter(Boolean);

/** The last refusal leads to the first field at fault. */
function useFocusOnError({ problems, nameError, disabled }: ClientFormProps) {
  const form = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (disabled || (!nameError && problems.length === 0)) return; // a field that is disabled takes no focus
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [problems, nameError, disabled]);
  return form;
}

interface ClientFormProps {
  input: ClientInput;
  onInput: (input: ClientInput) => void;
  problems: readonly Problem[];
  disabled: boolean;
  nameError?: string | null;
}

export function ClientForm(props: ClientFormProps) {
  const { input, onInput, problems, disabled, nameError } = props;
  const error = (field: string) => problems.find((problem) => problem.field?.[0] === field)?.message ?? null;
  const toggle = (feature: Feature, on: boolean) =>
    onInput({
      ...input,
      features: on ? [...input.features, feature] : input.features.filter((had) => had !== feature),
    });
  const form = useFocusOnError(props);
  return (
    <div class="client-form" ref={form}>
      <Field
        label="Name"
        value={input.name}
        onInput={(name) => onInput({ ...input, name })}
        error={nameError ?? error("name")}
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
        hint="Optional: what it is for, and who is responsible."
      />
      <details class="more" open={input.features.length > 0 || Boolean(error("features"))}>
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
