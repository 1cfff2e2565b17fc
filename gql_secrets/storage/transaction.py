"""What a piece of work may use inside its transaction."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from types import NoneType
from typing import Any, Final, TypeVar, cast

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.fields.base import Field
from tortoise.models import Model
from tortoise.validators import MaxLengthValidator

from gql_secrets.domain.journal import JournaledChange
from gql_secrets.storage.dialect import Dialect, NewRow, Statement, TableRows, Writes
from gql_secrets.storage.fields import to_microseconds

T = TypeVar("T")

# How many rows are computed at a time inside `inserting`; in between, a finished insertion makes room for the next one.
ROWS_BETWEEN_PAUSES: Final = 500


class Transaction:
    """An open transaction: its connection, and the clock that decides."""

    __slots__ = ("_insertions", "_instant_of", "_read_clock", "changes", "connection", "dialect")

    def __init__(
        self,
        connection: BaseDBAsyncClient,
        dialect: Dialect,
        read_clock: Callable[[BaseDBAsyncClient], Awaitable[datetime]],
        instant_of: Callable[[int | None], datetime],
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        # What it changed, for the journal: the revisions that it gave.
        self.changes: list[JournaledChange] = []
        self._insertions: Insertions | None = None
        self._read_clock = read_clock
        self._instant_of = instant_of

    async def now(self) -> datetime:
        """Return the database's clock at this moment. Read it after taking the locks, never before."""
        return await self._read_clock(self.connection)

    def instant_of(self, clock: int | None) -> datetime:
        """Return the instant that `dialect.clock` was read as, in a statement after the locks."""
        return self._instant_of(clock)

    async def execute(self, statement: str, *values: object) -> int:
        """Run a statement with `?` placeholders; return the number of rows it changed."""
        count, _ = await self.connection.execute_query(self.dialect.placeholders(statement), list(values))
        return count

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows of a read with `?` placeholders."""
        return await self.connection.execute_query_dict(self.dialect.placeholders(statement), list(values))

    async def fetch_as(
        self,
        make: Callable[[Sequence[Any]], T],
        statement: str,
        values: Sequence[object] = (),
        *,
        is_short: bool = False,
    ) -> list[T]:
        """Return what `make` makes of each row of a read with `?` placeholders.

        Args:
            make: what to make of a row.
            statement: a SELECT.
            values: of its placeholders.
            is_short: whether indexes answer it within about a millisecond.
        """
        statement = self.dialect.placeholders(statement)
        if is_short:
            return [make(row) for row in await self.fetch_rows(statement, values)]
        _, rows = await self.connection.execute_query(statement, list(values))
        return [make(cast("Sequence[Any]", row)) for row in rows]  # Tortoise calls them dicts

    async def fetch_rows(self, statement: str, values: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement with the database's own placeholders, with as little work as possible.

        Raises:
            IntegrityError: a constraint does not allow what it writes.
        """
        return await self.dialect.fetch_rows(self.connection, statement, values)

    async def count_changed(self, statements: Sequence[Statement]) -> list[int]:
        """Write different rows together, and return how many rows each statement changed: with `?` placeholders.

        Raises:
            IntegrityError: a constraint does not allow it.
        """
        return await self.dialect.count_changed(self.connection, statements)

    async def write(self, statements: Sequence[Statement]) -> None:
        """Write what does not depend on each other's order, together: each has `?` placeholders and its values.

        Raises:
            IntegrityError: a constraint does not allow it.
        """
        await self.dialect.write(self.connection, statements)

    async def write_together(self, writes: Writes) -> bool:
        """Write what a change writes, together; return whether each update changed one row.

        It comes after all that is being inserted.

        Raises:
            IntegrityError: a constraint does not allow it.
        """
        if self._insertions is not None:
            await self._insertions.end()
        return await self.dialect.write_together(self.connection, writes)

    async def run_all(self, statements: Sequence[Statement]) -> list[Sequence[Sequence[Any]]]:
        """Run statements with `?` placeholders that may take longer, in this order, and return the rows of each."""
        return await self.dialect.run_all(self.connection, statements)

    async def lock_for_change(self, client_id: str | None) -> None:
        """Lock a client, then its active secrets, then the installation; where there is no client, only that."""
        await self.dialect.lock_for_change(self.connection, client_id)

    async def lock_row(self, table: str, key: str, value: object, *, shared: bool = False) -> None:
        """Lock one row until the transaction ends; where the transaction has the whole database, do nothing."""
        await self.dialect.lock_row(self.connection, table, key, value, shared=shared)

    def rows_of_json(self, columns: Mapping[str, str]) -> str:
        """Return SQL that reads a parameter, a JSON array of arrays, as a table with these columns (name: type)."""
        return self.dialect.rows_of_json(columns)

    def tables_of(self, columns: Mapping[str, str], values: Sequence[object]) -> Iterator[Statement]:
        """Yield SQL that reads the rows of these values as a table with these columns (name: type), and its parameters.

        The values are those of one row after the other. Many rows are divided among several tables, in their order.
        """
        return self.dialect.tables_of(columns, values)

    async def insert(self, model: type[Model], rows: Sequence[Mapping[str, object]]) -> None:
        """Insert rows of one model, each a value by field and all with the same fields.

        Many rows cost a tenth of what the ORM's `bulk_create` does (measured). A field that is not given has the
        model's default. What the database generates (keys, its own defaults) is left to it and not read back.
        """
        await self.insert_all([(model, rows)])

    async def insert_all(self, tables: Sequence[tuple[type[Model], Sequence[Mapping[str, object]]]]) -> None:
        """Insert rows of several models, in this order, each as `insert` does."""
        await self.dialect.insert(self.connection, [_columns_and_values(model, rows) for model, rows in tables if rows])

    @contextlib.asynccontextmanager
    async def inserting(self) -> AsyncIterator["Insertions"]:
        """Let the database insert rows while the body computes the next ones.

        However the body ends, nothing is still being inserted afterwards. If an insertion failed, the error of the
        first that failed is raised.
        """
        self._insertions = insertions = Insertions(self)
        try:
            yield insertions
        finally:
            self._insertions = None
            await insertions.end()

    async def insert_one(self, model: type[Model], row: Mapping[str, object]) -> int:
        """Insert one row, and return the key that the database generated for it.

        Raises:
            IntegrityError: a constraint does not allow it.
        """
        statement, values = insertion(model, row)
        [[key]] = await self.fetch_rows(self.dialect.placeholders(f"{statement} RETURNING id"), values)
        return int(key)


