"""Old audit events move to a file: nothing is lost, and what is left and what was exported can both be verified."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.audits import events_of
from support.callers import ADMIN, CLI, DAY, HARD
from support.clocks import Clock
from support.installation import MakeClient

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.errors import BadRequest, Conflict, Failure
from gql_secrets.service import audit_pruning
from gql_secrets.service.audit_acceptance import accept_audit
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.audit_pruning import Pruned, prune_audit
from gql_secrets.service.integrity import find_problems
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

MONTH = timedelta(days=30)


@pytest.fixture
async def month(services: Services, make_client: MakeClient, clock: Clock) -> datetime:
    """Events of two months, and the instant between them."""
    made = await make_client("viewer")
    await services.rotation.reset_secret(made.id, DAY, by=ADMIN, reason="spring")
    await services.rotation.cancel_rollover(made.id, by=CLI)
    await services.rotation.reset_secret(made.id, HARD, by=ADMIN)
    clock.move(MONTH)
    between = clock.now
    await services.clients.update_client(made.id, by=ADMIN, name="later")
    await services.rotation.reset_secret(made.id, DAY, by=ADMIN)
    clock.move(MONTH)
    return between


async def problem_of(services: Services, *files: Path) -> str | None:
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return (await AuditLog(services.database, services.changes.pepper).verify(lines)).problem


async def prune(services: Services, before: datetime, file: Path) -> Pruned:
    return await prune_audit(services.changes, by=CLI, before=before, export=lambda _first, _last: file)


async def test_pruned_events_are_in_the_file_and_both_are_verified(
    services: Services, month: datetime, tmp_path: Path
) -> None:
    before, file = await events_of(services), tmp_path / "audit.jsonl"

    pruned = await prune(services, month, file)

    old = [event for event in before if event.at < month]
    assert (pruned.first, pruned.last) == (1, old[-1].revision)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["hash"] for line in file.read_text().splitlines()] == [event.hash.hex() for event in old]
    kept = await events_of(services)
    assert [event.revision for event in kept[:-1]] == [event.revision for event in before if event.at >= month]
    assert (kept[-1].action, kept[-1].actor) == (AuditAction.AUDIT_PRUNED, "cli:root")
    assert await problem_of(services) is None
    assert await problem_of(services, file) is None
    assert await find_problems(services.database) == []


async def test_prunings_follow_one_another_and_all_their_files_are_one_proof(
    services: Services, month: datetime, make_client: MakeClient, clock: Clock, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("first", "second")]
    await prune(services, month, files[0])
    await make_client()
    await prune(services, clock.now - timedelta(days=8), files[1])

    assert await problem_of(services) is None
    assert await problem_of(services, *files) is None
    assert "Pass the earlier ones too" in str(await problem_of(services, files[1]))
    assert "the last one that was pruned" in str(await problem_of(services, files[0]))
    later = tmp_path / "later"
    lines = [line async for line in AuditLog(services.database, services.changes.pepper).export()]
    later.write_text("\n".join(lines))
    assert await problem_of(services, *files, later) is None


def _swap(lines: list[str]) -> None:
    edited = {**json.loads(lines[2]), "actor": "user:eve"}
    lines[2] = json.dumps(edited)


def _drop(lines: list[str]) -> None:
    del lines[2]


def _rehash(lines: list[str]) -> None:
    lines[-1] = json.dumps({**json.loads(lines[-1]), "hash": "00" * 32})


@pytest.mark.parametrize("edit", [_swap, _drop, _rehash])
async def test_an_edit_of_a_file_is_found(
    services: Services, month: datetime, tmp_path: Path, edit: Callable[[list[str]], None]
) -> None:
    file = tmp_path / "audit.jsonl"
    await prune(services, month, file)
    lines = file.read_text("utf-8").splitlines()
    edit(lines)
    file.write_text("\n".join(lines), encoding="utf-8")
    assert await problem_of(services, file) is not None


async def test_deleting_events_without_pruning_them_is_found(
    services: Services, month: datetime, tmp_path: Path
) -> None:
    pruned = await prune(services, month, tmp_path / "audit.jsonl")

    async def work(tx: Transaction) -> None:
        await tx.execute("DELETE FROM audit_ended_secret WHERE event_id = ?", pruned.last + 1)
        await tx.execute("DELETE FROM audit_event WHERE revision = ?", pruned.last + 1)

    await services.database.run_tx(work)
    assert await problem_of(services) is not None


async def test_an_interrupted_pruning_loses_nothing_and_the_next_one_goes_on(
    services: Services, month: datetime, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await events_of(services)

    async def interrupted(*_: object) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr(audit_pruning, "_delete_until", interrupted)
        pruned = await prune(services, month, tmp_path / "first")
    assert len(await events_of(services)) == len(before) + 1
    assert await problem_of(services) is None
    assert await problem_of(services, tmp_path / "first") is None

    clock.move(MONTH)
    second = await prune(services, clock.now - timedelta(days=9), tmp_path / "second")
    assert second.first == pruned.last + 1
    assert await problem_of(services, tmp_path / "first", tmp_path / "second") is None
    assert min(event.revision for event in await events_of(services)) == second.last + 1


async def test_the_same_pruning_again_finishes_the_deletion_and_has_the_same_result(
    services: Services, month: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(_: object, last: int) -> None:
        if last > 0:  # what an earlier pruning left is deleted before the export
            raise Conflict("The process was killed.")

    file = tmp_path / "audit.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr(audit_pruning, "_delete_until", killed)
        with pytest.raises(Conflict):
            await prune(services, month, file)
    left = await events_of(services)
    content = file.read_bytes()
    last = json.loads(content.splitlines()[-1])["revision"]

    with pytest.raises(BadRequest, match="no events before"):
        await prune(services, month, tmp_path / "another.jsonl")  # nothing has the events but the first file
    for _ in range(2):
        assert await prune(services, month, file) == Pruned(1, last)
    assert file.read_bytes() == content
    assert await events_of(services) == [event for event in left if event.revision > last]
    assert await problem_of(services, file) is None
    file.write_bytes(b"".join(content.splitlines(keepends=True)[:-1]))
    with pytest.raises(BadRequest, match="no events before"):
        await prune(services, month, file)


@pytest.mark.parametrize("has_same", [True, False])
async def test_a_file_that_appears_while_the_events_are_written_is_not_replaced_and_must_have_the_same(
    services: Services, month: datetime, tmp_path: Path, has_same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two prunings that name the same file: the events that one of them deletes must stay in it."""
    before, file = await events_of(services), tmp_path / "audit.jsonl"
    digest = audit_pruning._digest

    def digest_late(path: Path) -> bytes:
        if not file.exists():
            file.write_bytes(path.read_bytes() if has_same else b"of another pruning")
        return digest(path)

    monkeypatch.setattr(audit_pruning, "_digest", digest_late)
    if has_same:
        await prune(services, month, file)
        assert await problem_of(services, file) is None
        return
    with pytest.raises(Failure, match="has other events"):
        await prune(services, month, file)
    assert file.read_text() == "of another pruning"
    assert await events_of(services) == before


