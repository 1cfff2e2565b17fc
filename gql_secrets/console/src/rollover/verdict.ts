/** What a running rollover needs, in one sentence and one tone. */

import { formatDuration, formatPast, plural } from "../lib/format";
import { dependents, inState, type Source, sourceName } from "./sources";

const MINUTE = 60_000;
const DAY = 86_400_000;

export type Advice = "WAIT_FOR_NEW" | "WAIT_FOR_QUIET" | "REVOKE";

export interface RolloverFacts {
  readonly enabled: boolean;
  readonly advice: Advice;
  /** The server's sentence that explains its advice. */
  readonly reason: string;
  readonly endsAt: string;
  readonly newFirstUsedAt: string | null;
  readonly oldLastUsedAt: string | null;
  /** Null where the viewer may not see them. */
  readonly sources: readonly Source[] | null;
  /** How many sources have moved to the new secret, of how many that must: known to every viewer. */
  readonly moved: number;
  readonly total: number;
}

export interface Verdict {
  readonly tone: "good" | "warn" | "bad" | "calm";
  readonly headline: string;
  readonly detail: string;
  /** The short form, for a row of the list. */
  readonly short: string;
  /** Which button is the first one. */
  readonly first: "revoke" | "extend" | null;
}

const NAMED = 3;

export function verdictOf(facts: RolloverFacts, now: number): Verdict {
  if (!facts.enabled) return DISABLED;
  if (endsTooSoon(facts, now)) return lockOut(facts, now);
  switch (facts.advice) {
    case "WAIT_FOR_NEW":
      return {
        tone: "warn",
        headline: "Wait: the new secret is not in use yet",
        detail: facts.newFirstUsedAt === null ? facts.reason : USED_ELSEWHERE_ONLY,
        short: "New secret not used yet",
        first: null,
      };
    case "WAIT_FOR_QUIET":
      return waitForQuiet(facts, now);
    case "REVOKE":
      return quiet(facts, now);
  }
}

/** The server's sentence says that it was never used, because refused uses are not counted as its first. */
const USED_ELSEWHERE_ONLY =
  "The new secret was used only from addresses outside of the allow list, and refused. Deploy it to every copy of the application first.";

const DISABLED: Verdict = {
  tone: "calm",
  headline: "Disabled: both secrets are refused",
  detail: "The old secret still expires on time.",
  short: "Both secrets refused",
  first: null,
};

/** The old secret was used after the new one, or instead of it. */
const isOldInUse = ({ newFirstUsedAt, oldLastUsedAt }: RolloverFacts): boolean =>
  oldLastUsedAt !== null && (newFirstUsedAt === null || Date.parse(oldLastUsedAt) >= Date.parse(newFirstUsedAt));

/** Whether somebody will be locked out within a day. */
const endsTooSoon = (facts: RolloverFacts, now: number): boolean =>
  facts.advice !== "REVOKE" && isOldInUse(facts) && Date.parse(facts.endsAt) - now < DAY;

function lockOut(facts: RolloverFacts, now: number): Verdict {
  const exact = Date.parse(facts.endsAt) - now;
  const left = formatDuration(exact < MINUTE ? exact : exact - (exact % MINUTE)); // a headline does not tick
  const affected = dependents(facts.sources);
  const who = affected.length > 0 ? plural(affected.length, "source") : "Applications";
  return {
    tone: "bad",
    headline: `${who} will be locked out in ${left}`,
    detail: [
      `The old secret was last used ${formatPast(facts.oldLastUsedAt ?? "", now)}.`,
      facts.newFirstUsedAt === null && "Nobody has used the new one yet.",
      "Extend it, or deploy the new secret before then.",
      named(affected, now),
    ]
      .filter(Boolean)
      .join(" "),
    short: "Lock-out soon",
    first: "extend",
  };
}

function waitForQuiet(facts: RolloverFacts, now: number): Verdict {
  const shared = { tone: "warn", detail: facts.reason, first: null } as const;
  if (!isOldInUse(facts)) {
    return {
      ...shared,
      headline:
        facts.total > facts.moved
          ? `Waiting: ${facts.moved} of ${plural(facts.total, "source")} moved so far`
          : "Almost done: waiting to see that the old secret stays unused",
      short: "Waiting for quiet",
    };
  }
  const last = formatPast(facts.oldLastUsedAt ?? "", now);
  const using = inState(facts.sources, "STILL_OLD").length;
  return {
    ...shared,
    headline:
      using > 0 ? `Still used by ${plural(using, "source")} · last use ${last}` : `Old secret last used ${last}`,
    short: "Old secret still used",
  };
}

function quiet(facts: RolloverFacts, now: number): Verdict {
  const unseen = dependents(facts.sources);
  const unmoved = facts.total - facts.moved;
  if (facts.sources === null && unmoved > 0) {
    return {
      tone: "warn",
      headline: `Quiet, but ${plural(unmoved, "source")} not seen with the new secret`,
      detail: facts.reason,
      short: `Quiet · ${plural(unmoved, "source")} not moved`,
      first: null,
    };
  }
  if (unseen.length === 0) {
    return { tone: "good", headline: "Safe to revoke", detail: facts.reason, short: "Safe to revoke", first: "revoke" };
  }
  const since = facts.oldLastUsedAt ? `Last used ${formatPast(facts.oldLastUsedAt, now)}` : "Never used";
  return {
    tone: "warn",
    headline: `${since} · ${plural(unseen.length, "source")} not seen with the new secret`,
    detail: `${named(unseen, now)} Revoking locks out each of these that comes back with the old secret.`,
    short: `${plural(unseen.length, "source")} not moved`,
    first: null,
  };
}

/** "10.7.0.2 · inventory/8 (last seen 2 days ago), and 4 others." */
function named(sources: readonly Source[], now: number): string {
  if (sources.length === 0) return "";
  const names = sources
    .slice(0, NAMED)
    .map((source) => `${sourceName(source)} (last seen ${formatPast(source.lastSeenAt, now)})`);
  const others = sources.length - names.length;
  return `${[...names, ...(others > 0 ? [`and ${plural(others, "other")}`] : [])].join(", ")}.`;
}
