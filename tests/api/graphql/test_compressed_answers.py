"""Compressed answers of `/graphql`: which they are, with all headers of the API, and no secret in any of them."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import encode_basic_auth
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType, build_schema, get_named_type
from support.callers import Made
from support.clocks import Clock

from gql_secrets.api.app import build_app
from gql_secrets.api.graphql.schema import print_schema
from gql_secrets.api.keys import SERVICES
from gql_secrets.graphql_server.compression import MIN_BYTES
from gql_secrets.settings import Settings

LONG: Final = "{ __schema { types { name description fields { name description } } } }"
# Every field that returns a plaintext: a secret, a signing secret, or the URL of a sign-in link.
MINTED: Final = {
    ("CreateClientPayload", "secret"),
    ("CreateSignInLinkPayload", "url"),
    ("CreateWebhookPayload", "signingSecret"),
    ("ResetSecretPayload", "newSecret"),
    ("ResetSecretResult", "newSecret"),
    ("RotateWebhookSecretPayload", "signingSecret"),
}
SCHEMA: Final = build_schema(print_schema(), assume_valid_sdl=True)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


async def ask(api: Any, caller: Made, query: str, **headers: str) -> Any:
    """Send an operation as this caller; the body of the response stays as it was sent."""
    api.session._auto_decompress = False
    authorization = {"Authorization": encode_basic_auth(caller.id, caller.secret)}
    return await api.post(
        "/graphql", json={"query": query}, headers={"Accept-Encoding": "gzip", **authorization, **headers}
    )


def fields_below(root: Any) -> Iterator[tuple[str, str]]:
    """The fields of every type that a selection of this type can reach."""
    seen, waiting = set(), [root]
    while waiting:
        type_ = waiting.pop()
        if type_.name in seen:
            continue
        seen.add(type_.name)
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            yield from ((type_.name, name) for name in type_.fields)
            waiting += [get_named_type(field.type) for field in type_.fields.values()]
        if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
            waiting += SCHEMA.get_possible_types(type_)


def test_no_query_and_no_subscription_reaches_a_plaintext() -> None:
    """That is why the results of queries may be compressed, and those of mutations may not."""
    readable = {*fields_below(SCHEMA.query_type), *fields_below(SCHEMA.subscription_type)}

    assert set(fields_below(SCHEMA.mutation_type)) >= MINTED
    assert readable & MINTED == set()
    assert not [field for field in readable if field[0].endswith(("Payload", "Result"))]


def test_every_plaintext_of_the_schema_is_in_the_list_above() -> None:
    described = {
        (type_.name, name)
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if "eturned only here" in (field.description or "") or (name == "newSecret" and str(field.type) == "String")
    }

    assert described == MINTED


async def test_a_query_is_compressed_with_every_header_of_the_api(api: Any, owner: Made) -> None:
    response = await ask(api, owner, LONG)
    body = await response.read()

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-Id"]
    assert int(response.headers["Content-Length"]) == len(body)
    assert json.loads(gzip.decompress(body))["data"]["__schema"]["types"]


async def test_a_reset_is_not_compressed(api: Any, owner: Made) -> None:
    names = " ".join(f"secret{n}: newSecret" for n in range(25))
    response = await ask(
        api, owner, f'mutation {{ resetSecret(clientId: "{owner.id}", hoursToLive: 24) {{ {names} }} }}'
    )
    body = await response.read()

    assert not {"Content-Encoding", "Vary"} & set(response.headers)
    assert len(body) > MIN_BYTES
    assert json.loads(body)["data"]["resetSecret"]["secret0"].startswith("gqls_")


async def test_the_explorers_page_has_no_body_for_head_and_its_length(api: Any) -> None:
    headers = {"Accept": "text/html", "Accept-Encoding": "gzip"}
    head, get = await api.head("/graphql", headers=headers), await api.get("/graphql", headers=headers)

    assert await head.read() == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert "Content-Encoding" not in head.headers


@pytest.mark.parametrize("path", ["/verify", "/clients", "/readyz", "/console/settings", "/metrics"])
async def test_no_other_answer_is_compressed(api: Any, owner: Made, path: str) -> None:
    api.session._auto_decompress = False
    authorization = encode_basic_auth(owner.id, owner.secret)
    response = await api.get(path, headers={"Authorization": authorization, "Accept-Encoding": "gzip"})
    await response.read()

    assert "Content-Encoding" not in response.headers


async def test_the_browsers_of_an_allowed_origin_get_both_kinds_of_vary(
    aiohttp_client: Any, settings: Settings, clock: Clock
) -> None:
    """The answer depends on the origin and on the encoding."""
    api = await aiohttp_client(build_app(replace(settings, allowed_origins="https://app.example"), adjust_clock=clock))
    made = api.app[SERVICES].first_owner
    response = await ask(api, Made(made.client.client_id, made.secret.reveal()), LONG, Origin="https://app.example")
    await response.read()

    assert response.headers.getall("Vary") == ["Origin", "Accept-Encoding"]
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert response.headers["Content-Encoding"] == "gzip"
