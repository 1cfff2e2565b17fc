"""The /clients API: scripts written for the vendor's /clients documentation run unchanged."""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from support.callers import ADMIN, DAY, Made, is_good, sign_in, verify
from support.clocks import HOUR, MICROSECOND, Clock
from support.installation import MakeClient
from support.secrets import is_well_formed

from gql_secrets.api.app import build_app
from gql_secrets.api.clients_api.errors import TABLE
from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import Surface
from gql_secrets.domain.errors import Conflict, ErrorCode, SetupError, Unavailable
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.verification import Accepted
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

# What the transport does is decided above the database: one kind of it is enough there.
once = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NOT_ALLOWED = "the provided client does not have authorization for this action"
HOURS_REASON = "hours_to_live was not valid for the following reason: hours_to_live must be between 0 and 168"
CALLS = {
    "add": {"description": "Shop"},
    "delete": {"client_id_for_deletion": "ID"},
    "list": {},
    "reset_secret": {"for_client_id": "ID", "hours_to_live": "24"},
    "set_description": {"for_client_id": "ID", "description": "Shop"},
    "set_features": {"for_client_id": "ID", "features": '["direct_access"]'},
    "set_whitelist": {"for_client_id": "ID", "whitelist": '["192.0.2.0/24"]'},
    "clear_whitelist": {"for_client_id": "ID"},
}


@dataclass(slots=True)
class Answer:
    """What the dialect said."""

    status: int
    fields: dict[str, Any]
    headers: Any

    @property
    def error(self) -> tuple[int, str, str | None]:
        assert self.fields["stat"] == "error", self.fields
        return self.fields["code"], self.fields["error"], self.fields.get("argument_name")


Capture = Callable[..., Awaitable[Answer]]


@pytest.fixture
def capture(api: TestClient[Any, Any], owner: Made) -> Capture:
    """Call the dialect by Basic, as the owner unless somebody else is named."""

    async def call(
        name: str,
        arguments: Any = None,
        *,
        as_: Made | None = owner,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        **given: Any,
    ) -> Answer:
        basic = {"Authorization": encode_basic_auth(as_.id, as_.secret)} if as_ else {}
        url = name if name.startswith("/") else f"/clients/{name}"
        body = {"data": arguments} if method == "POST" else {"params": arguments or {}}
        async with api.request(method, url, headers={**basic, **(headers or {})}, **body, **given) as response:
            return Answer(response.status, await response.json(content_type=None), response.headers)

    return call


async def audit_of(services: Services, client_id: str) -> list[Any]:
    page = await services.reading.page_of_audit_events(PageRequest(first=100), client_id=client_id)
    return list(reversed(page.rows))


# The seed's own examples.


async def test_the_seeds_own_curl_line_resets_smoothly(
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


@once
async def test_320_hours_give_the_seeds_own_error(capture: Capture, client: Made) -> None:
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "320"})
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


async def test_the_grace_period_is_exact(capture: Capture, services: Services, client: Made, clock: Clock) -> None:
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "168"})
    clock.move(168 * HOUR - MICROSECOND)
    assert await is_good(services, client.id, client.secret)
    clock.move(MICROSECOND)
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, answer.fields["new_secret"])


async def test_zero_hours_end_the_old_secret_at_once(capture: Capture, services: Services, client: Made) -> None:
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "0"})
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, answer.fields["new_secret"])


async def test_a_reset_in_a_rollover_goes_on_and_the_audit_says_what_it_ended(
    capture: Capture, services: Services, client: Made
) -> None:
    first = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert await is_good(services, client.id, first.fields["new_secret"])
    second = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, first.fields["new_secret"])
    assert await is_good(services, client.id, second.fields["new_secret"])
    [*_, event] = await audit_of(services, client.id)
    assert (event.action, event.surface) == ("SECRET_RESET", "CLIENTS_API")
    assert [ended.reason for ended in event.ended_secrets] == ["DISPLACED"]


