"""The documents this server has read: parsed, weighed and validated once, kept while there is room."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from graphql import (
    ArgumentNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    print_ast,
    specified_rules,
    validate,
)
from graphql.validation import (
    ASTValidationRule,
    DeferStreamDirectiveLabel,
    DeferStreamDirectiveOnRootField,
    DeferStreamDirectiveOnValidOperationsRule,
    OverlappingFieldsCanBeMergedRule,
    StreamDirectiveOnListField,
    ValidationContext,
)
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from gql_secrets.graphql_server.cost import Budget, Limits, Weight, fragments_of
from gql_secrets.graphql_server.errors import BAD_REQUEST, error_entry
from gql_secrets.graphql_server.parsing import DocumentRefused, parse_document
from gql_secrets.graphql_server.plans import Plans

BYTES_A_DOCUMENT = 3_000
BYTES_A_TOKEN = 500
"""What a kept document takes, measured with tracemalloc and rounded up; its text comes on top, twice: whole as key
and source, and in pieces as the literals and names of the tree."""

MAX_SHARE = 16
"""A document larger than this part of the whole room is not kept."""


@dataclass(slots=True, eq=False)
class Operation:
    """One operation of a document that may be executed."""

    node: OperationDefinitionNode
    weight: Weight
    sizes: tuple[object, ...] = ()
    """The values of `weight.size_variables` that the budget last allowed."""

    @property
    def name(self) -> str | None:
        """The operation's own name."""
        return self.node.name.value if self.node.name else None

    @property
    def kind(self) -> OperationType:
        """Whether it reads, changes or subscribes: decided by the document, whatever the request says."""
        return self.node.operation


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document that may be executed."""

    tree: DocumentNode
    operations: tuple[Operation, ...]
    fragments: Mapping[str, FragmentDefinitionNode]
    plans: Plans
    bytes: int

    def operation(self, name: str | None) -> Operation:
        """The operation of that name, or the only one; DocumentRefused otherwise."""
        if name is None:
            if len(self.operations) > 1:
                raise DocumentRefused.because("The document has several operations: say which in `operationName`.")
            return self.operations[0]
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise DocumentRefused.because("The document has no operation of the name in `operationName`.")


class Documents:
    """Reads documents against one schema and keeps those that may be executed, the latest used longest.

    Room is bounded by count and by bytes, and what does not fit well is read again each time: no caller can make
    the server hold on to more than `limits.cached_bytes`.
    """

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self.budget = Budget(schema, limits)
        self._schema = schema
        self._limits = limits
        self._rules = rules(limits)
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def read(self, text: str) -> Document:
        """The document of that text, ready to be executed, or DocumentRefused with all that is wrong with it."""
        document = self._kept.get(text)
        if document is None:
            document = self._read(text)
            self._keep(text, document)
        else:
            self._kept.move_to_end(text)
        return document

    def forget(self) -> None:
        """Drop every document that is kept."""
        self._kept.clear()
        self.bytes = 0

    def check_sizes(self, document: Document, operation: Operation, variables: Mapping[str, object]) -> None:
        """Raise DocumentRefused if the operation asks for too much with these variables.

        Only what depends on them is weighed again, and only when they changed: a program asks for one size.
        """
        if operation.weight.size_variables:
            sizes = tuple(variables.get(name) for name in operation.weight.size_variables)
            if sizes != operation.sizes:
                self.budget.check_operation(operation.node, document.fragments, variables)
                operation.sizes = sizes

    def _read(self, text: str) -> Document:
        limits = self._limits
        # A character takes at most four bytes, so most texts need no second look.
        if len(text) * 4 > limits.document_bytes and len(text.encode()) > limits.document_bytes:
            raise DocumentRefused.because(f"The document is longer than {limits.document_bytes} bytes.")
        tree = parse_document(text, tokens=limits.tokens, literal_characters=limits.literal_characters)
        operations = self.budget.check_document(tree)
        errors = validate(self._schema, tree, self._rules, max_errors=limits.errors, hide_suggestions=True)
        if errors:
            raise DocumentRefused([_entry(error) for error in errors])
        if not operations:
            raise DocumentRefused.because("The document has no operation.")
        tokens: int = getattr(tree, "token_count", limits.tokens)
        return Document(
            tree,
            tuple(Operation(node, weight) for node, weight in operations),
            fragments_of(tree),
            Plans.of(self._schema, tree),
            BYTES_A_DOCUMENT + BYTES_A_TOKEN * tokens + 2 * sys.getsizeof(text),
        )

    def _keep(self, text: str, document: Document) -> None:
        limits = self._limits
        if document.bytes > limits.cached_bytes // MAX_SHARE:
            return
        self._kept[text] = document
        self.bytes += document.bytes
        while len(self._kept) > limits.cached_documents or self.bytes > limits.cached_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.bytes


class InvalidTrustedDocuments(ValueError):  # noqa: N818  (named like the rest of the family)
    """The manifest of trusted documents is malformed, or a document in it cannot be executed."""


class TrustedDocuments:
    """The documents of a manifest, by their sha256; where one is configured, nothing else is executed."""

    def __init__(self, documents: Iterable[str]) -> None:
        self._texts = {digest_of(text): text for text in documents}
        self._known = frozenset(self._texts.values())

    @classmethod
    def load(cls, manifest: Path, *, besides: Iterable[str] = ()) -> TrustedDocuments:
        """The documents of a JSON file `{sha256: document}` and those in `besides`; ValueError if one is amiss."""
        try:
            content = json.loads(manifest.read_bytes())
        except ValueError as error:
            raise InvalidTrustedDocuments(f"{manifest} is not JSON in UTF-8.") from error
        if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
            raise InvalidTrustedDocuments(f"{manifest} must be a JSON object of sha256 to document.")
        for digest, text in content.items():
            if digest.lower() != digest_of(text):
                raise InvalidTrustedDocuments(
                    f"{manifest}: the document at {digest[:12]}… has another sha256; generate the manifest again."
                )
        return cls([*content.values(), *besides])

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def find(self, digest: str) -> str | None:
        """The document of that sha256 (hexadecimal, with or without `sha256:` before it)."""
        return self._texts.get(digest.removeprefix("sha256:").lower())

    def __contains__(self, text: str) -> bool:
        return text in self._known


def digest_of(text: str) -> str:
    """The sha256 by which a trusted document is known."""
    return hashlib.sha256(text.encode()).hexdigest()


class ValuesFitRule(ValuesOfCorrectTypeRule):
    """Values fit their types; what does not is named by its argument or variable and never quoted."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._place = "A value"

    def enter_argument(self, node: ArgumentNode, *_args: object) -> None:
        """Remember which argument the values to come belong to."""
        self._place = f"The value of argument '{node.name.value}'"

    def enter_variable_definition(self, node: VariableDefinitionNode, *_args: object) -> None:
        """Remember which variable the default to come belongs to."""
        self._place = f"The default of variable '${node.variable.name.value}' of type '{print_ast(node.type)}'"

    def report_error(self, error: GraphQLError) -> None:
        """Report the place of the value instead of the value."""
        argument = self.context.get_argument()
        type_ = f" '{argument.type}'" if argument is not None else ""
        super().report_error(GraphQLError(f"{self._place} does not fit its type{type_}.", error.nodes))


