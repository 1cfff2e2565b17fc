"""Audit events in format 2: one column for each fact, and a row for each secret that ended."""

from tortoise import fields, migrations
from tortoise.fields import OnDelete
from tortoise.migrations import operations as ops

from gql_secrets.storage.operations import RaiseOldestSchema


class Migration(migrations.Migration):
    """Add what format 2 needs; events of format 1 stay as they were written, since their hashes cover them."""

    dependencies = [("models", "0005_schema_version")]

    operations = [
        RaiseOldestSchema(6),  # a program that knows format 1 alone would report every event of format 2 as edited
        ops.AddField("AuditEvent", "format", fields.IntField(db_default=1)),
        ops.AddField("AuditEvent", "edited_fields", fields.CharField(max_length=200, null=True)),
        ops.AddField("AuditEvent", "clamped", fields.BooleanField(db_default=False)),
        ops.AddField("AuditEvent", "weak_secret", fields.BooleanField(db_default=False)),
        ops.CreateModel(
            name="AuditEndedSecret",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "event",
                    fields.ForeignKeyField(
                        "models.AuditEvent",
                        source_field="event_id",
                        db_constraint=True,
                        to_field="revision",
                        related_name="ended_secrets",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("secret_id", fields.BigIntField()),
                ("reason", fields.CharField(max_length=16)),
                ("state_before", fields.CharField(max_length=8)),
            ],
            options={
                "table": "audit_ended_secret",
                "app": "models",
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.RunSQL(
            "CREATE UNIQUE INDEX audit_ended_secret_once ON audit_ended_secret (event_id, secret_id)",
            "DROP INDEX audit_ended_secret_once",
        ),
    ]
