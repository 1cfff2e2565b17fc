"""Which credentials callers of /clients may send, and who may call."""

import json
from collections.abc import Awaitable, Callable

import pytest
from support.callers import ADMIN, DAY, Made
from support.clients_api import CALLS, NOT_ALLOWED, Answer, CallClients, on_sqlite
from support.installation import MakeClient

from gql_secrets.wiring import Services


@on_sqlite
async def test_the_form_may_carry_the_credentials(call_clients: CallClients, owner: Made) -> None:
    """As a public client library sends them."""
    form = {"client_id": owner.id, "client_secret": owner.secret}
    assert (await call_clients("list", form, as_=None)).fields["stat"] == "ok"
    assert (await call_clients("list", form)).fields["stat"] == "ok"


@on_sqlite
@pytest.mark.parametrize("name", ["unknown client", "wrong secret", "half a form", "not Basic", "two that differ"])
async def test_all_invalid_credentials_get_the_same_answer(
    call_clients: CallClients, owner: Made, client: Made, name: str
) -> None:
    calls: dict[str, Callable[[], Awaitable[Answer]]] = {
        "unknown client": lambda: call_clients("list", as_=Made("nobody", owner.secret)),
        "wrong secret": lambda: call_clients("list", as_=Made(owner.id, owner.secret + "x")),
        "half a form": lambda: call_clients("list", {"client_id": owner.id}, as_=None),
        "not Basic": lambda: call_clients("list", as_=None, headers={"Authorization": "Basic !"}),
        "two that differ": lambda: call_clients("list", {"client_id": client.id, "client_secret": client.secret}),
    }
    answer = await calls[name]()
    assert answer.error == (402, "invalid_client_credentials", None)
    assert answer.fields["error_description"] == "the client id or the client secret is not valid"


@on_sqlite
async def test_without_credentials_the_error_says_how_to_send_them(call_clients: CallClients) -> None:
    answer = await call_clients("list", as_=None)
    assert answer.error == (402, "invalid_client_credentials", None)
    assert "Basic" in answer.fields["error_description"]


@on_sqlite
@pytest.mark.parametrize("scheme", ["Signature", "OAuth", "Bearer"])
async def test_signatures_and_tokens_are_refused_by_name(call_clients: CallClients, owner: Made, scheme: str) -> None:
    """A signature is keyed with the plain secret, which nobody here has."""
    answer = await call_clients("list", as_=None, headers={"Authorization": f"{scheme} {owner.id}:c2lnbmF0dXJl"})
    assert answer.error == (205, "invalid_auth_method", None)
    assert answer.fields["error_description"] == "request used an http auth method other than Basic or OAuth"


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
async def test_credentials_in_the_query_string_are_refused_even_with_valid_ones_in_the_header(
    call_clients: CallClients, owner: Made, method: str, name: str
) -> None:
    value = owner.id if name == "client_id" else owner.secret
    answer = await call_clients(f"/clients/list?{name}={value}", method=method)
    assert answer.error == (200, "invalid_argument", name)
    assert owner.secret not in json.dumps(answer.fields)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "features",
    [(), ("access_issuer",), ("direct_access", "direct_read_access"), ("login_client",), ("viewer",), ("operator",)],
    ids=lambda features: "+".join(features) or "none",
)
@on_sqlite
async def test_only_an_owner_may_call(
    call_clients: CallClients,
    services: Services,
    make_client: MakeClient,
    client: Made,
    call: str,
    features: tuple[str, ...],
) -> None:
    caller = await make_client(*features)
    revision = await services.database.fetch("SELECT revision FROM installation")
    arguments = {name: client.id if value == "ID" else value for name, value in CALLS[call].items()}
    answer = await call_clients(call, arguments, as_=caller)
    assert answer.error == (403, "client_permission_error", None)
    assert answer.fields["error_description"] == NOT_ALLOWED
    assert await services.database.fetch("SELECT revision FROM installation") == revision


async def test_the_calling_clients_allow_list_is_respected(
    call_clients: CallClients, make_client: MakeClient, client: Made
) -> None:
    elsewhere = await make_client("owner", allow_list=["192.0.2.0/24"])
    here = await make_client("owner", allow_list=["127.0.0.0/8"])
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "1"}, as_=elsewhere)
    assert answer.error == (403, "client_permission_error", None)
    assert answer.fields["error_description"] == NOT_ALLOWED
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "1"}, as_=here)
    assert answer.fields["stat"] == "ok"


async def test_an_owner_on_its_old_secret_reads_but_takes_no_role(
    call_clients: CallClients, services: Services, owner: Made, client: Made
) -> None:
    await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    answer = await call_clients("reset_secret", {"for_client_id": owner.id, "hours_to_live": "24"})
    assert answer.error == (403, "client_permission_error", None)
    assert answer.fields["error_description"].startswith(NOT_ALLOWED)
    assert (await call_clients("list")).fields["stat"] == "ok"
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert answer.fields["stat"] == "ok"


@on_sqlite
@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_a_form_of_another_site_cannot_use_credentials_that_a_browser_remembers(
    call_clients: CallClients, services: Services, client: Made, headers: dict[str, str]
) -> None:
    answer = await call_clients("delete", {"client_id_for_deletion": client.id}, headers=headers)
    assert answer.error == (403, "client_permission_error", None)
    assert await services.queries.find_client(client.id)
