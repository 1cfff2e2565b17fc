"""People sign in with a link that works once, and stay signed in with a session."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gql_secrets.domain.access import Caller, Role
from gql_secrets.domain.credentials import PlaintextSecret, sha256_of_parts
from gql_secrets.domain.errors import Conflict, SignInLinkEnded, Unavailable
from gql_secrets.domain.sessions import (
    LINK_LIFETIME,
    SEEN_PRECISION,
    is_link_valid,
    is_token,
    mint_token,
    parse_person,
)
from gql_secrets.service.caller_check import CallerSnapshot, is_valid
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import Session, SignInLink
from gql_secrets.storage.transaction import Transaction

_log: Final = logging.getLogger(__name__)
# Links and sessions that ended are kept for a day, to find out why a sign-in did not work.
_KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewSignInLink:
    """A new sign-in link. `token` is the only copy of its plaintext."""

    token: PlaintextSecret
    name: str
    role: Role
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A new session. `token`, the value of the cookie, is the only copy of its plaintext."""

    token: PlaintextSecret
    session_id: int


@dataclass(frozen=True, slots=True)
class Person:
    """The person of a valid session."""

    session_id: int
    name: str
    role: Role


class Sessions:
    """Signs people in and out, and finds their sessions."""

    def __init__(self, database: Database) -> None:
        """Use an open database."""
        self._database = database

    async def create_sign_in_link(self, name: str, role: Role) -> NewSignInLink:
        """Create a link that signs a person in with this name and role, once, within 15 minutes.

        Raises:
            InvalidName: the name is empty, too long, or has control characters.
        """
        name, token = parse_person(name), mint_token()

        async def work(tx: Transaction) -> NewSignInLink:
            now = await tx.now()
            await tx.execute("DELETE FROM sign_in_link WHERE expires_at < ?", to_microseconds(now - _KEPT))
            row = await SignInLink.create(
                using_db=tx.connection,
                digest=_link_digest(token.reveal()),
                name=name,
                role=role.value,
                created_at=now,
                expires_at=now + LINK_LIFETIME,
            )
            return NewSignInLink(token, name, role, row.expires_at)

        return await self._database.run_tx(work)

    async def sign_in(self, token: str, *, instead_of: str | None = None) -> NewSession:
        """Spend a sign-in link and begin a session. If two requests spend it at the same time, one of them is refused.

        Args:
            token: the link's token.
            instead_of: the cookie of the session that the same browser has; that session ends.

        Raises:
            SignInLinkEnded: the link is unknown, was used, or has expired.
        """
        if not is_token(token):
            raise SignInLinkEnded
        # Anyone can send a text like a token: that must not take the lock that changes wait for.
        if not await self._database.read(
            lambda connection: SignInLink.filter(digest=_link_digest(token)).using_db(connection).exists()
        ):
            raise SignInLinkEnded

        async def work(tx: Transaction) -> NewSession:
            link = (
                await SignInLink.filter(digest=_link_digest(token)).using_db(tx.connection).select_for_update().first()
            )
            now = await tx.now()
            if link is None or not is_link_valid(expires_at=link.expires_at, spent_at=link.spent_at, now=now):
                raise SignInLinkEnded
            link.spent_at = now
            await link.save(using_db=tx.connection, update_fields=["spent_at"])
            if instead_of is not None and is_token(instead_of):
                query = Session.filter(digest=_session_digest(instead_of), ended_at=None)
                await query.using_db(tx.connection).update(ended_at=now)
            oldest = to_microseconds(now - _KEPT)
            await tx.execute("DELETE FROM session WHERE created_at < ?", oldest)
            made = mint_token()
            row = await Session.create(
                using_db=tx.connection,
                digest=_session_digest(made.reveal()),
                name=link.name,
                role=link.role,
                created_at=now,
                last_seen_at=now,
            )
            _log.info("signed_in", extra={"user": link.name, "role": link.role, "session": row.id})
            return NewSession(made, row.id)

        return await self._database.run_tx(work)

    async def find(self, token: str) -> Person | None:
        """Return the person of the session with this cookie, or None if it is unknown or has ended.

        This counts as a use of the session. A session that is found to have ended stays ended.

        Raises:
            Unavailable: the database does not answer.
        """
        if not is_token(token):
            return None
        row = await self._database.read(
            lambda connection: Session.filter(digest=_session_digest(token)).using_db(connection).first()
        )
        if row is None or row.ended_at is not None:
            return None
        return Person(row.id, row.name, Role(row.role)) if await self._is_in_use(row) else None

    async def renew(self, caller: Caller) -> Caller:
        """Return a caller who signed in earlier with its current role; an anonymous one unchanged.

        This counts as a use of the session.

        Raises:
            Unauthenticated: its secret or session has ended.
            Unavailable: the database does not answer.
        """
        if caller.is_anonymous:
            return caller
        now = await self._database.now()
        snapshot = await CallerSnapshot.read(self._database, [caller], now)
        evaluated = snapshot.evaluate(caller)
        if caller.session_id is not None:
            row = await self._database.read(
                lambda connection: Session.filter(id=caller.session_id).using_db(connection).first()
            )
            if row is not None:
                await self._is_in_use(row)
        return evaluated

    async def end(self, session_id: int) -> bool:
        """End a session; return whether it was valid until now."""

        async def work(tx: Transaction) -> bool:
            now = await tx.now()
            row = await Session.filter(id=session_id).using_db(tx.connection).select_for_update().first()
            if row is None or row.ended_at is not None:
                return False
            was_valid = is_valid(row, now)
            row.ended_at = now
            await row.save(using_db=tx.connection, update_fields=["ended_at"])
            return was_valid

        return await self._database.run_tx(work)

    async def _is_in_use(self, row: Session) -> bool:
        """Return whether the session is valid; write that it was used, or that it ended."""
        now = await self._database.now()
        if not is_valid(row, now):
            await self._write_down("UPDATE session SET ended_at = ? WHERE id = ? AND ended_at IS NULL", now, row.id)
            return False
        if now - row.last_seen_at >= SEEN_PRECISION:
            await self._write_down("UPDATE session SET last_seen_at = ? WHERE id = ? AND ended_at IS NULL", now, row.id)
        return True

    async def _write_down(self, statement: str, now: datetime, *values: object) -> None:
        """Write a use or an end of a session; a database that is busy or cannot write does not fail the request."""

        async def work(tx: Transaction) -> int:
            return await tx.execute(statement, to_microseconds(now), *values)

        try:
            await self._database.run_tx(work)
        except (Conflict, Unavailable) as failure:
            _log.warning("session_not_written", extra={"reason": str(failure)})


def _link_digest(token: str) -> bytes:
    # 256 random bits need neither a key nor a slow hash.
    return sha256_of_parts("sign-in link", token)


def _session_digest(token: str) -> bytes:
    return sha256_of_parts("session", token)
