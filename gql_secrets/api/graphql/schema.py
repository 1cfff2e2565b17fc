"""The schema, and its printed form (`schema.graphql`)."""

from datetime import UTC, datetime
from functools import cache
from typing import Final

import orjson
import strawberry
from graphql import GraphQLInputField, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema, Undefined
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.utils.str_converters import to_camel_case

from gql_secrets.api.graphql.guards import REQUIRES_ROLE_ARGUMENTS, RequiresRole
from gql_secrets.api.graphql.mutations import Mutation
from gql_secrets.api.graphql.queries import Query
from gql_secrets.api.graphql.subscriptions import Subscription
from gql_secrets.api.graphql.types.audit import AuditEvent
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.types.secret import ClientSecret
from gql_secrets.api.graphql.types.session import Session
from gql_secrets.graphql_server.completions import Serializer

# Longer than any date and time with an offset and fractions of a second.
_MAX_DATE_TIME: Final = 64


def _parse_date_time(text: object) -> datetime:
    instant = datetime.fromisoformat(text) if isinstance(text, str) and len(text) <= _MAX_DATE_TIME else None
    if instant is None or instant.tzinfo is None:
        raise ValueError("Not a date and time in RFC 3339 format, such as 2026-01-31T12:00:00Z.")
    return instant.astimezone(UTC)


def date_time(instant: datetime) -> str:
    """Return the text of an instant, the same as `rfc3339` in a quarter of the time: a page holds hundreds of them."""
    return orjson.dumps(instant.astimezone(UTC), option=orjson.OPT_UTC_Z)[1:-1].decode()


def date_times(instants: list[datetime]) -> list[str]:
    """Return the texts of instants: those of many together take a third of the time."""
    texts: list[str] = orjson.loads(orjson.dumps([each.astimezone(UTC) for each in instants], option=orjson.OPT_UTC_Z))
    return texts


_DATE_TIME: Final = strawberry.scalar(
    name="DateTime",
    description="A date and time in RFC 3339 format, in UTC: 2026-01-31T12:00:00.123456Z.",
    serialize=Serializer(date_time, date_times),
    parse_value=_parse_date_time,
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
)


_camel_case: Final = cache(to_camel_case)


class _Names(NameConverter):
    """Makes each name once: Strawberry asks for the names of a field's arguments at each call."""

    def apply_naming_config(self, name: str) -> str:
        return _camel_case(name)


@cache
def build_schema() -> strawberry.Schema:
    """Return the schema of the product. It holds no state, so a process builds it once."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Client, ClientSecret, AuditEvent, Session],
        schema_directives=[RequiresRole],
        config=StrawberryConfig(
            disable_field_suggestions=True, scalar_map={datetime: _DATE_TIME}, name_converter=_Names()
        ),
    )
    _leave_out_null_defaults(schema._schema)  # noqa: SLF001  Strawberry has no public name for it
    _describe_directive_arguments(schema._schema)  # noqa: SLF001  the same
    return schema


def _leave_out_null_defaults(schema: GraphQLSchema) -> None:
    """Declare `after: String`, not `after: String = null`: the resolver has its own default for an omitted value."""
    for type_ in schema.type_map.values():
        for field in type_.fields.values() if isinstance(type_, GraphQLObjectType | GraphQLInputObjectType) else ():
            for value in (field,) if isinstance(field, GraphQLInputField) else field.args.values():
                if value.default_value is None:
                    value.default_value = Undefined


def _describe_directive_arguments(schema: GraphQLSchema) -> None:
    for directive in schema.directives:
        if directive.name == "requiresRole":
            for name, description in REQUIRES_ROLE_ARGUMENTS.items():
                directive.args[name].description = description


def print_schema() -> str:
    """Return the schema in the schema definition language, the content of `schema.graphql`."""
    return build_schema().as_str().rstrip() + "\n"
