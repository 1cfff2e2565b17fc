"""Migration operations that Tortoise does not have."""

from tortoise.migrations.operations import TortoiseOperation
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State


class RunDialectSQL(TortoiseOperation):
    """Run the one of two SQL statements that the database speaks."""

    reversible = False

    def __init__(self, *, sqlite: str, postgres: str) -> None:
        self._statements = {"sqlite": sqlite, "postgres": postgres}

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
        if state_editor:
            await state_editor._run_sql(self._statements[state_editor.DIALECT])  # noqa: SLF001  as RunSQL does
