"""A server moves old audit events to files: whole or not at all, one node at a time, and a failure is seen."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.audits import events_of
from support.callers import ADMIN, CLI, DAY, HARD
from support.clocks import DAYS, HOUR, Clock
from support.installation import MakeClient

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.errors import Conflict, SetupError, Unavailable
from gql_secrets.service import audit_pruning
from gql_secrets.service.audit_acceptance import accept_audit
from gql_secrets.service.audit_archive import LEASE, AuditArchive, require_archive
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.figures import FigureQueries
from gql_secrets.wiring import Services

KEPT = timedelta(days=30)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "archive"
    made.mkdir()
    return made


@pytest.fixture
def archive(services: Services, directory: Path) -> AuditArchive:
    return AuditArchive(services.changes, directory, KEPT)


@pytest.fixture
async def old(services: Services, make_client: MakeClient, clock: Clock) -> int:
    """Events on two days, old enough to archive the first day's; the last revision of that day."""
    made = await make_client()
    await services.rotation.reset_secret(made.id, DAY, by=ADMIN)
    await services.rotation.reset_secret(made.id, HARD, by=ADMIN)
    last = (await events_of(services))[-1].revision
    clock.move(DAYS)
    await services.rotation.reset_secret(made.id, HARD, by=ADMIN)
    clock.move(KEPT)
    return last


async def problem_of(services: Services, directory: Path) -> str | None:
    lines = [line for file in files_in(directory) for line in file.read_text("utf-8").splitlines()]
    return (await AuditLog(services.database, services.changes.pepper).verify(lines)).problem


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


async def revisions(services: Services) -> list[int]:
    return [event.revision for event in await events_of(services)]


async def test_events_move_to_a_file_when_their_day_is_old_enough(
    services: Services, archive: AuditArchive, directory: Path, old: int, clock: Clock
) -> None:
    today = clock.now
    clock.set((today - DAYS).replace(hour=23, minute=59))
    await archive.run()
    assert files_in(directory) == []

    clock.set(today)
    await archive.run()
    [file] = files_in(directory)
    assert file.name == f"audit-{1:012d}-{old:012d}.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    *kept, pruning = await events_of(services)
    assert [event.revision for event in kept] == [old + 1]
    assert (pruning.action, pruning.actor) == (AuditAction.AUDIT_PRUNED, "system")
    assert await problem_of(services, directory) is None
    assert await archive.probe() == "ok"

    await archive.run()
    assert files_in(directory) == [file]


async def test_a_file_a_day_and_all_of_them_are_verified_in_the_order_of_their_names(
    services: Services, archive: AuditArchive, directory: Path, old: int, clock: Clock
) -> None:
    assert old
    for _ in range(3):
        await archive.run()
        clock.move(KEPT + DAYS)
    assert len(files_in(directory)) == 3
    assert await problem_of(services, directory) is None


