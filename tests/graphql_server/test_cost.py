"""The budget of documents: what each limit lets pass and what it refuses, and what the refusals cost."""

import asyncio
import contextlib
import dataclasses
import re
import runpy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from graphql import StringValueNode, parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema
from support.hostile_documents import BOMBS, HEAVY, INTROSPECTION, KIB_64, Hostile
from support.paths import TESTS
from support.toy_graphql import Caller, Context, make_endpoint, schema

from gql_secrets.graphql_server.cost import Budget, OperationWeight, fragments_of
from gql_secrets.graphql_server.documents import DocumentCache
from gql_secrets.graphql_server.engine import Engine
from gql_secrets.graphql_server.errors import DocumentRefused
from gql_secrets.graphql_server.limits import Limits
from gql_secrets.graphql_server.operations import PreparedOperation
from gql_secrets.graphql_server.requests import GraphQLRequest

benchmark = runpy.run_path(str(TESTS / "benchmarks" / "budget_cost.py"))
measure: Callable[[Hostile, int], Any] = benchmark["measure"]


def prepare(
    engine: Engine, query: str, variables: Mapping[str, object] | None = None, *, context: Context | None = None
) -> PreparedOperation:
    return asyncio.run(engine.prepare(GraphQLRequest(query, variables or {}), context or Context()))


def admit(
    query: str, variables: dict[str, object] | None = None, limits: dict[str, int] | None = None
) -> PreparedOperation:
    engine = make_endpoint(limits=Limits(**limits or {})).engine
    return prepare(engine, query, variables)


def weigh(query: str, variables: dict[str, object] | None = None) -> OperationWeight:
    """What the operation weighs, with all limits out of the way."""
    limits = Limits(cost=10**9, fields=10**9)
    budget = make_endpoint(limits=limits).engine.documents.budget
    document = parse(query)
    [(operation, _)] = budget.check_document(document)
    return budget.check_operation(operation, fragments_of(document), variables or {})


def refusal(query: str, variables: dict[str, object] | None = None, limits: dict[str, int] | None = None) -> str:
    with pytest.raises(DocumentRefused) as refused:
        admit(query, variables, limits)
    [error] = refused.value.errors
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    return str(error["message"])


# -- Each limit lets pass what reaches it and refuses what is over it

EDGES: dict[str, tuple[str, int, str]] = {
    "tokens": ("{ viewer { name } }", 6, "more than 5 tokens"),
    "document_bytes": ('{ client(clientId: "é") { id } }', 33, "longer than 32 bytes"),
    "operations": ("query A { viewer { name } } query B { viewer { name } } query C { __typename }", 3, "3 operations"),
    "fragments": (
        "{ ...A ...B } fragment A on Query { __typename } fragment B on Query { viewer { name } }",
        2,
        "2 frag",
    ),
    "depth": ("{ a: client(clientId: 1) { b: currentSecret { uses { count } } } }", 4, "nested 4 deep"),
    "fields": ("{ client(clientId: 1) { id ...F ...F } } fragment F on Client { id name }", 6, "6 fields"),
    "root_fields": ("{ viewer { name } ...F } fragment F on Query { a: viewer { name } b: __typename }", 3, "3 root"),
    "mutation_fields": (
        (
            'mutation { a: createClient(name: "a") { id } ...F } '
            'fragment F on Mutation { b: createClient(name: "b") { id } }'
        ),
        2,
        "2 root fields",
    ),
    "aliases": ("{ a: viewer { b: name ...F ...F } } fragment F on Viewer { c: name }", 4, "4 aliases"),
    "directives": (
        (
            "query ($y: Boolean = true) { viewer @include(if: $y) { name @skip(if: $y) ...F @skip(if: $y) } } "
            "fragment F on Viewer { ... @include(if: $y) { name } }"
        ),
        4,
        "4 directives",
    ),
    "cost": ("{ clients(first: 3) { nodes { id name } totalCount } }", 12, "may cost 12"),
}


@pytest.mark.parametrize("limit", EDGES)
def test_a_limit_is_reached_but_not_passed(limit: str) -> None:
    query, needed, sentence = EDGES[limit]
    if limit == "operations":
        # Which of them runs is another question.
        query = query.replace("query C { __typename }", "")
        needed, sentence = 2, "2 operations"
        with pytest.raises(DocumentRefused, match="refused") as refused:
            admit(query, limits={limit: needed})
        assert "operationName" in str(refused.value.errors)
    else:
        admit(query, limits={limit: needed})

    assert sentence in refusal(query, limits={limit: needed - 1})


