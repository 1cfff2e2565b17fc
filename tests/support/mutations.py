"""The mutations of secrets and clients, with all that they return."""

from typing import Final

ERRORS: Final = "userErrors { code field message minimum maximum }"
SECRET: Final = "{ id state hint createdAt replacedAt expiresAt endedAt endReason }"
RESET: Final = f"""
mutation ($id: ID!, $hours: Int!, $key: String, $end: Boolean! = false, $generation: Int) {{
  resetSecret(
    clientId: $id, hoursToLive: $hours, idempotencyKey: $key, endActiveRollover: $end, ifGeneration: $generation
  ) {{
    client {{ clientId generation inRollover currentSecret {SECRET} oldSecret {SECRET} }}
    newSecret oldSecret {SECRET} oldSecretExpiresAt withdrawnSecret {SECRET} displacedSecret {SECRET} replayed {ERRORS}
  }}
}}"""
REVOKE: Final = f"""
mutation ($id: ID!, $secret: ID, $generation: Int) {{
  revokeOldSecret(clientId: $id, secretId: $secret, ifGeneration: $generation) {{
    client {{ inRollover generation }} revokedSecret {SECRET} alreadyEnded {ERRORS}
  }}
}}"""
RETENTION: Final = f"""
mutation ($id: ID!, $hours: Int!, $generation: Int) {{
  changeRetention(clientId: $id, hoursToLive: $hours, ifGeneration: $generation) {{
    client {{ generation }} oldSecret {SECRET} oldSecretExpiresAt clamped {ERRORS}
  }}
}}"""
CANCEL: Final = f"""
mutation ($id: ID!, $generation: Int) {{
  cancelRollover(clientId: $id, ifGeneration: $generation) {{
    client {{ inRollover generation }} currentSecret {SECRET} withdrawnSecret {SECRET} {ERRORS}
  }}
}}"""
CREATE: Final = f"""
mutation ($name: String!, $description: String, $features: [ClientFeature!], $allowList: [String!]) {{
  createClient(name: $name, description: $description, features: $features, allowList: $allowList) {{
    client {{ clientId name description features allowList enabled generation currentSecret {SECRET} }} secret {ERRORS}
  }}
}}"""
UPDATE: Final = f"""
mutation ($id: ID!, $name: String, $description: String, $features: [ClientFeature!], $allowList: [String!]) {{
  updateClient(clientId: $id, name: $name, description: $description, features: $features, allowList: $allowList) {{
    client {{ name description features allowList generation }} {ERRORS}
  }}
}}"""
ENABLE: Final = f"""
mutation ($id: ID!, $enabled: Boolean!) {{
  setClientEnabled(clientId: $id, enabled: $enabled) {{ client {{ enabled generation }} {ERRORS} }}
}}"""
DELETE: Final = f"mutation ($id: ID!) {{ deleteClient(clientId: $id) {{ deletedClientId {ERRORS} }} }}"
