"""Imports clients of another system with their existing secrets, which are valid immediately.

A run takes a file in batches. A batch is one transaction, so a client is imported completely or not at all; each
client has an audit event and a revision of its own. Importing the same file again changes nothing.
"""

import asyncio
import contextlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self, TypeAlias, TypeVar

from gql_secrets.domain.access import Caller, Role, parse_features, require_role
from gql_secrets.domain.audit import AuditAction, AuditEntry
from gql_secrets.domain.clients import name_from, parse_description, parse_name
from gql_secrets.domain.credentials import Pepper, PlaintextSecret, is_client_id
from gql_secrets.domain.details import NO_DETAILS, ClientDetails
from gql_secrets.domain.errors import Conflict, Failure
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import SecretState, SecretStatus, evaluate
from gql_secrets.domain.strength import MIN_BITS, MIN_STRONG, is_weak
from gql_secrets.service.changes import Change, Changes
from gql_secrets.service.client_details import values_of_labels
from gql_secrets.service.new_clients import (
    NewClient,
    values_of_client,
    values_of_features,
    values_of_listing,
    values_of_networks,
)
from gql_secrets.service.secret_store import values_of_secret
from gql_secrets.storage.dialect import Dialect
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.models import Client, ClientFeature, ClientLabel, ClientListing, ClientNetwork, ClientSecret
from gql_secrets.storage.transaction import ROWS_BETWEEN_PAUSES

T = TypeVar("T")
V = TypeVar("V")

MIN_BATCH: Final = 500
MAX_BATCH: Final = 4000
# For how long other changes should wait for a batch.
_SECONDS_OF_BATCH: Final = 0.3

_MAX_SECRET: Final = 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ATTEMPTS: Final = 4

_OF_BATCH: Final = "WHERE client_id IN (SELECT client_id FROM {wanted} wanted)"
_CLIENTS: Final = (
    "SELECT client_id, description, self_reset, contact, maximum_age_days, deleted_at FROM client {of_batch}"
)
_SECRETS: Final = "SELECT client_id, digest, state, expires_at, is_weak FROM client_secret {of_batch}"
_FEATURES: Final = "SELECT client_id, feature FROM client_feature {of_batch}"
_NETWORKS: Final = "SELECT client_id, network FROM client_network {of_batch} ORDER BY position"
_LABELS: Final = "SELECT client_id, key, value FROM client_label {of_batch}"

_Fetch: TypeAlias = Callable[[str, Sequence[object]], Awaitable[Sequence[Sequence[Any]]]]

_DELETED: Final = "a client with this id was deleted, and ids are never reused"
_HAS_ANOTHER: Final = "this client exists with another secret; to change that one, reset it"
_ENDED: Final = "this client had this secret before, and an ended secret is never valid again"
_TWICE: Final = "duplicate client id with a different secret"
_DIFFERS: Final = (
    "its description, features, allow list, self_reset, contact, labels or maximum age differ from the file, and were "
    "not changed"
)
_WEAK: Final = (
    f"the secret is weak: under {MIN_STRONG} characters or under an estimated {MIN_BITS:.0f} bits, so it could be "
    "found from a copy of the database; reset it in the other system first, or use --allow-weak"
)


class RowRefused(Failure):
    """A client cannot be imported; the message gives the reason, and never has the secret in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedClient(NewClient):
    """A client of another system with its secret, checked."""

    secret: PlaintextSecret
    is_weak: bool

    @classmethod
    def of(
        cls,
        client_id: str,
        secret: str,
        *,
        description: str | None,
        features: Sequence[str],
        allow_list: AllowList,
        self_reset: bool = False,
        details: ClientDetails = NO_DETAILS,
    ) -> Self:
        """Check the values of another system.

        Raises:
            RowRefused: the id or the secret cannot be sent with HTTP Basic (RFC 7617).
            Refusal: INVALID_DESCRIPTION, INVALID_NAME or INVALID_FEATURE.
        """
        if not is_client_id(client_id):
            raise RowRefused(
                "a client id must have 1 to 128 visible ASCII characters, none of : , \" ' ` \\, so give this client "
                "a new id in the file and in its application"
            )
        if not 1 <= len(secret) <= _MAX_SECRET or _CONTROL.search(secret):
            raise RowRefused(f"a secret must have 1 to {_MAX_SECRET} characters and no control characters")
        kept = parse_description(description)
        return cls(
            client_id,
            parse_name(name_from(kept) if kept else client_id),
            kept,
            parse_features(features),
            allow_list,
            self_reset=self_reset,
            details=details,
            secret=PlaintextSecret(secret),
            is_weak=is_weak(secret),
        )


class Outcome(StrEnum):
    """The outcome of one client of the file."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of one client of the file, and the reason."""

    outcome: Outcome
    reason: str | None = None
    is_weak: bool = False


class _KnownClient(NamedTuple):
    """What the database has of a client; the time in microseconds."""

    description: str | None
    self_reset: bool
    contact: str | None
    maximum_age_days: int | None
    deleted_at: int | None