@pytest.mark.parametrize(
    ("variables", "limits"),
    [
        ({"f": ["a", "b"]}, {"variable_values": 3}),
        ({"f": ["a"], "unknown": {"a": 1, "b": 2}}, {"variable_values": 5}),
        ({"f": [], "unknown": [[["x"]]]}, {"variable_depth": 4}),
    ],
)
def test_variables_are_bounded_too(variables: dict[str, object], limits: dict[str, int]) -> None:
    query = 'mutation ($f: [String!]) { createClient(name: "a", features: $f) { id } }'
    admit(query, variables, limits)

    assert "variables" in refusal(query, variables, {name: limit - 1 for name, limit in limits.items()})


# -- What lists weigh


@pytest.mark.parametrize(
    ("arguments", "items"),
    [
        ("first: 7", 7),
        ("last: 7, first: null", 20),
        ("first: 7, last: 50", 50),
        ('search: "a"', 20),
        ("first: null", 20),
        ("first: -5", 0),
        ("first: $n", 20),
    ],
)
def test_a_page_weighs_what_is_asked_or_its_default(arguments: str, items: int) -> None:
    query = f"query ($n: Int) {{ clients({arguments}) {{ nodes {{ id }} }} }}"

    assert weigh(query).cost == 2 + 2 * items


@pytest.mark.parametrize(
    ("declared", "given", "items"),
    [
        ("$n: Int", {"n": 9}, 9),
        ("$n: Int", {}, 20),
        ("$n: Int", {"n": None}, 20),
        ("$n: Int = 8", {}, 8),
        ("$n: Int = 8", {"n": 9}, 9),
        ("$n: Int", {"n": 9.0}, 9),
        ("$n: Int", {"n": -1}, 0),
        ("$n: Int", {"n": "900"}, 20),
        ("$n: Int", {"n": float("inf")}, 20),
        ("$n: Int", {"n": float("nan")}, 20),
        ("$n: Int", {"other": 900}, 20),
    ],
)
def test_a_page_sized_by_a_variable_weighs_its_value(declared: str, given: dict[str, object], items: int) -> None:
    query = f"query ({declared}) {{ clients(first: $n) {{ nodes {{ id }} }} }}"
    weight = weigh(query, given)

    assert weight.cost == 2 + 2 * items
    assert weight.variables == ("n",)


@pytest.mark.parametrize(
    ("declared", "given", "items"),
    [
        ("$ids: [ID!]!", {"ids": ["a"]}, 1),
        ("$ids: [ID!]!", {"ids": ["a"] * 23}, 23),
        ('$ids: [ID!]! = ["a", "b", "c"]', {}, 3),
        ('$ids: [ID!]! = ["a", "b", "c"]', {"ids": ["a"]}, 1),
        ("$ids: [ID!]! = []", {}, 0),
    ],
)
def test_a_list_of_ids_in_a_variable_weighs_its_length(declared: str, given: dict[str, object], items: int) -> None:
    assert weigh(f"query ({declared}) {{ nodes(ids: $ids) {{ id }} }}", given).cost == 1 + 2 * items


def test_sizes_are_multiplied_along_nested_lists_and_added_along_sibling_lists() -> None:
    one = "{ clients(first: 10) { nodes { secrets(first: 5) { nodes { id } } } } }"
    two = "{ clients(first: 10) { nodes { secrets(first: 5) { nodes { id } } } edges { node { id } } totalCount } }"

    assert weigh(one).cost == 2 + 10 * (1 + 2 + 5 * 2)
    assert weigh(two).cost == weigh(one).cost + 1 + 10 * (1 + 1 + 1) + 1


def test_a_list_that_takes_a_size_weighs_it_itself() -> None:
    assert weigh("{ recent(first: 7) { id name } }").cost == 1 + 7 * 3
    assert weigh("{ recent { id name } }").cost == 1 + 10 * 3


def test_directives_are_counted_wherever_they_stand() -> None:
    query = "query Q($v: Int) @a { viewer @b { ...F @c } ... @d { __typename } } fragment F on Viewer @e { name @f @g }"

    assert weigh(query).directives == 7


