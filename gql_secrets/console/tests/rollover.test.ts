import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClientWithUses, type RolloverSource, refusedLately, sourcesOf } from "../src/rollover/sources";
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

const source = (agent: string, state: RolloverSource["state"], old: number, fresh: number | null = null) => ({
  address: "10.0.0.1",
  userAgent: agent,
  state,
  newSecretLastUsedAt: fresh === null ? null : ago(fresh),
  oldSecretLastUsedAt: ago(old),
});

function client(parts: { current?: Uses; old?: Uses; ended?: Uses; sources?: RolloverSource[] }): ClientWithUses {
  return {
    currentSecret: { id: "current", uses: parts.current ?? [] },
    oldSecret: parts.sources ? { id: "old", uses: parts.old ?? [] } : null,
    secrets: { nodes: [{ id: "ended", uses: parts.ended ?? [] }] },
    rollover: parts.sources ? { sources: parts.sources } : null,
  };
}

const read = (parts: Parameters<typeof client>[0], allowList = ["0.0.0.0/0"], enabled = true) =>
  sourcesOf(client(parts), { allowList, enabled, now: NOW });

test("in a rollover the server says how far each source has come, and the page adds the counts", () => {
  const [first, second] =
    read({
      old: [use("a", HOUR)],
      current: [use("a", 2 * HOUR), use("b", HOUR)],
      ended: [use("b", DAY, true)],
      sources: [source("a", "STILL_OLD", HOUR, 2 * HOUR), source("b", "MOVED", 2 * DAY, HOUR)],
    }) ?? [];
  assert.deepEqual([first?.userAgent, first?.state, first?.useCount], ["a", "STILL_OLD", 6]);
  assert.deepEqual([second?.state, second?.useCount, second?.refusedCount], ["MOVED", 3, 3]);
  assert.equal(second?.lastSeenAt, ago(HOUR));
});

test("a viewer who may not see sources sees none", () => {
  assert.equal(
    sourcesOf({ ...client({ sources: [] }), rollover: { sources: null } }, { allowList: [], enabled: true, now: NOW }),
    null,
  );
});

test("without a rollover a source is locked out while it tries an ended secret, until it uses a valid one", () => {
  const states = (parts: Parameters<typeof client>[0]) => read(parts)?.map((each) => [each.userAgent, each.state]);
  assert.deepEqual(states({ ended: [use("a", HOUR, true)] }), [["a", "LOCKED_OUT"]]);
  assert.deepEqual(states({ ended: [use("a", HOUR, true)], current: [use("a", 60_000)] }), [["a", "IN_USE"]]);
  assert.deepEqual(states({ ended: [use("a", 2 * DAY, true)] }), []);
});

test("of two uses within a second the later one counts, although the server leaves out a fraction of 0", () => {
  const at = (agent: string, lastSeenAt: string, refused = false) => ({ ...use(agent, HOUR, refused), lastSeenAt });
  const [whole, fraction] = ["2026-11-25T17:00:00Z", "2026-11-25T17:00:00.500000Z"];
  const tried = read({ ended: [at("a", fraction, true)], current: [at("a", whole)] });
  assert.deepEqual([tried?.[0]?.state, tried?.[0]?.lastSeenAt], ["LOCKED_OUT", fraction]);
  const used = read({ ended: [at("a", whole, true)], current: [at("a", fraction)] });
  assert.deepEqual([used?.[0]?.state, used?.[0]?.lastSeenAt], ["IN_USE", fraction]);
});

test("a user from outside of the allow list is refused, and comes first", () => {
  const parts = { current: [use("app", 60_000), use("thief", HOUR, false, "198.18.0.77")] };
  assert.deepEqual(
    read(parts, ["10.0.0.0/8"])?.map((each) => each.state),
    ["NOT_ALLOWED", "IN_USE"],
  );
});

