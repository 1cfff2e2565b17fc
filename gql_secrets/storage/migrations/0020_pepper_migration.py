"""The key of the pepper that secrets are moved to, and the audit event of the start of such a migration."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField


class Migration(migrations.Migration):
    """Add when secrets began to be moved to a key, and the key that an audit event is about."""

    dependencies = [("models", "0019_lost_changes")]

    operations = [
        ops.AddField("PepperFingerprint", "migration_began_at", InstantField(null=True)),
        ops.AddField("AuditEvent", "pepper_key_id", fields.CharField(max_length=32, null=True)),
    ]
