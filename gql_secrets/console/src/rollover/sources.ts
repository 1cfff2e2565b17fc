/**
 * The sources of a client. In a rollover the server says how far each one has come; without one, the page shows who
 * uses the only secret and who tries one that has ended.
 */

import { earliest, latest } from "../lib/instants";
import { isWithin } from "../lib/networks";

/** A source that has not tried an ended secret for this long is no longer locked out: it moved, or is gone. */
const LOCKED_OUT_FOR = 86_400_000;

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
  /** Null or absent where the viewer may not see them. */
  readonly uses?: readonly Use[] | null;
}

export interface RolloverSource {
  readonly address: string | null;
  readonly userAgent: string | null;
  readonly newSecretLastUsedAt: string | null;
  readonly oldSecretLastUsedAt: string | null;
  readonly state: "NOT_ALLOWED" | "LOCKED_OUT" | "STILL_OLD" | "NOT_SEEN_WITH_NEW" | "MOVED";
}

export interface ClientWithUses {
  readonly currentSecret: Secret | null;
  readonly oldSecret: Secret | null;
  readonly secrets: { readonly nodes: readonly Secret[] } | null;
  /** Null without a rollover. */
  readonly rollover: { readonly sources?: readonly RolloverSource[] | null } | null;
}

/** The server's states of a source in a rollover; `IN_USE`: uses the only secret there is. */
export type SourceState = RolloverSource["state"] | "IN_USE";

const BY_DANGER: readonly SourceState[] = [
  "NOT_ALLOWED",
  "LOCKED_OUT",
  "STILL_OLD",
  "NOT_SEEN_WITH_NEW",
  "MOVED",
  "IN_USE",
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
  readonly enabled: boolean;
  readonly now: number;
}

/** Return every source, the greatest danger first; null where the viewer may not see them. */
export function sourcesOf(client: ClientWithUses, context: Context): readonly Source[] | null {
  if (client.currentSecret && !client.currentSecret.uses) return null;
  const seen = seenIn(client);
  if (client.rollover) return client.rollover.sources?.map((source) => inRollover(source, seen)) ?? null;
  return [...seen.values()]
    .flatMap((each) => withoutRollover(each, context) ?? [])
    .sort(
      (one, other) =>
        BY_DANGER.indexOf(one.state) - BY_DANGER.indexOf(other.state) ||
        Date.parse(other.lastSeenAt) - Date.parse(one.lastSeenAt),
    );
}

export const inState = (sources: readonly Source[] | null, ...states: readonly SourceState[]): readonly Source[] =>
  (sources ?? []).filter((source) => states.includes(source.state));

/** Those that were refused within a day because the client is disabled. */
export const refusedLately = (sources: readonly Source[] | null, now: number): readonly Source[] =>
  (sources ?? []).filter(
    ({ lastRefusedAt }) => lastRefusedAt !== null && Date.parse(lastRefusedAt) > now - LOCKED_OUT_FOR,
  );

/** Those that would be locked out if the old secret ended now, as far as its uses show. */
export const dependents = (sources: readonly Source[] | null): readonly Source[] =>
  inState(sources, "STILL_OLD", "NOT_SEEN_WITH_NEW");

/** What one source did, with any secret. */
interface Seen {
  readonly used: readonly Use[];
  readonly refused: readonly Use[];
  /** Refused with a secret that is active: the client was disabled then. */
  readonly refusedWhileDisabled: readonly Use[];
}

const NOTHING: Seen = { used: [], refused: [], refusedWhileDisabled: [] };

const keyOf = ({ address, userAgent }: Pick<Use, "address" | "userAgent">) => JSON.stringify([address, userAgent]);

function seenIn({ currentSecret, oldSecret, secrets }: ClientWithUses): ReadonlyMap<string, Seen> {
  const active = [currentSecret, oldSecret].filter((secret) => secret !== null);
  const ended = (secrets?.nodes ?? []).filter((node) => active.every((secret) => secret.id !== node.id));
  const seen = new Map<string, Seen>();
  const add = (use: Use, isActive: boolean) => {
    const { used, refused, refusedWhileDisabled } = seen.get(keyOf(use)) ?? NOTHING;
    if (use.refused && isActive) {
      seen.set(keyOf(use), { used, refused, refusedWhileDisabled: [...refusedWhileDisabled, use] });
    } else if (use.refused) {
      seen.set(keyOf(use), { used, refused: [...refused, use], refusedWhileDisabled });
    } else if (isActive) {
      seen.set(keyOf(use), { used: [...used, use], refused, refusedWhileDisabled });
    }
  };
  for (const secret of active) for (const use of secret.uses ?? []) add(use, true);
  for (const secret of ended) for (const use of secret.uses ?? []) add(use, false);
  return seen;
}

const total = (uses: readonly Use[]): number => uses.reduce((sum, use) => sum + use.count, 0);

function countsOf(seen: Seen = NOTHING) {
  const { used } = seen;
  const refused = [...seen.refused, ...seen.refusedWhileDisabled];
  return {
    useCount: total(used),
    refusedCount: total(refused),
    firstRefusedAt: earliest(refused.map((use) => use.firstSeenAt)),
    lastRefusedAt: latest(refused.map((use) => use.lastSeenAt)),
  };
}

function inRollover(source: RolloverSource, seen: ReadonlyMap<string, Seen>): Source {
  const { address, userAgent, state, newSecretLastUsedAt, oldSecretLastUsedAt } = source;
  const counts = countsOf(seen.get(keyOf(source)));
  return {
    address,
    userAgent,
    state,
    newLastUsedAt: newSecretLastUsedAt,
    oldLastUsedAt: oldSecretLastUsedAt,
    lastSeenAt: latest([newSecretLastUsedAt, oldSecretLastUsedAt, counts.lastRefusedAt]) ?? "",
    ...counts,
  };
}

function withoutRollover(seen: Seen, { allowList, enabled, now }: Context): Source | null {
  const { used, refused, refusedWhileDisabled } = seen;
  const [any] = [...used, ...refused, ...refusedWhileDisabled];
  const counts = countsOf(seen);
  const usedAt = latest(used.map((use) => use.lastSeenAt));
  // A client that is enabled again locks nobody out any more.
  const lockedAt = latest((enabled ? refused : [...refused, ...refusedWhileDisabled]).map((use) => use.lastSeenAt));
  const locked =
    lockedAt !== null &&
    Date.parse(lockedAt) > now - LOCKED_OUT_FOR &&
    (usedAt === null || Date.parse(lockedAt) > Date.parse(usedAt));
  if (!any || (usedAt === null && !locked)) return null;
  const outside = usedAt !== null && any.address !== null && !isWithin(any.address, allowList);
  return {
    address: any.address,
    userAgent: any.userAgent,
    state: outside ? "NOT_ALLOWED" : locked ? "LOCKED_OUT" : "IN_USE",
    newLastUsedAt: usedAt,
    oldLastUsedAt: null,
    lastSeenAt: latest([usedAt, counts.lastRefusedAt]) ?? "",
    ...counts,
  };
}

/** "10.7.0.2 · inventory/8" */
export const sourceName = ({ address, userAgent }: Pick<Source, "address" | "userAgent">): string =>
  [address ?? "unknown address", userAgent].filter(Boolean).join(" · ");
