"""Sessions that begin at an identity provider: their beginning, the looks at their role, and their end there."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Q

from gql_secrets.domain.access import Role, rank
from gql_secrets.domain.changes_pause import require_no_pause
from gql_secrets.domain.identity import CLOCK_LEEWAY, identity_at
from gql_secrets.domain.sessions import MAX_IDLE, MAX_SESSION, SessionEndReason, is_token
from gql_secrets.domain.sign_in import ProviderPerson, ProviderTokens, RoleSource, SignInProblem, SignInRefused
from gql_secrets.service.changes import Change, Changes
from gql_secrets.service.provider_log_outs import note_log_out, was_logged_out
from gql_secrets.service.sealing import seal, unseal
from gql_secrets.service.session_begins import NewSession, SignIn, begin_session
from gql_secrets.service.session_ends import end_sessions
from gql_secrets.service.session_rows import (
    is_valid,
    is_valid_but_for_role,
    session_digest,
)
from gql_secrets.storage.change_rows import read_locked
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import Session
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import ending

# A role is looked at again before it stops counting after ten minutes, so that nobody waits for it.
LOOK_AFTER: Final = timedelta(minutes=8)
# How long one node has for a look: twice as long as its requests to the provider can take, so that none of two nodes
# overwrites a newer refresh token.
CLAIM: Final = timedelta(seconds=60)
_WAIT_AFTER_FAILURE: Final = timedelta(seconds=30)
_BATCH: Final = 100
_PURPOSE: Final = "tokens of identity providers"


@dataclass(frozen=True, slots=True)
class Look:
    """A session whose role this node alone looks at now."""

    session_id: int
    issuer: str
    subject: str
    tokens: ProviderTokens


class ProviderSessions:
    """Begins, renews and ends sessions of people who sign in at an identity provider."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._database = changes.database

    async def begin(
        self,
        person: ProviderPerson,
        *,
        state_digest: bytes,
        started_at: datetime,
        instead_of: int | None = None,
        address: str | None = None,
        request_id: str | None = None,
    ) -> NewSession:
        """Begin a session.

        Args:
            person: who signed in.
            state_digest: the digest of the authorization's state, which begins one session.
            started_at: when the authorization began.
            instead_of: the session that the same browser has; it ends.
            address: the address that the request came from.
            request_id: the id of the request.

        Raises:
            SignInRefused: the person has no role here or was logged out in the meantime, or the state has begun a
                session before.
        """
        if person.role is None:
            raise SignInRefused(SignInProblem.ROLE)
        role, name = person.role, person.display_name or person.subject[:200]

        async def work(tx: Transaction) -> NewSession:
            rows = await read_locked(tx, None)
            if await Session.filter(state_digest=state_digest).using_db(tx.connection).exists():
                raise SignInRefused(SignInProblem.REPLAYED)
            if await was_logged_out(tx.connection, person, started_at):
                raise SignInRefused(SignInProblem.LOGGED_OUT)
            who = SignIn(identity_at(person.issuer, person.subject), name, role, address, request_id)
            change = Change(tx, rows.now, who.caller(), rows.installation, self._changes.pepper)
            columns = {
                "issuer": person.issuer,
                "subject": person.subject,
                "provider_session": person.provider_session,
                "looked_at": rows.now,
                "state_digest": state_digest,
            }
            before = Session.filter(id=instead_of).using_db(tx.connection)
            replaced = await before if instead_of is not None else ()
            return await begin_session(change, who, columns | self._sealed(person), replaced=replaced)

        return await self._database.run_tx(work)

    async def find_renewable(self, token: str) -> tuple[int, str] | None:
        """Return the number and the issuer of the session with this cookie, if only its role is no longer confirmed.

        Such a session has no tokens; a silent sign-in renews it.
        """
        row = await self._find(token)
        if row is None or row.issuer is None or row.tokens is not None:
            return None
        return (row.id, row.issuer) if is_valid_but_for_role(row, await self._database.now()) else None

    async def renew(self, person: ProviderPerson, *, session_id: int, state_digest: bytes) -> None:
        """Let a session go on after a silent sign-in; its longest time counts from its beginning.

        Raises:
            SignInRefused: it is the session of another person, has ended, or the person lost the role.
        """

        async def work(tx: Transaction) -> None:
            rows = await read_locked(tx, None)
            row = await Session.filter(id=session_id).using_db(tx.connection).first()
            if row is None or (row.issuer, row.subject) != (person.issuer, person.subject):
                raise SignInRefused(SignInProblem.EXPIRED)
            if not is_valid_but_for_role(row, rows.now):
                raise SignInRefused(SignInProblem.EXPIRED)
            if row.state_digest == state_digest:
                raise SignInRefused(SignInProblem.REPLAYED)
            if rank(person.role) < rank(Role(row.role)):
                # Ended below, in a transaction of its own: this one writes nothing.
                raise SignInRefused(SignInProblem.ROLE)
            found = {"tokens": None, "tokens_key_id": None} | self._found(person)
            changed = Session.filter(id=session_id).using_db(tx.connection)
            await changed.update(
                looked_at=rows.now, look_failed_at=None, last_seen_at=rows.now, state_digest=state_digest, **found
            )

        try:
            await self._database.run_tx(work)
        except SignInRefused as refused:
            if refused.problem is SignInProblem.ROLE:
                await self._end(session_id, SessionEndReason.ROLE_LOST)
            raise

    # The looks at the role

    async def due_for_look(self) -> list[int]:
        """Return the sessions whose role must be looked at now, the longest overdue first."""
        now = await self._database.now()

        def micros(ago: timedelta) -> int:
            return to_microseconds(now - ago)

        rows = await self._database.fetch(
            """
            SELECT id FROM session
            WHERE tokens IS NOT NULL AND ended_at IS NULL AND looked_at <= ? AND created_at > ? AND last_seen_at > ?
                AND (look_claimed_until IS NULL OR look_claimed_until <= ?)
                AND (look_failed_at IS NULL OR look_failed_at <= ?)
            ORDER BY looked_at LIMIT ?
            """,
            [
                micros(LOOK_AFTER),
                micros(MAX_SESSION),
                micros(MAX_IDLE),
                micros(timedelta()),
                micros(_WAIT_AFTER_FAILURE),
                _BATCH,
            ],
        )
        return [row["id"] for row in rows]

    async def find_role(self, token: str) -> tuple[int, bool] | None:
        """Return the number of the session with this cookie, and whether its role counts now.

        Where it does not, a look makes the session valid. None if the session is not valid, and no look changes that.
        """
        row = await self._find(token)
        if row is None or row.looked_at is None:
            return None
        now = await self._database.now()
        if is_valid(row, now):
            return row.id, True
        is_waiting = row.look_failed_at is not None and now < row.look_failed_at + _WAIT_AFTER_FAILURE
        can_look = row.tokens is not None and not is_waiting and is_valid_but_for_role(row, now)
        return (row.id, False) if can_look else None

    async def claim_look(self, session_id: int) -> Look | None:
        """Return the session for a look that no other node makes at the same time, or has made; None if one has."""

        async def work(tx: Transaction) -> Session | None:
            now = await tx.now()
            claimed = await tx.execute(
                "UPDATE session SET look_claimed_until = ? WHERE id = ? AND tokens IS NOT NULL AND ended_at IS NULL "
                "AND (look_claimed_until IS NULL OR look_claimed_until <= ?) AND looked_at <= ? "
                "AND (look_failed_at IS NULL OR look_failed_at <= ?)",
                to_microseconds(now + CLAIM),
                session_id,
                to_microseconds(now),
                to_microseconds(now - LOOK_AFTER),
                to_microseconds(now - _WAIT_AFTER_FAILURE),
            )
            return await Session.filter(id=session_id).using_db(tx.connection).first() if claimed else None

        row = await self._database.run_tx(work)
        if row is None or row.issuer is None or row.subject is None:
            return None
        tokens = self._unsealed(row)
        if tokens is None:  # another pepper
            await self.forget_tokens(session_id)
            return None
        return Look(row.id, row.issuer, row.subject, tokens)

    async def confirm(self, look: Look, person: ProviderPerson) -> None:
        """Write what a look found: the role counts for another ten minutes, or the session ends.

        A role that became more powerful counts from the next sign-in.
        """

        async def work(tx: Transaction) -> bool:
            row = await Session.filter(id=look.session_id, ended_at=None).using_db(tx.connection).first()
            if row is None:
                return True
            if rank(person.role) < rank(Role(row.role)):
                return False
            changed = Session.filter(id=look.session_id, ended_at=None).using_db(tx.connection)
            await changed.update(
                looked_at=await tx.now(), look_failed_at=None, look_claimed_until=None, **self._found(person)
            )
            return True

        if not await self._database.run_tx(work):
            await self._end(look.session_id, SessionEndReason.ROLE_LOST)

    async def record_failure(self, look: Look) -> None:
        """Write that the provider did not answer: the role counts for at most 60 minutes after the last look.

        The tokens of `look` are those of the next one.
        """

        async def work(tx: Transaction) -> None:
            changed = Session.filter(id=look.session_id, ended_at=None).using_db(tx.connection)
            await changed.update(look_failed_at=await tx.now(), look_claimed_until=None, **self._sealed(look))

        await self._database.run_tx(work)

    async def forget_tokens(self, session_id: int) -> None:
        """Delete the tokens of a session, which no longer show a role: it ends ten minutes after the last look."""

        async def work(tx: Transaction) -> None:
            changed = Session.filter(id=session_id).using_db(tx.connection)
            await changed.update(tokens=None, tokens_key_id=None, look_failed_at=None, look_claimed_until=None)

        await self._database.run_tx(work)

    async def end_look(self, look: Look) -> None:
        """End the session: the provider no longer renews its sign-in."""
        await self._end(look.session_id, SessionEndReason.PROVIDER_ENDED)

    # Signing out at the provider

    async def issuer_of(self, session_id: int) -> str | None:
        """Return the identity provider where this session began; None for a sign-in link."""

        async def read(connection: BaseDBAsyncClient) -> Session | None:
            return await Session.filter(id=session_id).using_db(connection).first()

        row = await self._database.read(read)
        return row.issuer if row else None

    async def sign_out_unconfirmed(self, token: str) -> int | None:
        """End the session with this cookie if only its role is not confirmed; return its number, None if it is another.

        Nobody is signed in with it now, so the actor is `system`; a later look would have made it valid again.
        """
        row = await self._find(token)
        if row is None or not is_valid_but_for_role(row, await self._database.now()):
            return None
        session_id: int = row.id
        await self._end(session_id, SessionEndReason.SIGNED_OUT)
        return session_id

    async def end_at_provider(
        self, issuer: str, *, subject: str | None, provider_session: str | None, issued_at: datetime
    ) -> int:
        """End the sessions that a provider's log-out names; return how many were valid until now.

        Args:
            issuer: the provider.
            subject: the person; None if it names a session only.
            provider_session: the provider's session; None for all of the person.
            issued_at: when the provider logged the person out: what began later stays.
        """
        named = Q()
        if subject is not None:
            named &= Q(subject=subject)
        if provider_session is not None:
            # Of a session whose ID token named none, the person is all that is known.
            named &= Q(provider_session=provider_session) | Q(provider_session=None, subject=subject or "")

        async def work(change: Change) -> int:
            # A log-out that is only noted has no event, and a copy of the database would not have it either.
            require_no_pause(change.installation.changes_pause, change.installation.paused_until, change.now)
            await note_log_out(
                change.connection, issuer, subject=subject, provider_session=provider_session, now=change.now
            )
            # A session that began a little after that, by the database's clock, may be older.
            rows = await Session.filter(
                named, issuer=issuer, ended_at=None, created_at__lte=issued_at + CLOCK_LEEWAY
            ).using_db(change.connection)
            return await end_sessions(change, rows, SessionEndReason.PROVIDER_ENDED)

        with ending():
            return await self._changes.change_installation_as_system(work)

    async def _find(self, token: str) -> Session | None:
        if not is_token(token):
            return None
        return await self._database.read(
            lambda connection: Session.filter(digest=session_digest(token)).using_db(connection).first()
        )

    async def _end(self, session_id: int, reason: SessionEndReason) -> None:
        async def work(change: Change) -> None:
            rows = await Session.filter(id=session_id, ended_at=None).using_db(change.connection)
            await end_sessions(change, rows, reason)

        with ending():
            await self._changes.change_installation_as_system(work)

    def _found(self, person: ProviderPerson) -> dict[str, object]:
        """Return what an answer of the provider changes in the row: the tokens, and its session where it names one."""
        named = {} if person.provider_session is None else {"provider_session": person.provider_session}
        return named | self._sealed(person)

    def _sealed(self, holder: ProviderPerson | Look) -> dict[str, object]:
        if holder.tokens is None:
            return {}
        content = json.dumps(asdict(holder.tokens)).encode()
        key_id, sealed = seal(content, self._changes.pepper, purpose=_PURPOSE, context=_context(holder))
        return {"tokens": sealed, "tokens_key_id": key_id}

    def _unsealed(self, row: Session) -> ProviderTokens | None:
        content = unseal(
            row.tokens_key_id or "",
            bytes(row.tokens or b""),
            self._changes.pepper,
            purpose=_PURPOSE,
            context=_context(row),
        )
        if content is None:
            return None
        values = json.loads(content)
        return ProviderTokens(values["access"], values["refresh"], RoleSource(values["role_source"]))


def _context(holder: ProviderPerson | Look | Session) -> str:
    return f"{holder.issuer} {holder.subject}"
