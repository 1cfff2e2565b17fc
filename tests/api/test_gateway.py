"""Every invalid credential gets the same answer, which reveals neither what exists nor what has ended."""

import re
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient
from support.callers import ADMIN, DAY, HARD, Made, is_good, verify
from support.clocks import DAYS, Clock

from gql_secrets.domain.credentials import PlaintextSecret, mint_client_id
from gql_secrets.storage.sqlite.lookup import SqliteLookup
from gql_secrets.wiring import Services

MakeClient = Callable[..., Awaitable[Made]]

KINDS = [
    "unknown client",
    "wrong secret",
    "another client's secret",
    "expired",
    "revoked",
    "ended by a hard reset",
    "withdrawn",
    "disabled",
    "disabled, old",
    "disabled, expired",
    "deleted",
    "empty secret",
    "no client id",
]


Bad = Callable[[str], Awaitable[Made]]


@pytest.fixture
def bad(services: Services, make_client: MakeClient, clock: Clock) -> Bad:
    """Make a client of the kind; return its invalid credential."""

    async def make(kind: str) -> Made:
        client, other = await make_client("owner"), await make_client("owner")
        assert await is_good(services, client.id, client.secret)
        strangers = {
            "unknown client": Made(mint_client_id(), client.secret),
            "wrong secret": Made(client.id, PlaintextSecret.mint().reveal()),
            "another client's secret": Made(client.id, other.secret),
            "empty secret": Made(client.id, ""),
            "no client id": Made("", client.secret),
        }
        if kind in strangers:
            return strangers[kind]
        if kind == "deleted":
            await services.clients.delete_client(client.id, by=ADMIN)
            return client
        if kind != "disabled":
            hours = HARD if kind == "ended by a hard reset" else DAY
            reset = await services.rotation.reset_secret(client.id, hours, by=ADMIN)
        if kind == "withdrawn":
            await services.rotation.cancel_rollover(client.id, by=ADMIN)
            return Made(client.id, reset.new_secret.reveal())
        if kind == "revoked":
            await services.rotation.revoke_old_secret(client.id, by=ADMIN)
        if kind.startswith("disabled"):
            await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
        if kind.endswith("expired"):
            clock.move(DAYS)
        return client

    return make


async def answer(api: TestClient[Any, Any], method: str, path: str, client: Made, **given: Any) -> bytes:
    """All of an answer but what no two have in common."""
    headers = {"Authorization": encode_basic_auth(client.id, client.secret)}
    async with api.request(method, path, headers=headers, **given) as response:
        body = await response.read()
        lines = [
            f"{response.version} {response.status} {response.reason}".encode(),
            *map(b": ".join, response.raw_headers),
        ]
    text = b"\r\n".join([*lines, b"", body])
    return re.sub(rb'(?i)(date: |x-request-id: |"request_id":")[^\r"]+', rb"\1-", text)


SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "/verify": ("GET", {}),
    "/verify/below": ("POST", {"data": b"x"}),
    "/graphql": ("POST", {"json": {"query": "mutation { signOut { signedOut } }"}}),
    "/graphql?query={viewer{name}}": ("GET", {}),
    "/clients/list": ("POST", {}),
    "/clients/reset_secret": ("POST", {"data": {"for_client_id": "x", "hours_to_live": "0"}}),
}


@pytest.mark.parametrize("path", SURFACES)
async def test_all_invalid_credentials_get_byte_for_byte_the_same_response(
    api: TestClient[Any, Any], bad: Bad, path: str
) -> None:
    method, given = SURFACES[path]

    answers = {kind: await answer(api, method, path, await bad(kind), **given) for kind in KINDS}

    assert {kind: text for kind, text in answers.items() if text != answers["unknown client"]} == {}
    assert b" 401 " in answers["expired"] or path.startswith("/clients")
    assert b"gqls_" not in answers["expired"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_refusal_makes_the_same_reads(services: Services, bad: Bad) -> None:
    """One finds a secret and one finds none: what tests/benchmarks/oracle.py measures, held without a clock."""
    assert isinstance(services.lookup, SqliteLookup)
    made = {kind: await bad(kind) for kind in KINDS}
    for client in made.values():  # what is due is written down, what changed is read
        await verify(services, client.id, client.secret)
    reads: dict[str, list[tuple[str, int]]] = {kind: [] for kind in KINDS}
    rows = RowCounts(services.lookup)

    for kind, client in made.items():
        await verify(services, client.id, client.secret)
        reads[kind] = rows.taken()

    expected = sorted(reads["unknown client"])
    assert [found for question, found in expected if "s.digest IN (?)" in question] == [0, 1]
    assert {kind: taken for kind, taken in reads.items() if sorted(taken) != expected} == {}


class RowCounts:
    """What a look-up asks its connection, and how many rows each question found."""

    def __init__(self, lookup: SqliteLookup) -> None:
        self._connection = lookup._connection
        self._taken: list[tuple[str, int]] = []
        lookup._connection = self  # type: ignore[assignment]

    def execute(self, question: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        self._taken.append((question, len(self._connection.execute(question, values).fetchall())))
        return self._connection.execute(question, values)

    def taken(self) -> list[tuple[str, int]]:
        taken, self._taken = self._taken, []
        return taken

    def close(self) -> None:
        self._connection.close()
