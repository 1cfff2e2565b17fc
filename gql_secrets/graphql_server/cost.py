"""What a document may ask for: one walk over its tree, before validation, that remembers what each fragment weighs.

A fragment is weighed once however often it is spread, so a document of a few hundred bytes that would unfold to
millions of fields costs microseconds to refuse. The walk trusts nothing: unknown fields, missing fragments and
cycles are ordinary input here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_introspection_query,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
    parse,
)
from graphql.utilities import get_default_value_ast

from gql_secrets.graphql_server.parsing import DocumentRefused
from gql_secrets.graphql_server.weights import Weighs, weight_of

SIZE_ARGUMENTS = ("first", "last")
DEEPEST_SELECTIONS = 100
"""Selections inside selections, fragments among them: beyond it the walk would exhaust Python's stack."""
INTROSPECTION_FIELDS = ("__schema", "__type")


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of the GraphQL endpoint; a document or a request beyond one of them is refused.

    The defaults keep the longest accepted document below 50 ms of CPU and a refused one below 15 ms
    (tests/benchmarks/budget_cost.py measures both).
    """

    body_bytes: int = 131_072
    """Bytes of a request's body, variables included."""
    body_seconds: float = 30.0
    """How long a body may take to arrive."""
    document_bytes: int = 65_536
    """Bytes of a document."""
    tokens: int = 400
    """Lexical tokens of a document: what parsing and validation cost grows with them."""
    literal_characters: int = 16_384
    """Characters of all text literals of a document together."""
    operations: int = 8
    """Operations in one document."""
    fragments: int = 30
    """Fragments in one document."""
    depth: int = 15
    """Fields inside fields, fragments unfolded; the deepest introspection query of the common tools needs all 15."""
    fields: int = 1_000
    """Fields of one operation, fragments unfolded."""
    root_fields: int = 20
    """Fields at the top of one query."""
    mutation_fields: int = 5
    """Fields at the top of one mutation: each is a transaction of its own."""
    aliases: int = 30
    """Aliases of one operation, fragments unfolded."""
    directives: int = 30
    """Directives of one operation, fragments unfolded."""
    cost: int = 5_000
    """What one operation may cost: every field by its weight (api/graphql/weights.py), times the sizes of the lists
    around it."""
    list_size: int = 10
    """How long a list is taken to be where neither an argument nor a default says it."""
    comparisons: int = 3_000
    """Work that validation may spend on comparing fields of the same response name."""
    errors: int = 10
    """Errors of one answer to a document that is not valid."""
    variable_values: int = 1_000
    """Values in `variables`, list items and object fields counted."""
    variable_depth: int = 10
    """Lists and objects inside each other in `variables`."""
    cached_documents: int = 1_000
    """Documents kept parsed and validated."""
    cached_bytes: int = 16 * 1024 * 1024
    """Memory that the kept documents may take, by estimate."""


class Weight(NamedTuple):
    """What one operation asks for."""

    depth: int
    fields: int
    root_fields: int
    aliases: int
    directives: int
    cost: int
    introspection: int
    """The cost of asking for the schema itself, apart; 0 where the operation does not."""
    size_variables: tuple[str, ...]
    """The variables that lists' sizes depend on: with other values the cost is another."""


class _Field(NamedTuple):
    """What the walk needs to know of a field of the schema."""

    type_name: str | None
    """The composite type below the field, None for a leaf."""
    is_list: bool
    sized: bool
    """Whether the field takes one of SIZE_ARGUMENTS, or says how long it may be."""
    size: int
    """How many items it gives when the caller does not say."""
    own: int = 1
    """What it costs itself."""
    row: int = 0
    """What each row of its page costs."""


class _Part(NamedTuple):
    """What a selection set asks for. `page` is the cost that counts once for each item of the enclosing page."""

    depth: int
    fields: int
    width: int
    aliases: int
    directives: int
    cost: int
    page: int
    introspection: int


NOTHING = _Part(0, 0, 0, 0, 0, 0, 0, 0)
UNKNOWN = _Field(None, is_list=False, sized=False, size=0)
_NO_FIELDS: Mapping[str, _Field] = {}


