/** The sources of a client: who uses the new secret, who the old one, and who tries one that has ended. */

import { isWithin } from "../lib/networks";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** A source seen with the old secret this recently is using it now. */
const RECENTLY = HOUR;
/** A nightly job ran at most this long before the reset, so it still counts as a user of the old secret. */
const BEFORE_RESET = DAY;
/** A source that has not tried an ended secret for this long is no longer locked out: it moved, or is gone. */
const LOCKED_OUT_FOR = DAY;

interface Use {
  readonly address: string | null;
  readonly userAgent: string | null;
  readonly firstSeenAt: string;
  readonly lastSeenAt: string;
  readonly count: number;
  readonly refused: boolean;
}

interface Secret {
  readonly id: string;
  readonly uses: readonly Use[] | null;
}

export interface SecretsWithUses {
  readonly currentSecret: Secret | null;
  readonly oldSecret: Secret | null;
  readonly secrets: { readonly nodes: readonly Secret[] } | null;
}

/**
 * - `OUTSIDE`: presents a valid secret from an address outside of the allow list
 * - `LOCKED_OUT`: tries an ended secret, and has not been seen with a valid one since
 * - `STILL_OLD`: uses the old secret
 * - `NOT_SEEN_WITH_NEW`: used the old secret, is silent, and was never seen with the new one
 * - `MOVED`: uses the new secret
 * - `ABSENT`: was last seen long before the reset
 * - `IN_USE`: uses the only secret there is
 */
export type SourceState = "OUTSIDE" | "LOCKED_OUT" | "STILL_OLD" | "NOT_SEEN_WITH_NEW" | "MOVED" | "ABSENT" | "IN_USE";

const BY_DANGER: readonly SourceState[] = [
  "OUTSIDE",
  "LOCKED_OUT",
  "STILL_OLD",
  "NOT_SEEN_WITH_NEW",
  "MOVED",
  "IN_USE",
  "ABSENT",
];

export interface Source {
  readonly address: string | null;
  readonly userAgent: string | null;
  readonly state: SourceState;
  readonly newLastUsedAt: string | null;
  readonly oldLastUsedAt: string | null;
  readonly lastSeenAt: string;
  readonly useCount: number;
  readonly refusedCount: number;
  readonly firstRefusedAt: string | null;
  readonly lastRefusedAt: string | null;
}

interface Context {
  readonly allowList: readonly string[];
  /** When the running rollover began, or null. */
  readonly startedAt: string | null;
  readonly now: number;
}

/** Return every source, the greatest danger first; null where the viewer may not see them. */
export function sourcesOf(client: SecretsWithUses, context: Context): readonly Source[] | null {
  const { currentSecret, oldSecret } = client;
  const ended = (client.secrets?.nodes ?? []).filter(
    (node) => node.id !== currentSecret?.id && node.id !== oldSecret?.id,
  );
  if (currentSecret && !currentSecret.uses) return null;
  const sources = new Map<string, Seen>();
  const collect = (secret: Secret | null, part: Part) => {
    for (const use of secret?.uses ?? []) {
      const key = JSON.stringify([use.address, use.userAgent]);
      sources.set(key, plus(sources.get(key), use, use.refused ? "refused" : part));
    }
  };
  collect(currentSecret, "new");
  collect(oldSecret, "old");
  for (const secret of ended) collect(secret, "ended");
  return [...sources.values()]
    .filter((seen) => seen.new || seen.old || isLockedOut(seen, context.now))
    .map((seen) => asSource(seen, context))
    .sort(
      (one, other) =>
        BY_DANGER.indexOf(one.state) - BY_DANGER.indexOf(other.state) ||
        Date.parse(other.lastSeenAt) - Date.parse(one.lastSeenAt),
    );
}

export const inState = (sources: readonly Source[] | null, ...states: readonly SourceState[]): readonly Source[] =>
  (sources ?? []).filter((source) => states.includes(source.state));

/** Those that would be locked out if the old secret ended now, as far as its uses show. */
export const dependents = (sources: readonly Source[] | null): readonly Source[] =>
  inState(sources, "STILL_OLD", "NOT_SEEN_WITH_NEW");

type Part = "new" | "old" | "ended" | "refused";

interface Seen extends Readonly<Partial<Record<Part, Use>>> {
  readonly address: string | null;
  readonly userAgent: string | null;
}

function plus(seen: Seen | undefined, use: Use, part: Part): Seen {
  const before = seen?.[part];
  const { address, userAgent } = use;
  return { ...seen, address, userAgent, [part]: before ? merged(before, use) : use };
}

// A source may have tried several ended secrets.
const merged = (one: Use, other: Use): Use => ({
  ...other,
  count: one.count + other.count,
  firstSeenAt: sorted(one.firstSeenAt, other.firstSeenAt)[0] ?? one.firstSeenAt,
  lastSeenAt: sorted(one.lastSeenAt, other.lastSeenAt)[1] ?? one.lastSeenAt,
});

// Instants of one server have one format, so their text sorts as they do.
const sorted = (...instants: readonly string[]): readonly string[] => [...instants].sort();

const at = (use: Use | undefined): number => (use ? Date.parse(use.lastSeenAt) : Number.NEGATIVE_INFINITY);

function isLockedOut(seen: Seen, now: number): boolean {
  const refused = at(seen.refused);
  return refused > now - LOCKED_OUT_FOR && refused > Math.max(at(seen.new), at(seen.old));
}

function stateOf(seen: Seen, { allowList, startedAt, now }: Context): SourceState {
  if ((seen.new || seen.old) && seen.address && !isWithin(seen.address, allowList)) return "OUTSIDE";
  if (isLockedOut(seen, now)) return "LOCKED_OUT";
  if (!startedAt) return "IN_USE";
  if (at(seen.new) >= at(seen.old)) return "MOVED";
  if (seen.new || at(seen.old) > now - RECENTLY) return "STILL_OLD";
  return at(seen.old) < Date.parse(startedAt) - BEFORE_RESET ? "ABSENT" : "NOT_SEEN_WITH_NEW";
}

function asSource(seen: Seen, context: Context): Source {
  const uses = [seen.new, seen.old, seen.refused].filter((use) => use !== undefined);
  return {
    address: seen.address,
    userAgent: seen.userAgent,
    state: stateOf(seen, context),
    newLastUsedAt: seen.new?.lastSeenAt ?? null,
    oldLastUsedAt: seen.old?.lastSeenAt ?? null,
    lastSeenAt:
      uses
        .map((use) => use.lastSeenAt)
        .sort()
        .at(-1) ?? "",
    useCount: (seen.new?.count ?? 0) + (seen.old?.count ?? 0),
    refusedCount: seen.refused?.count ?? 0,
    firstRefusedAt: seen.refused?.firstSeenAt ?? null,
    lastRefusedAt: seen.refused?.lastSeenAt ?? null,
  };
}

/** "10.7.0.2 · inventory/8" */
export const sourceName = ({ address, userAgent }: Pick<Source, "address" | "userAgent">): string =>
  [address ?? "unknown address", userAgent].filter(Boolean).join(" · ");
