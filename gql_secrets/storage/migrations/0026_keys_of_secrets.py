"""Less to write for each reset on SQLite."""

from tortoise import migrations

from gql_secrets.storage.operations import RunOnSqlite


class Migration(migrations.Migration):
    """Find the keys of active secrets by an index whose condition does not name their state.

    SQLite writes the entry of a row again if the row's index has a condition on a column that is set, even where the
    entry stays the same. A reset sets the state of a secret that stays active, and leaves these two columns. The
    constraint `client_secret_ended` says that one of them is null if and only if the secret is active.
    """

    dependencies = [("models", "0025_cheaper_changes")]

    operations = [
        RunOnSqlite(
            "DROP INDEX client_secret_active_key",
            "CREATE INDEX client_secret_active_key ON client_secret (pepper_key_id) "
            "WHERE state IN ('CURRENT', 'RETAINED')",
        ),
        RunOnSqlite(
            "CREATE INDEX client_secret_active_key ON client_secret (pepper_key_id) "
            "WHERE ended_at IS NULL OR end_reason IS NULL",
            "DROP INDEX client_secret_active_key",
        ),
    ]
