"""Indexes that hold all that the overview and lists by age ask about clients and their active secrets."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Let rollovers and current secrets be counted, and clients be listed by creation, without reading their rows."""

    dependencies = [("models", "0023_changes_pause")]

    operations = [
        ops.RunSQL(
            "CREATE INDEX client_secret_running ON client_secret "
            "(expires_at, client_id, replaced_at, last_used_at, id) WHERE state = 'RETAINED'",
            "DROP INDEX client_secret_running",
        ),
        ops.RunSQL(
            "CREATE INDEX client_secret_current ON client_secret (client_id, created_at, first_used_at, id) "
            "WHERE state = 'CURRENT'",
            "DROP INDEX client_secret_current",
        ),
        ops.RunSQL(
            "CREATE INDEX client_own_maximum ON client (client_id, maximum_age_days) "
            "WHERE deleted_at IS NULL AND maximum_age_days IS NOT NULL",
            "DROP INDEX client_own_maximum",
        ),
        # Without statistics, SQLite prefers the latest of indexes: only statements that say that every instant is after
        # 1970 can use this one.
        ops.RunSQL(
            "CREATE INDEX client_newest_by_maximum ON client (created_at, client_id, maximum_age_days) "
            "WHERE deleted_at IS NULL AND created_at > 0",
            "DROP INDEX client_newest_by_maximum",
        ),
    ]
