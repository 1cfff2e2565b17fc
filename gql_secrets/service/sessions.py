"""People sign in with a link that works once, and stay signed in by a session."""

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
    is_link_good,
    is_token,
    mint_token,
    parse_person,
)
from gql_secrets.service.caller_check import CallerSnapshot, is_good
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import Session, SignInLink
from gql_secrets.storage.transaction import Transaction

_log: Final = logging.getLogger(__name__)
# Links and sessions whose time is over are kept a day, for whoever asks why a sign-in did not work.
_KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A new sign-in link. `token` is the only place where its plaintext is."""

    token: PlaintextSecret
    name: str
    role: Role
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session. `token`, the cookie's value, is the only place where its plaintext is."""

    token: PlaintextSecret
    session_id: int


@dataclass(frozen=True, slots=True)
class Person:
    """Who a good session belongs to."""

    session_id: int
    name: str
    role: Role


class Sessions:
    """Signs people in, knows them again, and signs them out."""

    def __init__(self, database: Database) -> None:
        """Make it for one open database."""
        self._database = database

    async def make_sign_in_link(self, name: str, role: Role) -> MadeLink:
        """Make a link that signs a person of this name in with this role, once, within 15 minutes.

        Raises:
            InvalidName: the name cannot be.
        """
        name, token = parse_person(name), mint_token()

        async def work(tx: Transaction) -> MadeLink:
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
            return MadeLink(token, name, role, row.expires_at)

        return await self._database.run_tx(work)

    async def sign_in(self, token: str, *, instead_of: str | None = None) -> SignedIn:
        """Spend a link's token and begin a session; two that spend it at once get one session between them.

        Args:
            token: the link's token.
            instead_of: the cookie of a session that the same browser has; it ends.

        Raises:
            SignInLinkEnded: the link is unknown, was used, or is too old.
        """
        if not is_token(token):
            raise SignInLinkEnded
        # Anybody can send something like a token: that must not take the lock that changes wait for.
        if not await self._database.read(
            lambda connection: SignInLink.filter(digest=_link_digest(token)).using_db(connection).exists()
        ):
            raise SignInLinkEnded

        async def work(tx: Transaction) -> SignedIn:
            link = (
                await SignInLink.filter(digest=_link_digest(token)).using_db(tx.connection).select_for_update().first()
            )
            now = await tx.now()
            if link is None or not is_link_good(expires_at=link.expires_at, spent_at=link.spent_at, now=now):
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
            _log.info("signed in user=%r role=%s session=%d", link.name, link.role, row.id)
            return SignedIn(made, row.id)

        return await self._database.run_tx(work)

    async def find(self, token: str) -> Person | None:
        """Return who the cookie's session belongs to, or None where it is unknown or has ended.

        Asking counts as using the session. One that is seen to be over is over for ever.

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
        """Return a caller who signed in a while ago as it is now, the anonymous one unchanged.

        Asking counts as using the session.

        Raises:
            Unauthenticated: the secret or the session ended since.
            Unavailable: the database does not answer.
        """
        if caller.is_anonymous:
            return caller
        now = await self._database.now()
        snapshot = await self._database.read(lambda connection: CallerSnapshot.read(connection, [caller], now))
        judged = snapshot.evaluate(caller)
        if caller.session_id is not None:
            row = await self._database.read(
                lambda connection: Session.filter(id=caller.session_id).using_db(connection).first()
            )
            if row is not None:
                await self._is_in_use(row)
        return judged

    async def end(self, session_id: int) -> bool:
        """Sign out; return whether the session was good until now."""

        async def work(tx: Transaction) -> bool:
            now = await tx.now()
            row = await Session.filter(id=session_id).using_db(tx.connection).select_for_update().first()
            if row is None or row.ended_at is not None:
                return False
            was_good = is_good(row, now)
            row.ended_at = now
            await row.save(using_db=tx.connection, update_fields=["ended_at"])
            return was_good

        return await self._database.run_tx(work)

    async def _is_in_use(self, row: Session) -> bool:
        """Whether the session is good; write that it was used, or that it is over."""
        now = await self._database.now()
        if not is_good(row, now):
            await self._write_down("UPDATE session SET ended_at = ? WHERE id = ? AND ended_at IS NULL", now, row.id)
            return False
        if now - row.last_seen_at >= SEEN_PRECISION:
            await self._write_down("UPDATE session SET last_seen_at = ? WHERE id = ? AND ended_at IS NULL", now, row.id)
        return True

    async def _write_down(self, statement: str, now: datetime, *values: object) -> None:
        """Write what a session's use tells; the request goes on where the database is busy or cannot write."""

        async def work(tx: Transaction) -> int:
            return await tx.execute(statement, to_microseconds(now), *values)

        try:
            await self._database.run_tx(work)
        except (Conflict, Unavailable) as failure:
            _log.warning("a session's last use is not written: %s", failure)


def _link_digest(token: str) -> bytes:
    # 256 random bits need no key and no slow hash.
    return sha256_of_parts("sign-in link", token)


def _session_digest(token: str) -> bytes:
    return sha256_of_parts("session", token)