class _KnownSecret(NamedTuple):
    """What the database has of a secret; the time in microseconds."""

    digest: bytes
    state: str
    expires_at: int | None
    is_weak: bool


@dataclass(slots=True)
class _Known:
    """What the database has about the clients of a batch."""

    clients: dict[str, _KnownClient] = field(default_factory=dict)
    secrets: defaultdict[str, list[_KnownSecret]] = field(default_factory=lambda: defaultdict(list))
    features: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    networks: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    labels: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Import:
    """One import of one file."""

    def __init__(self, changes: Changes, *, by: Caller, allow_weak: bool = False, dry_run: bool = False) -> None:
        """Import through `changes`; a dry run returns the same outcomes and changes nothing."""
        self._changes = changes
        self._by = by
        self._allow_weak = allow_weak
        self._dry_run = dry_run
        self._promised: dict[str, PlaintextSecret] = {}
        # How many clients the next batch should have.
        self.batch_size = MIN_BATCH
        self._created = 0
        self._counts_rows_at = 1

    async def take(self, batch: Sequence[ImportedClient]) -> list[Imported]:
        """Import at most 4,000 clients, all or none of them; return the outcome of each.

        Before it returns, other processes that wait for the lock get it.

        Raises:
            Forbidden: the caller is not ADMIN.
            Conflict: the lock was not acquired in time.
            Unavailable: the database is unavailable.
        """
        require_role(self._by, Role.ADMIN)
        if self._dry_run:
            return await self._rehearse(batch)
        for _ in range(_ATTEMPTS):
            began = time.monotonic()
            try:
                results, due = await self._changes.change_installation(
                    self._by, lambda change: self._act(change, batch)
                )
            except Conflict:
                continue
            if not due:
                self.batch_size = fitting_batch(len(batch), time.monotonic() - began)
                await self._note_created(sum(result.outcome is Outcome.CREATED for result in results))
                await self._leave_lock_to_others()
                return results
            for client_id in due:  # written EXPIRED before anything is decided
                await self._changes.expire_old_secret(client_id)
        raise Conflict("Other changes hold the lock. Run the import again: clients that were imported are skipped.")

    async def _leave_lock_to_others(self) -> None:
        """Wait until the lock was free for long enough; it was during what followed the commit."""
        database = self._changes.database
        free_until = database.committed_at + database.dialect.seconds_between_batches
        await asyncio.sleep(free_until - time.monotonic())

    async def _note_created(self, clients: int) -> None:
        """Let the planner know of new clients, first, and then each time there are four times as many."""
        self._created += clients
        if self._created >= self._counts_rows_at:
            self._counts_rows_at = 4 * self._created
            with contextlib.suppress(Conflict):  # another process does it now
                await self._changes.database.run_tx(lambda tx: tx.dialect.count_rows(tx.connection))

    async def _rehearse(self, batch: Sequence[ImportedClient]) -> list[Imported]:
        database = self._changes.database
        known = await _read(database.dialect, database.fetch_rows, batch)
        results, _ = self._outcomes(batch, known, await database.now(), self._promised)
        return results

    async def _act(self, change: Change, batch: Sequence[ImportedClient]) -> tuple[list[Imported], list[str]]:
        """Write the new clients; if a secret is due, write nothing and return the ids of such clients.

        Every change holds the installation's row until its commit, and so does this one: nothing read here changes.
        """
        require_role(change.caller, Role.ADMIN)
        dialect, tx = change.tx.dialect, change.tx
        known = await _read(dialect, lambda sql, values: tx.fetch_rows(dialect.placeholders(sql), values), batch)
        results, due = self._outcomes(batch, known, change.now, {})
        if not due:
            pairs = zip(batch, results, strict=True)
            await _write(change, [row for row, result in pairs if result.outcome is Outcome.CREATED])
        return results, due

    def _outcomes(
        self, batch: Sequence[ImportedClient], known: _Known, now: datetime, promised: dict[str, PlaintextSecret]
    ) -> tuple[list[Imported], list[str]]:
        """Return the outcome of each client; `promised` are the clients that this run creates."""
        results, due = [], []
        for row in batch:
            client = known.clients.get(row.client_id)
            if client is not None:
                result, is_due = _outcome_of_known(row, client, known, self._changes.pepper, now)
                results.append(result)
                if is_due:
                    due.append(row.client_id)
            elif row.client_id in promised:
                same = promised[row.client_id] == row.secret
                results.append(Imported(Outcome.UNCHANGED) if same else Imported(Outcome.REFUSED, _TWICE))
            elif row.is_weak and not self._allow_weak:
                results.append(Imported(Outcome.REFUSED, _WEAK, is_weak=True))
            else:
                promised[row.client_id] = row.secret
                results.append(Imported(Outcome.CREATED, is_weak=row.is_weak))
        return results, due


def fitting_batch(size: int, seconds: float) -> int:
    """Return how many clients the next batch should have, after one of this size that took this long.

    Larger batches take less time per client, but other changes, and the first uses of secrets, wait for a batch.
    """
    fitting = int(size * _SECONDS_OF_BATCH / max(seconds, 0.001))
    return max(MIN_BATCH, min(fitting - fitting % MIN_BATCH, MAX_BATCH))


