"""Audit events, and the chain of hashes that reveals edits."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Final

from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import Refusal
from gql_secrets.domain.rotation import SecretEndReason, SecretState
from gql_secrets.domain.texts import is_writable

FIRST_HASH: Final = bytes(32)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
MAX_REASON: Final = 200
# One encoder for all values: `json.dumps` would make one for each.
_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


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
    AUDIT_ACCEPTED = "AUDIT_ACCEPTED"
    AUDIT_PRUNED = "AUDIT_PRUNED"
    DATABASE_REWOUND = "DATABASE_REWOUND"
    RESTORE_ACCEPTED = "RESTORE_ACCEPTED"
    CHANGES_PAUSED = "CHANGES_PAUSED"
    CHANGES_RESUMED = "CHANGES_RESUMED"
    PEPPER_MIGRATION_STARTED = "PEPPER_MIGRATION_STARTED"
    SIGN_IN_LINK_CREATED = "SIGN_IN_LINK_CREATED"
    SIGN_IN_LINK_VOIDED = "SIGN_IN_LINK_VOIDED"
    SIGNED_IN = "SIGNED_IN"
    SESSION_ENDED = "SESSION_ENDED"
    WEBHOOK_CREATED = "WEBHOOK_CREATED"
    WEBHOOK_UPDATED = "WEBHOOK_UPDATED"
    WEBHOOK_DELETED = "WEBHOOK_DELETED"
    WEBHOOK_SECRET_ROTATED = "WEBHOOK_SECRET_ROTATED"  # noqa: S105


# Changes that are made even if the head of the audit log has no valid signature, or the database went back in time:
# those that only end something, and signing in, without which nobody could end anything in the console. What ends a
# pause of changes does not end that state.
_ALWAYS_MADE: Final = frozenset(
    {
        AuditAction.SIGN_IN_LINK_CREATED,
        AuditAction.SIGN_IN_LINK_VOIDED,
        AuditAction.SIGNED_IN,
        AuditAction.SESSION_ENDED,
        AuditAction.CLIENT_DISABLED,
        AuditAction.CLIENT_DELETED,
        AuditAction.OLD_SECRET_REVOKED,
        AuditAction.OLD_SECRET_EXPIRED,
        AuditAction.DATABASE_REWOUND,
        AuditAction.RESTORE_ACCEPTED,
        AuditAction.CHANGES_RESUMED,
    }
)


class InvalidReason(Refusal):
    """The reason for a change is too long or has control characters."""

    code = ErrorCode.INVALID_REASON
    argument = "reason"
    maximum = MAX_REASON

    def __init__(self) -> None:
        super().__init__(f"A reason must have at most {MAX_REASON} characters and no control characters.")


def parse_reason(text: str | None) -> str | None:
    """Return why a person makes a change, in their own words; None for an empty text.

    Raises:
        InvalidReason: it is over 200 characters, or has control characters.
    """
    reason = (text or "").strip()
    if len(reason) > MAX_REASON or not is_writable(reason):
        raise InvalidReason
    return reason or None


@dataclass(frozen=True, slots=True)
class EndedSecret:
    """A secret that a change ended, why, and the state that it had before."""

    secret_id: int
    reason: SecretEndReason
    state_before: SecretState


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change, as the audit log records it.

    Attributes:
        secret_id: the secret that the change is about: the new one of a reset, the old one of a revoke.
        ended: the secrets that ended with the change.
        edited_fields: the fields of the client that an edit changed, by their GraphQL names.
        clamped: whether the requested expiry was beyond the longest retention.
        weak_secret: whether an imported secret looks guessable.
        reason: why the person made the change, in their words.
        accepted: with AUDIT_ACCEPTED, a digest of all events before it as they were when they were accepted; with
            AUDIT_PRUNED, the hash of the last event that was exported and deleted; with DATABASE_REWOUND, the hash of
            the newest change that was lost; with RESTORE_ACCEPTED, how it was accepted.
        actor_name: the display name of an actor who is a person, at the time of the change.
        link_number: the sign-in link that was created, voided or used.
        session_number: the session that began or ended.
        person_name: the person whom the link or the session belongs to.
        person_role: that person's role.
        session_end_reason: why the session ended.
        webhook_number: the webhook that was changed.
        pepper_key_id: the key of the pepper that secrets are moved to.
    """

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
    ended: tuple[EndedSecret, ...] = ()
    hours_to_live: int | None = None
    expires_at: datetime | None = None
    edited_fields: tuple[str, ...] = ()
    clamped: bool = False
    weak_secret: bool = False
    reason: str | None = None
    accepted: str | None = None
    actor_name: str | None = None
    link_number: int | None = None
    session_number: int | None = None
    person_name: str | None = None
    person_role: str | None = None
    session_end_reason: str | None = None
    webhook_number: int | None = None
    pepper_key_id: str | None = None

    FORMAT = 2

    @property
    def is_always_made(self) -> bool:
        """Whether the change is made even if the head of the audit log is not valid, or the database went back in time.

        It is if it only ends something (a revoke, an expiry, a hard reset, a disabled or deleted client, the end of a
        session), or signs somebody in.
        """
        is_hard_reset = self.action == AuditAction.SECRET_RESET and self.hours_to_live == 0
        return is_hard_reset or self.action in _ALWAYS_MADE

    def hash_after(self, previous: bytes) -> bytes:
        """Return SHA-256 over the format's number, the previous hash and this entry's canonical JSON.

        The canonical JSON is an object without the fields that are empty, so a field that a later release adds leaves
        the hashes of earlier events as they are. Its names, their order, the separators and the escapes are part of
        the stored data and never change.
        """
        # 0 is a value (a hard reset has 0 hours to live); None, False and an empty list are not.
        canonical = ",".join(
            f"{name}{_written(fact)}"
            for name, fact in zip(_CANONICAL_NAMES, _facts_of(self), strict=True)
            if fact is not None and fact is not False and fact != ()
        )
        return hashlib.sha256(b"%c%b{%b}" % (self.FORMAT, previous, canonical.encode())).digest()


