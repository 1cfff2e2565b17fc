"""A use is counted in one place."""

from tortoise import migrations

from gql_secrets.storage.operations import RunOnPostgres, RunOnSqlite

# A total is the sum of the counts in `client_secret` and of its sources, so the former lose what the sources hold.
_COUNTED_ONCE = """
    UPDATE client_secret SET
        use_count = use_count - COALESCE(
            (SELECT sum(u.count) FROM secret_use u WHERE u.secret_id = client_secret.id AND NOT u.refused), 0
        ),
        refused_attempts = refused_attempts - COALESCE(
            (SELECT sum(u.count) FROM secret_use u WHERE u.secret_id = client_secret.id AND u.refused), 0
        )
    WHERE use_count > 0 OR refused_attempts > 0
"""
# No foreign keys: secrets are never deleted, and looking each one up takes longer than writing the row itself.
_USES = """
    CREATE TABLE secret_use (
        secret_id BIGINT NOT NULL,
        refused BOOLEAN NOT NULL,
        address VARCHAR(64) NOT NULL,
        user_agent VARCHAR(256) NOT NULL,
        first_seen_at BIGINT NOT NULL,
        last_seen_at BIGINT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (secret_id, refused, address, user_agent)
    ) WITHOUT ROWID
"""
_HOURS = """
    CREATE TABLE secret_usage_hour (
        starts_at BIGINT NOT NULL,
        secret_id BIGINT NOT NULL,
        count BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        PRIMARY KEY (starts_at, secret_id)
    ) WITHOUT ROWID
"""


def _rebuilt(table: str, definition: str) -> list[RunOnSqlite]:
    """Return what rebuilds a table with its rows: SQLite cannot drop a foreign key."""
    return [
        RunOnSqlite(f"ALTER TABLE {table} RENAME TO {table}_before"),
        RunOnSqlite(definition),
        RunOnSqlite(f"INSERT INTO {table} SELECT * FROM {table}_before"),  # noqa: S608  names of our own tables
        RunOnSqlite(f"DROP TABLE {table}_before"),
    ]


class Migration(migrations.Migration):
    """Totals without what the sources hold, and uses without foreign keys."""

    dependencies = [("models", "0003_sessions")]

    operations = [
        RunOnPostgres(_COUNTED_ONCE),
        RunOnSqlite(_COUNTED_ONCE),
        RunOnPostgres("ALTER TABLE secret_use DROP CONSTRAINT IF EXISTS secret_use_secret_id_fkey"),
        RunOnPostgres("ALTER TABLE secret_usage_hour DROP CONSTRAINT IF EXISTS secret_usage_hour_secret_id_fkey"),
        *_rebuilt("secret_use", _USES),
        *_rebuilt("secret_usage_hour", _HOURS),
    ]
