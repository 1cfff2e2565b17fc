"""What the audit says, and the chain of hashes that shows when somebody edited it."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

FIRST_HASH: Final = bytes(32)


class AuditAction(StrEnum):
    """What a change did."""

    CLIENT_CREATED = "CLIENT_CREATED"
    CLIENT_IMPORTED = "CLIENT_IMPORTED"
    CLIENT_UPDATED = "CLIENT_UPDATED"
    CLIENT_ENABLED = "CLIENT_ENABLED"
    CLIENT_DISABLED = "CLIENT_DISABLED"
    CLIENT_DELETED = "CLIENT_DELETED"
    SECRET_RESET = "SECRET_RESET"  # noqa: S105  an action, not a secret
    OLD_SECRET_REVOKED = "OLD_SECRET_REVOKED"  # noqa: S105
    OLD_SECRET_EXPIRED = "OLD_SECRET_EXPIRED"  # noqa: S105
    RETENTION_CHANGED = "RETENTION_CHANGED"
    ROLLOVER_CANCELLED = "ROLLOVER_CANCELLED"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change as the chain hashes it; in the hash an instant is microseconds since 1970."""

    revision: int
    at: datetime
    action: str
    actor: str
    actor_kind: str
    surface: str
    request_id: str | None = None
    address: str | None = None
    client_id: str | None = None
    generation_before: int | None = None
    generation_after: int | None = None
    secret_id: int | None = None
    ended_secret_ids: str = ""
    hours_to_live: int | None = None
    expires_at: datetime | None = None
    reason: str | None = None

    def hash_after(self, previous: bytes) -> bytes:
        """Return SHA-256 over the previous hash and this entry's canonical JSON.

        The order of the keys, the separators and the escapes are part of the stored data: change none of them.
        """
        fields = [
            self.revision,
            _microseconds(self.at),
            self.action,
            self.actor,
            self.actor_kind,
            self.surface,
            self.request_id,
            self.address,
            self.client_id,
            self.generation_before,
            self.generation_after,
            self.secret_id,
            self.ended_secret_ids,
            self.hours_to_live,
            _microseconds(self.expires_at) if self.expires_at else None,
            self.reason,
        ]
        return hashlib.sha256(previous + json.dumps(fields, separators=(",", ":")).encode()).digest()


def _microseconds(instant: datetime) -> int:
    whole = int(instant.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + instant.microsecond
