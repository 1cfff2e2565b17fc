import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatCountdown,
  formatDuration,
  formatMoment,
  formatPast,
  formatRelative,
  plural,
  withLocalInstants,
} from "../src/lib/format";

const NOW = Date.parse("2026-11-25T18:00:00Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test("a distance in time is named by its largest unit", () => {
  assert.equal(formatRelative(NOW - 3 * MINUTE, NOW), "3 minutes ago");
  assert.equal(formatRelative(NOW + 2 * DAY + HOUR, NOW), "in 2 days");
  assert.equal(formatRelative(NOW - 90 * DAY, NOW), "3 months ago");
  assert.equal(formatRelative(NOW - 59_000, NOW), "1 minute ago");
});

test("a fact of the past is never in the future, whatever two clocks say", () => {
  assert.equal(formatPast(NOW + 30, NOW), "just now");
  assert.equal(formatPast(NOW + HOUR, NOW), "just now");
  assert.equal(formatPast(NOW - HOUR, NOW), "1 hour ago");
});

test("an instant of today is a time, another day has its date", () => {
  assert.match(formatMoment("2026-11-25T18:03:00Z", NOW), /^6:03\sPM$/);
  assert.match(formatMoment("2026-11-28T18:03:00Z", NOW), /^Sat, Nov 28, 6:03\sPM$/);
});

test("durations have two units, and are never negative", () => {
  assert.equal(formatDuration(2 * DAY + 4 * HOUR), "2 d 4 h");
  assert.equal(formatDuration(26 * MINUTE + 7000), "26 min 7 s");
  assert.equal(formatDuration(-1), "0 s");
});

test("a countdown is exact to the second", () => {
  assert.equal(formatCountdown(DAY + 23 * HOUR + 59 * MINUTE + 12_000), "1 d 23:59:12");
  assert.equal(formatCountdown(59_999), "00:00:59");
});

test("the instants in a server's sentence are shown in the viewer's time", () => {
  assert.match(withLocalInstants("Safe to revoke at 2026-11-25T18:05:00Z.", NOW), /^Safe to revoke at 6:05\sPM\.$/);
  assert.match(
    withLocalInstants("It was first used at 2026-11-22T18:05:00Z.", NOW),
    /^It was first used on Sun, Nov 22, 6:05\sPM\.$/,
  );
});

test("nouns are counted", () => {
  assert.equal(plural(1, "source"), "1 source");
  assert.equal(plural(1200, "source"), "1,200 sources");
});
