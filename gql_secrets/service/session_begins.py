"""The beginning of a session, as a part of a change whose caller is the person who signs in."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.sessions import SessionEndReason, mint_token
from gql_secrets.service.changes import Change
from gql_secrets.service.session_ends import end_sessions
from gql_secrets.service.session_rows import delete_old_sessions, session_digest
from gql_secrets.storage.models import Session

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A new session. `token`, the value of the cookie, is the only copy of its plaintext."""

    token: PlaintextSecret
    session_id: int


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody who signs in: who it is, and where the request came from.

    Attributes:
        identity: what tells people with the same name apart.
        name: the display name.
        role: the role of the session.
        address: the address of the request.
        request_id: the id of the request.
    """

    identity: str
    name: str
    role: Role
    address: str | None
    request_id: str | None

    def caller(self) -> Caller:
        """Return the person as the caller of the change with which the session begins."""
        return Caller(
            self.identity,
            ActorKind.USER,
            self.role,
            Surface.SIGN_IN,
            address=self.address,
            request_id=self.request_id,
            display_name=self.name,
        )


async def begin_session(
    change: Change,
    who: SignIn,
    columns: Mapping[str, object],
    *,
    replaced: Iterable[Session],
    link_number: int | None = None,
) -> NewSession:
    """Begin a session, and end those that it replaces.

    Args:
        change: the change, whose caller is `who.caller()`.
        who: the person.
        columns: what the row has in addition.
        replaced: the session that the same browser has, or none.
        link_number: the sign-in link that was used; None at an identity provider.
    """
    await end_sessions(change, replaced, SessionEndReason.REPLACED)
    await delete_old_sessions(change.tx, change.now)
    token = mint_token()
    row = await Session.create(
        using_db=change.connection,
        digest=session_digest(token.reveal()),
        name=who.name,
        role=who.role.value,
        created_at=change.now,
        last_seen_at=change.now,
        address=who.address,
        link_number=link_number,
        **columns,
    )
    await change.record(
        AuditAction.SIGNED_IN,
        link_number=link_number,
        session_number=row.id,
        person_name=who.name,
        person_role=who.role.value,
    )
    _log.info("signed_in", extra={"actor": change.caller.actor, "role": who.role.value, "session": row.id})
    return NewSession(token, row.id)
