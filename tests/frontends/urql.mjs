// A frontend with urql: pages, a reset, and a cache that follows the changes of others.

import assert from "node:assert/strict";
import { accessToken, API, PAGE, RESET, register, remove, rename, until } from "./walk.mjs";
import { follow, makeClient } from "./urql_client.mjs";

const ids = [];
for (const name of ["Basket 1", "Basket 2", "Basket 3"]) ids.push(await register(name));
const client = makeClient(API, accessToken);
let names = [];
let last;
const watching = client.query(PAGE, { first: 2 }).subscribe((result) => {
  if (result.error) throw result.error;
  if (!result.data) return; // the lists are being read again
  last = result.data.clients;
  names = last.edges.map(({ node }) => node.name);
});
await until(() => names.length === 2);
assert.deepEqual(names, ["Basket 1", "Basket 2"]);

const more = await client.query(PAGE, { first: 2, after: last.pageInfo.endCursor }).toPromise();
assert.equal(more.error, undefined);
await until(() => names.includes("Basket 3"));

const reset = (hoursToLive) =>
  client.mutation(RESET, { clientId: ids[0], hoursToLive, key: crypto.randomUUID() }).toPromise();
const refused = (await reset(320)).data.resetSecret;
assert.deepEqual([refused.newSecret, refused.userErrors[0].code], [null, "INVALID_HOURS_TO_LIVE"]);
const done = (await reset(24)).data.resetSecret;
assert.match(done.newSecret, /^gqls_/);
assert.deepEqual(done.userErrors, []);
await until(() => last.edges[0].node.inRollover === true);

const following = follow(client);
await until(async () => {
  await rename(ids[1], `Basket 2, renamed ${Date.now()}`);
  return names[1].startsWith("Basket 2, renamed");
});
await remove(ids[2]);
await until(() => !names.includes("Basket 3"));

following.unsubscribe();
watching.unsubscribe();
console.log("done");
process.exit(0);
