"""Less to write for each change."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.operations import RunOnPostgres


class Migration(migrations.Migration):
    """Drop two indexes of retained secrets that begin as `client_secret_running` does, and leave room for generations.

    A change writes the generation into the client's row, which no index has: where there is room in the row's page,
    PostgreSQL writes none of the indexes. The pages that there are get room as their rows move.
    """

    dependencies = [("models", "0024_overview")]

    operations = [
        ops.RunSQL(
            "DROP INDEX client_secret_due",
            "CREATE INDEX client_secret_due ON client_secret (expires_at) WHERE state = 'RETAINED'",
        ),
        ops.RunSQL(
            "DROP INDEX client_secret_ends",
            "CREATE INDEX client_secret_ends ON client_secret (expires_at, client_id) WHERE state = 'RETAINED'",
        ),
        RunOnPostgres("ALTER TABLE client SET (fillfactor = 85)", "ALTER TABLE client RESET (fillfactor)"),
    ]
