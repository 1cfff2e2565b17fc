"""Unknown calls, HTTP statuses, and failures of the server."""

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from support.callers import Made
from support.clients_api import CallClients, on_sqlite
from support.clocks import Clock

from gql_secrets.api.app import build_app
from gql_secrets.api.clients_api.errors import TABLE
from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import Conflict, SetupError, Unavailable
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


@on_sqlite
@pytest.mark.parametrize("path", ["/settings", "/settings/get", "/settings/items"])
async def test_settings_are_a_disabled_feature(call_clients: CallClients, path: str) -> None:
    answer = await call_clients(path)
    assert answer.error == (480, "api_feature_disabled", None)
    assert answer.status == 200


@on_sqlite
@pytest.mark.parametrize("path", ["/clients", "/clients/", "/clients/revoke", "/clients/list/", "/clients/a/b"])
async def test_an_unknown_call_is_404(call_clients: CallClients, path: str) -> None:
    answer = await call_clients(path)
    assert answer.error == (480, "api_feature_disabled", None)
    assert answer.status == 404


@on_sqlite
async def test_changes_accept_only_post(call_clients: CallClients, services: Services, client: Made) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await call_clients(f"/clients/delete?client_id_for_deletion={client.id}", method=method)
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
    assert await services.queries.find_client(client.id)


@on_sqlite
async def test_responses_are_json_and_not_cached(call_clients: CallClients) -> None:
    for answer in (
        await call_clients("list"),
        await call_clients("add"),
        await call_clients("add", {"description": "x"}),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Request-Id"]


def test_every_failure_of_the_domain_has_a_code_here() -> None:
    assert TABLE.keys() == set(ErrorCode)


@on_sqlite
async def test_statuses_are_mapped_with_the_setting_mapped(
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
            is_script = headers.get("Sec-Fetch-Mode") == "cors"
            assert ("WWW-Authenticate" in response.headers) == (response.status == 401 and not is_script)
            return response.status

    assert await status("/clients/list", {}) == 200
    assert await status("/clients/add", {}) == 400
    assert await status("/clients/list", {}, wrong) == 401
    assert await status("/clients/list", {}, {"Authorization": "Signature a:b"}) == 401
    assert await status("/clients/list", {}, {**wrong, "Sec-Fetch-Mode": "cors"}) == 401
    assert await status("/clients/list", {}, {**headers, "Sec-Fetch-Site": "cross-site"}) == 403
    assert await status("/settings/get", {}) == 404
    await api.close()


def test_an_unknown_value_of_the_setting_stops_the_start() -> None:
    with pytest.raises(SetupError, match="GQL_SECRETS_CLIENTS_API_STATUS"):
        Settings.from_environment({"GQL_SECRETS_CLIENTS_API_STATUS": "400"})


@on_sqlite
@pytest.mark.parametrize(
    ("failure", "status"), [(Unavailable(), 503), (Conflict("Try again."), 200), (ZeroDivisionError("gqls_x"), 500)]
)
async def test_a_failure_of_the_server_is_an_unexpected_error_and_never_402(
    call_clients: CallClients,
    services: Services,
    client: Made,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    status: int,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(type(services.rotation), "reset_secret", fail)
    answer = await call_clients("reset_secret", {"for_client_id": client.id, "hours_to_live": "24"})
    assert answer.error == (500, "unexpected_error", None)
    assert answer.status == status
    assert "gqls_x" not in json.dumps(answer.fields)


@on_sqlite
async def test_an_unavailable_database_is_503_at_sign_in(
    call_clients: CallClients, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(type(services.verifier), "verify", fail)
    answer = await call_clients("list")
    assert answer.error == (500, "unexpected_error", None)
    assert answer.status == 503
