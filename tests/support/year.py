"""A year of an installation, laid down by SQL: what is there after it, as the product itself would have left it.

    PYTHONPATH=tests uv run python -m support.year DATA_DIR [--clients 50000] [--rotations 10000] [--days 365]

Each day, as many clients as there are rotations are reset smoothly, and the old secrets of the day before expire. What
maintenance deletes in time is left out: hours of use older than 192, sources of callers that were last seen 90 days
ago, sessions that ended a day ago, deliveries older than 30 days. The audit log has every event, and its chain and its
signed head verify.
"""

import argparse
import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from gql_secrets.domain.audit import AuditAction, AuditEntry, EndedSecret
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.rotation import SecretEndReason, SecretState
from gql_secrets.domain.search import search_text
from gql_secrets.domain.texts import folded
from gql_secrets.service.audit_events import sign_head
from gql_secrets.settings import Settings
from gql_secrets.storage.dialect import TableRows
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.usage import MAX_KEPT
from gql_secrets.wiring import Services, open_services

_WORDS: Final = ("gateway", "payments", "inventory", "warehouse", "mobile", "partner", "invoice", "loyalty", "label")
_SECOND: Final = 1_000_000
_HOUR: Final = 3600 * _SECOND
DAY: Final = 24 * _HOUR
# What maintenance keeps, as docs/operations.md says.
_HOURS_KEPT: Final = MAX_KEPT // timedelta(microseconds=1)
_SOURCES_KEPT: Final = 90 * DAY
_SESSIONS_KEPT: Final = DAY
_DELIVERIES_KEPT: Final = 30 * DAY
_BATCH: Final = 20_000
_EXPIRED: Final = SecretEndReason.EXPIRED.value
_SURFACES: Final = ("GRAPHQL", "GRAPHQL", "GRAPHQL", "CLIENTS_API", "CLI")
_COLUMNS: Final = {
    "client": "client_id client_id_folded name name_folded description enabled is_restricted self_reset generation "
    "created_at",
    "client_listing": "client_id search_text last_used_at",
    "client_secret": "id client_id digest pepper_key_id hint is_weak created_by use_count refused_attempts state "
    "created_at replaced_at expires_at ended_at end_reason first_used_at last_used_at",
    "audit_event": "revision at action actor actor_kind surface request_id address client_id generation_before "
    "generation_after secret_id ended_secret_ids hours_to_live expires_at format clamped weak_secret hash "
    "session_number person_name person_role",
    "audit_ended_secret": "event_id secret_id reason state_before",
    "secret_use": "secret_id refused address user_agent first_seen_at last_seen_at count",
    "secret_usage_hour": "starts_at secret_id count refused",
    "session": "id digest name role created_at last_seen_at ended_at issuer subject looked_at",
    "webhook": "id url events enabled nonce version pepper_key_id last_revision created_at",
    "webhook_delivery": "webhook_id event_id event_type client_id payload state attempts next_attempt_at last_status "
    "created_at delivered_at",
}
_NUMBERED: Final = ("client_secret", "session", "webhook")


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is: the clients, the rotations of a day, the days, and what else happens on one."""

    clients: int = 50_000
    rotations: int = 10_000
    days: int = 365
    sign_ins: int = 200
    edits: int = 100
    # A secret in use counts once in this number of hours.
    hours_between_uses: int = 8

    def __post_init__(self) -> None:
        if self.clients < self.rotations:
            raise ValueError("A client is reset at most once a day.")


@dataclass(slots=True)
class _Secret:
    """A secret that is not written yet."""

    number: int
    created_at: int
    replaced_at: int | None = None


@dataclass(slots=True)
class _LaidClient:
    client_id: str
    generation: int
    current: _Secret
    old: _Secret | None = None


@dataclass(slots=True)
class Year:
    """What was laid down.

    Attributes:
        client_ids: the clients, in the order of their creation.
        revision: the last event.
    """

    client_ids: list[str]
    revision: int

    def secret_of(self, number: int) -> str:
        """Return the current secret of the client with this number."""
        return secret_after_a_year(self.client_ids[number])


@dataclass(slots=True)
class _Writer:
    """Rows that are not in the database yet, and the head of the chain."""

    services: Services
    revision: int
    head: bytes
    rows: dict[str, list[list[object]]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})

    def add(self, table: str, *values: object) -> None:
        self.rows[table].append(list(values))

    def record(self, entry_at: int, action: AuditAction, **facts: Any) -> int:
        """Add an event to the chain, and return its revision."""
        self.revision += 1
        expires_at = facts.get("expires_at")
        entry = AuditEntry(
            **{
                "revision": self.revision,
                "at": from_microseconds(entry_at),
                "action": action.value,
                **facts,
                "expires_at": None if expires_at is None else from_microseconds(expires_at),
            }
        )
        self.head = entry.hash_after(self.head)
        self.rows["audit_event"].append(
            [
                *(self.revision, entry_at, entry.action, entry.actor, entry.actor_kind, entry.surface),
                *(entry.request_id, entry.address, entry.client_id, entry.generation_before, entry.generation_after),
                *(entry.secret_id, "", entry.hours_to_live, expires_at, entry.FORMAT, False, False, self.head),
                *(entry.session_number, entry.person_name, entry.person_role),
            ]
        )
        for ended in entry.ended:
            self.add("audit_ended_secret", self.revision, ended.secret_id, ended.reason.value, ended.state_before.value)
        return self.revision

    async def flush(self, *, least: int = _BATCH) -> None:
        """Write the rows, if there are enough of them, in one transaction."""
        if sum(map(len, self.rows.values())) < least:
            return

        async def work(tx: Any) -> None:
            for table, rows in self.rows.items():
                if rows:
                    columns = _COLUMNS[table].split()
                    await self.services.database.dialect.insert(tx.connection, [TableRows(table, columns, rows)])

        await self.services.database.run_tx(work)
        for rows in self.rows.values():
            rows.clear()


async def lay_down(services: Services, size: Size, until: datetime) -> Year:
    """Fill the database of an installation that has only its first owner with the rows of `size.days` days.

    Args:
        services: the installation, opened with a clock before these days.
        size: how much there is.
        until: the end of the last day.
    """
    return await _Laying(services, size, to_microseconds(until)).run()


class _Laying:
    def __init__(self, services: Services, size: Size, until: int) -> None:
        self._services = services
        self._size = size
        self._until = until
        self._begin = until - size.days * DAY
        self._random = random.Random(11)  # noqa: S311  the same rows each time
        self._clients: list[_LaidClient] = []
        self._next_secret = 0
        self._next_session = 0

    async def run(self) -> Year:
        database = self._services.database
        [row] = await database.fetch("SELECT revision, audit_head FROM installation")
        [[last]] = await database.fetch_rows("SELECT max(id) FROM client_secret")
        self._next_secret = last + 1
        self._writer = _Writer(self._services, row["revision"], bytes(row["audit_head"]))
        self._register_clients()
        for day in range(self._size.days):
            for _ in self._events_of(day):
                await self._writer.flush()
        self._add_what_is_left()
        await self._writer.flush(least=1)
        await self._finish()
        return Year([client.client_id for client in self._clients], self._writer.revision)

    def _register_clients(self) -> None:
        created_at = self._begin - DAY
        for number in range(self._size.clients):
            client_id = f"year-{number:06d}"
            secret = _Secret(self._take_number(), created_at)
            self._clients.append(_LaidClient(client_id, 1, secret))
            name = f"{_WORDS[number % 9].title()} {_WORDS[number // 9 % 9]} {number}"
            description = f"Number {number} of the year, of team {number % 97}"
            texts = (client_id, folded(client_id), name, folded(name), description)
            self._writer.add("client", *texts, True, False, False, 1, created_at)
            used_at = self._until - number % 1000 * _SECOND
            self._writer.add("client_listing", client_id, search_text(name, client_id, description), used_at)
            self._writer.record(
                created_at,
                AuditAction.CLIENT_CREATED,
                client_id=client_id,
                generation_before=0,
                generation_after=1,
                secret_id=secret.number,
                **self._person(0),
            )

    def _events_of(self, day: int) -> Iterator[None]:
        """Add the events of a day in the order of their instants, now and then with a pause to write them."""
        size, start = self._size, self._begin + day * DAY
        step = DAY // size.rotations
        for place in range(size.rotations):
            at = start + place * step
            if day:
                self._expire(self._client_at(day - 1, place), at)
            self._reset(self._client_at(day, place), at, place)
            if place % max(1, size.rotations // max(1, size.sign_ins)) == 0:
                self._sign_in(at)
            if place % max(1, size.rotations // max(1, size.edits)) == 0:
                self._edit(self._random.choice(self._clients), at)
            if place % 1000 == 0:
                yield
        yield

    def _client_at(self, day: int, place: int) -> _LaidClient:
        # Each client is reset after the same number of days, and clients that are neighbours at different times.
        number = day * self._size.rotations + place
        return self._clients[number * 7919 % self._size.clients]

    def _reset(self, client: _LaidClient, at: int, place: int) -> None:
        client.old, client.current = client.current, _Secret(self._take_number(), at)
        client.old.replaced_at = at
        client.generation += 1
        revision = self._writer.record(
            at,
            AuditAction.SECRET_RESET,
            client_id=client.client_id,
            generation_before=client.generation - 1,
            generation_after=client.generation,
            secret_id=client.current.number,
            hours_to_live=24,
            expires_at=at + DAY,
            **self._person(place),
        )
        self._deliver(client, "secret.reset", revision, at)

    def _expire(self, client: _LaidClient, at: int) -> None:
        old, client.old = client.old, None
        if old is None or old.replaced_at is None:
            raise ValueError("Each client that was reset a day ago has an old secret.")
        ended = EndedSecret(old.number, SecretEndReason.EXPIRED, SecretState.RETAINED)
        revision = self._writer.record(
            at,
            AuditAction.OLD_SECRET_EXPIRED,
            actor="system",
            actor_kind="SYSTEM",
            surface="SYSTEM",
            client_id=client.client_id,
            generation_before=client.generation,
            generation_after=client.generation,
            secret_id=old.number,
            ended=(ended,),
            expires_at=at,
        )
        self._add_secret(client, old, "EXPIRED", at)
        self._deliver(client, "secret.expired", revision, at)

    def _edit(self, client: _LaidClient, at: int) -> None:
        client.generation += 2
        for action, before in ((AuditAction.CLIENT_DISABLED, 2), (AuditAction.CLIENT_ENABLED, 1)):
            self._writer.record(
                at,
                action,
                client_id=client.client_id,
                generation_before=client.generation - before,
                generation_after=client.generation - before + 1,
                **self._person(self._random.randrange(20)),
            )

    def _sign_in(self, at: int) -> None:
        self._next_session += 1
        number, name = self._next_session, f"Person {self._next_session % 20}"
        issuer, subject = "https://login.example.com", f"person-{number % 20}"
        self._writer.record(
            at,
            AuditAction.SIGNED_IN,
            actor=f"user:{issuer}/{subject}",
            actor_kind="USER",
            surface="SIGN_IN",
            address=f"192.0.2.{number % 200}",
            session_number=number,
            person_name=name,
            person_role="ADMIN",
        )
        if at > self._until - _SESSIONS_KEPT:
            seen_at, digest = at + _HOUR, hashlib.sha256(f"session {number}".encode()).digest()
            ended_at = None if number % 3 else seen_at
            self._writer.add("session", number, digest, name, "ADMIN", at, seen_at, ended_at, issuer, subject, seen_at)

    def _deliver(self, client: _LaidClient, kind: str, revision: int, at: int) -> None:
        if at > self._until - _DELIVERIES_KEPT:
            payload = f'{{"type":"{kind}","timestamp":"2026-01-01T00:00:00Z","data":{{"revision":{revision}}}}}'
            row = (1, f"evt_{revision}_year", kind, client.client_id, payload, "DELIVERED", 1, at, 200, at, at)
            self._writer.add("webhook_delivery", *row)

    def _person(self, place: int) -> dict[str, Any]:
        """Return who makes a change, and how: five pipelines make nearly all, twenty people the rest."""
        address = f"10.{place % 250}.0.9"
        surface, request_id = _SURFACES[place % 5], f"request-{place:08d}"
        if place % 50:
            actor = {"actor": f"api_client:pipeline-{place % 5}", "actor_kind": "API_CLIENT"}
        else:
            actor = {"actor": f"user:link/{place // 50 % 20}", "actor_kind": "USER"}
        return {**actor, "surface": surface, "request_id": request_id, "address": address}

    def _add_secret(self, client: _LaidClient, secret: _Secret, state: str, ended_at: int | None) -> None:
        """Add a secret in its last state, and what is left of its uses."""
        until = secret.replaced_at or self._until
        used_at = min(secret.created_at + _HOUR, until)
        last_used_at = max(used_at, min(until + _HOUR, self._until) - self._random.randrange(3 * _HOUR))
        keeps_sources = last_used_at > self._until - _SOURCES_KEPT
        if state == "CURRENT":
            digest = self._services.changes.pepper.first.digest(client.client_id, _plaintext(client.client_id).reveal())
        else:
            digest = hashlib.sha256(f"{client.client_id} {secret.number}".encode()).digest()
        is_ended = ended_at is not None
        self._writer.add(
            "client_secret",
            *(secret.number, client.client_id, digest, self._services.changes.pepper.first.key_id, "abcd", False),
            *("api_client:pipeline-1", 0 if keeps_sources else 1000, 0, state, secret.created_at, secret.replaced_at),
            *(secret.replaced_at and secret.replaced_at + DAY, ended_at, _EXPIRED if is_ended else None, used_at),
            used_at if keeps_sources else last_used_at,
        )
        if keeps_sources:
            for number, agent in enumerate(("shop/4.1", "batch/2")):
                address = f"10.{secret.number % 250}.{number}.7"
                row = (secret.number, False, address, agent, used_at, last_used_at - number, 500)
                self._writer.add("secret_use", *row)
        every = self._size.hours_between_uses * _HOUR
        first = max(secret.created_at, self._until - _HOURS_KEPT) // every + 1
        for hour in range(first * every, last_used_at, every):
            self._writer.add("secret_usage_hour", hour, secret.number, 40, 0)

    def _add_what_is_left(self) -> None:
        """Add the active secrets of the clients, and the webhook."""
        for client in self._clients:
            if client.old is not None:
                self._add_secret(client, client.old, "RETAINED", None)
            self._add_secret(client, client.current, "CURRENT", None)
        key_id, events = self._services.changes.pepper.first.key_id, "secret.reset,secret.expired"
        row = (1, "https://hooks.example.com/in", events, False, bytes(16), 1, key_id, self._writer.revision)
        self._writer.add("webhook", *row, self._begin)

    async def _finish(self) -> None:
        """Write the generations of the clients, and the head of the chain."""
        writer, pepper = self._writer, self._services.changes.pepper
        generations = json.dumps([[client.client_id, client.generation] for client in self._clients])
        mac = sign_head(pepper, writer.revision, writer.head)
        is_postgres = self._services.database.dialect.name == "postgres"

        async def work(tx: Any) -> None:
            rows = tx.rows_of_json({"client_id": "TEXT", "generation": "BIGINT"})
            await tx.execute(
                f"UPDATE client SET generation = t.generation FROM {rows} t WHERE client.client_id = t.client_id",  # noqa: S608
                generations,
            )
            await tx.execute("UPDATE installation SET revision = ?, audit_head = ?, audit_mac = ?", *(
                writer.revision, writer.head, mac,
            ))  # fmt: skip
            if is_postgres:
                for table in _NUMBERED:
                    await tx.fetch(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608

        await self._services.database.run_tx(work)

    def _take_number(self) -> int:
        self._next_secret += 1
        return self._next_secret


def _plaintext(client_id: str) -> PlaintextSecret:
    return PlaintextSecret.of_bytes(hashlib.sha256(f"current secret of {client_id}".encode()).digest())


def secret_after_a_year(client_id: str) -> str:
    """Return the secret that is the current one of a client after a year was laid down."""
    return _plaintext(client_id).reveal()


async def lay_down_in(settings: Settings, size: Size, until: datetime) -> Year:
    """Make the installation of these settings as it is after these days, and return what it has."""
    begin = until - timedelta(days=size.days + 1)
    services = await open_services(settings, adjust_clock=lambda _machine: begin)
    try:
        return await lay_down(services, size, until)
    finally:
        await services.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    for name in ("clients", "rotations", "days"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size(), name))
    given = parser.parse_args()
    size = Size(given.clients, given.rotations, given.days)
    year = asyncio.run(lay_down_in(Settings(data_dir=given.data_dir), size, datetime.now(UTC)))
    print(f"{year.revision:,} events, {len(year.client_ids):,} clients in {given.data_dir}")


if __name__ == "__main__":
    main()
