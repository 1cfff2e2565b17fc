"""What webhooks report although it is not a change: of rollovers, of secrets that are due, and of stragglers.

Each occasion has an id that follows from its secret, or from its client and the hour, so it is reported once however
often it is looked at.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gql_secrets.domain.credentials import sha256_of_parts
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.domain.webhooks import WebhookEventType
from gql_secrets.service.usage.queries import UsageQueries
from gql_secrets.storage.allowed_uses import conditions_at
from gql_secrets.storage.client_conditions import Condition, Conditions
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(hours=24)
MAX_SHOWN_SOURCES: Final = 10
# Those that this webhook has no delivery of. A part of an event id and the number of the secret make the id.
_NEW: Final = """
    SELECT x.client_id, x.id, x.created_at, x.expires_at FROM {table} x WHERE {test} AND NOT EXISTS (
        SELECT 1 FROM webhook_delivery d WHERE d.webhook_id = ? AND d.event_id = ? || x.id
    ) ORDER BY x.id LIMIT ?
"""
# Attempts are counted for up to a minute before they are written, and looked for every 15 seconds.
_WRITTEN_WITHIN: Final = timedelta(minutes=5)
_STRAGGLERS: Final = """
    SELECT x.client_id, x.id, x.last_refused_at FROM client_secret x
    WHERE x.state IN ('EXPIRED', 'REVOKED') AND x.last_refused_at >= ? AND (x.last_refused_at > ? OR x.id > ?)
    AND EXISTS (SELECT 1 FROM client k WHERE k.client_id = x.client_id AND k.deleted_at IS NULL)
    ORDER BY x.last_refused_at, x.id LIMIT ?
