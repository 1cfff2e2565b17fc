"""What an operator must correct before a node can start on PostgreSQL is a sentence, never a traceback."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import asyncpg
import pytest
from support.callers import ADMIN, DAY, Made, is_good
from support.databases import PostgresServer, apart, name_in
from support.installation import PEPPER

from gql_secrets.domain.errors import SetupError, Unavailable
from gql_secrets.settings import Settings
from gql_secrets.storage.migrate import upgrade
from gql_secrets.storage.postgres import migration_lock
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services, open_database, open_services

PASSWORD = "a-password-" + "of-a-test"


def changed(url: str, *, user: str | None = None, name: str | None = None, **options: str) -> str:
    """The same server, as another role, another database, or with more options."""
    parts = urlsplit(url)
    netloc = parts.netloc if user is None else f"{user}@{parts.netloc.rpartition('@')[2]}"
    query = "&".join(filter(None, (parts.query, urlencode(options))))
    return urlunsplit((parts.scheme, netloc, parts.path if name is None else f"/{name}", query, ""))


@pytest.fixture
def role(postgres_server: PostgresServer) -> Iterator[str]:
    name = "gqls_role"
    postgres_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield name
    postgres_server.execute(f"DROP ROLE {name}")


@pytest.fixture
def with_password(postgres_server: PostgresServer, postgres_url: str, role: str) -> Iterator[str]:
    """A role whose password the server checks."""

    async def answer(question: str) -> Any:
        connection = await asyncpg.connect(postgres_url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    file = Path(apart(answer("SHOW hba_file")))
    loaded_at = "SELECT pg_conf_load_time()"
    before = file.read_text()
    file.write_text(f"local all {role} scram-sha-256\nhost all {role} all scram-sha-256\n{before}")
    loaded_before = apart(answer(loaded_at))
    postgres_server.execute("SELECT pg_reload_conf()")
    while apart(answer(loaded_at)) == loaded_before:
        time.sleep(0.05)  # the server reads its files on a signal
    yield role
    file.write_text(before)
    postgres_server.execute("SELECT pg_reload_conf()")


async def refusal(url: str, data_dir: Path) -> str:
    with pytest.raises((SetupError, Unavailable)) as refused:
        await open_services(Settings(data_dir=data_dir, database_url=url, pepper=PEPPER))
    assert PASSWORD not in str(refused.value)
    return f"{type(refused.value).__name__}: {refused.value}"


async def test_a_wrong_password_is_a_sentence(postgres_url: str, data_dir: Path, with_password: str) -> None:
    """It was a traceback of 97 lines."""
    wrong = await refusal(changed(postgres_url, user=f"{with_password}:{PASSWORD}x"), data_dir)
    assert wrong.startswith(f"SetupError: PostgreSQL refused the password of the role {with_password}.")


async def test_an_unknown_role_is_a_sentence(postgres_url: str, data_dir: Path) -> None:
    text = await refusal(changed(postgres_url, user="nobody_here"), data_dir)
    assert text.startswith("SetupError: PostgreSQL refused the role nobody_here: ")


async def test_a_role_that_may_not_log_in_is_a_sentence(
    postgres_url: str, data_dir: Path, role: str, postgres_server: PostgresServer
) -> None:
    postgres_server.execute(f"ALTER ROLE {role} NOLOGIN")
    text = await refusal(changed(postgres_url, user=role), data_dir)
    assert text.startswith(f"SetupError: PostgreSQL refused the role {role}: ")


async def test_a_database_that_does_not_exist_is_a_sentence(postgres_url: str, data_dir: Path) -> None:
    text = await refusal(changed(postgres_url, name="nothing"), data_dir)
    assert text == 'SetupError: The PostgreSQL database nothing does not exist. Create it with: createdb "nothing"'


async def test_a_role_without_privileges_is_a_sentence(postgres_url: str, data_dir: Path, role: str) -> None:
    text = await refusal(changed(postgres_url, user=role), data_dir)
    assert text.startswith(f"SetupError: The role {role} lacks a privilege on the database {name_in(postgres_url)}")


async def test_a_server_without_tls_is_a_sentence(postgres_url: str, data_dir: Path) -> None:
    """Over TCP, because a Unix socket has no TLS."""
    parts = urlsplit(postgres_url)
    over_tcp = f"postgres://postgres@127.0.0.1:{parts.port or 5432}{parts.path}?sslmode=require"
    text = await refusal(over_tcp, data_dir)
    assert text.startswith(("SetupError: PostgreSQL does not offer TLS", "Unavailable: The database cannot be reached"))


async def test_a_certificate_that_cannot_be_read_is_a_sentence(postgres_url: str, data_dir: Path) -> None:
    text = await refusal(changed(postgres_url, sslmode="verify-full", sslrootcert="/nowhere/ca.pem"), data_dir)
    assert text.startswith("SetupError: sslrootcert in the database URL cannot be used (/nowhere/ca.pem): No such file")


async def test_a_server_that_does_not_answer_is_a_sentence(data_dir: Path) -> None:
    text = await refusal("postgres://x@127.0.0.1:1/x?connect_timeout=1", data_dir)
    assert text.startswith("Unavailable: The database cannot be reached (")


async def test_sessions_name_the_program_to_administrators(
    postgres_url: str, data_dir: Path, postgres_server: PostgresServer
) -> None:
    del postgres_server
    question = "SELECT current_setting('application_name') AS name"
    for url, name in ((postgres_url, "gql-secrets"), (changed(postgres_url, application_name="blue"), "blue")):
        database = await open_database(Settings(data_dir=data_dir, database_url=url))
        try:
            assert await database.fetch(question) == [{"name": name}]
        finally:
            await database.close()


# The lock of migrations


async def test_a_node_that_waits_for_the_migration_lock_says_for_whom(
    postgres_server: PostgresServer, data_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any role that may connect can hold an advisory lock. The node waited for two minutes and said nothing."""
    monkeypatch.setattr(migration_lock, "_MIGRATION_SECONDS", 0.5)
    url = postgres_server.create("template1")
    holder = await asyncpg.connect(url, server_settings={"application_name": "somebody"})
    try:
        await holder.execute("SELECT pg_advisory_lock($1)", migration_lock._MIGRATION_KEY)
        database = await open_database(Settings(data_dir=data_dir, database_url=url))
        try:
            with caplog.at_level(logging.WARNING), pytest.raises(Unavailable, match="has held the migration lock"):
                await upgrade(database)
            [record] = [each for each in caplog.records if each.message == "waiting_for_migration_lock"]
            assert record.__dict__["program"] == "somebody"
            await holder.execute("SELECT pg_advisory_unlock($1)", migration_lock._MIGRATION_KEY)
            assert await upgrade(database)
        finally:
            await database.close()
    finally:
        await holder.close()
        postgres_server.drop(url)


# A column that changes under running nodes


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_column_that_changes_beside_a_running_node_costs_no_answer(
    services: Services, client: Made, database_url: str
) -> None:
    """PostgreSQL refuses a statement that was prepared before the change: once in each connection, it was INTERNAL."""
    for _ in range(2):
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN, end_active_rollover=True)
        assert await is_good(services, client.id, client.secret) is not None
    other = await asyncpg.connect(database_url)
    try:
        await other.execute("ALTER TABLE client ALTER COLUMN description TYPE varchar(2000)")
        await other.execute("ALTER TABLE client_secret ALTER COLUMN hint TYPE varchar(8)")
    finally:
        await other.close()

    async with asyncio.timeout(20):
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN, end_active_rollover=True)
        assert await services.queries.find_client(client.id)
        await services.clients.update_client(client.id, name="Renamed", by=ADMIN)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_statement_that_stays_outdated_is_unavailability(services: Services) -> None:
    runs = 0

    async def work(_: Transaction) -> None:
        nonlocal runs
        runs += 1
        raise asyncpg.InvalidCachedStatementError("cached plan must not change result type")

    with pytest.raises(Unavailable):
        await services.database.run_tx(work)
    assert runs == 2
