import assert from "node:assert/strict";
import { test } from "node:test";
import { isWithin } from "../src/lib/networks";

const inside: readonly (readonly [string, string])[] = [
  ["10.1.2.3", "10.1.0.0/16"],
  ["198.18.0.77", "0.0.0.0/0"],
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8::1", "2001:db8::/32"],
  ["::1", "::1/128"],
  ["::ffff:10.1.2.3", "10.1.0.0/16"],
];
const outside: readonly (readonly [string, string])[] = [
  ["10.2.0.1", "10.1.0.0/16"],
  ["198.18.0.77", "10.1.0.0/16"],
  ["10.1.2.3", "::/0"],
  ["2001:db9::1", "2001:db8::/32"],
  ["::2", "::1/128"],
];

test("an address is within a network as the server sees it", () => {
  for (const [address, network] of inside) assert.equal(isWithin(address, ["203.0.113.0/24", network]), true, address);
  for (const [address, network] of outside) assert.equal(isWithin(address, [network]), false, address);
});

test("of an address that cannot be read nothing is claimed", () => {
  assert.equal(isWithin("unix:", ["10.0.0.0/8"]), true);
});
