"""A disk that is full, or fails: nothing is half written, and verification goes on."""

import asyncio
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.callers import ADMIN, HARD, Made, is_good, verify
from support.installation import MakeClient

from gql_secrets.domain.errors import Unavailable
from gql_secrets.settings import DATABASE_FILE
from gql_secrets.storage.sqlite.engine import ImmediateTransaction
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """What a full disk does to this process: a write behind this place of a file fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_commit_that_cannot_be_written_is_refused_and_nothing_is_half(
    services: Services, client: Made, make_client: MakeClient, data_dir: Path
) -> None:
    other = await make_client()
    assert await is_good(services, client.id, client.secret)
    [before] = await services.database.fetch("SELECT revision FROM installation")
    wal = data_dir / f"{DATABASE_FILE}-wal"
    with no_file_grows_beyond(wal.stat().st_size):
        for _ in range(3):
            with pytest.raises(Unavailable):
                await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        assert (services.database.can_read, services.database.can_write) == (True, False)
        assert await is_good(services, client.id, client.secret), "verification reads on"
        with pytest.raises(Unavailable):
            await verify(services, other.id, other.secret)  # its first use cannot be written, so it is not accepted
        assert await services.queries.find_client(client.id) is not None
    assert [before] == await services.database.fetch("SELECT revision FROM installation")
    done = await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    assert services.database.can_read
    assert services.database.can_write
    assert await is_good(services, client.id, done.new_secret.reveal())
    assert await is_good(services, other.id, other.secret)


async def test_a_commit_that_fails_and_stays_open_is_rolled_back(
    services: Services, client: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some errors SQLite rolls back on its own; after others the transaction would block the next one."""
    broken = sqlite3.OperationalError("disk I/O error")
    broken.sqlite_errorname, broken.sqlite_errorcode = "SQLITE_IOERR_FSYNC", 1034

    def fail(_: ImmediateTransaction, then: Callable[[BaseException | None], object]) -> None:
        asyncio.get_running_loop().call_soon(then, broken)

    for _ in range(2):
        monkeypatch.setattr(ImmediateTransaction, "begin_commit", fail)
        with pytest.raises(Unavailable):
            await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
        monkeypatch.undo()
        assert await is_good(services, client.id, client.secret)
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)


async def test_a_database_of_limited_size_refuses_and_says_that_the_disk_is_full(
    services: Services, client: Made
) -> None:
    writer = services.database._tortoise.connections.get(services.database.dialect.writer)
    _, rows = await writer.execute_query("PRAGMA page_count")
    await writer.execute_query(f"PRAGMA max_page_count = {rows[0][0]}")

    async def fill() -> None:
        for _ in range(200):
            await services.rotation.reset_secret(client.id, HARD, by=ADMIN)

    with pytest.raises(Unavailable, match="disk is full"):
        await fill()
    await writer.execute_query("PRAGMA max_page_count = 1073741823")
    await services.rotation.reset_secret(client.id, HARD, by=ADMIN)
