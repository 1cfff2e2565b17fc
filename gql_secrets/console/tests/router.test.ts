import assert from "node:assert/strict";
import { test } from "node:test";
import { clientAddress, IN_ROLLOVER_ADDRESS, parseRoute } from "../src/lib/router";

test("the list is at the root, with its filter in the address", () => {
  for (const hash of ["", "#", "#/"]) assert.deepEqual(parseRoute(hash), { page: "apps", inRollover: false });
  assert.deepEqual(parseRoute(IN_ROLLOVER_ADDRESS), { page: "apps", inRollover: true });
});

test("a client's address holds its id, whatever characters that has", () => {
  for (const clientId of ["a1", "a/b", "50% off", "ü#?"]) {
    assert.deepEqual(parseRoute(clientAddress(clientId)), { page: "client", clientId });
  }
});

test("nonsense is not the list", () => {
  for (const hash of ["#/nonsense", "#/apps/", "#/apps/a/b", "#/apps/%"]) {
    assert.deepEqual(parseRoute(hash), { page: "unknown" });
  }
});
