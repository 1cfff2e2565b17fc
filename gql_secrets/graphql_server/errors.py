"""What a caller learns when an operation fails, and what only the log records."""

import logging
import re
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, Self

from graphql import DirectiveNode, DocumentNode, GraphQLError, Node, StringValueNode, Visitor, visit
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.types.arguments import convert_arguments

from gql_secrets.graphql_server.protocols import RequestContext

_log: Final = logging.getLogger(__name__)

BAD_REQUEST: Final = "BAD_REQUEST"
INTERNAL: Final = "INTERNAL"
UNAUTHENTICATED: Final = "UNAUTHENTICATED"
FORBIDDEN: Final = "FORBIDDEN"
UNAVAILABLE: Final = "UNAVAILABLE"
RATE_LIMITED: Final = "RATE_LIMITED"
# A stream cannot resume where the client left it: the client reads everything again.
RESYNC_REQUIRED: Final = "RESYNC_REQUIRED"
# Clients with automatic persisted queries then send the document itself; they know these codes.
PERSISTED_QUERY_NOT_SUPPORTED: Final = "PERSISTED_QUERY_NOT_SUPPORTED"
PERSISTED_QUERY_NOT_FOUND: Final = "PERSISTED_QUERY_NOT_FOUND"

# How graphql-core begins its message about an argument that does not fit, found while a field is executed.
_ARGUMENT: Final = re.compile(r"^Argument '([_A-Za-z][_0-9A-Za-z]*)'")
# Shorter values stay in a log line: hiding each "a" would leave nothing to read.
MIN_HIDDEN_CHARACTERS: Final = 4


