"""Which node moves old audit events to the archive."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField


class Migration(migrations.Migration):
    """Add the lease of the node that archives the audit log, and when it last failed."""

    dependencies = [("models", "0020_pepper_migration")]

    operations = [
        ops.CreateModel(
            name="AuditArchiveState",
            fields=[
                ("id", fields.IntField(primary_key=True, generated=False, unique=True, db_index=True)),
                ("holder", fields.CharField(max_length=64)),
                ("expires_at", InstantField(generated=False, unique=False)),
                ("failed_at", InstantField(null=True, generated=False, unique=False)),
            ],
            options={"table": "audit_archive", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.RunSQL("INSERT INTO audit_archive (id, holder, expires_at) VALUES (1, '', 0)", "DELETE FROM audit_archive"),
    ]