test("attempts on a disabled client are shown, and lock nobody out once it is enabled again", () => {
  const current = [use("a", HOUR, true), use("b", 2 * DAY)];
  const states = (enabled: boolean) => read({ current }, ["0.0.0.0/0"], enabled)?.map((each) => each.state);
  assert.deepEqual(states(false), ["LOCKED_OUT", "IN_USE"]);
  assert.deepEqual(states(true), ["IN_USE"]);
  const [tried] = refusedLately(read({ current }, ["0.0.0.0/0"], false), NOW);
  assert.deepEqual([tried?.userAgent, tried?.refusedCount], ["a", 3]);
});

const facts = (parts: Partial<RolloverFacts>): RolloverFacts => ({
  enabled: true,
  advice: "WAIT_FOR_QUIET",
  reason: "The server's reason.",
  endsAt: new Date(NOW + 3 * DAY).toISOString(),
  newFirstUsedAt: ago(5 * HOUR),
  oldLastUsedAt: ago(60_000),
  sources: null,
  moved: 0,
  total: 0,
  ...parts,
});
const sourcesWith = (...sources: RolloverSource[]) => read({ sources });

test("still used is said only of an old secret that is used", () => {
  const used = verdictOf(facts({ sources: sourcesWith(source("a", "STILL_OLD", 60_000)) }), NOW);
  assert.equal(used.headline, "Still used by 1 source · last use 1 minute ago");
  for (const oldLastUsedAt of [null, ago(6 * HOUR)]) {
    assert.equal(verdictOf(facts({ oldLastUsedAt }), NOW).short, "Waiting for quiet");
  }
});

test("a rollover is not called almost done before every source has moved", () => {
  const part = { oldLastUsedAt: ago(6 * HOUR), total: 2 };
  assert.equal(verdictOf(facts({ ...part, moved: 1 }), NOW).headline, "Waiting: 1 of 2 sources moved so far");
  assert.match(verdictOf(facts({ ...part, moved: 2 }), NOW).headline, /^Almost done/);
});

test("a lock-out within a day is red and names how many it hits", () => {
  const endsAt = new Date(NOW + 26 * 60_000).toISOString();
  for (const parts of [{}, { advice: "WAIT_FOR_NEW", newFirstUsedAt: null } as const]) {
    const verdict = verdictOf(facts({ endsAt, sources: sourcesWith(source("a", "STILL_OLD", 60_000)), ...parts }), NOW);
    assert.equal(verdict.tone, "bad");
    assert.equal(verdict.first, "extend");
    assert.equal(verdict.headline, "1 source will be locked out in 26 min");
    assert.doesNotMatch(verdict.detail, /server's reason/);
  }
  assert.notEqual(verdictOf(facts({ endsAt, oldLastUsedAt: null }), NOW).tone, "bad");
});

test("safe to revoke has a reservation while a source was not seen with the new secret", () => {
  const quiet = { advice: "REVOKE", oldLastUsedAt: ago(2 * DAY) } as const;
  const moved = verdictOf(facts({ ...quiet, sources: sourcesWith(source("a", "MOVED", 2 * DAY, HOUR)) }), NOW);
  assert.deepEqual([moved.tone, moved.headline, moved.first], ["good", "Safe to revoke", "revoke"]);
  const silent = verdictOf(
    facts({ ...quiet, sources: sourcesWith(source("inventory/8", "NOT_SEEN_WITH_NEW", 2 * DAY)) }),
    NOW,
  );
  assert.equal(silent.tone, "warn");
  assert.equal(silent.headline, "Last used 2 days ago · 1 source not seen with the new secret");
  assert.match(silent.detail, /10\.0\.0\.1 · inventory\/8 \(last seen 2 days ago\)/);
});

test("a new secret that was only refused outside of the allow list is not called unused", () => {
  const verdict = verdictOf(facts({ advice: "WAIT_FOR_NEW", newFirstUsedAt: ago(HOUR) }), NOW);
  assert.match(verdict.detail, /only from addresses outside of the allow list/);
  assert.equal(verdictOf(facts({ advice: "WAIT_FOR_NEW", newFirstUsedAt: null }), NOW).detail, "The server's reason.");
});

test("a disabled client gets no advice", () => {
  const verdict = verdictOf(facts({ enabled: false, advice: "WAIT_FOR_NEW" }), NOW);
  assert.equal(verdict.headline, "Disabled: both secrets are refused");
});
