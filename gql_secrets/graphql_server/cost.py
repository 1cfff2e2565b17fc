"""What a document asks for: one walk over its tree, before validation, that remembers the weight of each fragment.

A fragment is weighed once however often it is spread, so a document of a few hundred bytes that would expand to
millions of fields costs microseconds to refuse. The walk assumes nothing: unknown fields, missing fragments and
cycles are ordinary input here.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from math import isfinite
from typing import Final, NamedTuple

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_introspection_query,
    parse,
)

from gql_secrets.graphql_server.errors import DocumentRefused
from gql_secrets.graphql_server.limits import Limits, text_cost
from gql_secrets.graphql_server.schema_costs import SIZE_ARGUMENTS, UNKNOWN_FIELD, FieldCost, field_costs

# Selections inside selections, fragments among them: beyond it the walk would exhaust Python's stack.
MAX_SELECTION_DEPTH: Final = 100
MAX_DIGITS: Final = 64
INTROSPECTION_FIELDS: Final = ("__schema", "__type")


class OperationWeight(NamedTuple):
    """What one operation asks for.

    Attributes:
        depth: fields inside fields.
        fields: the fields.
        root_fields: the fields at the top.
        aliases: the aliases.
        directives: the directives.
        cost: the fields by their weights, times the sizes of the lists around them.
        introspection: the cost of asking for the schema itself, counted apart; 0 where the operation does not.
        bulks: the fields of which an operation may have only one.
        variables: the variables in arguments: with other values the cost is another.
    """

    depth: int
    fields: int
    root_fields: int
    aliases: int
    directives: int
    cost: int
    introspection: int
    bulks: int
    variables: tuple[str, ...]


class _SelectionWeight(NamedTuple):
    """What a selection set asks for. `page` is the cost that counts once for each item of the enclosing page."""

    depth: int
    fields: int
    width: int
    aliases: int
    directives: int
    cost: int
    page: int
    introspection: int
    bulks: int


_NOTHING: Final = _SelectionWeight(0, 0, 0, 0, 0, 0, 0, 0, 0)
_NO_FIELDS: Final[Mapping[str, FieldCost]] = {}


@cache
def _introspection_document() -> DocumentNode:
    """Return how tools ask for the whole schema: in one query, whose cost follows from the schema, not from a limit."""
    return parse(
        get_introspection_query(
            specified_by_url=True,
            directive_is_repeatable=True,
            schema_description=True,
            input_value_deprecation=True,
        )
    )


class Budget:
    """Weighs the operations of documents against the limits, for one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._limits = limits
        self._roots = {
            OperationType.QUERY: schema.query_type.name if schema.query_type else None,
            OperationType.MUTATION: schema.mutation_type.name if schema.mutation_type else None,
            OperationType.SUBSCRIPTION: schema.subscription_type.name if schema.subscription_type else None,
        }
        self._costs = field_costs(schema, limits.list_size)
        document = _introspection_document()
        operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
        self._introspection = self._weigh(operation, fragments_of(document), {}).introspection * 5 // 4

    def check_document(self, document: DocumentNode) -> list[tuple[OperationDefinitionNode, OperationWeight]]:
        """Return the weight of each operation; a size given by a variable counts with the variable's default.

        Raises:
            DocumentRefused: the document or an operation is over a limit.
        """
        limits = self._limits
        operations = []
        fragments = 0
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                operations.append(node)
            elif isinstance(node, FragmentDefinitionNode):
                fragments += 1
            else:
                raise DocumentRefused.because("Only operations and fragments are allowed, not type definitions.")
        _check("The document has {} operations; at most {} are allowed.", len(operations), limits.operations)
        _check("The document has {} fragments; at most {} are allowed.", fragments, limits.fragments)
        named = fragments_of(document)
        return [(operation, self.check_operation(operation, named, {})) for operation in operations]

    def check_operation(
        self,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, object],
    ) -> OperationWeight:
        """Return the weight of the operation with these variables.

        Raises:
            DocumentRefused: it is over a limit.
        """
        limits = self._limits
        weight = self._weigh(operation, fragments, variables)
        _check("Fields are nested {} deep; at most {} are allowed.", weight.depth, limits.depth)
        _check("The operation has {} aliases; at most {} are allowed.", weight.aliases, limits.aliases)
        _check("The operation has {} directives; at most {} are allowed.", weight.directives, limits.directives)
        if operation.operation is OperationType.MUTATION:
            _check(
                "The mutation has {} root fields; at most {} are allowed in one request.",
                weight.root_fields,
                limits.mutation_fields,
            )
            _check("The mutation has {} fields that change many objects; at most {} is allowed.", weight.bulks, 1)
        _check("The operation has {} root fields; at most {} are allowed.", weight.root_fields, limits.root_fields)
        _check("The operation selects {} fields; at most {} are allowed.", weight.fields, limits.fields)
        _check(
            "The operation may cost {}; at most {} is allowed: lower `first` or `last`, select fewer fields, or send "
            "shorter values.",
            weight.cost,
            limits.cost,
        )
        _check(
            "The operation may return {} values of the schema; at most {} are allowed.",
            weight.introspection,
            self._introspection,
        )
        return weight

    def _weigh(
        self,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, object],
    ) -> OperationWeight:
        defaults: dict[str, object] = {
            definition.variable.name.value: _default_size(definition.default_value)
            for definition in operation.variable_definitions or ()
        }
        walk = _Walk(self._costs, fragments, {**defaults, **variables}, self._limits.list_size)
        selections = walk.weigh_selections(operation.selection_set, self._roots[operation.operation])
        return OperationWeight(
            depth=selections.depth,
            fields=selections.fields,
            root_fields=selections.width,
            aliases=selections.aliases,
            directives=selections.directives + len(operation.directives or ()),
            cost=selections.cost + selections.page * self._limits.list_size,
            introspection=selections.introspection,
            bulks=selections.bulks,
            variables=tuple(sorted(walk.variables)),
        )