class Insertions:
    """Insertions of a transaction that run one after the other, in the order in which they began."""

    __slots__ = ("_running", "_tx")

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._running: list[asyncio.Task[None]] = []

    async def begin(self, model: type[Model], rows: Sequence[Mapping[str, object]]) -> None:
        """Begin to insert rows as `insert` does; what is inserted from now on comes after them."""
        self._running.append(asyncio.get_running_loop().create_task(self._tx.insert(model, rows)))
        await asyncio.sleep(0)  # it takes its place

    async def end(self) -> None:
        """Wait until all of it was inserted, or failed; in that case raise the first error."""
        for running in self._running:
            if not running.done():
                await asyncio.wait([running])
        for error in [running.exception() for running in self._running]:
            if error is not None:
                raise error


def insertion(model: type[Model], row: Mapping[str, object]) -> Statement:
    """Return the statement that inserts one row; what is not given is left to the database."""
    return new_row(model, row).statement()


def new_row(model: type[Model], row: Mapping[str, object]) -> NewRow:
    """Return a row that `write_together` inserts; what is not given is left to the database."""
    values = [to_microseconds(value) if isinstance(value, datetime) else value for value in row.values()]
    return NewRow(model._meta.db_table, tuple(row), values)  # noqa: SLF001


def _columns_and_values(model: type[Model], rows: Sequence[Mapping[str, object]]) -> TableRows:
    meta = model._meta  # noqa: SLF001  Tortoise's own place for it
    fields = [
        (name, field)
        for name, field in ((name, meta.fields_map[name]) for name in meta.fields_db_projection)
        if name in rows[0] or not (field.generated or field.has_db_default())
    ]
    columns: dict[str, Sequence[object]] = {}
    shared: dict[str, object] = {}
    for number, (name, field) in enumerate(fields, start=1):
        values = list(map(itemgetter(name), rows)) if name in rows[0] else [field.default] * len(rows)
        is_needed = number == len(fields) and not columns
        if is_needed or len(rows) == 1 or any(value is not values[0] for value in values):
            columns[meta.fields_db_projection[name]] = _values_of_field(model, field, values)
        elif values[0] is not None or field.has_db_default():
            shared[meta.fields_db_projection[name]] = field.to_db_value(values[0], model)
    return TableRows(meta.db_table, list(columns), list(zip(*columns.values(), strict=True)), shared)


def _values_of_field(model: type[Model], field: Field[Any], values: Sequence[Any]) -> Sequence[object]:
    """Return the values of one field as the database has them."""
    # Most values are null, or of the type of the field and within its length, and written as they are.
    kept, most = _kept(field)
    types = set(map(type, values)) - ({NoneType} if field.null else set())
    is_kept = types <= {kept} and (most is None or max(map(len, filter(None, values)), default=0) <= most)
    return values if is_kept else [field.to_db_value(value, model) for value in values]


def _kept(field: Field[Any]) -> tuple[type | None, int | None]:
    """Return the type whose values this field writes as they are, and their greatest length if they have one.

    The type is None if the field looks at each value.
    """
    if type(field).to_db_value is not Field.to_db_value:
        return None, None
    match field.validators:
        case []:
            return field.field_type, None
        case [MaxLengthValidator(max_length=most)] if field.field_type is str:
            return str, most
    return None, None
