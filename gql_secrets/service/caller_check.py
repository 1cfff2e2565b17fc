"""Evaluates signed-in callers again: for every change, and for streams that outlive a request."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.access import ActorKind, Caller, Role, parse_features, role_of
from gql_secrets.domain.errors import Forbidden, Unauthenticated
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import SecretState, SecretStatus, evaluate
from gql_secrets.domain.sessions import is_session_valid
from gql_secrets.storage.models import ClientFeature, ClientNetwork, ClientSecret, Session

_SECRET_ENDED = "The secret that you signed in with has ended."  # noqa: S105  a sentence
_SESSION_ENDED = "Your session has ended. Sign in again."


class SecretDue(Unauthenticated):
    """The caller's secret has expired and is not yet written EXPIRED."""

    def __init__(self, client_id: str) -> None:
        super().__init__(_SECRET_ENDED)
        self.client_id = client_id


class CallerSnapshot:
    """The secrets, features and sessions of callers, read at one moment: three queries for any number of callers."""

    def __init__(
        self,
        now: datetime,
        secrets: Mapping[int, ClientSecret],
        features: Mapping[str, list[str]],
        sessions: Mapping[int, Session],
        networks: Mapping[str, list[str]],
    ) -> None:
        self._now = now
        self._secrets = secrets
        self._features = features
        self._sessions = sessions
        self._networks = networks

    @classmethod
    async def read(cls, connection: BaseDBAsyncClient, callers: Iterable[Caller], now: datetime) -> "CallerSnapshot":
        """Read what is needed to evaluate these callers."""
        callers = list(callers)
        secret_ids = {caller.secret_id for caller in callers} - {None}
        session_ids = {caller.session_id for caller in callers} - {None}
        secrets: dict[int, ClientSecret] = {}
        features: dict[str, list[str]] = {}
        sessions: dict[int, Session] = {}
        networks: dict[str, list[str]] = {}
        if secret_ids:
            rows = await ClientSecret.filter(id__in=list(secret_ids)).using_db(connection).select_related("client")
            secrets = {row.id: row for row in rows}
            client_ids = {row.client_id for row in rows}
            for each in await ClientFeature.filter(client_id__in=list(client_ids)).using_db(connection):
                features.setdefault(each.client_id, []).append(each.feature)
            restricted = {row.client_id for row in rows if row.client.is_restricted}
            if restricted:
                for network in await ClientNetwork.filter(client_id__in=list(restricted)).using_db(connection):
                    networks.setdefault(network.client_id, []).append(network.network)
        if session_ids:
            sessions = {row.id: row for row in await Session.filter(id__in=list(session_ids)).using_db(connection)}
        return cls(now, secrets, features, sessions, networks)

    def evaluate(self, caller: Caller) -> Caller:
        """Return the caller with its current role and the current state of its secret.

        Raises:
            Unauthenticated: the caller did not sign in, or its secret or session has ended (SecretDue if the secret
                has expired and is not yet written EXPIRED).
            Forbidden: the client's allow list does not include the address that the caller signed in from; `reason`
                is `ADDRESS`.
        """
        if caller.is_anonymous:
            raise Unauthenticated
        if caller.kind is ActorKind.API_CLIENT:
            return self._evaluate_client(caller)
        return caller if caller.session_id is None else self._evaluate_person(caller, caller.session_id)

    def _evaluate_client(self, caller: Caller) -> Caller:
        row = None if caller.secret_id is None else self._secrets.get(caller.secret_id)
        if row is None:
            raise Unauthenticated(_SECRET_ENDED)
        match evaluate(SecretState(row.state), row.expires_at, enabled=row.client.enabled, now=self._now):
            case SecretStatus.DUE:
                raise SecretDue(row.client_id)
            case SecretStatus.ENDED | SecretStatus.DISABLED:
                raise Unauthenticated(_SECRET_ENDED)
            case SecretStatus.VALID:
                pass
        if row.client.is_restricted and not self._is_allowed(row.client_id, caller.address):
            raise Forbidden("This client may not call from this address.", reason="ADDRESS")
        role = role_of(parse_features(self._features.get(row.client_id, ())))
        return replace(caller, role=role, secret_state=SecretState(row.state))

    def _is_allowed(self, client_id: str, address: str | None) -> bool:
        networks = self._networks.get(client_id)
        return address is not None and networks is not None and AllowList.parse(networks).allows(address)

    def _evaluate_person(self, caller: Caller, session_id: int) -> Caller:
        row = self._sessions.get(session_id)
        if row is None or not is_valid(row, self._now):
            raise Unauthenticated(_SESSION_ENDED)
        return replace(caller, role=Role(row.role))


def is_valid(session: Session, now: datetime) -> bool:
    """Return whether this session is valid at `now`."""
    return is_session_valid(
        created_at=session.created_at, last_seen_at=session.last_seen_at, ended_at=session.ended_at, now=now
    )
