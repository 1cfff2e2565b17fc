"""One GraphQL operation, whatever it came by: admitted, executed, its failures told. HTTP and streams build on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Protocol, TypeGuard, cast

import strawberry
from graphql import ExecutionResult, GraphQLError, OperationType, VariableDefinitionNode, print_ast, subscribe
from strawberry.execution import optimized_is_awaitable

from gql_secrets.graphql_server.cost import Limits, check_variables
from gql_secrets.graphql_server.documents import (
    Document,
    Documents,
    InvalidTrustedDocuments,
    Operation,
    TrustedDocuments,
)
from gql_secrets.graphql_server.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    UNAUTHENTICATED,
    Mask,
    Present,
    error_entry,
    hidden_values,
)
from gql_secrets.graphql_server.parsing import DocumentRefused
from gql_secrets.graphql_server.plans import PlannedExecutor

is_awaitable = cast("Callable[[object], TypeGuard[Awaitable[object]]]", optimized_is_awaitable)
"""Strawberry's faster test, typed as graphql-core wants it."""


class Caller(Protocol):
    """Who is calling, as far as this floor asks."""

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody signed in."""
        ...


class RequestContext(Protocol):
    """What the caller of the endpoint builds for a request; resolvers see the same object as `info.context`."""

    @property
    def request_id(self) -> str:
        """The id that stands in the answer and in the log."""
        ...

    @property
    def caller(self) -> Caller:
        """Who is calling."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for, read from whatever transport brought it."""

    query: str | None = None
    variables: Mapping[str, object] = field(default_factory=dict)
    operation_name: str | None = None
    document_id: str | None = None
    """The sha256 of a trusted document, instead of its text."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call whose document is valid and within the budget."""

    document: Document
    operation: Operation
    variables: Mapping[str, object]

    @property
    def kind(self) -> OperationType:
        """Whether it reads, changes or subscribes."""
        return self.operation.kind


@dataclass(frozen=True, slots=True)
class Answer:
    """What execution gave: `data`, possibly with nulls where a field failed, and the `errors` that say why."""

    data: dict[str, object] | None
    errors: list[dict[str, object]]


class Engine:
    """Admits and executes operations against one schema.

    Execution goes straight to graphql-core with Strawberry's executor: field extensions and `info.context` work as
    ever, and the per-request machinery of `Schema.execute`, which would parse and validate anew, is left out.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        limits: Limits,
        present: Present,
        trusted_documents: TrustedDocuments | None,
        introspection: Callable[[RequestContext], bool],
    ) -> None:
        if schema.extensions or schema.directives:
            raise ValueError("Schema extensions and operation directives are not run here: use field extensions.")
        # Strawberry has no public name for the schema of graphql-core that it builds.
        self._schema = schema._schema  # noqa: SLF001
        self._executor = PlannedExecutor
        self._limits = limits
        self._trusted = trusted_documents
        self._introspection = introspection
        self.mask = Mask(present)
        self.documents = Documents(self._schema, limits)
        for text in trusted_documents or ():
            try:
                self.documents.read(text)
            except DocumentRefused as refused:
                raise InvalidTrustedDocuments(
                    f"A trusted document cannot be executed: {refused.errors[0]['message']}"
                ) from refused

    def admit(self, call: Call, context: RequestContext) -> Admitted:
        """The operation that the call names, ready to be executed, or DocumentRefused."""
        document = self.documents.read(self._text(call))
        operation = document.operation(call.operation_name)
        if operation.weight.introspection and not self._introspection(context):
            raise DocumentRefused.because(
                "The schema is not shown to this caller.",
                UNAUTHENTICATED if context.caller.is_anonymous else FORBIDDEN,
            )
        if call.variables:
            check_variables(call.variables, self._limits)
        self.documents.check_sizes(document, operation, call.variables)
        return Admitted(document, operation, call.variables)

    def _text(self, call: Call) -> str:
        if self._trusted is None:
            if call.query is None:
                raise DocumentRefused.because("No documents are known by id here: send the document in `query`.")
            return call.query
        text = call.query if call.query is not None else self._trusted.find(call.document_id or "")
        if text is None or text not in self._trusted:
            raise DocumentRefused.because("Only trusted documents run here, and this is none of them.")
        return text

    async def execute(self, admitted: Admitted, context: RequestContext) -> Answer:
        """Run a query or a mutation; DocumentRefused if a variable does not fit its type."""
        executor = self._executor.build(
            self._schema,
            admitted.document.tree,
            None,
            context,
            dict(admitted.variables),
            admitted.operation.name,
            is_awaitable=is_awaitable,
            hide_suggestions=True,
            operation_extensions=None,
            plans=admitted.document.plans,
        )
        if isinstance(executor, list):
            raise misfitting_variables(executor, admitted.variables)
        result = executor.execute_operation()
        if isawaitable(result):
            result = await result
        if not isinstance(result, ExecutionResult):
            raise TypeError("The executor gave an incremental result, which no directive of this schema asks for.")
        return self._answer(result, admitted, context)

    async def subscribe(self, admitted: Admitted, context: RequestContext) -> AsyncGenerator[Answer]:
        """Run a subscription: one answer for each event; DocumentRefused if it cannot begin.

        A failure of the source is the last answer, told and logged like that of a field.
        """
        source = subscribe(
            self._schema,
            admitted.document.tree,
            None,
            context,
            dict(admitted.variables),
            admitted.operation.name,
            executor_class=self._executor,
            hide_suggestions=True,
            operation_extensions=None,
        )
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            errors = source.errors or []
            if all(_is_of_variable(error) for error in errors):
                raise misfitting_variables(errors, admitted.variables)
            raise DocumentRefused(self._answer(source, admitted, context).errors)
        return self._events(source, admitted, context)

    async def _events(
        self, source: AsyncIterator[ExecutionResult], admitted: Admitted, context: RequestContext
    ) -> AsyncGenerator[Answer]:
        try:
            async for result in source:
                yield self._answer(result, admitted, context)
        except Exception as failure:  # noqa: BLE001  (the last door before the caller)
            ended = ExecutionResult(None, [GraphQLError("The stream ended.", original_error=failure)])
            yield self._answer(ended, admitted, context)
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    def _answer(self, result: ExecutionResult, admitted: Admitted, context: RequestContext) -> Answer:
        errors = (
            self.mask.entries(result.errors, context, document=admitted.document.tree, variables=admitted.variables)
            if result.errors
            else []
        )
        return Answer(result.data, errors)

    def hidden(self, admitted: Admitted | None) -> set[str] | None:
        """The values of a call that a log line about it must not hold; None while they are not known."""
        return hidden_values(admitted.document.tree, admitted.variables) if admitted else None


def misfitting_variables(errors: list[GraphQLError], given: Mapping[str, object]) -> DocumentRefused:
    """The refusal of a call whose variables do not fit: one error a variable, with its name and type alone."""
    entries: dict[str, dict[str, object]] = {}
    for error in errors:
        for node in error.nodes or ():
            if isinstance(node, VariableDefinitionNode):
                name = node.variable.name.value
                what = "does not fit its type" if name in given else "is missing; its type is"
                entries.setdefault(
                    name, error_entry(f"Variable '${name}' {what} '{print_ast(node.type)}'.", BAD_REQUEST, error=error)
                )
    return DocumentRefused(list(entries.values()) or [error_entry("The variables do not fit.", BAD_REQUEST)])


def _is_of_variable(error: GraphQLError) -> bool:
    return any(isinstance(node, VariableDefinitionNode) for node in error.nodes or ())
