import { createClient } from "graphql-sse";

/** Make a client for queries and subscriptions; `accessToken` returns a token that has not expired. */
export function makeClient(api, accessToken) {
  return createClient({
    url: `${api}/graphql`,
    headers: async () => ({ Authorization: `Bearer ${await accessToken()}` }),
  });
}
