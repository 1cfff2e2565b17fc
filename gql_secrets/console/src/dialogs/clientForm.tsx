/** What people set about a client: its name, what it is for, what it may do, and from where. */

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

interface ClientFormProps {
  input: ClientInput;
  onInput: (input: ClientInput) => void;
  problems: readonly Problem[];
  disabled: boolean;
  nameError?: string | null;
}

export function ClientForm({ input, onInput, problems, disabled, nameError }: ClientFormProps) {
  const error = (field: string) => problems.find((problem) => problem.field?.[0] === field)?.message ?? null;
  const toggle = (feature: Feature, on: boolean) =>
    onInput({ ...input, features: on ? [...input.features, feature] : input.features.filter((had) => had !== feature) });
  return (
    <>
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
        hint="What it is for, and whom to ask. Optional."
      />
      <details class="more" open={input.features.length > 0 || Boolean(error("features"))}>
        <summary>Features</summary>
        <p class="field-hint">Most clients need none: they sign in at your gateway, and that is all.</p>
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
          <Note tone="warn" title="An owner administers this whole installation.">
            <p>It may reset, create and delete every client, this one included.</p>
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
          hint="One per line, like 10.1.0.0/16 or 2001:db8::/32. 0.0.0.0/0 and ::/0 together mean everywhere."
        />
      </details>
    </>
  );
}
