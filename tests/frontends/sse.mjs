// A frontend that uses event streams for queries and live updates. Mutations are sent with fetch.

import assert from "node:assert/strict";
import { accessToken, API, elsewhere, PAGE, RESET, register, rename } from "./walk.mjs";
import { makeClient } from "./sse_client.mjs";

const id = await register("Stream 1");
const client = makeClient(API, accessToken);

async function one(query, variables) {
  for await (const { data, errors } of client.iterate({ query, variables })) {
    assert.equal(errors, undefined);
    return data;
  }
}

const { clients } = await one(PAGE, { first: 5 });
assert.ok(clients.edges.some(({ node }) => node.name === "Stream 1"));
const refused = (await elsewhere(RESET, { clientId: id, hoursToLive: 320, key: crypto.randomUUID() })).resetSecret;
assert.deepEqual([refused.newSecret, refused.userErrors[0].code], [null, "INVALID_HOURS_TO_LIVE"]);
const done = (await elsewhere(RESET, { clientId: id, hoursToLive: 24, key: crypto.randomUUID() })).resetSecret;
assert.match(done.newSecret, /^gqls_/);

// Renamed until the stream has begun and reports it.
const renaming = setInterval(() => rename(id, `Stream 1, renamed ${Date.now()}`), 100);
for await (const { data } of client.iterate({ query: "subscription { clientEvents { kind client { name } } }" })) {
  if (data.clientEvents.client.name.startsWith("Stream 1, renamed")) break;
}
clearInterval(renaming);
console.log("done");
process.exit(0);
