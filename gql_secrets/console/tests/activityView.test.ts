import assert from "node:assert/strict";
import { test } from "node:test";
import { activityArguments, EVERY_EVENT } from "../src/lib/activityView";

const between = (since: string, until: string) => {
  const given = activityArguments({ ...EVERY_EVENT, since, until });
  return [given.since, given.until];
};

test("the last day is included as a whole", () => {
  assert.deepEqual(between("2026-11-25", "2026-11-25"), ["2026-11-25T00:00:00.000Z", "2026-11-26T00:00:00.000Z"]);
  assert.deepEqual(between("", ""), [null, null]);
});

test("a day at either end of what a date field takes becomes an instant that the API takes", () => {
  assert.deepEqual(between("0000-01-01", "9999-12-31"), ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"]);
});