async def test_an_event_with_the_surfaces_former_name_is_one_of_this_surface(
    capture: Capture, services: Services, client: Made
) -> None:
    """Its hash covers the stored name, so the row keeps it."""
    await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    await services.database.run_tx(
        lambda tx: tx.execute("UPDATE audit_event SET surface = 'CAPTURE' WHERE surface = 'CLIENTS_API'")
    )
    page = await services.reading.page_of_audit_events(PageRequest(first=9), surface=Surface.CLIENTS_API)
    assert [event.surface for event in page.rows] == ["CAPTURE"]
    assert Surface("CAPTURE") is Surface.CLIENTS_API


async def test_a_reset_in_a_rollover_spares_the_old_secret_while_the_new_one_is_unused(
    capture: Capture, services: Services, client: Made
) -> None:
    """A script that runs twice must not cut off the application that has not got the first new secret."""
    first = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    second = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert await is_good(services, client.id, client.secret)
    assert not await is_good(services, client.id, first.fields["new_secret"])
    assert await is_good(services, client.id, second.fields["new_secret"])


async def test_one_request_id_stands_in_answer_header_and_audit(
    capture: Capture, services: Services, client: Made
) -> None:
    answer = await capture("set_description", {"for_client_id": client.id, "description": "Till"})
    [*_, event] = await audit_of(services, client.id)
    assert event.request_id == answer.headers["X-Request-Id"]
    assert event.address == "127.0.0.1"
    refused = await capture("reset_secret", {"for_client_id": client.id})
    assert refused.fields["request_id"] == refused.headers["X-Request-Id"] != event.request_id


# Who is calling.


@once
async def test_the_form_may_carry_the_credentials(capture: Capture, owner: Made) -> None:
    """As a public client library sends them."""
    form = {"client_id": owner.id, "client_secret": owner.secret}
    assert (await capture("list", form, as_=None)).fields["stat"] == "ok"
    assert (await capture("list", form)).fields["stat"] == "ok"


@once
@pytest.mark.parametrize("name", ["unknown client", "wrong secret", "half a form", "not Basic", "two that differ"])
async def test_credentials_that_are_not_good_have_one_answer(
    capture: Capture, owner: Made, client: Made, name: str
) -> None:
    calls: dict[str, Callable[[], Awaitable[Answer]]] = {
        "unknown client": lambda: capture("list", as_=Made("nobody", owner.secret)),
        "wrong secret": lambda: capture("list", as_=Made(owner.id, owner.secret + "x")),
        "half a form": lambda: capture("list", {"client_id": owner.id}, as_=None),
        "not Basic": lambda: capture("list", as_=None, headers={"Authorization": "Basic !"}),
        "two that differ": lambda: capture("list", {"client_id": client.id, "client_secret": client.secret}),
    }
    answer = await calls[name]()
    assert answer.error == (402, "invalid_client_credentials", None)
    assert answer.fields["error_description"] == "the client id or the client secret is not valid"


@once
async def test_no_credentials_at_all_say_how_to_send_them(capture: Capture) -> None:
    answer = await capture("list", as_=None)
    assert answer.error == (402, "invalid_client_credentials", None)
    assert "Basic" in answer.fields["error_description"]


@once
@pytest.mark.parametrize("scheme", ["Signature", "OAuth", "Bearer"])
async def test_signatures_and_tokens_are_refused_by_name(capture: Capture, owner: Made, scheme: str) -> None:
    """A signature is keyed with the plain secret, which nobody here has."""
    answer = await capture("list", as_=None, headers={"Authorization": f"{scheme} {owner.id}:c2lnbmF0dXJl"})
    assert answer.error == (205, "invalid_auth_method", None)
    assert answer.fields["error_description"] == "request used an http auth method other than Basic or OAuth"


@once
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
async def test_credentials_in_the_query_string_are_refused_even_beside_good_ones(
    capture: Capture, owner: Made, method: str, name: str
) -> None:
    value = owner.id if name == "client_id" else owner.secret
    answer = await capture(f"/clients/list?{name}={value}", method=method)
    assert answer.error == (200, "invalid_argument", name)
    assert owner.secret not in json.dumps(answer.fields)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "features",
    [(), ("access_issuer",), ("direct_access", "direct_read_access"), ("login_client",), ("viewer",), ("operator",)],
    ids=lambda features: "+".join(features) or "none",
)
@once
async def test_only_an_owner_may_call(
    capture: Capture, services: Services, make_client: MakeClient, client: Made, call: str, features: tuple[str, ...]
) -> None:
    caller = await make_client(*features)
    revision = await services.database.fetch("SELECT revision FROM installation")
    arguments = {name: client.id if value == "ID" else value for name, value in CALLS[call].items()}
    answer = await capture(call, arguments, as_=caller)
    assert answer.error == (403, "client_permission_error", None)
    assert answer.fields["error_description"] == NOT_ALLOWED
    assert await services.database.fetch("SELECT revision FROM installation") == revision


