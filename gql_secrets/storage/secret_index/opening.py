"""Opening the lookup of a database."""

from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import translated
from gql_secrets.storage.postgres.lookup import PostgresLookup
from gql_secrets.storage.secret_index.lookup import Lookup
from gql_secrets.storage.sqlite.lookup import SqliteLookup


async def open_lookup(database: Database) -> Lookup:
    """Return a lookup with connections of its own; each commit of this process expires its view.

    Raises:
        Unavailable: the database does not answer.
    """
    with translated():
        lookup: Lookup = await (SqliteLookup if database.dialect.name == "sqlite" else PostgresLookup).open(database)
    database.after_commit.append(lookup.expire_view)
    return lookup
