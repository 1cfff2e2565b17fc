"""Keyset pages: a cursor contains the key of a row, so page 10,000 costs as much as page 1."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

from gql_secrets.domain import base64url
from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.errors import BadRequest
from gql_secrets.domain.texts import is_writable
from gql_secrets.storage.client_lists import Key, OrderField, Place
from gql_secrets.storage.fields import from_microseconds, to_microseconds

Row = TypeVar("Row")

DEFAULT_PAGE: Final = 20
MAX_PAGE: Final = 100
MAX_CURSOR: Final = 1_024
MAX_INT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which rows to return: the first N after a cursor, or the last N before one.

    Raises:
        BadRequest: a size is not between 0 and 100, or both directions are requested.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        for name, size in (("first", self.first), ("last", self.last)):
            if size is not None and not 0 <= size <= MAX_PAGE:
                raise BadRequest(f"{name} must be between 0 and {MAX_PAGE}.", argument=name)
        if self.first is not None and self.last is not None:
            raise BadRequest("Pass either first or last, not both.", argument="last")
        if self.last is not None and self.after is not None:
            raise BadRequest("Use after with first, and before with last.", argument="after")
        if self.last is None and self.before is not None:
            raise BadRequest("Use before with last, and after with first.", argument="before")

    @property
    def is_backward(self) -> bool:
        """Whether the last rows are requested."""
        return self.last is not None

    @property
    def size(self) -> int:
        """The maximum number of rows."""
        size = self.last if self.last is not None else self.first
        return DEFAULT_PAGE if size is None else size

    @property
    def cursor(self) -> str | None:
        """The cursor at which the page begins, exclusively."""
        return self.before if self.is_backward else self.after

    def beyond(self, cursors: Sequence[str]) -> "PageRequest":
        """Return the request for as many rows beyond a page that has these cursors."""
        return replace(self, before=cursors[0]) if self.is_backward else replace(self, after=cursors[-1])

    def parse_cursor(self, parts: int) -> list[Any] | None:
        """Return the key of the row that the cursor names, or None without a cursor.

        Args:
            parts: of how many columns the key consists: a number, or an instant and a client id.

        Raises:
            BadRequest: it is not a cursor.
        """
        if self.cursor is None:
            return None
        try:
            number, *rest = self._decoded(self.cursor).split("\n", parts - 1)
            if len(rest) != parts - 1 or not all(map(is_client_id, rest)) or not 0 <= int(number) <= MAX_INT:
                raise ValueError
            return [from_microseconds(int(number)) if rest else int(number), *rest]
        except (ValueError, OverflowError):
            raise self._not_a_cursor() from None

    def parse_place(self, field: OrderField) -> Place | None:
        """Return the place in an order of clients that the cursor names, or None without a cursor.

        Raises:
            BadRequest: it is not a cursor of this order.
        """
        if field is OrderField.CREATED_AT:
            parts = self.parse_cursor(2)
            return Place(to_microseconds(parts[0]), parts[1]) if parts else None
        if self.cursor is None:
            return None
        try:
            name, text, client_id = self._decoded(self.cursor).split("\n")
            key: Key = text if field is OrderField.NAME else int(text) if text else None
            is_key = is_writable(key) if isinstance(key, str) else 0 <= (key or 0) <= MAX_INT
            if name != field or not is_key or not is_client_id(client_id):
                raise ValueError
            if key is None and field is not OrderField.ROLLOVER_END:
                raise ValueError
            return Place(key, client_id)
        except ValueError:
            raise self._not_a_cursor() from None

    @staticmethod
    def _decoded(cursor: str) -> str:
        if len(cursor) > MAX_CURSOR:
            raise ValueError
        return base64url.decode(cursor).decode()

    def _not_a_cursor(self) -> BadRequest:
        argument = "before" if self.is_backward else "after"
        return BadRequest("Not a cursor. Pass a cursor from pageInfo or an edge.", argument=argument)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows in their order, and whether there are more on either side."""

    rows: list[Row]
    make_cursor: Callable[[Row], str]
    has_next: bool
    has_previous: bool
    count: Callable[[], Awaitable[int]]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(
        cls,
        request: PageRequest,
        rows: Sequence[Row],
        make_cursor: Callable[[Row], str],
        *,
        count: Callable[[], Awaitable[int]],
    ) -> "Page[Row]":
        """Return the page of the rows that were read for a request: one more than its size, if there are as many.

        Args:
            request: which rows were requested.
            rows: the rows in the order in which they were read, which is backward for a page before a cursor.
            make_cursor: returns the cursor of a row.
            count: counts the rows of all pages. It is not needed where this page has them all.
        """
        has_more = len(rows) > request.size
        kept = list(rows[: request.size])
        if request.is_backward:
            kept.reverse()
        has_cursor = request.cursor is not None
        return cls(
            rows=kept,
            make_cursor=make_cursor,
            has_next=has_cursor if request.is_backward else has_more,
            has_previous=has_more if request.is_backward else has_cursor,
            count=count if has_more or has_cursor else partial(_known, len(kept)),
        )

    @property
    def cursors(self) -> list[str]:
        """The cursor of each row."""
        return [self.cursor_of(row) for row in self.rows]

    def cursor_of(self, row: Row) -> str:
        """Return the cursor of one of the rows."""
        return self.make_cursor(row)


async def _known(number: int) -> int:
    return number


class Counts:
    """Numbers of rows that are counted together, when the first of them is asked for.

    Args:
        read: returns the numbers by their keys, of which those that are 0 may be missing.
    """

    def __init__(self, read: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        self._read = read
        self._counting: asyncio.Future[Mapping[str, int]] | None = None

    async def of(self, key: str) -> int:
        """Return the number of this key."""
        if self._counting is None:
            self._counting = asyncio.ensure_future(self._read())
            # The caller may have disconnected by the time it fails; its result must still be consumed.
            self._counting.add_done_callback(lambda counting: counting.cancelled() or counting.exception())
        return (await asyncio.shield(self._counting)).get(key, 0)


def cursor_by(*names: str) -> Callable[[object], str]:
    """Return what makes cursors of rows from these attributes."""

    def make(row: object) -> str:
        values = [getattr(row, name) for name in names]
        text = "\n".join(str(to_microseconds(value)) if isinstance(value, datetime) else str(value) for value in values)
        return base64url.encode(text.encode())

    return make


def cursor_of_place(field: OrderField, place: Place) -> str:
    """Return the cursor of a client's place in an order."""
    key = "" if place.key is None else place.key
    if field is OrderField.CREATED_AT:
        return base64url.encode(f"{key}\n{place.client_id}".encode())
    return base64url.encode(f"{field}\n{key}\n{place.client_id}".encode())