async def test_the_calling_clients_allow_list_is_respected(
    capture: Capture, make_client: MakeClient, client: Made
) -> None:
    elsewhere = await make_client("owner", allow_list=["192.0.2.0/24"])
    here = await make_client("owner", allow_list=["127.0.0.0/8"])
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "1"}, as_=elsewhere)
    assert answer.error == (403, "client_permission_error", None)
    assert answer.fields["error_description"] == NOT_ALLOWED
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "1"}, as_=here)
    assert answer.fields["stat"] == "ok"


async def test_an_owner_on_its_old_secret_reads_but_takes_no_role(
    capture: Capture, services: Services, owner: Made, client: Made
) -> None:
    await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    answer = await capture("reset_secret", {"for_client_id": owner.id, "hours_to_live": "24"})
    assert answer.error == (403, "client_permission_error", None)
    assert answer.fields["error_description"].startswith(NOT_ALLOWED)
    assert (await capture("list")).fields["stat"] == "ok"
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert answer.fields["stat"] == "ok"


@once
@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_another_sites_form_does_nothing_with_the_credentials_a_browser_remembers(
    capture: Capture, services: Services, client: Made, headers: dict[str, str]
) -> None:
    answer = await capture("delete", {"client_id_for_deletion": client.id}, headers=headers)
    assert answer.error == (403, "client_permission_error", None)
    assert await services.reading.find_client(client.id)


# What is asked.


@once
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (call, name)
        for call, names in CALLS.items()
        for name in names
        if (call, name) not in {("set_whitelist", "for_client_id"), ("clear_whitelist", "for_client_id")}
    ],
)
async def test_an_argument_that_did_not_come_is_named(capture: Capture, client: Made, call: str, name: str) -> None:
    arguments = {each: client.id if value == "ID" else value for each, value in CALLS[call].items() if each != name}
    answer = await capture(call, arguments)
    assert answer.error == (100, "missing_argument", name)
    assert answer.fields["error_description"] == f"missing required argument: {name}"


@once
async def test_an_argument_that_comes_twice_is_refused(capture: Capture, client: Made) -> None:
    twice = [("for_client_id", client.id), ("hours_to_live", "24"), ("hours_to_live", "24")]
    assert (await capture("reset_secret", twice)).error == (201, "duplicate_argument", None)
    once_more = {"for_client_id": client.id, "hours_to_live": "24"}
    answer = await capture("/clients/reset_secret?hours_to_live=0", once_more)
    assert answer.error == (201, "duplicate_argument", None)


@once
@pytest.mark.parametrize(
    "hours",
    [
        "",
        "-1",
        "169",
        "320",
        "1.5",
        "1e1",
        "0x1",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "0024",
        "1000",
        "²",
        "\u0661",  # a digit, in Arabic
        "\u0662\u0664",
        "true",
        "null",
        "24h",
    ],
)
async def test_hours_are_one_to_three_digits_up_to_168(
    capture: Capture, services: Services, client: Made, hours: str
) -> None:
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": hours})
    assert answer.error == (200, "invalid_argument", "hours_to_live")
    assert answer.fields["error_description"] == HOURS_REASON
    assert await is_good(services, client.id, client.secret)


@once
@pytest.mark.parametrize("hours", ["0", "00", "1", "024", "168"])
async def test_every_other_spelling_of_0_to_168_is_taken(capture: Capture, client: Made, hours: str) -> None:
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": hours})
    assert answer.fields["stat"] == "ok"


