"""Indexes for what is asked after years."""

from tortoise import migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Let the events of a client or an actor with one action be found, and the newest deliveries of a webhook."""

    dependencies = [("models", "0021_audit_archive")]

    operations = [
        ops.AddIndex("AuditEvent", Index(fields=["client_id", "action", "revision"])),
        ops.AddIndex("AuditEvent", Index(fields=["actor", "action", "revision"])),
        ops.AddIndex("WebhookDelivery", Index(fields=["webhook_id", "id"])),
    ]
