/** Everything the console reads and hears. */

import type { ResultOf } from "gql.tada";
import { graphql } from "./graphql";

export const VIEWER = graphql(`
  query Viewer {
    serverTime
    viewer {
      name
      roles
      canCreateClient
    }
  }
`);

export type Viewer = NonNullable<ResultOf<typeof VIEWER>["viewer"]>;

export const CLIENT_EVENTS = graphql(`
  subscription ConsoleEvents {
    clientEvents {
      kind
      clientId
      actor
    }
  }
`);

export const APPS = graphql(`
  query AuthorizedApps($first: Int!, $after: String, $search: String, $filter: ClientFilter) {
    serverTime
    clients(first: $first, after: $after, search: $search, filter: $filter) {
      totalCount
      nodes {
        id
        clientId
        name
        enabled
        features
        currentSecret { hint createdAt lastUsedAt }
        rollover { endsAt advice oldSecret { hint lastUsedAt } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export type AppRow = NonNullable<ResultOf<typeof APPS>["clients"]>["nodes"][number];

const SECRET = graphql(`
  fragment Secret on ClientSecret {
    id
    hint
    state
    createdAt
    createdBy
    replacedAt
    expiresAt
    firstUsedAt
    lastUsedAt
    useCount
  }
`);

export const CLIENT = graphql(
  `
    query AuthorizedApp($clientId: ID!) {
      serverTime
      client(clientId: $clientId) {
        id
        clientId
        name
        description
        features
        allowList
        enabled
        createdAt
        generation
        currentSecret { ...Secret }
        oldSecret { ...Secret }
        rollover {
          startedAt
          endsAt
          advice
          reason
        }
        viewerCanResetSecret
        viewerCanSmoothReset
        viewerCanRevokeOldSecret
        viewerCanEdit
      }
    }
  `,
  [SECRET],
);

export type ClientView = NonNullable<ResultOf<typeof CLIENT>["client"]>;
export type Feature = ClientView["features"][number];
export type SecretView = ResultOf<typeof SECRET>;

const SOURCES = graphql(`
  fragment Sources on ClientSecret {
    id
    uses { address userAgent firstSeenAt lastSeenAt count refused }
  }
`);

export const CLIENT_SOURCES = graphql(
  `
    query SecretSources($clientId: ID!) {
      client(clientId: $clientId) {
        currentSecret { ...Sources }
        oldSecret { ...Sources }
      }
    }
  `,
  [SOURCES],
);

export type SecretUse = NonNullable<ResultOf<typeof SOURCES>["uses"]>[number];

const USAGE = graphql(`
  fragment Usage on ClientSecret {
    id
    hint
    createdAt
    replacedAt
    usage { startsAt count }
  }
`);

export const CLIENT_USAGE = graphql(
  `
    query SecretUsage($clientId: ID!) {
      client(clientId: $clientId) {
        currentSecret { ...Usage }
        oldSecret { ...Usage }
        secrets(first: 3) {
          nodes { ...Usage }
        }
      }
    }
  `,
  [USAGE],
);

export type ClientUsage = NonNullable<ResultOf<typeof CLIENT_USAGE>["client"]>;
export type SecretUsage = ResultOf<typeof USAGE>;

export const CLIENT_HISTORY = graphql(`
  query SecretHistory($clientId: ID!, $first: Int!, $after: String) {
    client(clientId: $clientId) {
      secrets(first: $first, after: $after) {
        totalCount
        nodes {
          id
          hint
          state
          createdAt
          createdBy
          replacedAt
          expiresAt
          endedAt
          endReason
          lastUsedAt
          useCount
          refusedAttempts
          lastRefusedAt
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
`);

export const CLIENT_AUDIT = graphql(`
  query AuditTrail($clientId: ID!, $first: Int!, $after: String) {
    client(clientId: $clientId) {
      auditEvents(first: $first, after: $after) {
        totalCount
        nodes {
          id
          at
          action
          actor
          surface
          address
          requestId
          hoursToLive
          expiresAt
          reason
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
`);

export type AuditEntry = NonNullable<
  NonNullable<ResultOf<typeof CLIENT_AUDIT>["client"]>["auditEvents"]
>["nodes"][number];