@pytest.mark.parametrize("client_id", ["67890fghij67890fghij", "", "a:b", "\x00", "é" * 200])
@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("add", "list")])
async def test_an_unknown_id_is_not_a_valid_one(capture: Capture, call: str, client_id: str) -> None:
    arguments = {name: client_id if value == "ID" else value for name, value in CALLS[call].items()}
    name = next(iter(CALLS[call]))
    answer = await capture(call, arguments)
    assert answer.error == (200, "invalid_argument", name)
    assert (
        answer.fields["error_description"] == f"{name} was not valid for the following reason: {name} is not a valid id"
    )


async def test_a_deleted_client_is_not_a_valid_id(capture: Capture, services: Services, client: Made) -> None:
    await services.clients.delete_client(client.id, by=ADMIN)
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "1"})
    assert answer.error == (200, "invalid_argument", "for_client_id")


@once
@pytest.mark.parametrize("value", ["", "owner", '"owner"', "[1]", "{}", "[", "null", "[" * 5000, '["a", null]'])
@pytest.mark.parametrize(("call", "name"), [("set_features", "features"), ("set_whitelist", "whitelist")])
async def test_lists_are_json_arrays_of_strings(
    capture: Capture, client: Made, call: str, name: str, value: str
) -> None:
    answer = await capture(call, {"for_client_id": client.id, name: value})
    assert answer.error == (200, "invalid_argument", name)


@once
async def test_arguments_may_stand_in_the_query_string_as_the_vendors_page_calls_them(
    capture: Capture, client: Made
) -> None:
    answer = await capture(f"/clients/reset_secret?for_client_id={client.id}&hours_to_live=24")
    assert answer.fields["stat"] == "ok"


@once
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"for_client_id=%ff&hours_to_live=1", "application/x-www-form-urlencoded"),
        (b"for_client_id=\xff", "application/x-www-form-urlencoded"),
        (b"a=1&" * 100, "application/x-www-form-urlencoded"),
        (b"a=" + b"1" * 100_000, "application/x-www-form-urlencoded"),
        (b'{"for_client_id": "x"}', "application/json"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
    ],
)
async def test_a_body_that_is_no_form_is_told_so(capture: Capture, body: bytes, content_type: str) -> None:
    answer = await capture("reset_secret", body, headers={"Content-Type": content_type})
    assert answer.error == (200, "invalid_argument", None)
    assert answer.status == 200


# The calls.


async def test_add_registers_a_client_and_shows_its_secret_once(capture: Capture, services: Services) -> None:
    answer = await capture("add", {"description": "Till\nin the  hall", "features": '["direct_access"]'})
    made = Made(answer.fields["client_id"], answer.fields["client_secret"])
    assert answer.fields.keys() == {"client_id", "client_secret", "stat"}
    assert await is_good(services, made.id, made.secret)
    client = await services.reading.find_client(made.id)
    assert client is not None
    assert (client.name, client.description) == ("Till in the hall", "Till\nin the  hall")
    assert (await services.reading.features([made.id]))[made.id] == ["direct_access"]


@once
async def test_add_needs_a_description_that_says_something(capture: Capture) -> None:
    assert (await capture("add", {"description": " "})).error == (200, "invalid_argument", "description")
    assert (await capture("add", {"description": "\x07"})).error == (200, "invalid_argument", "description")
    assert (await capture("add", {"description": "x" * 2001})).error == (200, "invalid_argument", "description")
    assert (await capture("add", {"description": "x" * 2000})).fields["stat"] == "ok"


@once
async def test_a_feature_that_does_not_exist_is_refused(capture: Capture, client: Made) -> None:
    for call, arguments in (("add", {"description": "x"}), ("set_features", {"for_client_id": client.id})):
        answer = await capture(call, {**arguments, "features": '["root"]'})
        assert answer.error == (200, "invalid_argument", "features")
    assert (await capture("list", {"has_features": '["root"]'})).error == (200, "invalid_argument", "has_features")


async def test_delete_ends_the_client(capture: Capture, services: Services, client: Made) -> None:
    assert (await capture("delete", {"client_id_for_deletion": client.id})).fields == {"stat": "ok"}
    assert not await is_good(services, client.id, client.secret)


