"""Room for the people of identity providers: longer actors, and their display names."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.operations import RaiseOldestSchema, WidenText


class Migration(migrations.Migration):
    """Widen the columns of actors, and add the display name to audit events."""

    dependencies = [("models", "0007_audit_accepted")]

    operations = [
        RaiseOldestSchema(8),  # the hash covers the display name: an older program would report the event as edited
        WidenText("ClientSecret", "created_by", fields.CharField(max_length=512)),
        WidenText("AuditEvent", "actor", fields.CharField(max_length=512)),
        WidenText("IdempotentReset", "actor", fields.CharField(max_length=512)),
        ops.AddField("AuditEvent", "actor_name", fields.CharField(max_length=200, null=True)),
    ]
