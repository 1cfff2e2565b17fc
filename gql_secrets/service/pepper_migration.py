"""Starting to move secrets to the first key of the pepper."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.access import Caller, Role, require_role
from gql_secrets.domain.audit import AuditAction
from gql_secrets.service.changes import Change, Changes
from gql_secrets.storage.cluster import require_same_first_key
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import PepperFingerprint


@dataclass(frozen=True, slots=True)
class PepperMigration:
    """The latest migration: secrets that are verified are moved to this key."""

    key_id: str
    began_at: datetime


async def find_migration(database: Database) -> PepperMigration | None:
    """Return the latest migration, or None before the first one."""
    return await database.read(_find)


async def _find(connection: BaseDBAsyncClient) -> PepperMigration | None:
    started = PepperFingerprint.filter(migration_began_at__isnull=False).using_db(connection)
    row = await started.order_by("-migration_began_at").first()
    return PepperMigration(row.key_id, row.migration_began_at) if row and row.migration_began_at else None


async def begin_migration(changes: Changes, *, by: Caller) -> tuple[PepperMigration, bool]:
    """Let each verification move its secret to the first key of the pepper from now on.

    Returns:
        The migration, and whether it was started now: if the latest one has the same key, nothing is changed.

    Raises:
        BadRequest: a running node digests new secrets with another key.
        Conflict: another change held the installation's row for too long.
    """
    require_role(by, Role.ADMIN)
    key_id = changes.pepper.first.key_id
    await require_same_first_key(changes.database, changes.pepper)

    async def work(change: Change) -> tuple[PepperMigration, bool]:
        require_role(change.caller, Role.ADMIN)
        latest = await _find(change.connection)
        if latest is not None and latest.key_id == key_id:
            return latest, False
        # The latest one counts, so it is the latest even if the clock was set back.
        began_at = change.now if latest is None else max(change.now, latest.began_at + timedelta(microseconds=1))
        await change.record(AuditAction.PEPPER_MIGRATION_STARTED, pepper_key_id=key_id)
        await change.tx.execute(
            "UPDATE pepper_fingerprint SET migration_began_at = ? WHERE key_id = ?",
            to_microseconds(began_at),
            key_id,
        )
        return PepperMigration(key_id, began_at), True

    return await changes.change_installation(by, work)
