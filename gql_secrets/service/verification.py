"""Is this credential good? Every surface asks here, and nowhere else."""

import logging
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import asyncpg

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Conflict, Unavailable
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import Judgement, SecretState, judge
from gql_secrets.service.change import Changes
from gql_secrets.service.usage import Source, Usage
from gql_secrets.storage.database import Database, Transaction
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.lookup import Found, Lookup

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


@dataclass(frozen=True, slots=True)
class Accepted:
    """The credential is good."""

    client_id: str
    secret_id: int
    state: SecretState
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The credential is not good, or not from this address."""

    reason: RefusalReason
    client_id: str | None = None
    secret_id: int | None = None


Verdict = Accepted | Refused

# What is judged where no secret was found, so that a refusal takes one way whether there is a secret or not.
_NOBODYS: Final = Found(0, "", SecretState.REVOKED, None, was_used=False, enabled=True, allow_list=None)


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
                found, now = await self._lookup.find(digests)
                self._database.can_read = True
                verdict = await self._judged(found or _NOBODYS, now, source)
                if verdict is not None:
                    return verdict
        except _READ_ERRORS as error:
            _log.error("verification cannot read the database: %s: %s", type(error).__name__, error)
            self._database.can_read = False
            raise Unavailable from error
        except Conflict as conflict:
            raise Unavailable(str(conflict)) from conflict
        raise Unavailable("The client keeps changing. Try again.")

    async def _judged(self, found: Found, now: datetime, source: Source) -> Verdict | None:
        """Return the verdict, or None where the row changed meanwhile and must be read again."""
        match judge(found.state, found.expires_at, enabled=found.enabled, now=now):
            case Judgement.GOOD:
                if not found.was_used and not await self._record_first_use(found):
                    return None
                self._usage.used(found.secret_id, source, now)
                if not _is_allowed(found.allow_list, source):
                    return Refused(RefusalReason.ADDRESS, found.client_id, found.secret_id)
                return Accepted(found.client_id, found.secret_id, found.state, found.expires_at)
            case Judgement.DUE:
                await self._changes.expire_old_secret(found.client_id)
                return None
            case Judgement.ENDED if found is _NOBODYS:
                self._usage.refused_unknown(source, now)
                return Refused(RefusalReason.UNKNOWN, None, None)
            case Judgement.ENDED:
                self._usage.refused(found.secret_id, source, now)
                return Refused(RefusalReason.ENDED, found.client_id, found.secret_id)
            case Judgement.DISABLED:
                self._usage.refused_unknown(source, now)
                return Refused(RefusalReason.DISABLED, found.client_id, found.secret_id)

    async def _record_first_use(self, found: Found) -> bool:
        """Write the first use durably; return False if the secret is not good any more, or was used meanwhile."""

        async def work(tx: Transaction) -> bool:
            if not self._database.is_sqlite:
                # The clock is read after the locks, as in every change: client first, then the secret.
                await tx.execute("SELECT 1 FROM client WHERE client_id = ? FOR SHARE", found.client_id)
                await tx.execute("SELECT 1 FROM client_secret WHERE id = ? FOR UPDATE", found.secret_id)
            now = to_microseconds(await tx.now())
            changed = await tx.execute(
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
            return changed == 1

        return await self._database.run_tx(work)


def _is_allowed(allow_list: AllowList | None, source: Source) -> bool:
    return allow_list is None or (source.address is not None and allow_list.allows(source.address))
