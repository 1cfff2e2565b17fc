"""Opening what verification reads."""

from collections.abc import Sequence
from typing import NamedTuple

from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import translated
from gql_secrets.storage.node_lease import NodeLease
from gql_secrets.storage.postgres.dialect import PostgresDialect
from gql_secrets.storage.postgres.lookup import PostgresLookup
from gql_secrets.storage.postgres.membership import Membership
from gql_secrets.storage.postgres.memory_lookup import MemoryLookup
from gql_secrets.storage.secret_index.lookup import Lookup
from gql_secrets.storage.secret_index.memory import SecretMemory
from gql_secrets.storage.sqlite.lookup import SqliteLookup


class Opened(NamedTuple):
    """The lookup, and on PostgreSQL the membership of this node: a server runs it, a command does not."""

    lookup: Lookup
    membership: Membership | None


async def open_lookup(database: Database, key_ids: Sequence[str], *, from_memory: bool = False) -> Opened:
    """Return a lookup of this database; each commit of this process expires its view.

    Args:
        database: the database.
        key_ids: the keys of this process's pepper, the first one first.
        from_memory: on PostgreSQL, answer from memory while the membership runs and holds its lease.

    Raises:
        Unavailable: the database does not answer.
    """
    lookup: Lookup
    membership = None
    with translated():
        if isinstance(database.dialect, PostgresDialect):
            reader, lease = await PostgresLookup.open(database, key_ids), NodeLease()
            memory = SecretMemory() if from_memory else None
            lookup = reader if memory is None else MemoryLookup(database, reader, memory, lease)
            if memory is not None:
                # First of all: nothing that follows the commit, such as a full disk, may keep it from forgetting.
                database.on_changes.insert(0, memory.forget_own)
            membership = Membership(database.dialect, lease, memory, key_ids)
        else:
            lookup = on_file = await SqliteLookup.open(database, key_ids)
            database.on_changes.insert(0, on_file.forget_own)
    database.after_commit.append(lookup.expire_view)
    return Opened(lookup, membership)
