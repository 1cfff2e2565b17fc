"""Scripts written for the documented reset_secret call run unchanged."""

import asyncio
import base64
import json
import re
from typing import Any

from aiohttp.test_utils import TestClient
from support.callers import Made, is_good, sign_in
from support.clients_api import HOURS_REASON, CallClients, audit_of, on_sqlite
from support.clocks import HOUR, MICROSECOND, Clock
from support.secrets import is_well_formed

from gql_secrets.domain.access import Surface
from gql_secrets.service.pages import PageRequest
from gql_secrets.wiring import Services


async def test_the_documented_curl_command_resets_smoothly(
    api: TestClient[Any, Any], services: Services, owner: Made, client: Made
) -> None:
    encoded = base64.b64encode(f"{owner.id}:{owner.secret}".encode()).decode()
    curl = await asyncio.create_subprocess_exec(
        "curl",
        "--silent",
        "--noproxy",
        "*",
        "-X",
        "POST",
        "-H",
        f"Authorization: Basic {encoded}",
        "--data-urlencode",
        f"for_client_id={client.id}",
        "--data-urlencode",
        "hours_to_live=24",
        str(api.make_url("/clients/reset_secret")),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await curl.communicate()
    answer = json.loads(printed)
    assert answer.keys() == {"new_secret", "stat"}
    assert answer["stat"] == "ok"
    assert is_well_formed(answer["new_secret"])
    assert await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, answer["new_secret"])


@on_sqlite
async def test_320_hours_return_the_documented_error(call_clients: CallClients, client: Made) -> None:
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "320"})
    request_id = answer.fields.pop("request_id")
    assert re.fullmatch(r"[2-9abcdefghjkmnpqrstuvwxyz]{16}", request_id)
    assert answer.fields == {
        "argument_name": "hours_to_live",
        "code": 200,
        "error_description": HOURS_REASON,
        "error": "invalid_argument",
        "stat": "error",
    }
    assert answer.status == 200


async def test_the_grace_period_is_exact(
    call_clients: CallClients, services: Services, client: Made, clock: Clock
) -> None:
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "168"})
    clock.move(168 * HOUR - MICROSECOND)
    assert await is_good(services, client.id, client.secret)
    clock.move(MICROSECOND)
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, answer.fields["new_secret"])


async def test_zero_hours_end_the_old_secret_immediately(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "0"})
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, answer.fields["new_secret"])


async def test_a_reset_overrides_an_active_rollover_and_the_audit_says_what_it_ended(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    first = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert await is_good(services, client.id, first.fields["new_secret"])
    second = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, first.fields["new_secret"])
    assert await is_good(services, client.id, second.fields["new_secret"])
    [*_, event] = await audit_of(services, client.id)
    assert (event.action, event.surface) == ("SECRET_RESET", "CLIENTS_API")
    assert [ended.reason for ended in event.ended_secrets] == ["DISPLACED"]


async def test_an_event_with_the_surfaces_former_name_is_one_of_this_surface(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    """Its hash covers the stored name, so the row keeps it."""
    await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    await services.database.run_tx(
        lambda tx: tx.execute("UPDATE audit_event SET surface = 'CAPTURE' WHERE surface = 'CLIENTS_API'")
    )
    page = await services.queries.page_of_audit_events(PageRequest(first=9), surface=Surface.CLIENTS_API)
    assert [event.surface for event in page.rows] == ["CAPTURE"]
    assert Surface("CAPTURE") is Surface.CLIENTS_API


async def test_a_reset_in_a_rollover_spares_the_old_secret_while_the_new_one_is_unused(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    """A script that runs twice must not cut off the application that has not got the first new secret."""
    first = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    second = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert await is_good(services, client.id, client.secret)
    assert not await is_good(services, client.id, first.fields["new_secret"])
    assert await is_good(services, client.id, second.fields["new_secret"])


async def test_response_header_and_audit_have_the_same_request_id(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    answer = await call_clients("set_description", {"for_client_id": client.id, "description": "Till"})
    [*_, event] = await audit_of(services, client.id)
    assert event.request_id == answer.headers["X-Request-Id"]
    assert event.address == "127.0.0.1"
    refused = await call_clients("reset_secret", {"for_client_id": client.id})
    assert refused.fields["request_id"] == refused.headers["X-Request-Id"] != event.request_id


KEY = {"Idempotency-Key": "4b1c9a7e-2f63-4a0b-9f3e-1f6f0a6f2c11"}


async def test_the_same_idempotency_key_gives_the_same_secret_again(
    call_clients: CallClients, services: Services, client: Made
) -> None:
    arguments = {"for_client_id": client.id, "hours_to_live": "24"}
    first = await call_clients("reset_secret", arguments, headers=KEY)
    again = await call_clients("reset_secret", arguments, headers=KEY)
    assert first.fields == again.fields
    assert await is_good(services, client.id, client.secret)
    assert len(await audit_of(services, client.id)) == 2


async def test_the_same_idempotency_key_for_another_reset_is_refused(call_clients: CallClients, client: Made) -> None:
    await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"}, headers=KEY)
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "25"}, headers=KEY)
    assert answer.error == (200, "invalid_argument", "Idempotency-Key")


@on_sqlite
async def test_an_invalid_idempotency_key_is_refused(call_clients: CallClients, client: Made) -> None:
    arguments = {"for_client_id": client.id, "hours_to_live": "24"}
    answer = await call_clients("reset_secret", arguments, headers={"Idempotency-Key": "short"})
    assert answer.error == (200, "invalid_argument", "Idempotency-Key")


async def test_graphql_and_the_clients_api_see_the_same_rollover(
    call_clients: CallClients, services: Services, owner: Made, client: Made
) -> None:
    await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    caller = await sign_in(services, owner.id, owner.secret)
    revoked = await services.rotation.revoke_old_secret(client.id, by=caller)
    assert not revoked.already_ended
    assert not await is_good(services, client.id, client.secret)
