"""What a caller is told when an operation fails, and what only the log is told."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Protocol

from graphql import DocumentNode, GraphQLError, StringValueNode, Visitor, visit
from strawberry.exceptions import StrawberryInputCoercionError

from gql_secrets.logs import without_credentials

log = logging.getLogger(__name__)

BAD_REQUEST = "BAD_REQUEST"
INTERNAL = "INTERNAL"
UNAUTHENTICATED = "UNAUTHENTICATED"
FORBIDDEN = "FORBIDDEN"
UNAVAILABLE = "UNAVAILABLE"
RATE_LIMITED = "RATE_LIMITED"

argument_name = re.compile(r"^Argument '([_A-Za-z][_0-9A-Za-z]*)'")
"""How graphql-core begins what it says of an argument that does not fit while a field is executed."""

MIN_HIDDEN = 4
"""Shorter values are left in a log line: hiding each "a" would leave nothing to read."""


class RequestRefused(Exception):  # noqa: N818  (it says what happened, as the rest of the family does)
    """A request, or one field of it, was refused for a reason the caller may know.

    Raised anywhere below a resolver it becomes one top-level error with `extensions.code`. The message is a
    sentence that says what to do and never repeats a value the caller sent.
    """

    def __init__(self, code: str, message: str, extensions: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extensions: dict[str, object] = dict(extensions or {})


Present = Callable[[Exception], RequestRefused | None]
"""The one table from a failure to what a caller is told; None for a failure nobody foresaw."""


class Told(Protocol):
    """Who asked, as far as an error needs to know."""

    @property
    def request_id(self) -> str:
        """The id that stands in the answer and in the log."""
        ...


def error_entry(
    message: str,
    code: str,
    *,
    extensions: Mapping[str, object] | None = None,
    error: GraphQLError | None = None,
) -> dict[str, object]:
    """One entry of `errors`, with the place in the document and in the answer where `error` has them.

    A message may repeat a name of the document, and somebody may have pasted a secret where a name stands.
    """
    entry: dict[str, object] = {"message": without_credentials(message)}
    if error is not None and error.locations:
        entry["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error is not None and error.path:
        entry["path"] = error.path
    entry["extensions"] = {"code": code, **(extensions or {})}
    return entry


def refused_entry(refused: RequestRefused, error: GraphQLError | None = None) -> dict[str, object]:
    """The entry of `errors` that tells a refusal."""
    return error_entry(refused.message, refused.code, extensions=refused.extensions, error=error)


def internal_entry(context: Told, error: GraphQLError | None = None) -> dict[str, object]:
    """The entry of `errors` for a failure nobody foresaw: only the request id leads to the log."""
    return error_entry("Unexpected error.", INTERNAL, extensions={"requestId": context.request_id}, error=error)


class Mask:
    """Turns what execution collected into entries that repeat no value and no detail of ours."""

    def __init__(self, present: Present) -> None:
        self._present = present

    def entries(
        self,
        errors: Iterable[GraphQLError],
        context: Told,
        *,
        document: DocumentNode,
        variables: Mapping[str, object],
    ) -> list[dict[str, object]]:
        """The `errors` of an answer; a failure nobody foresaw is logged in full, once for each field that met it."""
        logged: set[tuple[type[Exception], str]] = set()
        entries = []
        for error in errors:
            cause = innermost(error)
            refused = cause if isinstance(cause, RequestRefused) else self._present(cause)
            if refused is not None:
                entries.append(refused_entry(refused, error))
            elif (sentence := misfit(cause)) is not None:
                entries.append(error_entry(sentence, BAD_REQUEST, error=error))
            else:
                entries.append(internal_entry(context, error))
                # A field of a list's items fails once an item: the first one tells it all.
                place = ".".join(step for step in error.path or () if isinstance(step, str))
                if (type(cause), place) not in logged:
                    logged.add((type(cause), place))
                    self.record(cause, context, place, hidden_values(document, variables))
        return entries

    def record(self, failure: BaseException, context: Told, field: str, hidden: Collection[str] | None) -> None:
        """Write a failure nobody foresaw to the log, without any of the values in `hidden`.

        None: the values are not known, and no message of a failure is written.
        """
        log.error(
            "Unexpected error in %s (request %s)\n%s",
            field or "the request",
            context.request_id,
            describe(failure, hidden),
        )


def innermost(error: GraphQLError) -> Exception:
    """The failure that was raised, below the errors graphql-core wrapped around it."""
    cause: Exception = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def misfit(cause: Exception) -> str | None:
    """A sentence about an argument that does not fit its type, or None if the failure is something else.

    graphql-core and Strawberry quote the value; the name of the argument is all that is kept.
    """
    if isinstance(cause, StrawberryInputCoercionError):
        return "An argument's value does not fit its type."
    if isinstance(cause, GraphQLError) and (found := argument_name.match(cause.message)):
        return f"The value of argument '{found[1]}' does not fit its type."
    return None


def hidden_values(document: DocumentNode, variables: Mapping[str, object]) -> set[str]:
    """Every text the caller sent as a value: literals of the document and, at any depth, variables."""
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
    """The traceback of `failure` and of what led to it, with the `hidden` values struck from the messages.

    Frames show lines of our own sources and are kept as they are; a GraphQLError's own text would print lines
    of the caller's document, so only its message is taken.
    """
    needles = sorted(
        {form for text in hidden or () if len(text) >= MIN_HIDDEN for form in (text, repr(text)[1:-1])},
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
            text = "(not written: it could hold values of the request)"
        for needle in needles:
            text = text.replace(needle, "…")
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{type(current).__qualname__}: {text}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\nwhich led to:\n\n".join(reversed(parts))
