"""The first tables."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.operations import RunOnPostgres, RunOnSqlite


class Migration(migrations.Migration):
    """Clients, their secrets, the audit, and what idempotency, the pepper and the revision need."""

    initial = True

    operations = [
        ops.CreateModel(
            name="AuditEvent",
            fields=[
                ("revision", fields.BigIntField(primary_key=True, generated=False, unique=True, db_index=True)),
                ("at", InstantField(generated=False, null=False, unique=False)),
                ("action", fields.CharField(max_length=32)),
                ("actor", fields.CharField(max_length=255)),
                ("actor_kind", fields.CharField(max_length=16)),
                ("surface", fields.CharField(max_length=16)),
                ("request_id", fields.CharField(null=True, max_length=64)),
                ("address", fields.CharField(null=True, max_length=64)),
                ("client_id", fields.CharField(null=True, max_length=128)),
                ("generation_before", fields.BigIntField(null=True)),
                ("generation_after", fields.BigIntField(null=True)),
                ("secret_id", fields.BigIntField(null=True)),
                ("ended_secret_ids", fields.CharField(default="", max_length=64)),
                ("hours_to_live", fields.IntField(null=True)),
                ("expires_at", InstantField(null=True, generated=False, unique=False)),
                ("reason", fields.TextField(null=True, unique=False)),
                ("hash", fields.BinaryField()),
            ],
            options={
                "table": "audit_event",
                "app": "models",
                "indexes": [
                    Index(fields=["client_id", "revision"]),
                    Index(fields=["actor", "revision"]),
                    Index(fields=["action", "revision"]),
                    Index(fields=["surface", "revision"]),
                    Index(fields=["at"]),
                ],
                "pk_attr": "revision",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Client",
            fields=[
                ("client_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=128)),
                ("client_id_folded", fields.CharField(max_length=200)),
                ("name", fields.CharField(max_length=200)),
                ("name_folded", fields.CharField(max_length=200)),
                ("description", fields.TextField(null=True, unique=False)),
                ("enabled", fields.BooleanField(default=True)),
                ("is_restricted", fields.BooleanField(default=False)),
                ("generation", fields.BigIntField(default=0)),
                ("created_at", InstantField(generated=False, null=False, unique=False)),
                ("deleted_at", InstantField(null=True, generated=False, unique=False)),
            ],
            options={"table": "client", "app": "models", "pk_attr": "client_id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ClientFeature",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "client",
                    fields.ForeignKeyField(
                        "models.Client",
                        source_field="client_id",
                        db_constraint=True,
                        to_field="client_id",
                        related_name="features",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("feature", fields.CharField(db_index=True, max_length=32)),
            ],
            options={
                "table": "client_feature",
                "app": "models",
                "unique_together": (("client_id", "feature"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ClientNetwork",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "client",
                    fields.ForeignKeyField(
                        "models.Client",
                        source_field="client_id",
                        db_constraint=True,
                        to_field="client_id",
                        related_name="networks",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("position", fields.IntField()),
                ("network", fields.CharField(max_length=64)),
            ],
            options={
                "table": "client_network",
                "app": "models",
                "unique_together": (("client_id", "position"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ClientSecret",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "client",
                    fields.ForeignKeyField(
                        "models.Client",
                        source_field="client_id",
                        db_constraint=True,
                        to_field="client_id",
                        related_name="secrets",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("digest", fields.BinaryField()),
                ("pepper_key_id", fields.CharField(max_length=32)),
                ("hint", fields.CharField(max_length=4)),
                ("is_weak", fields.BooleanField(default=False)),
                ("state", fields.CharField(max_length=8)),
                ("created_at", InstantField(generated=False, null=False, unique=False)),
                ("created_by", fields.CharField(max_length=255)),
                ("replaced_at", InstantField(null=True, generated=False, unique=False)),
                ("expires_at", InstantField(null=True, generated=False, unique=False)),
                ("ended_at", InstantField(null=True, generated=False, unique=False)),
                ("end_reason", fields.CharField(null=True, max_length=16)),
                ("first_used_at", InstantField(null=True, generated=False, unique=False)),
                ("last_used_at", InstantField(null=True, generated=False, unique=False)),
                ("use_count", fields.BigIntField(default=0)),
                ("refused_attempts", fields.BigIntField(default=0)),
                ("last_refused_at", InstantField(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "client_secret",
                "app": "models",
                "indexes": [Index(fields=["client_id", "id"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="IdempotentReset",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("actor", fields.CharField(max_length=255)),
                ("key_hash", fields.BinaryField()),
                ("arguments_hash", fields.BinaryField()),
                ("nonce", fields.BinaryField()),
                ("pepper_key_id", fields.CharField(max_length=32)),
                (
                    "secret",
                    fields.ForeignKeyField(
                        "models.ClientSecret",
                        source_field="secret_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="idempotent_resets",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("created_at", InstantField(db_index=True, generated=False, null=False, unique=False)),
            ],
            options={
                "table": "idempotent_reset",
                "app": "models",
                "unique_together": (("actor", "key_hash"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Installation",
            fields=[
                ("id", fields.IntField(primary_key=True, generated=False, unique=True, db_index=True)),
                ("revision", fields.BigIntField()),
                ("audit_head", fields.BinaryField()),
                ("audit_mac", fields.BinaryField()),
                ("audit_key_id", fields.CharField(max_length=32)),
                ("created_at", InstantField(generated=False, null=False, unique=False)),
            ],
            options={"table": "installation", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PepperFingerprint",
            fields=[
                ("key_id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ("fingerprint", fields.BinaryField()),
                ("created_at", InstantField(generated=False, null=False, unique=False)),
            ],
            options={"table": "pepper_fingerprint", "app": "models", "pk_attr": "key_id"},
            bases=["Model"],
        ),
        ops.AddConstraint(
            "ClientSecret",
            CheckConstraint(name="client_secret_state", check="state IN ('CURRENT', 'RETAINED', 'EXPIRED', 'REVOKED')"),
        ),
        ops.AddConstraint(
            "ClientSecret",
            CheckConstraint(
                name="client_secret_ended",
                check="(state IN ('EXPIRED', 'REVOKED')) = (ended_at IS NOT NULL AND end_reason IS NOT NULL)",
            ),
        ),
        ops.AddConstraint(
            "ClientSecret",
            CheckConstraint(
                name="client_secret_expired", check="(state = 'EXPIRED') = (coalesce(end_reason, '') = 'EXPIRED')"
            ),
        ),
        ops.AddConstraint(
            "ClientSecret",
            CheckConstraint(
                name="client_secret_current", check="state <> 'CURRENT' OR (replaced_at IS NULL AND expires_at IS NULL)"
            ),
        ),
        ops.AddConstraint(
            "ClientSecret",
            CheckConstraint(
                name="client_secret_retained",
                check="state <> 'RETAINED' OR (replaced_at IS NOT NULL AND expires_at IS NOT NULL)",
            ),
        ),
        ops.AddConstraint(
            "ClientSecret",
            CheckConstraint(name="client_secret_seven_days", check="expires_at <= replaced_at + 604800000000"),
        ),
        ops.AddConstraint(
            "ClientSecret", CheckConstraint(name="client_secret_digest_length", check="length(digest) = 32")
        ),
        ops.AddConstraint("Installation", CheckConstraint(name="installation_one_row", check="id = 1")),
        ops.RunSQL(
            "CREATE UNIQUE INDEX client_secret_one_current ON client_secret (client_id) WHERE state = 'CURRENT'"
        ),
        ops.RunSQL(
            "CREATE UNIQUE INDEX client_secret_one_retained ON client_secret (client_id) WHERE state = 'RETAINED'"
        ),
        # Adding a check rebuilt SQLite's table, which dropped the index that it was created with.
        RunOnSqlite("CREATE INDEX idx_client_secr_client__7e18ad ON client_secret (client_id, id)"),
        ops.RunSQL("CREATE UNIQUE INDEX client_secret_digest ON client_secret (digest)"),
        ops.RunSQL("CREATE INDEX client_secret_due ON client_secret (expires_at) WHERE state = 'RETAINED'"),
        ops.RunSQL("CREATE INDEX client_newest ON client (created_at, client_id) WHERE deleted_at IS NULL"),
        # A prefix is a range of code points; PostgreSQL orders text by language by default.
        RunOnPostgres(
            'ALTER TABLE client ALTER COLUMN name_folded TYPE varchar(200) COLLATE "C", '
            'ALTER COLUMN client_id_folded TYPE varchar(200) COLLATE "C"'
        ),
        ops.RunSQL("CREATE INDEX client_name_prefix ON client (name_folded) WHERE deleted_at IS NULL"),
        ops.RunSQL("CREATE INDEX client_id_prefix ON client (client_id_folded) WHERE deleted_at IS NULL"),
    ]
