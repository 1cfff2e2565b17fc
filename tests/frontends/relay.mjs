// A frontend with Relay: pages, a reset, a deletion, and a store that follows the changes of others.

import assert from "node:assert/strict";
import relay from "relay-runtime";
import { accessToken, API, register, remove, rename, until } from "./walk.mjs";
import { connections, DELETE, follow, makeEnvironment, PAGE, RESET } from "./relay_built.mjs";

const { commitMutation, createOperationDescriptor, fetchQuery, getRequest } = relay;
const ids = [];
for (const name of ["Bazaar 1", "Bazaar 2", "Bazaar 3", "Bazaar 4"]) ids.push(await register(name));
const environment = makeEnvironment(API, accessToken);
const load = (variables) => fetchQuery(environment, PAGE, variables).toPromise();
const change = (mutation, variables) =>
  new Promise((onCompleted, onError) => commitMutation(environment, { mutation, variables, onCompleted, onError }));

// The store calls back on each change of what this query selects; @connection joins the pages.
const operation = createOperationDescriptor(getRequest(PAGE), { first: 2 });
environment.retain(operation);
let { clients } = await load({ first: 2 });
const watching = environment.subscribe(environment.lookup(operation.fragment), ({ data }) => ({ clients } = data));
const names = () => clients.edges.map(({ node }) => node.name);
assert.deepEqual(names(), ["Bazaar 1", "Bazaar 2"]);
while (clients.pageInfo.hasNextPage) await load({ first: 2, after: clients.pageInfo.endCursor });
assert.deepEqual(names().slice(0, 4), ["Bazaar 1", "Bazaar 2", "Bazaar 3", "Bazaar 4"]);

const reset = async (hoursToLive) =>
  (await change(RESET, { clientId: ids[0], hoursToLive, key: crypto.randomUUID() })).resetSecret;
const refused = await reset(320);
assert.deepEqual([refused.newSecret, refused.userErrors[0].code], [null, "INVALID_HOURS_TO_LIVE"]);
assert.equal(clients.edges[0].node.inRollover, false);
const done = await reset(24);
assert.match(done.newSecret, /^gqls_/);
assert.equal(clients.edges[0].node.inRollover, true);

const { deleteClient } = await change(DELETE, { clientId: ids[3], connections });
assert.deepEqual(deleteClient.userErrors, []);
assert.ok(!names().includes("Bazaar 4"));

const following = follow(environment);
await until(async () => {
  await rename(ids[1], `Bazaar 2, renamed ${Date.now()}`);
  return names()[1].startsWith("Bazaar 2, renamed");
});
await remove(ids[2]);
await until(() => !names().includes("Bazaar 3"));

following.dispose();
watching.dispose();
console.log("done");
process.exit(0);
