"""Operations of one field, compiled with their document and executed without graphql-core's executor.

Most requests ask for one field with plain selections below it: a client, or a list of them. For these, the executor's
own work (collecting the fields, coercing variables by their types, an info object and a path for each value) costs more
than the answer. Here the field's resolver, with all its extensions and guards, is called as graphql-core calls it, and
`plans.py` completes the result. Everything else is left to graphql-core: other operations, directives, variables that
are not plain texts or whole numbers, values of the wrong type, and results that a plan cannot complete. A query is
executed again for these, since it changes nothing. A mutation is made once: graphql-core completes what its resolver
returned.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple, TypeGuard, cast

from graphql import (
    GRAPHQL_MAX_INT,
    ExecutionResult,
    FieldNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLResolveInfoHelpers,
    GraphQLSchema,
    GraphQLString,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    get_argument_values,
    get_nullable_type,
    is_non_null_type,
    located_error,
    type_from_ast,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from strawberry.execution import optimized_is_awaitable

from gql_secrets.graphql_server.awaiting import Awaiting
from gql_secrets.graphql_server.completions import Completion
from gql_secrets.graphql_server.plans import Plans
from gql_secrets.graphql_server.resolvers import PlainResolver
from gql_secrets.graphql_server.selections import KeptNodes
from gql_secrets.graphql_server.unfinished import finish, take_unfinished

# Strawberry's faster test, typed as graphql-core wants it.
is_awaitable: Final = cast("Callable[[object], TypeGuard[Awaitable[Any]]]", optimized_is_awaitable)


async def _gather(values: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*values)


_HELPERS: Final = GraphQLResolveInfoHelpers(gather=_gather, track=lambda _values: None)
_TYPENAME: Final = "__typename"
# Of the attributes of an info object, the place of `variable_values`, which `context` follows.
_VARIABLES: Final = GraphQLResolveInfo._fields.index("variable_values")
# Values of exactly this type are their own coerced form.
_OWN_FORM: Final[Mapping[object, type]] = {GraphQLString: str, GraphQLID: str, GraphQLInt: int}


class MadeMutation(NamedTuple):
    """What the resolver of a mutation returned, which graphql-core must complete."""

    value: object

    def resolve(self, next_: Callable[..., Any], source: object, info: GraphQLResolveInfo[Any], **given: object) -> Any:  # noqa: ANN401
        """Return it in place of the mutation: a middleware of graphql-core."""
        return self.value if info.path.prev is None else next_(source, info, **given)


@dataclass(frozen=True, slots=True)
class DirectOperation:
    """A compiled query or mutation.

    Attributes:
        changes: whether it is a mutation.
        name: the name of its field in the response.
        info: the info object of the resolver, without variables and context.
        resolve: the field's resolver.
        complete: what completes the resolver's result.
        variables: the type that the value of each variable must have.
        arguments: the arguments that do not depend on variables.
        from_variables: the names of the other arguments, each with its variable.
        resolve_now: of a query that a plan completes without awaiting, a resolver that awaits nothing, if there is one.
        reads: whether that one reads the database, which it can only where a read need not be awaited.
    """

    changes: bool
    name: str
    info: GraphQLResolveInfo[Any]
    resolve: Callable[..., Any]
    complete: Completion | Awaiting
    variables: Mapping[str, type]
    arguments: Mapping[str, object]
    from_variables: Sequence[tuple[str, str]]
    resolve_now: Callable[..., Any] | None = None
    reads: bool = False

    def accepts(self, given: Mapping[str, object]) -> bool:
        """Whether these variables need no coercion by graphql-core."""
        for name, type_ in self.variables.items():
            value = given.get(name)
            if type(value) is not type_ or (isinstance(value, int) and abs(value) > GRAPHQL_MAX_INT):
                return False
        return True

    async def execute(self, given: Mapping[str, object], context: object) -> ExecutionResult | MadeMutation | None:
        """Return the result with these variables, or None where graphql-core must execute the operation.

        A mutation that was made, and whose result graphql-core must complete, is returned as `MadeMutation`.
        """
        asked = self._ask(given, context)
        if asked is None:
            return None
        info, arguments = asked
        try:
            value = self.resolve(None, info, **arguments)
            if is_awaitable(value):
                value = await value
        except Exception as failure:  # noqa: BLE001  as graphql-core: the failure of a field is an error of the result
            error = located_error(failure, self.info.field_nodes, [self.name])
            return ExecutionResult(None if is_non_null_type(self.info.return_type) else {self.name: None}, [error])
        try:
            completed = await self._completed(value, info)
        except Exception:  # noqa: BLE001  graphql-core says where it failed
            take_unfinished()
            return MadeMutation(value) if self.changes else None
        return ExecutionResult({self.name: completed}, None)

    async def _completed(self, value: object, info: GraphQLResolveInfo[Any]) -> object:
        if isinstance(self.complete, Awaiting):
            [completed] = await self.complete.many([value], info)
            return completed
        completed = self.complete.one(value)
        if unfinished := take_unfinished():
            await finish(unfinished)
        return completed

    def execute_now(self, given: Mapping[str, object], context: object) -> ExecutionResult | None:
        """Return the result of a query that awaits nothing and does not fail; None for any other: call `execute`."""
        asked = self._ask(given, context)
        if asked is None or self.resolve_now is None or isinstance(self.complete, Awaiting):
            return None
        info, arguments = asked
        try:
            completed = self.complete.one(self.resolve_now(None, info, **arguments))
        except Exception:  # noqa: BLE001  `execute` says what failed
            take_unfinished()
            return None
        return None if take_unfinished() else ExecutionResult({self.name: completed}, None)

    def _ask(
        self, given: Mapping[str, object], context: object
    ) -> tuple[GraphQLResolveInfo[Any], dict[str, object]] | None:
        """Return the info and the arguments of the resolver; None for variables that graphql-core must coerce."""
        if not self.accepts(given):
            return None
        variables = {name: given[name] for name in self.variables}
        arguments = dict(self.arguments)
        for name, variable in self.from_variables:
            arguments[name] = variables[variable]
        before, after = self.info[:_VARIABLES], self.info[_VARIABLES + 2 :]
        # `_replace` would take twice as long.
        info: GraphQLResolveInfo[Any] = GraphQLResolveInfo._make(
            (*before, VariableValues({}, variables), context, *after)
        )
        return info, arguments


def compile_operation(
    schema: GraphQLSchema, plans: Plans, operation: OperationDefinitionNode
) -> DirectOperation | None:
    """Return the compiled form of an operation of a valid document, or None where graphql-core must execute it."""
    changes = operation.operation is OperationType.MUTATION
    root = schema.mutation_type if changes else schema.query_type
    selections = operation.selection_set.selections
    if root is None or operation.operation is OperationType.SUBSCRIPTION:
        return None
    if operation.directives or len(selections) != 1:
        return None
    [node] = selections
    if not isinstance(node, FieldNode) or node.directives:
        return None
    field, variables = _field_of(root, node.name.value), _variable_types(schema, operation)
    if field is None or field.resolve is None or variables is None:
        return None
    complete = plans.completion(field.type, node) or plans.awaiting(field.type, node)
    arguments = _arguments_of(field, node)
    if complete is None or arguments is None:
        return None
    literals, from_variables = arguments
    given = [argument for argument, value in literals.items() if value is not None]
    plain = PlainResolver.of(field, [*given, *(argument for argument, _ in from_variables)])
    if plain is not None:
        literals = plain.named(literals)
        from_variables = [(plain.arguments[argument], variable) for argument, variable in from_variables]
    name = node.alias.value if node.alias else node.name.value
    info = GraphQLResolveInfo(
        node.name.value,
        KeptNodes([node], plans.fragments),
        field.type,
        root,
        Path(None, name, root.name),
        schema,
        dict(plans.fragments),
        None,
        operation,
        VariableValues({}, {}),
        None,
        is_awaitable,
        None,
        _HELPERS,
    )
    resolve = plain.resolve if plain is not None else field.resolve
    resolve_now, reads = None, False
    if not changes and isinstance(complete, Completion):
        resolve_now, reads = _resolver_now(plain, resolve)
    return DirectOperation(
        changes,
        name,
        info,
        resolve,
        complete,
        variables,
        literals,
        from_variables,
        resolve_now,
        reads,
    )


def _resolver_now(plain: PlainResolver | None, resolve: Callable[..., Any]) -> tuple[Callable[..., Any] | None, bool]:
    """Return the resolver that awaits nothing, if there is one, and whether it reads the database."""
    if plain is None:
        return (None if iscoroutinefunction(resolve) else resolve), False
    now = plain.now()
    return (now.resolve if now else None), plain.is_async


def _field_of(root: GraphQLObjectType, name: str) -> GraphQLField | None:
    if name == _TYPENAME:
        return GraphQLField(GraphQLNonNull(GraphQLString), resolve=lambda _source, info: info.parent_type.name)
    field: GraphQLField | None = root.fields.get(name)
    return field


def _variable_types(schema: GraphQLSchema, operation: OperationDefinitionNode) -> dict[str, type] | None:
    types: dict[str, type] = {}
    for definition in operation.variable_definitions or ():
        type_ = type_from_ast(schema, definition.type)
        own = _OWN_FORM.get(type_.of_type if is_non_null_type(type_) else type_)
        if own is None or definition.directives:
            return None
        types[definition.variable.name.value] = own
    return types


def _arguments_of(field: GraphQLField, node: FieldNode) -> tuple[dict[str, object], list[tuple[str, str]]] | None:
    """Return the arguments without variables, and the names of the others with their variables; None for others."""
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    literals: dict[str, GraphQLArgument] = {}
    from_variables: list[tuple[str, str]] = []
    for name, argument in field.args.items():
        value = given.get(name)
        if isinstance(value, VariableNode):
            if get_nullable_type(argument.type) not in _OWN_FORM:
                return None
            from_variables.append((argument.out_name or name, value.name.value))
        elif isinstance(value, ListValueNode | ObjectValueNode):
            return None
        else:
            literals[name] = argument
    try:
        return get_argument_values(GraphQLField(field.type, literals), node), from_variables
    except GraphQLError:
        return None
