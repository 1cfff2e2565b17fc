"""What a GraphQL request asks for: read from a JSON body, a query string or a WebSocket message."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, NoReturn, Self

import orjson


class MalformedRequest(Exception):  # noqa: N818  (named like the rest of the family)
    """Not a GraphQL request: answered with this status regardless of what the request accepts."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


_NO_VARIABLES: Final[Mapping[str, object]] = MappingProxyType({})


class GraphQLRequest(NamedTuple):
    """The parameters of a request over any transport.

    Attributes:
        query: the text of the document.
        variables: the variables.
        operation_name: which operation of the document is executed.
        document_id: the id (a hash) of a trusted document, in place of its text.
    """

    query: str | None = None
    variables: Mapping[str, object] = _NO_VARIABLES
    operation_name: str | None = None
    document_id: str | None = None

    @classmethod
    def from_body(cls, body: object) -> Self:
        """Return the request of a JSON body.

        Raises:
            MalformedRequest: it is not an object, or a parameter has the wrong type.
        """
        if isinstance(body, list):
            raise MalformedRequest(400, "Batching is not supported; send one operation per request.")
        if not isinstance(body, dict):
            raise MalformedRequest(400, "The body must be a JSON object with `query`.")
        return cls._of(
            body.get("query"),
            body.get("variables"),
            body.get("operationName"),
            body.get("extensions"),
            body.get("documentId"),
        )

    @classmethod
    def from_query_string(cls, parameters: Mapping[str, str]) -> Self:
        """Return the request of a query string; `variables` and `extensions` are JSON in it.

        Raises:
            MalformedRequest: a parameter is given twice, or has the wrong type.
        """
        given: dict[str, str] = {}
        for name, value in parameters.items():
            if name in given:
                raise MalformedRequest(400, "Duplicate query parameter.")
            given[name] = value
        variables, extensions = (
            parse_json(given[name], f"`{name}`") if given.get(name) else None for name in ("variables", "extensions")
        )
        return cls._of(
            given.get("query"), variables, given.get("operationName") or None, extensions, given.get("documentId")
        )

    @classmethod
    def _of(
        cls, query: object, variables: object, operation_name: object, extensions: object, document_id: object
    ) -> Self:
        # Not `str | None`, which would make a type for each request.
        if query is not None and not isinstance(query, str):
            _refuse_type("query", "a string")
        if operation_name is not None and not isinstance(operation_name, str):
            _refuse_type("operationName", "a string")
        if variables is not None and not isinstance(variables, dict):
            _refuse_type("variables", "an object")
        if extensions is not None and not isinstance(extensions, dict):
            _refuse_type("extensions", "an object")
        if document_id is not None and not isinstance(document_id, str):
            _refuse_type("documentId", "a string")
        if document_id is None and extensions:
            # How Apollo's clients name a document by its sha256.
            persisted = extensions.get("persistedQuery")
            digest = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
            document_id = digest if isinstance(digest, str) else None
        if not query and document_id is not None:
            query = None  # some clients send an empty text in addition to the id
        if query is None and document_id is None:
            raise MalformedRequest(400, "The request has no `query`.")
        return cls(query, variables or {}, operation_name, document_id)


def parse_json(content: bytes | str, what: str) -> object:
    """Return the value of a JSON text.

    Raises:
        MalformedRequest: it is empty or not JSON; the message repeats no part of it.
    """
    if not content:
        raise MalformedRequest(400, f"{what} is empty: send a JSON object with `query`.")
    try:
        value: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        # Without the cause, which holds the whole text.
        value = NotImplemented
    if value is NotImplemented:
        raise MalformedRequest(400, f"{what} is not JSON in UTF-8.")
    return value


def _refuse_type(name: str, wanted: str) -> NoReturn:
    raise MalformedRequest(400, f"`{name}` must be {wanted}.")
