"""The audit can be trusted: no edit of it goes unseen."""

import hashlib
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.audits import events_of
from support.callers import ADMIN, CLI, DAY, HARD
from support.installation import MakeClient
from tortoise.exceptions import OperationalError

from gql_secrets.domain.audit import FIRST_HASH, FirstFormatEntry
from gql_secrets.domain.errors import BadRequest, Failure, Unavailable
from gql_secrets.service.audit_events import add_content, entry_of, sign_head
from gql_secrets.service.audit_export import last_revision_of
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

COLUMNS = (
    "revision",
    "at",
    "action",
    "actor",
    "actor_kind",
    "surface",
    "request_id",
    "address",
    "client_id",
    "generation_before",
    "generation_after",
    "secret_id",
    "ended_secret_ids",
    "hours_to_live",
    "expires_at",
    "reason",
    "hash",
    "format",
    "edited_fields",
    "clamped",
    "weak_secret",
    "accepted",
    "actor_name",
    "link_number",
    "session_number",
    "person_name",
    "person_role",
    "session_end_reason",
    "webhook_number",
    "pepper_key_id",
)


@pytest.fixture
async def auditing(services: Services, make_client: MakeClient) -> AuditLog:
    """An audit of a dozen events of every kind."""
    made = await make_client("viewer")
    await services.rotation.reset_secret(made.id, DAY, by=ADMIN)
    await services.rotation.change_retention(made.id, DAY, by=ADMIN)
    await services.rotation.cancel_rollover(made.id, by=CLI)
    await services.rotation.reset_secret(made.id, DAY, by=ADMIN)
    await services.rotation.revoke_old_secret(made.id, by=ADMIN)
    await services.rotation.reset_secret(made.id, HARD, by=CLI)
    await services.clients.update_client(made.id, description="ä\n☃", by=ADMIN)
    await services.clients.set_client_enabled(made.id, enabled=False, by=ADMIN)
    await services.clients.delete_client(made.id, by=ADMIN)
    return AuditLog(services.database, services.changes.pepper)


