// What the three walks share: the server and a token from the environment, and requests of another person.

export const { API, TOKEN } = process.env;
export const accessToken = async () => TOKEN;

// A browser has this class.
globalThis.WebSocket ??= (await import("ws")).WebSocket;

/** Send a request that the frontend's cache knows nothing of. */
export async function elsewhere(query, variables = {}) {
  const response = await fetch(`${API}/graphql`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(errors[0].message);
  return data;
}

/** Register a client and return its id. */
export async function register(name) {
  const { createClient } = await elsewhere(
    "mutation ($name: String!) { createClient(name: $name) { client { clientId } } }",
    { name },
  );
  return createClient.client.clientId;
}

export const rename = (clientId, name) =>
  elsewhere("mutation ($clientId: ID!, $name: String!) { updateClient(clientId: $clientId, name: $name) { userErrors { message } } }", {
    clientId,
    name,
  });

export const remove = (clientId) =>
  elsewhere("mutation ($clientId: ID!) { deleteClient(clientId: $clientId) { deletedId } }", { clientId });

/** Wait until the check passes; the test that runs the walk ends it if it never does. */
export async function until(check) {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 20));
}

export const PAGE = `
  query Page($first: Int!, $after: String) {
    clients(first: $first, after: $after, orderBy: { field: NAME, direction: ASC }) {
      edges { node { id clientId name enabled inRollover generation } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export const RESET = `
  mutation Reset($clientId: ID!, $hoursToLive: Int!, $key: String!) {
    resetSecret(clientId: $clientId, hoursToLive: $hoursToLive, idempotencyKey: $key) {
      newSecret
      oldSecretExpiresAt
      client { id inRollover generation }
      userErrors { code field message }
    }
  }
`;
