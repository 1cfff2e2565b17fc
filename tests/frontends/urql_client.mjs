import { Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { createClient } from "graphql-ws";

/** Make a client; `accessToken` is a function that returns a token that has not expired. */
export function makeClient(api, accessToken) {
  const live = createClient({
    url: `${api.replace(/^http/, "ws")}/graphql`,
    connectionParams: async () => ({ Authorization: `Bearer ${await accessToken()}` }),
  });
  return new Client({
    url: `${api}/graphql`,
    preferGetMethod: false,
    fetch: async (url, options) =>
      fetch(url, { ...options, headers: { ...options.headers, Authorization: `Bearer ${await accessToken()}` } }),
    exchanges: [
      cacheExchange({
        resolvers: { Query: { clients: relayPagination() } },
        updates: {
          Subscription: {
            clientEvents({ clientEvents }, _, cache) {
              if (!clientEvents.deletedId) return;
              for (const { fieldName, arguments: given } of cache.inspectFields("Query")) {
                if (fieldName === "clients") cache.invalidate("Query", fieldName, given); // the lists are read again
              }
            },
          },
        },
      }),
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({ unsubscribe: live.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
}

const EVENTS = gql`
  subscription Events {
    clientEvents {
      kind
      deletedId
      client { id clientId name enabled inRollover generation }
    }
  }
`;

/** Keep the cache up to date: what an event selects of the client is written into it, and a deleted client leaves it. */
export function follow(client) {
  return client.subscription(EVENTS, {}).subscribe(() => {});
}
