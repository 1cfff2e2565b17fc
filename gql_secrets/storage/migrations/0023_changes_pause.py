"""Whether changes are paused, because the database was copied."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField


class Migration(migrations.Migration):
    """Add the pause of changes, the copy that it belongs to, and until when it lasts if the copy does not go on."""

    dependencies = [("models", "0022_years_of_rows")]

    operations = [
        ops.AddField("Installation", "changes_pause", fields.CharField(max_length=8, db_default="NONE")),
        ops.AddField("Installation", "pause_id", fields.CharField(max_length=32, null=True)),
        ops.AddField("Installation", "paused_until", InstantField(null=True, generated=False, unique=False)),
    ]
