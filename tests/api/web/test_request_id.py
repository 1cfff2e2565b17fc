"""The id of a request is a trusted proxy's, or a new one; the log line of a request says who, from where and what."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from support.callers import Made

from gql_secrets.settings import Settings

Api = TestClient[Any, Any]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
SECRET_LIKE = "gqls_" + "k2" * 12


@pytest.fixture(params=["127.0.0.1", ""], ids=["behind a proxy", "without a proxy"])
def proxies(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(settings: Settings, proxies: str) -> Settings:
    return replace(settings, trusted_proxies=proxies)


def request_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.msg == "request"]


async def test_the_id_and_the_trace_are_kept_from_a_trusted_proxy_alone(
    api: Api, proxies: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await api.get("/livez", headers={"X-Request-Id": "proxy-0123.abc", "traceparent": TRACEPARENT})
    [line] = request_lines(caplog)
    assert answer.headers["X-Request-Id"] == line["request_id"]
    assert (line["request_id"] == "proxy-0123.abc") is bool(proxies)
    assert line.get("trace_id") == (TRACE if proxies else None)


@pytest.mark.parametrize("proxies", ["127.0.0.1"])
@pytest.mark.parametrize("given", ["short", "x" * 65, "a b c d e f", 'quote"quote', SECRET_LIKE])
async def test_an_id_that_the_log_cannot_hold_is_replaced(api: Api, given: str) -> None:
    answer = await api.get("/livez", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] != given
    assert len(answer.headers["X-Request-Id"]) == 16


@pytest.mark.parametrize("proxies", ["127.0.0.1"])
@pytest.mark.parametrize(
    "given",
    ["", "00", f"ff-{TRACE}-00f067aa0ba902b7-01", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01"],
)
async def test_a_malformed_trace_is_left_out(api: Api, given: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await api.get("/livez", headers={"traceparent": given})
    assert "trace_id" not in request_lines(caplog)[0]


@pytest.mark.parametrize("proxies", ["127.0.0.1"])
async def test_a_request_line_has_the_caller_the_address_and_the_operation(
    api: Api, owner: Made, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": encode_basic_auth(owner.id, owner.secret), "X-Forwarded-For": "198.51.100.7"}
    with caplog.at_level(logging.INFO):
        await api.post("/graphql", json={"query": "query Me { viewer { name } }"}, headers=headers)
        await api.post("/graphql", json={"query": "{ viewer { name } }"})
    signed_in, anonymous = request_lines(caplog)
    assert (signed_in["caller"], signed_in["address"], signed_in["operation"]) == (
        f"api_client:{owner.id}",
        "198.51.100.7",
        "Me",
    )
    assert "caller" not in anonymous
    assert "operation" not in anonymous
    assert anonymous["address"] == "127.0.0.1"


@pytest.mark.parametrize("proxies", ["127.0.0.1"])
async def test_the_id_of_a_proxy_is_in_the_audit(api: Api, owner: Made) -> None:
    headers = {"Authorization": encode_basic_auth(owner.id, owner.secret), "X-Request-Id": "proxy-0123"}
    mutation = 'mutation { createClient(name: "x") { userErrors { code } } }'
    await api.post("/graphql", json={"query": mutation}, headers=headers)
    query = "{ auditEvents(first: 1) { nodes { requestId } } }"
    answer = await (await api.post("/graphql", json={"query": query}, headers=headers)).json()
    assert answer["data"]["auditEvents"]["nodes"] == [{"requestId": "proxy-0123"}]
