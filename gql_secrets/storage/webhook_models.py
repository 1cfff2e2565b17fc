"""The tables of webhooks and their deliveries."""

from datetime import datetime

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from gql_secrets.storage.fields import InstantField
from gql_secrets.storage.tables import Table


class Webhook(Model, metaclass=Table):
    """An endpoint that events are delivered to, and the state of its deliveries.

    The signing secret is derived from the pepper key `pepper_key_id`, the id, `nonce` and `version`; nothing from which
    it follows is stored. Until `previous_until`, the version before, under `previous_key_id`, signs too.
    `last_revision` is the last change whose event has a delivery, if the webhook takes it.
    """

    id = fields.BigIntField(primary_key=True)
    url = fields.CharField(max_length=2000)
    description = fields.CharField(max_length=200, null=True)
    events = fields.CharField(max_length=400)
    enabled = fields.BooleanField(default=True)
    paused_at: datetime | None = InstantField(null=True)
    failing_since: datetime | None = InstantField(null=True)
    nonce = fields.BinaryField()
    version = fields.IntField()
    pepper_key_id = fields.CharField(max_length=32)
    previous_key_id = fields.CharField(max_length=32, null=True)
    previous_until: datetime | None = InstantField(null=True)
    last_revision = fields.BigIntField()
    created_at: datetime = InstantField()

    class Meta:
        table = "webhook"


class WebhookDelivery(Model, metaclass=Table):
    """One event on its way to one webhook. Rows are deleted 30 days after they were written, unless still pending."""

    id = fields.BigIntField(primary_key=True)
    webhook_id: int = fields.BigIntField()
    event_id = fields.CharField(max_length=80)
    event_type = fields.CharField(max_length=40)
    client_id = fields.CharField(max_length=128, default="")
    payload = fields.TextField()
    state = fields.CharField(max_length=16)
    attempts = fields.IntField(default=0)
    next_attempt_at: datetime = InstantField()
    last_status: int | None = fields.IntField(null=True)
    last_error = fields.CharField(max_length=200, null=True)
    created_at: datetime = InstantField()
    delivered_at: datetime | None = InstantField(null=True)

    class Meta:
        table = "webhook_delivery"
        unique_together = (("webhook_id", "event_id"),)
        indexes = (Index(fields=("created_at",)), Index(fields=("webhook_id", "id")))


class WebhookLease(Model, metaclass=Table):
    """The one row (id 1) that says which node delivers, and until when."""

    id = fields.IntField(primary_key=True, generated=False)
    holder = fields.CharField(max_length=64)
    expires_at: datetime = InstantField()

    class Meta:
        table = "webhook_lease"
