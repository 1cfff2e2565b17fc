"""Failures of fields, and what an answer and a log line never hold."""

import json
import logging

import pytest
from graphql import GraphQLError, parse
from support.graphql_http import CANARY, GRAPHQL_JSON, JSON, Client, code_of, content_of, post
from support.toy_graphql import Caller, Context

from gql_secrets.graphql_server.documents import DocumentCache
from gql_secrets.graphql_server.errors import describe

ECHOES: dict[str, tuple[str, dict[str, object]]] = {
    "a string literal of a wrong type": (f'{{ trouble {{ wants(hours: "{CANARY}") }} }}', {}),
    "a block string literal of a wrong type": (f'{{ trouble {{ wants(hours: """{CANARY}""") }} }}', {}),
    "a bare word": (f"{{ client(clientId: {CANARY}) {{ id }} }}", {}),
    "a bare word in a list": (f"mutation {{ createClient(name: {CANARY}, features: [{CANARY}]) {{ id }} }}", {}),
    "an object literal": (f'{{ client(clientId: {{{CANARY}: "{CANARY}"}}) {{ id }} }}', {}),
    "a literal of a scalar": (f'{{ trouble {{ since(instant: "{CANARY}") }} }}', {}),
    "a literal of a directive": (f'{{ viewer @skip(if: "{CANARY}") {{ name }} }}', {}),
    "a default of a variable": (f'query ($h: Int = "{CANARY}") {{ trouble {{ wants(hours: $h) }} }}', {}),
    "a default bare word": (f"query ($h: Int = {CANARY}) {{ trouble {{ wants(hours: $h) }} }}", {}),
    "conflicting arguments": (
        f'{{ client(clientId: "{CANARY}") {{ id }} client(clientId: "{CANARY}2") {{ id }} }}',
        {},
    ),
    "a syntax error at a string": (f'{{ viewer {{ name "{CANARY}" }} }}', {}),
    "a syntax error at a block string": (f'{{ viewer {{ name """{CANARY}""" }} }}', {}),
    "a syntax error at a word": (f'{{ client(clientId "{CANARY}" {CANARY}) {{ id }} }}', {}),
    "a string that does not end": (f'{{ client(clientId: "{CANARY}', {}),
    "an escape that is none": (f'{{ client(clientId: "\\{CANARY}") {{ id }} }}', {}),
    "a unicode escape that is none": (f'{{ client(clientId: "\\u{{{CANARY}}}") {{ id }} }}', {}),
    "a number that is none": (f"{{ client(clientId: 0{CANARY}) {{ id }} }}", {}),
    "a variable of a wrong type": ("query ($h: Int!) { trouble { wants(hours: $h) } }", {"h": CANARY}),
    "a variable of a wrong scalar": ("query ($i: DateTime!) { trouble { since(instant: $i) } }", {"i": CANARY}),
    "a variable of a list": ("query ($h: Int!) { trouble { wants(hours: $h) } }", {"h": [CANARY]}),
    "a variable of an object": ("query ($h: Int!) { trouble { wants(hours: $h) } }", {"h": {CANARY: CANARY}}),
    "an item of a variable": (
        'mutation ($f: [String!]) { createClient(name: "a", features: $f) { id } }',
        {"f": [{CANARY: CANARY}]},
    ),
    "a variable nobody declared": ("{ viewer { name } }", {CANARY: CANARY, "deep": [[[[[[[[[[[[CANARY]]]]]]]]]]]]}),
    "a crash over a literal": (f'{{ trouble {{ crash(text: "{CANARY}") }} }}', {}),
    "a crash over an escaped literal": (f'{{ trouble {{ crash(text: "\\"{CANARY}\\n\\u00e9") }} }}', {}),
    "a crash over a variable": ("query ($t: String!) { trouble { crash(text: $t) } }", {"t": CANARY}),
    "a crash over a default": (f'query ($t: String! = "{CANARY}") {{ trouble {{ crash(text: $t) }} }}', {}),
}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
@pytest.mark.parametrize("name", ECHOES)
async def test_no_value_is_echoed_or_logged(
    client: Client, caplog: pytest.LogCaptureFixture, name: str, accept: str
) -> None:
    query, variables = ECHOES[name]
    with caplog.at_level(logging.DEBUG):
        response = await post(client, {"query": query, "variables": variables}, accept=accept)
        text = await response.text()

    assert response.status < 500
    assert CANARY not in text
    assert CANARY not in caplog.text
    assert CANARY not in repr(response.headers)


