"""The GraphQL documents of the command line. They are trusted wherever only trusted documents are executed."""

from typing import Final

_SECRET: Final = """\
fragment Secret on ClientSecret {
  hint state createdAt createdBy createdByName replacedAt expiresAt endedAt endReason firstUsedAt lastUsedAt
}
"""
_CLIENT: Final = (
    """\
fragment Details on Client {
  clientId name description enabled createdAt generation selfReset contact maximumAgeDays features allowList labels
  effectiveMaximumAgeDays rotationDueAt inRollover currentSecret { ...Secret } oldSecret { ...Secret }
}
"""
    + _SECRET
)
_WEBHOOK: Final = """\
fragment Details on Webhook {
  number url description events enabled pausedAt failingSince previousSecretUntil createdAt
}
"""
_DELIVERY: Final = """\
fragment Details on WebhookDelivery {
  number eventId eventType clientId state attempts lastStatus lastError createdAt deliveredAt
}
"""

NOW: Final = "query CliNow { serverTime }\n"
CLIENT: Final = (
    """\
query CliClient($clientId: ID!) { client(clientId: $clientId) { ...Details } }
"""
    + _CLIENT
)
CLIENTS: Final = (
    """\
query CliClients($after: String, $search: String, $filter: ClientFilter) {
  clients(first: 50, after: $after, search: $search, filter: $filter) {
    nodes { ...Details } pageInfo { hasNextPage endCursor }
  }
}
"""
    + _CLIENT
)
OLD_SECRETS: Final = """\
query CliOldSecrets($after: String, $filter: ClientFilter) {
  clients(first: 100, after: $after, filter: $filter) {
    nodes { clientId oldSecret { id } } pageInfo { hasNextPage endCursor }
  }
}
"""
CREATE_CLIENT: Final = """\
mutation CliCreateClient(
  $name: String!, $description: String, $features: [ClientFeature!], $allowList: [String!], $selfReset: Boolean,
  $contact: String, $labels: [String!], $maximumAgeDays: Int
) {
  done: createClient(
    name: $name, description: $description, features: $features, allowList: $allowList, selfReset: $selfReset,
    contact: $contact, labels: $labels, maximumAgeDays: $maximumAgeDays
  ) { client { clientId name } secret userErrors { code message } }
}
"""
UPDATE_CLIENT: Final = (
    """\
mutation CliUpdateClient(
  $clientId: ID!, $name: String, $description: String, $features: [ClientFeature!], $allowList: [String!],
  $selfReset: Boolean, $contact: String, $labels: [String!], $maximumAgeDays: Int, $inheritMaximumAge: Boolean
) {
  done: updateClient(
    clientId: $clientId, name: $name, description: $description, features: $features, allowList: $allowList,
    selfReset: $selfReset, contact: $contact, labels: $labels, maximumAgeDays: $maximumAgeDays,
    inheritMaximumAge: $inheritMaximumAge
  ) { client { ...Details } effectiveEverywhere notEffectiveReason userErrors { code message } }
}
"""
    + _CLIENT
)
SET_CLIENT_ENABLED: Final = """\
mutation CliSetClientEnabled($clientId: ID!, $enabled: Boolean!, $reason: String) {
  done: setClientEnabled(clientId: $clientId, enabled: $enabled, reason: $reason) {
    client { enabled } effectiveEverywhere notEffectiveReason userErrors { code message }
  }
}
"""
DELETE_CLIENT: Final = """\
mutation CliDeleteClient($clientId: ID!, $reason: String) {
  done: deleteClient(clientId: $clientId, reason: $reason) {
    deletedClientId effectiveEverywhere notEffectiveReason userErrors { code message }
  }
}
"""
RESET_SECRET: Final = (
    """\
mutation CliResetSecret(
  $clientId: ID!, $hoursToLive: Int!, $idempotencyKey: String!, $endActiveRollover: Boolean!, $ifGeneration: Int,
  $reason: String
) {
  done: resetSecret(
    clientId: $clientId, hoursToLive: $hoursToLive, idempotencyKey: $idempotencyKey,
    endActiveRollover: $endActiveRollover, ifGeneration: $ifGeneration, reason: $reason
  ) {
    client { generation } newSecret oldSecretExpiresAt replayed effectiveEverywhere notEffectiveReason
    userErrors { code message }
    oldSecret { ...Secret } withdrawnSecret { ...Secret } displacedSecret { ...Secret }
  }
}
"""
    + _SECRET
)
REVOKE_OLD_SECRET: Final = (
    """\
mutation CliRevokeOldSecret($clientId: ID!, $secretId: ID, $ifGeneration: Int, $reason: String) {
  done: revokeOldSecret(clientId: $clientId, secretId: $secretId, ifGeneration: $ifGeneration, reason: $reason) {
    revokedSecret { ...Secret } alreadyEnded effectiveEverywhere notEffectiveReason userErrors { code message }
  }
}
"""
    + _SECRET
)
CHANGE_RETENTION: Final = """\
mutation CliChangeRetention($clientId: ID!, $hoursToLive: Int!, $ifGeneration: Int, $reason: String) {
  done: changeRetention(clientId: $clientId, hoursToLive: $hoursToLive, ifGeneration: $ifGeneration, reason: $reason) {
    oldSecretExpiresAt clamped effectiveEverywhere notEffectiveReason userErrors { code message }
  }
}
"""
CANCEL_ROLLOVER: Final = (
    """\
mutation CliCancelRollover($clientId: ID!, $ifGeneration: Int, $reason: String) {
  done: cancelRollover(clientId: $clientId, ifGeneration: $ifGeneration, reason: $reason) {
    currentSecret { ...Secret } withdrawnSecret { ...Secret } effectiveEverywhere notEffectiveReason
    userErrors { code message }
  }
}
"""
    + _SECRET
)
RESET_SECRETS: Final = """\
mutation CliResetSecrets($targets: [ResetTarget!]!, $hoursToLive: Int!, $idempotencyKey: String!) {
  done: resetSecrets(targets: $targets, hoursToLive: $hoursToLive, idempotencyKey: $idempotencyKey) {
    results {
      clientId newSecret oldSecretExpiresAt effectiveEverywhere notEffectiveReason userErrors { code message }
    }
    userErrors { code message }
  }
}
"""
REVOKE_OLD_SECRETS: Final = (
    """\
mutation CliRevokeOldSecrets($targets: [RevokeTarget!]!) {
  done: revokeOldSecrets(targets: $targets) {
    results {
      clientId revokedSecret { ...Secret } alreadyEnded effectiveEverywhere notEffectiveReason
      userErrors { code message }
    }
    userErrors { code message }
  }
}
"""
    + _SECRET
)
ROLLOVER: Final = (
    """\
query CliRollover($clientId: ID!) {
  client(clientId: $clientId) { rollover { oldSecret { id ...Secret } safeToRevoke advice reason } }
}
"""
    + _SECRET
)
SECRETS: Final = (
    """\
query CliSecrets($clientId: ID!) {
  client(clientId: $clientId) { secrets(first: 100) { nodes { id ...Secret } } }
}
"""
    + _SECRET
)
SESSIONS: Final = """\
query CliSessions($after: String) {
  sessions(first: 100, after: $after) {
    nodes { number actor way name roles address startedAt lastSeenAt expiresAt } pageInfo { hasNextPage endCursor }
  }
}
"""
END_SESSION: Final = """\
mutation CliEndSession($sessionId: ID!) {
  done: endSession(sessionId: $sessionId) { alreadyEnded userErrors { code message } }
}
"""
END_SESSIONS: Final = """\
mutation CliEndSessions($actor: String!) {
  done: endSessions(actor: $actor) { endedCount userErrors { code message } }
}
"""
CREATE_SIGN_IN_LINK: Final = """\
mutation CliCreateSignInLink($name: String!, $role: Role!) {
  done: createSignInLink(name: $name, role: $role) { url number expiresAt userErrors { code message } }
}
"""
WEBHOOKS: Final = "query CliWebhooks { webhooks { ...Details } }\n" + _WEBHOOK
CREATE_WEBHOOK: Final = """\
mutation CliCreateWebhook($url: String!, $events: [WebhookEventType!]!, $description: String) {
  done: createWebhook(url: $url, events: $events, description: $description) {
    webhook { number previousSecretUntil } signingSecret userErrors { code message }
  }
}
"""
UPDATE_WEBHOOK: Final = (
    """\
mutation CliUpdateWebhook(
  $webhookId: ID!, $url: String, $events: [WebhookEventType!], $description: String, $enabled: Boolean
) {
  done: updateWebhook(
    webhookId: $webhookId, url: $url, events: $events, description: $description, enabled: $enabled
  ) { webhook { ...Details } userErrors { code message } }
}
"""
    + _WEBHOOK
)
DELETE_WEBHOOK: Final = """\
mutation CliDeleteWebhook($webhookId: ID!) {
  done: deleteWebhook(webhookId: $webhookId) { userErrors { code message } }
}
"""
ROTATE_WEBHOOK_SECRET: Final = """\
mutation CliRotateWebhookSecret($webhookId: ID!) {
  done: rotateWebhookSecret(webhookId: $webhookId) {
    webhook { number previousSecretUntil } signingSecret userErrors { code message }
  }
}
"""
TEST_WEBHOOK: Final = (
    """\
mutation CliTestWebhook($webhookId: ID!) {
  done: testWebhook(webhookId: $webhookId) { delivery { ...Details } userErrors { code message } }
}
"""
    + _DELIVERY
)
DELIVERIES: Final = "query CliDeliveries { webhooks { number deliveries { ...Details } } }\n" + _DELIVERY
REDELIVER: Final = (
    """\
mutation CliRedeliver($deliveryId: ID!) {
  done: redeliverWebhook(deliveryId: $deliveryId) { delivery { ...Details } userErrors { code message } }
}
"""
    + _DELIVERY
)
CLUSTER: Final = (
    "query CliCluster { cluster { members { id version lease lag startedAt lastSeenAt } uncertainClients } }\n"
)
AUDIT_EXPORT: Final = """\
query CliAuditExport($after: Int!) { auditExport(after: $after, first: 500) }
"""


def cli_documents() -> tuple[str, ...]:
    """Return every document of the command line."""
    return tuple(text for name, text in globals().items() if name.isupper() and not name.startswith("_"))
