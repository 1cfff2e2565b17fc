/** The text box for how long the old secret is kept, with its presets and the date that results. */

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useNow } from "../lib/clock";
import { formatMoment } from "../lib/format";
import { MAX_RETENTION, MIN_RETENTION, PRESETS, parseRetention, periodInWords, type Unit } from "../lib/retention";
import { Field } from "../ui/fields";

const HOUR = 3_600_000;

export interface RetentionInput {
  readonly typed: string;
  readonly unit: Unit;
  readonly error: string | null;
  readonly type: (typed: string) => void;
  readonly measureIn: (unit: Unit) => void;
  /** The hours, or null: then the box shows what is wrong and has the focus. */
  readonly take: () => number | null;
  readonly refuse: (message: string) => void;
  readonly box: RefObject<HTMLInputElement | null>;
}

export function useRetention(): RetentionInput {
  const [typed, setTyped] = useState("");
  const [unit, setUnit] = useState<Unit>("days");
  const [error, setError] = useState<string | null>(null);
  const box = useRef<HTMLInputElement>(null);
  const refuse = (message: string) => {
    setError(message);
    box.current?.focus();
  };
  return {
    typed,
    unit,
    error,
    box,
    refuse,
    type(next) {
      setTyped(next);
      // Nobody is corrected while typing; after a first error, the correction is seen immediately.
      const retention = parseRetention(next, unit);
      if (error) setError(retention.valid ? null : retention.message);
    },
    measureIn(next) {
      setUnit(next);
      setError(null);
      box.current?.focus();
    },
    take() {
      const retention = parseRetention(typed, unit);
      if (!retention.valid) refuse(retention.message);
      return retention.valid ? retention.hoursToLive : null;
    },
  };
}

interface RetentionBoxProps {
  input: RetentionInput;
  disabled: boolean;
  /** The latest end that the rules allow, where it is known before asking. */
  latest?: number;
  /** Hours can be chosen too. */
  withHours?: boolean;
}

export function RetentionBox({ input, disabled, latest, withHours = false }: RetentionBoxProps) {
  const { unit } = input;
  useEffect(() => input.box.current?.focus(), []);
  return (
    <div class="retention">
      <Field
        label={`Old secret retention period (${unit})`}
        value={input.typed}
        onInput={input.type}
        error={input.error}
        inputRef={input.box}
        inputMode="numeric"
        disabled={disabled}
        short
        hint={<End input={input} latest={latest ?? Number.POSITIVE_INFINITY} />}
      />
      <div class="presets" role="group" aria-label="Usual periods">
        {PRESETS[unit].map((count) => (
          <button
            key={count}
            type="button"
            class="preset"
            disabled={disabled}
            aria-pressed={input.typed.trim() === String(count)}
            onClick={() => {
              input.type(String(count));
              input.box.current?.focus();
            }}
          >
            {periodInWords(count, unit)}
          </button>
        ))}
        {withHours && (
          <button
            type="button"
            class="preset quiet"
            disabled={disabled}
            onClick={() => input.measureIn(unit === "days" ? "hours" : "days")}
          >
            {unit === "days" ? "Enter hours instead" : "Enter days instead"}
          </button>
        )}
      </div>
    </div>
  );
}

function End({ input, latest }: { input: RetentionInput; latest: number }) {
  const now = useNow();
  const retention = parseRetention(input.typed, input.unit);
  if (!retention.valid) {
    return <>{`A whole number of ${input.unit}, ${MIN_RETENTION} to ${MAX_RETENTION[input.unit]}.`}</>;
  }
  const wanted = now + retention.hoursToLive * HOUR;
  return (
    <>
      The old secret ends <strong>{formatMoment(Math.min(wanted, latest), now)}</strong>
      {wanted > latest ? ", the latest possible time." : "."}
    </>
  );
}