async def test_no_malformed_body_is_echoed_or_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for body in (f"{{{CANARY}", f'"{CANARY}"', f'["{CANARY}"]', json.dumps({"query": [CANARY]})):
            assert CANARY not in await (await post(client, body)).text()

    assert CANARY not in caplog.text


async def test_a_misfit_is_reported_by_the_names_of_argument_variable_and_type(client: Client) -> None:
    asked = {
        '{ trouble { wants(hours: "x") } }': "The value of argument 'hours' does not fit its type 'Int!'.",
        "query ($h: Int!) { trouble { wants(hours: $h) } }": "Variable '$h' does not fit its type 'Int!'.",
        "query ($g: Int!) { trouble { wants(hours: $g) } }": "Variable '$g' is missing; its type is 'Int!'.",
    }
    for query, sentence in asked.items():
        response = await post(client, {"query": query, "variables": {"h": "x"}})
        assert (await content_of(response))["errors"][0]["message"] == sentence


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ('{ clients(first: "x") @skip(if: true) { totalCount } }', "argument 'first' does not fit its type 'Int'"),
        ('{ clients(first: 1) @skip(if: "x") { totalCount } }', "argument 'if' of directive '@skip' does not fit"),
        ("query ($b: Boolean = true) { viewer @skip(if: $b) { name } }", "argument 'if' of directive '@skip' does not"),
        (
            "query ($b: Boolean = true, $c: Boolean = false) { viewer { name @skip(if: $c) @include(if: $b) } }",
            "argument 'if' of directive '@include' does not fit",
        ),
        ("query ($b: Int = 5) { trouble @skip(if: false) { wants(hours: $b) } }", "argument 'hours' does not fit"),
    ],
)
async def test_a_refused_argument_is_named_with_its_directive(client: Client, query: str, place: str) -> None:
    """Some misfits are found while the document is validated, others only when it is executed."""
    response = await post(client, {"query": query, "variables": {"b": None}})

    [error] = (await content_of(response))["errors"]
    assert place in error["message"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ('query ($n: String) { trouble { notes(first: $n, second: "b") } }', "first"),
        ('query ($n: String) { trouble { notes(first: "a", second: $n) } }', "second"),
        ('query ($f: NoteFilter) { trouble { notes(first: "a", second: "b", only: $f) } }', "only"),
    ],
)
async def test_a_misfit_that_strawberry_finds_in_its_conversion_is_named(client: Client, query: str, name: str) -> None:
    """Neither validation nor graphql-core can find these, and Strawberry's message quotes values, not arguments."""
    response = await post(client, {"query": query, "variables": {"n": None, "f": {"text": None}}})

    [error] = (await content_of(response))["errors"]
    assert error["message"] == f"The value of argument '{name}' does not fit its type."
    assert error["extensions"] == {"code": "BAD_REQUEST"}


