import assert from "node:assert/strict";
import { test } from "node:test";
import { previousSignsUntil } from "../src/webhooks/words";

const NOW = Date.parse("2026-11-25T18:00:00Z");

test("a previous signing secret is named only while it still signs", () => {
  const until = "2026-11-25T18:00:01Z";
  assert.equal(previousSignsUntil({ previousSecretUntil: until }, NOW), until);
  assert.equal(previousSignsUntil({ previousSecretUntil: "2026-11-25T18:00:00Z" }, NOW), null);
  assert.equal(previousSignsUntil({ previousSecretUntil: null }, NOW), null);
});
