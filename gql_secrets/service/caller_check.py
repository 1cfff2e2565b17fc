"""Evaluates signed-in callers again: for every change, and for streams that outlive a request."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from gql_secrets.domain.access import ActorKind, Caller, Role, parse_features, role_for_user, role_of
from gql_secrets.domain.errors import Forbidden, Unauthenticated
from gql_secrets.domain.identity import require_unexpired
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import SecretState, SecretStatus, evaluate
from gql_secrets.service.session_rows import is_valid
from gql_secrets.storage.change_rows import (
    CallerSecret,
    CallerSession,
    LockedRows,
    find_caller_secrets,
    find_caller_sessions,
)
from gql_secrets.storage.database import Database

_SECRET_ENDED = "The secret that you signed in with has ended."  # noqa: S105  a sentence
_SESSION_ENDED = "Your session has ended. Sign in again."


class SecretDue(Unauthenticated):
    """The caller's secret has expired and is not yet written EXPIRED."""

    def __init__(self, client_id: str) -> None:
        super().__init__(_SECRET_ENDED)
        self.client_id = client_id


class CallerSnapshot:
    """The secrets, features and sessions of callers, read at one moment."""

    def __init__(
        self, now: datetime, secrets: Mapping[int, CallerSecret], sessions: Mapping[int, CallerSession]
    ) -> None:
        self._now = now
        self._secrets = secrets
        self._sessions = sessions

    @classmethod
    async def read(cls, database: Database, callers: Iterable[Caller], now: datetime) -> "CallerSnapshot":
        """Read what is needed to evaluate these callers: at most two queries for any number of callers.

        Raises:
            Unavailable: the database does not answer.
        """
        callers = list(callers)
        secrets = await find_caller_secrets(database, {caller.secret_id for caller in callers} - {None})
        sessions = await find_caller_sessions(database, {caller.session_id for caller in callers} - {None})
        return cls(now, {row.id: row for row in secrets}, {row.id: row for row in sessions})

    @classmethod
    def of(cls, rows: LockedRows) -> "CallerSnapshot":
        """Return the snapshot of the one caller of a change."""
        secret, session = rows.caller_secret, rows.caller_session
        return cls(rows.now, {secret.id: secret} if secret else {}, {session.id: session} if session else {})

    def evaluate(self, caller: Caller) -> Caller:
        """Return the caller with its current role and the current state of its secret.

        Raises:
            Unauthenticated: the caller did not sign in, or its secret, session or access token has ended (SecretDue
                if the secret has expired and is not yet written EXPIRED).
            Forbidden: the client's allow list does not include the address that the caller signed in from (`reason`
                is `ADDRESS`), or the client may no longer act for this person (`ACTING_USER`).
        """
        if caller.is_anonymous:
            raise Unauthenticated
        require_unexpired(caller.expires_at, self._now)
        if caller.kind is ActorKind.API_CLIENT or caller.acting_client is not None:
            return self._evaluate_client(caller)
        return caller if caller.session_id is None else self._evaluate_person(caller, caller.session_id)

    def _evaluate_client(self, caller: Caller) -> Caller:
        row = None if caller.secret_id is None else self._secrets.get(caller.secret_id)
        if row is None:
            raise Unauthenticated(_SECRET_ENDED)
        match evaluate(SecretState(row.state), row.expires_at, enabled=row.enabled, now=self._now):
            case SecretStatus.DUE:
                raise SecretDue(row.client_id)
            case SecretStatus.ENDED | SecretStatus.DISABLED:
                raise Unauthenticated(_SECRET_ENDED)
            case SecretStatus.VALID:
                pass
        if row.networks is not None and not _is_allowed(row.networks, caller.address):
            raise Forbidden("This client may not call from this address.", reason="ADDRESS")
        features, state = parse_features(row.features), SecretState(row.state)
        if caller.acting_client is not None:
            return replace(caller, role=role_for_user(caller, features), secret_state=state)
        role = role_of(features)
        if (caller.role, caller.secret_state, caller.self_reset) == (role, state, row.self_reset):
            return caller
        return replace(caller, role=role, secret_state=state, self_reset=row.self_reset)

    def _evaluate_person(self, caller: Caller, session_id: int) -> Caller:
        row = self._sessions.get(session_id)
        if row is None or not is_valid(row, self._now):
            raise Unauthenticated(_SESSION_ENDED)
        return replace(caller, role=Role(row.role))


def _is_allowed(networks: tuple[str, ...], address: str | None) -> bool:
    return address is not None and bool(networks) and AllowList.parse(networks).allows(address)
