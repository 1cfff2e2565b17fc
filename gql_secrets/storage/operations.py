"""Migration operations that Tortoise does not have."""

from typing import ClassVar

from tortoise.migrations.operations import AlterField, TortoiseOperation
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State


class _RunOnOneDialect(TortoiseOperation):
    """Run a SQL statement on one kind of database, and nothing on the other."""

    dialect: ClassVar[str]

    def __init__(self, statement: str, reverse: str | None = None) -> None:
        self._statement = statement
        self._reverse = reverse
        self.reversible = reverse is not None

    def state_forward(self, app_label: str, state: State) -> None:
        """Leave the models as they are."""

    async def database_forward(
        self,
        app_label: str,  # noqa: ARG002  Tortoise's signature
        old_state: State,  # noqa: ARG002
        new_state: State,  # noqa: ARG002
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        """Run the statement."""
        await self._run(state_editor, self._statement)

    async def database_backward(
        self,
        app_label: str,  # noqa: ARG002  Tortoise's signature
        old_state: State,  # noqa: ARG002
        new_state: State,  # noqa: ARG002
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        """Run the reverse statement, if there is one."""
        if self._reverse is not None:
            await self._run(state_editor, self._reverse)

    async def _run(self, state_editor: BaseSchemaEditor | None, statement: str) -> None:
        if state_editor and self.dialect == state_editor.DIALECT:
            # The editor's own way to run SQL cuts a trigger at its semicolons on SQLite.
            await state_editor.client.execute_query(statement)


class RunOnPostgres(_RunOnOneDialect):
    """Run a SQL statement on PostgreSQL, and nothing on SQLite."""

    dialect = "postgres"


class RunOnSqlite(_RunOnOneDialect):
    """Run a SQL statement on SQLite, and nothing on PostgreSQL."""

    dialect = "sqlite"


class WidenText(AlterField):
    """Let a column hold longer texts.

    SQLite does not enforce the length of a text, so its table stays as it is: remaking it would lose the constraints
    and indexes that Tortoise does not know.
    """

    async def database_forward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Alter the column on PostgreSQL, which rewrites nothing."""
        if state_editor and state_editor.DIALECT == "postgres":
            await super().database_forward(app_label, old_state, new_state, state_editor)

    async def database_backward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Leave the column: it may hold longer texts now."""


class RaiseOldestSchema(TortoiseOperation):
    """State the oldest migration that a program must know to run on the database.

    A migration that only adds does not need it: programs that do not know it go on working.
    """

    reversible = False

    def __init__(self, oldest_migration: int) -> None:
        self._oldest = oldest_migration

    def state_forward(self, app_label: str, state: State) -> None:
        """Leave the models as they are."""

    async def database_forward(
        self,
        app_label: str,  # noqa: ARG002  Tortoise's signature
        old_state: State,  # noqa: ARG002
        new_state: State,  # noqa: ARG002
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        """Write the number of the migration."""
        if state_editor:
            await state_editor._run_sql(  # noqa: SLF001  as RunSQL does
                f"INSERT INTO schema_version (id, oldest_migration) VALUES (1, {self._oldest}) "  # noqa: S608  a number of ours
                "ON CONFLICT (id) DO UPDATE SET oldest_migration = excluded.oldest_migration"
            )

    async def database_backward(
        self,
        app_label: str,
        old_state: State,
        new_state: State,
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        """Leave the number: what an older program needs is not known here."""
