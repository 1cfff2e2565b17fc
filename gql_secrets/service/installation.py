"""What the first start makes, and what every start checks."""

import hmac
from dataclasses import dataclass
from typing import Final

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.access import Feature, system_caller
from gql_secrets.domain.audit import FIRST_HASH
from gql_secrets.domain.credentials import Pepper, mint_client_id
from gql_secrets.domain.errors import SetupError
from gql_secrets.service.audit_log import sign_head
from gql_secrets.service.changes import ACTIVE_STATES, Change, Changes, lock_installation
from gql_secrets.service.clients import Registration, register
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import ClientFeature, ClientSecret, PepperFingerprint
from gql_secrets.storage.transaction import Transaction

OWNER_NAME: Final = "First owner"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` found: the first owner where this was the first start."""

    first_owner: Registration | None


async def prepare(changes: Changes, *, with_owner: bool) -> Prepared:
    """Make the installation's row and the first owner where there are none, and hold the pepper against the database.

    Several processes may do it at once: one makes them.

    Raises:
        SetupError: the database belongs to another pepper.
    """
    pepper = changes.pepper

    async def work(tx: Transaction) -> Prepared:
        now = await tx.now()
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
        installation = await lock_installation(tx)
        await _check_pepper(tx, pepper)
        owners = ClientFeature.filter(feature=Feature.OWNER.value, client__deleted_at=None)
        if not with_owner or await owners.using_db(tx.connection).exists():  # the last owner stays, so it is asked once
            return Prepared(None)
        change = Change(tx, now, system_caller(), installation, pepper)
        owner = await register(change, mint_client_id(), OWNER_NAME, None, frozenset({Feature.OWNER}), None)
        return Prepared(owner)

    return await changes.database.run_tx(work)


async def is_installed(database: Database) -> bool:
    """Whether a pepper has digested anything in this database."""

    async def read(connection: BaseDBAsyncClient) -> bool:
        return await PepperFingerprint.all().using_db(connection).exists()

    return await database.read(read)


async def _check_pepper(tx: Transaction, pepper: Pepper) -> None:
    rows = await PepperFingerprint.all().using_db(tx.connection)
    known = {row.key_id: row.fingerprint for row in rows}
    for key in pepper.keys:
        if key.key_id in known and not hmac.compare_digest(known[key.key_id], key.fingerprint):
            raise SetupError(
                f"Key {key.key_id} of the pepper is not the one that this database was made with: no secret would be "
                "found. Set GQL_SECRETS_PEPPER to the right one, or restore pepper.keys from the backup."
            )
    lost = known.keys() - {key.key_id for key in pepper.keys}
    if lost == known.keys() and known:
        raise SetupError(
            f"This database belongs to the pepper key {', '.join(sorted(known))}, which is not in GQL_SECRETS_PEPPER. "
            "Add a new key in front of the old ones; never leave the old ones out."
        )
    for key_id in sorted(lost):
        if await _is_needed(tx, key_id):
            raise SetupError(
                f"Good secrets were digested with the pepper key {key_id}, which is not in GQL_SECRETS_PEPPER: "
                "they would not be found. Put it back, behind the first one, until all of them have been reset."
            )
    if pepper.first.key_id not in known:
        await PepperFingerprint.create(
            using_db=tx.connection,
            key_id=pepper.first.key_id,
            fingerprint=pepper.first.fingerprint,
            created_at=await tx.now(),
        )


async def _is_needed(tx: Transaction, key_id: str) -> bool:
    living = ClientSecret.filter(pepper_key_id=key_id, state__in=[state.value for state in ACTIVE_STATES])
    return await living.using_db(tx.connection).exists()
