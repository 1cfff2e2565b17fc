import assert from "node:assert/strict";
import { test } from "node:test";
import { isUnused, usageOf } from "../src/client/usageHours";

const HOUR = 3_600_000;
const NOW = Date.parse("2026-11-25T18:30:00Z");
const at = (instant: number) => new Date(instant).toISOString();
const hoursAgo = (count: number) => NOW - 30 * 60_000 - count * HOUR;

const secret = (id: string, parts: object = {}) => ({
  id,
  hint: id,
  createdAt: at(NOW - 40 * 24 * HOUR),
  replacedAt: null,
  endedAt: null,
  usage: [],
  ...parts,
});

test("without a reset only the day is drawn for which the server keeps data", () => {
  const current = secret("new", { usage: [{ startsAt: at(hoursAgo(23)), count: 5, refused: 0 }] });
  const usage = usageOf({ currentSecret: current, oldSecret: null, secrets: { nodes: [current] } }, null, NOW);
  assert.equal(usage?.hours.length, 24);
  assert.equal(usage?.fresh[0], 5);
  assert.equal(usage?.old, null);
});

test("attempts with ended secrets are counted by the hour", () => {
  const current = secret("new");
  const ended = secret("ended", { usage: [{ startsAt: at(hoursAgo(1)), count: 0, refused: 7 }] });
  const usage = usageOf({ currentSecret: current, oldSecret: null, secrets: { nodes: [current, ended] } }, null, NOW);
  assert.equal(usage?.refused?.at(-2), 7);
  assert.equal(usage && isUnused(usage), false);
});

test("attempts on a disabled client are counted by the hour", () => {
  const current = secret("new", { usage: [{ startsAt: at(hoursAgo(2)), count: 0, refused: 4 }] });
  const usage = usageOf({ currentSecret: current, oldSecret: null, secrets: { nodes: [current] } }, null, NOW);
  assert.equal(usage?.refused?.at(-3), 4);
});

test("a rollover is drawn from some hours before its reset to now", () => {
  const [current, old] = [secret("new"), secret("old", { replacedAt: at(hoursAgo(10)) })];
  const client = { currentSecret: current, oldSecret: old, secrets: { nodes: [current, old] } };
  const usage = usageOf(client, at(hoursAgo(10)), NOW);
  assert.equal(usage?.hours.length, 17);
  assert.equal(usage?.resetAt, hoursAgo(10));
  assert.equal(usage && isUnused(usage), true);
});
