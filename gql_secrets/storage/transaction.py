"""What a piece of work may use inside its transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.models import Model

from gql_secrets.storage.dialect import Dialect


class Transaction:
    """An open transaction: its connection, and the clock that decides."""

    __slots__ = ("_dialect", "_read_clock", "connection")

    def __init__(
        self,
        connection: BaseDBAsyncClient,
        dialect: Dialect,
        read_clock: Callable[[BaseDBAsyncClient], Awaitable[datetime]],
    ) -> None:
        self.connection = connection
        self._dialect = dialect
        self._read_clock = read_clock

    async def now(self) -> datetime:
        """Return the database's clock at this moment. Read it after taking the locks, never before."""
        return await self._read_clock(self.connection)

    async def execute(self, statement: str, *values: object) -> int:
        """Run a statement with `?` placeholders; return the number of rows it changed."""
        count, _ = await self.connection.execute_query(self._dialect.placeholders(statement), list(values))
        return count

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows of a read with `?` placeholders."""
        return await self.connection.execute_query_dict(self._dialect.placeholders(statement), list(values))

    async def lock_row(self, table: str, key: str, value: object, *, shared: bool = False) -> None:
        """Lock one row until the transaction ends; where the transaction has the whole database, do nothing."""
        await self._dialect.lock_row(self.connection, table, key, value, shared=shared)

    def rows_of_json(self, columns: Mapping[str, str]) -> str:
        """Return SQL that reads a parameter, a JSON array of arrays, as a table with these columns (name: type)."""
        return self._dialect.rows_of_json(columns)

    async def insert(self, model: type[Model], rows: Sequence[Mapping[str, object]]) -> None:
        """Insert rows of one model, each a value by field and all with the same fields.

        Many rows cost a tenth of what the ORM's `bulk_create` does (measured). A field that is not given has the
        model's default. What the database generates (keys, its own defaults) is left to it and not read back.
        """
        if not rows:
            return
        meta = model._meta  # noqa: SLF001  Tortoise's own place for it
        fields = [
            (name, field)
            for name, field in ((name, meta.fields_map[name]) for name in meta.fields_db_projection)
            if name in rows[0] or not (field.generated or field.has_db_default())
        ]
        columns = [meta.fields_db_projection[name] for name, _ in fields]
        values = [[field.to_db_value(row.get(name, field.default), model) for name, field in fields] for row in rows]
        await self._dialect.insert(self.connection, meta.db_table, columns, values)
