import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";

/** Make a client; `accessToken` is a function that returns a token that has not expired. */
export function makeClient(api, accessToken) {
  const signIn = new SetContextLink(async ({ headers }) => ({
    headers: { ...headers, Authorization: `Bearer ${await accessToken()}` },
  }));
  const live = createClient({
    url: `${api.replace(/^http/, "ws")}/graphql`,
    connectionParams: async () => ({ Authorization: `Bearer ${await accessToken()}` }),
  });
  return new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(live),
      signIn.concat(new HttpLink({ uri: `${api}/graphql` })),
    ),
    cache: new InMemoryCache({
      typePolicies: { Query: { fields: { clients: relayStylePagination(["search", "filter", "orderBy"]) } } },
    }),
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
  return client.subscribe({ query: EVENTS }).subscribe(({ data }) => {
    const { deletedId } = data.clientEvents;
    if (deletedId === null) return;
    client.cache.evict({ id: client.cache.identify({ __typename: "Client", id: deletedId }) });
    client.cache.gc();
  });
}
