"""The PostgreSQL dialect."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import asyncpg
import orjson
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.exceptions import OperationalError

from gql_secrets.domain.errors import SetupError, Unavailable
from gql_secrets.storage.address import DatabaseAddress, PoolSettings
from gql_secrets.storage.dialect import ConnectionCounts, MustAwait, Statement, TableRows, Writes
from gql_secrets.storage.errors import IntegrityError, translated
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.postgres.connection import (
    LOCK_CLIENT,
    LOCK_THE_REST,
    Connector,
    PatientConnection,
    PooledConnection,
)
from gql_secrets.storage.postgres.engine import SharedPoolTransaction
from gql_secrets.storage.postgres.migration_lock import wait_for_migration_lock
from gql_secrets.storage.postgres.pool import ConnectionPool

_log: Final = logging.getLogger(__name__)
CLOCK: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
COUNT_ROWS: Final = """
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP
            EXECUTE format('ANALYZE %I', name);
        END LOOP;
    END $$
"""
# New parts of names wait in a list until they are put into the index of the search, which many at a time make cheaper.
# What one insertion puts there takes a third of a second from 16 MB, and half of that from 8.
_FOR_MANY_ROWS: Final = """
    SELECT set_config('gin_pending_list_limit', '8MB', true), set_config('work_mem', '32MB', true)
