"""Two adjacent releases run on one database: migrations only add, and an older program starts next to a newer one."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.callers import ADMIN, DAY, HARD, is_good

from gql_secrets.domain.errors import SetupError
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.settings import Settings
from gql_secrets.storage import migrations
from gql_secrets.storage.database import Database
from gql_secrets.storage.migrate import pending, upgrade
from gql_secrets.wiring import open_database, open_services

both_kinds = pytest.mark.parametrize("kind", ["sqlite", "postgres"])

HEAD = """
from tortoise import migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.operations import RaiseOldestSchema


class Migration(migrations.Migration):
    dependencies = [("models", "{before}")]
    operations = [{operations}]
"""
ADDS = """
    ops.RunSQL("CREATE TABLE gadget (id BIGINT NOT NULL PRIMARY KEY, url TEXT NOT NULL)"),
    ops.RunSQL("ALTER TABLE client ADD COLUMN owner_email VARCHAR(200) NOT NULL DEFAULT 'nobody@example.com'"),
    ops.RunSQL("ALTER TABLE client_secret ADD COLUMN note TEXT"),
    ops.RunSQL("ALTER TABLE audit_event ADD COLUMN trace_id VARCHAR(32)"),
    ops.RunSQL("ALTER TABLE secret_use ADD COLUMN country VARCHAR(2) NOT NULL DEFAULT ''"),
"""
NEWEST = max(path.stem for path in Path(migrations.__path__[0]).glob("0*.py"))

NewerRelease = Callable[[str], AbstractContextManager[str]]


@pytest.fixture
def newer_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewerRelease:
    """A release that has one migration more than this one, while it is in use."""
    package, name = f"migrations_{tmp_path.name}", "9000_of_the_next_release"
    shutil.copytree(migrations.__path__[0], tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(tmp_path)
    config = Database.tortoise_config

    def newer_config(self: Database) -> dict[str, Any]:
        newer = config(self)
        newer["apps"]["models"]["migrations"] = package
        return newer

    @contextmanager
    def use(operations: str) -> Iterator[str]:
        (tmp_path / package / f"{name}.py").write_text(HEAD.format(before=NEWEST, operations=operations))
        with monkeypatch.context() as patch:
            patch.setattr(Database, "tortoise_config", newer_config)
            yield name

    return use


async def migrate(settings: Settings) -> list[str]:
    settings.make_data_dir()
    database = await open_database(settings)
    try:
        return await upgrade(database)
    finally:
        await database.close()


@both_kinds
async def test_two_releases_change_audit_and_verify_side_by_side(empty: Settings, newer_release: NewerRelease) -> None:
    """Nodes are replaced one by one: the first new one migrates while the others run, and one of those may restart."""
    running = await open_services(empty)
    with newer_release(ADDS) as name:
        assert await migrate(empty) == [name]
    restarted = await open_services(empty)
    try:
        for node, other in ((running, restarted), (restarted, running)):
            made = await node.clients.create_client("Shop", by=ADMIN, features=["viewer"])
            client_id, first = made.client.client_id, made.secret.reveal()
            assert await is_good(other, client_id, first)
            reset = await other.rotation.reset_secret(client_id, DAY, by=ADMIN)
            assert await is_good(node, client_id, reset.new_secret.reveal())
            await node.rotation.revoke_old_secret(client_id, by=ADMIN)
            assert not await is_good(other, client_id, first)
            await other.usage.flush()
            assert await other.usage_queries.uses_of([1])
            await node.rotation.reset_secret(client_id, HARD, by=ADMIN)
            await other.clients.delete_client(client_id, by=ADMIN)
        for node in (running, restarted):
            assert (await AuditLog(node.database, node.changes.pepper).verify()).problem is None
    finally:
        await running.close()
        await restarted.close()


@both_kinds
async def test_a_program_that_is_too_old_for_the_database_does_not_start(
    empty: Settings, newer_release: NewerRelease
) -> None:
    await (await open_services(empty)).close()
    with newer_release('ops.RunSQL("ALTER TABLE client ADD COLUMN x INT"), RaiseOldestSchema(9000)') as name:
        await migrate(empty)
    with pytest.raises(SetupError, match=f"newer version of gql-secrets .{name}.* Start the newer version"):
        await open_services(empty)
    with pytest.raises(SetupError, match="newer version"):
        await open_services(empty, migrate=False)


@both_kinds
async def test_a_program_never_migrates_a_database_of_another_line_of_releases(
    empty: Settings, newer_release: NewerRelease
) -> None:
    with newer_release(ADDS):
        await migrate(empty)
    database = await open_database(empty)
    try:
        await database.run_tx(lambda tx: tx.execute("DELETE FROM tortoise_migrations WHERE name = ?", NEWEST))
        with pytest.raises(SetupError, match=f"lacks others .{NEWEST}"):
            await pending(database)
    finally:
        await database.close()


@both_kinds
async def test_a_newer_database_from_before_versions_were_recorded_stops_the_start(empty: Settings) -> None:
    await (await open_services(empty)).close()
    database = await open_database(empty)
    try:
        await database.run_tx(lambda tx: tx.execute("DROP TABLE schema_version"))
        await database.run_tx(
            lambda tx: tx.execute(
                "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('models', '9999_x', CURRENT_TIMESTAMP)"
            )
        )
    finally:
        await database.close()
    with pytest.raises(SetupError, match="9999_x"):
        await open_services(empty)
