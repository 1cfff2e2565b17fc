"""The documents that this server has read: parsed, weighed and validated once, kept while there is room."""

import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Self

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    validate,
)
from graphql.validation.validate import ValidationAbortedError

from gql_secrets.graphql_server.cost import Budget, OperationWeight, fragments_of
from gql_secrets.graphql_server.direct import DirectOperation, compile_operation
from gql_secrets.graphql_server.errors import BAD_REQUEST, DocumentRefused, error_entry
from gql_secrets.graphql_server.limits import Limits, text_cost
from gql_secrets.graphql_server.parsing import parse_document
from gql_secrets.graphql_server.plans import Plans
from gql_secrets.graphql_server.validation import validation_rules
from gql_secrets.pauses import LongWork, pause

# What a kept document takes, measured with tracemalloc and rounded up: most of it is compiled selections. Its text is
# added twice: whole as key and source, and in pieces as the literals and names of the tree.
BYTES_PER_DOCUMENT: Final = 3_000
BYTES_PER_TOKEN: Final = 3_000
# A document larger than this part of the whole room is not kept.
MAX_SHARE: Final = 16
# How many texts that were read once are remembered for each document that may be kept: a caller that sends many
# documents must not make the server forget those that others send now and then.
SEEN_PER_KEPT: Final = 10