@pytest.mark.parametrize("days", [0, 7])
async def test_recent_events_are_kept(services: Services, clock: Clock, tmp_path: Path, days: int) -> None:
    with pytest.raises(BadRequest, match="last 8 days"):
        await prune(services, clock.now - timedelta(days=days), tmp_path / "audit.jsonl")


async def test_nothing_is_deleted_where_the_file_cannot_be_written(
    services: Services, month: datetime, tmp_path: Path
) -> None:
    before = len(await events_of(services))
    (tmp_path / "there").write_text("keep me")
    for file in (tmp_path / "there", tmp_path / "no" / "such" / "folder", Path("/dev/full")):
        with pytest.raises(Failure, match="Nothing was pruned"):
            await prune(services, month, file)
    assert (tmp_path / "there").read_text() == "keep me"
    assert len(await events_of(services)) == before
    with pytest.raises(BadRequest, match="no events before"):
        await prune(services, month - 3 * MONTH, tmp_path / "new")


async def test_an_edited_audit_log_is_not_pruned_and_an_accepted_one_only_with_its_acceptance(
    services: Services, month: datetime, tmp_path: Path
) -> None:
    await services.database.run_tx(
        lambda tx: tx.execute("UPDATE audit_event SET actor = 'user:eve' WHERE revision = 2")
    )
    with pytest.raises(Failure, match="not intact"):
        await prune(services, month, tmp_path / "audit.jsonl")
    await accept_audit(services.changes, by=CLI, reason="inspected")
    with pytest.raises(BadRequest, match="together with them"):
        await prune(services, month, tmp_path / "audit.jsonl")
    assert await problem_of(services) is None


async def test_what_was_accepted_is_pruned_with_its_acceptance_and_the_edit_stays_visible(
    services: Services, month: datetime, make_client: MakeClient, clock: Clock, tmp_path: Path
) -> None:
    edited = "UPDATE audit_event SET actor = 'user:eve' WHERE at < ? AND revision = 2"
    await services.database.run_tx(lambda tx: tx.execute(edited, to_microseconds(month)))
    await accept_audit(services.changes, by=CLI, reason="inspected")
    clock.move(MONTH)
    await make_client()
    await prune(services, clock.now - timedelta(days=8), tmp_path / "audit.jsonl")
    assert await problem_of(services) is None
    assert "Event 2 was edited" in str(await problem_of(services, tmp_path / "audit.jsonl"))
