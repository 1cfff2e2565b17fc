"""The changes of webhooks: create, edit, delete, rotate the signing secret, and deliver again."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gql_secrets.domain.access import Caller, require_current_admin
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.webhooks import (
    MAX_WEBHOOKS,
    SIGNING_ROLLOVER,
    TEST_EVENT,
    DeliveryState,
    InvalidWebhook,
    WebhookEventType,
    WebhookNotFound,
    derive_signing_key,
    parse_event_types,
    parse_webhook_description,
    parse_webhook_url,
    written_signing_secret,
)
from gql_secrets.service.changes import Change, Changes
from gql_secrets.storage.webhook_models import Webhook, WebhookDelivery

_NONCE_BYTES: Final = 32
MAX_DELIVERIES: Final = 50


@dataclass(frozen=True, slots=True)
class NewSigningSecret:
    """A webhook with its new signing secret, the only copy of it."""

    webhook: Webhook
    secret: str

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"NewSigningSecret(webhook={self.webhook.id})"


class Webhooks:
    """Reads and changes webhooks. Only for ADMIN: a URL can hold a token."""

    def __init__(self, changes: Changes, *, allows_http: bool) -> None:
        """Change webhooks through `changes`; http URLs are possible where networks of your own are allowed."""
        self._changes = changes
        self._allows_http = allows_http

    async def all(self) -> list[Webhook]:
        """Return all webhooks, the oldest first."""
        return await self._changes.database.read(lambda connection: Webhook.all().using_db(connection).order_by("id"))

    async def newest_deliveries(self, number: int) -> list[WebhookDelivery]:
        """Return the newest 50 deliveries of a webhook, the newest first."""
        return await self._changes.database.read(
            lambda connection: (
                WebhookDelivery.filter(webhook_id=number).using_db(connection).order_by("-id").limit(MAX_DELIVERIES)
            )
        )

    async def create(
        self, url: str, events: Iterable[WebhookEventType], *, by: Caller, description: str | None = None
    ) -> NewSigningSecret:
        """Create a webhook and its signing secret, which is returned only here.

        Raises:
            Refusal: INVALID_WEBHOOK.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """
        require_current_admin(by)
        endpoint = parse_webhook_url(url, allows_http=self._allows_http)
        types, text = parse_event_types(events), parse_webhook_description(description)

        async def work(change: Change) -> NewSigningSecret:
            require_current_admin(change.caller)
            if await Webhook.all().using_db(change.connection).count() >= MAX_WEBHOOKS:
                raise InvalidWebhook(f"There are {MAX_WEBHOOKS} webhooks already. Delete one first.")
            row = await Webhook.create(
                using_db=change.connection,
                url=endpoint,
                description=text,
                events=",".join(types),
                nonce=secrets.token_bytes(_NONCE_BYTES),
                version=1,
                pepper_key_id=change.pepper.first.key_id,
                last_revision=change.installation.revision + 1,
                created_at=change.now,
            )
            await change.record(AuditAction.WEBHOOK_CREATED, webhook_number=row.id)
            return NewSigningSecret(row, written_signing_secret(_first_key(change, row)))

        return await self._changes.change_installation(by, work)

    async def update(
        self,
        number: int,
        *,
        by: Caller,
        url: str | None = None,
        events: Iterable[WebhookEventType] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Edit what is given. Enabling a webhook, also one that is enabled and paused, resumes its deliveries.

        Raises:
            Refusal: INVALID_WEBHOOK or WEBHOOK_NOT_FOUND.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """
        require_current_admin(by)
        values = {
            "url": None if url is None else parse_webhook_url(url, allows_http=self._allows_http),
            "events": None if events is None else ",".join(parse_event_types(events)),
            "description": parse_webhook_description(description),
            "enabled": enabled,
        }
        given = {"url": url, "events": events, "description": description, "enabled": enabled}
        values = {name: value for name, value in values.items() if given[name] is not None}

        async def work(change: Change) -> Webhook:
            require_current_admin(change.caller)
            row = await _find(change, number)
            edited = [name for name, value in values.items() if getattr(row, name) != value]
            resumes = enabled is True and (not row.enabled or row.paused_at is not None)
            if not edited and not resumes:
                return row
            if resumes:
                await _resume(change, row)
            for name, value in values.items():
                setattr(row, name, value)
            await row.save(using_db=change.connection)
            await change.record(AuditAction.WEBHOOK_UPDATED, webhook_number=number, edited_fields=edited or ["enabled"])
            return row

        return await self._changes.change_installation(by, work)

    async def delete(self, number: int, *, by: Caller) -> None:
        """Delete a webhook with its deliveries.

        Raises:
            Refusal: WEBHOOK_NOT_FOUND.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """
        require_current_admin(by)

        async def work(change: Change) -> None:
            require_current_admin(change.caller)
            row = await _find(change, number)
            await WebhookDelivery.filter(webhook_id=number).using_db(change.connection).delete()
            await row.delete(using_db=change.connection)
            await change.record(AuditAction.WEBHOOK_DELETED, webhook_number=number)

        await self._changes.change_installation(by, work)

    async def rotate_secret(self, number: int, *, by: Caller) -> NewSigningSecret:
        """Create a new signing secret; for 24 hours, the previous one signs too.

        Raises:
            Refusal: WEBHOOK_NOT_FOUND.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """
        require_current_admin(by)

        async def work(change: Change) -> NewSigningSecret:
            require_current_admin(change.caller)
            row = await _find(change, number)
            row.version += 1
            row.previous_key_id, row.pepper_key_id = row.pepper_key_id, change.pepper.first.key_id
            row.previous_until = change.now + SIGNING_ROLLOVER
            await row.save(using_db=change.connection)
            await change.record(AuditAction.WEBHOOK_SECRET_ROTATED, webhook_number=number)
            return NewSigningSecret(row, written_signing_secret(_first_key(change, row)))

        return await self._changes.change_installation(by, work)

    async def send_test(self, number: int, *, by: Caller) -> WebhookDelivery:
        """Write a test event, which is delivered like any other.

        Raises:
            Refusal: WEBHOOK_NOT_FOUND.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """
        require_current_admin(by)

        async def work(change: Change) -> WebhookDelivery:
            require_current_admin(change.caller)
            row = await _find(change, number)
            event_id = f"test_{secrets.token_hex(16)}"
            payload = {"type": TEST_EVENT, "timestamp": rfc3339(change.now), "data": {"webhookNumber": row.id}}
            return await WebhookDelivery.create(
                using_db=change.connection,
                webhook_id=row.id,
                event_id=event_id,
                event_type=TEST_EVENT,
                payload=json.dumps(payload),
                state=DeliveryState.PENDING.value,
                next_attempt_at=change.now,
                created_at=change.now,
            )

        return await self._changes.change_installation(by, work)

    async def redeliver(self, delivery_number: int, *, by: Caller) -> WebhookDelivery:
        """Deliver an event once more, under the same event id.

        Raises:
            Refusal: WEBHOOK_NOT_FOUND.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """
        require_current_admin(by)

        async def work(change: Change) -> WebhookDelivery:
            require_current_admin(change.caller)
            row = await WebhookDelivery.get_or_none(id=delivery_number, using_db=change.connection)
            if row is None:
                raise WebhookNotFound("delivery_id")
            row.state, row.attempts = DeliveryState.PENDING.value, 0
            row.next_attempt_at = row.created_at = change.now
            await row.save(using_db=change.connection)
            return row

        return await self._changes.change_installation(by, work)


