"""Selections of plain fields, compiled once for each cached document.

For every object of a list, graphql-core collects the selected fields again, makes a path and an info object for each,
and asks whether each value can be awaited. Most fields need none of that: their value is an attribute of the object, or
a synchronous method of it without arguments. Those are compiled here, once, into functions from a value to its
completed form. Everything else is left to graphql-core: arguments, resolvers that take `info`, field extensions,
directives, interfaces and unions. So is everything that fails, because only graphql-core knows the error's path and
which field becomes null; a plain field can be resolved twice without harm.

A list of many values takes longer than an operation may compute without a pause. In an operation that can pause, only
an empty list is made for it at first, and filled later (`unfinished.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from operator import attrgetter
from types import NoneType
from typing import Any, Final, NamedTuple, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLBoolean,
    GraphQLField,
    GraphQLID,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLString,
    InlineFragmentNode,
    SelectionSetNode,
    Undefined,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from gql_secrets.graphql_server.unfinished import Completion, UnfinishedList, finish, leave_unfinished, take_unfinished
from gql_secrets.pauses import can_pause

# Strawberry's key from a type or field of graphql-core to its own definition.
_DEFINITION: Final = "strawberry-definition"
# Values of exactly this type are their own completed form.
_OWN_FORM: Final[Mapping[object, type]] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
_MAX_DEPTH: Final = 12
# `attrgetter` returns a tuple for two names or more.
_MIN_TEXTS: Final = 2
_MAX_KNOWN: Final = 64
# A list of more values, those of its items counted, is completed with pauses; one takes some microseconds.
_MAX_VALUES: Final = 200


class NotPlain(Exception):  # noqa: N818  a signal to leave a value to graphql-core
    """A value that a compiled selection cannot complete."""


class Plans:
    """The compiled selections of one document, made when first used.

    Keyed by the identity of the document's nodes, which live as long as the document does.
    """

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self.fragments = fragments
        self._completions: dict[tuple[int, int], Completion | None] = {}
        self._fields: dict[tuple[int, int], Completion | None] = {}
        # How many values an object has that each of these completes, those of objects below it counted.
        self._sizes: dict[Completion, int] = {}

    @classmethod
    def of(cls, schema: GraphQLSchema, document: DocumentNode) -> "Plans":
        """Return the plans of a document, none of them compiled yet."""
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        return cls(schema, fragments)

    def completion(self, type_: GraphQLOutputType, node: FieldNode) -> Completion | None:
        """Return what completes a value of this type for this field, or None where graphql-core must."""
        key = (id(type_), id(node))
        try:
            return self._completions[key]
        except KeyError:
            made = self._complete(type_, (node,), 0)
            self._completions[key] = made
            return made

    def field(self, parent: GraphQLObjectType, node: FieldNode) -> Completion | None:
        """Return what resolves and completes this field of a parent, or None where graphql-core must."""
        key = (id(parent), id(node))
        try:
            return self._fields[key]
        except KeyError:
            made = None if node.directives else self._field(parent, (node,), 0)
            self._fields[key] = made
            return made

    def _complete(self, type_: GraphQLOutputType, nodes: Sequence[FieldNode], depth: int) -> Completion | None:
        if depth > _MAX_DEPTH:
            return None
        if is_non_null_type(type_):
            inner = self._complete(type_.of_type, nodes, depth)
            return inner and self._sized(_non_null(inner), inner)
        if is_list_type(type_):
            inner = self._complete(type_.of_type, nodes, depth)
            return inner and self._sized(_list(inner, self._sizes.get(inner, 1)), inner)
        if is_leaf_type(type_):
            return _leaf(type_.coerce_output_value, _OWN_FORM.get(type_))
        if is_object_type(type_):
            sets = [node.selection_set for node in nodes if node.selection_set]
            return self._object(type_, sets, depth)
        return None

    def _object(
        self, type_: GraphQLObjectType, selection_sets: Sequence[SelectionSetNode], depth: int
    ) -> Completion | None:
        definition = type_.extensions.get(_DEFINITION)
        if not isinstance(definition, StrawberryObjectDefinition) or definition.is_type_of is not None:
            return None
        grouped: dict[str, list[FieldNode]] = {}
        if not all(self._collect(type_, selection_set, grouped, set()) for selection_set in selection_sets):
            return None
        fields: dict[str, Completion] = {}
        texts: dict[str, _Text] = {}
        for name, nodes in grouped.items():
            made = self._field(type_, nodes, depth + 1)
            if made is None:
                return None
            fields[name] = made
            if (text := _text_of(type_.fields.get(nodes[0].name.value))) is not None:
                texts[name] = text
        origins = {definition.origin, definition.concrete_of.origin if definition.concrete_of else definition.origin}
        return self._sized(_object(tuple(origins), fields, texts), *fields.values())

    def _sized(self, made: Completion, *inner: Completion) -> Completion:
        """Return a completion, and remember how many values an object has that it completes."""
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
            if node.directives:
                return False
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

    def _applies(self, fragment: FragmentDefinitionNode | InlineFragmentNode, type_: GraphQLObjectType) -> bool:
        condition = fragment.type_condition
        if condition is None or condition.name.value == type_.name:
            return True
        return any(interface.name == condition.name.value for interface in type_.interfaces)

    def _field(self, parent: GraphQLObjectType, nodes: Sequence[FieldNode], depth: int) -> Completion | None:
        name = nodes[0].name.value
        if name == "__typename":
            return _constant(parent.name)
        field = parent.fields.get(name)
        if field is None or any(node.arguments for node in nodes):
            return None
        get = getter_of(field)
        if get is None:
            return None
        complete = self._complete(field.type, nodes, depth)
        if complete is None:
            return None

        def resolve(source: Any) -> Any:  # noqa: ANN401  an object of any type of the schema
            return complete(get(source))

        return self._sized(resolve, complete)


class PlannedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's executor, with the compiled selections of the document where there are any."""

    def __init__(self, *args: Any, plans: Plans | None = None, **given: Any) -> None:  # noqa: ANN401  as its base
        super().__init__(*args, **given)
        self._plans = plans

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,  # noqa: ANN401
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Resolve and complete a field by its plan, or as graphql-core does."""
        if self._plans is not None and source is not None and len(field_details_list) == 1:
            node = field_details_list[0].node
            resolve = self._plans.field(parent_type, node)
            if resolve is not None:
                try:
                    completed = resolve(source)
                except Exception:  # noqa: BLE001  graphql-core does it again and says where it failed
                    take_unfinished()
                else:
                    if node.selection_set is None or not (unfinished := take_unfinished()):
                        return completed
                    again = partial(
                        super().execute_field, parent_type, source, field_details_list, path, position_context
                    )
                    return _finished(completed, unfinished, again)
        return super().execute_field(parent_type, source, field_details_list, path, position_context)

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,  # noqa: ANN401
        position_context: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Complete a value by its plan, or as graphql-core does."""
        if self._plans is not None and len(field_details_list) == 1:
            node = field_details_list[0].node
            complete = self._plans.completion(return_type, node)
            if complete is not None:
                try:
                    completed = complete(result)
                except Exception:  # noqa: BLE001  graphql-core does it again and says where it failed
                    take_unfinished()
                else:
                    if node.selection_set is None or not (unfinished := take_unfinished()):
                        return completed
                    again = partial(
                        super().complete_value, return_type, field_details_list, info, path, result, position_context
                    )
                    return _finished(completed, unfinished, again)
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)


