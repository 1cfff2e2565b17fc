"""A column for the event that accepts an edited audit log."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Add the digest of what was accepted."""

    dependencies = [("models", "0006_audit_facts")]

    operations = [ops.AddField("AuditEvent", "accepted", fields.CharField(max_length=64, null=True))]
