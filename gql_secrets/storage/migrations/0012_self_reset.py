"""Clients that reset their own secrets, and the nonces of such resets."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Add the right of a client to reset itself, and the mark of resets whose nonces are kept until they are used."""

    dependencies = [("models", "0011_sessions_of_identity_providers")]

    operations = [
        ops.AddField("Client", "self_reset", fields.BooleanField(db_default=False)),
        ops.AddField("IdempotentReset", "is_self_reset", fields.BooleanField(db_default=False)),
    ]
