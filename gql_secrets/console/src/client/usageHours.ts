/** The uses of a client's secrets, on one row of hours without gaps. */

import type { SecretUsage } from "../graphql/queries";

const HOUR = 3_600_000;
/** The server keeps a rollover's hours and a day before it; without a reset in that time, the last day. */
const MAX_HOURS = 192;
const HOURS_BEFORE_RESET = 6;
const HOURS_WITHOUT_RESET = 24;
const MIN_HOURS = 6;

interface ClientUsage {
  readonly currentSecret: SecretUsage | null;
  readonly oldSecret: SecretUsage | null;
  readonly secrets: { readonly nodes: readonly SecretUsage[] } | null;
}

export interface UsageHours {
  readonly hours: readonly number[];
  readonly fresh: readonly number[];
  readonly old: readonly number[] | null;
  /** Attempts with secrets that had ended, and while the client was disabled; null where there were none. */
  readonly refused: readonly number[] | null;
  readonly freshHint: string;
  readonly oldHint: string | null;
  readonly resetAt: number | null;
  /** When the old secret ended, if it did within these hours. */
  readonly endedAt: number | null;
}

export function usageOf(client: ClientUsage, resetAt: string | null, now: number): UsageHours | null {
  const fresh = client.currentSecret;
  if (!fresh) return null;
  const others = (client.secrets?.nodes ?? []).filter((secret) => secret.id !== fresh.id);
  // A secret that was withdrawn unused replaced nothing.
  const before = client.oldSecret ?? others.find((secret) => secret.replacedAt);
  const last = Math.floor(now / HOUR) * HOUR;
  const reset = before ? Date.parse(resetAt ?? before.replacedAt ?? fresh.createdAt) : null;
  const recent = reset !== null && last - reset < (MAX_HOURS - HOURS_BEFORE_RESET) * HOUR;
  const from = recent
    ? Math.floor(reset / HOUR) * HOUR - HOURS_BEFORE_RESET * HOUR
    : Math.max(last - (HOURS_WITHOUT_RESET - 1) * HOUR, Math.floor(Date.parse(fresh.createdAt) / HOUR) * HOUR);
  const count = Math.min(MAX_HOURS, Math.max(MIN_HOURS, (last - from) / HOUR + 1));
  const hours = Array.from({ length: count }, (_, index) => last - (count - 1 - index) * HOUR);
  const refused = [fresh, ...others].map((secret) => countsIn(hours, secret, "refused"));
  const allRefused = hours.map((_, index) => refused.reduce((sum, counts) => sum + (counts[index] ?? 0), 0));
  const endedAt = recent && before?.endedAt ? Date.parse(before.endedAt) : null;
  return {
    hours,
    fresh: countsIn(hours, fresh, "count"),
    old: recent && before ? countsIn(hours, before, "count") : null,
    refused: allRefused.some((attempts) => attempts > 0) ? allRefused : null,
    freshHint: fresh.hint,
    oldHint: recent && before ? before.hint : null,
    resetAt: recent ? reset : null,
    endedAt: endedAt !== null && endedAt >= (hours[0] ?? 0) ? endedAt : null,
  };
}

export const isUnused = ({ fresh, old, refused }: UsageHours): boolean =>
  refused === null && [...fresh, ...(old ?? [])].every((count) => count === 0);

function countsIn(hours: readonly number[], secret: SecretUsage, what: "count" | "refused"): number[] {
  const counts = new Map(secret.usage.map((bucket) => [Date.parse(bucket.startsAt), bucket[what]]));
  return hours.map((hour) => counts.get(hour) ?? 0);
}
