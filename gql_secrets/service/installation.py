"""What the first start creates, and what every start checks."""

import hmac
from datetime import datetime
from functools import partial
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Q

from gql_secrets.domain.access import Feature, system_caller
from gql_secrets.domain.audit import FIRST_HASH
from gql_secrets.domain.changes_pause import ChangesPause
from gql_secrets.domain.credentials import Pepper, PepperKey, mint_client_id
from gql_secrets.domain.errors import SetupError
from gql_secrets.service.audit_events import sign_head
from gql_secrets.service.changes import ACTIVE_STATES, Change, Changes
from gql_secrets.service.new_clients import NewClient, Registration, register
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import AuditEvent, Client, ClientFeature, ClientSecret, Installation, PepperFingerprint
from gql_secrets.storage.transaction import Transaction

OWNER_NAME: Final = "First owner"


async def prepare(changes: Changes, *, with_owner: bool) -> Registration | None:
    """Create the installation's row and the first owner if there are none, and check the pepper against the database.

    Several processes may do this at the same time: one of them creates the owner. Where there is nothing to create,
    nothing is locked: a start, or a command that reads, waits for no change.

    Returns:
        The first owner, if this was the first start.

    Raises:
        SetupError: the database belongs to another pepper, or is a copy that is not complete.
    """
    pepper = changes.pepper
    if await changes.database.read(partial(_is_prepared, pepper=pepper, with_owner=with_owner)):
        return None
    return await changes.database.run_tx(partial(_prepare, pepper=pepper, with_owner=with_owner))


async def _is_prepared(connection: BaseDBAsyncClient, *, pepper: Pepper, with_owner: bool) -> bool:
    installation = await Installation.get_or_none(id=1, using_db=connection)
    if installation is not None and installation.changes_pause == ChangesPause.PARTIAL:
        raise SetupError(
            "This database was left by a copy that did not finish. Use the database that it was copied from, and copy "
            "that again, into a new one."
        )
    if installation is None or await _check_pepper(connection, pepper):
        return False
    _require_audit_key(installation, pepper)
    return not with_owner or await _has_owner(connection)


async def _prepare(tx: Transaction, *, pepper: Pepper, with_owner: bool) -> Registration | None:
    now = await tx.now()
    await _require_row(tx, pepper, now)
    installation = await _lock_installation(tx)
    # All keys, so that another key under the same id is refused on every node, also before it digests secrets.
    for key in await _check_pepper(tx.connection, pepper):
        await PepperFingerprint.create(
            using_db=tx.connection, key_id=key.key_id, fingerprint=key.fingerprint, created_at=await tx.now()
        )
    _require_audit_key(installation, pepper)
    if not with_owner or await _has_owner(tx.connection):
        return None
    change = Change(tx, now, system_caller(), installation, pepper)
    return await register(change, NewClient(mint_client_id(), OWNER_NAME, features=frozenset({Feature.OWNER})))


async def _require_row(tx: Transaction, pepper: Pepper, now: datetime) -> None:
    """Create the installation's row in a database that is not in use.

    Raises:
        SetupError: the database is in use and has no such row.
    """
    if not await _is_in_use(tx):
        await tx.execute(
            """
            INSERT INTO installation (id, revision, audit_head, audit_mac, audit_key_id, created_at)
            VALUES (1, 0, ?, ?, ?, ?) ON CONFLICT DO NOTHING
            """,
            FIRST_HASH,
            sign_head(pepper, 0, FIRST_HASH),
            pepper.first.key_id,
            to_microseconds(now),
        )
    elif not await Installation.exists(id=1, using_db=tx.connection):
        raise SetupError(
            "The row of the installation is missing, but there are clients or audit events: the database was edited. "
            "Restore it from a backup."
        )


async def is_installed(database: Database) -> bool:
    """Return whether the database belongs to a pepper."""

    async def read(connection: BaseDBAsyncClient) -> bool:
        return await PepperFingerprint.all().using_db(connection).exists()

    return await database.read(read)


async def _is_in_use(tx: Transaction) -> bool:
    """Return whether there are clients or audit events: then nothing may create the installation's row again."""
    return (
        await Client.all().using_db(tx.connection).exists() or await AuditEvent.all().using_db(tx.connection).exists()
    )


async def _has_owner(connection: BaseDBAsyncClient) -> bool:
    """Return whether there is an owner: once there is, there always is, since the last one cannot be deleted."""
    owners = ClientFeature.filter(feature=Feature.OWNER.value, client__deleted_at=None)
    return await owners.using_db(connection).exists()


def _require_audit_key(installation: Installation, pepper: Pepper) -> None:
    if pepper.key(installation.audit_key_id) is None:
        raise SetupError(
            f"The audit log is signed with the pepper key {installation.audit_key_id}, which is missing from the "
            "pepper. Restore that key."
        )


async def _check_pepper(connection: BaseDBAsyncClient, pepper: Pepper) -> list[PepperKey]:
    """Return the keys of the pepper that the database does not know yet.

    Raises:
        SetupError: the database belongs to another pepper.
    """
    rows = await PepperFingerprint.all().using_db(connection)
    known = {row.key_id: row.fingerprint for row in rows}
    for key in pepper.keys:
        if key.key_id in known and not hmac.compare_digest(known[key.key_id], key.fingerprint):
            raise SetupError(
                f"Pepper key {key.key_id} is not the one that this database knows by that id, so no secret would be "
                "found. Set GQL_SECRETS_PEPPER to the right one, or restore pepper.keys from a backup. A new key needs "
                "an id of its own."
            )
    lost = known.keys() - {key.key_id for key in pepper.keys}
    if lost == known.keys() and known:
        raise SetupError(
            f"This database belongs to the pepper key {', '.join(sorted(known))}, which is missing from the pepper. "
            "To change the pepper, add a new key and keep the old ones: docs/operations.md has the two passes."
        )
    began = [(row.migration_began_at, row.key_id) for row in rows if row.migration_began_at]
    if began and (target := max(began)[1]) in lost:
        raise SetupError(
            f"Secrets are being moved to the pepper key {target}, which is missing from the pepper. Put it in front, "
            "and keep the others after it."
        )
    for key_id in sorted(lost):
        if await _is_needed(connection, key_id):
            raise SetupError(
                f"Valid secrets depend on the pepper key {key_id}, which is missing from the pepper. Restore it after "
                "the first key, and keep it until gql-secrets pepper status says that it may be removed."
            )
    return [key for key in pepper.keys if key.key_id not in known]


async def _is_needed(connection: BaseDBAsyncClient, key_id: str) -> bool:
    active = ClientSecret.filter(pepper_key_id=key_id, state__in=[state.value for state in ACTIVE_STATES])
    # True of every active secret, as a constraint of the table says: SQLite's index has it.
    has_not_ended = Q(ended_at__isnull=True) | Q(end_reason__isnull=True)
    return await active.filter(has_not_ended).using_db(connection).exists()


async def _lock_installation(tx: Transaction) -> Installation:
    """Lock the installation's row until the end of the transaction; always the last lock."""
    installation = await Installation.filter(id=1).using_db(tx.connection).select_for_update().get()
    # An edited row may name a revision that an event already has: a change that ends something must still be possible.
    newest = await AuditEvent.all().using_db(tx.connection).order_by("-revision").limit(1).only("revision").first()
    installation.revision = max(installation.revision, newest.revision if newest else 0)
    return installation
