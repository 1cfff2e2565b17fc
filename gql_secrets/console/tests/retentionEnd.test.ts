import assert from "node:assert/strict";
import { test } from "node:test";
import { isAtMaximum, latestEnd } from "../src/lib/retention";

const startedAt = "2026-11-01T10:00:00.000Z";

test("a rollover of seven days cannot be extended, a shorter one can", () => {
  assert.equal(new Date(latestEnd(startedAt)).toISOString(), "2026-11-08T10:00:00.000Z");
  assert.equal(isAtMaximum({ startedAt, endsAt: "2026-11-08T10:00:00.000Z" }), true);
  assert.equal(isAtMaximum({ startedAt, endsAt: "2026-11-08T09:00:00.000Z" }), false);
});
