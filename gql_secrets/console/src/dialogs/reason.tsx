/** Why a person makes a change: optional, and kept in the audit trail. */

import type { Problem } from "../graphql/mutations";
import { Field } from "../ui/fields";

interface ReasonFieldProps {
  value: string;
  onInput: (reason: string) => void;
  disabled: boolean;
  problems: readonly Problem[];
}

export function ReasonField({ value, onInput, disabled, problems }: ReasonFieldProps) {
  return (
    <Field
      label="Reason (optional)"
      value={value}
      onInput={onInput}
      disabled={disabled}
      error={problems.find((problem) => problem.field?.[0] === "reason")?.message ?? null}
      hint="Recorded in the audit trail, up to 200 characters."
    />
  );
}

/** The argument: null where nothing was written. */
export const reasonOf = (typed: string): string | null => typed.trim() || null;

/** The one field of the dialogs that ask for nothing else. */
export const REASON_FIELDS = ["reason"] as const;
