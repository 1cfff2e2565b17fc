"""Resolvers that are called without Strawberry.

For each call, Strawberry collects the arguments of a field again, converts each by its type, and makes a chain of the
field's extensions. Where all arguments that are given are plain values, and all extensions are checks, or checks and
one around them that returns failures as data, nothing of that changes what the resolver gets.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, cast

import strawberry
from graphql import (
    GraphQLBoolean,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLResolveInfo,
    GraphQLString,
    get_nullable_type,
)
from strawberry.types.base import StrawberryMaybe
from strawberry.types.field import StrawberryField

from gql_secrets.graphql_server.field_checks import FailuresAreData, FieldCheck

# Strawberry's key from a field of graphql-core to its own definition.
_DEFINITION: Final = "strawberry-definition"
_METADATA_KEY: Final = "reads now"
# Values of these types are passed to resolvers as they are.
_PLAIN_ARGUMENTS: Final = (GraphQLString, GraphQLID, GraphQLInt, GraphQLBoolean)


def reads_now(resolve: Callable[..., Any]) -> Mapping[Any, Any]:
    """Return the metadata of a Strawberry field that reads the database, and that this function resolves, too.

    It takes what the field's resolver takes and returns what that returns, without awaiting anything; it raises an
    exception where that is not possible. Nothing of the operation but its checks precedes it, and it changes nothing.
    """
    return {_METADATA_KEY: resolve}


class PlainResolver(NamedTuple):
    """The function that resolves a field, and what must pass before.

    Attributes:
        field: the field.
        checks: the checks, the first one first.
        failures: what returns some of its failures as data, which begins before the checks.
        function: the function; its first parameter is the object that has the field.
        is_async: whether it returns a coroutine.
        info: the name of its parameter for the info object, if it has one.
        arguments: the name of the parameter for each argument of the field.
    """

    field: StrawberryField
    checks: Sequence[FieldCheck]
    failures: FailuresAreData | None
    function: Callable[..., Any]
    is_async: bool
    info: str | None
    arguments: Mapping[str, str]

    @classmethod
    def of(cls, field: GraphQLField, given: Iterable[str]) -> Self | None:
        """Return the resolver of a field for calls with these arguments, or none of them, and null for others.

        None where Strawberry must call it.
        """
        definition = field.extensions.get(_DEFINITION)
        if not isinstance(definition, StrawberryField) or definition.permission_classes:
            return None
        # As Strawberry runs them: each extension surrounds those before it.
        surrounding = list(reversed(definition.extensions))
        failures = surrounding[0] if surrounding and isinstance(surrounding[0], FailuresAreData) else None
        if failures is not None:
            del surrounding[0]
        checks = [each for each in surrounding if isinstance(each, FieldCheck)]
        resolver = definition.base_resolver
        if resolver is None or len(checks) < len(surrounding) or (failures is not None and not resolver.is_async):
            return None
        if resolver.self_parameter is None or resolver.root_parameter or resolver.parent_parameter:
            return None
        if any(get_nullable_type(field.args[name].type) not in _PLAIN_ARGUMENTS for name in given):
            return None
        if any(isinstance(argument.type, StrawberryMaybe) for argument in definition.arguments):
            return None
        names = dict(zip(field.args, (each.python_name for each in definition.arguments), strict=True))
        info = resolver.info_parameter
        function = cast("Callable[..., Any]", resolver.wrapped_func)
        return cls(definition, checks, failures, function, resolver.is_async, info.name if info else None, names)

    def now(self) -> Self | None:
        """Return what resolves the field without awaiting, after the same checks; None where nothing does."""
        if not self.is_async:
            return self
        function = self.field.metadata.get(_METADATA_KEY)
        return self._replace(function=function, is_async=False) if function and self.failures is None else None

    def info_of(self, info: GraphQLResolveInfo[Any]) -> "strawberry.Info[Any, Any]":
        """Return the info object that the checks and the function get."""
        return strawberry.Info(_raw_info=info, _field=self.field)

    def named(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of arguments by the names of their parameters."""
        return {self.arguments[name]: value for name, value in given.items()}

    def check(self, source: Any, info: "strawberry.Info[Any, Any]", arguments: Mapping[str, Any]) -> None:  # noqa: ANN401  an object of any type of the schema
        """Pass if the field of this object may be resolved with these arguments; else raise what the caller gets."""
        for each in self.checks:
            each.check(source, info, arguments)

    def parameters(self, info: "strawberry.Info[Any, Any]", arguments: dict[str, Any]) -> dict[str, Any]:
        """Return what the function gets in addition to the object."""
        return arguments if self.info is None else {**arguments, self.info: info}

    def resolve(self, source: Any, raw_info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:  # noqa: ANN401
        """Check, and return what the function returns; the arguments have the names of its parameters."""
        info = self.info_of(raw_info)
        if self.failures is not None:
            return self._resolve_with(self.failures, source, info, arguments)
        self.check(source, info, arguments)
        return self.function(source, **self.parameters(info, arguments))

    async def _resolve_with(
        self,
        failures: FailuresAreData,
        source: Any,  # noqa: ANN401
        info: "strawberry.Info[Any, Any]",
        arguments: dict[str, Any],
    ) -> object:
        failures.begin(info)
        try:
            self.check(source, info, arguments)
            return await self.function(source, **self.parameters(info, arguments))
        except failures.kinds as failure:
            return failures.value_of(failure, arguments)
