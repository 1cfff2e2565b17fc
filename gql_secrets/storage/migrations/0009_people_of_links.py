"""People by the number of their sign-in link, with their names, and who created a link."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.operations import RaiseOldestSchema


class Migration(migrations.Migration):
    """Add the names of creators, the facts of events about people, and the makers of links and sessions."""

    dependencies = [("models", "0008_people_of_identity_providers")]

    operations = [
        RaiseOldestSchema(9),  # an older program would report events with these columns as edited
        ops.AddField("ClientSecret", "created_by_name", fields.CharField(max_length=200, null=True)),
        ops.AddField("AuditEvent", "link_number", fields.BigIntField(null=True)),
        ops.AddField("AuditEvent", "session_number", fields.BigIntField(null=True)),
        ops.AddField("AuditEvent", "person_name", fields.CharField(max_length=100, null=True)),
        ops.AddField("AuditEvent", "person_role", fields.CharField(max_length=16, null=True)),
        ops.AddField("AuditEvent", "session_end_reason", fields.CharField(max_length=16, null=True)),
        ops.AddField("SignInLink", "voided_at", InstantField(null=True, generated=False, unique=False)),
        ops.AddField("SignInLink", "created_by", fields.CharField(max_length=512, null=True)),
        ops.AddField("SignInLink", "created_by_name", fields.CharField(max_length=200, null=True)),
        ops.AddField("SignInLink", "maker_secret_id", fields.BigIntField(null=True)),
        ops.AddField("SignInLink", "maker_session_id", fields.BigIntField(null=True)),
        ops.AddField("Session", "link_number", fields.BigIntField(null=True)),
        ops.AddField("Session", "address", fields.CharField(max_length=64, null=True)),
        ops.AddField("Session", "maker_secret_id", fields.BigIntField(null=True)),
        ops.AddField("Session", "maker_session_id", fields.BigIntField(null=True)),
        *(
            ops.RunSQL(
                f"CREATE INDEX {table}_{maker} ON {table} ({maker}_id) WHERE {maker}_id IS NOT NULL",
                f"DROP INDEX {table}_{maker}",
            )
            for table in ("sign_in_link", "session")
            for maker in ("maker_secret", "maker_session")
        ),
    ]
