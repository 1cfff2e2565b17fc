"""Copying a database while its servers change it, and moving the servers to the copy without an outage.

`copy_online` copies everything, then pauses changes and copies what was written since. From then on neither database
accepts changes, so that nodes of both may verify at the same time: what one of them accepts, the other does too.
`finish_move` ends that on the copy, once no node uses the old database.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gql_secrets.domain.access import Caller
from gql_secrets.domain.changes_pause import ChangesPause
from gql_secrets.domain.errors import BadRequest, Failure, Unavailable
from gql_secrets.service.audit_log import AuditLog, Start
from gql_secrets.service.backup import Copied, verify_copy
from gql_secrets.service.changes import Changes
from gql_secrets.service.changes_pause import Pause, paused, read_pause, resume_changes, set_pause
from gql_secrets.service.database_copy import SAMPLE, migrate_empty
from gql_secrets.service.integrity import find_violations
from gql_secrets.storage.catching_up import Baseline, baseline, catch_up, have_same_digests
from gql_secrets.storage.cluster import count_running_nodes
from gql_secrets.storage.copied_tables import Table
from gql_secrets.storage.copying import columns_of, copy_rows, filling, read_tables
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.listing import list_first_use
from gql_secrets.storage.transaction import Transaction

_LACKS_SOMETHING: Final = "UPDATE installation SET changes_pause = 'PARTIAL', paused_until = NULL"
_HEAD: Final = "SELECT revision, audit_head FROM installation"
_NEWEST: Final = "SELECT revision, hash FROM audit_event ORDER BY revision DESC LIMIT 1"
_NEWEST_AT: Final = "SELECT revision, at FROM audit_event ORDER BY revision DESC LIMIT 1"
_FIRST_USES: Final = "SELECT id, client_id, first_used_at FROM client_secret WHERE first_used_at IS NOT NULL"
_USE_FIRST: Final = """
    UPDATE client_secret SET first_used_at = ?, last_used_at = COALESCE(last_used_at, ?)
    WHERE id = ? AND (first_used_at IS NULL OR first_used_at > ?)
