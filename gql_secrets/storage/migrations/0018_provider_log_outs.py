"""The log-outs that identity providers sent a while ago."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from gql_secrets.storage.fields import InstantField


class Migration(migrations.Migration):
    """Add log-outs, so that one that comes while somebody signs in is not lost."""

    dependencies = [("models", "0017_pepper_keys_of_nodes")]

    operations = [
        ops.CreateModel(
            name="ProviderLogOut",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("issuer", fields.CharField(max_length=250)),
                ("subject", fields.CharField(max_length=255, null=True)),
                ("provider_session", fields.CharField(max_length=255, null=True)),
                ("received_at", InstantField(generated=False, unique=False)),
            ],
            options={"table": "provider_log_out", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