def rules(limits: Limits) -> tuple[type[ASTValidationRule], ...]:
    """The rules a document is validated by: those of the specification, with two of them bounded.

    Without the rules of `@defer` and `@stream`: this schema has no such directives, so another rule refuses them.
    """

    class FieldsMergeRule(OverlappingFieldsCanBeMergedRule):
        """Fields of one response name can be merged, found out with bounded work."""

        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            # The comparisons are quadratic in the number of equal names.
            self.rule_context.remaining_complexity_budget = limits.comparisons

    replaced: dict[type[ASTValidationRule], type[ASTValidationRule]] = {
        OverlappingFieldsCanBeMergedRule: FieldsMergeRule,
        ValuesOfCorrectTypeRule: ValuesFitRule,
    }
    left_out = {
        DeferStreamDirectiveLabel,
        DeferStreamDirectiveOnRootField,
        DeferStreamDirectiveOnValidOperationsRule,
        StreamDirectiveOnListField,
    }
    specified = (replaced.get(rule, rule) for rule in specified_rules if rule not in left_out)
    return (*specified, MaybeNullValidationRule, OneOfInputValidationRule)


def _entry(error: GraphQLError) -> dict[str, object]:
    message = error.message
    if isinstance(error, ValidationAbortedError):
        message = "There are more errors, or too many fields of the same name to compare: validation ended here."
    return error_entry(message, BAD_REQUEST, error=error)
