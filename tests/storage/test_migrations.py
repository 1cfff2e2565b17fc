"""Migrations: one process at a time, all or nothing, and the same law in the models as in the database."""

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support.callers import ADMIN, DAY, HARD, Made, is_good
from support.installation import PEPPER
from tortoise.context import get_current_context
from tortoise.exceptions import IntegrityError
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.operations import AlterModelOptions
from tortoise.migrations.recorder import MigrationRecorder

from gql_secrets.domain.access import Feature
from gql_secrets.domain.errors import SetupError, Unavailable
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.pages import PageRequest
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.storage import migrations
from gql_secrets.storage.client_lists import Order, OrderField
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.migrate import pending, upgrade
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.usage import find_totals, find_uses
from gql_secrets.wiring import Services, open_database, open_services

NAMES = sorted(path.stem for path in Path(migrations.__path__[0]).glob("0*.py"))
START = """
import asyncio
from gql_secrets.wiring import open_services
from gql_secrets.settings import Settings

async def start():
    services = await open_services(Settings.from_environment())
    print("owner" if services.first_owner else "none")
    await services.close()

asyncio.run(start())
"""


both_kinds = pytest.mark.parametrize("kind", ["sqlite", "postgres"])
only_sqlite = pytest.mark.parametrize("kind", ["sqlite"])


async def tables(database: Database) -> set[str]:
    """The schema without the record of migrations: tables, indexes and constraints, by name."""
    if database.dialect.name == "sqlite":
        rows = await database.fetch("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    else:
        rows = await database.fetch(
            "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "UNION SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        )
    return {row["name"] for row in rows if "tortoise" not in row["name"]}


async def run_in(database: Database, coroutine: Any) -> Any:
    return await asyncio.get_running_loop().create_task(coroutine, context=database.context)


# Several processes


@both_kinds
def test_four_processes_that_start_at_once_all_start_and_one_makes_the_owner(empty: Settings) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GQL_SECRETS_")},
        "GQL_SECRETS_DATA_DIR": str(empty.data_dir),
    }
    if empty.database_url:
        environment |= {"GQL_SECRETS_DATABASE_URL": empty.database_url, "GQL_SECRETS_PEPPER": PEPPER}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", START],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert sorted(out for out, _ in answers) == ["none\n", "none\n", "none\n", "owner\n"], answers
    assert [process.returncode for process in processes] == [0, 0, 0, 0]


@both_kinds
async def test_four_starts_at_once_in_one_process_all_start(empty: Settings) -> None:
    opened = await asyncio.gather(*(open_services(empty) for _ in range(4)))
    for services in opened:
        await services.close()
    assert len([services for services in opened if services.first_owner]) == 1


async def test_a_new_file_that_is_opened_many_times_at_once_is_opened(tmp_path: Path) -> None:
    """SQLite's own switch to WAL was refused in some of them, without waiting: "database is locked"."""
    for attempt in range(20):
        made = Settings(data_dir=tmp_path / str(attempt), pepper=PEPPER)
        made.make_data_dir()
        for database in await asyncio.gather(*(open_database(made) for _ in range(8))):
            assert (await database.fetch("PRAGMA journal_mode"))[0]["journal_mode"] == "wal"
            await database.close()


# All or nothing


