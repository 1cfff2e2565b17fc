// A frontend with Apollo Client: pages, a reset, and a cache that follows the changes of others.

import assert from "node:assert/strict";
import { gql } from "@apollo/client";
import { accessToken, API, PAGE, RESET, register, remove, rename, until } from "./walk.mjs";
import { follow, makeClient } from "./apollo_client.mjs";

const ids = [];
for (const name of ["Apollo 1", "Apollo 2", "Apollo 3"]) ids.push(await register(name));
const client = makeClient(API, accessToken);
const page = gql(PAGE);
const watched = client.watchQuery({ query: page, variables: { first: 2 } });
const names = () => (watched.getCurrentResult().data?.clients.edges ?? []).map(({ node }) => node.name);
const watching = watched.subscribe(() => {});
await until(() => names().length === 2);
assert.deepEqual(names(), ["Apollo 1", "Apollo 2"]);

const { endCursor } = watched.getCurrentResult().data.clients.pageInfo;
await watched.fetchMore({ variables: { first: 2, after: endCursor } });
await until(() => names().length > 2);
assert.deepEqual(names().slice(0, 3), ["Apollo 1", "Apollo 2", "Apollo 3"]);

const reset = (hoursToLive) =>
  client.mutate({ mutation: gql(RESET), variables: { clientId: ids[0], hoursToLive, key: crypto.randomUUID() } });
const refused = (await reset(320)).data.resetSecret;
assert.deepEqual([refused.newSecret, refused.userErrors[0].code], [null, "INVALID_HOURS_TO_LIVE"]);
const done = (await reset(24)).data.resetSecret;
assert.match(done.newSecret, /^gqls_/);
assert.deepEqual(done.userErrors, []);
await until(() => watched.getCurrentResult().data.clients.edges[0].node.inRollover === true);

const following = follow(client);
await until(async () => {
  await rename(ids[1], `Apollo 2, renamed ${Date.now()}`);
  return names()[1].startsWith("Apollo 2, renamed");
});
await remove(ids[2]);
await until(() => !names().includes("Apollo 3"));

following.unsubscribe();
watching.unsubscribe();
console.log("done");
process.exit(0);
