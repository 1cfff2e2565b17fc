/** The operations that a newcomer finds in the explorer: the four that matter most. */

import type { Operation } from "./address";

const LIST = `# The clients you may see, newest first.
query ListClients {
  clients(first: 20) {
    totalCount
    nodes {
      clientId
      name
      enabled
      generation
      currentSecret { hint createdAt lastUsedAt }
      rollover { advice reason endsAt oldSecret { hint lastUsedAt } }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`;

const SMOOTH_RESET = `# A smooth reset: the new secret works immediately, the old one for hoursToLive more hours (1 to 168).
# The new secret is shown in this response only.
mutation SmoothReset($clientId: ID!, $hoursToLive: Int!) {
  resetSecret(clientId: $clientId, hoursToLive: $hoursToLive) {
    newSecret
    oldSecretExpiresAt
    userErrors { code field message }
  }
}
`;

const REVOKE = `# Ends the old secret now. The current secret is not affected.
mutation RevokeOldSecret($clientId: ID!) {
  revokeOldSecret(clientId: $clientId) {
    revokedSecret { hint state endedAt }
    alreadyEnded
    userErrors { code field message }
  }
}
`;

const SUBSCRIBE = `# Every change as it happens.
subscription ClientEvents {
  clientEvents {
    at
    kind
    clientId
    secretId
    actor
    actorName
    revision
  }
}
`;

const variables = (values: Readonly<Record<string, unknown>>): string => JSON.stringify(values, null, 2);

export const PREFILLED: Operation[] = [
  { query: LIST, variables: "" },
  { query: SMOOTH_RESET, variables: variables({ clientId: "", hoursToLive: 24 }) },
  { query: REVOKE, variables: variables({ clientId: "" }) },
  { query: SUBSCRIBE, variables: "" },
];