async def test_the_last_owner_cannot_be_deleted(capture: Capture, services: Services, owner: Made) -> None:
    answer = await capture("delete", {"client_id_for_deletion": owner.id})
    assert answer.error == (200, "invalid_argument", "client_id_for_deletion")
    assert await is_good(services, owner.id, owner.secret)


async def test_list_shows_clients_and_never_a_secret(capture: Capture, owner: Made, make_client: MakeClient) -> None:
    shop = await make_client("direct_access", "login_client", allow_list=["192.0.2.0/24", "2001:db8::/32"])
    till = await make_client(name="Till", description="In the hall")
    answer = await capture("list")
    by_id = {row["client_id"]: row for row in answer.fields["results"]}
    assert answer.fields.keys() == {"results", "stat"}
    assert by_id.keys() == {owner.id, shop.id, till.id}
    assert by_id[shop.id] == {
        "client_id": shop.id,
        "client_secret": None,
        "description": "Shop",
        "features": ["direct_access", "login_client"],
        "whitelist": ["192.0.2.0/24", "2001:db8::/32"],
    }
    assert by_id[till.id]["description"] == "In the hall"
    assert by_id[till.id]["whitelist"] == ["0.0.0.0/0"]
    for made in (owner, shop, till):
        assert made.secret not in json.dumps(answer.fields)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["has_features", "features"])
async def test_list_finds_clients_with_any_of_the_features(
    capture: Capture, owner: Made, make_client: MakeClient, method: str, name: str
) -> None:
    first = await make_client("direct_access")
    second = await make_client("login_client", "direct_access")
    await make_client("viewer")

    async def found(features: list[str]) -> set[str]:
        answer = await capture("list", {name: json.dumps(features)}, method=method)
        return {row["client_id"] for row in answer.fields["results"]}

    assert await found(["owner"]) == {owner.id}
    assert await found(["login_client", "direct_access"]) == {first.id, second.id}
    assert await found(["access_issuer"]) == set()


async def test_list_shows_all_clients_however_many(capture: Capture, make_client: MakeClient) -> None:
    made = {(await make_client(name=f"Client {number}")).id for number in range(205)}
    results = (await capture("list")).fields["results"]
    assert len(results) == 206
    assert made < {row["client_id"] for row in results}


