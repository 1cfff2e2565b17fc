"""Moving an installation from one database to another, of either kind: everything or nothing, and verified."""

from collections.abc import Callable
from typing import Final

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.service.backup import Copied, verify_copy
from gql_secrets.storage.copying import columns_of, copy_rows, filling, read_tables, snapshot, watch
from gql_secrets.storage.database import Database
from gql_secrets.storage.migrate import upgrade

_EMPTY: Final = "SELECT 1 FROM installation UNION SELECT 1 FROM client"
# About this many digests are compared one by one.
SAMPLE: Final = 1000
_COUNT: Final = "SELECT count(*) AS number, COALESCE(max(id), 0) AS last FROM client_secret"
_DIGESTS: Final = "SELECT id, client_id, digest FROM client_secret WHERE id % ? = 0 ORDER BY id"


async def copy_database(
    source: Database,
    target: Database,
    pepper: Pepper,
    *,
    begin: Callable[[int], Callable[[int], None]] = lambda _rows: lambda _more: None,
) -> Copied:
    """Copy everything that a database has into an empty one, and verify the copy.

    Args:
        source: what is copied; nothing may be written to it at the same time.
        target: an empty database, which is migrated here.
        pepper: the pepper of the installation.
        begin: is called with the number of rows to copy; what it returns is called with how many more were copied.

    Raises:
        SetupError: the target is not empty.
        Failure: the source was written to, and nothing was copied; or the copy is not what the source is.
        Unavailable: one of them does not answer.
    """
    await migrate_empty(target)
    tables = columns_of(await read_tables(source.address, target.address))
    async with (
        watch(source.address, list(tables)) as was_written,
        snapshot(source.address) as rows,
        filling(target.address) as filled,
    ):
        copied_more = begin(sum([await rows.count(table) for table in tables]))
        copied = await copy_rows(rows, filled, tables, copied_more=copied_more)
        if await was_written():
            raise Failure(
                "Nothing was copied: the database was written to at the same time. Stop its servers and every command "
                "that changes it, and copy again; or pass --online."
            )
    await _require_same_digests(source, target)
    return await verify_copy(target, pepper, copied)


async def migrate_empty(target: Database) -> None:
    """Migrate a database that something is copied into.

    Raises:
        SetupError: it is not empty.
        Unavailable: it does not answer.
    """
    await upgrade(target)
    if await target.fetch(_EMPTY):
        raise SetupError("The target is not empty, and a copy overwrites nothing. Copy into a new database.")


async def _require_same_digests(source: Database, target: Database) -> None:
    """Compare some digests: a secret whose digest was damaged on the way would be refused.

    Raises:
        Failure: the copy has other ones.
    """
    [secrets] = await source.fetch(_COUNT)
    every = max(1, secrets["last"] // SAMPLE)
    pairs = [await database.fetch(_DIGESTS, (every,)) for database in (source, target)]
    found = [[(row["id"], row["client_id"], bytes(row["digest"])) for row in rows] for rows in pairs]
    if found[0] != found[1]:
        raise Failure("The copy has other digests than the database. Do not use it; copy again into a new database.")