async def _finished(completed: Any, unfinished: list[UnfinishedList], again: Callable[[], Any]) -> Any:  # noqa: ANN401
    try:
        await finish(unfinished)
    except Exception:  # noqa: BLE001  graphql-core does it again and says where it failed
        done = again()
        return await done if isawaitable(done) else done
    return completed


def getter_of(field: GraphQLField) -> Completion | None:
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
    return cast("Completion", resolver.wrapped_func) if takes_source_alone else None


def _constant(value: str) -> Completion:
    def complete(_: object) -> str:
        return value

    return complete


def _non_null(inner: Completion) -> Completion:
    def complete(value: Any) -> Any:  # noqa: ANN401
        completed = inner(value)
        if completed is None:
            raise NotPlain
        return completed

    return complete


def _list(inner: Completion, size: int) -> Completion:
    """Return what completes a list; `size` is the number of values that each of its items has."""

    def complete(value: Any) -> Any:  # noqa: ANN401
        if value is None:
            return None
        if type(value) is not list:
            raise NotPlain
        if len(value) * size > _MAX_VALUES and can_pause():
            completed: list[Any] = []
            leave_unfinished(completed, value, inner)
            return completed
        return [inner(item) for item in value]

    return complete


def _leaf(coerce: Completion, own: type | None) -> Completion:
    def complete(value: Any) -> Any:  # noqa: ANN401
        if value is None or type(value) is own:
            return value
        if value is Undefined or isinstance(value, Exception):
            raise NotPlain
        completed = coerce(value)
        if completed is None:
            raise NotPlain
        return completed

    return complete


class _Text(NamedTuple):
    """A field whose value is an attribute that is its own completed form, if it has one of these types."""

    attribute: str
    types: frozenset[type]


def _text_of(field: GraphQLField | None) -> _Text | None:
    if field is None or not isinstance(getter_of(field), attrgetter):
        return None
    name: str = field.extensions[_DEFINITION].python_name
    if is_non_null_type(field.type):
        own = _OWN_FORM.get(field.type.of_type)
        return _Text(name, frozenset((own,))) if own else None
    own = _OWN_FORM.get(field.type)
    return _Text(name, frozenset((own, NoneType))) if own else None


def _object(classes: tuple[type, ...], fields: Mapping[str, Completion], texts: Mapping[str, _Text]) -> Completion:
    """Return what completes an object: its texts all together, the other fields one after the other."""
    if len(texts) < _MIN_TEXTS:
        texts = {}
    others = [(name, resolve) for name, resolve in fields.items() if name not in texts]
    in_order = dict.fromkeys(fields)
    read = attrgetter(*(text.attribute for text in texts.values())) if texts else _nothing
    # The types of texts that were found to be as they must be.
    known: set[tuple[type, ...]] = set()

    def is_known(types: tuple[type, ...]) -> bool:
        are_own = all(type_ in text.types for type_, text in zip(types, texts.values(), strict=True))
        if are_own and len(known) < _MAX_KNOWN:
            known.add(types)
        return are_own

    def complete(value: Any) -> Any:  # noqa: ANN401
        if value is None:
            return None
        if not isinstance(value, classes):
            raise NotPlain
        values = read(value)
        types = tuple(map(type, values))
        if types not in known and not is_known(types):
            return {name: resolve(value) for name, resolve in fields.items()}
        completed: dict[str, Any] = in_order.copy()
        completed.update(zip(texts, values, strict=True))
        for name, resolve in others:
            completed[name] = resolve(value)
        return completed

    return complete


def _nothing(_: object) -> tuple[()]:
    return ()
