"""The delivering node: turns changes into deliveries, and sends those that are due.

One node delivers at a time: the one that holds the lease. What it has sent and not yet recorded when it is killed is
sent again by the next holder under the same event id, so an event arrives at least once. Events of one client arrive in
order: an event waits until the one before it was delivered or has failed for good.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.webhooks import (
    MAX_FAILING,
    DeliveryState,
    WebhookEventType,
    event_type_of,
    next_attempt_at,
    sign,
)
from gql_secrets.service.audit_events import entry_of
from gql_secrets.service.queries import Queries
from gql_secrets.service.webhooks.management import signing_keys
from gql_secrets.service.webhooks.occasions import Occasions
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import AuditEvent
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.webhook_models import Webhook, WebhookDelivery

_log: Final = logging.getLogger(__name__)
LEASE: Final = timedelta(seconds=30)
KEPT: Final = timedelta(days=30)
_SECONDS_BUSY: Final = 1.0
_SECONDS_IDLE: Final = 5.0
_LOOK_AT_OCCASIONS: Final = timedelta(seconds=15)
_BATCH: Final = 200
_AT_A_TIME: Final = 20
_AT_A_TIME_EACH: Final = 4
_MAX_ERROR: Final = 200
_GONE: Final = 410
# The oldest pending delivery of each client, of webhooks that are enabled and not paused; a few of each webhook.
_DUE: Final = """
    SELECT due.id FROM (
        SELECT d.id, row_number() OVER (PARTITION BY d.webhook_id ORDER BY d.id) AS place
        FROM webhook_delivery d JOIN webhook w ON w.id = d.webhook_id
        WHERE d.state = 'PENDING' AND d.next_attempt_at <= ? AND w.enabled AND w.paused_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM webhook_delivery e
            WHERE e.webhook_id = d.webhook_id AND e.client_id = d.client_id AND e.state = 'PENDING' AND e.id < d.id
        )
    ) due WHERE due.place <= ? ORDER BY due.id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered: its HTTP status, or why there was none."""

    status: int | None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the endpoint accepted the event."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  the class of a status


Send = Callable[[str, dict[str, str], bytes], Awaitable[Answer]]
"""Sends a body with headers to a URL; returns an answer in any case."""


class Courier:
    """Delivers events to webhooks while this node holds the lease."""

    def __init__(self, database: Database, pepper: Pepper, queries: Queries, occasions: Occasions, send: Send) -> None:
        """Deliver changes and occasions through `send`."""
        self._database = database
        self._occasions = occasions
        self._pepper = pepper
        self._queries = queries
        self._send = send
        self._holder = uuid.uuid4().hex
        self._holds_until: datetime | None = None
        self._looked_at: datetime | None = None

    async def run(self) -> float:
        """Deliver what is due; return the number of seconds until the next run."""
        webhooks = await self._database.read(lambda connection: Webhook.all().using_db(connection).order_by("id"))
        if not webhooks:
            return _SECONDS_IDLE
        now = await self._database.now()
        if not await self._hold_lease(now):
            return _SECONDS_IDLE
        for webhook in webhooks:
            await self._write_deliveries(webhook, now)
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < _LOOK_AT_OCCASIONS:
            self._looked_at = now
            for webhook in webhooks:
                await self._write_occasions(webhook, now)
        sent = await self._deliver(now)
        if not sent:
            await self._prune(now)
        return 0 if sent else _SECONDS_BUSY

    async def release(self) -> None:
        """Give the lease back, so that another node delivers without waiting for its end."""
        if self._holds_until is not None:
            self._holds_until = None
            statement = "UPDATE webhook_lease SET expires_at = 0 WHERE id = 1 AND holder = ?"
            await self._database.run_tx(lambda tx: tx.execute(statement, self._holder))

    async def _hold_lease(self, now: datetime) -> bool:
        """Take or extend the lease; return whether this node holds it for the time of one run."""
        if self._holds_until is not None and self._holds_until - now > LEASE / 2:
            return True
        statement = """
            UPDATE webhook_lease SET holder = ?, expires_at = ?
            WHERE id = 1 AND (holder = ? OR expires_at <= ?)
        """
        until = now + LEASE
        values = (self._holder, to_microseconds(until), self._holder, to_microseconds(now))
        taken = await self._database.run_tx(lambda tx: tx.execute(statement, *values))
        self._holds_until = until if taken else None
        return bool(taken)

    async def _write_deliveries(self, webhook: Webhook, now: datetime) -> None:
        """Write a delivery for each change since the last time that this webhook reports."""
        if not webhook.enabled:
            return
        changes = await self._database.read(
            lambda connection: (
                AuditEvent.filter(revision__gt=webhook.last_revision)
                .using_db(connection)
                .prefetch_related("ended_secrets")
                .order_by("revision")
                .limit(_BATCH)
            )
        )
        if not changes:
            return
        wanted = webhook.events.split(",")
        reported = [(event, kind) for event in changes if (kind := event_type_of(event.action)) and kind in wanted]
        clients = await self._clients_of(event.client_id for event, _ in reported if event.client_id)
        rows: list[dict[str, Any]] = [
            {
                "webhook_id": webhook.id,
                "event_id": f"evt_{event.revision}_{bytes(event.hash)[:8].hex()}",
                "event_type": kind.value,
                "client_id": event.client_id or "",
                "payload": json.dumps(
                    {"type": kind.value, "timestamp": rfc3339(event.at), "data": _data(event, clients)},
                    ensure_ascii=False,
                ),
                "state": DeliveryState.PENDING.value,
                "next_attempt_at": now,
                "created_at": now,
            }
            for event, kind in reported
        ]

        async def work(tx: Transaction) -> None:
            # Only if nobody wrote them in between: another holder, or an edit of the webhook.
            moved = await tx.execute(
                "UPDATE webhook SET last_revision = ? WHERE id = ? AND last_revision = ? AND enabled",
                changes[-1].revision,
                webhook.id,
                webhook.last_revision,
            )
            if moved:
                await tx.insert(WebhookDelivery, rows)

        await self._database.run_tx(work)

    async def _write_occasions(self, webhook: Webhook, now: datetime) -> None:
        """Write a delivery for each occasion that this webhook reports and has none for: it is unique by its id."""
        wanted = [WebhookEventType(text) for text in webhook.events.split(",")] if webhook.enabled else []
        found = [each for kind in wanted for each in await self._occasions.of(kind, webhook.id, now, _BATCH)]
        if not found:
            return
        clients = await self._clients_of([each.client_id for each in found])
        rows: list[dict[str, Any]] = [
            {
                "webhook_id": webhook.id,
                "event_id": each.event_id,
                "event_type": each.kind.value,
                "client_id": each.client_id,
                "payload": json.dumps(
                    {
                        "type": each.kind.value,
                        "timestamp": rfc3339(now),
                        "data": {"clientId": each.client_id, "client": clients.get(each.client_id), **each.facts},
                    },
                    ensure_ascii=False,
                ),
                "state": DeliveryState.PENDING.value,
                "next_attempt_at": now,
                "created_at": now,
            }
            for each in found
        ]

        async def work(tx: Transaction) -> None:
            # Under the webhook's lock, and only those that another holder has not written in between.
            await tx.lock_row("webhook", "id", webhook.id)
            marks = ", ".join("?" * len(rows))
            known = await tx.fetch(
                f"SELECT event_id FROM webhook_delivery WHERE webhook_id = ? AND event_id IN ({marks})",  # noqa: S608  marks
                [webhook.id, *(row["event_id"] for row in rows)],
            )
            written = {row["event_id"] for row in known}
            await tx.insert(WebhookDelivery, [row for row in rows if row["event_id"] not in written])

        await self._database.run_tx(work)

    async def _clients_of(self, client_ids: Iterable[str]) -> dict[str, dict[str, object]]:
        """Return the names, contacts and labels of these clients; none of one that was deleted."""
        found = await self._queries.find_clients(set(client_ids))
        return {
            row.client_id: {"name": row.name, "contact": row.contact, "labels": list(row.labels)}
            for row in found.values()
        }

    async def _deliver(self, now: datetime) -> int:
        """Attempt the deliveries that are due; return how many there were."""
        rows = await self._database.fetch_rows(_DUE, (to_microseconds(now), _AT_A_TIME_EACH, _AT_A_TIME))
        if not rows:
            return 0
        numbers = [number for (number,) in rows]
        deliveries = await self._database.read(
            lambda connection: WebhookDelivery.filter(id__in=numbers).using_db(connection).order_by("id")
        )
        by_id = {
            webhook.id: webhook
            for webhook in await self._database.read(lambda connection: Webhook.all().using_db(connection))
        }
        # A webhook that was deleted between the two reads has taken its deliveries with it.
        due = [(by_id[each.webhook_id], each) for each in deliveries if each.webhook_id in by_id]
        await asyncio.gather(*(self._attempt(webhook, delivery) for webhook, delivery in due))
        return len(due)

    async def _attempt(self, webhook: Webhook, delivery: WebhookDelivery) -> None:
        now = await self._database.now()
        keys = signing_keys(webhook, self._pepper, now)
        if keys:
            body = delivery.payload.encode()
            timestamp = int(now.timestamp())
            headers = {
                "content-type": "application/json",
                "webhook-id": delivery.event_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(keys, delivery.event_id, timestamp, body),
            }
            answer = await self._send(webhook.url, headers, body)
        else:
            answer = Answer(None, "The pepper lacks the key of the signing secret. Rotate the signing secret.")
        await self._record(webhook, delivery, answer)

    async def _record(self, webhook: Webhook, delivery: WebhookDelivery, answer: Answer) -> None:
        now = await self._database.now()
        attempts = delivery.attempts + 1
        error = None if answer.is_success else (answer.error or f"The endpoint answered {answer.status}.")[:_MAX_ERROR]
        again_at = None if answer.is_success else next_attempt_at(attempts, created_at=delivery.created_at, now=now)
        if answer.is_success:
            state = DeliveryState.DELIVERED
        else:
            state = DeliveryState.PENDING if again_at else DeliveryState.FAILED
        failing_since = webhook.failing_since or now
        is_paused = not answer.is_success and (answer.status == _GONE or now - failing_since >= MAX_FAILING)

        async def work(tx: Transaction) -> None:
            await tx.execute(
                "UPDATE webhook_delivery SET state = ?, attempts = ?, next_attempt_at = ?, last_status = ?, "
                "last_error = ?, delivered_at = ? WHERE id = ? AND state = 'PENDING' AND attempts = ?",
                state.value,
                attempts,
                to_microseconds(again_at or now),
                answer.status,
                error,
                to_microseconds(now) if answer.is_success else None,
                delivery.id,
                delivery.attempts,
            )
            if answer.is_success:
                await tx.execute("UPDATE webhook SET failing_since = NULL WHERE id = ?", webhook.id)
            else:
                await tx.execute(
                    "UPDATE webhook SET failing_since = COALESCE(failing_since, ?) WHERE id = ?",
                    to_microseconds(now),
                    webhook.id,
                )
            if is_paused:
                await tx.execute(
                    "UPDATE webhook SET paused_at = ? WHERE id = ? AND paused_at IS NULL",
                    to_microseconds(now),
                    webhook.id,
                )

        await self._database.run_tx(work)
        if is_paused:
            _log.warning("webhook_paused", extra={"webhook": webhook.id})

    async def _prune(self, now: datetime) -> None:
        old = await self._database.fetch_rows(
            "SELECT id FROM webhook_delivery WHERE created_at < ? AND state <> 'PENDING' ORDER BY created_at LIMIT ?",
            (to_microseconds(now - KEPT), _BATCH),
        )
        if old:
            marks = ", ".join("?" * len(old))
            statement = f"DELETE FROM webhook_delivery WHERE state <> 'PENDING' AND id IN ({marks})"  # noqa: S608  marks
            await self._database.run_tx(lambda tx: tx.execute(statement, *(number for (number,) in old)))


def _data(event: AuditEvent, clients: dict[str, dict[str, object]]) -> dict[str, object]:
    """Return the facts of an event; never a secret."""
    entry = entry_of(event)
    facts: dict[str, object] = {
        "clientId": event.client_id,
        "client": clients.get(event.client_id or ""),
        "revision": event.revision,
        "actor": event.actor,
        "actorName": event.actor_name,
        "reason": entry.reason,
        "hoursToLive": event.hours_to_live,
        "oldSecretExpiresAt": rfc3339(event.expires_at) if event.expires_at else None,
        "editedFields": list(entry.edited_fields),
        "endedSecrets": [ended.reason for ended in entry.ended],
    }
    return facts
