"""An allow list holds for callers who signed in before it changed, as the end of a secret or of a role does."""

from typing import Any

import pytest
from support.callers import ADMIN, HARD, Made, sign_in
from support.sockets import Socket, open_socket, until

from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import Caller
from gql_secrets.domain.errors import Forbidden
from gql_secrets.wiring import Services

ELSEWHERE = ("192.0.2.0/24",)
HERE_TOO = (*ELSEWHERE, "127.0.0.0/8", "::1")
CREATE = 'mutation { createClient(name: "another owner", features: [OWNER]) { secret userErrors { code } } }'


async def move(services: Services, client: Made, networks: tuple[str, ...] = ELSEWHERE) -> None:
    await services.clients.update_client(client.id, by=ADMIN, allow_list=networks)


def reasons(errors: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(error["extensions"]["code"], error["extensions"].get("reason", "")) for error in errors]


@pytest.fixture
async def moved(services: Services, owner: Made) -> Caller:
    """The owner as it signed in, from an address that its allow list included until now."""
    caller = await sign_in(services, owner.id, owner.secret)
    await move(services, owner)
    return caller


async def test_an_open_socket_is_refused_its_next_operation(api: Any, services: Services, owner: Made) -> None:
    async with open_socket(api) as socket:
        await socket.initialise(owner)
        await move(services, owner)
        await socket.subscribe(CREATE)
        assert reasons(await socket.errors()) == [("FORBIDDEN", "ADDRESS")]


async def test_an_open_stream_ends_within_a_second(api: Any, services: Services, owner: Made) -> None:
    async with open_socket(api) as socket:
        await socket.initialise(owner)
        await socket.subscribe("subscription { clientEvents { kind } }")
        await until(lambda: len(api.app[SERVICES].feed._streams) == 1)
        await move(services, owner)
        assert reasons(await _errors_after_events(socket)) == [("FORBIDDEN", "ADDRESS")]


async def test_a_list_that_includes_the_address_changes_nothing(api: Any, services: Services, owner: Made) -> None:
    async with open_socket(api) as socket:
        await socket.initialise(owner)
        await move(services, owner, HERE_TOO)
        answer = await socket.answer(CREATE)
        assert answer["data"]["createClient"]["secret"]


async def test_a_change_evaluates_the_address_in_its_own_transaction(
    services: Services, client: Made, moved: Caller
) -> None:
    with pytest.raises(Forbidden) as refused:
        await services.rotation.reset_secret(client.id, HARD, by=moved)
    assert refused.value.reason == "ADDRESS"


async def _errors_after_events(socket: Socket) -> list[dict[str, Any]]:
    while (message := await socket.receive())["type"] == "next":
        pass
    assert message["type"] == "error"
    errors: list[dict[str, Any]] = message["payload"]
    return errors
