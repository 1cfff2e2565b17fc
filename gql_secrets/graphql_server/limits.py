"""Every limit of the GraphQL endpoint, and the check of a request's variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gql_secrets.graphql_server.errors import DocumentRefused

# A text shorter than this costs nothing; a longer one costs 1 for each TEXT_BYTES_PER_COST bytes and each use. The
# longest one that a body can hold may be used once: the argument's own limit then refuses it by name.
MIN_COUNTED_TEXT_BYTES: Final = 256
TEXT_BYTES_PER_COST: Final = 32
_MAX_BYTES_OF_CHARACTER: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the GraphQL endpoint; a document or a request beyond one of them is refused.

    The defaults keep the longest accepted document below 50 ms of processor time and a refused one below 15 ms
    (tests/benchmarks/budget_cost.py measures both).

    Attributes:
        body_bytes: the bytes of a request's body, variables included.
        body_seconds: how long a body may take to arrive.
        document_bytes: the bytes of a document.
        tokens: the lexical tokens of a document; the cost of parsing and validation grows with them. The comments of
            a document have the same limit.
        operations: the operations in one document.
        fragments: the fragments in one document.
        depth: fields inside fields, fragments expanded; the deepest introspection query of the common tools needs
            all 15.
        fields: the fields of one operation, fragments expanded.
        root_fields: the fields at the top of one query.
        mutation_fields: the fields at the top of one mutation: each is a transaction of its own.
        aliases: the aliases of one operation, fragments expanded.
        directives: the directives of one operation, fragments expanded.
        cost: what one operation may cost: every field by its weight, times the sizes of the lists around it, and the
            texts of the variables by their length.
        list_size: the assumed length of a list where neither an argument nor a default gives it.
        comparisons: the work that validation may spend on comparing fields of the same response name.
        errors: the errors in one answer to a document that is not valid.
        variable_values: the values in `variables`, list items and object fields counted.
        variable_depth: lists and objects inside each other in `variables`.
        cached_documents: the documents that are kept parsed and validated.
        cached_bytes: the memory that the kept documents may take, by estimate.
    """

    body_bytes: int = 131_072
    body_seconds: float = 30.0
    document_bytes: int = 16_384
    tokens: int = 400
    operations: int = 8
    fragments: int = 30
    depth: int = 15
    fields: int = 1_000
    root_fields: int = 20
    mutation_fields: int = 5
    aliases: int = 30
    directives: int = 30
    cost: int = 5_000
    list_size: int = 10
    comparisons: int = 3_000
    errors: int = 10
    variable_values: int = 1_000
    variable_depth: int = 10
    cached_documents: int = 1_000
    cached_bytes: int = 32 * 1024 * 1024


def check_variables(variables: Mapping[str, object], limits: Limits) -> None:
    """Pass if the variables are within the limits.

    Raises:
        DocumentRefused: they hold too many values or are nested too deeply.
    """
    count = 0
    level: list[object] = [variables]
    for _ in range(limits.variable_depth + 1):
        level = _items_of(level)
        if not level:
            return
        count += len(level)
        if count > limits.variable_values:
            raise DocumentRefused.because(f"The variables hold more than {limits.variable_values} values.")
    raise DocumentRefused.because(f"The variables are nested more than {limits.variable_depth} deep.")


def text_cost(value: object) -> int:
    """Return what the texts of a variable's value cost: work on a text grows with its length."""
    if isinstance(value, str) and len(value) < MIN_COUNTED_TEXT_BYTES // _MAX_BYTES_OF_CHARACTER:
        return 0
    size = 0
    level = [value]
    while level:
        size += sum(_text_bytes(item) for item in level)
        level = _items_of(level)
    return size // TEXT_BYTES_PER_COST if size >= MIN_COUNTED_TEXT_BYTES else 0


def _items_of(values: list[object]) -> list[object]:
    """Return what is directly inside these lists and objects."""
    items: list[object] = []
    for value in values:
        if isinstance(value, dict):
            items.extend(value.values())
        elif isinstance(value, list):
            items.extend(value)
    return items


def _text_bytes(value: object) -> int:
    if not isinstance(value, str):
        return 0
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
