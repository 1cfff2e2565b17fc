/** How long an old secret stays good, as people type it: whole days, 1 to 7. */

export const SHORTEST = 1;
export const LONGEST = 7;
export const PRESETS = [1, 3, 7] as const;
const HOURS_PER_DAY = 24;

export type Retention =
  | { readonly valid: true; readonly days: number; readonly hoursToLive: number }
  | { readonly valid: false; readonly message: string };

const refused = (message: string): Retention => ({ valid: false, message });

export function parseRetention(typed: string): Retention {
  const text = typed.trim();
  const range = `between ${SHORTEST} and ${LONGEST}`;
  if (text === "") return refused(`Enter the retention period: a whole number of days ${range}.`);
  if (/^[+-]?\d*[.,]\d+$|^[+-]?\d+[.,]$/.test(text)) return refused(`Enter whole days only: a number ${range}.`);
  if (!/^[+-]?\d+$/.test(text)) return refused(`Enter a number: whole days ${range}.`);
  const days = Number(text);
  if (days < SHORTEST || days > LONGEST) return refused(`The retention period must be ${range} days.`);
  return { valid: true, days, hoursToLive: days * HOURS_PER_DAY };
}
