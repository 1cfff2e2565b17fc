"""An operation on its way: found, prepared, and with its result."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from graphql import OperationType

from gql_secrets.graphql_server.documents import Document, Operation

# The outcome of an operation without errors; otherwise it is the code of the first one.
OK: Final = "ok"


class KnownOperation(NamedTuple):
    """An operation of a document that was read before: the document's text, the document, and the operation."""

    text: str
    document: Document
    operation: Operation


class PreparedOperation(NamedTuple):
    """An operation of a document that is valid and within the budget, with its variables.

    Attributes:
        document: the document.
        operation: the operation of it that is to run.
        variables: the values of its variables.
        known_name: its name, None where the document is not a known one.
    """

    document: Document
    operation: Operation
    variables: Mapping[str, object]
    known_name: str | None = None

    @property
    def kind(self) -> OperationType:
        """Query, mutation or subscription."""
        return self.operation.kind


class OperationResult(NamedTuple):
    """What execution returned: `data`, possibly with nulls where a field failed, and the `errors` that say why.

    `event_id` is that of an event of a subscription, if it has one.
    """

    data: dict[str, object] | None
    errors: list[dict[str, object]]
    event_id: str | None = None

    def content(self) -> dict[str, object]:
        """Return the result as streams and sockets send it: without `errors` where there are none."""
        content: dict[str, object] = {"data": self.data}
        if self.errors:
            content["errors"] = self.errors
        return content