"""
_COMMAND_SECONDS: Final = 15.0
_STATEMENT_CACHE_SIZE: Final = 100
# Each standby has a row, though its state is visible to administrators only.
_REPLICATION: Final = """
    SELECT CASE
        WHEN NOT EXISTS (SELECT 1 FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup') THEN 'none'
        WHEN current_setting('synchronous_standby_names') = '' THEN 'asynchronous'
        WHEN current_setting('synchronous_commit') IN ('local', 'off') THEN 'asynchronous'
        ELSE 'synchronous'
    END AS replication
"""


class PostgresDialect:
    """A PostgreSQL database: one pool for changes and reads."""

    name = "postgres"
    writer = "postgres"
    reader = "postgres"
    reads_now = False
    clock = CLOCK
    next_secret_id = "nextval('client_secret_id_seq')"  # noqa: S105  SQL
    # Every row that a transaction writes is locked until it ends, so batches are small.
    usage_batch = 1000
    # Those that wait get a lock in their order.
    seconds_between_batches = 0.0

    def __init__(self, address: DatabaseAddress, pool: PoolSettings, *, is_patient: bool) -> None:
        self._address = address
        self._settings = pool
        self._is_patient = is_patient
        self._pool: ConnectionPool | None = None
        # Whether a session may be another one for each transaction.
        self.is_pooled = False

    async def prepare(self) -> None:
        """Ask the server, over a connection of its own, whether a pooler is between; then make the pool.

        A pooler gives each transaction another session, unless it is set up otherwise: prepared statements are off
        behind one, if nothing else was set, and notifications are not listened for.
        """
        connector = await asyncio.to_thread(Connector, self._address, statement_cache_size=0)
        connection = await connector.connect()
        try:
            is_pooled = connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()")
        finally:
            connection.terminate()
        cache_size = self._settings.statement_cache_size
        if cache_size is None:
            cache_size = 0 if is_pooled else _STATEMENT_CACHE_SIZE
        if is_pooled:
            _log.info("connection_pooler_found", extra={"prepared_statements": "on" if cache_size else "off"})
        self.is_pooled = is_pooled or cache_size == 0
        seconds = None if self._is_patient else _COMMAND_SECONDS
        connector = await asyncio.to_thread(
            Connector,
            self._address,
            statement_cache_size=cache_size,
            command_timeout=seconds,
            connection_class=PatientConnection if self._is_patient else PooledConnection,
        )
        self._pool = ConnectionPool(connector.connect, self._settings.size, answer_seconds=seconds)

    @property
    def pool(self) -> ConnectionPool:
        """The connections of this process.

        Raises:
            Unavailable: `prepare` did not succeed.
        """
        if self._pool is None:
            raise Unavailable
        return self._pool

    def connections(self) -> dict[str, Any]:  # noqa: D102
        return {self.writer: {"engine": "gql_secrets.storage.postgres.engine", "credentials": {"pool": self._pool}}}

    def count_connections(self) -> ConnectionCounts | None:  # noqa: D102
        return ConnectionCounts(self.pool.in_use, self.pool.idle, self.pool.capacity)

    async def require_durability(self, connection: BaseDBAsyncClient) -> None:  # noqa: D102
        isolation = await _setting(connection, "default_transaction_isolation")
        if isolation != "read committed":
            raise SetupError(
                "PostgreSQL must run with default_transaction_isolation='read committed' for this database: a change "
                "decides on what was committed while it waited for its locks."
            )
        for name in ("fsync", "synchronous_commit"):
            if await _setting(connection, name) == "off":
                raise SetupError(f"PostgreSQL runs with {name}=off: a returned secret could be lost. Set it to on.")

    def require_room(self) -> None:
        """Do nothing: the disk is the server's."""

    def has_reserve_for(self, error: BaseException) -> bool:  # noqa: ARG002
        """Return False: the disk is the server's."""
        return False

    async def use_reserve(self, connection: BaseDBAsyncClient) -> None:
        """Do nothing."""

    async def read_replication(self, connection: BaseDBAsyncClient) -> str:  # noqa: D102
        _, rows = await connection.execute_query(_REPLICATION)
        return str(rows[0]["replication"])

    async def read_clock(self, connection: BaseDBAsyncClient) -> datetime:  # noqa: D102
        _, rows = await connection.execute_query(f"SELECT {CLOCK} AS now")
        return from_microseconds(rows[0]["now"])

    async def read_commit_mark(self, connection: BaseDBAsyncClient) -> object | None:
        """Return None: PostgreSQL has no number that changes with every commit."""

    async def lock_row(  # noqa: D102
        self, connection: BaseDBAsyncClient, table: str, key: str, value: object, *, shared: bool = False
    ) -> None:
        strength = "SHARE" if shared else "UPDATE"
        await connection.execute_query(f"SELECT 1 FROM {table} WHERE {key} = $1 FOR {strength}", [value])  # noqa: S608  names of our own tables

    async def lock_for_change(self, connection: BaseDBAsyncClient, client_id: str | None) -> None:  # noqa: D102
        if client_id is None:
            await self.lock_row(connection, "installation", "id", 1)
            return
        if isinstance(connection, SharedPoolTransaction) and connection.locked_client == client_id:
            return
        # A statement of its own: the secrets that another change added are visible only to the next one.
        await self.fetch_rows(connection, LOCK_CLIENT, (client_id,))
        await self.fetch_rows(connection, LOCK_THE_REST, (client_id,))

    async def fetch_rows(  # noqa: D102
        self, connection: BaseDBAsyncClient, statement: str, values: Sequence[object]
    ) -> Sequence[Sequence[Any]]:
        async with connection.acquire_connection() as own:
            try:
                rows: Sequence[Sequence[Any]] = await own.fetch(statement, *values)
            except asyncpg.IntegrityConstraintViolationError as error:
                raise IntegrityError(error) from error
            except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
                raise OperationalError(error) from error
        return rows

    async def count_changed(  # noqa: D102
        self, connection: BaseDBAsyncClient, statements: Sequence[Statement]
    ) -> list[int]:
        places = range(len(statements))
        parts = ", ".join(f"w{place} AS ({statement} RETURNING 1)" for place, (statement, _) in enumerate(statements))
        counts = ", ".join(f"(SELECT count(*) FROM w{place})" for place in places)  # noqa: S608  numbers
        values = [value for _, values in statements for value in values]
        rows = await self.fetch_rows(connection, self.placeholders(f"WITH {parts} SELECT {counts}"), values)
        return list(rows[0])

    async def write(self, connection: BaseDBAsyncClient, statements: Sequence[Statement]) -> None:  # noqa: D102
        *first, last = [statement for statement, _ in statements]
        parts = ", ".join(f"w{number} AS ({statement})" for number, statement in enumerate(first))
        statement = f"WITH {parts} {last}" if first else last
        await self.fetch_rows(
            connection, self.placeholders(statement), [value for _, values in statements for value in values]
        )

    async def run_all(  # noqa: D102
        self, connection: BaseDBAsyncClient, statements: Sequence[Statement]
    ) -> list[Sequence[Sequence[Any]]]:
        return [
            await self.fetch_rows(connection, self.placeholders(statement), values) for statement, values in statements
        ]

    async def write_together(self, connection: BaseDBAsyncClient, writes: Writes) -> bool:
        """Write all of it with one statement; return whether each update changed one row.

        PostgreSQL runs the parts of a statement in any order, except that a part runs after those that it reads: an
        insertion reads what the updates returned, and inserts nothing if one of them changed no row.
        """
        if not writes.updates:
            await self.write(connection, [*(each.statement() for each in writes.new_rows), *writes.others])
            return True
        statement = _together(
            tuple(statement for statement, _ in writes.updates),
            tuple((each.table, each.columns) for each in writes.new_rows),
            tuple(statement for statement, _ in writes.others),
        )
        parts = (
            *(values for _, values in writes.updates),
            *(each.values for each in writes.new_rows),
            *(values for _, values in writes.others),
        )
        return bool(await self.fetch_rows(connection, statement, [value for part in parts for value in part]))

    def placeholders(self, statement: str) -> str:  # noqa: D102
        return _numbered(statement)

    def has_idle_connection(self) -> bool:  # noqa: D102
        return self._pool is not None and self._pool.has_idle()

    def fetch_now(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:  # noqa: ARG002
        """Raise: PostgreSQL answers over a network."""
        raise MustAwait

    async def fetch_quickly(  # noqa: D102
        self,
        connection: BaseDBAsyncClient,  # noqa: ARG002
        statement: str,
        values: Sequence[object],
    ) -> Sequence[Sequence[Any]]:
        # Not through Tortoise, whose way to the pool takes longer than the pool's own.
        return await self.pool.read(statement, values)

    async def close(self) -> None:
        """Close the pool, also where Tortoise never had it."""
        if self._pool is not None:
            await self._pool.close()

    def joined(self, column: str) -> str:  # noqa: D102
        return f"string_agg({column}, ',')"

    def gathered(self, column: str) -> str:  # noqa: D102
        return f"json_agg({column})"

    def row_of(self, table: str, alias: str, condition: str) -> str:
        """Return the join. The offset keeps PostgreSQL from merging the rows with all that meet a part of it."""
        return f"LEFT JOIN LATERAL (SELECT * FROM {table} {alias} WHERE {condition} OFFSET 0) {alias} ON true"  # noqa: S608  put together from constants

    def page_with(self, table: str, joins: str, condition: str, order: str, limit: int) -> str:
        """Return FROM and what follows it. Until PostgreSQL has counted the rows of new tables, it would join all."""
        alias = table.rpartition(" ")[2]
        page = f"SELECT * FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit:d}"  # noqa: S608  put together from constants
        return f"({page}) {alias} {joins} ORDER BY {order}"

    def by_index(self, name: str) -> str:  # noqa: ARG002
        """Return nothing: PostgreSQL has statistics."""
        return ""

    def contains(  # noqa: D102
        self, term: str, parts: Sequence[str]
    ) -> tuple[str, tuple[str, tuple[str, ...]], tuple[str, str]]:
        test = "x.search_text LIKE ?"
        plain = test, _pattern(term)
        if parts == [term]:
            return "client_listing", (test, (_pattern(term),)), plain
        # Not by LIKE: the index would be asked for the whole term.
        tests = " AND ".join([test] * len(parts) + ["strpos(x.search_text, ?) > 0"])
        return "client_listing", (tests, (*map(_pattern, parts), term)), plain

    def rows_of_json(self, columns: Mapping[str, str]) -> str:  # noqa: D102
        names = ", ".join(f"(value ->> {at})::{kind} AS {name}" for at, (name, kind) in enumerate(columns.items()))
        return f"(SELECT {names} FROM jsonb_array_elements(?::jsonb))"  # noqa: S608  names of our own columns

    def tables_of(self, columns: Mapping[str, str], values: Sequence[object]) -> Iterator[Statement]:  # noqa: D102
        if values:
            width = len(columns)
            rows = [values[start : start + width] for start in range(0, len(values), width)]
            yield self.rows_of_json(columns), [orjson.dumps(rows).decode()]

    async def insert(self, connection: BaseDBAsyncClient, tables: Sequence[TableRows]) -> None:  # noqa: D102
        for table, own_columns, own_rows, shared in tables:
            columns = (*own_columns, *shared)
            rows = [(*row, *shared.values()) for row in own_rows] if shared else own_rows
            if len(rows) > 1:
                async with connection.acquire_connection() as own:
                    await own.copy_records_to_table(table, columns=columns, records=rows)
                continue
            marks = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
            statement = f'INSERT INTO "{table}" ({", ".join(columns)}) VALUES ({marks})'  # noqa: S608  names of our own models
            await connection.execute_many(statement, [list(row) for row in rows])

    async def new_secret_ids(self, connection: BaseDBAsyncClient, count: int) -> Sequence[int]:  # noqa: D102
        statement = f"SELECT {self.next_secret_id} FROM generate_series(1, $1::int)"  # noqa: S608  SQL of our own
        return sorted(number for (number,) in await self.fetch_rows(connection, statement, (count,)))

    async def count_rows(self, connection: BaseDBAsyncClient) -> None:  # noqa: D102
        await connection.execute_query(COUNT_ROWS)

    async def expect_many_rows(self, connection: BaseDBAsyncClient) -> None:
        """Put more into the index of the search at a time, in this transaction."""
        await self.fetch_rows(connection, _FOR_MANY_ROWS, ())

    async def find_damage(self, connection: BaseDBAsyncClient) -> list[str]:  # noqa: ARG002
        """Return nothing: PostgreSQL checks its own pages, and its administrators run its own tools."""
        return []

    @contextlib.asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[None]:  # noqa: D102
        with translated():
            connection = await Connector(self._address, statement_cache_size=0).connect()
        try:
            async with connection.transaction():
                # A lock of the transaction, not of the session, so that it works through PgBouncer too.
                with translated():
                    await wait_for_migration_lock(connection)
                yield
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def foreign_keys_deferred(self, connection: BaseDBAsyncClient) -> AsyncIterator[None]:  # noqa: ARG002
        """Do nothing: PostgreSQL alters tables in place."""
        yield

    async def check_foreign_keys(self, connection: BaseDBAsyncClient) -> None:
        """Do nothing: PostgreSQL checked them as the rows were written."""

    async def table_exists(self, connection: BaseDBAsyncClient, table: str) -> bool:  # noqa: D102
        _, rows = await connection.execute_query("SELECT to_regclass($1) IS NOT NULL AS there", [table])
        return bool(rows[0]["there"])


@lru_cache
def _together(updates: tuple[str, ...], rows: tuple[tuple[str, tuple[str, ...]], ...], others: tuple[str, ...]) -> str:
    # Terms are read from the left, so each update runs after the one before it. One that changed no row is null.
    terms = " + ".join(f"(SELECT changed FROM u{place})" for place in range(len(updates)))  # noqa: S608  numbers
    is_written = f"{terms} = {len(updates)}"
    insertions = (
        f'INSERT INTO "{table}" ({", ".join(columns)}) SELECT {", ".join("?" * len(columns))} WHERE {is_written} '
        "RETURNING 1"
        for table, columns in rows
    )
    parts = [
        *(f"u{place} AS ({statement} RETURNING 1 AS changed)" for place, statement in enumerate(updates)),
        *(f"w{place} AS ({statement})" for place, statement in enumerate((*insertions, *others))),
    ]
    return _numbered(f"WITH {', '.join(parts)} SELECT 1 {'FROM w0' if rows else f'WHERE {is_written}'}")


@lru_cache(maxsize=512)
def _numbered(statement: str) -> str:
    first, *rest = statement.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, start=1))


async def _setting(connection: BaseDBAsyncClient, name: str) -> str:
    _, rows = await connection.execute_query("SELECT current_setting($1) AS value", [name])
    return str(rows[0]["value"])


def _pattern(part: str) -> str:
    """Return the pattern of LIKE for texts that contain this."""
    escaped = re.sub(r"([\\%_])", r"\\\1", part)
    return f"%{escaped}%"
