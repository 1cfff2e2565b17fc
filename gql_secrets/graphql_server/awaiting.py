"""What completes objects with fields that are loaded, field by field: all values of a field are loaded together.

graphql-core makes a coroutine and a future for each value of such a field, and executes all other fields of the object
one by one. Here a field's resolvers run one after another, once everything that they await has been loaded, so that no
value needs a task. Fields that do not say what they load (`loading.loads`) have a task for each value, as in
graphql-core.

Everything that fails is left to graphql-core, which executes it again: a query, or the selection below a mutation that
was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Self, TypeAlias

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    get_argument_values,
)
from graphql.pyutils import Path
from strawberry.execution import optimized_is_awaitable

from gql_secrets.graphql_server.completions import Completion, Getter, NotPlain, of_columns, piece_of
from gql_secrets.graphql_server.loading import Load, load_of
from gql_secrets.graphql_server.resolvers import PlainResolver
from gql_secrets.graphql_server.unfinished import finish, take_unfinished
from gql_secrets.pauses import make_all, pause

Info: TypeAlias = GraphQLResolveInfo[Any]
AwaitMany: TypeAlias = Callable[[list[Any], Info], Awaitable[list[Any]]]
"""Returns the completed forms of values, given the info object of the field that returned them or what is around it."""


class Awaiting(NamedTuple):
    """What completes many values that cannot all be completed without awaiting something."""

    many: AwaitMany


def in_pieces(plain: Completion, size: int) -> Awaiting:
    """Return what completes plain values, with pauses; `size` is the number of values that each of them has."""

    async def complete_many(values: list[Any], _: Info) -> list[Any]:
        completed: list[Any] = []
        piece = piece_of(size)
        for at in range(0, len(values), piece):
            await pause()
            try:
                completed += plain.many(values[at : at + piece])
            finally:
                unfinished = take_unfinished()
            if unfinished:
                await finish(unfinished)
        return completed

    return Awaiting(complete_many)


def required(inner: Awaiting) -> Awaiting:
    """Return what completes values none of which may be null."""

    async def complete_many(values: list[Any], info: Info) -> list[Any]:
        if any(value is None for value in values):
            raise NotPlain
        return await inner.many(values, info)

    return Awaiting(complete_many)


def optional(inner: Awaiting) -> Awaiting:
    """Return what completes values some of which may be null."""

    async def complete_many(values: list[Any], info: Info) -> list[Any]:
        completed = iter(await inner.many([value for value in values if value is not None], info))
        return [None if value is None else next(completed) for value in values]

    return Awaiting(complete_many)


def lists(inner: Awaiting) -> Awaiting:
    """Return what completes lists."""

    async def complete_many(values: list[Any], info: Info) -> list[Any]:
        if any(type(value) is not list for value in values):
            raise NotPlain
        completed = iter(await inner.many(list(chain.from_iterable(values)), info))
        return [list(islice(completed, len(value))) for value in values]

    return Awaiting(complete_many)


def read(get: Getter, inner: Awaiting) -> Awaiting:
    """Return what reads a plain field off objects, and completes what was read."""

    async def complete_many(sources: list[Any], info: Info) -> list[Any]:
        return await inner.many(await make_all(get, sources), info)

    return Awaiting(complete_many)


def objects(classes: tuple[type, ...], fields: Mapping[str, Awaiting], plain: frozenset[str]) -> Awaiting:
    """Return what completes objects of these classes, by the completion of each of their fields.

    Args:
        classes: the classes.
        fields: the completions of the fields.
        plain: the names of those that await nothing but pauses.
    """
    names = tuple(fields)
    first, others = [name for name in names if name in plain], [name for name in names if name not in plain]

    async def complete_many(values: list[Any], info: Info) -> list[Any]:
        if not all(issubclass(type_, classes) for type_ in set(map(type, values))):
            raise NotPlain
        if not values:
            return []
        columns = {name: await fields[name].many(values, info) for name in first}
        columns |= zip(others, await _all_of([fields[name].many(values, info) for name in others]), strict=True)
        return of_columns(names, [columns[name] for name in names])

    return Awaiting(complete_many)


async def _all_of(awaited: Sequence[Awaitable[Any]]) -> list[Any]:
    """Await all at the same time, to the end of each, even if one fails: graphql-core can use what they load."""
    if len(awaited) == 1:
        return [await awaited[0]]
    done = await asyncio.gather(*awaited, return_exceptions=True)
    failure = next((each for each in done if isinstance(each, BaseException)), None)
    if failure is None:
        return done
    try:
        raise failure
    finally:
        # The failure refers to this frame, which must not refer to it: it would be kept until garbage is collected.
        del failure, done


class _LoadedResolver(NamedTuple):
    """A resolver that awaits only what can be loaded for many objects first."""

    resolver: PlainResolver
    load: Load

    @classmethod
    def of(cls, field: GraphQLField) -> Self | None:
        """Return the resolver of a field, or None where it may await something else, or is not called directly."""
        load = load_of(field)
        resolver = PlainResolver.of(field, field.args) if load is not None else None
        if load is None or resolver is None or not resolver.is_async or resolver.failures is not None:
            return None
        return cls(resolver, load)

    async def values(self, sources: list[Any], info: Info, given: Mapping[str, Any]) -> list[Any] | None:
        """Return the value of the field of each object, None if they are not loaded.

        All are checked, then loaded, then resolved.
        """
        resolver = self.resolver
        own, arguments = resolver.info_of(info), resolver.named(given)
        if resolver.checks:
            await make_all(lambda source: resolver.check(source, own, arguments), sources)
        if not await self.load(info.context, sources, arguments):
            return None
        resolve, parameters = resolver.function, resolver.parameters(own, arguments)
        return await make_all(lambda source: _result_of(resolve(source, **parameters)), sources)


def _result_of(loaded: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    """Return the result of a coroutine that awaits nothing that is not there."""
    try:
        loaded.send(None)
    except StopIteration as done:
        return done.value
    loaded.close()
    raise NotPlain


def resolved(
    name: str, parent: GraphQLObjectType, field: GraphQLField, nodes: Sequence[FieldNode], inner: Awaiting
) -> Awaiting:
    """Return what resolves a field that takes arguments or an info object, or awaits something, and completes it.

    Args:
        name: its name in the response.
        parent: the type that has it.
        field: the field.
        nodes: its nodes in the document.
        inner: what completes its values.
    """
    loaded, resolve, node = _LoadedResolver.of(field), field.resolve, nodes[0]

    async def complete_many(sources: list[Any], info: Info) -> list[Any]:
        own = info._replace(
            field_name=node.name.value,
            field_nodes=list(nodes),
            return_type=field.type,
            parent_type=parent,
            path=Path(info.path, name, parent.name),
        )
        given = get_argument_values(field, node, info.variable_values) if field.args else {}
        if resolve is None:
            raise NotPlain
        values = await loaded.values(sources, own, given) if loaded else None
        if values is None:
            values = await _awaited([resolve(source, own, **given) for source in sources])
        return await inner.many(values, own)

    return Awaiting(complete_many)


async def _awaited(values: list[Any]) -> list[Any]:
    """Return values, the results of those that can be awaited."""
    done = iter(await _all_of([value for value in values if optimized_is_awaitable(value)]))
    return [next(done) if optimized_is_awaitable(value) else value for value in values]
