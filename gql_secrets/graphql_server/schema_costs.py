"""What each field of a schema costs the budget: its declared weight, and the length of its list."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    IntValueNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
)
from graphql.utilities import get_default_value_ast

# The arguments that give the size of a list: as a number, or as a list of the same length.
SIZE_ARGUMENTS: Final = ("first", "last", "ids", "targets")
_METADATA_KEY: Final = "weight"
_DEFINITION: Final = "strawberry-definition"


class FieldWeight(NamedTuple):
    """What one field declares that it costs, in units of one plain value: about 3 microseconds of processor time.

    Attributes:
        own: the field itself, regardless of what is selected below it: the rows it reads, the query it makes.
        row: each row of its page, also where nothing of the row is selected.
        size: how long its list may be, where no argument gives it.
        is_bulk: whether an operation may have only one field of this kind.
    """

    own: int = 1
    row: int = 0
    size: int | None = None
    is_bulk: bool = False


def weighs(own: int = 1, *, row: int = 0, size: int | None = None, is_bulk: bool = False) -> Mapping[Any, Any]:
    """Return the metadata of a Strawberry field that declare its weight."""
    return {_METADATA_KEY: FieldWeight(own, row, size, is_bulk)}


def weight_of(field: GraphQLField) -> FieldWeight | None:
    """Return the declared weight of a field, or None."""
    metadata: Mapping[Any, Any] = getattr(field.extensions.get(_DEFINITION), "metadata", None) or {}
    weight = metadata.get(_METADATA_KEY)
    return weight if isinstance(weight, FieldWeight) else None


class FieldCost(NamedTuple):
    """What the budget's walk needs to know of a field.

    Attributes:
        type_name: the composite type below the field, None for a leaf.
        is_list: whether the field is a list.
        is_sized: whether the field takes one of SIZE_ARGUMENTS, or declares the length of its list.
        size: how many items it returns when the caller does not say.
        own: what it costs itself.
        row: what each row of its page costs.
        is_bulk: whether an operation may have only one field of this kind.
    """

    type_name: str | None
    is_list: bool
    is_sized: bool
    size: int
    own: int = 1
    row: int = 0
    is_bulk: bool = False


UNKNOWN_FIELD: Final = FieldCost(None, is_list=False, is_sized=False, size=0)


def field_costs(schema: GraphQLSchema, list_size: int) -> dict[str, dict[str, FieldCost]]:
    """Return the costs of every field of the schema, by type and name.

    Args:
        schema: the schema.
        list_size: the assumed length of a list that has no size.
    """
    sizes = _introspection_sizes(schema)
    costs = {
        type_.name: {
            name: _cost_of(field, sizes.get((type_.name, name), list_size), type_.name)
            for name, field in type_.fields.items()
        }
        for type_ in schema.type_map.values()
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType))
    }
    if schema.query_type:
        root = costs[schema.query_type.name]
        root["__schema"] = FieldCost("__Schema", is_list=False, is_sized=False, size=1)
        root["__type"] = FieldCost("__Type", is_list=False, is_sized=False, size=1)
    return costs


def _cost_of(field: GraphQLField, list_size: int, parent: str) -> FieldCost:
    named = get_named_type(field.type)
    defaults = [get_default_value_ast(field.args[name]) for name in SIZE_ARGUMENTS if name in field.args]
    weight = weight_of(field) or FieldWeight()
    return FieldCost(
        type_name=named.name if is_composite_type(named) else None,
        is_list=_is_list(field.type),
        # The lists of introspection are as long as the schema makes them, regardless of the page around them.
        is_sized=bool(defaults) or weight.size is not None or parent.startswith("__"),
        size=weight.size
        or max((int(size.value) for size in defaults if isinstance(size, IntValueNode)), default=list_size),
        own=weight.own,
        row=weight.row,
        is_bulk=weight.is_bulk,
    )


def _is_list(type_: GraphQLOutputType) -> bool:
    return is_list_type(type_.of_type if is_non_null_type(type_) else type_)


def _introspection_sizes(schema: GraphQLSchema) -> dict[tuple[str, str], int]:
    """Return the lengths of introspection's lists in this schema, on average over the objects that have them."""
    types = list(schema.type_map.values())
    fields = [
        list(type_.fields.values()) if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) else []
        for type_ in types
    ]
    return {
        ("__Schema", "types"): len(types),
        ("__Schema", "directives"): len(schema.directives),
        ("__Directive", "args"): _average(len(directive.args) for directive in schema.directives),
        ("__Type", "fields"): _average(len(of_type) for of_type in fields),
        ("__Field", "args"): _average(len(field.args) for of_type in fields for field in of_type),
        ("__Type", "interfaces"): _average(
            len(type_.interfaces) if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) else 0
            for type_ in types
        ),
        ("__Type", "possibleTypes"): _average(
            len(schema.get_possible_types(type_)) if is_abstract_type(type_) else 0 for type_ in types
        ),
        ("__Type", "enumValues"): _average(
            len(type_.values) if isinstance(type_, GraphQLEnumType) else 0 for type_ in types
        ),
        ("__Type", "inputFields"): _average(
            len(type_.fields) if isinstance(type_, GraphQLInputObjectType) else 0 for type_ in types
        ),
    }


def _average(lengths: Iterable[int]) -> int:
    """Return the mean, rounded up, at least 1."""
    counts = list(lengths)
    return max(1, -(-sum(counts) // max(1, len(counts))))