"""


@dataclass(frozen=True, slots=True)
class OnlineCopy:
    """What was copied, and for how many seconds changes were paused until the copy was complete."""

    copied: Copied
    pause_seconds: float


async def copy_online(
    changes: Changes,
    target: Database,
    *,
    by: Caller,
    begin: Callable[[int], Callable[[int], None]] = lambda _rows: lambda _more: None,
) -> OnlineCopy:
    """Copy everything that a database has into an empty one while it is in use, and verify the copy.

    In the end, neither of them accepts changes. If it fails, the database goes on, and the target is empty; if this
    process is killed, the database goes on within seconds, and no node starts on the target.

    Args:
        changes: of the database that is copied.
        target: an empty database, which is migrated here.
        by: who moves the database.
        begin: is called with the number of rows to copy first; what it returns is called with how many more were
            copied.

    Raises:
        SetupError: the target is not empty.
        Failure: the database has problems, or the copy is not what the database is.
        Unavailable: one of them does not answer, or changes are paused already.
    """
    source, pepper = changes.database, changes.pepper
    await migrate_empty(target)
    tables = await read_tables(source.address, target.address)
    async with baseline(source.address) as base:
        async with base.rows() as rows, filling(target.address) as filled:
            copied_more = begin(sum([await rows.count(name) for name in tables]))
            counts = await copy_rows(rows, filled, columns_of(tables), copied_more=copied_more)
            await filled.run(_LACKS_SOMETHING)
        try:
            copied = await verify_copy(target, pepper, counts)
            if copied.problems:
                raise Failure(f"Nothing was copied: the database has problems. {' '.join(copied.problems)}")
            verified = [Start(revision, bytes(digest)) for revision, digest in await target.fetch_rows(_NEWEST)]
            async with paused(changes, by) as pause:
                began = time.monotonic()
                counts = await _copy_the_rest(base, target, tables)
                await _verify_the_rest(changes, target, verified[0] if verified else None)
                # The last read: a failure from here on would leave the database paused, and delete its copy.
                [(revision, at)] = await target.fetch_rows(_NEWEST_AT)
                await pause.complete()
                seconds = time.monotonic() - began
        except BaseException:
            await _empty(target, tables)
            raise
    await _make_ready(target, pause)
    return OnlineCopy(
        Copied(
            clients=counts["client"],
            secrets=counts["client_secret"],
            events=counts["audit_event"],
            revision=revision,
            newest_event_at=from_microseconds(at),
            problems=(),
        ),
        seconds,
    )


async def finish_move(changes: Changes, target: Database, *, by: Caller) -> None:
    """Let a copy accept changes, once no node uses the old database, and take over the first uses of secrets.

    Whether a secret was used decides what a reset does with it. Both databases were verified against since the copy.

    Args:
        changes: of the old database.
        target: its copy.
        by: who moves the database.

    Raises:
        BadRequest: the target is not the copy of this database, or a node still uses the old one.
        Unavailable: one of them does not answer.
    """
    source = changes.database
    pause, pause_id = await read_pause(source)
    if pause not in (ChangesPause.COPIED, ChangesPause.MOVED) or pause_id is None:
        raise BadRequest("This database was not copied with --online, or its changes were resumed. Copy it first.")
    is_installed = bool(await target.fetch_rows("SELECT 1 FROM installation"))
    if not is_installed or await read_pause(target) != (ChangesPause.READY, pause_id):
        raise BadRequest("The target is not the copy of this database that was made last, or it was finished already.")
    if nodes := await count_running_nodes(source):
        raise BadRequest(
            f"Nodes that still run on the old database: {nodes}. Start them on the new one. A node that was killed "
            "counts as running for 15 seconds."
        )
    await _take_over_first_uses(source, target)
    await set_pause(source, ChangesPause.MOVED, pause_id)
    await resume_changes(Changes(target, changes.pepper), by=by)


async def _copy_the_rest(base: Baseline, target: Database, tables: Mapping[str, Table]) -> dict[str, int]:
    async with base.later() as later, filling(target.address) as filled:
        counts = await catch_up(later, filled, tables)
        if not await have_same_digests(later, filled, SAMPLE):
            raise Failure("The copy has other digests than the database. Nothing was copied; copy again.")
        await filled.run(_LACKS_SOMETHING)
    return counts


async def _verify_the_rest(changes: Changes, target: Database, verified: Start | None) -> None:
    """Check the events that were copied last, and that the copy ends where the database does.

    Raises:
        Failure: the copy has problems.
    """
    report = await AuditLog(target, changes.pepper).verify(verified=verified)
    problems = [*await find_violations(target), *([report.problem] if report.problem else [])]
    heads = [await database.fetch_rows(_HEAD) for database in (changes.database, target)]
    if [(revision, bytes(digest)) for revision, digest in heads[0]] != [(report.events, bytes.fromhex(report.head))]:
        problems.append("The last events are not those of the database.")
    if problems:
        raise Failure(f"Nothing was copied: the copy has problems. {' '.join(problems)}")


async def _make_ready(target: Database, pause: Pause) -> None:
    try:
        await set_pause(target, ChangesPause.READY, pause.id)
    except Unavailable as error:
        raise Failure(
            "The copy is complete, but could not be marked so, and changes are paused. Run `gql-secrets db resume` on "
            "the old database, which accepts changes again then, and copy it into a new one."
        ) from error


async def _empty(target: Database, tables: Mapping[str, Table]) -> None:
    """Delete what was copied. Where that is not possible, the copy stays PARTIAL: no node starts on it."""
    with contextlib.suppress(Failure):
        async with filling(target.address) as filled:
            for name in reversed(list(tables)):
                await filled.run(f"DELETE FROM {name}")  # noqa: S608  names of our own tables


async def _take_over_first_uses(source: Database, target: Database) -> None:
    known = {secret: used for secret, _, used in await target.fetch_rows(_FIRST_USES)}
    uses = [
        (secret, client, used)
        for secret, client, used in await source.fetch_rows(_FIRST_USES)
        if used < known.get(secret, used + 1)
    ]

    async def work(tx: Transaction) -> None:
        for secret, client, used in uses:
            if await tx.execute(_USE_FIRST, used, used, secret, used):
                await list_first_use(tx, client, used)

    if uses:
        await target.run_tx(work)
