import assert from "node:assert/strict";
import { test } from "node:test";
import { EVERY_CLIENT, listArguments, SHOWS, type Show, SORTS, type Sort } from "../src/lib/listView";
import { clientAddress, listAddressOf, parseRoute } from "../src/lib/router";

test("the overview is at the root, and the list has an address of its own", () => {
  for (const hash of ["", "#", "#/"]) assert.deepEqual(parseRoute(hash), { page: "overview" });
  assert.deepEqual(parseRoute("#/apps"), { page: "apps", view: EVERY_CLIENT });
});

test("filters, order and search are in the address", () => {
  for (const show of [null, ...(Object.keys(SHOWS) as Show[])]) {
    for (const sort of Object.keys(SORTS) as Sort[]) {
      for (const search of ["", "50% off & more?", "ü#"]) {
        const view = { show, sort, search, feature: "OWNER", labels: ["team=payments", "tier=1"] } as const;
        assert.deepEqual(parseRoute(listAddressOf(view)), { page: "apps", view });
      }
    }
  }
  assert.equal(listAddressOf({}), "#/apps");
});

test("what is unknown in an address is ignored", () => {
  assert.deepEqual(parseRoute("#/apps?show=constructor&sort=x&feature=%3C&label=no+label&more=1"), {
    page: "apps",
    view: EVERY_CLIENT,
  });
});

test("a view becomes the arguments of the API", () => {
  assert.deepEqual(
    listArguments({
      show: "ending-soon",
      feature: "OWNER",
      labels: ["team=payments"],
      search: " pay ",
      sort: "rollover-end",
    }),
    {
      search: "pay",
      filter: { endingSoon: true, feature: "OWNER", labels: ["team=payments"] },
      orderBy: { field: "ROLLOVER_END", direction: "ASC" },
    },
  );
  assert.deepEqual(listArguments(EVERY_CLIENT), { search: null, filter: null, orderBy: null });
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
