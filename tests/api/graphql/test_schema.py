"""The schema is the design document."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_directive_values,
    is_specified_directive,
    is_specified_scalar_type,
)
from support.paths import ROOT

from gql_secrets.api.graphql.schema import date_time, date_times, print_schema
from gql_secrets.domain.instants import rfc3339

PRINTED = ROOT / "schema.graphql"
SCHEMA = build_schema(print_schema(), assume_valid_sdl=True)
OWN_TYPES = [type_ for name, type_ in SCHEMA.type_map.items() if not name.startswith("__")]


def test_schema_graphql_is_the_printed_schema():
    assert PRINTED.read_text() == print_schema(), "run: uv run gql-secrets schema > schema.graphql"


def described_elements() -> Iterator[tuple[str, str | None]]:
    """Every type, field, argument, input field, enum value, and directive argument, with its description."""
    for directive in SCHEMA.directives:
        if not is_specified_directive(directive):
            yield f"@{directive.name}", directive.description
            yield from ((f"@{directive.name}({name})", each.description) for name, each in directive.args.items())
    for type_ in OWN_TYPES:
        if is_specified_scalar_type(type_):
            continue
        yield type_.name, type_.description
        if isinstance(type_, GraphQLEnumType):
            yield from ((f"{type_.name}.{name}", value.description) for name, value in type_.values.items())
        if isinstance(type_, GraphQLInputObjectType):
            yield from ((f"{type_.name}.{name}", each.description) for name, each in type_.fields.items())
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in type_.fields.items():
                yield f"{type_.name}.{name}", field.description
                yield from ((f"{type_.name}.{name}({each})", arg.description) for each, arg in field.args.items())


def test_every_element_is_described():
    assert [name for name, description in described_elements() if not description] == []


def test_every_description_is_a_sentence():
    """Capital letter, full stop: the descriptions are read as a page of reference documentation."""
    assert [
        f"{name}: {description}"
        for name, description in described_elements()
        if description and not (re.match("[A-Z0-9]|`|gql-secrets|hoursToLive", description) and description[-1] == ".")
    ] == []


ODD_ENGLISH: Final = {
    r"\bis no (?!longer)\w": "is not a",
    r"\b(told|tells?)\b": "returned, reported",
    r"\bgood\b": "valid",
    r"\bat once\b": "immediately, or at the same time",
    r"\b(who|what|how|when)ever\b": "any, clients that",
    r"\b(anew|beside|meanwhile|stands?|in vain|for ever|by itself)\b": "again, in addition to, automatically",
    r"\b(door|house|home)\b": "interface, installation",
    r"\bliv(es|ing)\b": "active",
    r"\b(somebody|nobody)\b": "the caller, a source, no caller",
    r"\bworth\b": "the state",
}


def test_descriptions_avoid_odd_english():
    """Each pattern was once in the schema; its value is what to write instead."""
    assert [
        f"{name}: {description} ({instead})"
        for name, description in described_elements()
        for pattern, instead in ODD_ENGLISH.items()
        if description and re.search(pattern, description, re.IGNORECASE)
    ] == []


def test_descriptions_name_the_roles_of_guards():
    """Explorers show descriptions and do not show applied directives."""
    directive = SCHEMA.get_directive("requiresRole")
    assert directive
    unnamed = []
    for type_ in OWN_TYPES:
        for field in type_.fields.values() if isinstance(type_, GraphQLObjectType) else ():
            for element in (field, *field.args.values()):
                guard = get_directive_values(directive, element.ast_node)
                roles = guard["roles"] if guard else []
                if not all(role in element.description.partition("Requires ")[2] for role in roles):
                    unnamed.append(f"{type_.name}: {element.description}")
    assert unnamed == []


def test_every_mutation_and_every_refusable_query_field_is_nullable():
    """A non-null field that is refused would erase its siblings: a new secret that was committed would be lost."""
    assert SCHEMA.mutation_type
    assert SCHEMA.query_type
    strict = [name for name, field in SCHEMA.mutation_type.fields.items() if isinstance(field.type, GraphQLNonNull)]
    strict += [name for name, field in SCHEMA.query_type.fields.items() if isinstance(field.type, GraphQLNonNull)]
    assert strict == ["serverTime"]  # nobody is refused the time


def test_a_plaintext_can_leave_only_where_it_is_made():
    """Keycloak CVE-2026-17048: a side endpoint showed rotated secrets. No other field could carry one."""
    carriers = [
        f"{type_.name}.{name}"
        for type_ in OWN_TYPES
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if "secret" in name.lower()
        and str(field.type).strip("!") == "String"
        and not name.endswith(("CreatedBy", "CreatedByName"))  # an actor
    ]
    assert sorted(carriers) == [
        "CreateClientPayload.secret",
        "CreateWebhookPayload.signingSecret",
        "ResetSecretPayload.newSecret",
        "ResetSecretResult.newSecret",
        "RotateWebhookSecretPayload.signingSecret",
    ]


def test_no_argument_takes_a_secret():
    takers = [
        f"{type_.name}.{name}({each})"
        for type_ in OWN_TYPES
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        for each in field.args
        if "secret" in each.lower() or "password" in each.lower()
    ]
    assert takers == ["Mutation.revokeOldSecret(secretId)"]


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
        datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 12, 0, tzinfo=UTC),
        datetime(2026, 1, 31, 12, 0, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_instants_are_written_as_everywhere_else(instant: datetime) -> None:
    assert date_time(instant) == rfc3339(instant)
    assert date_times([instant, instant]) == [rfc3339(instant)] * 2
