/** How long an old secret is kept, as people type it: whole days, 1 to 7, or whole hours, 1 to 168. */

export type Unit = "days" | "hours";

const HOURS_PER: Readonly<Record<Unit, number>> = { days: 24, hours: 1 };
export const MIN_RETENTION = 1;
export const MAX_RETENTION: Readonly<Record<Unit, number>> = { days: 7, hours: 168 };
export const PRESETS: Readonly<Record<Unit, readonly number[]>> = { days: [1, 3, 7], hours: [1, 4, 12] };

export type Retention =
  | { readonly valid: true; readonly count: number; readonly hoursToLive: number }
  | { readonly valid: false; readonly message: string };

const refused = (message: string): Retention => ({ valid: false, message });

export function parseRetention(typed: string, unit: Unit = "days"): Retention {
  const text = typed.trim();
  const range = `between ${MIN_RETENTION} and ${MAX_RETENTION[unit]}`;
  if (text === "") return refused(`Enter the retention period: a whole number of ${unit} ${range}.`);
  if (/^[+-]?\d*[.,]\d+$|^[+-]?\d+[.,]$/.test(text)) return refused(`Enter whole ${unit} only: a number ${range}.`);
  if (!/^[+-]?\d+$/.test(text)) return refused(`Enter a number: whole ${unit} ${range}.`);
  const count = Number(text);
  if (count < MIN_RETENTION || count > MAX_RETENTION[unit]) {
    return refused(`The retention period must be ${range} ${unit}.`);
  }
  return { valid: true, count, hoursToLive: count * HOURS_PER[unit] };
}

/** "1 day", "3 days", "1 hour" */
export const periodInWords = (count: number, unit: Unit): string =>
  `${count} ${count === 1 ? unit.slice(0, -1) : unit}`;

const HOUR = 3_600_000;
/** Two instants that were read at different moments of one change. */
const SAME = 60_000;

/** The latest end of an old secret: seven days after the reset that retained it. */
export const latestEnd = (startedAt: string): number => Date.parse(startedAt) + MAX_RETENTION.hours * HOUR;

/** Whether the end of a rollover can only be moved to an earlier time. */
export const isAtMaximum = ({ startedAt, endsAt }: { readonly startedAt: string; readonly endsAt: string }): boolean =>
  latestEnd(startedAt) - Date.parse(endsAt) < SAME;