async def test_an_untouched_audit_is_whole(auditing: AuditLog):
    report = await auditing.verify()
    assert (report.events, report.problem) == (11, None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_edit_goes_unseen(auditing: AuditLog, services: Services):
    """1,000 random edits by somebody with access to the database alone: a field, a removal, a swap, a cut tail."""
    chance = random.Random(20261121)  # noqa: S311  a fixed seed makes a failure repeatable
    path = services.database.address.path
    assert path
    connection = sqlite3.connect(path, isolation_level=None)
    columns = connection.execute("SELECT name FROM pragma_table_info('audit_event')").fetchall()
    assert [name for (name,) in columns] == list(COLUMNS)
    rows = connection.execute("SELECT * FROM audit_event ORDER BY revision").fetchall()
    for _ in range(1000):
        edited = edit(rows, chance)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM audit_event")
        connection.executemany("INSERT INTO audit_event VALUES (" + ", ".join("?" * len(COLUMNS)) + ")", edited)  # noqa: S608  only question marks
        connection.execute("COMMIT")
        assert await is_broken(auditing)
    connection.close()


async def is_broken(auditing: AuditLog) -> bool:
    try:
        return (await auditing.verify()).problem is not None
    except Failure:
        return True


def edit(rows: list[tuple[Any, ...]], chance: random.Random) -> list[tuple[Any, ...]]:
    edited = [list(row) for row in rows]
    match chance.choice(["field", "field", "field", "remove", "swap", "cut"]):
        case "field":
            row, column = chance.choice(edited), chance.randrange(1, len(COLUMNS))
            value = row[column]
            if isinstance(value, bytes):
                row[column] = bytes([value[0] ^ 1]) + value[1:]
            elif isinstance(value, int):
                row[column] = value + chance.choice([-1, 1, 3600, 2**40])
            else:
                row[column] = f"{value or ''}x"
        case "remove":
            del edited[chance.randrange(len(edited))]
        case "swap":
            first, second = chance.sample(range(len(edited)), 2)
            edited[first][1:], edited[second][1:] = edited[second][1:], edited[first][1:]
        case "cut":
            del edited[chance.randrange(len(edited)) :]
    return [tuple(row) for row in edited]


async def test_events_of_the_first_format_verify_and_read_as_those_of_today(
    auditing: AuditLog, services: Services, make_client: MakeClient
):
    """A chain that an earlier version began goes on, and every edit of its events is still found."""
    await write_in_first_format(services)
    made = await make_client()
    await services.rotation.reset_secret(made.id, HARD, by=ADMIN, reason="lost laptop")

    assert (await auditing.verify()).problem is None
    events = [json.loads(line) async for line in auditing.export()]
    by_action = {event["action"]: event for event in events[:11]}
    assert by_action["CLIENT_UPDATED"]["editedFields"] == ["description"]
    assert [each["reason"] for each in by_action["OLD_SECRET_REVOKED"]["endedSecrets"]] == ["REVOKED"]
    assert [each["reason"] for each in by_action["ROLLOVER_CANCELLED"]["endedSecrets"]] == ["CANCELLED"]
    assert {event["reason"] for event in events} == {None, "lost laptop"}


@pytest.mark.parametrize(
    "edit_event",
    [
        "UPDATE audit_event SET reason = 'x' WHERE revision = 9",
        "UPDATE audit_event SET format = 2 WHERE revision = 9",
        "UPDATE audit_event SET edited_fields = 'name' WHERE revision = 9",
        "UPDATE audit_event SET actor_name = 'Eve' WHERE revision = 9",
        "UPDATE audit_event SET link_number = 0 WHERE revision = 9",
        "INSERT INTO audit_ended_secret (event_id, secret_id, reason, state_before) VALUES (9, 9, 'REVOKED', 'OLD')",
    ],
)
async def test_no_edit_of_an_event_of_the_first_format_goes_unseen(
    auditing: AuditLog, services: Services, edit_event: str
):
    await write_in_first_format(services)
    assert not await is_broken(auditing)

    async def work(tx: Transaction) -> None:
        await tx.execute(edit_event)

    await services.database.run_tx(work)
    assert await is_broken(auditing)


async def test_what_was_accepted_before_people_had_columns_is_still_accepted(
    auditing: AuditLog, services: Services
) -> None:
    """The digest of an event that has none of these facts is the one that an earlier version computed."""
    await auditing.verify()
    event = next(each for each in await events_of(services) if each.actor_name is None)
    before = [name for name in COLUMNS if name not in COLUMNS[COLUMNS.index("actor_name") :]]
    columns = [str(getattr(event, name)) for name in sorted(before)]
    ended = sorted(f"{row.secret_id} {row.reason} {row.state_before}" for row in event.ended_secrets)
    content = hashlib.sha256()
    add_content(content, event)
    assert content.digest() == hashlib.sha256(json.dumps([columns, ended]).encode()).digest()

    event.person_name = "Eve"
    edited = hashlib.sha256()
    add_content(edited, event)
    assert edited.digest() != content.digest()


async def write_in_first_format(services: Services) -> None:
    """Write the whole audit log again as the version before format 2 wrote it."""
    events = await events_of(services)
    head = FIRST_HASH

    async def work(tx: Transaction) -> None:
        nonlocal head
        for event in events:
            entry = entry_of(event)
            ended = sorted(entry.ended, key=lambda each: each.state_before)
            reason = ",".join(entry.edited_fields) or ",".join(sorted({each.reason for each in ended})) or None
            old = FirstFormatEntry(
                **{name: getattr(entry, name) for name in FirstFormatEntry.__slots__ if hasattr(entry, name)}
                | {"ended_secret_ids": ",".join(str(each.secret_id) for each in ended), "reason": reason}
            )
            head = old.hash_after(head)
            await tx.execute("DELETE FROM audit_ended_secret WHERE event_id = ?", event.revision)
            await tx.execute(
                "UPDATE audit_event SET format = 1, edited_fields = NULL, actor_name = NULL, ended_secret_ids = ?, "
                "reason = ?, hash = ? WHERE revision = ?",
                *(old.ended_secret_ids, reason, head, event.revision),
            )
        mac = sign_head(services.changes.pepper, len(events), head)
        await tx.execute("UPDATE installation SET audit_head = ?, audit_mac = ?", head, mac)

    await services.database.run_tx(work)


async def test_a_tail_cut_off_together_with_the_head_lacks_the_signature(auditing: AuditLog, services: Services):
    """Somebody who edits the head too has no pepper to sign it with."""
    last = await services.database.fetch("SELECT hash FROM audit_event WHERE revision = 9")

    async def cut(tx: Any) -> None:
        await tx.execute("DELETE FROM audit_ended_secret WHERE event_id > 9")
        await tx.execute("DELETE FROM audit_event WHERE revision > 9")
        await tx.execute("UPDATE installation SET revision = 9, audit_head = ?", last[0]["hash"])

    await services.database.run_tx(cut)
    assert "signature" in str((await auditing.verify()).problem)


async def test_an_export_goes_on_where_it_stopped_and_holds_the_audit_to_itself(
    auditing: AuditLog, make_client: MakeClient
):
    lines = [line async for line in auditing.export()]
    await make_client()
    lines += [line async for line in auditing.export(after=last_revision_of(lines))]

    assert [json.loads(line)["revision"] for line in lines] == list(range(1, 13))
    assert (await auditing.verify(lines)).problem is None
    forged = json.loads(lines[4]) | {"hash": "00" * 32}
    assert "Event 5" in str((await auditing.verify([*lines[:4], json.dumps(forged)])).problem)
    later = json.loads(lines[-1]) | {"revision": 99}
    assert "99" in str((await auditing.verify([*lines, json.dumps(later)])).problem)


@pytest.mark.parametrize("line", ["{}", "[]", "x", '{"revision": "a", "hash": ""}'])
async def test_a_line_of_something_else_is_no_export(line: str, auditing: AuditLog):
    with pytest.raises(BadRequest):
        await auditing.verify([line])


async def test_an_event_that_cannot_be_written_leaves_no_change(services: Services, make_client: MakeClient):
    """OpenBao CVE-2026-115357: the act completed though its audit failed."""
    made = await make_client()

    async def block(tx: Any) -> None:
        await tx.execute("ALTER TABLE audit_event RENAME TO audit_event_gone")

    await services.database.run_tx(block)
    with pytest.raises((Unavailable, OperationalError)):
        await services.rotation.reset_secret(made.id, DAY, by=ADMIN)
    [row] = await services.database.fetch("SELECT count(*) AS n FROM client_secret WHERE client_id = ?", [made.id])
    assert row["n"] == 1


def test_an_export_that_was_cut_off_in_a_line_goes_on_before_it(tmp_path: Path):
    from gql_secrets.commands.audit import _whole_lines_of  # noqa: PLC0415  the command line is loaded only here

    path = tmp_path / "audit.jsonl"
    path.write_text('{"revision": 1, "hash": "a"}\n{"revision": 2, "ha')
    assert last_revision_of(_whole_lines_of(path)) == 1
    assert path.read_text() == '{"revision": 1, "hash": "a"}\n'
