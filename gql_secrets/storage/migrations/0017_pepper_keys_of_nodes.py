"""Which keys each node has, and which keys active secrets are under."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Add the pepper keys of a node, and the index that answers whether a key is needed."""

    dependencies = [("models", "0016_room_for_counts")]

    operations = [
        ops.AddField("ClusterMember", "pepper_keys", fields.TextField(null=True)),
        ops.RunSQL(
            "CREATE INDEX client_secret_active_key ON client_secret (pepper_key_id) "
            "WHERE state IN ('CURRENT', 'RETAINED')",
            "DROP INDEX client_secret_active_key",
        ),
    ]