class Budget:
    """Weighs the operations of documents against the limits, for one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._limits = limits
        self._roots = {
            OperationType.QUERY: schema.query_type.name if schema.query_type else None,
            OperationType.MUTATION: schema.mutation_type.name if schema.mutation_type else None,
            OperationType.SUBSCRIPTION: schema.subscription_type.name if schema.subscription_type else None,
        }
        self._fields = _fields_of(schema, limits)
        # Tools ask for the whole schema in one query, whose cost follows from the schema and not from a limit.
        tools = parse(
            get_introspection_query(
                specified_by_url=True,
                directive_is_repeatable=True,
                schema_description=True,
                input_value_deprecation=True,
            )
        )
        operation = next(node for node in tools.definitions if isinstance(node, OperationDefinitionNode))
        self._introspection = self._weigh(operation, fragments_of(tools), {}).introspection * 5 // 4

    def check_document(self, document: DocumentNode) -> list[tuple[OperationDefinitionNode, Weight]]:
        """What each operation asks for, or DocumentRefused; sizes given by variables count with their defaults."""
        limits = self._limits
        operations = []
        fragments = 0
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                operations.append(node)
            elif isinstance(node, FragmentDefinitionNode):
                fragments += 1
            else:
                raise DocumentRefused.because("The document defines types; only operations and fragments run here.")
        _bound("The document has {} operations; at most {} are allowed.", len(operations), limits.operations)
        _bound("The document has {} fragments; at most {} are allowed.", fragments, limits.fragments)
        named = fragments_of(document)
        return [(operation, self.check_operation(operation, named, {})) for operation in operations]

    def check_operation(
        self,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, object],
    ) -> Weight:
        """What the operation asks for with these variables, or DocumentRefused."""
        limits = self._limits
        weight = self._weigh(operation, fragments, variables)
        _bound("Fields are nested {} deep; at most {} are allowed.", weight.depth, limits.depth)
        _bound("The operation has {} aliases; at most {} are allowed.", weight.aliases, limits.aliases)
        _bound("The operation has {} directives; at most {} are allowed.", weight.directives, limits.directives)
        if operation.operation is OperationType.MUTATION:
            _bound(
                "The mutation changes {} things; at most {} are allowed in one request.",
                weight.root_fields,
                limits.mutation_fields,
            )
        _bound("The operation has {} root fields; at most {} are allowed.", weight.root_fields, limits.root_fields)
        _bound("The operation asks for {} fields; at most {} are allowed.", weight.fields, limits.fields)
        _bound(
            "The operation may cost {}; at most {} are allowed: lower `first` or `last`, or ask for fewer fields.",
            weight.cost,
            limits.cost,
        )
        _bound(
            "The operation may ask for {} values of the schema; at most {} are allowed.",
            weight.introspection,
            self._introspection,
        )
        return weight

    def _weigh(
        self,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, object],
    ) -> Weight:
        defaults: dict[str, object] = {
            definition.variable.name.value: int(definition.default_value.value)
            for definition in operation.variable_definitions or ()
            if isinstance(definition.default_value, IntValueNode)
        }
        walk = _Walk(self._fields, fragments, {**defaults, **variables}, self._limits.list_size)
        part = walk.selections(operation.selection_set, self._roots[operation.operation])
        return Weight(
            depth=part.depth,
            fields=part.fields,
            root_fields=part.width,
            aliases=part.aliases,
            directives=part.directives + len(operation.directives or ()),
            cost=part.cost + part.page * self._limits.list_size,
            introspection=part.introspection,
            size_variables=tuple(sorted(walk.size_variables)),
        )


class _Walk:
    """One walk over one operation."""

    def __init__(
        self,
        fields: Mapping[str, Mapping[str, _Field]],
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, object],
        list_size: int,
    ) -> None:
        self.size_variables: set[str] = set()
        self._fields = fields
        self._fragments = fragments
        self._variables = variables
        self._list_size = list_size
        self._weighed: dict[str, _Part | None] = {}
        self._inside = 0

    def selections(self, selection_set: SelectionSetNode, type_name: str | None) -> _Part:
        """The sum over a selection set, fragments unfolded."""
        depth = fields = width = aliases = directives = cost = page = introspection = leaves = 0
        of_type = self._fields.get(type_name or "", _NO_FIELDS)
        if self._inside >= DEEPEST_SELECTIONS:
            raise DocumentRefused.because(f"Selections are nested more than {DEEPEST_SELECTIONS} deep.")
        self._inside += 1
        if not selection_set.selections:
            raise DocumentRefused.because("Syntax error: a selection needs at least one field.")
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                if node.selection_set is None:
                    # Nearly every node is a leaf: it is counted here instead of in a part of its own.
                    leaves += 1
                    cost += of_type.get(node.name.value, UNKNOWN).own
                    if node.alias:
                        aliases += 1
                    if node.directives:
                        directives += len(node.directives)
                    continue
                part = self._field(node, node.selection_set, type_name)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                part = self.selections(node.selection_set, condition.name.value if condition else type_name)
            elif isinstance(node, FragmentSpreadNode):
                part = self._fragment(node.name.value)
            depth = max(depth, part.depth)
            fields += part.fields
            width += part.width
            aliases += part.aliases
            directives += part.directives + len(node.directives or ())
            cost += part.cost
            page += part.page
            introspection += part.introspection
        self._inside -= 1
        return _Part(
            depth or min(leaves, 1),
            fields + leaves,
            width + leaves,
            aliases,
            directives,
            cost,
            page,
            introspection,
        )

    def _fragment(self, name: str) -> _Part:
        if name in self._weighed:
            part = self._weighed[name]
            if part is None:
                raise DocumentRefused.because("A fragment spreads itself.")
            return part
        fragment = self._fragments.get(name)
        if fragment is None:
            return NOTHING
        self._weighed[name] = None
        part = self.selections(fragment.selection_set, fragment.type_condition.name.value)
        part = part._replace(directives=part.directives + len(fragment.directives or ()))
        self._weighed[name] = part
        return part

    def _field(self, node: FieldNode, selection_set: SelectionSetNode, type_name: str | None) -> _Part:
        name = node.name.value
        known = self._fields.get(type_name or "", {}).get(name, UNKNOWN)
        below = self.selections(selection_set, known.type_name)
        size = self._size(node, known)
        cost, page = known.own + size * known.row, 0
        if known.is_list:
            items = 1 + below.cost + below.page * self._list_size
            if known.sized:
                cost += size * items
            else:
                # A list that takes no size of its own, such as `nodes`, is as long as the page it stands on.
                page = items
        else:
            cost += below.cost + below.page * (size if known.sized else self._list_size)
        introspection = below.introspection
        if name in INTROSPECTION_FIELDS:
            cost, introspection = 0, introspection + cost
        return _Part(
            below.depth + 1,
            below.fields + 1,
            1,
            below.aliases + (1 if node.alias else 0),
            below.directives,
            cost,
            page,
            introspection,
        )

    def _size(self, node: FieldNode, known: _Field) -> int:
        given = [
            self._value(argument.value, known.size)
            for argument in node.arguments or ()
            if argument.name.value in SIZE_ARGUMENTS
        ]
        return max(given, default=known.size)

    def _value(self, node: ValueNode, default: int) -> int:
        if isinstance(node, IntValueNode):
            return max(int(node.value), 0)
        if isinstance(node, VariableNode):
            name = node.name.value
            self.size_variables.add(name)
            value = self._variables.get(name)
            # What is no whole number is refused later, as a variable that does not fit its type.
            if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
                return max(int(value), 0)
        return default


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """The fragments of a document by name."""
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def check_variables(variables: Mapping[str, object], limits: Limits) -> None:
    """Raise DocumentRefused if `variables` holds too many values or nests too deeply."""
    count = 0
    level: list[object] = [variables]
    for _ in range(limits.variable_depth + 1):
        inside: list[object] = []
        for value in level:
            if isinstance(value, Mapping):
                inside.extend(value.values())
            elif isinstance(value, list):
                inside.extend(value)
        if not inside:
            return
        count += len(inside)
        if count > limits.variable_values:
            raise DocumentRefused.because(f"The variables hold more than {limits.variable_values} values.")
        level = inside
    raise DocumentRefused.because(f"The variables are nested more than {limits.variable_depth} deep.")


def _bound(sentence: str, found: int, allowed: int) -> None:
    if found > allowed:
        # An exact number of two hundred digits helps nobody.
        told = str(found) if found <= 10 * allowed else f"over {10 * allowed}"
        raise DocumentRefused.because(sentence.format(told, allowed))


def _fields_of(schema: GraphQLSchema, limits: Limits) -> dict[str, dict[str, _Field]]:
    """What the walk needs to know of every field of the schema, by type and name."""
    sizes = _introspection_sizes(schema)
    known = {
        type_.name: {
            name: _field_of(field, sizes.get((type_.name, name), limits.list_size), type_.name)
            for name, field in type_.fields.items()
        }
        for type_ in schema.type_map.values()
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType))
    }
    if schema.query_type:
        root = known[schema.query_type.name]
        root["__schema"] = _Field("__Schema", is_list=False, sized=False, size=1)
        root["__type"] = _Field("__Type", is_list=False, sized=False, size=1)
    return known


def _field_of(field: GraphQLField, list_size: int, parent: str) -> _Field:
    named = get_named_type(field.type)
    sizes = [get_default_value_ast(field.args[name]) for name in SIZE_ARGUMENTS if name in field.args]
    weight = weight_of(field) or Weighs()
    return _Field(
        type_name=named.name if is_composite_type(named) else None,
        is_list=_is_list(field.type),
        # The lists of introspection are as long as the schema has them, whatever page they stand on.
        sized=bool(sizes) or weight.size is not None or parent.startswith("__"),
        size=weight.size
        or max((int(size.value) for size in sizes if isinstance(size, IntValueNode)), default=list_size),
        own=weight.own,
        row=weight.row,
    )


def _is_list(type_: GraphQLOutputType) -> bool:
    return is_list_type(type_.of_type if is_non_null_type(type_) else type_)


def _introspection_sizes(schema: GraphQLSchema) -> dict[tuple[str, str], int]:
    """How long the lists of introspection are in this schema, on average over what they are asked of."""
    types = list(schema.type_map.values())
    fields = [
        list(type_.fields.values()) if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) else []
        for type_ in types
    ]
    return {
        ("__Schema", "types"): len(types),
        ("__Schema", "directives"): len(schema.directives),
        ("__Directive", "args"): _average(len(directive.args) for directive in schema.directives),
        ("__Type", "fields"): _average(len(found) for found in fields),
        ("__Field", "args"): _average(len(field.args) for found in fields for field in found),
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
    """The mean, rounded up, at least 1."""
    found = list(lengths)
    return max(1, -(-sum(found) // max(1, len(found))))
