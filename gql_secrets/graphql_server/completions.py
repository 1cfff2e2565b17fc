"""What completes the values of fields, one or many together: the pieces that compiled selections are made of.

Each raises for values that graphql-core turns into an error or into null, because only graphql-core knows what happens
then. It may raise anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLBoolean,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
    Undefined,
)

from gql_secrets.graphql_server.unfinished import CompleteMany, leave_unfinished
from gql_secrets.pauses import can_pause

# Values of exactly this type are their own completed form.
_OWN_FORM: Final[Mapping[object, type]] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool, GraphQLInt: int}
# A list of more values, those of its items counted, is completed with pauses; one takes less than a microsecond, and a
# few microseconds where a method of the object makes it. A page of 50 clients with 8 fields has no pause.
_MAX_VALUES: Final = 400

# What graphql-core turns into an error, or into null.
_NO_VALUES: Final = (Exception, type(Undefined))

Getter: TypeAlias = Callable[[Any], Any]
"""Returns the value of a field of an object."""


def piece_of(size: int) -> int:
    """Return how many values are completed between two pauses; `size` is the number of values that each of them has."""
    return max(1, _MAX_VALUES // size)


class NotPlain(Exception):  # noqa: N818  a signal to leave a value to graphql-core
    """A value that a compiled selection cannot complete."""


class Completion(NamedTuple):
    """What completes values: one, or many together; of a field, what resolves it first."""

    one: Callable[[Any], Any]
    many: CompleteMany


def constant(value: str) -> Completion:
    """Return what completes any value to this text."""
    return Completion(lambda _: value, lambda values: [value] * len(values))


def read(get: Getter, inner: Completion) -> Completion:
    """Return what reads a field off objects, and completes what was read."""
    complete, complete_many = inner

    def resolve(source: Any) -> Any:  # noqa: ANN401  an object of any type of the schema
        return complete(get(source))

    def resolve_many(sources: list[Any]) -> list[Any]:
        return complete_many(list(map(get, sources)))

    return Completion(resolve, resolve_many)


def optional(inner: Completion) -> Completion:
    """Return what completes values some of which may be null."""
    complete, complete_many = inner

    def complete_present(values: list[Any]) -> list[Any]:
        present = [value for value in values if value is not None]
        if len(present) == len(values):
            return complete_many(values)
        completed = iter(complete_many(present))
        return [None if value is None else next(completed) for value in values]

    return Completion(lambda value: None if value is None else complete(value), complete_present)


def lists(inner: Completion, size: int) -> Completion:
    """Return what completes lists, none of which may be null; `size` is the number of values that each item has."""
    complete_items = inner.many

    def complete(values: list[Any]) -> list[Any]:
        if any(type(value) is not list for value in values):
            raise NotPlain
        if sum(map(len, values)) * size > _MAX_VALUES and can_pause():
            return [leave_unfinished(value, complete_items, piece_of(size)) for value in values]
        completed = iter(complete_items(list(chain.from_iterable(values))))
        return [list(islice(completed, len(value))) for value in values]

    return Completion(lambda value: complete([value])[0], complete)


@dataclass(frozen=True, slots=True)
class Serializer:
    """Serializes the values of a scalar: one, or many together, which takes less time for each."""

    one: Callable[[Any], Any]
    many: Callable[[list[Any]], list[Any]]

    def __call__(self, value: Any) -> Any:  # noqa: ANN401
        """Serialize one: what graphql-core calls."""
        return self.one(value)


def leaves(type_: GraphQLLeafType, *, is_nullable: bool) -> Completion:
    """Return what completes scalars and values of enums."""
    coerce = type_.coerce_output_value
    coerce_many = coerce.many if isinstance(coerce, Serializer) else lambda values: list(map(coerce, values))
    own = _OWN_FORM.get(type_)
    own_forms = {frozenset((own,)), frozenset((own, NoneType))} if is_nullable else {frozenset((own,))}

    def complete_many(values: list[Any]) -> list[Any]:
        types = frozenset(map(type, values))
        if types in own_forms and (own is not int or _are_short(values)):
            return values
        if any(issubclass(type_, _NO_VALUES) for type_ in types):
            raise NotPlain
        if NoneType not in types:
            completed = coerce_many(values)
        elif is_nullable:
            present = iter(coerce_many([value for value in values if value is not None]))
            completed = [None if value is None else next(present) for value in values]
        else:
            raise NotPlain
        if completed.count(None) != values.count(None):
            raise NotPlain
        return completed

    return Completion(_leaf(type_, is_nullable=is_nullable), complete_many)


def _leaf(type_: GraphQLLeafType, *, is_nullable: bool) -> Callable[[Any], Any]:
    coerce, own = type_.coerce_output_value, _OWN_FORM.get(type_)

    def complete(value: Any) -> Any:  # noqa: ANN401
        kind = type(value)
        if kind is own and (own is not int or GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT):
            return value
        if value is None and is_nullable:
            return None
        completed = None if value is None or issubclass(kind, _NO_VALUES) else coerce(value)
        if completed is None:
            raise NotPlain
        return completed

    return complete


def _are_short(values: list[int | None]) -> bool:
    return all(value is None or GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT for value in values)


def objects(classes: tuple[type, ...], fields: Mapping[str, Completion]) -> Completion:
    """Return what completes objects of these classes, none of which may be null, by the completion of each field."""
    names = tuple(fields)
    resolvers = [(name, field.one) for name, field in fields.items()]
    resolvers_of_many = [field.many for field in fields.values()]

    def complete(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, classes):
            raise NotPlain
        return {name: resolve(value) for name, resolve in resolvers}

    def complete_many(values: list[Any]) -> list[Any]:
        if not all(issubclass(type_, classes) for type_ in set(map(type, values))):
            raise NotPlain
        return of_columns(names, [resolve(values) for resolve in resolvers_of_many])

    return Completion(complete, complete_many)


def of_columns(names: Sequence[str], columns: Sequence[list[Any]]) -> list[dict[str, Any]]:
    """Return objects of the values of their fields: the columns, each with the value of one field for all objects.

    Filled a column at a time, which takes less than half of the time of `dict(zip(names, row))` for each.
    """
    (first, *other_names), (values, *other_columns) = names, columns
    made = [{first: value} for value in values]
    for name, column in zip(other_names, other_columns, strict=True):
        for one, value in zip(made, column, strict=True):
            one[name] = value
    return made
