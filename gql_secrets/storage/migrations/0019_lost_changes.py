"""What a database that went back in time has lost."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Add the changes that the journals of nodes have and the database lost, and which clients they make uncertain."""

    dependencies = [("models", "0018_provider_log_outs")]

    operations = [
        ops.AddField("Installation", "uncertain_clients", fields.CharField(max_length=8, db_default="NONE")),
        ops.CreateModel(
            name="LostChange",
            fields=[
                ("hash", fields.CharField(max_length=64, primary_key=True, unique=True, db_index=True)),
                ("revision", fields.BigIntField()),
                ("client_id", fields.CharField(max_length=128, null=True, db_index=True)),
                ("content", fields.TextField()),
                ("accepted", fields.BooleanField(db_default=False)),
            ],
            options={"table": "lost_change", "app": "models", "pk_attr": "hash"},
            bases=["Model"],
        ),
    ]
