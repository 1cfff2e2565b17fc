/** Every mutation of the console. */

import type { ResultOf } from "gql.tada";
import { graphql } from "./graphql";
import { CLIENT_FIELDS } from "./queries";

const PROBLEM = graphql(`
  fragment Problem on UserError {
    code
    field
    message
  }
`);

export type Problem = ResultOf<typeof PROBLEM>;

export const RESET_SECRET = graphql(
  `
    mutation ResetSecret(
      $clientId: ID!
      $hoursToLive: Int!
      $idempotencyKey: String
      $ifGeneration: Int
      $endActiveRollover: Boolean! = false
      $reason: String
    ) {
      resetSecret(
        clientId: $clientId
        hoursToLive: $hoursToLive
        idempotencyKey: $idempotencyKey
        ifGeneration: $ifGeneration
        endActiveRollover: $endActiveRollover
        reason: $reason
      ) {
        client { ...ClientFields }
        newSecret
        oldSecretExpiresAt
        withdrawnSecret { hint }
        displacedSecret { hint }
        replayed
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM, CLIENT_FIELDS],
);

export type ResetResult = NonNullable<ResultOf<typeof RESET_SECRET>["resetSecret"]>;

/** A client after a change, or in place of one that was refused: whose reset the current secret is from. */
const AS_IT_IS = graphql(`
  fragment AsItIs on Client {
    clientId
    generation
    currentSecret { id createdAt createdBy createdByName }
  }
`);

export const REVOKE_OLD_SECRET = graphql(
  `
    mutation RevokeOldSecret($clientId: ID!, $secretId: ID, $ifGeneration: Int, $reason: String) {
      revokeOldSecret(clientId: $clientId, secretId: $secretId, ifGeneration: $ifGeneration, reason: $reason) {
        client { ...AsItIs }
        revokedSecret { hint state endedAt }
        alreadyEnded
        userErrors { ...Problem }
      }
    }
  `,
  [AS_IT_IS, PROBLEM],
);

export const CHANGE_RETENTION = graphql(
  `
    mutation ChangeRetention($clientId: ID!, $hoursToLive: Int!, $ifGeneration: Int) {
      changeRetention(clientId: $clientId, hoursToLive: $hoursToLive, ifGeneration: $ifGeneration) {
        client { ...AsItIs }
        oldSecretExpiresAt
        clamped
        userErrors { ...Problem }
      }
    }
  `,
  [AS_IT_IS, PROBLEM],
);

export const CANCEL_ROLLOVER = graphql(
  `
    mutation CancelRollover($clientId: ID!, $ifGeneration: Int) {
      cancelRollover(clientId: $clientId, ifGeneration: $ifGeneration) {
        client { ...AsItIs }
        currentSecret { hint }
        withdrawnSecret { hint }
        userErrors { ...Problem }
      }
    }
  `,
  [AS_IT_IS, PROBLEM],
);

export const CREATE_CLIENT = graphql(
  `
    mutation CreateClient(
      $name: String!
      $description: String
      $features: [ClientFeature!]
      $allowList: [String!]
      $contact: String
      $labels: [String!]
      $maximumAgeDays: Int
      $selfReset: Boolean
    ) {
      createClient(
        name: $name
        description: $description
        features: $features
        allowList: $allowList
        contact: $contact
        labels: $labels
        maximumAgeDays: $maximumAgeDays
        selfReset: $selfReset
      ) {
        client { clientId name }
        secret
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const UPDATE_CLIENT = graphql(
  `
    mutation UpdateClient(
      $clientId: ID!
      $name: String
      $description: String
      $features: [ClientFeature!]
      $allowList: [String!]
      $contact: String
      $labels: [String!]
      $maximumAgeDays: Int
      $inheritMaximumAge: Boolean
      $selfReset: Boolean
    ) {
      updateClient(
        clientId: $clientId
        name: $name
        description: $description
        features: $features
        allowList: $allowList
        contact: $contact
        labels: $labels
        maximumAgeDays: $maximumAgeDays
        inheritMaximumAge: $inheritMaximumAge
        selfReset: $selfReset
      ) {
        client { clientId name }
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const SET_CLIENT_ENABLED = graphql(
  `
    mutation SetClientEnabled($clientId: ID!, $enabled: Boolean!, $reason: String) {
      setClientEnabled(clientId: $clientId, enabled: $enabled, reason: $reason) {
        client { clientId enabled }
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const DELETE_CLIENT = graphql(
  `
    mutation DeleteClient($clientId: ID!, $reason: String) {
      deleteClient(clientId: $clientId, reason: $reason) {
        deletedClientId
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const END_SESSION = graphql(
  `
    mutation EndSession($sessionId: ID!) {
      endSession(sessionId: $sessionId) {
        alreadyEnded
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const END_SESSIONS = graphql(
  `
    mutation EndSessions($actor: String!) {
      endSessions(actor: $actor) {
        endedCount
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const CREATE_SIGN_IN_LINK = graphql(
  `
    mutation CreateSignInLink($role: Role!, $name: String!) {
      createSignInLink(role: $role, name: $name) {
        url
        expiresAt
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const REVOKE_OLD_SECRETS = graphql(
  `
    mutation RevokeOldSecrets($targets: [RevokeTarget!]!, $onlyIfSafe: Boolean! = true) {
      revokeOldSecrets(targets: $targets, onlyIfSafe: $onlyIfSafe) {
        results {
          clientId
          alreadyEnded
          revokedSecret { hint }
          userErrors { ...Problem }
        }
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const RESET_SECRETS = graphql(
  `
    mutation ResetSecrets($targets: [ResetTarget!]!, $hoursToLive: Int!, $idempotencyKey: String!) {
      resetSecrets(targets: $targets, hoursToLive: $hoursToLive, idempotencyKey: $idempotencyKey) {
        results {
          clientId
          newSecret
          oldSecretExpiresAt
          replayed
          userErrors { ...Problem }
        }
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const CREATE_WEBHOOK = graphql(
  `
    mutation CreateWebhook($url: String!, $events: [WebhookEventType!]!, $description: String) {
      createWebhook(url: $url, events: $events, description: $description) {
        webhook { id }
        signingSecret
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const UPDATE_WEBHOOK = graphql(
  `
    mutation UpdateWebhook(
      $webhookId: ID!
      $url: String
      $events: [WebhookEventType!]
      $description: String
      $enabled: Boolean
    ) {
      updateWebhook(
        webhookId: $webhookId
        url: $url
        events: $events
        description: $description
        enabled: $enabled
      ) {
        webhook { id }
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const ROTATE_WEBHOOK_SECRET = graphql(
  `
    mutation RotateWebhookSecret($webhookId: ID!) {
      rotateWebhookSecret(webhookId: $webhookId) {
        webhook { id }
        signingSecret
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const DELETE_WEBHOOK = graphql(
  `
    mutation DeleteWebhook($webhookId: ID!) {
      deleteWebhook(webhookId: $webhookId) {
        deletedId
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const TEST_WEBHOOK = graphql(
  `
    mutation TestWebhook($webhookId: ID!) {
      testWebhook(webhookId: $webhookId) {
        delivery { id }
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);

export const REDELIVER_WEBHOOK = graphql(
  `
    mutation RedeliverWebhook($deliveryId: ID!) {
      redeliverWebhook(deliveryId: $deliveryId) {
        delivery { id }
        userErrors { ...Problem }
      }
    }
  `,
  [PROBLEM],
);