_CANONICAL_ORDER: Final = sorted(AuditEntry.__slots__)
_CANONICAL_NAMES: Final = tuple(f'"{name}":' for name in _CANONICAL_ORDER)
_facts_of: Final = attrgetter(*_CANONICAL_ORDER)


def _written(fact: object) -> str:
    """Return the canonical JSON of a fact."""
    kind = type(fact)
    if kind is int:
        return str(fact)
    if kind is str:
        return _encode(fact)
    if isinstance(fact, datetime):
        return str(_microseconds(fact))
    if isinstance(fact, tuple):
        is_ended = isinstance(fact[0], EndedSecret)
        fact = sorted([each.secret_id, each.reason, each.state_before] for each in fact) if is_ended else list(fact)
    return _encode(fact)


@dataclass(frozen=True, slots=True)
class FirstFormatEntry:
    """One change in format 1, which is read but no longer written.

    `ended_secret_ids` lists ids separated by commas, the current secret before the old one. `reason` holds why
    secrets ended, or the fields that were edited, or `CLAMPED`, or `WEAK_SECRET`.
    """

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

    FORMAT = 1

    def hash_after(self, previous: bytes) -> bytes:
        """Return SHA-256 over the previous hash and this entry's canonical JSON.

        The order of the values, the separators and the escapes are part of the stored data and never change.
        """
        values = [
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
        return hashlib.sha256(previous + json.dumps(values, separators=(",", ":")).encode()).digest()

    def to_entry(self) -> AuditEntry:
        """Return the same change in the current format."""
        is_edit = self.action == AuditAction.CLIENT_UPDATED
        return AuditEntry(
            revision=self.revision,
            at=self.at,
            action=self.action,
            actor=self.actor,
            actor_kind=self.actor_kind,
            surface=self.surface,
            request_id=self.request_id,
            address=self.address,
            client_id=self.client_id,
            generation_before=self.generation_before,
            generation_after=self.generation_after,
            secret_id=self.secret_id,
            ended=self._ended(),
            hours_to_live=self.hours_to_live,
            expires_at=self.expires_at,
            edited_fields=tuple((self.reason or "").split(",")) if is_edit else (),
            clamped=self.reason == "CLAMPED",
            weak_secret=self.reason == "WEAK_SECRET",
        )

    def _ended(self) -> tuple[EndedSecret, ...]:
        if not self.ended_secret_ids:
            return ()
        reason = SecretEndReason(self.reason or "")
        first, *others = map(int, self.ended_secret_ids.split(","))
        was_old = reason in (SecretEndReason.REVOKED, SecretEndReason.EXPIRED, SecretEndReason.DISPLACED)
        return (
            EndedSecret(first, reason, SecretState.RETAINED if was_old else SecretState.CURRENT),
            *(EndedSecret(other, reason, SecretState.RETAINED) for other in others),
        )


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND
