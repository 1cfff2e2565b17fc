import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { learnServerTime, serverNow } from "../src/lib/clock";

test("the server's clock is known to half a round trip, by its fastest answer", () => {
  mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  try {
    const ahead = 60_000;
    const at = (instant: number) => new Date(instant).toISOString();
    learnServerTime(at(1_000_000 + ahead + 100), 1_000_000, 1_000_200);
    assert.equal(serverNow(), 1_000_000 + ahead);
    learnServerTime(at(1_000_000 + ahead + 900), 1_000_000, 1_001_000); // slower: it knows less
    assert.equal(serverNow(), 1_000_000 + ahead);
    learnServerTime(at(1_000_000 + ahead + 20), 1_000_000, 1_000_010); // faster
    assert.equal(serverNow(), 1_000_000 + ahead + 15);
    learnServerTime(at(1_000_000), 1_000_000, 1_001_000); // this machine's clock was set
    assert.equal(serverNow(), 1_000_000 - 500);
  } finally {
    mock.timers.reset();
  }
});
