"""Webhooks, their deliveries, and the lease of the node that delivers."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.operations import RaiseOldestSchema


class Migration(migrations.Migration):
    """Add webhooks, and the number of the webhook to audit events."""

    dependencies = [("models", "0013_details")]

    operations = [
        RaiseOldestSchema(14),  # an older program would report events with this column as edited
        ops.AddField("AuditEvent", "webhook_number", fields.BigIntField(null=True)),
        ops.CreateModel(
            name="Webhook",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("url", fields.CharField(max_length=2000)),
                ("description", fields.CharField(max_length=200, null=True)),
                ("events", fields.CharField(max_length=400)),
                ("enabled", fields.BooleanField(default=True)),
                ("paused_at", InstantField(null=True, generated=False, unique=False)),
                ("failing_since", InstantField(null=True, generated=False, unique=False)),
                ("nonce", fields.BinaryField()),
                ("version", fields.IntField()),
                ("pepper_key_id", fields.CharField(max_length=32)),
                ("previous_key_id", fields.CharField(max_length=32, null=True)),
                ("previous_until", InstantField(null=True, generated=False, unique=False)),
                ("last_revision", fields.BigIntField()),
                ("created_at", InstantField(generated=False, unique=False)),
            ],
            options={"table": "webhook", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("webhook_id", fields.BigIntField()),
                ("event_id", fields.CharField(max_length=80)),
                ("event_type", fields.CharField(max_length=40)),
                ("client_id", fields.CharField(max_length=128, default="")),
                ("payload", fields.TextField(unique=False)),
                ("state", fields.CharField(max_length=16)),
                ("attempts", fields.IntField(default=0)),
                ("next_attempt_at", InstantField(generated=False, unique=False)),
                ("last_status", fields.IntField(null=True)),
                ("last_error", fields.CharField(max_length=200, null=True)),
                ("created_at", InstantField(generated=False, unique=False)),
                ("delivered_at", InstantField(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "webhook_delivery",
                "app": "models",
                "unique_together": (("webhook_id", "event_id"),),
                "indexes": [Index(fields=["created_at"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="WebhookLease",
            fields=[
                ("id", fields.IntField(primary_key=True, generated=False, unique=True, db_index=True)),
                ("holder", fields.CharField(max_length=64)),
                ("expires_at", InstantField(generated=False, unique=False)),
            ],
            options={"table": "webhook_lease", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.RunSQL("INSERT INTO webhook_lease (id, holder, expires_at) VALUES (1, '', 0)"),
        ops.RunSQL(
            "CREATE INDEX webhook_delivery_pending ON webhook_delivery (webhook_id, client_id, id) "
            "WHERE state = 'PENDING'",
            "DROP INDEX webhook_delivery_pending",
        ),
    ]