@dataclass(slots=True, eq=False)
class Operation:
    """One operation of a document that may be executed.

    Attributes:
        node: its place in the tree.
        weight: what it asks for.
        direct: its compiled form, None where graphql-core executes it.
        allowed: what the budget last allowed of the variables that its cost depends on.
        kind: query, mutation or subscription: decided by the document, regardless of the request.
        name: its own name.
    """

    node: OperationDefinitionNode
    weight: OperationWeight
    direct: DirectOperation | None = None
    allowed: tuple[tuple[object, int], ...] = ()
    kind: OperationType = field(init=False)
    name: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.kind = self.node.operation
        self.name = self.node.name.value if self.node.name else None

    def is_immediate(self, *, may_read: bool) -> bool:
        """Whether it is a query of one field that needs no awaiting, where reads need none, or even where they do."""
        direct = self.direct
        return direct is not None and direct.resolve_now is not None and (may_read or not direct.reads)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document that may be executed.

    Attributes:
        tree: the syntax tree.
        operations: its operations, in their order.
        fragments: its fragments by name.
        plans: its compiled selections.
        bytes: the memory that it takes, by estimate.
    """

    tree: DocumentNode
    operations: tuple[Operation, ...]
    fragments: Mapping[str, FragmentDefinitionNode]
    plans: Plans
    bytes: int

    def operation(self, name: str | None) -> Operation:
        """Return the operation of that name, or the only one.

        Raises:
            DocumentRefused: no operation has that name, or there are several and no name.
        """
        if name is None:
            if len(self.operations) > 1:
                raise DocumentRefused.because("The document has several operations: name one in `operationName`.")
            return self.operations[0]
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise DocumentRefused.because("The document has no operation with the name in `operationName`.")


class DocumentCache:
    """Reads documents against one schema and keeps those that may be executed, the most recently used longest.

    Room is bounded by count and by bytes, and what does not fit is read again each time: no caller can make the
    server keep more than `limits.cached_bytes`. A document is kept when it is read for the second time: a caller that
    sends another one each time displaces none that are in use, and leaves nothing for the garbage collector to look
    through, for which everybody waits.

    Args:
        schema: the schema that documents are validated against.
        limits: the limits of documents and of the cache.
        redact: removes credentials from messages, which may repeat names of the document.
    """

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, redact: Callable[[str], str] = str) -> None:
        self.budget = Budget(schema, limits)
        self._schema = schema
        self._limits = limits
        self._redact = redact
        self._rules = validation_rules(limits)
        self._kept: OrderedDict[str, Document] = OrderedDict()
        # The hashes of the texts that were read once and are not kept.
        self._seen: OrderedDict[int, None] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def read(self, text: str) -> Document:
        """Return the document of that text, ready to be executed; others run between the steps of reading it.

        Raises:
            DocumentRefused: it is over a limit or not valid; the errors say why.
        """
        document = self.find(text)
        if document is not None:
            return document
        with LongWork():
            for step in self._steps(text):
                document = step
                await pause()
        return self._keep(text, document)

    def read_now(self, text: str) -> Document:
        """Return the document of that text as `read` does, without a pause."""
        document = self.find(text)
        for step in () if document else self._steps(text):
            document = step
        return self._keep(text, document)

    def clear(self) -> None:
        """Drop every document."""
        self._kept.clear()
        self._seen.clear()
        self.bytes = 0

    def check_variables_cost(self, document: Document, operation: Operation, variables: Mapping[str, object]) -> None:
        """Pass if the operation is within the budget with these variables.

        The operation is weighed again only when the sizes or the long texts changed since the last time: most
        programs ask for one size, and short texts cost nothing.

        Raises:
            DocumentRefused: it costs too much.
        """
        if operation.weight.variables:
            values = [variables.get(name) for name in operation.weight.variables]
            asked = tuple((_size_of(value), text_cost(value)) for value in values)
            if asked != operation.allowed:
                self.budget.check_operation(operation.node, document.fragments, variables)
                operation.allowed = asked

    def find(self, text: str) -> Document | None:
        """Return the document of that text if it is kept."""
        document = self._kept.get(text)
        if document is not None:
            self._kept.move_to_end(text)
        return document

    def _steps(self, text: str) -> Iterator[Document | None]:
        """Read a document: the last step is the document."""
        limits = self._limits
        tree = parse_document(text, limits)
        yield None
        operations = self.budget.check_document(tree)
        yield None
        errors: list[GraphQLError] = []
        for rules in self._rules if "$" in text else self._rules[:-1]:
            errors += validate(self._schema, tree, rules, max_errors=limits.errors, hide_suggestions=True)
            if len(errors) >= limits.errors:
                break
            yield None
        if errors:
            raise DocumentRefused([self._entry(error) for error in errors[: limits.errors + 1]])
        if not operations:
            raise DocumentRefused.because("The document has no operation.")
        tokens: int = getattr(tree, "token_count", 2 * limits.tokens)
        plans = Plans.of(self._schema, tree)
        yield Document(
            tree,
            tuple(Operation(node, weight, compile_operation(self._schema, plans, node)) for node, weight in operations),
            fragments_of(tree),
            plans,
            BYTES_PER_DOCUMENT + BYTES_PER_TOKEN * tokens + 2 * sys.getsizeof(text),
        )

    def _keep(self, text: str, document: Document | None) -> Document:
        if document is None:
            raise TypeError("Reading a document ended without one.")
        if text in self._kept or document.bytes > self._limits.cached_bytes // MAX_SHARE:
            return document
        seen = hash(text)
        if seen in self._seen:
            del self._seen[seen]
            self._kept[text] = document
            self.bytes += document.bytes
        else:
            self._seen[seen] = None
        self._make_room()
        return document

    def _make_room(self) -> None:
        limits = self._limits
        while len(self._seen) > SEEN_PER_KEPT * limits.cached_documents:
            self._seen.popitem(last=False)
        while len(self._kept) > limits.cached_documents or self.bytes > limits.cached_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.bytes

    def _entry(self, error: GraphQLError) -> dict[str, object]:
        message = self._redact(error.message)
        if isinstance(error, ValidationAbortedError):
            message = "There are more errors, or too many fields of the same name to compare: validation stopped here."
        return error_entry(message, BAD_REQUEST, error=error)


def _size_of(value: object) -> object:
    """Return what the size of a list may follow from: a number, or the length of a list."""
    return len(value) if isinstance(value, list) else value if isinstance(value, (int, float)) else None


# What the tools name a document by; md5 is Relay's, sha1 was graphql-codegen's. Nothing relies on their strength: the
# manifest is the operator's, and the check only finds a manifest that does not fit its documents.
_HASHES: Final = (
    hashlib.sha256,
    partial(hashlib.sha1, usedforsecurity=False),
    partial(hashlib.md5, usedforsecurity=False),
)
_PREFIXES: Final = frozenset(("sha256", "sha1", "md5"))


class InvalidTrustedDocuments(ValueError):  # noqa: N818  (named like the rest of the family)
    """The manifest of trusted documents is malformed, or a document in it cannot be executed."""


class TrustedDocuments:
    """The documents of a manifest, by their hashes; where one is configured, no other document is executed.

    Args:
        documents: the documents, which are found by their sha256.
        by_id: documents that are found by another hash as well.
    """

    def __init__(self, documents: Iterable[str], by_id: Mapping[str, str] | None = None) -> None:
        texts = [*documents, *(by_id or {}).values()]
        self._texts = {**(by_id or {}), **{digest_of(text): text for text in texts}}
        self._known = frozenset(texts)

    @classmethod
    def load(cls, manifest: Path, *, additional: Iterable[str] = ()) -> Self:
        """Return the documents of a JSON file and the additional ones.

        The file is what graphql-codegen and relay-compiler write, `{hash: document}` with the hash in hexadecimal (a
        prefix such as `sha256:` is allowed), or Apollo's `apollo-persisted-query-manifest`.

        Raises:
            OSError: the file cannot be read.
            InvalidTrustedDocuments: it is malformed.
        """
        try:
            content = json.loads(manifest.read_bytes())
        except ValueError as error:
            raise InvalidTrustedDocuments(f"{manifest} is not JSON in UTF-8.") from error
        by_id = _documents_of(content)
        if by_id is None:
            raise InvalidTrustedDocuments(
                f"{manifest} must be a JSON object of hash to document, or an apollo-persisted-query-manifest."
            )
        known = {}
        for id_, text in by_id.items():
            digest = _normalised_id(id_)
            if digest not in (hash_(text.encode()).hexdigest() for hash_ in _HASHES):
                raise InvalidTrustedDocuments(
                    f"{manifest}: the document at {id_[:12]}… has another hash; generate the manifest again."
                )
            known[digest] = text
        return cls(additional, known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def find(self, digest: str) -> str | None:
        """Return the document of that hash (hexadecimal, with or without a prefix such as `sha256:`), or None."""
        return self._texts.get(_normalised_id(digest))

    def __contains__(self, text: str) -> bool:
        return text in self._known


def _normalised_id(id_: str) -> str:
    algorithm, colon, digest = id_.lower().partition(":")
    return digest if colon and algorithm in _PREFIXES else id_.lower()


def _documents_of(content: object) -> dict[str, str] | None:
    """Return the documents of a manifest by their ids; None for a malformed one."""
    if not isinstance(content, dict):
        return None
    if content.get("format") == "apollo-persisted-query-manifest":
        operations = content.get("operations")
        if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
            return None
        content = {each.get("id"): each.get("body") for each in operations}
    is_valid = all(isinstance(id_, str) and isinstance(text, str) for id_, text in content.items())
    return content if is_valid else None


def digest_of(text: str) -> str:
    """Return the sha256 by which a trusted document is found."""
    return hashlib.sha256(text.encode()).hexdigest()
