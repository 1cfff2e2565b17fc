"""What depends on each key of the pepper, so that an operator knows when an old key may go."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.sessions import MAX_IDLE, MAX_SESSION
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds

_ACTIVE: Final = "('CURRENT', 'RETAINED')"
_KEYS: Final = f"""
    SELECT k.key_id, k.active_secrets, k.ended_secrets, k.repeatable_resets, k.webhooks, k.sessions,
        CASE WHEN i.audit_key_id = k.key_id THEN 1 ELSE 0 END AS signs_audit
    FROM installation i CROSS JOIN (
        SELECT key_id, CAST(sum(active) AS BIGINT) AS active_secrets, CAST(sum(ended) AS BIGINT) AS ended_secrets,
            CAST(sum(resets) AS BIGINT) AS repeatable_resets, CAST(sum(webhooks) AS BIGINT) AS webhooks,
            CAST(sum(sessions) AS BIGINT) AS sessions
        FROM (
            SELECT pepper_key_id AS key_id, CASE WHEN state IN {_ACTIVE} THEN 1 ELSE 0 END AS active,
                CASE WHEN state IN {_ACTIVE} THEN 0 ELSE 1 END AS ended, 0 AS resets, 0 AS webhooks, 0 AS sessions
                FROM client_secret
            UNION ALL SELECT pepper_key_id, 0, 0, 1, 0, 0 FROM idempotent_reset
            UNION ALL SELECT pepper_key_id, 0, 0, 0, 1, 0 FROM webhook
            UNION ALL SELECT previous_key_id, 0, 0, 0, 1, 0 FROM webhook
                WHERE previous_until > ? AND previous_key_id <> pepper_key_id
            UNION ALL SELECT tokens_key_id, 0, 0, 0, 0, 1 FROM session
                WHERE tokens_key_id IS NOT NULL AND ended_at IS NULL AND created_at > ? AND last_seen_at > ?
            UNION ALL SELECT key_id, 0, 0, 0, 0, 0 FROM pepper_fingerprint
        ) used GROUP BY key_id
    ) k LEFT JOIN pepper_fingerprint f ON f.key_id = k.key_id
    ORDER BY f.created_at, k.key_id
"""  # noqa: S608  put together from constants
# A row of a secret has its first use, and `secret_use` the last one of each source.
_CLIENTS: Final = f"""
    SELECT c.client_id, c.name, max(s.last_used_at) AS last_used_at, max(
        (SELECT max(u.last_seen_at) FROM secret_use u WHERE u.secret_id = s.id AND u.refused = FALSE)
    ) AS last_seen_at
    FROM client_secret s JOIN client c ON c.client_id = s.client_id
    WHERE s.state IN {_ACTIVE} AND s.pepper_key_id <> ?
    GROUP BY c.client_id, c.name ORDER BY c.client_id LIMIT ?
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What depends on one key.

    Attributes:
        key_id: the key.
        in_pepper: whether this process has it.
        digests_new_secrets: whether it is the first of this process.
        active_secrets: valid secrets and those of disabled clients; without the key, servers do not start.
        ended_secrets: without the key, attempts with them are counted as attempts with an unknown secret.
        repeatable_resets: resets with an idempotency key; without the key, repeating one is refused.
        webhooks: webhooks whose signing secret, or the previous one while it signs too, is derived from it; without the
            key, nothing is signed with that secret.
        sessions: sessions whose tokens of the identity provider are encrypted under it; without the key, their role
            cannot be confirmed again, so they end.
        signs_audit: whether the head of the audit log is signed with it, until the next change; without the key,
            servers do not start.
    """

    key_id: str
    in_pepper: bool
    digests_new_secrets: bool
    active_secrets: int
    ended_secrets: int
    repeatable_resets: int
    webhooks: int
    sessions: int
    signs_audit: bool

    @property
    def may_be_removed(self) -> bool:
        """Whether nothing is lost with the key but the names of ended secrets."""
        return not (
            self.digests_new_secrets
            or self.active_secrets
            or self.repeatable_resets
            or self.webhooks
            or self.sessions
            or self.signs_audit
        )


async def key_statuses(database: Database, pepper: Pepper) -> list[KeyStatus]:
    """Return the status of every key that the database knows, the oldest first."""
    now = await database.now()
    bounds = [to_microseconds(each) for each in (now, now - MAX_SESSION, now - MAX_IDLE)]
    return [
        KeyStatus(
            key_id=row["key_id"],
            in_pepper=pepper.key(row["key_id"]) is not None,
            digests_new_secrets=row["key_id"] == pepper.first.key_id,
            active_secrets=row["active_secrets"],
            ended_secrets=row["ended_secrets"],
            repeatable_resets=row["repeatable_resets"],
            webhooks=row["webhooks"],
            sessions=row["sessions"],
            signs_audit=bool(row["signs_audit"]),
        )
        for row in await database.fetch(_KEYS, bounds)
    ]


class ClientOfOlderKey(NamedTuple):
    """A client with an active secret under an older key, and when such a secret was last used; None if it never was."""

    client_id: str
    name: str
    last_used_at: datetime | None


async def clients_of_older_keys(database: Database, pepper: Pepper, limit: int) -> list[ClientOfOlderKey]:
    """Return the clients with an active secret that is not under the first key, at most `limit`.

    While secrets are moved to the first key, these are the clients that were not seen since.
    """
    rows = await database.fetch(_CLIENTS, [pepper.first.key_id, limit])
    clients = []
    for row in rows:
        last = max(row["last_used_at"] or 0, row["last_seen_at"] or 0)
        clients.append(ClientOfOlderKey(row["client_id"], row["name"], from_microseconds(last) if last else None))
    return clients
