import { createClient } from "graphql-ws";
import {
  ConnectionHandler,
  Environment,
  graphql,
  Network,
  Observable,
  RecordSource,
  requestSubscription,
  ROOT_ID,
  Store,
} from "relay-runtime";

/** Make an environment; `accessToken` is a function that returns a token that has not expired. */
export function makeEnvironment(api, accessToken) {
  const live = createClient({
    url: `${api.replace(/^http/, "ws")}/graphql`,
    connectionParams: async () => ({ Authorization: `Bearer ${await accessToken()}` }),
  });
  const send = async ({ text }, variables) => {
    const response = await fetch(`${api}/graphql`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${await accessToken()}` },
      body: JSON.stringify({ query: text, variables }),
    });
    return response.json();
  };
  const subscribe = ({ text }, variables) =>
    Observable.create((sink) => live.subscribe({ query: text, variables }, sink));
  return new Environment({ network: Network.create(send, subscribe), store: new Store(new RecordSource()) });
}

export const PAGE = graphql`
  query relayClientPageQuery($first: Int!, $after: String) {
    clients(first: $first, after: $after, orderBy: { field: NAME, direction: ASC })
      @connection(key: "Frontend_clients", filters: []) {
      edges { node { id clientId name enabled inRollover generation } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export const RESET = graphql`
  mutation relayClientResetMutation($clientId: ID!, $hoursToLive: Int!, $key: String!) {
    resetSecret(clientId: $clientId, hoursToLive: $hoursToLive, idempotencyKey: $key) {
      newSecret
      oldSecretExpiresAt
      client { id inRollover generation }
      userErrors { code field message }
    }
  }
`;

export const DELETE = graphql`
  mutation relayClientDeleteMutation($clientId: ID!, $connections: [ID!]!) {
    deleteClient(clientId: $clientId) {
      deletedId @deleteEdge(connections: $connections)
      userErrors { code message }
    }
  }
`;

const EVENTS = graphql`
  subscription relayClientEventsSubscription($connections: [ID!]!) {
    clientEvents {
      kind
      deletedId @deleteEdge(connections: $connections)
      client { id clientId name enabled inRollover generation }
    }
  }
`;

/** The lists that a deleted client leaves. */
export const connections = [ConnectionHandler.getConnectionID(ROOT_ID, "Frontend_clients")];

/** Keep the store up to date: what an event selects of the client is written into it, and a deleted client leaves it. */
export const follow = (environment) =>
  requestSubscription(environment, { subscription: EVENTS, variables: { connections } });
