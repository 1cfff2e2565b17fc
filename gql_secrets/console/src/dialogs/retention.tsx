/** The text box for how long the old secret is kept, with its presets and the date it comes to. */

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useNow } from "../lib/clock";
import { formatFully } from "../lib/format";
import { LONGEST, PRESETS, SHORTEST, parseRetention } from "../lib/retention";
import { Field } from "../ui/fields";

const DAY = 86_400_000;

export interface RetentionInput {
  readonly typed: string;
  readonly error: string | null;
  readonly type: (typed: string) => void;
  /** The hours, or null: then the box says what is wrong with it and has the focus. */
  readonly take: () => number | null;
  readonly refuse: (message: string) => void;
  readonly box: RefObject<HTMLInputElement | null>;
}

export function useRetention(): RetentionInput {
  const [typed, setTyped] = useState("");
  const [error, setError] = useState<string | null>(null);
  const box = useRef<HTMLInputElement>(null);
  const refuse = (message: string) => {
    setError(message);
    box.current?.focus();
  };
  return {
    typed,
    error,
    box,
    refuse,
    type(next) {
      setTyped(next);
      // Once told off, one sees at once when it is right; before, nobody is told off while typing.
      const retention = parseRetention(next);
      if (error) setError(retention.valid ? null : retention.message);
    },
    take() {
      const retention = parseRetention(typed);
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
}

export function RetentionBox({ input, disabled, latest }: RetentionBoxProps) {
  const now = useNow();
  const retention = parseRetention(input.typed);
  const ends = retention.valid ? Math.min(now + retention.days * DAY, latest ?? Number.POSITIVE_INFINITY) : null;
  useEffect(() => input.box.current?.focus(), []);
  return (
    <div class="retention">
      <Field
        label="Old secret retention period (days)"
        value={input.typed}
        onInput={input.type}
        error={input.error}
        inputRef={input.box}
        inputMode="numeric"
        suffix={retention.valid && retention.days === 1 ? "day" : "days"}
        disabled={disabled}
        short
        hint={
          ends === null ? (
            `A whole number of days, ${SHORTEST} to ${LONGEST}.`
          ) : (
            <>
              The old secret ends <strong>{formatFully(ends)}</strong>.
            </>
          )
        }
      />
      <div class="presets" role="group" aria-label="Usual periods">
        {PRESETS.map((days) => (
          <button
            key={days}
            type="button"
            class="preset"
            disabled={disabled}
            aria-pressed={input.typed.trim() === String(days)}
            onClick={() => {
              input.type(String(days));
              input.box.current?.focus();
            }}
          >
            {days === 1 ? "1 day" : `${days} days`}
          </button>
        ))}
      </div>
    </div>
  );
}
