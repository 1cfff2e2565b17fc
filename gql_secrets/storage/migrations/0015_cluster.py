"""The nodes that run on one PostgreSQL database."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField


class Migration(migrations.Migration):
    """Add the members of the cluster, and the server on which their leases were given.

    An older program goes on working: it reads the database for each verification, and needs no lease.
    """

    dependencies = [("models", "0014_webhooks")]

    operations = [
        ops.CreateModel(
            name="Cluster",
            fields=[
                ("id", fields.IntField(primary_key=True, generated=False, unique=True, db_index=True)),
                ("server", fields.CharField(max_length=100)),
            ],
            options={"table": "cluster", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ClusterMember",
            fields=[
                ("id", fields.CharField(max_length=32, primary_key=True, unique=True, db_index=True)),
                ("version", fields.CharField(max_length=40)),
                ("serves_from", fields.CharField(max_length=16)),
                ("started_at", InstantField(generated=False, unique=False)),
                ("last_seen_at", InstantField(generated=False, unique=False)),
                ("applied_revision", fields.BigIntField()),
                ("poll", fields.BigIntField()),
            ],
            options={"table": "cluster_member", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.RunSQL("INSERT INTO cluster (id, server) VALUES (1, '')", "DELETE FROM cluster"),
    ]
