"""The oldest program that may run on this database, and attempts with secrets that were never issued."""

from tortoise import migrations

from gql_secrets.storage.operations import RaiseOldestSchema, RunOnPostgres, RunOnSqlite

_SCHEMA_VERSION = """
    CREATE TABLE schema_version (
        id INT NOT NULL PRIMARY KEY CHECK (id = 1),
        oldest_migration INT NOT NULL
    )
"""
# No foreign key, like the other tables of counts. A client that nobody tried has no row.
_UNKNOWN_SECRETS = """
    CREATE TABLE unknown_secret_attempt (
        client_id VARCHAR(128) NOT NULL PRIMARY KEY,
        count BIGINT NOT NULL,
        last_at BIGINT NOT NULL
    )
"""


class Migration(migrations.Migration):
    """Add the version of the schema, and the counts of attempts with unknown secrets."""

    dependencies = [("models", "0004_counted_once")]

    operations = [
        RunOnPostgres(_SCHEMA_VERSION, "DROP TABLE schema_version"),
        RunOnSqlite(f"{_SCHEMA_VERSION} WITHOUT ROWID", "DROP TABLE schema_version"),
        RaiseOldestSchema(5),
        RunOnPostgres(_UNKNOWN_SECRETS, "DROP TABLE unknown_secret_attempt"),
        RunOnSqlite(f"{_UNKNOWN_SECRETS} WITHOUT ROWID", "DROP TABLE unknown_secret_attempt"),
    ]
