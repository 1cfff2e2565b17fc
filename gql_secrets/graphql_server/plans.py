"""Selections of plain fields, compiled once for each cached document.

For every object of a list, graphql-core collects the selected fields again, makes a path and an info object for each,
and asks whether each value can be awaited. Most fields need none of that: their value is an attribute of the object, or
a synchronous method of it without arguments. Those are compiled here, once, into functions from values to their
completed forms. So are all others, with arguments, `info` and field extensions, into functions that await
(`awaiting.py`). Directives are evaluated where only variables decide. Left to graphql-core are interfaces and unions,
and everything that fails, because only graphql-core knows the error's path and which field becomes null; a field of a
query can be resolved twice without harm.

A list is completed field by field, not object by object: all values of a field are read, checked and completed
together, mostly by loops of the interpreter itself, which takes half as long.

A list of many values takes longer than an operation may compute without a pause. In an operation that can pause, only
an empty list is made for it at first, and filled later (`unfinished.py`).
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final, TypeAlias, cast

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from gql_secrets.graphql_server import awaiting, completions
from gql_secrets.graphql_server.awaiting import Awaiting
from gql_secrets.graphql_server.completions import (
    Completion,
    Getter,
    constant,
    leaves,
)

# Strawberry's key from a type or field of graphql-core to its own definition.
_DEFINITION: Final = "strawberry-definition"

Plan: TypeAlias = Completion | Awaiting
"""What completes values."""
_MAX_DEPTH: Final = 12
# The directives that leave a selection out unless their argument is this.
_DIRECTIVES: Final = {"include": True, "skip": False}
# For how many combinations of the truths in its variables the plans of a document are kept.
_MAX_TRUTHS: Final = 8


class Plans:
    """The compiled selections of one document, made when first used.

    Keyed by the identity of the document's nodes, which live as long as the document does.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, bool] | None = None,
    ) -> None:
        self._schema = schema
        self.fragments = fragments
        # What decides about directives; None where it is not known.
        self._variables = variables
        self._with_variables: dict[tuple[tuple[str, bool], ...], Plans] = {}
        self._completions: dict[tuple[int, int], Plan | None] = {}
        self._fields: dict[tuple[int, int], Plan | None] = {}
        # How many values one has that each of these completes, those of objects below it counted.
        self._sizes: dict[Plan, int] = {}

    @classmethod
    def of(cls, schema: GraphQLSchema, document: DocumentNode) -> "Plans":
        """Return the plans of a document, none of them compiled yet."""
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        return cls(schema, fragments)

    def with_variables(self, variables: Mapping[str, object]) -> "Plans":
        """Return the plans of the document with these coerced variables, which are the same for the same truths."""
        truths = tuple((name, value) for name, value in variables.items() if isinstance(value, bool))
        if not truths:
            return self
        plans = self._with_variables.get(truths)
        if plans is None:
            if len(self._with_variables) >= _MAX_TRUTHS:
                self._with_variables.clear()
            plans = self._with_variables[truths] = Plans(self._schema, self.fragments, dict(truths))
        return plans

    def completion(self, type_: GraphQLOutputType, node: FieldNode) -> Completion | None:
        """Return what completes values of this type for this field and awaits nothing, or None if there is nothing."""
        made = self._completion(type_, node)
        return made if isinstance(made, Completion) else None

    def awaiting(self, type_: GraphQLOutputType, node: FieldNode) -> Awaiting | None:
        """Return what completes values of this type for this field where `completion` cannot, or None if nothing can.

        It is for queries, and for what was selected below a mutation that was made: a field may be resolved twice.
        """
        made = self._completion(type_, node)
        return made if isinstance(made, Awaiting) else None

    def _completion(self, type_: GraphQLOutputType, node: FieldNode) -> Plan | None:
        key = (id(type_), id(node))
        try:
            return self._completions[key]
        except KeyError:
            made = self._complete(type_, (node,), 0)
            self._completions[key] = made
            return made

    def field(self, parent: GraphQLObjectType, node: FieldNode) -> Completion | None:
        """Return what resolves and completes this field of parents and awaits nothing, or None if there is nothing."""
        key = (id(parent), id(node))
        try:
            made = self._fields[key]
        except KeyError:
            made = None if node.directives else self._field(parent, node.name.value, (node,), 0)
            self._fields[key] = made
        return made if isinstance(made, Completion) else None

    def _complete(self, type_: GraphQLOutputType, nodes: Sequence[FieldNode], depth: int) -> Plan | None:
        if depth > _MAX_DEPTH:
            return None
        if not is_non_null_type(type_):
            return self._complete_nullable(type_, nodes, depth, is_nullable=True)
        return self._complete_nullable(type_.of_type, nodes, depth, is_nullable=False)

    def _complete_nullable(
        self, type_: GraphQLOutputType, nodes: Sequence[FieldNode], depth: int, *, is_nullable: bool
    ) -> Plan | None:
        if is_leaf_type(type_):
            return leaves(type_, is_nullable=is_nullable)
        inner: Plan | None = None
        if is_list_type(type_):
            if (item := self._complete(type_.of_type, nodes, depth)) is not None:
                inner = self._list(item)
        elif is_object_type(type_):
            inner = self._object(type_, [node.selection_set for node in nodes if node.selection_set], depth)
        if isinstance(inner, Awaiting):
            return self._sized(awaiting.optional(inner) if is_nullable else awaiting.required(inner), inner)
        return self._sized(completions.optional(inner), inner) if inner and is_nullable else inner

    def _list(self, item: Plan) -> Plan:
        if isinstance(item, Awaiting):
            return self._sized(awaiting.lists(item), item)
        return self._sized(completions.lists(item, self._sizes.get(item, 1)), item)

    def _object(self, type_: GraphQLObjectType, selection_sets: Sequence[SelectionSetNode], depth: int) -> Plan | None:
        definition = type_.extensions.get(_DEFINITION)
        if not isinstance(definition, StrawberryObjectDefinition) or definition.is_type_of is not None:
            return None
        grouped: dict[str, list[FieldNode]] = {}
        if not all(self._collect(type_, selection_set, grouped, set()) for selection_set in selection_sets):
            return None
        fields: dict[str, Plan] = {}
        for name, nodes in grouped.items():
            made = self._field(type_, name, nodes, depth + 1)
            if made is None:
                return None
            fields[name] = made
        origins = (definition.origin, definition.concrete_of.origin if definition.concrete_of else definition.origin)
        return self._sized(self._of_fields(tuple(set(origins)), fields), *fields.values())

    def _of_fields(self, classes: tuple[type, ...], fields: Mapping[str, Plan]) -> Plan:
        plain = {name: field for name, field in fields.items() if isinstance(field, Completion)}
        if len(plain) == len(fields):
            return completions.objects(classes, plain)
        return awaiting.objects(
            classes, {name: self._in_pieces(field) for name, field in fields.items()}, frozenset(plain)
        )

    def _in_pieces(self, made: Plan) -> Awaiting:
        return made if isinstance(made, Awaiting) else awaiting.in_pieces(made, self._sizes.get(made, 1))

    def _sized(self, made: Plan, *inner: Plan) -> Plan:
        """Return a completion, and remember how many values one has that it completes."""
        self._sizes[made] = sum(self._sizes.get(each, 1) for each in inner)
        return made

    def _collect(
        self,
        type_: GraphQLObjectType,
        selection_set: SelectionSetNode,
        grouped: dict[str, list[FieldNode]],
        visited: set[str],
    ) -> bool:
        """Group the selected fields by response name as the specification does; False where directives decide."""
        for node in selection_set.selections:
            if node.directives and (is_left_out := self._is_left_out(node.directives)) is not False:
                if is_left_out is None:
                    return False
                continue
            if isinstance(node, FieldNode):
                grouped.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
                continue
            fragment: FragmentDefinitionNode | InlineFragmentNode
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in visited:
                    continue
                visited.add(name)
                fragment = self.fragments[name]
            elif isinstance(node, InlineFragmentNode):
                fragment = node
            else:
                return False
            if self._applies(fragment, type_) and not self._collect(type_, fragment.selection_set, grouped, visited):
                return False
        return True

    def _is_left_out(self, directives: Sequence[DirectiveNode]) -> bool | None:
        """Return whether directives leave a selection out; None where something else than a variable decides."""
        is_left_out = False
        for directive in directives:
            value = directive.arguments[0].value if directive.arguments else None
            truth = (self._variables or {}).get(value.name.value) if isinstance(value, VariableNode) else None
            if truth is None or directive.name.value not in _DIRECTIVES:
                return None
            is_left_out = is_left_out or truth is not _DIRECTIVES[directive.name.value]
        return is_left_out

    def _applies(self, fragment: FragmentDefinitionNode | InlineFragmentNode, type_: GraphQLObjectType) -> bool:
        condition = fragment.type_condition
        if condition is None or condition.name.value == type_.name:
            return True
        named = self._schema.get_type(condition.name.value)
        return is_abstract_type(named) and self._schema.is_sub_type(named, type_)

    def _field(self, parent: GraphQLObjectType, name: str, nodes: Sequence[FieldNode], depth: int) -> Plan | None:
        """Return what resolves and completes a field that has this name in the response."""
        field_name = nodes[0].name.value
        if field_name == "__typename":
            return constant(parent.name)
        field = parent.fields.get(field_name)
        complete = field and self._complete(field.type, nodes, depth)
        if field is None or complete is None:
            return None
        get = None if any(node.arguments for node in nodes) else getter_of(field)
        if get is None:
            inner = self._in_pieces(complete)
            return self._sized(awaiting.resolved(name, parent, field, nodes, inner), complete)
        if isinstance(complete, Awaiting):
            return self._sized(awaiting.read(get, complete), complete)
        return self._sized(completions.read(get, complete), complete)


def getter_of(field: GraphQLField) -> Getter | None:
    """Return what reads a plain field off its parent, or None where it is not plain."""
    definition = field.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryField) or definition.extensions or definition.permission_classes:
        return None
    resolver = definition.base_resolver
    if resolver is None:
        return attrgetter(definition.python_name) if definition.default_resolver is getattr else None
    takes_source_alone = (
        not resolver.is_async
        and not resolver.arguments
        and resolver.self_parameter is not None
        and resolver.info_parameter is None
        and resolver.root_parameter is None
        and resolver.parent_parameter is None
    )
    return cast("Getter", resolver.wrapped_func) if takes_source_alone else None
