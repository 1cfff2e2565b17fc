"""Who asks in tests: one caller of each kind, and the client callers that sign in with a secret."""

import asyncio
import contextlib
from dataclasses import dataclass

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface, parse_features, role_of
from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Accepted, Verdict
from gql_secrets.wiring import Services

ADMIN = Caller("ada", ActorKind.USER, Role.ADMIN, Surface.GRAPHQL, address="192.0.2.1", request_id="request-1")
OTHER_ADMIN = Caller("bob", ActorKind.USER, Role.ADMIN, Surface.GRAPHQL)
OPERATOR = Caller("olga", ActorKind.USER, Role.OPERATOR, Surface.GRAPHQL)
VIEWER = Caller("vera", ActorKind.USER, Role.VIEWER, Surface.GRAPHQL)
NOBODY = Caller("nobody", ActorKind.USER, None, Surface.GRAPHQL)
ANONYMOUS = Caller.anonymous(Surface.GRAPHQL)
CLI = Caller("cli:root", ActorKind.CLI, Role.ADMIN, Surface.CLI)

HARD = Retention(0)
DAY = Retention(24)
WEEK = Retention(168)


@dataclass(slots=True)
class Made:
    """A client that a test made, with its first secret."""

    id: str
    secret: str


async def verify(services: Services, client_id: str, secret: str, address: str = "198.51.100.7") -> Verdict:
    return await services.verifier.verify(client_id, secret, Source(address, "curl/8"))


async def is_good(services: Services, client_id: str, secret: str) -> bool:
    return isinstance(await verify(services, client_id, secret), Accepted)


async def use(services: Services, client_id: str, secret: str) -> None:
    """Use a secret for the first time, which is written: on a busy disk, after a while."""
    for _ in range(60):
        with contextlib.suppress(Unavailable):
            assert await is_good(services, client_id, secret)
            return
        await asyncio.sleep(0.5)
    raise Unavailable


async def sign_in(
    services: Services,
    client_id: str,
    secret: str,
    surface: Surface = Surface.GRAPHQL,
    address: str = "198.51.100.7",
) -> Caller:
    """The caller who sent this credential, as the authenticators return it."""
    accepted = await verify(services, client_id, secret, address)
    assert isinstance(accepted, Accepted)
    features = parse_features((await services.queries.features([client_id]))[client_id])
    return Caller(
        client_id,
        ActorKind.API_CLIENT,
        role_of(features),
        surface,
        address=address,
        secret_id=accepted.secret_id,
        secret_state=accepted.state,
        self_reset=accepted.self_reset,
    )