class _Walk:
    """One walk over one operation."""

    def __init__(
        self,
        costs: Mapping[str, Mapping[str, FieldCost]],
        fragments: Mapping[str, FragmentDefinitionNode],
        values: Mapping[str, object],
        list_size: int,
    ) -> None:
        self.variables: set[str] = set()
        self._costs = costs
        self._fragments = fragments
        self._values = values
        self._list_size = list_size
        self._weighed: dict[str, _SelectionWeight | None] = {}
        self._text_costs: dict[str, int] = {}
        self._depth = 0

    def weigh_selections(self, selection_set: SelectionSetNode, type_name: str | None) -> _SelectionWeight:
        """Return the sum over a selection set, fragments expanded."""
        depth = fields = width = aliases = directives = cost = page = introspection = bulks = leaves = 0
        of_type = self._costs.get(type_name or "", _NO_FIELDS)
        if self._depth >= MAX_SELECTION_DEPTH:
            raise DocumentRefused.because(f"Selections are nested more than {MAX_SELECTION_DEPTH} deep.")
        self._depth += 1
        if not selection_set.selections:
            raise DocumentRefused.because("Syntax error: a selection needs at least one field.")
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                if node.selection_set is None:
                    # Nearly every node is a leaf: it is counted here instead of in a tuple of its own.
                    leaves += 1
                    cost += of_type.get(node.name.value, UNKNOWN_FIELD).own + self._texts(node.arguments)
                    if node.alias:
                        aliases += 1
                    if node.directives:
                        directives += len(node.directives)
                    continue
                weight = self._weigh_field(node, node.selection_set, type_name)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                weight = self.weigh_selections(node.selection_set, condition.name.value if condition else type_name)
            elif isinstance(node, FragmentSpreadNode):
                weight = self._weigh_fragment(node.name.value)
            depth = max(depth, weight.depth)
            fields += weight.fields
            width += weight.width
            aliases += weight.aliases
            directives += weight.directives + len(node.directives or ())
            cost += weight.cost
            page += weight.page
            introspection += weight.introspection
            bulks += weight.bulks
        self._depth -= 1
        return _SelectionWeight(
            depth or min(leaves, 1),
            fields + leaves,
            width + leaves,
            aliases,
            directives,
            cost,
            page,
            introspection,
            bulks,
        )

    def _weigh_fragment(self, name: str) -> _SelectionWeight:
        if name in self._weighed:
            weight = self._weighed[name]
            if weight is None:
                raise DocumentRefused.because("A fragment spreads itself.")
            return weight
        fragment = self._fragments.get(name)
        if fragment is None:
            return _NOTHING
        self._weighed[name] = None
        weight = self.weigh_selections(fragment.selection_set, fragment.type_condition.name.value)
        weight = weight._replace(directives=weight.directives + len(fragment.directives or ()))
        self._weighed[name] = weight
        return weight

    def _weigh_field(self, node: FieldNode, selection_set: SelectionSetNode, type_name: str | None) -> _SelectionWeight:
        name = node.name.value
        field = self._costs.get(type_name or "", _NO_FIELDS).get(name, UNKNOWN_FIELD)
        below = self.weigh_selections(selection_set, field.type_name)
        size = self._size(node, field)
        cost, page = field.own + size * field.row + self._texts(node.arguments), 0
        if field.is_list:
            items = 1 + below.cost + below.page * self._list_size
            if field.is_sized:
                cost += size * items
            else:
                # A list that takes no size of its own, such as `nodes`, is as long as the page around it.
                page = items
        else:
            cost += below.cost + below.page * (size if field.is_sized else self._list_size)
        introspection = below.introspection
        if name in INTROSPECTION_FIELDS:
            cost, introspection = 0, introspection + cost
        return _SelectionWeight(
            below.depth + 1,
            below.fields + 1,
            1,
            below.aliases + (1 if node.alias else 0),
            below.directives,
            cost,
            page,
            introspection,
            below.bulks + field.is_bulk,
        )

    def _size(self, node: FieldNode, field: FieldCost) -> int:
        given = [
            self._size_value(argument.value, field.size)
            for argument in node.arguments or ()
            if argument.name.value in SIZE_ARGUMENTS
        ]
        return max(given, default=field.size)

    def _size_value(self, node: ValueNode, default: int) -> int:
        if isinstance(node, IntValueNode):
            return max(_whole_number(node), 0)
        if isinstance(node, ListValueNode):
            return len(node.values)
        if isinstance(node, VariableNode):
            value = self._values.get(node.name.value)
            if isinstance(value, list):
                return len(value)
            # What is not a whole number is refused later, as a variable that does not fit its type.
            if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
                return max(int(value), 0)
        return default

    def _texts(self, arguments: Iterable[ArgumentNode] | None) -> int:
        """Return what the texts of the variables in these arguments cost: each use of a variable counts."""
        cost = 0
        for argument in arguments or ():
            for name in _variables_in(argument.value):
                if name not in self._text_costs:
                    self.variables.add(name)
                    self._text_costs[name] = text_cost(self._values.get(name))
                cost += self._text_costs[name]
        return cost


def _default_size(node: ValueNode | None) -> object:
    """Return the default of a variable as far as it gives a size: a number, or a list of the same length."""
    if isinstance(node, IntValueNode):
        return _whole_number(node)
    return list(node.values) if isinstance(node, ListValueNode) else None


def _whole_number(node: IntValueNode) -> int:
    """Return the number, or a very large one in place of one whose digits Python would refuse to read."""
    return int(node.value) if len(node.value) <= MAX_DIGITS else 10**MAX_DIGITS


def _variables_in(value: ValueNode) -> Iterator[str]:
    values = [value]
    while values:
        node = values.pop()
        if isinstance(node, VariableNode):
            yield node.name.value
        elif isinstance(node, ListValueNode):
            values.extend(node.values)
        elif isinstance(node, ObjectValueNode):
            values.extend(field.value for field in node.fields)


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """Return the fragments of a document by name."""
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def _check(sentence: str, count: int, allowed: int) -> None:
    if count > allowed:
        # An exact number of two hundred digits helps nobody.
        shown = str(count) if count <= 10 * allowed else f"over {10 * allowed}"
        raise DocumentRefused.because(sentence.format(shown, allowed))