async def test_a_null_for_a_non_null_argument_is_a_bad_request(client: Client) -> None:
    """Only execution finds it: the variable has a default, so validation lets it pass."""
    query = "query ($h: Int = 5) { trouble { wants(hours: $h) } }"
    response = await post(client, {"query": query, "variables": {"h": None}})

    content = await content_of(response)
    assert content["data"] == {"trouble": {"wants": None}}
    assert content["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    assert content["errors"][0]["message"] == "The value of argument 'hours' does not fit its type."


# -- Failures of fields


async def test_an_unexpected_failure_is_masked_and_logged_in_full(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    response = await post(client, {"query": '{ trouble { crash(text: "it") refused } viewer { name } }'})

    assert response.status == 200
    content = await content_of(response)
    assert content["data"] == {"trouble": {"crash": None, "refused": None}, "viewer": {"name": "ops"}}
    assert content["errors"][0] == {
        "message": "Unexpected error.",
        "locations": [{"line": 1, "column": 13}],
        "path": ["trouble", "crash"],
        "extensions": {"code": "INTERNAL", "requestId": "req-1"},
    }
    assert "req-1" in caplog.text
    assert "trouble.crash" in caplog.text
    assert "RuntimeError: could not handle it ('it')" in caplog.text
    assert 'toy_graphql.py", line' in caplog.text


async def test_a_value_that_cannot_be_answered_is_masked(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """graphql-core quotes what a resolver returned, which may be a row of the database, and the document's lines."""
    response = await post(client, {"query": "{ trouble { wrongType } }"})

    assert "database" not in await response.text()
    assert await code_of(response) == "INTERNAL"
    assert "GraphQL request" not in caplog.text
    assert "{ trouble" not in caplog.text


async def test_a_failure_of_every_item_is_logged_once(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    response = await post(client, {"query": "{ trouble { many { crash } } }"})

    assert len((await content_of(response))["errors"]) == 3
    assert len(caplog.records) == 1


def test_a_log_line_prints_no_line_of_the_document() -> None:
    """As the text of a GraphQLError would that knows its place."""
    failure = RuntimeError("outer")
    failure.__cause__ = GraphQLError("inner", parse("{ viewer { name } }").definitions[0])

    assert "viewer" not in describe(failure, set())
    assert "GraphQLError: inner" in describe(failure, set())


async def test_a_refusal_keeps_its_code_message_and_facts(client: Client) -> None:
    response = await post(client, {"query": "{ trouble { refused } }"})

    assert (await content_of(response))["errors"] == [
        {
            "message": "Only an ADMIN may see this.",
            "locations": [{"line": 1, "column": 13}],
            "path": ["trouble", "refused"],
            "extensions": {"code": "FORBIDDEN", "requiredRoles": ["ADMIN"]},
        }
    ]


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_infrastructure_trouble_is_503_and_keeps_what_was_done(client: Client, accept: str) -> None:
    """A sibling's new secret is in the answer all the same."""
    query = (
        'mutation { a: resetSecret(clientId: "a", hoursToLive: 1) { newSecret }'
        ' b: resetSecret(clientId: "b", hoursToLive: 999) { newSecret } }'
    )
    response = await post(client, {"query": query}, accept=accept)

    assert response.status == 503
    assert response.headers["Retry-After"] == "2"
    content = await content_of(response)
    assert content["data"] == {"a": {"newSecret": "gqls_" + "new"}, "b": None}
    assert content["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_field_extensions_run_and_see_the_context(client: Client, context: Context) -> None:
    assert (await content_of(await post(client, {"query": "{ guarded }"})))["data"] == {"guarded": "seen by ops"}

    context.caller = Caller(None)
    response = await post(client, {"query": "{ guarded viewer { name } }"})

    assert await code_of(response) == "UNAUTHENTICATED"
    assert (await content_of(response))["data"] == {"guarded": None, "viewer": None}


async def test_a_defect_of_the_endpoint_is_masked_too(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object, **_named: object) -> None:
        raise RuntimeError(f"while reading {CANARY}")

    monkeypatch.setattr(DocumentCache, "read", fail)
    response = await post(client, {"query": f'{{ client(clientId: "{CANARY}") {{ id }} }}'})

    assert response.status == 500
    assert (await content_of(response))["errors"] == [
        {"message": "Unexpected error.", "extensions": {"code": "INTERNAL", "requestId": "req-1"}}
    ]
    assert CANARY not in caplog.text
    assert "RuntimeError" in caplog.text