@once
async def test_a_list_that_breaks_off_is_no_answer(
    api: TestClient[Any, Any], services: Services, owner: Made, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(150):
        await make_client(name=f"Client {number}")
    original = type(services.reading).page_of_clients

    async def page_of_clients(self: Any, page: PageRequest, **given: Any) -> Any:
        if page.after:
            raise Unavailable
        return await original(self, page, **given)

    monkeypatch.setattr(type(services.reading), "page_of_clients", page_of_clients)
    headers = {"Authorization": encode_basic_auth(owner.id, owner.secret)}
    with pytest.raises(Exception, match=r"(?i)payload|disconnect|reset|closed"):
        async with api.post("/clients/list", headers=headers) as response:
            await response.json()


async def test_set_description_is_what_list_shows(capture: Capture, client: Made) -> None:
    answer = await capture("set_description", {"for_client_id": client.id, "description": "In the hall"})
    assert answer.fields == {"stat": "ok"}
    results = (await capture("list")).fields["results"]
    assert [row["description"] for row in results if row["client_id"] == client.id] == ["In the hall"]


async def test_set_features_replaces_them(capture: Capture, services: Services, make_client: MakeClient) -> None:
    client = await make_client("viewer")
    answer = await capture("set_features", {"for_client_id": client.id, "features": '["direct_access"]'})
    assert answer.fields == {"stat": "ok"}
    assert (await services.reading.features([client.id]))[client.id] == ["direct_access"]


async def test_an_owner_may_not_remove_owner_from_itself_though_another_may(
    capture: Capture, services: Services, owner: Made, make_client: MakeClient
) -> None:
    other = await make_client("owner")
    answer = await capture("set_features", {"for_client_id": owner.id, "features": "[]"})
    assert answer.error == (200, "invalid_argument", "features")
    assert "owner" in (await services.reading.features([owner.id]))[owner.id]
    assert (await capture("set_features", {"for_client_id": owner.id, "features": '["owner", "viewer"]'})).fields[
        "stat"
    ] == "ok"
    assert (await capture("set_features", {"for_client_id": owner.id, "features": "[]"}, as_=other)).fields == {
        "stat": "ok"
    }


async def test_a_whitelist_decides_who_is_let_in(capture: Capture, services: Services, client: Made) -> None:
    answer = await capture("set_whitelist", {"for_client_id": client.id, "whitelist": '["192.0.2.0/24"]'})
    assert answer.fields == {"stat": "ok"}
    assert isinstance(await verify(services, client.id, client.secret, "192.0.2.9"), Accepted)
    assert not isinstance(await verify(services, client.id, client.secret, "198.51.100.1"), Accepted)
    assert (await capture("clear_whitelist", {"for_client_id": client.id})).fields == {"stat": "ok"}
    assert isinstance(await verify(services, client.id, client.secret, "198.51.100.1"), Accepted)
    assert isinstance(await verify(services, client.id, client.secret, "2001:db8::1"), Accepted)


async def test_the_dialects_everywhere_has_ipv6_in_it(capture: Capture, services: Services, client: Made) -> None:
    await capture("set_whitelist", {"for_client_id": client.id, "whitelist": '["0.0.0.0/0"]'})
    assert (await services.reading.allow_lists([client.id]))[client.id] == ["0.0.0.0/0", "::/0"]


async def test_without_an_id_a_whitelist_is_the_callers_and_must_hold_its_address(
    capture: Capture, services: Services, owner: Made
) -> None:
    answer = await capture("set_whitelist", {"whitelist": '["192.0.2.0/24"]'})
    assert answer.error == (200, "invalid_argument", "whitelist")
    assert (await capture("set_whitelist", {"whitelist": '["127.0.0.0/8"]'})).fields == {"stat": "ok"}
    assert (await services.reading.allow_lists([owner.id]))[owner.id] == ["127.0.0.0/8"]
    assert (await capture("clear_whitelist")).fields == {"stat": "ok"}
    assert (await services.reading.allow_lists([owner.id]))[owner.id] == ["0.0.0.0/0", "::/0"]


@once
@pytest.mark.parametrize("whitelist", [["10.0.0.0/33"], ["10.0.0.1/8"], ["x"], ["192.0.2.0/24", "nowhere"]])
async def test_a_bad_cidr_address_is_named(capture: Capture, client: Made, whitelist: list[str]) -> None:
    answer = await capture("set_whitelist", {"for_client_id": client.id, "whitelist": json.dumps(whitelist)})
    assert answer.error == (200, "invalid_argument", "whitelist")
    reason = "whitelist was not valid for the following reason: invalid cidr address: "
    assert answer.fields["error_description"].startswith(reason + whitelist[-1])


@once
async def test_an_empty_whitelist_is_refused(capture: Capture, client: Made) -> None:
    answer = await capture("set_whitelist", {"for_client_id": client.id, "whitelist": "[]"})
    assert answer.error == (200, "invalid_argument", "whitelist")


# Said again.

KEY = {"Idempotency-Key": "4b1c9a7e-2f63-4a0b-9f3e-1f6f0a6f2c11"}


async def test_the_same_idempotency_key_gives_the_same_secret_again(
    capture: Capture, services: Services, client: Made
) -> None:
    arguments = {"for_client_id": client.id, "hours_to_live": "24"}
    first = await capture("reset_secret", arguments, headers=KEY)
    again = await capture("reset_secret", arguments, headers=KEY)
    assert first.fields == again.fields
    assert await is_good(services, client.id, client.secret)
    assert len(await audit_of(services, client.id)) == 2


async def test_the_same_idempotency_key_for_another_reset_is_refused(capture: Capture, client: Made) -> None:
    await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"}, headers=KEY)
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "25"}, headers=KEY)
    assert answer.error == (200, "invalid_argument", "Idempotency-Key")


@once
async def test_an_idempotency_key_that_is_none_is_refused(capture: Capture, client: Made) -> None:
    arguments = {"for_client_id": client.id, "hours_to_live": "24"}
    answer = await capture("reset_secret", arguments, headers={"Idempotency-Key": "short"})
    assert answer.error == (200, "invalid_argument", "Idempotency-Key")


