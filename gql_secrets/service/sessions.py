"""People sign in with a link that works once, and stay signed in with a session."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from gql_secrets.domain.access import (
    ActorKind,
    Caller,
    Role,
    identity_of_link,
    is_current_admin,
    require_current_admin,
    require_role,
)
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.credentials import PlaintextSecret, sha256_of_parts
from gql_secrets.domain.errors import BadRequest, Conflict, Forbidden, SignInLinkEnded, Unauthenticated, Unavailable
from gql_secrets.domain.sessions import (
    LINK_LIFETIME,
    SEEN_PRECISION,
    SessionEndReason,
    SessionNotFound,
    is_link_valid,
    is_token,
    mint_token,
    parse_person,
)
from gql_secrets.service.caller_check import CallerSnapshot
from gql_secrets.service.changes import Change, Changes
from gql_secrets.service.session_begins import NewSession, SignIn, begin_session
from gql_secrets.service.session_ends import end_sessions, void_links
from gql_secrets.service.session_rows import (
    KEPT,
    actor_of,
    identity_of,
    is_valid,
    is_valid_but_for_role,
    session_digest,
    valid_at,
)
from gql_secrets.storage.change_rows import read_locked
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import Session, SignInLink
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import ending

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewSignInLink:
    """A new sign-in link. `token` is the only copy of its plaintext."""

    token: PlaintextSecret
    number: int
    name: str
    role: Role
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """The person of a valid session; `identity` tells people with the same name apart."""

    session_id: int
    name: str
    role: Role
    identity: str


class Sessions:
    """Signs people in and out, and finds their sessions.

    Creating a link, using it, and the end of a session before its time are changes: each has an audit event, and holds
    the lock of the installation's row.
    """

    def __init__(self, changes: Changes, *, links_only_from_cli: bool = False) -> None:
        """Change sessions through `changes`.

        Args:
            changes: runs each change.
            links_only_from_cli: refuses sign-in links of everyone but the command line.
        """
        self._changes = changes
        self._database = changes.database
        self._links_only_from_cli = links_only_from_cli

    def may_create_link(self, caller: Caller) -> bool:
        """Return whether the caller may create sign-in links."""
        return is_current_admin(caller) and (caller.kind is ActorKind.CLI or not self._links_only_from_cli)

    async def create_sign_in_link(self, name: str, role: Role, *, by: Caller) -> NewSignInLink:
        """Create a link that signs a person in with this name and role, once, within 15 minutes.

        The link, and the session that begins with it, end if the secret or session of the caller ends before its time.

        Raises:
            InvalidName: the name is empty, too long, or has control characters.
            Forbidden: the caller is not ADMIN, or signed in with an old secret; or only the command line may create
                links (`reason` is `SIGN_IN_LINKS`).
        """
        require_role(by, Role.ADMIN)
        if self._links_only_from_cli and by.kind is not ActorKind.CLI:
            raise Forbidden(
                "This server does not create sign-in links. Create one on its machine: gql-secrets sign-in-link",
                reason="SIGN_IN_LINKS",
            )
        name, token = parse_person(name), mint_token()

        async def work(change: Change) -> NewSignInLink:
            require_current_admin(change.caller)
            now, caller = change.now, change.caller
            await change.tx.execute("DELETE FROM sign_in_link WHERE expires_at < ?", to_microseconds(now - KEPT))
            maker = await Session.filter(id=caller.session_id or 0).using_db(change.connection).first()
            row = await SignInLink.create(
                using_db=change.connection,
                digest=_link_digest(token.reveal()),
                name=name,
                role=role.value,
                created_at=now,
                expires_at=now + LINK_LIFETIME,
                created_by=caller.actor,
                created_by_name=caller.display_name,
                maker_secret_id=maker.maker_secret_id if maker else caller.secret_id,
                maker_session_id=caller.session_id,
            )
            await change.record(
                AuditAction.SIGN_IN_LINK_CREATED, link_number=row.id, person_name=name, person_role=row.role
            )
            return NewSignInLink(token, row.id, name, role, row.expires_at)

        return await self._changes.change_installation(by, work)

    async def sign_in(
        self, token: str, *, instead_of: str | None = None, address: str | None = None, request_id: str | None = None
    ) -> NewSession:
        """Use a sign-in link and begin a session. If two requests use it at the same time, one of them is refused.

        Args:
            token: the link's token.
            instead_of: the cookie of the session that the same browser has; that session ends.
            address: the address that the request came from.
            request_id: the id of the request.

        Raises:
            SignInLinkEnded: the link is unknown, was used or voided, or has expired.
        """
        if not is_token(token):
            raise SignInLinkEnded
        # Anyone can send a text like a token: that must not take the lock that changes wait for.
        if not await self._database.read(
            lambda connection: SignInLink.filter(digest=_link_digest(token)).using_db(connection).exists()
        ):
            raise SignInLinkEnded

        async def work(tx: Transaction) -> NewSession:
            rows = await read_locked(tx, None)
            now = rows.now
            link = await SignInLink.filter(digest=_link_digest(token)).using_db(tx.connection).first()
            if link is None or not _is_valid_link(link, now):
                raise SignInLinkEnded
            link.spent_at = now
            await link.save(using_db=tx.connection, update_fields=["spent_at"])
            who = SignIn(identity_of_link(link.id), link.name, Role(link.role), address, request_id)
            change = Change(tx, now, who.caller(), rows.installation, self._changes.pepper)
            return await begin_session(
                change,
                who,
                {"maker_secret_id": link.maker_secret_id, "maker_session_id": link.maker_session_id},
                replaced=await _sessions_of(instead_of, change),
                link_number=link.id,
            )

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
            lambda connection: Session.filter(digest=session_digest(token)).using_db(connection).first()
        )
        if row is None or row.ended_at is not None:
            return None
        if not await self._is_in_use(row):
            return None
        return Person(row.id, row.name, Role(row.role), identity_of(row))

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

    async def sign_out(self, by: Caller) -> bool:
        """End the caller's own session, and what comes from it; return whether it was valid until now."""
        if by.session_id is None:
            return False

        async def work(change: Change) -> int:
            rows = await Session.filter(id=by.session_id).using_db(change.connection)
            return await end_sessions(change, rows, SessionEndReason.SIGNED_OUT)

        try:
            return await self._end(by, work) > 0
        except Unauthenticated:
            return False

    async def end(self, session_id: int, *, by: Caller) -> bool:
        """End a session, and what comes from it; return whether it was valid until now.

        Raises:
            SessionNotFound: there is no such session.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """

        async def work(change: Change) -> int:
            require_current_admin(change.caller)
            rows = await Session.filter(id=session_id).using_db(change.connection)
            if not rows:
                raise SessionNotFound
            return await end_sessions(change, rows, SessionEndReason.ENDED_BY_ADMIN)

        return await self._end(by, work) > 0

    async def end_all_of(self, actor: str, *, by: Caller) -> int:
        """End every session of one person, named as in the audit log; return how many were valid until now.

        Raises:
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """

        async def work(change: Change) -> int:
            require_current_admin(change.caller)
            rows = await Session.filter(ended_at=None).using_db(change.connection)
            theirs = [row for row in rows if actor_of(row) == actor]
            return await end_sessions(change, theirs, SessionEndReason.ENDED_BY_ADMIN)

        return await self._end(by, work)

    async def end_all(self, *, by: Caller) -> tuple[int, int]:
        """End every session and void every unspent link; return how many of each.

        Raises:
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """

        async def work(change: Change) -> tuple[int, int]:
            require_current_admin(change.caller)
            voided = await void_links(change, await SignInLink.filter(spent_at=None).using_db(change.connection))
            rows = await Session.filter(ended_at=None).using_db(change.connection)
            return await end_sessions(change, rows, SessionEndReason.ENDED_BY_ADMIN), voided

        return await self._end(by, work)

    async def void_link(self, number: int, *, by: Caller) -> bool:
        """Void an unspent sign-in link; return whether it was valid until now.

        Raises:
            BadRequest: there is no such link.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """

        async def work(change: Change) -> int:
            require_current_admin(change.caller)
            rows = await SignInLink.filter(id=number).using_db(change.connection)
            if not rows:
                raise BadRequest("There is no sign-in link with this number.", argument="link_number")
            return await void_links(change, rows)

        return await self._end(by, work) > 0

    async def valid_sessions(self) -> list[Session]:
        """Return the sessions that are valid now, oldest first."""
        now = await self._database.now()
        return await self._database.read(
            lambda connection: Session.filter(valid_at(now)).using_db(connection).order_by("id")
        )

    async def unspent_links(self) -> list[SignInLink]:
        """Return the sign-in links that are valid now, oldest first."""
        now = await self._database.now()
        rows = await self._database.read(
            lambda connection: SignInLink.filter(spent_at=None, expires_at__gt=now).using_db(connection).order_by("id")
        )
        return [row for row in rows if _is_valid_link(row, now)]

    async def _end(self, by: Caller, work: Callable[[Change], Awaitable[T]]) -> T:
        with ending():
            return await self._changes.change_installation(by, work)

    async def _is_in_use(self, row: Session) -> bool:
        """Return whether the session is valid; write that it was used, or that it ended."""
        now = await self._database.now()
        if not is_valid_but_for_role(row, now):
            await self._write_down("UPDATE session SET ended_at = ? WHERE id = ? AND ended_at IS NULL", now, row.id)
            return False
        if not is_valid(row, now):  # its identity provider may confirm the role again
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


async def _sessions_of(cookie: str | None, change: Change) -> list[Session]:
    """Return the session with this cookie, if there is one."""
    if cookie is None or not is_token(cookie):
        return []
    return await Session.filter(digest=session_digest(cookie)).using_db(change.connection)


def _is_valid_link(link: SignInLink, now: datetime) -> bool:
    return is_link_valid(expires_at=link.expires_at, spent_at=link.spent_at, voided_at=link.voided_at, now=now)


def _link_digest(token: str) -> bytes:
    # 256 random bits need neither a key nor a slow hash.
    return sha256_of_parts("sign-in link", token)
