"""Who uses which secret."""

from tortoise import migrations

from gql_secrets.storage.operations import RunOnPostgres, RunOnSqlite

# Both are written in batches under load: one tree each, ordered by the key that finds and prunes its rows. Tortoise
# has no keys of several columns, so they have no models; `gql_secrets/storage/usage.py` reads and writes them.
_USES = """
    CREATE TABLE secret_use (
        secret_id BIGINT NOT NULL REFERENCES client_secret (id),
        refused BOOLEAN NOT NULL,
        address VARCHAR(64) NOT NULL,
        user_agent VARCHAR(256) NOT NULL,
        first_seen_at BIGINT NOT NULL,
        last_seen_at BIGINT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (secret_id, refused, address, user_agent)
    )
"""
_HOURS = """
    CREATE TABLE secret_usage_hour (
        starts_at BIGINT NOT NULL,
        secret_id BIGINT NOT NULL REFERENCES client_secret (id),
        count BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        PRIMARY KEY (starts_at, secret_id)
    )
"""


class Migration(migrations.Migration):
    """The recent sources of each secret, and its uses by the hour."""

    dependencies = [("models", "0001_initial")]

    operations = [
        RunOnPostgres(_USES, "DROP TABLE secret_use"),
        RunOnSqlite(_USES + "WITHOUT ROWID", "DROP TABLE secret_use"),
        RunOnPostgres(_HOURS, "DROP TABLE secret_usage_hour"),
        RunOnSqlite(_HOURS + "WITHOUT ROWID", "DROP TABLE secret_usage_hour"),
    ]