"""
_STRAGGLERS_AT_A_TIME: Final = 1000


@dataclass(frozen=True, slots=True)
class Occasion:
    """An event that is not a change."""

    kind: WebhookEventType
    event_id: str
    client_id: str
    facts: dict[str, object]


class Occasions:
    """Finds the occasions that a webhook has no delivery of."""

    def __init__(
        self, database: Database, usage_queries: UsageQueries, quiet_time: timedelta, policy: RotationPolicy
    ) -> None:
        """Prepare it.

        Args:
            database: where to read.
            usage_queries: who uses a secret.
            quiet_time: how long an old secret must be unused before it is safe to revoke.
            policy: the maximum age of current secrets.
        """
        self._database = database
        self._usage_queries = usage_queries
        self._quiet_time = quiet_time
        self._policy = policy

    async def of(self, kind: WebhookEventType, webhook_number: int, now: datetime, limit: int) -> list[Occasion]:
        """Return at most `limit` occasions of this type; none for a type of change.

        Raises:
            Unavailable: the database does not answer.
        """
        match kind:
            case WebhookEventType.ROLLOVER_SAFE_TO_REVOKE:
                at = await self._conditions(now)
                rows = await self._new(at.safe_to_revoke(), "safe_", webhook_number, limit)
                return [Occasion(kind, f"safe_{row[1]}", row[0], _expiry(row)) for row in rows]
            case WebhookEventType.SECRET_DUE:
                at = await self._conditions(now)
                rows = await self._new(at.due_within(timedelta(0)), "due_", webhook_number, limit)
                return [Occasion(kind, f"due_{row[1]}", row[0], {"secretCreatedAt": _instant(row[2])}) for row in rows]
            case WebhookEventType.ROLLOVER_ENDING:
                at = await self._conditions(now)
                hour = await self._new(at.ending_soon(_HOUR), "ending_1h_", webhook_number, limit)
                day = await self._new(at.ending_soon(_DAY), "ending_24h_", webhook_number, limit)
                # A rollover shorter than a day has one warning immediately; one in its last hour has that one alone.
                last = {row[1] for row in hour} | {row[1] for row in day if _ends_within(row, now, _HOUR)}
                ending = [(1, row) for row in hour] + [(24, row) for row in day if row[1] not in last]
                return [await self._ending(kind, hours, row) for hours, row in ending]
            case WebhookEventType.STRAGGLER_REFUSED:
                return await self._stragglers(webhook_number, now, limit)
        return []

    async def _conditions(self, now: datetime) -> Conditions:
        return await conditions_at(self._database, now, self._quiet_time, self._policy)

    async def _stragglers(self, webhook_number: int, now: datetime, limit: int) -> list[Occasion]:
        """Return the clients of which a secret that has ended was tried in this hour, or at the end of the last one."""
        tried = await self._tried(webhook_number, now, limit)
        if not tried:
            return []
        uses = await self._usage_queries.uses_of([number for numbers in tried.values() for number in numbers])
        occasions = []
        for (event_id, client_id), numbers in tried.items():
            # By addresses alone: another user agent costs an attacker nothing.
            sources = {use.address for number in numbers for use in uses.get(number, []) if use.refused}
            occasions.append(Occasion(WebhookEventType.STRAGGLER_REFUSED, event_id, client_id, {"count": len(sources)}))
        return occasions

    async def _tried(self, webhook_number: int, now: datetime, limit: int) -> dict[tuple[str, str], list[int]]:
        """Return the secrets of at most `limit` stragglers that are not reported yet, by event id and client id."""
        tried: dict[tuple[str, str], list[int]] = {}
        since, last = to_microseconds(min(_hour_of(now), now - _WRITTEN_WITHIN)), 0
        while len(tried) < limit:
            values = (since, since, last, _STRAGGLERS_AT_A_TIME)
            rows = await self._database.fetch_rows(_STRAGGLERS, values)
            if not rows:
                break
            ids = [_straggler_id(client_id, from_microseconds(refused_at)) for client_id, _, refused_at in rows]
            reported = await self._reported(webhook_number, ids)
            for event_id, (client_id, secret_id, _) in zip(ids, rows, strict=True):
                if event_id not in reported:
                    tried.setdefault((event_id, client_id), []).append(secret_id)
            _, last, since = rows[-1]
        return dict(itertools.islice(tried.items(), limit))

    async def _reported(self, webhook_number: int, event_ids: Sequence[str]) -> set[str]:
        marks = ", ".join("?" * len(event_ids))
        statement = f"SELECT event_id FROM webhook_delivery WHERE webhook_id = ? AND event_id IN ({marks})"  # noqa: S608  marks
        return {event_id for (event_id,) in await self._database.fetch_rows(statement, (webhook_number, *event_ids))}

    async def _new(self, condition: Condition, prefix: str, webhook_number: int, limit: int) -> Sequence[Sequence[Any]]:
        statement = _NEW.format(table=condition.table, test=condition.test)
        return await self._database.fetch_rows(statement, (*condition.values, webhook_number, prefix, limit))

    async def _ending(self, kind: WebhookEventType, hours: int, row: Sequence[Any]) -> Occasion:
        client_id, number = row[0], row[1]
        uses = (await self._usage_queries.uses_of([number])).get(number, [])
        sources = [
            {"address": use.address, "userAgent": use.user_agent, "lastSeenAt": rfc3339(use.last_seen_at)}
            for use in uses
            if not use.refused
        ]
        facts = {**_expiry(row), "withinHours": hours, "sources": sources[:MAX_SHOWN_SOURCES], "count": len(sources)}
        return Occasion(kind, f"ending_{hours}h_{number}", client_id, facts)


def _expiry(row: Sequence[Any]) -> dict[str, object]:
    return {"oldSecretExpiresAt": _instant(row[3])}


def _straggler_id(client_id: str, refused_at: datetime) -> str:
    return f"straggler_{sha256_of_parts(client_id).hex()[:32]}_{refused_at:%Y%m%d%H}"


def _hour_of(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _ends_within(row: Sequence[Any], now: datetime, time: timedelta) -> bool:
    return from_microseconds(row[3]) <= now + time


def _instant(microseconds: int) -> str:
    return rfc3339(from_microseconds(microseconds))