def test_what_nests_deeper_than_the_walk_can_follow_is_refused() -> None:
    """Within generous limits too: each of these is a selection in a selection, and none is a field."""
    deep = "{ viewer " + "{ ... " * 36 + "{ ...F0 }" + " }" * 36 + " } "
    chain = (
        " ".join(f"fragment F{n} on Viewer {{ ...F{n + 1} }}" for n in range(900)) + " fragment F900 on Viewer { name }"
    )

    limits = {"tokens": 100_000, "fragments": 10_000, "document_bytes": 100_000}
    assert "nested more than 100 deep" in refusal(deep + chain, limits=limits)
    assert "nested too deeply" in refusal("{ viewer " + "{ ... " * 2_000, limits=limits)


def test_a_wide_document_is_not_a_deep_one() -> None:
    admit(
        "{ viewer { " + "... { __typename } " * 110 + "...F " * 60 + "} } fragment F on Viewer { name }",
        limits={"tokens": 1000, "comparisons": 100_000},
    )


def test_a_list_without_a_size_is_taken_to_be_short() -> None:
    assert weigh("{ client(clientId: 1) { currentSecret { uses { count } } } }").cost == 3 + 10 * 2


def test_every_size_is_weighed_however_well_the_document_is_known() -> None:
    """The document is cached; what it costs with other variables is not taken from there."""
    engine = make_endpoint().engine
    query = "query ($n: Int) { clients(first: $n) { nodes { secrets(first: $n) { nodes { id } } } } }"
    for _ in range(2):
        prepare(engine, query, {"n": 10})
        with pytest.raises(DocumentRefused):
            prepare(engine, query, {"n": 100})
    with pytest.raises(DocumentRefused):
        prepare(engine, query, {"n": True, "m": 1} | {"n": 10**30})


def test_a_longer_list_of_ids_is_weighed_again_though_its_texts_are_short() -> None:
    """It was allowed at the cost of the one id that came before."""
    engine = make_endpoint().engine
    below = "... on Client { secrets(first: 100) { nodes { id hint state } } }"
    query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {below} }} }}"
    for _ in range(2):
        prepare(engine, query, {"ids": ["a"]})
        with pytest.raises(DocumentRefused):
            prepare(engine, query, {"ids": ["a"] * 23})


def test_a_size_that_did_not_change_is_not_weighed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_endpoint().engine
    query = "query ($n: Int) { clients(first: $n) { nodes { id } } }"
    weighed = 0
    check = Budget.check_operation

    def count(*arguments: Any) -> OperationWeight:
        nonlocal weighed
        weighed += 1
        return check(*arguments)

    for _ in range(2):
        prepare(engine, query, {"n": 5})  # its document is kept now
    monkeypatch.setattr(Budget, "check_operation", count)
    for size in (5, 5, 6, 6):
        prepare(engine, query, {"n": size})

    assert weighed == 1


def test_what_a_fragment_holds_is_counted_each_time_it_is_spread() -> None:
    engine = make_endpoint().engine
    query = "{ client(clientId: 1) { ...F ...F ... on Client { ...F } } } fragment F on Client { a: id name }"
    weight = prepare(engine, query).operation.weight

    assert (weight.fields, weight.aliases, weight.depth) == (7, 3, 2)


# -- Introspection


def test_tools_may_ask_for_the_whole_schema_once() -> None:
    admitted = admit(INTROSPECTION)

    assert admitted.operation.weight.introspection > 0
    assert admitted.operation.weight.cost == 0


def test_introspection_does_not_raise_the_budget_of_other_fields() -> None:
    """The whole schema costs more than any other question may: the two accounts are apart."""
    page = "{ clients(first: 100) { nodes { secrets(first: 40) { nodes { id } } } } __schema { description } }"

    assert "may cost" in refusal(page)


def test_introspection_is_refused_to_a_caller_that_may_not_see_the_schema() -> None:
    engine = make_endpoint().engine
    with pytest.raises(DocumentRefused) as refused:
        prepare(engine, INTROSPECTION, context=Context(caller=Caller(None)))

    assert refused.value.errors[0]["extensions"] == {"code": "UNAUTHENTICATED"}


# -- The bombs


def test_the_corpus_has_the_promised_size() -> None:
    assert len(BOMBS) >= 40
    assert all(len(hostile.query.encode()) <= KIB_64 for hostile in (*BOMBS.values(), *HEAVY.values()))


# What they cost is measured, and bounded, by tests/benchmarks/budget_cost.py: a busy machine would fail a test of time.


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_a_short_message(name: str) -> None:
    cost = measure(BOMBS[name], 1)

    assert cost.refused
    assert len(cost.told) < 1000


