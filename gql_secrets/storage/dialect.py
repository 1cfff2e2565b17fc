"""Everything that differs between the two databases, as one object."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

from tortoise.backends.base.client import BaseDBAsyncClient

Statement: TypeAlias = tuple[str, Sequence[object]]
"""SQL with `?` placeholders, and their values."""


class MustAwait(Exception):  # noqa: N818  a signal, not an error
    """A read cannot be answered without awaiting it."""


class TableRows(NamedTuple):
    """Rows of one table, each with the values of these columns.

    Attributes:
        name: the name of the table.
        columns: the columns whose values differ; at least one.
        rows: their values.
        shared: the columns that have the same value in each row.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    shared: Mapping[str, object] = MappingProxyType({})


class ConnectionCounts(NamedTuple):
    """How many connections to the database one process has: used, idle, and at most."""

    in_use: int
    idle: int
    limit: int


class NewRow(NamedTuple):
    """One row of a table: the values of these columns."""

    table: str
    columns: tuple[str, ...]
    values: Sequence[object]

    def statement(self) -> Statement:
        """Return the statement that inserts it."""
        return _insert_into(self.table, self.columns), self.values


@lru_cache
def _insert_into(table: str, columns: tuple[str, ...]) -> str:
    return f'INSERT INTO "{table}" ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})'  # noqa: S608  names of our own models


@dataclass(slots=True)
class Writes:
    """What one change writes together.

    Attributes:
        updates: run first, in this order; each must change one row.
        new_rows: inserted after the updates, which make room for them in unique indexes.
        others: their order does not matter.
    """

    updates: list[Statement] = field(default_factory=list)
    new_rows: list[NewRow] = field(default_factory=list)
    others: list[Statement] = field(default_factory=list)


