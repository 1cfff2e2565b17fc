"""Sessions that begin at an identity provider."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.operations import WidenText


class Migration(migrations.Migration):
    """Add who the provider says the person is, its encrypted tokens, and when it was last asked for the role."""

    dependencies = [("models", "0010_client_lists")]

    operations = [
        WidenText("Session", "name", fields.CharField(max_length=200)),
        WidenText("AuditEvent", "person_name", fields.CharField(max_length=200, null=True)),
        ops.AddField("Session", "issuer", fields.CharField(max_length=250, null=True)),
        ops.AddField("Session", "subject", fields.CharField(max_length=255, null=True)),
        ops.AddField("Session", "provider_session", fields.CharField(max_length=255, null=True)),
        ops.AddField("Session", "tokens", fields.BinaryField(null=True)),
        ops.AddField("Session", "tokens_key_id", fields.CharField(max_length=32, null=True)),
        ops.AddField("Session", "looked_at", InstantField(null=True, generated=False, unique=False)),
        ops.AddField("Session", "look_failed_at", InstantField(null=True, generated=False, unique=False)),
        ops.AddField("Session", "look_claimed_until", InstantField(null=True, generated=False, unique=False)),
        ops.AddField("Session", "state_digest", fields.BinaryField(null=True)),
        ops.RunSQL(
            "CREATE UNIQUE INDEX session_state_digest ON session (state_digest) WHERE state_digest IS NOT NULL",
            "DROP INDEX session_state_digest",
        ),
    ]
