/** Everything the console reads and subscribes to. */

import type { ResultOf } from "gql.tada";
import { graphql } from "./graphql";

export const VIEWER = graphql(`
  query Viewer {
    serverTime
    revision
    viewer {
      name
      roles
      canCreateClient
      canEndSessions
      canCreateSignInLink
    }
  }
`);

export type Viewer = NonNullable<ResultOf<typeof VIEWER>["viewer"]>;

export const CLIENT_EVENTS = graphql(`
  subscription ConsoleEvents($after: Int) {
    clientEvents(after: $after) {
      kind
      revision
      clientId
      actor
    }
  }
`);

export const APPS = graphql(`
  query AuthorizedApps($first: Int!, $after: String, $search: String, $filter: ClientFilter, $orderBy: ClientOrder) {
    serverTime
    clients(first: $first, after: $after, search: $search, filter: $filter, orderBy: $orderBy) {
      totalCount
      nodes {
        id
        clientId
        name
        enabled
        features
        viewerCanRevokeOldSecret
        viewerCanSmoothReset
        currentSecret { hint createdAt lastUsedAt }
        rollover {
          endsAt
          advice
          reason
          sourcesMoved
          sourcesTotal
          oldSecret { id hint lastUsedAt }
          newSecret { firstUsedAt }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

/** What the command palette finds. */
export const FIND_CLIENTS = graphql(`
  query FindClients($search: String!, $first: Int!) {
    clients(first: $first, search: $search) {
      nodes { clientId name }
    }
  }
`);

export type FoundClient = NonNullable<ResultOf<typeof FIND_CLIENTS>["clients"]>["nodes"][number];

/** Attempts with ended secrets, for the rows of the list: a query of its own, so that the list itself stays cheap. */
export const APPS_ATTEMPTS = graphql(`
  query RefusedAttempts($first: Int!, $after: String, $search: String, $filter: ClientFilter, $orderBy: ClientOrder) {
    clients(first: $first, after: $after, search: $search, filter: $filter, orderBy: $orderBy) {
      nodes {
        clientId
        secrets(first: 3) { nodes { endedAt lastRefusedAt } }
      }
    }
  }
`);

export type AttemptsRow = NonNullable<ResultOf<typeof APPS_ATTEMPTS>["clients"]>["nodes"][number];

export type AppRow = NonNullable<ResultOf<typeof APPS>["clients"]>["nodes"][number];

const SECRET = graphql(`
  fragment Secret on ClientSecret {
    id
    hint
    state
    createdAt
    createdBy
    createdByName
    replacedAt
    expiresAt
    firstUsedAt
    lastUsedAt
    useCount
  }
`);

/** Everything that the page of a client and its dialogs show of it. */
export const CLIENT_FIELDS = graphql(
  `
    fragment ClientFields on Client {
      id
      clientId
      name
      description
      features
      allowList
      enabled
      createdAt
      generation
      selfReset
      contact
      labels
      maximumAgeDays
      effectiveMaximumAgeDays
      rotationDueAt
      currentSecret { ...Secret }
      oldSecret { ...Secret }
      rollover {
        startedAt
        endsAt
        advice
        reason
        sourcesMoved
        sourcesTotal
      }
      viewerCanResetSecret
      viewerCanSmoothReset
      viewerCanRevokeOldSecret
      viewerCanEdit
    }
  `,
  [SECRET],
);

export type ClientView = ResultOf<typeof CLIENT_FIELDS>;
export type Feature = ClientView["features"][number];
export type SecretView = ResultOf<typeof SECRET>;

const SOURCES = graphql(`
  fragment Sources on ClientSecret {
    id
    uses { address userAgent firstSeenAt lastSeenAt count refused }
  }
`);

/** The current and the old secret are named, so that withdrawn ones cannot push them off the page of secrets. */
export const CLIENT_SOURCES = graphql(
  `
    query SecretSources($clientId: ID!) {
      client(clientId: $clientId) {
        currentSecret { ...Sources }
        oldSecret { ...Sources }
        secrets(first: 3) {
          nodes { ...Sources refusedAttempts lastRefusedAt }
        }
        rollover {
          sources { address userAgent newSecretLastUsedAt oldSecretLastUsedAt state }
        }
      }
    }
  `,
  [SOURCES],
);

const USAGE = graphql(`
  fragment Usage on ClientSecret {
    id
    hint
    createdAt
    replacedAt
    endedAt
    usage { startsAt count refused }
  }
`);

/**
 * The page of a client in one request, so that all of it is of one moment. Who uses a secret (`$sources`), and when the
 * retention was changed (`$audit`), is asked for only by viewers who may see it.
 */
export const CLIENT = graphql(
  `
    query AuthorizedApp($clientId: ID!, $sources: Boolean!, $audit: Boolean!) {
      serverTime
      client(clientId: $clientId) {
        ...ClientFields
        currentSecret {
          ...Usage
          ...Sources @include(if: $sources)
        }
        oldSecret {
          ...Usage
          ...Sources @include(if: $sources)
        }
        secrets(first: 3) {
          nodes {
            ...Usage
            ...Sources @include(if: $sources)
            refusedAttempts
            lastRefusedAt
          }
        }
        rollover {
          sources @include(if: $sources) {
            address
            userAgent
            newSecretLastUsedAt
            oldSecretLastUsedAt
            state
          }
        }
        auditEvents(first: 20) @include(if: $audit) {
          nodes { action at }
        }
      }
    }
  `,
  [CLIENT_FIELDS, USAGE, SOURCES],
);

export type ClientPageView = NonNullable<ResultOf<typeof CLIENT>["client"]>;
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
          createdByName
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

const AUDIT = graphql(`
  fragment Audit on AuditEvent {
    id
    at
    action
    actor
    actorName
    surface
    address
    requestId
    hoursToLive
    expiresAt
    endedSecrets { secretId reason }
    editedFields
    clamped
    weakSecret
    reason
    linkNumber
    personName
    personRole
    sessionEndReason
  }
`);

export const CLIENT_AUDIT = graphql(
  `
    query AuditTrail($clientId: ID!, $first: Int!, $after: String) {
      client(clientId: $clientId) {
        auditEvents(first: $first, after: $after) {
          totalCount
          nodes { ...Audit }
          pageInfo { hasNextPage endCursor }
        }
      }
    }
  `,
  [AUDIT],
);

/** The audit trail of a client that was deleted. */
export const DELETED_AUDIT = graphql(
  `
    query DeletedClientAudit($clientId: ID!, $first: Int!, $after: String) {
      auditEvents(clientId: $clientId, first: $first, after: $after) {
        totalCount
        nodes { ...Audit }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [AUDIT],
);

export type AuditEntry = ResultOf<typeof AUDIT>;

/** An event with the client that it is about: that may have been deleted since. */
export const EVENT = graphql(
  `
    fragment Event on AuditEvent {
      ...Audit
      revision
      clientId
      client { name }
    }
  `,
  [AUDIT],
);

export type ActivityEntry = ResultOf<typeof EVENT>;

/** The audit of the whole installation. */
export const ACTIVITY = graphql(
  `
    query Activity(
      $clientId: ID
      $actor: String
      $action: AuditAction
      $surface: Surface
      $since: DateTime
      $until: DateTime
      $first: Int!
      $after: String
    ) {
      auditEvents(
        clientId: $clientId
        actor: $actor
        action: $action
        surface: $surface
        since: $since
        until: $until
        first: $first
        after: $after
      ) {
        totalCount
        nodes { ...Event }
        pageInfo { hasNextPage endCursor }
      }
    }
  `,
  [EVENT],
);