def gone(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    directory.rmdir()


def a_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    directory.rmdir()
    directory.write_text("not a directory")


def full(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del directory

    def fail(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gql_secrets.service.audit_pruning.os.fsync", fail)


def lying(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has something else than what was written to it."""
    del directory
    monkeypatch.setattr(audit_pruning, "_digest", lambda _path: b"something else")


def mend(directory: Path) -> None:
    if directory.is_file():
        directory.unlink()
    directory.mkdir(exist_ok=True)


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [(gone, "No such file"), (a_file, "Not a directory"), (full, "No space left"), (lying, "what was written")],
)
async def test_a_failure_prunes_nothing_and_is_logged_and_reported_until_it_is_mended(
    services: Services,
    archive: AuditArchive,
    directory: Path,
    old: int,
    breaks: Callable[[Path, pytest.MonkeyPatch], None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = await revisions(services)
    with pytest.MonkeyPatch.context() as patched, caplog.at_level(logging.INFO):
        breaks(directory, patched)
        await archive.run()
    assert await revisions(services) == before
    [record] = [each for each in caplog.records if each.name.endswith("audit_archive")]
    assert (record.levelname, record.getMessage()) == ("ERROR", "audit_archive_failed")
    assert reason in caplog.text
    assert await archive.probe() == "failing"
    assert (await FigureQueries(services.database, services.changes.pepper, HOUR).read()).archive_fails

    mend(directory)
    assert files_in(directory) == []
    await archive.run()
    assert await problem_of(services, directory) is None
    assert [file.name for file in files_in(directory)] == [f"audit-{1:012d}-{old:012d}.jsonl"]
    assert await archive.probe() == "ok"
    assert not (await FigureQueries(services.database, services.changes.pepper, HOUR).read()).archive_fails


async def test_a_failure_is_not_reported_after_nobody_has_tried_for_an_hour(
    archive: AuditArchive, directory: Path, old: int, clock: Clock
) -> None:
    assert old
    await asyncio.to_thread(directory.rmdir)
    await archive.run()
    clock.move(HOUR)
    assert await archive.probe() == "ok"


@pytest.mark.parametrize("interrupts", [Conflict("another node pruned"), Unavailable("no answer")])
async def test_a_try_that_was_interrupted_leaves_the_report_of_an_earlier_failure(
    services: Services,
    archive: AuditArchive,
    directory: Path,
    old: int,
    interrupts: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert old
    await asyncio.to_thread(directory.rmdir)
    await archive.run()
    mend(directory)

    async def interrupted(*_: object) -> None:
        raise interrupts

    with monkeypatch.context() as patched:
        patched.setattr(services.changes, "change_installation", interrupted)
        with pytest.raises(type(interrupts)):
            await archive.run()
    assert await archive.probe() == "failing"
    await archive.run()  # the lease was given back
    assert await archive.probe() == "ok"


async def test_after_a_crash_between_file_and_pruning_the_next_run_prunes_what_is_in_the_file(
    services: Services,
    archive: AuditArchive,
    directory: Path,
    old: int,
    make_client: MakeClient,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(*_: object) -> None:
        raise Conflict("The process was killed.")

    with monkeypatch.context() as patched:
        patched.setattr(services.changes, "change_installation", crash)
        with pytest.raises(Conflict):
            await archive.run()
    [first] = files_in(directory)
    content = first.read_bytes()
    (directory / f".{first.name}.0123abcd.part").write_text("half of a file that was being written")

    await make_client()
    clock.move(DAYS + LEASE)  # one more day is old enough, and the file stays as it is
    await archive.run()
    assert first.read_bytes() == content
    assert (await revisions(services))[0] == old + 1
    clock.move(DAYS)
    await archive.run()
    assert len(files_in(directory)) == 2
    assert files_in(directory)[0] == first
    assert first.read_bytes() == content
    assert await problem_of(services, directory) is None


async def test_a_file_that_has_other_events_is_neither_replaced_nor_taken_for_the_archive(
    services: Services, archive: AuditArchive, directory: Path, old: int, caplog: pytest.LogCaptureFixture
) -> None:
    before = await revisions(services)
    file = directory / f"audit-{1:012d}-{old:012d}.jsonl"
    file.write_text("cut off")
    await archive.run()
    assert "has other events" in caplog.text
    assert (file.read_text(), await revisions(services)) == ("cut off", before)


async def test_events_that_are_kept_for_longer_now_stay_although_their_file_is_written(
    services: Services, directory: Path, old: int, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise Conflict("The process was killed.")

    await make_client()
    with monkeypatch.context() as patched:
        patched.setattr(services.changes, "change_installation", crash)
        with pytest.raises(Conflict):
            await AuditArchive(services.changes, directory, KEPT - DAYS).run()
    before, files = await revisions(services), files_in(directory)
    assert files[0].name == f"audit-{1:012d}-{old + 1:012d}.jsonl"
    await AuditArchive(services.changes, directory, KEPT).run()
    assert (await revisions(services), files_in(directory)) == (before, files)


async def test_another_node_archives_only_when_the_lease_is_over(
    services: Services, archive: AuditArchive, directory: Path, old: int, clock: Clock
) -> None:
    assert old
    killed = AuditArchive(services.changes, directory, KEPT)
    assert await killed._take_lease(clock.now)
    await archive.run()
    assert files_in(directory) == []
    clock.move(LEASE)
    await archive.run()
    assert len(files_in(directory)) == 1


async def test_two_nodes_at_the_same_time_prune_once(
    services: Services, archive: AuditArchive, directory: Path, old: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one took so long that its lease ended."""
    other = AuditArchive(services.changes, directory, KEPT)
    change, waiting = services.changes.change_installation, [True]

    async def overtaken(*given: Any) -> Any:
        if waiting.pop():
            waiting.append(False)
            await services.database.run_tx(lambda tx: tx.execute("UPDATE audit_archive SET expires_at = 0"))
            await other.run()
        return await change(*given)

    monkeypatch.setattr(services.changes, "change_installation", overtaken)
    with pytest.raises(Conflict):
        await archive.run()
    assert len(files_in(directory)) == 1
    assert [event.action for event in await events_of(services)].count(AuditAction.AUDIT_PRUNED) == 1
    assert (await revisions(services))[0] == old + 1
    assert await problem_of(services, directory) is None


async def test_an_edited_audit_log_is_not_archived(
    services: Services, archive: AuditArchive, directory: Path, old: int, caplog: pytest.LogCaptureFixture
) -> None:
    edit = "UPDATE audit_event SET actor = 'user:eve' WHERE revision = ?"
    await services.database.run_tx(lambda tx: tx.execute(edit, old))
    await archive.run()
    assert files_in(directory) == []
    assert "not intact" in caplog.text

    await accept_audit(services.changes, by=CLI, reason="inspected")
    caplog.clear()
    await archive.run()  # the acceptance is not old enough, and nothing is wrong
    assert files_in(directory) == []
    assert "audit_archive_failed" not in caplog.text
    assert await archive.probe() == "failing", "until an hour after the last try that failed"


async def test_without_a_directory_nothing_is_pruned(services: Services, old: int) -> None:
    before = await revisions(services)
    assert old
    await services.audit_archive.run()
    assert await revisions(services) == before
    assert await services.audit_archive.probe() == "none"


def test_a_directory_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    require_archive(tmp_path)
    assert files_in(tmp_path) == []
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none", tmp_path / "file", Path("/proc")):
        with pytest.raises(SetupError, match="GQL_SECRETS_AUDIT_ARCHIVE: cannot write to"):
            require_archive(wrong)


def test_a_directory_that_another_node_tidies_at_the_same_time_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that archives deletes files that are not whole, and takes the probe of a start for one."""
    touch = Path.touch

    def touch_and_lose(path: Path, mode: int, *, exist_ok: bool) -> None:
        touch(path, mode, exist_ok)
        path.unlink()

    monkeypatch.setattr(Path, "touch", touch_and_lose)
    require_archive(tmp_path)
