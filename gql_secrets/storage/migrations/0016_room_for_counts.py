"""Room on the pages of counts, so that PostgreSQL writes each use there and touches no index."""

from tortoise import migrations

from gql_secrets.storage.operations import RunOnPostgres


class Migration(migrations.Migration):
    """Leave half of each new page free: without room, a use writes three to five times as much WAL."""

    dependencies = [("models", "0015_cluster")]

    operations = [
        RunOnPostgres("ALTER TABLE secret_use SET (fillfactor = 50)", "ALTER TABLE secret_use RESET (fillfactor)"),
        RunOnPostgres(
            "ALTER TABLE secret_usage_hour SET (fillfactor = 50)", "ALTER TABLE secret_usage_hour RESET (fillfactor)"
        ),
    ]
