import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRetention, periodInWords } from "../src/lib/retention";

test("whole days from 1 to 7 are hours to live", () => {
  assert.deepEqual(parseRetention(" 3 "), { valid: true, count: 3, hoursToLive: 72 });
  assert.deepEqual(parseRetention("7"), { valid: true, count: 7, hoursToLive: 168 });
});

test("whole hours from 1 to 168 too, where hours are asked for", () => {
  assert.deepEqual(parseRetention("4", "hours"), { valid: true, count: 4, hoursToLive: 4 });
  assert.equal(parseRetention("169", "hours").valid, false);
});

test("everything else is refused with a sentence that says what to enter", () => {
  for (const typed of ["", " ", "0", "8", "-1", "1.5", "2,5", "seven", "1e0", "7 days", "0x3"]) {
    const retention = parseRetention(typed);
    assert.equal(retention.valid, false, typed);
    assert.match(retention.valid ? "" : retention.message, /between 1 and 7/);
  }
});

test("a period is written with its unit", () => {
  assert.equal(periodInWords(1, "days"), "1 day");
  assert.equal(periodInWords(3, "days"), "3 days");
  assert.equal(periodInWords(1, "hours"), "1 hour");
});