def _outcome_of_known(
    row: ImportedClient, client: _KnownClient, known: _Known, pepper: Pepper, now: datetime
) -> tuple[Imported, bool]:
    """Return the outcome of a client that exists, and whether its old secret is due."""
    if client.deleted_at is not None:
        return Imported(Outcome.REFUSED, _DELETED), False
    digests = pepper.digests(row.client_id, row.secret.reveal())
    secret = next((each for each in known.secrets[row.client_id] if each.digest in digests), None)
    if secret is None:
        return Imported(Outcome.REFUSED, _HAS_ANOTHER), False
    expires_at = None if secret.expires_at is None else from_microseconds(secret.expires_at)
    verdict = evaluate(SecretState(secret.state), expires_at, enabled=True, now=now)
    if verdict is not SecretStatus.VALID:
        return Imported(Outcome.REFUSED, _ENDED), verdict is SecretStatus.DUE
    is_same = (
        client.description == row.description
        and client.self_reset == row.self_reset
        and (client.contact, client.maximum_age_days) == (row.details.contact, row.details.maximum_age_days)
        and known.labels[row.client_id] == set(row.details.labels)
        and known.features[row.client_id] == row.features
        and known.networks[row.client_id] == ([] if row.allow_list.is_everywhere else list(row.allow_list.texts))
    )
    return Imported(Outcome.UNCHANGED, None if is_same else _DIFFERS, is_weak=bool(secret.is_weak)), False


async def _read(dialect: Dialect, fetch: _Fetch, batch: Sequence[ImportedClient]) -> _Known:
    """Read without the ORM, whose objects take most of the time where each client is known."""
    wanted = (json.dumps([[row.client_id] for row in batch]),)
    of_batch = _OF_BATCH.format(wanted=dialect.rows_of_json({"client_id": "text"}))
    known = _Known()
    for client_id, *facts in await fetch(_CLIENTS.format(of_batch=of_batch), wanted):
        known.clients[client_id] = _KnownClient(*facts)
    if not known.clients:
        return known
    for client_id, *facts in await fetch(_SECRETS.format(of_batch=of_batch), wanted):
        known.secrets[client_id].append(_KnownSecret(*facts))
    for client_id, feature in await fetch(_FEATURES.format(of_batch=of_batch), wanted):
        known.features[client_id].add(feature)
    for client_id, network in await fetch(_NETWORKS.format(of_batch=of_batch), wanted):
        known.networks[client_id].append(network)
    for client_id, key, value in await fetch(_LABELS.format(of_batch=of_batch), wanted):
        known.labels[client_id].add(f"{key}={value}")
    return known


async def _write(change: Change, rows: Sequence[ImportedClient]) -> None:
    """Write new clients with their secrets, and an audit event for each."""
    if not rows:
        return
    await change.tx.dialect.expect_many_rows(change.connection)
    secret_ids = await change.tx.dialect.new_secret_ids(change.connection, len(rows))
    # The database writes the rows of one table while those of the next one are computed.
    async with change.tx.inserting() as insertions:
        await insertions.begin(Client, [values_of_client(change, row) for row in rows])
        listing = await _each(values_of_listing, rows)
        await insertions.begin(ClientListing, listing)
        features = [each for row in rows for each in values_of_features(row.client_id, row.features)]
        await insertions.begin(ClientFeature, features)
        networks = [each for row in rows for each in values_of_networks(row.client_id, row.allow_list)]
        await insertions.begin(ClientNetwork, networks)
        labels = [each for row in rows for each in values_of_labels(row.client_id, row.details.labels)]
        await insertions.begin(ClientLabel, labels)
        numbered = list(zip(secret_ids, rows, strict=True))
        await insertions.begin(ClientSecret, await _each(lambda pair: _values_of_secret(change, *pair), numbered))
        placed = [(place, *pair) for place, pair in enumerate(numbered)]
        entries = await _each(lambda facts: _entry(change, *facts), placed)
        await change.record_each(entries)


async def _each(values_of: Callable[[T], V], rows: Sequence[T]) -> list[V]:
    """Return the values of each row, and let what is being inserted go on between them."""
    values: list[V] = []
    for start in range(0, len(rows), ROWS_BETWEEN_PAUSES):
        values += map(values_of, rows[start : start + ROWS_BETWEEN_PAUSES])
        await asyncio.sleep(0)
    return values


def _values_of_secret(change: Change, secret_id: int, row: ImportedClient) -> dict[str, object]:
    return {"id": secret_id, **values_of_secret(change, row.client_id, row.secret, is_weak=row.is_weak)}


def _entry(change: Change, place: int, secret_id: int, row: ImportedClient) -> AuditEntry:
    return change.entry(
        AuditAction.CLIENT_IMPORTED,
        place=place,
        client_id=row.client_id,
        generation_before=0,
        generation_after=1,
        secret_id=secret_id,
        weak_secret=row.is_weak,
    )
