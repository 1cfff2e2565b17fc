"""One GraphQL operation over any transport: prepared, executed, its failures masked."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Mapping
from contextlib import AbstractContextManager, nullcontext
from inspect import isawaitable
from typing import Final, cast

import strawberry
from graphql import (
    ExecutionResult,
    GraphQLError,
    MiddlewareManager,
    OperationType,
    VariableDefinitionNode,
    print_ast,
    subscribe,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gql_secrets.graphql_server.direct import MadeMutation, is_awaitable
from gql_secrets.graphql_server.documents import DocumentCache, InvalidTrustedDocuments, TrustedDocuments
from gql_secrets.graphql_server.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    PERSISTED_QUERY_NOT_FOUND,
    PERSISTED_QUERY_NOT_SUPPORTED,
    UNAUTHENTICATED,
    DocumentRefused,
    ErrorMask,
    FailureTable,
    code_of,
    error_entry,
    hidden_values,
)
from gql_secrets.graphql_server.limits import Limits, check_variables
from gql_secrets.graphql_server.operations import OK, KnownOperation, OperationResult, PreparedOperation
from gql_secrets.graphql_server.protocols import RequestContext
from gql_secrets.graphql_server.requests import GraphQLRequest
from gql_secrets.graphql_server.turns import PausingExecutor, Turns
from gql_secrets.pauses import LongWork, pause

# Called with the name of an operation, None where its document is not a known one, and with its outcome: "ok", or the
# code of its first error.
OperationObserver = Callable[[str | None, str], None]
# Returns the context in which an operation of this kind is executed; its name is None where its document is not known.
OperationSurrounding = Callable[[OperationType, str | None], AbstractContextManager[object]]
_NOTHING: Final = nullcontext()


class Engine:
    """Prepares and executes operations against one schema.

    Execution goes directly to graphql-core with Strawberry's executor: field extensions and `info.context` work as
    usual, and the per-request machinery of `Schema.execute`, which would parse and validate again, is left out.

    Args:
        schema: the schema, without schema extensions and operation directives, which would not run.
        limits: the limits of documents.
        present: the table from a failure to the error that a caller gets.
        redact: removes credentials from messages.
        trusted_documents: where given, no other document is executed.
        introspection: whether the caller of a request may query the schema itself.
        known_documents: documents whose operations are reported by name, in addition to the trusted ones.
        observe: is called with the name and the outcome of each operation.
        surround: returns the context in which an operation is executed.

    Raises:
        InvalidTrustedDocuments: a trusted document cannot be executed.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        limits: Limits,
        present: FailureTable,
        redact: Callable[[str], str],
        trusted_documents: TrustedDocuments | None,
        introspection: Callable[[RequestContext], bool],
        known_documents: Container[str] = frozenset(),
        observe: OperationObserver = lambda _name, _outcome: None,
        surround: OperationSurrounding | None = None,
    ) -> None:
        if schema.extensions or schema.directives:
            raise ValueError("Schema extensions and operation directives are not supported: use field extensions.")
        if schema.execution_context_class is not StrawberryGraphQLCoreExecutionContext:
            raise ValueError("Execution context classes are not supported.")
        # Strawberry has no public name for the schema of graphql-core that it builds.
        self._schema = schema._schema  # noqa: SLF001
        self._limits = limits
        self._redact = redact
        self._trusted: TrustedDocuments | None = trusted_documents
        self._introspection = introspection
        self._known_documents = known_documents
        self._observe = observe
        self._surround: OperationSurrounding = surround or (lambda _kind, _name: _NOTHING)
        self.turns = Turns()
        self.mask = ErrorMask(present, redact)
        self.documents = DocumentCache(self._schema, limits, redact=redact)
        for text in trusted_documents or ():
            try:
                self.documents.read_now(text)
            except DocumentRefused as refused:
                raise _not_executable(refused) from refused

    async def trust(self, documents: TrustedDocuments | None) -> None:
        """Execute only these documents from now on, or any document if None; operations in progress go on.

        Raises:
            InvalidTrustedDocuments: one cannot be executed: nothing was changed.
        """
        for text in documents or ():
            try:
                await self.documents.read(text)
            except DocumentRefused as refused:
                raise _not_executable(refused) from refused
        self._trusted = documents

    async def prepare(
        self, request: GraphQLRequest, context: RequestContext, known: KnownOperation | None = None
    ) -> PreparedOperation:
        """Return the operation that the request names, ready to be executed.

        `known` is what `find` returned for the request, if it was asked.

        Raises:
            DocumentRefused: the document is not valid, over a limit, not trusted, or not for this caller.
        """
        try:
            if known is None:
                text = self._text(request)
                document = await self.documents.read(text)
                known = KnownOperation(text, document, document.operation(request.operation_name))
            return self._prepare_known(known, request.variables, context)
        except DocumentRefused as refused:
            self._observe(None, str(refused.code))
            raise

    def _prepare_known(
        self, known: KnownOperation, variables: Mapping[str, object], context: RequestContext
    ) -> PreparedOperation:
        text, document, operation = known
        if operation.weight.introspection and not self._introspection(context):
            raise DocumentRefused.because(
                "Introspection is not allowed for this caller.",
                UNAUTHENTICATED if context.is_anonymous else FORBIDDEN,
            )
        if variables:
            check_variables(variables, self._limits)
        self.documents.check_variables_cost(document, operation, variables)
        is_known = text in self._known_documents or (self._trusted is not None and text in self._trusted)
        return PreparedOperation(document, operation, variables, operation.name if is_known else None)

    def _text(self, request: GraphQLRequest) -> str:
        if self._trusted is None:
            if request.query is None:
                # The message, too, is what clients compare.
                raise DocumentRefused.because("PersistedQueryNotSupported", PERSISTED_QUERY_NOT_SUPPORTED)
            return request.query
        if request.query is None:
            text = self._trusted.find(request.document_id or "")
            if text is None:
                raise DocumentRefused.because("PersistedQueryNotFound", PERSISTED_QUERY_NOT_FOUND)
            return text
        text = request.query
        if text not in self._trusted:
            raise DocumentRefused.because("Only trusted documents are allowed; this one is not registered.")
        return text

    def find(self, request: GraphQLRequest) -> KnownOperation | None:
        """Return the operation that the request names, if its document was read before and may be executed."""
        try:
            text = self._text(request)
            document = self.documents.find(text)
            return KnownOperation(text, document, document.operation(request.operation_name)) if document else None
        except DocumentRefused:
            return None

    def execute_now(
        self, known: KnownOperation, variables: Mapping[str, object], context: RequestContext, *, may_read: bool
    ) -> tuple[PreparedOperation, dict[str, object]] | None:
        """Run a query that awaits nothing and does not fail; return it with its data. It is counted by `note_done`.

        With `may_read`, a read of the database need not be awaited. None where `prepare` and `execute` must be called.
        """
        if not known.operation.is_immediate(may_read=may_read) or not self.turns.is_free(context.turn_key):
            return None
        try:
            prepared = self._prepare_known(known, variables, context)
        except DocumentRefused:
            return None
        direct = prepared.operation.direct
        result = direct.execute_now(prepared.variables, context) if direct else None
        return None if result is None or result.data is None else (prepared, result.data)

    def note_done(self, prepared: PreparedOperation) -> None:
        """Count an operation that was executed by `execute_now`."""
        self._observe(prepared.known_name, OK)

    async def execute_directly(
        self, known: KnownOperation, variables: Mapping[str, object], context: RequestContext
    ) -> tuple[PreparedOperation, OperationResult] | None:
        """Run a query for which `is_immediate` is true, without pauses, and count it; return it with its result.

        None where `prepare` and `execute` must be called.
        """
        direct = known.operation.direct
        try:
            prepared = self._prepare_known(known, variables, context)
        except DocumentRefused:
            return None
        result = await direct.execute(prepared.variables, context) if direct else None
        return (prepared, self._observed(result, prepared, context)) if isinstance(result, ExecutionResult) else None

    async def execute(self, prepared: PreparedOperation, context: RequestContext) -> OperationResult:
        """Run a query or a mutation.

        Raises:
            DocumentRefused: a variable does not fit its type.
        """
        with self._surround(prepared.kind, prepared.known_name):
            return await self._execute_and_observe(prepared, context)

    async def _execute_and_observe(self, prepared: PreparedOperation, context: RequestContext) -> OperationResult:
        direct = prepared.operation.direct
        with LongWork():
            result = await direct.execute(prepared.variables, context) if direct else None
            if not isinstance(result, ExecutionResult):
                result = await self._execute(prepared, context, made=result)
            await pause()  # before the result is written, which takes long where it is large
        return self._observed(result, prepared, context)

    def _observed(
        self, result: ExecutionResult, prepared: PreparedOperation, context: RequestContext
    ) -> OperationResult:
        outcome = self._result(result, prepared, context)
        self._observe(prepared.known_name, str(code_of(outcome.errors) or OK))
        return outcome

    async def _execute(
        self, prepared: PreparedOperation, context: RequestContext, *, made: MadeMutation | None = None
    ) -> ExecutionResult:
        """Execute it with graphql-core; where the mutation was made before, only complete its result."""
        executor = PausingExecutor.build(
            self._schema,
            prepared.document.tree,
            None,
            context,
            dict(prepared.variables),
            prepared.operation.name,
            is_awaitable=is_awaitable,
            hide_suggestions=True,
            operation_extensions=None,
            middleware=MiddlewareManager(made) if made else None,
            plans=prepared.document.plans,
            # Where this was tried and failed, it would fail again.
            can_await=prepared.operation.direct is None or not prepared.operation.direct.accepts(prepared.variables),
        )
        if isinstance(executor, list):
            self._observe(prepared.known_name, BAD_REQUEST)
            raise self._refuse_variables(executor, prepared.variables)
        try:
            result = executor.execute_operation()
            if isawaitable(result):
                result = await result
        finally:
            cast("PausingExecutor", executor).end()  # `build` is typed as its base
        if not isinstance(result, ExecutionResult):
            raise TypeError("The executor returned an incremental result, which no directive of this schema allows.")
        return result

    async def subscribe(self, prepared: PreparedOperation, context: RequestContext) -> AsyncGenerator[OperationResult]:
        """Run a subscription: return one result for each event.

        A failure of the source is the last result, masked and logged like the failure of a field.

        Raises:
            DocumentRefused: the subscription cannot begin.
        """
        with self._surround(prepared.kind, prepared.known_name):
            return await self._begin(prepared, context)

    async def _begin(self, prepared: PreparedOperation, context: RequestContext) -> AsyncGenerator[OperationResult]:
        with LongWork():
            source = subscribe(
                self._schema,
                prepared.document.tree,
                None,
                context,
                dict(prepared.variables),
                prepared.operation.name,
                executor_class=PausingExecutor,
                hide_suggestions=True,
                operation_extensions=None,
            )
            if isawaitable(source):
                source = await source
        if isinstance(source, ExecutionResult):
            errors = source.errors or []
            if all(_is_about_variable(error) for error in errors):
                self._observe(prepared.known_name, BAD_REQUEST)
                raise self._refuse_variables(errors, prepared.variables)
            refused = DocumentRefused(self._result(source, prepared, context).errors)
            self._observe(prepared.known_name, str(refused.code))
            raise refused
        self._observe(prepared.known_name, OK)
        return self._events(source, prepared, context)

    async def _events(
        self, source: AsyncIterator[ExecutionResult], prepared: PreparedOperation, context: RequestContext
    ) -> AsyncGenerator[OperationResult]:
        try:
            while True:
                with LongWork():
                    result = await anext(source, None)
                if result is None:
                    break
                yield self._result(result, prepared, context)._replace(event_id=context.event_id)
        except Exception as failure:  # noqa: BLE001  the last place before the caller
            ended = ExecutionResult(None, [GraphQLError("The stream ended.", original_error=failure)])
            yield self._result(ended, prepared, context)
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    def _result(self, result: ExecutionResult, prepared: PreparedOperation, context: RequestContext) -> OperationResult:
        errors = (
            self.mask.entries(result.errors, context, document=prepared.document.tree, variables=prepared.variables)
            if result.errors
            else []
        )
        return OperationResult(result.data, errors)

    def _refuse_variables(self, errors: list[GraphQLError], given: Mapping[str, object]) -> DocumentRefused:
        """Return the refusal of variables that do not fit: one error for each, with its name and type alone."""
        entries: dict[str, dict[str, object]] = {}
        for error in errors:
            for node in error.nodes or ():
                if isinstance(node, VariableDefinitionNode):
                    name = node.variable.name.value
                    problem = "does not fit its type" if name in given else "is missing; its type is"
                    sentence = self._redact(f"Variable '${name}' {problem} '{print_ast(node.type)}'.")
                    entries.setdefault(name, error_entry(sentence, BAD_REQUEST, error=error))
        return DocumentRefused(list(entries.values()) or [error_entry("The variables do not fit.", BAD_REQUEST)])

    def hidden_values(self, prepared: PreparedOperation | None) -> set[str] | None:
        """Return the values of a request that a log line about it must not hold; None while they are not known."""
        return hidden_values(prepared.document.tree, prepared.variables) if prepared else None


def _is_about_variable(error: GraphQLError) -> bool:
    return any(isinstance(node, VariableDefinitionNode) for node in error.nodes or ())


def _not_executable(refused: DocumentRefused) -> InvalidTrustedDocuments:
    return InvalidTrustedDocuments(f"A trusted document cannot be executed: {refused.errors[0]['message']}")