@pytest.mark.parametrize("name", HEAVY)
def test_the_heaviest_allowed_document_is_answered(name: str) -> None:
    cost = measure(HEAVY[name], 1)

    assert not cost.refused, cost.told
    assert cost.told == "0 errors"


# -- Any text is read or refused

ENDPOINT = make_endpoint()
WORDS = [
    *["{", "}", "(", ")", "[", "]", ":", "!", "$", "@", "=", "|", "&", "...", "..", ".", ",", " ", "\n", "\r\n", "\r"],
    *[
        "\t",
        "\ufeff",
        "#",
        "# x\n",
        '"',
        '""',
        '"""',
        "\\",
        '\\"',
        '\\"""',
        '"x"',
        '"\\n"',
        '"\\u00e9"',
        '"\\u{1F600}"',
    ],
    *['"\\ud83d\\ude00"', '"\\ud83d"', '"\\q"', '"""x"""', '"""\n  x\n   y\n"""', '"é\U0001f4a3"', '"\x00"', "query"],
    *[
        "fragment",
        "on",
        "true",
        "null",
        "a",
        "_b1",
        "é",
        "0",
        "-",
        "-1",
        "00",
        "1.",
        "1.5",
        "1e3",
        "-0.5E-2",
        "1a",
        ".",
    ],
    *["mutation", "subscription", "type", "'", "`", "\x01", "%", "\U0001f4a3"],
]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map("".join) | st.text(max_size=20)


@given(text=texts)
def test_any_text_is_read_or_refused(text: str) -> None:
    engine = ENDPOINT.engine
    with contextlib.suppress(DocumentRefused):
        prepare(engine, text)


instants = st.just(StringValueNode(value="2026-11-21T12:00:00Z"))


# A schema cannot say that the arguments of `notes` may be left out but not be null, as Strawberry's own rule demands.
SAYS_ALL, WITHOUT_NOTES = re.subn(r"\n +notes\(.*", "", schema.as_str())
assert WITHOUT_NOTES == 1


@given(text=from_schema(SAYS_ALL, custom_scalars={"DateTime": instants}))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_valid_document_is_refused_for_its_weight_alone(text: str) -> None:
    try:
        prepare(ENDPOINT.engine, text)
    except DocumentRefused as refused:
        told = str(refused.errors)
        assert "at most" in told or "more than" in told or "ended here" in told or "several operations" in told


def test_the_limits_cannot_be_changed_on_the_way() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().cost = 10**9  # type: ignore[misc]


def test_documents_are_read_under_the_limits_they_were_made_with() -> None:
    documents = make_endpoint(limits=Limits(aliases=1)).engine.documents
    assert isinstance(documents, DocumentCache)
    documents.read_now("{ a: viewer { name } }")
    with pytest.raises(DocumentRefused):
        documents.read_now("{ a: viewer { b: name } }")


# -- What the texts of variables cost


SEARCH = "query ($s: String) { clients(first: 1, search: $s) { totalCount } }"
TWO_SEARCHES = (
    "query ($s: String) "
    "{ a: clients(first: 1, search: $s) { totalCount } b: clients(first: 1, search: $s) { totalCount } }"
)


@pytest.mark.parametrize("letter", ["x", "\u0301"])
def test_long_texts_in_variables_cost_by_their_bytes_and_uses(letter: str) -> None:
    """A text as long as a body can hold is left to the argument's own limit, which names the argument."""
    text = letter * (100_000 // len(letter.encode()))
    admit(SEARCH, {"s": text})

    assert "may cost" in refusal(TWO_SEARCHES, {"s": text})
    assert weigh(SEARCH, {"s": "x" * 255}).cost == weigh(SEARCH).cost
    assert weigh(SEARCH, {"s": "x" * 3_200}).cost - weigh(SEARCH).cost == 100
    assert weigh(TWO_SEARCHES, {"s": "x" * 3_200}).cost - weigh(TWO_SEARCHES).cost == 200


def test_texts_in_lists_cost_too() -> None:
    query = "mutation ($s: String!, $f: [String!]) { createClient(name: $s, features: [$s], allowList: $f) { id } }"

    assert weigh(query, {"s": "x" * 3_200, "f": ["x" * 1_600] * 2}).cost - weigh(query).cost == 300


def test_a_known_document_is_weighed_again_when_a_text_is_longer() -> None:
    engine = make_endpoint().engine
    for _ in range(2):
        prepare(engine, TWO_SEARCHES, {"s": "short"})
        with pytest.raises(DocumentRefused):
            prepare(engine, TWO_SEARCHES, {"s": "x" * 100_000})