class Dialect(Protocol):
    """One kind of database."""

    name: str
    """"sqlite" or "postgres"."""
    writer: str
    """Tortoise's name of the connection for changes."""
    reader: str
    """Tortoise's name of the connection for reads; the same where one pool serves both."""
    usage_batch: int
    """How many secrets' counts one transaction writes."""

    seconds_between_batches: float
    """For how long a process that has many batches to write leaves the lock to others after each."""

    def __hash__(self) -> int:
        """Return a hash: statements are kept for each dialect."""

    async def prepare(self) -> None:
        """Prepare the first connection.

        Raises:
            SetupError: this is not a database.
        """

    def connections(self) -> dict[str, Any]:
        """Return Tortoise's configuration of the connections."""

    def count_connections(self) -> ConnectionCounts | None:
        """Return how many connections this process has, or None if it has no pool of them."""

    async def require_durability(self, connection: BaseDBAsyncClient) -> None:
        """Pass if the database keeps what it commits, and isolates transactions as our rules require.

        Raises:
            SetupError: it does not.
        """

    async def read_replication(self, connection: BaseDBAsyncClient) -> str:
        """Return "none" without a standby, "synchronous", or "asynchronous" where a failover may lose changes."""
        ...

    async def read_clock(self, connection: BaseDBAsyncClient) -> datetime:
        """Return the database's clock at this moment, not the time at which the transaction began."""

    async def read_commit_mark(self, connection: BaseDBAsyncClient) -> object | None:
        """Return a value that is different after any other connection's commit, or None if there is no cheap one."""

    async def lock_row(
        self, connection: BaseDBAsyncClient, table: str, key: str, value: object, *, shared: bool = False
    ) -> None:
        """Lock one row until the transaction ends, if the transaction does not hold a lock on everything already."""

    async def lock_for_change(self, connection: BaseDBAsyncClient, client_id: str | None) -> None:
        """Lock a client, its active secrets and the installation, in this order, unless everything is locked already.

        What was committed while it waited is visible to the next statement.

        Args:
            connection: the transaction's connection.
            client_id: which client; None to lock the installation alone.
        """

    async def fetch_rows(
        self, connection: BaseDBAsyncClient, statement: str, values: Sequence[object]
    ) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement with the database's own placeholders, past the ORM.

        Raises:
            IntegrityError: a constraint does not allow what it writes.
        """

    async def count_changed(self, connection: BaseDBAsyncClient, statements: Sequence[Statement]) -> list[int]:
        """Run statements that write different rows, together, and return how many rows each of them changed.

        Raises:
            IntegrityError: a constraint does not allow it.
        """
        ...

    async def write(self, connection: BaseDBAsyncClient, statements: Sequence[Statement]) -> None:
        """Run statements that write different rows and do not depend on each other's order, together.

        Raises:
            IntegrityError: a constraint does not allow it.
        """

    async def run_all(
        self, connection: BaseDBAsyncClient, statements: Sequence[Statement]
    ) -> list[Sequence[Sequence[Any]]]:
        """Run statements that may take longer, in this order, and return the rows of each.

        Raises:
            OperationalError: a statement failed.
        """
        ...

    async def write_together(self, connection: BaseDBAsyncClient, writes: Writes) -> bool:
        """Write all of it; return whether each update changed one row. If not, the transaction must be rolled back.

        Raises:
            IntegrityError: a constraint does not allow it.
        """
        ...

    def placeholders(self, statement: str) -> str:
        """Return the statement with each `?` written as the database expects it."""

    next_secret_id: str
    """SQL for the id of the next new secret, which no other transaction gets."""
    clock: str
    """SQL for the clock in microseconds since 1970; NULL where the machine's clock is the database's."""

    reads_now: bool
    """Whether a short read need not be awaited."""

    def has_idle_connection(self) -> bool:
        """Return whether `fetch_quickly` would only await its answer, and no connection: it needs no task then."""

    def fetch_now(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        """Return what `fetch_quickly` returns.

        Raises:
            MustAwait: `fetch_quickly` has to be awaited instead.
        """

    async def fetch_quickly(
        self, connection: BaseDBAsyncClient, statement: str, values: Sequence[object]
    ) -> Sequence[Sequence[Any]]:
        """Return the rows of a read that indexes answer within about a millisecond, with as little work as possible.

        Args:
            connection: the connection for reads.
            statement: a SELECT, with placeholders as the database expects them.
            values: of its placeholders.
        """

    def require_room(self) -> None:
        """Pass unless what room is left on the disk is for endings.

        Raises:
            Unavailable: it is.
        """

    def has_reserve_for(self, error: BaseException) -> bool:
        """Return whether an ending that failed like this may succeed with the room that is kept for endings."""
        ...

    async def use_reserve(self, connection: BaseDBAsyncClient) -> None:
        """Give away the room that is kept for endings, in a transaction that holds the locks of a change."""

    async def close(self) -> None:
        """Close the connections that are not Tortoise's."""

    def joined(self, column: str) -> str:
        """Return SQL for the values of a column over a group, joined by commas."""
        ...

    def gathered(self, column: str) -> str:
        """Return SQL for the values of a column over a group as a JSON array; all columns of a group in one order."""
        ...

    def row_of(self, table: str, alias: str, condition: str) -> str:
        """Return the LEFT JOIN of the row of a table that meets a condition, of which there is at most one.

        It is looked for by an index once for each row before it, however many rows of the table might meet it.
        """
        ...

    def page_with(self, table: str, joins: str, condition: str, order: str, limit: int) -> str:
        """Return FROM and what follows it, for a page of a table and what is joined to the rows of that page.

        Args:
            table: the table and its alias.
            joins: joins that leave each row of the table there, once.
            condition: which rows of the table.
            order: in which order they are.
            limit: how many at most.
        """
        ...

    def by_index(self, name: str) -> str:
        """Return what, after a table in FROM, lets it be read by this index where the planner would take another."""

    def contains(self, term: str, parts: Sequence[str]) -> tuple[str, tuple[str, tuple[str, ...]], tuple[str, str]]:
        """Return SQL that tests whether the search text of a `client_listing` x contains a term.

        First comes a table before the `x`, and a test, with its values, that finds rows by an index (on PostgreSQL
        where the extension pg_trgm is there); then a test of one row, with its value. The term has three characters or
        more. The index is asked for the parts, which are the term or parts of it.
        """
        ...

    def rows_of_json(self, columns: Mapping[str, str]) -> str:
        """Return SQL that reads a parameter, a JSON array of arrays, as a table with these columns (name: type)."""

    def tables_of(self, columns: Mapping[str, str], values: Sequence[object]) -> Iterator[Statement]:
        """Yield SQL that reads the rows of these values as a table with these columns (name: type), and its parameters.

        The values are those of one row after the other. Many rows are divided among several tables, in their order.
        """
        ...

    async def insert(self, connection: BaseDBAsyncClient, tables: Sequence[TableRows]) -> None:
        """Insert rows into one table after the other, in the fastest way that the database has."""

    async def count_rows(self, connection: BaseDBAsyncClient) -> None:
        """Let the planner know about how many rows there are, which it may not notice until a minute later."""

    async def new_secret_ids(self, connection: BaseDBAsyncClient, count: int) -> Sequence[int]:
        """Return ids for new secrets, in ascending order, which no other transaction gets.

        The transaction must hold the locks of a change.
        """
        ...

    async def expect_many_rows(self, connection: BaseDBAsyncClient) -> None:
        """Let this connection use more memory, because it is about to write many rows."""

    async def find_damage(self, connection: BaseDBAsyncClient) -> list[str]:
        """Return a sentence for each inconsistency that the database itself finds in its files."""

    def migration_lock(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a context in which no other process migrates this database.

        Raises:
            Unavailable: another process held the lock for too long.
        """

    def foreign_keys_deferred(self, connection: BaseDBAsyncClient) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a context, outside a transaction, in which tables can be rebuilt."""

    async def check_foreign_keys(self, connection: BaseDBAsyncClient) -> None:
        """Pass if every foreign key has its row, where the database did not check that already.

        Raises:
            SetupError: some do not.
        """

    async def table_exists(self, connection: BaseDBAsyncClient, table: str) -> bool:
        """Return whether there is a table of this name."""


def tortoise_config(dialect: Dialect) -> dict[str, Any]:
    """Return Tortoise's configuration. Connection names differ by dialect, because they are keys of its caches."""
    models = ("models", "webhook_models", "cluster_models")
    return {
        "connections": dialect.connections(),
        "apps": {
            "models": {
                "models": [f"gql_secrets.storage.{name}" for name in models],
                "default_connection": dialect.writer,
                "migrations": "gql_secrets.storage.migrations",
            }
        },
    }
