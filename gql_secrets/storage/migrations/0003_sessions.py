"""People's sign-in links and sessions, and the indexes behind events of uses."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.operations import RunOnSqlite


class Migration(migrations.Migration):
    """Sign-in links and sessions; two indexes for the question "which secret was used since?"."""

    dependencies = [("models", "0002_usage")]

    operations = [
        ops.CreateModel(
            name="SignInLink",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("digest", fields.BinaryField()),
                ("name", fields.CharField(max_length=100)),
                ("role", fields.CharField(max_length=16)),
                ("created_at", InstantField(generated=False, null=False, unique=False)),
                ("expires_at", InstantField(generated=False, null=False, unique=False)),
                ("spent_at", InstantField(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "sign_in_link",
                "app": "models",
                "indexes": [Index(fields=["expires_at"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Session",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("digest", fields.BinaryField()),
                ("name", fields.CharField(max_length=100)),
                ("role", fields.CharField(max_length=16)),
                ("created_at", InstantField(generated=False, null=False, unique=False)),
                ("last_seen_at", InstantField(generated=False, null=False, unique=False)),
                ("ended_at", InstantField(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "session",
                "app": "models",
                "indexes": [Index(fields=["created_at"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.AddConstraint(
            "SignInLink", CheckConstraint(name="sign_in_link_role", check="role IN ('ADMIN', 'OPERATOR', 'VIEWER')")
        ),
        ops.AddConstraint(
            "Session", CheckConstraint(name="session_role", check="role IN ('ADMIN', 'OPERATOR', 'VIEWER')")
        ),
        # Adding a check rebuilt SQLite's tables, which dropped the indexes that they were created with.
        RunOnSqlite(
            "CREATE INDEX idx_sign_in_lin_expires_8f49fc ON sign_in_link (expires_at)",
            "DROP INDEX idx_sign_in_lin_expires_8f49fc",
        ),
        RunOnSqlite(
            "CREATE INDEX idx_session_created_493c4e ON session (created_at)", "DROP INDEX idx_session_created_493c4e"
        ),
        ops.RunSQL(
            "CREATE UNIQUE INDEX sign_in_link_digest ON sign_in_link (digest)", "DROP INDEX sign_in_link_digest"
        ),
        ops.RunSQL("CREATE UNIQUE INDEX session_digest ON session (digest)", "DROP INDEX session_digest"),
        ops.RunSQL(
            "CREATE INDEX client_secret_first_used ON client_secret (first_used_at) WHERE first_used_at IS NOT NULL",
            "DROP INDEX client_secret_first_used",
        ),
        ops.RunSQL(
            "CREATE INDEX client_secret_last_refused ON client_secret (last_refused_at) "
            "WHERE last_refused_at IS NOT NULL",
            "DROP INDEX client_secret_last_refused",
        ),
    ]
