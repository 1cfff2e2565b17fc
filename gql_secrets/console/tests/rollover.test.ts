import assert from "node:assert/strict";
import { test } from "node:test";
import { dependents, type SecretsWithUses, sourcesOf } from "../src/rollover/sources";
import { type RolloverFacts, verdictOf } from "../src/rollover/verdict";

const NOW = Date.parse("2026-11-25T18:00:00Z");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ago = (milliseconds: number) => new Date(NOW - milliseconds).toISOString();

const use = (agent: string, seen: number, refused = false, address = "10.0.0.1") => ({
  address,
  userAgent: agent,
  firstSeenAt: ago(seen + DAY),
  lastSeenAt: ago(seen),
  count: 3,
  refused,
});
type Uses = ReturnType<typeof use>[];

function secrets(parts: { current?: Uses; old?: Uses; ended?: Uses }): SecretsWithUses {
  return {
    currentSecret: { id: "current", uses: parts.current ?? [] },
    oldSecret: parts.old ? { id: "old", uses: parts.old } : null,
    secrets: { nodes: [{ id: "ended", uses: parts.ended ?? [] }] },
  };
}

function statesOf(parts: Parameters<typeof secrets>[0], allowList = ["0.0.0.0/0"]) {
  const startedAt = parts.old ? ago(3 * DAY) : null;
  const sources = sourcesOf(secrets(parts), { allowList, startedAt, now: NOW }) ?? [];
  return sources.map((source) => [source.userAgent, source.state]);
}

test("a source that uses the new secret has moved, one that prefers the old has not", () => {
  assert.deepEqual(
    statesOf({ current: [use("a", HOUR), use("b", 2 * HOUR)], old: [use("a", 2 * HOUR), use("b", HOUR)] }),
    [
      ["b", "STILL_OLD"],
      ["a", "MOVED"],
    ],
  );
});

test("a silent source is not called moved before it was seen with the new secret", () => {
  assert.deepEqual(
    statesOf({
      old: [
        use("lately", 60_000),
        use("silent", 2 * DAY),
        use("nightly", 3 * DAY + 10 * HOUR),
        use("long ago", 30 * DAY),
      ],
    }),
    [
      ["lately", "STILL_OLD"],
      ["silent", "NOT_SEEN_WITH_NEW"],
      ["nightly", "NOT_SEEN_WITH_NEW"],
      ["long ago", "ABSENT"],
    ],
  );
});

test("a source is locked out while it tries an ended secret, and until it uses a valid one", () => {
  assert.deepEqual(statesOf({ ended: [use("a", HOUR, true)] }), [["a", "LOCKED_OUT"]]);
  assert.deepEqual(statesOf({ ended: [use("a", HOUR, true)], current: [use("a", 60_000)] }), [["a", "IN_USE"]]);
  assert.deepEqual(statesOf({ ended: [use("a", 2 * DAY, true)] }), []);
});

test("a user from outside of the allow list is refused, and counts neither as moved nor as dependent", () => {
  const parts = { current: [use("thief", HOUR, false, "198.18.0.77")], old: [use("app", HOUR)] };
  const sources = sourcesOf(secrets(parts), { allowList: ["10.0.0.0/8"], startedAt: ago(DAY), now: NOW });
  assert.deepEqual(
    sources?.map((source) => source.state),
    ["OUTSIDE", "NOT_SEEN_WITH_NEW"],
  );
  assert.equal(dependents(sources).length, 1);
});

const facts = (parts: Partial<RolloverFacts>): RolloverFacts => ({
  enabled: true,
  advice: "WAIT_FOR_QUIET",
  reason: "The server's reason.",
  endsAt: new Date(NOW + 3 * DAY).toISOString(),
  newFirstUsedAt: ago(5 * HOUR),
  oldLastUsedAt: ago(60_000),
  sources: null,
  ...parts,
});
const sourcesWith = (old: Uses, current: Uses = []) =>
  sourcesOf(secrets({ old, current }), { allowList: ["0.0.0.0/0"], startedAt: ago(3 * DAY), now: NOW });

test("still used is said only of an old secret that is used", () => {
  const used = verdictOf(facts({ sources: sourcesWith([use("a", 60_000)]) }), NOW);
  assert.equal(used.headline, "Still used by 1 source · last use 1 minute ago");
  for (const oldLastUsedAt of [null, ago(6 * HOUR)]) {
    assert.equal(verdictOf(facts({ oldLastUsedAt }), NOW).short, "Waiting for quiet");
  }
});

test("a lock-out within a day is red and names how many it hits", () => {
  const endsAt = new Date(NOW + 26 * 60_000).toISOString();
  for (const parts of [{}, { advice: "WAIT_FOR_NEW", newFirstUsedAt: null } as const]) {
    const verdict = verdictOf(facts({ endsAt, sources: sourcesWith([use("a", 60_000)]), ...parts }), NOW);
    assert.equal(verdict.tone, "bad");
    assert.equal(verdict.first, "extend");
    assert.equal(verdict.headline, "1 source will be locked out in 26 min");
    assert.doesNotMatch(verdict.detail, /server's reason/);
  }
  assert.notEqual(verdictOf(facts({ endsAt, oldLastUsedAt: null }), NOW).tone, "bad");
});

test("safe to revoke has a reservation while a source was not seen with the new secret", () => {
  const quiet = { advice: "REVOKE", oldLastUsedAt: ago(2 * DAY) } as const;
  const moved = verdictOf(facts({ ...quiet, sources: sourcesWith([use("a", 2 * DAY)], [use("a", HOUR)]) }), NOW);
  assert.deepEqual([moved.tone, moved.headline, moved.first], ["good", "Safe to revoke", "revoke"]);
  const silent = verdictOf(facts({ ...quiet, sources: sourcesWith([use("inventory/8", 2 * DAY)]) }), NOW);
  assert.equal(silent.tone, "warn");
  assert.equal(silent.headline, "Last used 2 days ago · 1 source not seen with the new secret");
  assert.match(silent.detail, /10\.0\.0\.1 · inventory\/8 \(last seen 2 days ago\)/);
});

test("a disabled client gets no advice", () => {
  const verdict = verdictOf(facts({ enabled: false, advice: "WAIT_FOR_NEW" }), NOW);
  assert.equal(verdict.headline, "Disabled: both secrets are refused");
});