def signing_keys(webhook: Webhook, pepper: Pepper, now: datetime) -> list[bytes]:
    """Return the keys that sign now, the newest first; without those whose pepper key is not in the ring."""
    wanted = [(webhook.pepper_key_id, webhook.version)]
    if webhook.previous_key_id and webhook.previous_until and now < webhook.previous_until:
        wanted.append((webhook.previous_key_id, webhook.version - 1))
    return [
        derive_signing_key(key.subkey("webhook"), webhook.id, bytes(webhook.nonce), version)
        for key_id, version in wanted
        if (key := pepper.key(key_id))
    ]


async def _find(change: Change, number: int) -> Webhook:
    row = await Webhook.get_or_none(id=number, using_db=change.connection)
    if row is None:
        raise WebhookNotFound
    return row


async def _resume(change: Change, row: Webhook) -> None:
    """Attempt what waits again. What happened while a webhook was disabled is not delivered."""
    if not row.enabled:
        row.last_revision = change.installation.revision + 1
    row.paused_at = row.failing_since = None
    waiting = WebhookDelivery.filter(webhook_id=row.id, state=DeliveryState.PENDING.value)
    await waiting.using_db(change.connection).update(attempts=0, next_attempt_at=change.now, created_at=change.now)


def _first_key(change: Change, row: Webhook) -> bytes:
    return signing_keys(row, change.pepper, change.now)[0]
