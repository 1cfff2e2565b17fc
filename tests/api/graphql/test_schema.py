"""The schema is the design document."""

from graphql import GraphQLEnumType, GraphQLInterfaceType, GraphQLNonNull, GraphQLObjectType, build_schema
from support.paths import ROOT

from gql_secrets.api.graphql.schema import print_schema

PRINTED = ROOT / "schema.graphql"
SCHEMA = build_schema(print_schema(), assume_valid_sdl=True)
OWN_TYPES = [type_ for name, type_ in SCHEMA.type_map.items() if not name.startswith("__")]


def test_schema_graphql_is_the_printed_schema():
    assert PRINTED.read_text() == print_schema(), "run: uv run gql-secrets schema > schema.graphql"


def test_every_element_is_described():
    silent = []
    for type_ in OWN_TYPES:
        if type_.name in ("Int", "Float", "String", "Boolean", "ID"):
            continue
        if not type_.description:
            silent.append(type_.name)
        if isinstance(type_, GraphQLEnumType):
            silent += [f"{type_.name}.{name}" for name, value in type_.values.items() if not value.description]
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in type_.fields.items():
                if not field.description:
                    silent.append(f"{type_.name}.{name}")
                silent += [f"{type_.name}.{name}({each})" for each, arg in field.args.items() if not arg.description]
    assert silent == []


def test_every_mutation_and_every_refusable_query_field_is_nullable():
    """A non-null field that is refused would erase its siblings: a new secret that was committed would be lost."""
    assert SCHEMA.mutation_type
    assert SCHEMA.query_type
    strict = [name for name, field in SCHEMA.mutation_type.fields.items() if isinstance(field.type, GraphQLNonNull)]
    strict += [name for name, field in SCHEMA.query_type.fields.items() if isinstance(field.type, GraphQLNonNull)]
    assert strict == ["serverTime"]  # nobody is refused the time


def test_a_plaintext_can_leave_in_two_payloads_only():
    """Keycloak CVE-2026-17048: a side endpoint showed rotated secrets. No other field could carry one."""
    carriers = [
        f"{type_.name}.{name}"
        for type_ in OWN_TYPES
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if "secret" in name.lower() and str(field.type).strip("!") == "String"
    ]
    assert sorted(carriers) == ["CreateClientPayload.secret", "ResetSecretPayload.newSecret"]


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
