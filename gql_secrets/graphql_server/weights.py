"""What a field costs the budget, where that is more than the one value it gives.

The unit is what a plain value costs, some 8 microseconds of processor time. The weights are measured, rounded up
(tests/benchmarks/query_cost.py), and stand at the fields themselves; a resolver without one fails a test.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from graphql import GraphQLField

_KEY: Final = "weight"
_DEFINITION: Final = "strawberry-definition"


class Weighs(NamedTuple):
    """What one field costs."""

    own: int = 1
    """The field itself, whatever is selected below it: the rows that it reads, the query that it makes."""
    row: int = 0
    """Each row of its page, also where nothing of it is asked for."""
    size: int | None = None
    """How long its list may be, where no argument says it."""


def weighs(own: int = 1, *, row: int = 0, size: int | None = None) -> Mapping[Any, Any]:
    """Return the metadata of a Strawberry field that say what it costs."""
    return {_KEY: Weighs(own, row, size)}


def weight_of(field: GraphQLField) -> Weighs | None:
    """Return what a field says that it costs, or None."""
    metadata: Mapping[Any, Any] = getattr(field.extensions.get(_DEFINITION), "metadata", None) or {}
    found = metadata.get(_KEY)
    return found if isinstance(found, Weighs) else None


# A value that is loaded for all rows of a page at once, or judged for each.
LOADED: Final = weighs(6)
JUDGED: Final = weighs(4)
# A page at the top, which may be searched or not, one below each of many, and the counting of all rows of either.
SEARCHED_PAGE: Final = weighs(230, row=5, size=20)
PAGE: Final = weighs(160, row=5)
PAGE_BELOW: Final = weighs(80, row=7)
COUNT: Final = weighs(35)
# One row, found by its id.
FOUND: Final = weighs(100)
