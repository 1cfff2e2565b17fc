/** Form fields: label, input, hint and error. */

import type { ComponentChildren, RefObject } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  error?: string | null;
  hint?: ComponentChildren;
  inputRef?: RefObject<HTMLInputElement | null>;
  suffix?: string;
  inputMode?: "numeric" | "text";
  disabled?: boolean;
  autoFocus?: boolean;
  lines?: number;
  onBlur?: () => void;
  short?: boolean;
}

export function Field(props: FieldProps) {
  const id = useId();
  const { label, value, error, hint, lines } = props;
  const described = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  const shared = {
    id,
    value,
    disabled: props.disabled ?? false,
    "aria-invalid": error ? ("true" as const) : ("false" as const),
    "aria-describedby": described || undefined,
    autocomplete: "off",
    spellcheck: false,
  };
  return (
    <div class={`field ${props.short ? "short" : ""}`}>
      <label for={id}>{label}</label>
      {lines ? (
        <textarea {...shared} rows={lines} onInput={(event) => props.onInput(event.currentTarget.value)} />
      ) : (
        <div class="with-suffix">
          <input
            {...shared}
            type="text"
            ref={props.inputRef ?? null}
            inputMode={props.inputMode ?? "text"}
            autofocus={props.autoFocus ?? false}
            onInput={(event) => props.onInput(event.currentTarget.value)}
            onBlur={() => props.onBlur?.()}
          />
          {props.suffix && <span aria-hidden="true">{props.suffix}</span>}
        </div>
      )}
      {error && (
        <p class="error" id={`${id}-error`} role="alert">
          {error}
        </p>
      )}
      {hint && (
        <p class="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface SwitchProps {
  label: string;
  hint?: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
  autoFocus?: boolean;
  kind?: "switch" | "checkbox";
}

/** On or off: a switch changes the form immediately, a checkbox confirms something. */
export function Switch({ label, hint, checked, onChange, disabled = false, autoFocus, kind = "switch" }: SwitchProps) {
  const id = useId();
  return (
    <div class={kind}>
      <input
        id={id}
        type="checkbox"
        {...(kind === "switch" ? { role: "switch" as const } : {})}
        checked={checked}
        disabled={disabled}
        autofocus={autoFocus ?? false}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <div>
        <label for={id}>{label}</label>
        {hint && (
          <p class="field-hint" id={`${id}-hint`}>
            {hint}
          </p>
        )}
      </div>
    </div>
  );
}
