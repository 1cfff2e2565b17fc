"""Whom to call about a client, its labels, and how old its secret may become."""

from tortoise import fields, migrations
from tortoise.fields import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Add the contact, the maximum age and the labels of clients, with the indexes of their filters."""

    dependencies = [("models", "0012_self_reset")]

    operations = [
        ops.AddField("Client", "contact", fields.CharField(max_length=200, null=True)),
        ops.AddField("Client", "maximum_age_days", fields.IntField(null=True)),
        ops.CreateModel(
            name="ClientLabel",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "client",
                    fields.ForeignKeyField(
                        "models.Client",
                        source_field="client_id",
                        db_constraint=True,
                        to_field="client_id",
                        related_name="labels",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("key", fields.CharField(max_length=63)),
                ("value", fields.CharField(max_length=63)),
            ],
            options={
                "table": "client_label",
                "app": "models",
                "unique_together": (("client_id", "key"),),
                "indexes": [Index(fields=["key", "value"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.RunSQL(
            "CREATE INDEX client_own_age ON client (client_id) "
            "WHERE deleted_at IS NULL AND maximum_age_days IS NOT NULL",
            "DROP INDEX client_own_age",
        ),
        ops.RunSQL(
            "CREATE INDEX client_by_contact ON client (contact, client_id) "
            "WHERE deleted_at IS NULL AND contact IS NOT NULL",
            "DROP INDEX client_by_contact",
        ),
    ]
