"""The budget knows what the product's own fields cost: a resolver without a weight is a hole in it."""

import json
from typing import Any

import pytest
from graphql import GraphQLObjectType
from support.callers import Made
from support.frontend_pages import PAGES

from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.graphql_server.cost import Budget
from gql_secrets.graphql_server.documents import DocumentCache
from gql_secrets.graphql_server.errors import DocumentRefused
from gql_secrets.graphql_server.limits import Limits
from gql_secrets.graphql_server.plans import getter_of
from gql_secrets.graphql_server.schema_costs import FieldWeight, weight_of
from gql_secrets.storage.usage import MAX_SOURCES

SCHEMA = build_schema()._schema
# What it answers with costs nothing to find; the number of mutations in a document is a limit of its own.
FREE = {"Query.viewer"}


def resolved_fields() -> list[tuple[str, FieldWeight | None]]:
    """Every field that is more than an attribute of what is there already, with its weight."""
    return [
        (f"{type_.name}.{name}", weight_of(field))
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and type_.name not in ("Mutation", "Subscription")
        for name, field in type_.fields.items()
        if getattr(field.extensions.get("strawberry-definition"), "base_resolver", None) is not None
        and getter_of(field) is None  # a plain field reads what is there already
    ]


def cost_of(query: str) -> int:
    documents = DocumentCache(SCHEMA, Limits(cost=10**9))
    return documents.read_now(query).operation(None).weight.cost


def test_every_resolver_declares_its_cost() -> None:
    found = dict(resolved_fields())
    assert len(found) > 20
    assert {name for name, weight in found.items() if weight is None} == FREE


def test_rows_cost_even_if_none_of_their_fields_is_selected() -> None:
    """The page is read before it is known what is wanted of it."""
    counted = "{{ auditEvents(first: {}) {{ totalCount }} }}"
    assert cost_of(counted.format(100)) - cost_of(counted.format(0)) == 100 * 5


def test_a_page_below_each_row_costs_a_query_each() -> None:
    one = cost_of("{ clients(first: 1) { nodes { secrets(first: 0) { totalCount } } } }")
    two = cost_of("{ clients(first: 2) { nodes { secrets(first: 0) { totalCount } } } }")
    assert two - one >= 80 + 35


@pytest.mark.parametrize(("field", "size"), [("usage { count }", 192), ("uses { count }", 2 * MAX_SOURCES)])
def test_lists_without_a_size_argument_cost_their_maximum_length(field: str, size: int) -> None:
    query = "{ clients(first: 1) { nodes { currentSecret { FIELD } } } }"
    assert cost_of(query.replace("FIELD", field)) - cost_of(query.replace("FIELD", "id")) >= size * 2


@pytest.mark.parametrize(
    "query",
    [
        "{ clients(first: 100) { nodes { currentSecret { usage { count } } } } }",
        "{ clients(first: 100) { nodes { secrets(first: 5) { totalCount } } } }",
        "{ clients(first: 100) { nodes { secrets(first: 10) { nodes { state hint } } } } }",
        "{" + " ".join(f"a{n}: auditEvents(first: 100) {{ totalCount nodes {{ id }} }}" for n in range(20)) + "}",
    ],
)
def test_expensive_queries_that_look_cheap_are_refused(query: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        DocumentCache(SCHEMA, LIMITS).read_now(query)
    assert "may cost" in json.dumps(refused.value.errors)


@pytest.mark.parametrize(
    "query",
    [
        "{ clients(first: 100) { totalCount nodes { clientId name enabled inRollover features } } }",
        "{ clients(first: 100) { nodes { clientId name allowList } } }",
        "{ clients(first: 50) { nodes { clientId currentSecret { hint lastUsedAt } rollover { advice endsAt } } } }",
        '{ client(clientId: "x") { currentSecret { uses { address count } usage { startsAt count refused } } } }',
        "{ auditEvents(first: 100) { totalCount nodes { at action actor clientId reason } } }",
    ],
)
def test_the_queries_of_frontends_are_accepted(query: str) -> None:
    DocumentCache(SCHEMA, LIMITS).read_now(query)


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_of_honest_frontends_are_accepted(name: str) -> None:
    """Generated clients select every field: these pages were refused at a limit of 5,000."""
    document = DocumentCache(SCHEMA, LIMITS).read_now(PAGES[name].query)
    assert document.operation(None).weight.cost > 5_000


@pytest.mark.parametrize("name", PAGES)
async def test_the_pages_of_honest_frontends_are_accepted_over_http(name: str, gql: Any, owner: Made) -> None:
    answer = await gql(PAGES[name].query, as_=owner, **PAGES[name].variables(owner.id))
    assert answer.errors == []


def test_a_refusal_names_the_cost_and_the_limit() -> None:
    with pytest.raises(DocumentRefused) as refused:
        DocumentCache(SCHEMA, LIMITS).read_now(
            "{ clients(first: 100) { nodes { currentSecret { usage { count } } } } }"
        )
    assert "may cost 42631; at most 15000" in json.dumps(refused.value.errors)


def test_nodes_cost_as_much_as_there_are_ids() -> None:
    query = "{ nodes(ids: [IDS]) { ... on Client { name rollover { advice } } } }"
    one, two, hundred = (cost_of(query.replace("IDS", '"x" ' * count)) for count in (1, 2, 100))
    assert two - one == (hundred - one) / 99 > 30


async def test_nodes_cost_as_much_as_a_variable_has_ids(gql: Any, owner: Made) -> None:
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Client { allowList secrets(first: 5) { totalCount } } } }"
    assert (await gql(query, as_=owner, ids=["Q2xpZW50Ong"] * 10)).errors == []
    assert "may cost 1" in (await gql(query, as_=owner, ids=["Q2xpZW50Ong"] * 100)).errors[0]["message"]


def test_the_budget_reads_the_weights_of_a_schema_it_is_given() -> None:
    assert Budget(SCHEMA, LIMITS)._costs["Client"]["secrets"].row == 7