class RequestRefused(Exception):  # noqa: N818  (it says what happened, as the rest of the family does)
    """A request, or one field of it, was refused for a reason that the caller may know.

    Raised anywhere below a resolver it becomes one top-level error with `extensions.code`. The message is a
    sentence that says what to do and never repeats a value that the caller sent.
    """

    def __init__(self, code: str, message: str, extensions: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extensions: dict[str, object] = dict(extensions or {})


class DocumentRefused(Exception):  # noqa: N818  (named like the rest of the family)
    """A document that is not executed, with the `errors` that say why."""

    def __init__(self, errors: list[dict[str, object]]) -> None:
        super().__init__("the document is refused")
        self.errors = errors

    @classmethod
    def because(cls, sentence: str, code: str = BAD_REQUEST) -> Self:
        """Return the refusal for one reason that has no place in the document's text."""
        return cls([error_entry(sentence, code)])

    @property
    def code(self) -> object:
        """The code of the first error."""
        return code_of(self.errors)


# The one table from a failure to the error that a caller gets; None for an unexpected failure.
FailureTable = Callable[[Exception], RequestRefused | None]


def error_entry(
    message: str,
    code: str,
    *,
    extensions: Mapping[str, object] | None = None,
    error: GraphQLError | None = None,
) -> dict[str, object]:
    """Return one entry of `errors`, with the place in the document and in the response where `error` has them."""
    entry: dict[str, object] = {"message": message}
    if error is not None and error.locations:
        entry["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error is not None and error.path:
        entry["path"] = error.path
    entry["extensions"] = {"code": code, **(extensions or {})}
    return entry


def code_of(errors: list[dict[str, object]]) -> object:
    """Return the code of the first error, None where there is none."""
    extensions = errors[0].get("extensions") if errors else None
    return extensions.get("code") if isinstance(extensions, dict) else None


class ErrorMask:
    """Turns failures into entries of `errors` that repeat no value and no internal detail.

    Args:
        present: the table from a failure to the error that a caller gets.
        redact: removes credentials from a message: it may repeat a name of the document, and somebody may have
            pasted a secret in place of a name.
    """

    def __init__(self, present: FailureTable, redact: Callable[[str], str]) -> None:
        self._present = present
        self._redact = redact

    def refusal_of(self, failure: Exception) -> RequestRefused | None:
        """Return the refusal that a caller gets for this failure, or None for an unexpected failure."""
        return failure if isinstance(failure, RequestRefused) else self._present(failure)

    def refused_entry(self, refused: RequestRefused, error: GraphQLError | None = None) -> dict[str, object]:
        """Return the entry of a refusal."""
        return error_entry(self._redact(refused.message), refused.code, extensions=refused.extensions, error=error)

    def entries(
        self,
        errors: Iterable[GraphQLError],
        context: RequestContext,
        *,
        document: DocumentNode,
        variables: Mapping[str, object],
    ) -> list[dict[str, object]]:
        """Return the `errors` of a response; an unexpected failure is logged in full, once for each field.

        No failure has a traceback afterwards: its frames hold all that the operation used, and refer to the failure.
        """
        logged: set[tuple[type[Exception], str]] = set()
        entries, errors = [], list(errors)
        for error in errors:
            cause = innermost(error)
            refused = self.refusal_of(cause)
            if refused is not None:
                entries.append(self.refused_entry(refused, error))
            elif (sentence := misfit_sentence(cause, document)) is not None:
                entries.append(error_entry(self._redact(sentence), BAD_REQUEST, error=error))
            else:
                entries.append(internal_entry(context, error))
                # A field of a list's items fails once for each item: the first failure describes them all.
                place = ".".join(step for step in error.path or () if isinstance(step, str))
                if (type(cause), place) not in logged:
                    logged.add((type(cause), place))
                    self.log(cause, context, place, hidden_values(document, variables))
        for error in errors:
            _forget_frames(error)
        return entries

    def log(self, failure: BaseException, context: RequestContext, field: str, hidden: Collection[str] | None) -> None:
        """Log an unexpected failure, without any of the values in `hidden`.

        None: the values are not known, and no message of a failure is logged.
        """
        _log.error(
            "unexpected_error",
            extra={"request_id": context.request_id, "field": field, "failure": describe(failure, hidden)},
        )


def _forget_frames(error: GraphQLError) -> None:
    failures: list[BaseException | None] = [error]
    seen: set[int] = set()
    while failures:
        failure = failures.pop()
        if failure is None or id(failure) in seen:
            continue
        seen.add(id(failure))
        failure.__traceback__ = None
        failures += (failure.__cause__, failure.__context__)
        if isinstance(failure, GraphQLError):
            failures.append(failure.original_error)


def internal_entry(context: RequestContext, error: GraphQLError | None = None) -> dict[str, object]:
    """Return the entry of an unexpected failure: only the request id leads to the log."""
    return error_entry("Unexpected error.", INTERNAL, extensions={"requestId": context.request_id}, error=error)


def innermost(error: GraphQLError) -> Exception:
    """Return the failure that was raised, below the errors that graphql-core wrapped around it."""
    cause: Exception = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def misfit_sentence(cause: Exception, document: DocumentNode) -> str | None:
    """Return a sentence about an argument that does not fit its type, or None if the failure is something else.

    graphql-core and Strawberry quote the value; only the names of the argument and of its directive are kept.
    """
    if isinstance(cause, StrawberryInputCoercionError):
        name = _argument_in_conversion(cause)
        return f"The value of argument '{name}' does not fit its type." if name else "A value does not fit its type."
    if isinstance(cause, GraphQLError) and (match := _ARGUMENT.match(cause.message)):
        directives = _Directives(cause.nodes or ())
        visit(document, directives)
        of_directive = f" of directive '@{directives.name}'" if directives.name else ""
        return f"The value of argument '{match[1]}'{of_directive} does not fit its type."
    return None


def _argument_in_conversion(failure: Exception) -> str | None:
    """Return the argument that Strawberry was converting: neither the failure nor its message says which it was."""
    for frame, _ in traceback.walk_tb(failure.__traceback__):
        if frame.f_code is convert_arguments.__code__:
            name = frame.f_locals.get("name")
            return name if isinstance(name, str) else None
    return None


class _Directives(Visitor):
    """Finds the directive that has one of these values as an argument."""

    def __init__(self, values: Collection[Node]) -> None:
        super().__init__()
        self.name: str | None = None
        self._values = values

    def enter_directive(self, node: DirectiveNode, *_args: object) -> None:
        values = [node, *(argument.value for argument in node.arguments or ())]
        if any(value is wrong for value in values for wrong in self._values):
            self.name = node.name.value


def hidden_values(document: DocumentNode, variables: Mapping[str, object]) -> set[str]:
    """Return every text that the caller sent as a value: literals of the document, and variables at any depth."""
    literals = _Literals()
    visit(document, literals)
    return literals.values | set(_texts(variables))


class _Literals(Visitor):
    """Collects the string literals of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.values: set[str] = set()

    def enter_string_value(self, node: StringValueNode, *_args: object) -> None:
        self.values.add(node.value)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def describe(failure: BaseException, hidden: Collection[str] | None) -> str:
    """Return the traceback of a failure and of its causes, with the `hidden` values removed from the messages.

    Frames show lines of source files and are kept as they are; a GraphQLError's own text would print lines of the
    caller's document, so only its message is used.
    """
    needles = sorted(
        {form for text in hidden or () if len(text) >= MIN_HIDDEN_CHARACTERS for form in (text, repr(text)[1:-1])},
        key=len,
        reverse=True,
    )
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = failure
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        text = current.message if isinstance(current, GraphQLError) else str(current)
        if hidden is None:
            text = "(not logged: it could hold values of the request)"
        for needle in needles:
            text = text.replace(needle, "…")
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{type(current).__qualname__}: {text}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\nwhich led to:\n\n".join(reversed(parts))
