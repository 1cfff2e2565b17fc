/** What only administrators read: who is signed in, webhooks, and the nodes of the installation. */

import type { ResultOf } from "gql.tada";
import { graphql } from "./graphql";

export const SESSIONS = graphql(`
  query Sessions($first: Int!, $after: String) {
    serverTime
    sessions(first: $first, after: $after) {
      totalCount
      nodes {
        id
        actor
        name
        roles
        way
        address
        startedAt
        lastSeenAt
        expiresAt
        isViewersOwn
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export type SessionRow = NonNullable<ResultOf<typeof SESSIONS>["sessions"]>["nodes"][number];

const WEBHOOK = graphql(`
  fragment WebhookFields on Webhook {
    id
    number
    url
    description
    events
    enabled
    pausedAt
    failingSince
    previousSecretUntil
    createdAt
  }
`);

export const WEBHOOKS = graphql(
  `
    query Webhooks {
      serverTime
      webhooks { ...WebhookFields }
    }
  `,
  [WEBHOOK],
);

export type WebhookRow = ResultOf<typeof WEBHOOK>;
export type WebhookEvent = WebhookRow["events"][number];

export const WEBHOOK_DELIVERIES = graphql(`
  query WebhookDeliveries {
    serverTime
    webhooks {
      id
      deliveries {
        id
        eventType
        clientId
        state
        attempts
        nextAttemptAt
        lastStatus
        lastError
        createdAt
        deliveredAt
      }
    }
  }
`);

type WithDeliveries = NonNullable<ResultOf<typeof WEBHOOK_DELIVERIES>["webhooks"]>[number];
export type WebhookDelivery = NonNullable<WithDeliveries["deliveries"]>[number];

export const CLUSTER = graphql(`
  query Cluster {
    cluster {
      members { id lease lag }
    }
  }
`);

export type ClusterNode = NonNullable<ResultOf<typeof CLUSTER>["cluster"]>["members"][number];