# What is not there, and trouble.


@once
@pytest.mark.parametrize("path", ["/settings", "/settings/get", "/settings/items"])
async def test_settings_are_a_feature_that_is_disabled(capture: Capture, path: str) -> None:
    answer = await capture(path)
    assert answer.error == (480, "api_feature_disabled", None)
    assert answer.status == 200


@once
@pytest.mark.parametrize("path", ["/clients", "/clients/", "/clients/revoke", "/clients/list/", "/clients/a/b"])
async def test_a_call_that_does_not_exist_is_404(capture: Capture, path: str) -> None:
    answer = await capture(path)
    assert answer.error == (480, "api_feature_disabled", None)
    assert answer.status == 404


@once
async def test_a_change_is_sent_by_post_alone(capture: Capture, services: Services, client: Made) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await capture(f"/clients/delete?client_id_for_deletion={client.id}", method=method)
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
    assert await services.reading.find_client(client.id)


@once
async def test_answers_are_json_that_nobody_keeps(capture: Capture) -> None:
    for answer in (await capture("list"), await capture("add"), await capture("add", {"description": "x"})):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Request-Id"]


def test_every_failure_of_the_domain_has_a_code_here() -> None:
    assert TABLE.keys() == set(ErrorCode)


@once
async def test_statuses_are_mapped_where_the_setting_says_so(
    aiohttp_client: Any, settings: Settings, clock: Clock
) -> None:
    app = build_app(replace(settings, clients_api_status="mapped"), adjust_clock=clock)
    api = await aiohttp_client(app)
    owner = app[SERVICES].first_owner
    assert owner is not None
    headers = {"Authorization": encode_basic_auth(owner.client.client_id, owner.secret.reveal())}
    wrong = {"Authorization": encode_basic_auth(owner.client.client_id, "wrong")}

    async def status(path: str, data: dict[str, str], headers: dict[str, str] = headers) -> int:
        async with api.post(path, data=data, headers=headers) as response:
            assert (await response.json())["stat"] == ("ok" if response.status == 200 else "error")
            assert ("WWW-Authenticate" in response.headers) == (response.status == 401)
            return response.status

    assert await status("/clients/list", {}) == 200
    assert await status("/clients/add", {}) == 400
    assert await status("/clients/list", {}, wrong) == 401
    assert await status("/clients/list", {}, {"Authorization": "Signature a:b"}) == 401
    assert await status("/clients/list", {}, {**headers, "Sec-Fetch-Site": "cross-site"}) == 403
    assert await status("/settings/get", {}) == 404
    await api.close()


def test_another_word_for_the_statuses_stops_the_start() -> None:
    with pytest.raises(SetupError, match="GQL_SECRETS_CLIENTS_API_STATUS"):
        Settings.from_environment({"GQL_SECRETS_CLIENTS_API_STATUS": "400"})


@once
@pytest.mark.parametrize(
    ("failure", "status"), [(Unavailable(), 503), (Conflict("Try again."), 200), (ZeroDivisionError("gqls_x"), 500)]
)
async def test_trouble_of_ours_is_an_unexpected_error_and_never_402(
    capture: Capture,
    services: Services,
    client: Made,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    status: int,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(type(services.rotation), "reset_secret", fail)
    answer = await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert answer.error == (500, "unexpected_error", None)
    assert answer.status == status
    assert "gqls_x" not in json.dumps(answer.fields)


@once
async def test_a_database_that_does_not_answer_the_sign_in_is_503(
    capture: Capture, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(type(services.verifier), "verify", fail)
    answer = await capture("list")
    assert answer.error == (500, "unexpected_error", None)
    assert answer.status == 503


# Every surface turns the same secrets.


async def test_graphql_and_this_dialect_see_one_rollover(
    capture: Capture, services: Services, owner: Made, client: Made
) -> None:
    await capture("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    caller = await sign_in(services, owner.id, owner.secret)
    revoked = await services.rotation.revoke_old_secret(client.id, by=caller)
    assert not revoked.already_ended
    assert not await is_good(services, client.id, client.secret)
