"""A disk that is full: what ends a secret is written with the room that is kept for it, and nothing else is."""

import os
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest
from support.callers import ADMIN, DAY, HARD, Made, is_good
from support.clocks import HOUR, Clock
from support.databases import SqliteTemplate
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.errors import Unavailable
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.integrity import find_problems
from gql_secrets.settings import DATABASE_FILE
from gql_secrets.storage.sqlite.reserve import RESERVE_BYTES, Reserve
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MIB = 1024 * 1024


class Disk(Protocol):
    """The disk that the database is on."""

    def fill(self) -> None:
        """Take all the room that is left."""

    def clear(self) -> None:
        """Give it back."""


class MountedDisk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (MIB, 4096, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)


class LimitedDisk:
    """What a full disk does to this process: no file grows until the reserve is released, and then by that much."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, patch
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._statvfs, self._release, self._lend = os.statvfs, Reserve.release, Reserve.lend

    def fill(self) -> None:
        def release(reserve: Reserve) -> None:
            self._release(reserve)
            self._limit(self._largest() + RESERVE_BYTES)

        def lend(reserve: Reserve) -> None:
            self._lend(reserve)
            self._limit(RESERVE_BYTES)

        def statvfs(path: Path) -> os.statvfs_result:
            return os.statvfs_result([*self._statvfs(path)[:2], 0, 0, 0, *self._statvfs(path)[5:]])

        self._limit(self._largest())
        self._patch.setattr(Reserve, "release", release)
        self._patch.setattr(Reserve, "lend", lend)
        self._patch.setattr(os, "statvfs", statvfs)

    def clear(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
        self._patch.setattr(os, "statvfs", self._statvfs)

    def _limit(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self._before[1]))

    def _largest(self) -> int:
        log = self._folder / f"{DATABASE_FILE}-wal"
        return max(8192, log.stat().st_size if log.exists() else 0)  # less than the index of a log


@pytest.fixture(params=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk that can be filled; where this user may not mount one, the limits of the process do the same."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(data_dir)]
    if request.param == "mounted" and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield MountedDisk(data_dir)
        subprocess.run(["umount", "--lazy", str(data_dir)], check=True)
        return
    limited = LimitedDisk(data_dir, monkeypatch)
    yield limited
    limited.clear()


@pytest.fixture
def sqlite_url(sqlite_template: SqliteTemplate, data_dir: Path, disk: Disk) -> str:  # noqa: ARG001  mounted before
    return sqlite_template.copy_into(data_dir)


@pytest.fixture
def reserve(data_dir: Path) -> Reserve:
    return Reserve(data_dir / DATABASE_FILE)


async def refuses_changes(services: Services, client: Made) -> bool:
    with pytest.raises(Unavailable, match="The disk is full"):
        await services.clients.update_client(client.id, name="Other", by=ADMIN)
    with pytest.raises(Unavailable):
        await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    return True


async def test_what_ends_a_secret_is_written_on_a_full_disk_and_nothing_else_is(
    services: Services, make_client: MakeClient, disk: Disk, reserve: Reserve, clock: Clock
) -> None:
    revoked, leaked, cancelled, disabled, deleted, expired, other = [await make_client() for _ in range(7)]
    restricted, shortened = await make_client("viewer"), await make_client()
    for each in (revoked, cancelled, expired, shortened):
        await is_good(services, each.id, each.secret)
        await services.rotation.reset_secret(each.id, DAY, by=ADMIN)
    assert reserve.path.stat().st_blocks * 512 >= RESERVE_BYTES
    disk.fill()
    assert not (await services.rotation.revoke_old_secret(revoked.id, by=ADMIN)).already_ended
    assert reserve.is_used()
    assert await refuses_changes(services, other)
    assert await services.database.probe_changes() == "unavailable"

    hard = await services.rotation.reset_secret(leaked.id, HARD, by=ADMIN)
    await services.rotation.cancel_rollover(cancelled.id, by=ADMIN)
    await services.clients.set_client_enabled(disabled.id, enabled=False, by=ADMIN)
    await services.clients.delete_client(deleted.id, by=ADMIN)
    await services.clients.update_client(restricted.id, features=[], allow_list=["192.0.2.0/24"], by=ADMIN)
    await services.rotation.change_retention(shortened.id, Retention(1), by=ADMIN)
    edits: list[dict[str, Any]] = [{"features": ["viewer"]}, {"allow_list": ["192.0.0.0/16"]}]
    for more in edits:
        with pytest.raises(Unavailable, match="The disk is full"):
            await services.clients.update_client(restricted.id, by=ADMIN, **more)
    with pytest.raises(Unavailable, match="The disk is full"):
        await services.rotation.change_retention(shortened.id, Retention(2), by=ADMIN)
    clock.move(25 * HOUR)
    assert not await is_good(services, expired.id, expired.secret)
    assert await services.changes.expire_old_secret(expired.id) is False, "the verification wrote it"
    for each in (revoked, leaked, disabled, deleted):
        assert not await is_good(services, each.id, each.secret)
    assert await refuses_changes(services, other)

    disk.clear()
    await services.clients.update_client(other.id, name="Other", by=ADMIN)
    assert not reserve.is_used()
    assert reserve.path.stat().st_size == RESERVE_BYTES
    assert await is_good(services, leaked.id, hard.new_secret.reveal())
    assert not await find_problems(services.database)


async def test_many_secrets_are_ended_on_a_full_disk_even_when_another_program_takes_the_room(
    services: Services, make_client: MakeClient, disk: Disk
) -> None:
    clients = [await make_client() for _ in range(30)]
    disk.fill()
    for client in clients:
        await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
        if isinstance(disk, MountedDisk):
            disk.fill()
    for client in clients:
        assert not await is_good(services, client.id, client.secret)


async def test_more_secrets_are_ended_on_a_full_disk_than_the_log_has_room_for(
    services: Services, make_client: MakeClient, disk: Disk, data_dir: Path
) -> None:
    """The log is copied into the database in time and written from its beginning again, also where it was short."""
    clients = [await make_client() for _ in range(300)]
    with closing(sqlite3.connect(data_dir / DATABASE_FILE)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    disk.fill()
    for client in clients:
        await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)

    for client in clients:
        assert not await is_good(services, client.id, client.secret)


async def test_every_process_on_the_database_keeps_the_room_for_endings(
    services: Services, open_node: OpenNode, client: Made, make_client: MakeClient, disk: Disk
) -> None:
    other = await open_node()
    victims = [await make_client() for _ in range(2)]
    disk.fill()
    await services.clients.delete_client(victims[0].id, by=ADMIN)
    assert await refuses_changes(other, client)
    await other.clients.delete_client(victims[1].id, by=ADMIN)
    disk.clear()
    await other.clients.update_client(client.id, name="Other", by=ADMIN)
    await services.clients.update_client(client.id, name="Another", by=ADMIN)


async def test_a_database_is_opened_on_a_full_disk(
    services: Services, open_node: OpenNode, client: Made, disk: Disk, reserve: Reserve
) -> None:
    """SQLite writes an index of its log first."""
    await services.close()
    assert not list(reserve.path.parent.glob("*-wal")), "a copy of the database alone would not be complete"
    disk.fill()
    again = await open_node()
    assert await is_good(again, client.id, client.secret)
    assert 0 < reserve.path.stat().st_size < RESERVE_BYTES
    await again.clients.delete_client(client.id, by=ADMIN)
    await again.close()
    disk.clear()
    await open_node()
    assert reserve.path.stat().st_size == RESERVE_BYTES


async def test_a_database_without_a_reserve_is_used_as_before(
    services: Services, client: Made, reserve: Reserve, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that cannot allocate, or a folder that others own, must not stop changes."""
    reserve.path.unlink()
    monkeypatch.setattr("gql_secrets.storage.sqlite.reserve._CAN_ALLOCATE", False)
    await services.clients.update_client(client.id, name="Other", by=ADMIN)
    disk.fill()
    with pytest.raises(Unavailable):
        await services.clients.delete_client(client.id, by=ADMIN)
    assert not reserve.path.exists()
