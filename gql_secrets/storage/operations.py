"""Migration operations that Tortoise does not have."""

from tortoise.migrations.operations import TortoiseOperation
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State


class RunOnPostgres(TortoiseOperation):
    """Run a SQL statement on PostgreSQL, and nothing on SQLite."""

    reversible = False

    def __init__(self, statement: str) -> None:
        self._statement = statement

    def state_forward(self, app_label: str, state: State) -> None:
        """Leave the models as they are."""

    async def database_forward(
        self,
        app_label: str,  # noqa: ARG002  Tortoise's signature
        old_state: State,  # noqa: ARG002
        new_state: State,  # noqa: ARG002
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        """Run it."""
        if state_editor and state_editor.DIALECT == "postgres":
            await state_editor._run_sql(self._statement)  # noqa: SLF001  as RunSQL does
