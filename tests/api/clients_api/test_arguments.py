"""How arguments of a call are read, and which are refused."""

import pytest
from support.callers import ADMIN, Made, is_good
from support.clients_api import CALLS, HOURS_REASON, CallClients, on_sqlite

from gql_secrets.wiring import Services


@on_sqlite
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (call, name)
        for call, names in CALLS.items()
        for name in names
        if (call, name) not in {("set_whitelist", "for_client_id"), ("clear_whitelist", "for_client_id")}
    ],
)
async def test_a_missing_argument_is_named(call_clients: CallClients, client: Made, call: str, name: str) -> None:
    arguments = {each: client.id if value == "ID" else value for each, value in CALLS[call].items() if each != name}
    answer = await call_clients(call, arguments)
    assert answer.error == (100, "missing_argument", name)
    assert answer.fields["error_description"] == f"missing required argument: {name}"


@on_sqlite
async def test_a_duplicate_argument_is_refused(call_clients: CallClients, client: Made) -> None:
    twice = [("for_client_id", client.id), ("hours_to_live", "24"), ("hours_to_live", "24")]
    assert (await call_clients("reset_secret", twice)).error == (201, "duplicate_argument", None)
    once_more = {"for_client_id": client.id, "hours_to_live": "24"}
    answer = await call_clients("/clients/reset_secret?hours_to_live=0", once_more)
    assert answer.error == (201, "duplicate_argument", None)


@on_sqlite
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
    call_clients: CallClients, services: Services, client: Made, hours: str
) -> None:
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": hours})
    assert answer.error == (200, "invalid_argument", "hours_to_live")
    assert answer.fields["error_description"] == HOURS_REASON
    assert await is_good(services, client.id, client.secret)


@on_sqlite
@pytest.mark.parametrize("hours", ["0", "00", "1", "024", "168"])
async def test_every_other_spelling_of_0_to_168_is_accepted(
    call_clients: CallClients, client: Made, hours: str
) -> None:
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": hours})
    assert answer.fields["stat"] == "ok"


@pytest.mark.parametrize("client_id", ["67890fghij67890fghij", "", "a:b", "\x00", "é" * 200])
@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("add", "list")])
async def test_an_unknown_id_is_not_a_valid_one(call_clients: CallClients, call: str, client_id: str) -> None:
    arguments = {name: client_id if value == "ID" else value for name, value in CALLS[call].items()}
    name = next(iter(CALLS[call]))
    answer = await call_clients(call, arguments)
    assert answer.error == (200, "invalid_argument", name)
    assert (
        answer.fields["error_description"] == f"{name} was not valid for the following reason: {name} is not a valid id"
    )


async def test_a_deleted_client_is_not_a_valid_id(call_clients: CallClients, services: Services, client: Made) -> None:
    await services.clients.delete_client(client.id, by=ADMIN)
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "1"})
    assert answer.error == (200, "invalid_argument", "for_client_id")


@on_sqlite
@pytest.mark.parametrize("value", ["", "owner", '"owner"', "[1]", "{}", "[", "null", "[" * 5000, '["a", null]'])
@pytest.mark.parametrize(("call", "name"), [("set_features", "features"), ("set_whitelist", "whitelist")])
async def test_lists_are_json_arrays_of_strings(
    call_clients: CallClients, client: Made, call: str, name: str, value: str
) -> None:
    answer = await call_clients(call, {"for_client_id": client.id, name: value})
    assert answer.error == (200, "invalid_argument", name)


@on_sqlite
async def test_arguments_may_be_in_the_query_string_as_the_vendor_documents_it(
    call_clients: CallClients, client: Made
) -> None:
    answer = await call_clients(f"/clients/reset_secret?for_client_id={client.id}&hours_to_live=24")
    assert answer.fields["stat"] == "ok"


@on_sqlite
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
async def test_a_body_that_is_not_a_form_is_refused(call_clients: CallClients, body: bytes, content_type: str) -> None:
    answer = await call_clients("reset_secret", body, headers={"Content-Type": content_type})
    assert answer.error == (200, "invalid_argument", None)
    assert answer.status == 200
