"""Is this credential good? Every surface asks here, and nowhere else."""

import logging
import sqlite3
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import asyncpg

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Conflict, Unavailable
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import SecretState, SecretStatus, evaluate
from gql_secrets.service.changes import Changes
from gql_secrets.service.usage.counter import Source, Usage
from gql_secrets.storage.database import Database, Transaction
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.secret_index import Lookup, StoredSecret

_log: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 4
_READ_ERRORS: Final = (
    OSError,
    TimeoutError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class RefusalReason(StrEnum):
    """Why a credential was refused: for our log and audit, told apart to nobody but in one case.

    Only ADDRESS is said to the caller, who has shown that it holds a good secret.
    """

    UNKNOWN = "UNKNOWN"
    ENDED = "ENDED"
    DISABLED = "DISABLED"
    ADDRESS = "ADDRESS"


class Accepted(NamedTuple):
    """The credential is good."""

    client_id: str
    secret_id: int
    state: SecretState
    expires_at: datetime | None


class Refused(NamedTuple):
    """The credential is not good, or not from this address."""

    reason: RefusalReason
    client_id: str | None = None
    secret_id: int | None = None


Verdict = Accepted | Refused

# What is judged where no secret was found, so that a refusal takes one way whether there is a secret or not.
_NOBODYS: Final = StoredSecret(0, "", SecretState.REVOKED, None, was_used=False, enabled=True, allow_list=None)


class Verifier:
    """Answers whether a credential is good at the moment of asking."""

    def __init__(self, database: Database, pepper: Pepper, lookup: Lookup, changes: Changes, usage: Usage) -> None:
        """Make it on the parts of one open database."""
        self._database = database
        self._pepper = pepper
        self._lookup = lookup
        self._changes = changes
        self._usage = usage

    async def verify(self, client_id: str, secret: str, source: Source) -> Verdict:
        """Judge a client id and a secret that came from `source`.

        The first use of a secret is durable before this returns, and so is EXPIRED where this is the first to see
        that a secret's time is over.

        Raises:
            Unavailable: the database does not answer; the credential may be good.
        """
        try:
            digests = self._pepper.digests(client_id, secret)
            for _ in range(_ATTEMPTS):
                found, now = await self._lookup.find(client_id, digests)
                self._database.can_read = True
                verdict = self._judged(found or _NOBODYS, now, source)
                if verdict is not None:
                    return verdict
                await self._write_down(found or _NOBODYS, now)
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error
        except Conflict as conflict:
            _log.warning("verification cannot write: %s", conflict)
            raise Unavailable(str(conflict)) from conflict
        _log.warning("verification found a client changed %d times in a row", _ATTEMPTS)
        raise Unavailable("The client keeps changing. Try again.")

    def verify_nowait(self, client_id: str, secret: str, source: Source) -> Verdict | None:
        """Return what `verify` would without awaiting; None where that is not possible: then call `verify`.

        Only for a caller that calls the lookup's `expire_view`.

        Args:
            client_id: who says to be asking.
            secret: with what.
            source: from where.

        Raises:
            Unavailable: the database does not answer; the credential may be good.
        """
        try:
            answer = self._lookup.find_nowait(client_id, self._pepper.digests(client_id, secret))
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error
        return None if answer is None else self._judged(answer[0] or _NOBODYS, answer[1], source)

    def _unreadable(self, error: Exception) -> Unavailable:
        _log.error("verification cannot read the database: %s: %s", type(error).__name__, error)
        self._database.can_read = False
        return Unavailable()

    def _judged(self, found: StoredSecret, now: datetime, source: Source) -> Verdict | None:
        """Return the verdict, or None where something must be written down first."""
        judgement = evaluate(found.state, found.expires_at, enabled=found.enabled, now=now)
        if judgement is SecretStatus.VALID:
            if not found.was_used:
                return None
            self._usage.used(found.secret_id, source, now)
            if found.allow_list is not None and not _lets_in(found.allow_list, source):
                return Refused(RefusalReason.ADDRESS, found.client_id, found.secret_id)
            return Accepted(found.client_id, found.secret_id, found.state, found.expires_at)
        if judgement is SecretStatus.DUE:
            return None
        if judgement is SecretStatus.ENDED and found is not _NOBODYS:
            self._usage.refused(found.secret_id, source, now)
            return Refused(RefusalReason.ENDED, found.client_id, found.secret_id)
        self._usage.refused_unknown(source, now)
        if found is _NOBODYS:
            return Refused(RefusalReason.UNKNOWN, None, None)
        return Refused(RefusalReason.DISABLED, found.client_id, found.secret_id)

    async def _write_down(self, found: StoredSecret, now: datetime) -> None:
        """Write the end of an old secret whose time is over, or the first use of a good one; then it is read again."""
        if evaluate(found.state, found.expires_at, enabled=found.enabled, now=now) is SecretStatus.DUE:
            await self._changes.expire_old_secret(found.client_id)
        else:
            await self._record_first_use(found)

    async def _record_first_use(self, found: StoredSecret) -> None:
        """Write the first use durably, unless the secret is not good any more, or was used meanwhile."""

        async def work(tx: Transaction) -> None:
            if not self._database.is_sqlite:
                # The clock is read after the locks, as in every change: client first, then the secret.
                await tx.execute("SELECT 1 FROM client WHERE client_id = ? FOR SHARE", found.client_id)
                await tx.execute("SELECT 1 FROM client_secret WHERE id = ? FOR UPDATE", found.secret_id)
            now = to_microseconds(await tx.now())
            await tx.execute(
                """
                UPDATE client_secret SET first_used_at = ?, last_used_at = ?
                WHERE id = ? AND first_used_at IS NULL
                AND (state = 'CURRENT' OR (state = 'RETAINED' AND expires_at > ?))
                AND EXISTS (
                    SELECT 1 FROM client c
                    WHERE c.client_id = client_secret.client_id AND c.enabled = ? AND c.deleted_at IS NULL
                )
                """,
                now,
                now,
                found.secret_id,
                now,
                True,
            )

        await self._database.run_tx(work)


def _lets_in(allow_list: AllowList, source: Source) -> bool:
    return source.address is not None and allow_list.allows(source.address)