@both_kinds
@pytest.mark.parametrize("place", ["the last table", "the note that it is done"])
async def test_a_migration_that_is_cut_short_leaves_nothing_and_can_be_run_again(
    empty: Settings, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A crash between the tables and the note that they are there would stop every later start."""
    database = await open_database(empty)
    before = await tables(database)

    class CrashError(Exception):
        """No error that a database has."""

    async def crash(*_: object, **__: object) -> None:
        raise CrashError(place)

    if place == "the last table":
        last = import_module(f"gql_secrets.storage.migrations.{NAMES[-1]}").Migration.operations[-1]
        monkeypatch.setattr(type(last), "database_forward", crash)
    else:
        monkeypatch.setattr(MigrationRecorder, "record_applied", crash)
    try:
        with pytest.raises(CrashError):
            await upgrade(database)
        monkeypatch.undo()
        assert await tables(database) == before
        assert await upgrade(database) == NAMES
        assert await upgrade(database) == []
    finally:
        await database.close()


@only_sqlite
async def test_foreign_keys_are_checked_before_anyone_goes_on(empty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are off while tables are remade: what then points nowhere must not be committed."""
    database = await open_database(empty)
    migrate = MigrationExecutor.migrate

    async def lose_the_parents(self: MigrationExecutor, **given: Any) -> None:
        await migrate(self, **given)
        await self.connection.execute_query(
            "INSERT INTO client_feature (id, client_id, feature) VALUES (1, 'nobody', 'owner')"
        )

    monkeypatch.setattr(MigrationExecutor, "migrate", lose_the_parents)
    try:
        with pytest.raises(SetupError, match="broken foreign keys"):
            await upgrade(database)
        monkeypatch.undo()
        assert "client" not in await tables(database)
        await upgrade(database)
        writer = database._tortoise.connections.get(database.dialect.writer)
        _, rows = await writer.execute_query("PRAGMA foreign_keys")
        assert rows[0][0] == 1
    finally:
        await database.close()


@pytest.mark.parametrize("kind", ["postgres"])
async def test_a_migration_may_take_longer_than_a_question(empty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of millions of rows takes minutes."""
    monkeypatch.setattr("gql_secrets.storage.postgres.dialect._COMMAND_SECONDS", 0.2)
    database = await open_database(empty)
    migrate = MigrationExecutor.migrate

    async def take_long(self: MigrationExecutor, **given: Any) -> None:
        await self.connection.execute_query("SELECT pg_sleep(0.6)")
        await migrate(self, **given)

    monkeypatch.setattr(MigrationExecutor, "migrate", take_long)
    try:
        assert await upgrade(database) == NAMES
        with pytest.raises(Unavailable):
            await database.fetch("SELECT pg_sleep(0.6)")
    finally:
        await database.close()


# From release to release


@both_kinds
@pytest.mark.parametrize("earlier", NAMES[:-1])
async def test_what_an_earlier_release_remembered_is_still_there(empty: Settings, earlier: str) -> None:
    database = await open_database(empty)
    try:
        await go_to(database, earlier)
        assert await pending(database) == NAMES[NAMES.index(earlier) + 1 :]

        async def remember(tx: Transaction) -> None:
            await tx.execute(
                "INSERT INTO client (client_id, client_id_folded, name, name_folded, enabled, is_restricted,"
                " generation, created_at) VALUES ('c', 'c', 'Shop', 'shop', ?, ?, 1, 1)",
                True,
                False,
            )
            await tx.execute(
                "INSERT INTO client_secret (client_id, digest, pepper_key_id, hint, is_weak, state, created_at,"
                " created_by, use_count, refused_attempts) VALUES ('c', ?, 'k1', 'abcd', ?, 'CURRENT', 1, 'x', 0, 0)",
                bytes(32),
                False,
            )
            await tx.execute("INSERT INTO client_feature (client_id, feature) VALUES ('c', 'viewer')")

        await database.run_tx(remember)
        await upgrade(database)
        assert await pending(database) == []
        for table in ("client", "client_secret", "client_feature"):
            rows = await database.fetch(f"SELECT client_id FROM {table}")  # noqa: S608
            assert [row["client_id"] for row in rows] == ["c"]
    finally:
        await database.close()


@both_kinds
async def test_what_an_earlier_release_counted_is_counted_once(empty: Settings) -> None:
    """Totals held all uses once, those of their sources too; a sum of both would tell twice as many."""
    database = await open_database(empty)
    try:
        await go_to(database, "0003_sessions")

        async def remember(tx: Transaction) -> None:
            await tx.execute(
                "INSERT INTO client (client_id, client_id_folded, name, name_folded, enabled, is_restricted,"
                " generation, created_at) VALUES ('c', 'c', 'Shop', 'shop', ?, ?, 1, 1)",
                True,
                False,
            )
            await tx.execute(
                "INSERT INTO client_secret (id, client_id, digest, pepper_key_id, hint, is_weak, state, created_at,"
                " created_by, first_used_at, last_used_at, use_count, refused_attempts, last_refused_at)"
                " VALUES (5, 'c', ?, 'k1', 'abcd', ?, 'CURRENT', 1, 'x', 1, 9, 7, 3, 8)",
                bytes(32),
                False,
            )
            for refused, address, count in ((False, "192.0.2.1", 4), (False, "192.0.2.2", 1), (True, "192.0.2.1", 2)):
                await tx.execute("INSERT INTO secret_use VALUES (5, ?, ?, '', 1, 8, ?)", refused, address, count)
            await tx.execute("INSERT INTO secret_usage_hour VALUES (0, 5, 7, 3)")

        await database.run_tx(remember)
        await upgrade(database)
        totals = (await find_totals(database, [5]))[5]
        assert (totals.use_count, totals.refused_attempts) == (7, 3)
        assert (totals.last_used_at, totals.last_refused_at) == (from_microseconds(9), from_microseconds(8))
        assert len(await find_uses(database, [5])) == 3
        hours = await database.fetch("SELECT count, refused FROM secret_usage_hour")
        assert [tuple(hour.values()) for hour in hours] == [(7, 3)]
    finally:
        await database.close()


async def go_to(database: Database, name: str) -> None:
    """Apply the migrations up to this one, without time limits, as a start does."""

    async def apply(patient: Database) -> None:
        connection = get_current_context().connections.get(patient.dialect.writer)  # type: ignore[union-attr]
        executor = MigrationExecutor(connection, patient.tortoise_config()["apps"])
        await executor.migrate([MigrationTarget("models", name)])

    async with database.patient() as patient:
        await run_in(patient, apply(patient))


@both_kinds
async def test_a_command_never_migrates_by_the_way(empty: Settings) -> None:
    with pytest.raises(SetupError, match="db upgrade"):
        await open_services(empty, migrate=False)


# The law of the tables


async def test_the_models_are_what_the_migrations_make(services: Services) -> None:
    """What only SQL can say (partial indexes, collation, tables without a model) is in no model and found by no one."""
    database = services.database

    async def changes() -> list[object]:
        context = get_current_context()
        assert context is not None
        assert context.apps is not None
        detector = MigrationAutodetector(context.apps, database.tortoise_config()["apps"])
        found = [operation for writer in await detector.changes() for operation in writer.operations]
        # Of the options only a model's docstring differs, which no database holds.
        return [operation for operation in found if not isinstance(operation, AlterModelOptions)]

    assert await run_in(database, changes()) == []


GOOD = {
    "pepper_key_id": "'k1'",
    "hint": "'abcd'",
    "is_weak": "false",
    "created_at": "1",
    "created_by": "'x'",
    "use_count": "0",
    "refused_attempts": "0",
    "state": "'CURRENT'",
    "replaced_at": "NULL",
    "expires_at": "NULL",
    "ended_at": "NULL",
    "end_reason": "NULL",
}
WEEK = 168 * 3600 * 1_000_000


@pytest.mark.parametrize(
    ("secrets", "law"),
    [
        ([{}, {}], "client_secret_one_current|client_secret.client_id"),
        (
            [{"state": "'RETAINED'", "replaced_at": "1", "expires_at": "2"}] * 2,
            "client_secret_one_retained|client_secret.client_id",
        ),
        ([{"state": "'GOOD'"}], "client_secret_state"),
        ([{"expires_at": "1"}], "client_secret_current"),
        ([{"replaced_at": "1"}], "client_secret_current"),
        ([{"state": "'RETAINED'", "replaced_at": "1"}], "client_secret_retained"),
        ([{"state": "'RETAINED'", "expires_at": "1"}], "client_secret_retained"),
        ([{"state": "'RETAINED'", "replaced_at": "1", "expires_at": str(WEEK + 2)}], "client_secret_seven_days"),
        ([{"state": "'REVOKED'", "ended_at": "1"}], "client_secret_ended"),
        ([{"state": "'REVOKED'", "end_reason": "'REVOKED'"}], "client_secret_ended"),
        ([{"ended_at": "1", "end_reason": "'REVOKED'"}], "client_secret_ended"),
        ([{"state": "'EXPIRED'", "ended_at": "1", "end_reason": "'REVOKED'"}], "client_secret_expired"),
        ([{"state": "'REVOKED'", "ended_at": "1", "end_reason": "'EXPIRED'"}], "client_secret_expired"),
        ([{"client_id": "'nobody'"}], "(?i)foreign.key"),
        ([{"digest": "short"}], "client_secret_digest_length"),
        (
            [{"digest": "same"}, {"digest": "same", "state": "'REVOKED'", "ended_at": "1", "end_reason": "'REVOKED'"}],
            "digest",
        ),
    ],
)
async def test_the_database_itself_holds_the_law_of_secrets(
    services: Services, client: Made, secrets: list[dict[str, str]], law: str
) -> None:
    async def write(tx: Transaction) -> None:
        await tx.execute("UPDATE client_secret SET state = 'REVOKED', ended_at = 1, end_reason = 'REVOKED'")
        for number, secret in enumerate(secrets):
            row = {**GOOD, "client_id": f"'{client.id}'", **secret}
            digest = {"short": bytes(31), "same": bytes(32), "": bytes([number]) * 32}[row.pop("digest", "")]
            await tx.execute(
                f"INSERT INTO client_secret (digest, {', '.join(row)}) VALUES (?, {', '.join(row.values())})",  # noqa: S608
                digest,
            )

    with pytest.raises((IntegrityError, sqlite3.IntegrityError), match=law):
        await services.database.run_tx(write)
    assert await is_good(services, client.id, client.secret), "nothing of it was written"


# An index for every look-up


async def test_both_kinds_of_database_have_the_same_indexes(sqlite_url: str, postgres_url: str, data_dir: Path) -> None:
    """Altering a table on SQLite rebuilds it, which drops its indexes, among them those that enforce rule 1."""
    assert await indexes(sqlite_url, data_dir) == await indexes(postgres_url, data_dir)


async def indexes(url: str, directory: Path) -> set[tuple[str, str, bool, bool]]:
    """Every index: its table, its columns, whether they are unique, and whether it is for some rows alone."""
    database = await open_database(Settings(data_dir=directory, database_url=url))
    try:
        rows = await database.fetch(
            """
            SELECT t.name AS place, i."unique" AS is_unique, i.partial AS is_partial,
                (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)) AS columns
            FROM sqlite_master t JOIN pragma_index_list(t.name) i WHERE t.type = 'table'
            """
            if database.dialect.name == "sqlite"
            else """
            SELECT t.relname AS place, i.indisunique AS is_unique, i.indpred IS NOT NULL AS is_partial,
                (SELECT string_agg(pg_get_indexdef(i.indexrelid, at, false), ',' ORDER BY at)
                 FROM generate_series(1, i.indnatts) at) AS columns
            FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid WHERE t.relnamespace = 'public'::regnamespace
            """
        )
    finally:
        await database.close()
    found = {
        (row["place"], row["columns"].replace('"', ""), bool(row["is_unique"]), bool(row["is_partial"])) for row in rows
    }
    # A primary key of one number is SQLite's row number, which needs no index. Trigrams are a table of their own there.
    return {
        index
        for index in found
        if index[1] != "id"
        and index[:2] not in {("audit_event", "revision"), ("client_listing", "search_text")}
        and not index[0].startswith("client_search")
    }


@only_sqlite
async def test_no_question_walks_through_a_whole_table(empty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fast with ten rows must be fast with a million: each statement that the services send is explained.

    Of SQLite, for PostgreSQL's planner prefers a walk where a table is small; the indexes are the same.
    """
    database = await open_database(empty)
    await upgrade(database)  # which may walk, once
    await database.close()
    asked: set[str] = set()
    connect = sqlite3.connect

    def listening(*args: Any, **given: Any) -> sqlite3.Connection:
        connection = connect(*args, **given)
        connection.set_trace_callback(asked.add)
        return connection

    monkeypatch.setattr(sqlite3, "connect", listening)
    services = await open_services(empty)
    try:
        await everything(services)
    finally:
        await services.close()
    monkeypatch.undo()
    walks = []
    with closing(sqlite3.connect(empty.data_dir / DATABASE_FILE)) as connection:
        for statement in asked:
            if not statement.startswith(("SELECT", "UPDATE", "DELETE")) or "COUNT(" in statement.upper():
                continue
            plan = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            # A walk along an index that stops after a page is none.
            walks += [(plan, statement) for step in plan if WALK.search(step) and "LIMIT" not in statement]
    assert walks == []


WALK = re.compile(r"SCAN (client|c|s|o|x|audit_event|client_secret|secret_\w+|idempotent_reset|session|sign_in_link)\b")


async def everything(services: Services) -> None:
    """Ask and change all that the services offer."""
    queries, rotation, clients = services.queries, services.rotation, services.clients
    made = await clients.create_client("Shop", by=ADMIN, features=["viewer"], allow_list=["192.0.2.0/24"])
    client_id = made.client.client_id
    await is_good(services, client_id, made.secret.reveal())
    await rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key="a-key-of-16-characters")
    await rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key="a-key-of-16-characters")
    await rotation.change_retention(client_id, DAY, by=ADMIN)
    await rotation.cancel_rollover(client_id, by=ADMIN)
    await rotation.reset_secret(client_id, DAY, by=ADMIN)
    await rotation.revoke_old_secret(client_id, by=ADMIN)
    await rotation.reset_secret(client_id, HARD, by=ADMIN)
    await clients.update_client(client_id, by=ADMIN, name="x", features=[], allow_list=["::/0"])
    await clients.set_client_enabled(client_id, enabled=False, by=ADMIN)
    for given in ({}, {"search": "sh"}):
        page = await queries.page_of_clients(PageRequest(first=1), **given)  # type: ignore[arg-type]
        await queries.page_of_clients(PageRequest(first=1, after=page.cursors[0] if page.cursors else None), **given)  # type: ignore[arg-type]
    for is_met in (True, False):
        for name in (each for each in fields(ClientFilter) if each.type == bool | None):
            if name.name != "features":
                await queries.page_of_clients(PageRequest(), filter=ClientFilter(**{name.name: is_met}))  # type: ignore[arg-type]
    for wanted in (
        ClientFilter(features=(Feature.OWNER,)),
        ClientFilter(labels=("team=a", "env=b")),
        ClientFilter(contact="Ada"),
        ClientFilter(due_within_days=14),
    ):
        await queries.page_of_clients(PageRequest(), filter=wanted)
    for field in OrderField:
        await queries.page_of_clients(PageRequest(), order=Order(field))
    await services.overviews.read()
    await queries.page_of_secrets(client_id, PageRequest())
    for given in ({}, {"client_id": client_id}, {"actor": "x"}, {"action": "x"}, {"surface": "x"}):
        await queries.page_of_audit_events(PageRequest(), **given)  # type: ignore[arg-type]
    await queries.active_secrets([client_id])
    await queries.features([client_id])
    await queries.allow_lists([client_id])
    await services.usage.flush()
    await clients.delete_client(client_id, by=ADMIN)
