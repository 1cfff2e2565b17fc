"""What a node writes down of each change, so that it notices a database that went back in time."""

import json
from collections.abc import Collection
from enum import StrEnum
from typing import Final, NamedTuple, Self

from gql_secrets.domain.errors import Unavailable

_FIELDS: Final = 10
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class UncertainClients(StrEnum):
    """Which clients a database that went back in time may be wrong about, until a person accepts it."""

    NONE = "NONE"
    NAMED = "NAMED"
    ALL = "ALL"


class RestoreNotAccepted(Unavailable):
    """The database went back in time, and nobody has accepted it: only what ends something is done."""

    reason = "RESTORE"

    def __init__(self) -> None:
        super().__init__(
            "The database went back in time: it lost changes that were made. Only changes that end something are made "
            "until an administrator accepts it with `gql-secrets restore accept`."
        )


class ClientUncertain(RestoreNotAccepted):
    """The database lost changes of this client, so it is unknown whether a credential of it is valid."""


class JournaledChange(NamedTuple):
    """A change as a journal has it: its place in the chain, and what it did to secrets and sessions. It has no names.

    Attributes:
        revision: its revision.
        hash: the hash of its event.
        previous: the hash of the event before it.
        client_id: the client that was changed; None if it was not about one client.
        action: what it did.
        secret_id: the secret that it was about, as in its event.
        hours_to_live: of a reset, how long the old secret was kept; 0 for a hard reset.
        expires_at: until when an old secret was kept, in microseconds.
        session_number: the session that it ended.
        ended: the ids of the secrets that it ended.
    """

    revision: int
    hash: bytes
    previous: bytes
    client_id: str | None
    action: str
    secret_id: int | None = None
    hours_to_live: int | None = None
    expires_at: int | None = None
    session_number: int | None = None
    ended: tuple[int, ...] = ()

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        revision, digest, previous, *facts = self
        return _encode([revision, digest.hex(), previous.hex(), *facts])

    @classmethod
    def of_json(cls, text: str | bytes) -> Self:
        """Return the change of such a line.

        Raises:
            ValueError: it is not one.
        """
        values = json.loads(text)
        if not isinstance(values, list) or len(values) != _FIELDS:
            raise ValueError("not a change of a journal")
        revision, digest, previous, client_id, action, secret_id, hours, expires_at, session_number, ended = values
        return cls(
            revision,
            bytes.fromhex(digest),
            bytes.fromhex(previous),
            client_id,
            action,
            secret_id,
            hours,
            expires_at,
            session_number,
            tuple(ended),
        )


def has_gap(lost: Collection[JournaledChange], kept: Collection[bytes]) -> bool:
    """Return whether changes are missing between those that a database has lost and those that it has.

    Args:
        lost: the changes that it has lost.
        kept: the hashes of the events that it has.
    """
    known = {change.hash for change in lost}.union(kept)
    return any(change.revision > 1 and change.previous not in known for change in lost)
