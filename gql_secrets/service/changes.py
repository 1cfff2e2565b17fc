"""One change: lock, read the clock, evaluate the caller again, decide, write, audit, commit (rules 10 and 11).

The order of locks is the same in every change, so there are no deadlocks: the client's row, the rows of its active
secrets, the installation's row. The last one is held until the commit, so revisions become visible in the order in
which they were assigned, and no other change can alter what is read after it.

A change is a function `work(change)` that `Changes` calls: it may run twice, since a retained secret that turns out to
be due is written EXPIRED in a transaction of its own before the change runs again.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar, Unpack

from tortoise.backends.base.client import BaseDBAsyncClient

from gql_secrets.domain.access import Caller, Feature, parse_features, system_caller
from gql_secrets.domain.audit import AuditAction, AuditEntry
from gql_secrets.domain.credentials import Pepper, is_client_id
from gql_secrets.domain.effects import EFFECTIVE, NOT_CHANGED, Effect
from gql_secrets.domain.errors import ClientNotFound, Conflict
from gql_secrets.domain.rotation import (
    ActiveSecret,
    ActiveSecrets,
    End,
    Keep,
    ResetPlan,
    SecretEndReason,
    SecretState,
    SecretStatus,
    evaluate,
)
from gql_secrets.service.active_secrets import (
    SavedSecret,
    active_secrets_of,
    retained_secret,
    save_active_secret,
    save_active_secrets,
    saving,
)
from gql_secrets.service.audit_append import append_to_audit
from gql_secrets.service.audit_facts import Facts, entry_of
from gql_secrets.service.caller_check import CallerSnapshot, SecretDue
from gql_secrets.service.session_ends import end_what_secrets_made
from gql_secrets.storage.change_rows import LockedRows, read_locked
from gql_secrets.storage.cluster import Awaited, Confirm, Fence
from gql_secrets.storage.database import Database
from gql_secrets.storage.dialect import Writes
from gql_secrets.storage.errors import IntegrityError
from gql_secrets.storage.models import Client, ClientSecret, Installation
from gql_secrets.storage.objects import set_fields
from gql_secrets.storage.transaction import Transaction
from gql_secrets.storage.urgency import ending

T = TypeVar("T")


ACTIVE_STATES: Final = (SecretState.CURRENT, SecretState.RETAINED)
_ATTEMPTS: Final = 3
_END: Final = ("state", "ended_at", "end_reason")
_RETENTION: Final = ("state", "replaced_at", "expires_at")
_SET_GENERATION: Final = "UPDATE client SET generation = ? WHERE client_id = ?"


class _ExpiryDue(Exception):  # noqa: N818  a signal between two transactions, never seen by a caller
    """The old secret of this client has expired and is not yet written EXPIRED."""

    def __init__(self, client_id: str) -> None:
        super().__init__()
        self.client_id = client_id


@dataclass(slots=True)
class Change:
    """A change in progress: everything is locked, and `now` was read after the locks."""

    tx: Transaction
    now: datetime
    caller: Caller
    installation: Installation
    pepper: Pepper
    # The revision of the last event that was made; 0 where nothing was changed.
    last_revision: int = field(default=0, init=False)
    # Whether it ends again what had ended before the database lost it: then it is made before that is accepted.
    replays: bool = field(default=False, init=False)

    @property
    def connection(self) -> BaseDBAsyncClient:
        """The transaction's connection: pass it to `using_db`."""
        return self.tx.connection

    async def record(self, action: AuditAction, **facts: Unpack[Facts]) -> None:
        """Write the one audit event of the change, and its revision."""
        await append_to_audit(self.tx, self.installation, [self.entry(action, **facts)], self.pepper)

    async def record_each(self, entries: Sequence[AuditEntry]) -> None:
        """Write the audit events of a change of many clients, in this order."""
        await append_to_audit(self.tx, self.installation, entries, self.pepper)

    def entry(self, action: AuditAction, *, place: int = 0, **facts: Unpack[Facts]) -> AuditEntry:
        """Return the audit entry of this change; `place` counts from 0 if the change has several."""
        self.last_revision = self.installation.revision + 1 + place
        return entry_of(facts, action, by=self.caller, at=self.now, revision=self.last_revision)


@dataclass(slots=True)
class ClientChange(Change):
    """A change of one client."""

    client: Client
    features: frozenset[Feature]
    secrets: dict[int, ClientSecret]
    active: ActiveSecrets
    are_makers: bool
    followers: tuple[str, ...]
    new_secret_id: int | None
    # What is written together with the audit event.
    unwritten: Writes = field(default_factory=Writes)
    _only_ends: bool = False

    def note_only_ends(self, only_ends: bool) -> None:
        """Note whether a change that may do more only ends something.

        Raises:
            Unavailable: it does more, and what room the disk has is for endings.
        """
        self._only_ends = only_ends
        if not only_ends:
            self.tx.dialect.require_room()

    async def record_next_generation(self, action: AuditAction, **facts: Unpack[Facts]) -> None:
        """Add one to the client's generation, and write the audit event and what is unwritten.

        Links and sessions that come from a secret which this change ends are ended too.

        Raises:
            Conflict: this client had the new secret before (only an imported client can).
        """
        before = self.client.generation
        set_fields(self.client, generation=before + 1)
        facts |= {"client_id": self.client.client_id, "generation_before": before, "generation_after": before + 1}
        self.unwritten.others.append((_SET_GENERATION, (before + 1, self.client.client_id)))
        try:
            entry = self.entry(action, **facts)
            await append_to_audit(
                self.tx,
                self.installation,
                [entry],
                self.pepper,
                also=self.unwritten,
                replaying=self.replays,
                only_ends=self._only_ends,
            )
        except IntegrityError as error:
            if not self.unwritten.new_rows:
                raise
            raise Conflict("This client had this secret before.") from error
        self.unwritten = Writes()
        if self.are_makers:
            await end_what_secrets_made(self, [end.secret.id for end in facts.get("ended", ())])

    def require_generation(self, expected: int | None) -> None:
        """Pass if the caller gave no generation, or the current one.

        Raises:
            Conflict: the client changed since the caller read it.
        """
        if expected is not None and expected != self.client.generation:
            raise Conflict(
                f"The client changed since you read it: its generation is now {self.client.generation}.",
                argument="if_generation",
            )

    def apply(self, plan: ResetPlan) -> None:
        """End and retain secrets as a reset is planned; it is written together with the audit event."""
        rows = [self._ended(end) for end in plan.ends]
        if plan.keep:
            rows.append(self._retained(plan.keep))
        self.unwritten.updates += map(saving, rows)

    async def end(self, *ends: End) -> None:
        """End secrets. This is permanent."""
        await save_active_secrets(self.tx, [self._ended(end) for end in ends])

    async def retain(self, keep: Keep) -> None:
        """Make an active secret the old one, or change until when it is."""
        await save_active_secrets(self.tx, [self._retained(keep)])

    async def make_current(self, secret: ActiveSecret) -> None:
        """Make the old secret the current one again."""
        row = self.secrets[secret.id]
        row.state, row.replaced_at, row.expires_at = SecretState.CURRENT.value, None, None
        await save_active_secret(row, self.tx, *_RETENTION)

    def _ended(self, end: End) -> SavedSecret:
        row = self.secrets[end.secret.id]
        set_fields(row, state=end.reason.state.value, ended_at=self.now, end_reason=end.reason.value)
        return row, _END

    def _retained(self, keep: Keep) -> SavedSecret:
        row = self.secrets[keep.secret.id]
        set_fields(row, state=SecretState.RETAINED.value, replaced_at=keep.replaced_at, expires_at=keep.expires_at)
        return row, _RETENTION


class Changes:
    """Runs every change."""

    def __init__(self, database: Database, pepper: Pepper) -> None:
        """Run changes of this database."""
        self.database = database
        self.pepper = pepper
        self.fence = Fence(database)

    async def change_client_everywhere(
        self,
        client_id: str,
        caller: Caller,
        work: Callable[[ClientChange], Awaitable[T]],
        *,
        creates_secret: bool = False,
        confirm: Confirm | None = None,
    ) -> tuple[T, Effect]:
        """Run `change_client`, then wait, or call `confirm`, until every node follows; from the commit on, never raise.

        Where nothing was changed, it waits for the changes before: the answer of one of them may have been lost, and
        "already ended" must be as true on every node.

        Raises:
            Failure: as `change_client` does.
        """
        own, newest, has_followers = 0, 0, True

        async def noted(change: ClientChange) -> T:
            nonlocal own, newest, has_followers
            result = await work(change)
            own, newest = change.last_revision, change.installation.revision
            has_followers = self.fence.is_needed_for(change.followers)
            return result

        result = await self.change_client(client_id, caller, noted, creates_secret=creates_secret)
        if own and not has_followers:
            return result, EFFECTIVE
        awaited = Awaited(made=own) if own else Awaited(found=newest)
        effect = await (confirm or self.fence.wait)(awaited)
        return result, NOT_CHANGED if effect.everywhere and not own else effect

    async def change_client(
        self,
        client_id: str,
        caller: Caller,
        work: Callable[[ClientChange], Awaitable[T]],
        *,
        creates_secret: bool = False,
    ) -> T:
        """Run `work` on a locked client in one transaction.

        An old secret that has expired, the client's or the caller's own, is written EXPIRED first in a transaction of
        its own, so that it stays ended even if the change fails.

        Args:
            client_id: which client.
            caller: who asks.
            work: what to do.
            creates_secret: whether `work` stores a new secret.

        Raises:
            ClientNotFound: the client does not exist, or was deleted.
            Unauthenticated: the caller's own secret or session has ended.
            Conflict: the lock was not acquired in time.
        """
        if not is_client_id(client_id):
            raise ClientNotFound

        async def body(tx: Transaction) -> T:
            return await work(await self._begin_client_change(tx, client_id, caller, creates_secret))

        return await self._run(body, client_id)

    async def change_installation(self, caller: Caller, work: Callable[[Change], Awaitable[T]]) -> T:
        """Run `work` in one transaction that changes no existing client.

        Raises:
            Unauthenticated: the caller's own secret or session has ended.
            Conflict: the lock was not acquired in time.
        """

        async def body(tx: Transaction) -> T:
            rows = await read_locked(tx, None, secret_id=caller.secret_id, session_id=caller.session_id)
            return await work(Change(tx, rows.now, evaluate_caller(rows, caller), rows.installation, self.pepper))

        return await self._run(body)

    async def change_installation_as_system(self, work: Callable[[Change], Awaitable[T]]) -> T:
        """Run `work` in one transaction that changes no existing client; the actor is `system`.

        Raises:
            Conflict: the lock was not acquired in time.
        """

        async def body(tx: Transaction) -> T:
            rows = await read_locked(tx, None)
            return await work(Change(tx, rows.now, system_caller(), rows.installation, self.pepper))

        return await self._run(body)

    async def _run(self, body: Callable[[Transaction], Awaitable[T]], client_id: str | None = None) -> T:
        for _ in range(_ATTEMPTS):
            try:
                return await self.database.run_tx(body, for_client=client_id)
            except _ExpiryDue as due:
                await self.expire_old_secret(due.client_id)
        raise Conflict("Concurrent changes of this client. Try again.")

    async def expire_old_secret(self, client_id: str, *, is_urgent: bool = False) -> bool:
        """Write EXPIRED if the old secret of the client is due; return whether it was.

        Its own transaction, audit event (actor `system`) and revision; no generation. It is urgent where a
        verification waits for it.
        """

        async def body(tx: Transaction) -> bool:
            rows = await read_locked(tx, client_id)
            retained = next((row for row in rows.secrets if row.state == SecretState.RETAINED), None)
            if rows.client is None or retained is None:
                return False
            old = retained_secret(retained)
            if evaluate(old.state, old.expires_at, enabled=True, now=rows.now) is not SecretStatus.DUE:
                return False
            end = End(old, SecretEndReason.EXPIRED)
            retained.state = SecretState.EXPIRED.value
            retained.ended_at = retained.expires_at
            retained.end_reason = SecretEndReason.EXPIRED.value
            await save_active_secret(retained, tx, *_END)
            change = Change(tx, rows.now, system_caller(), rows.installation, self.pepper)
            await change.record(
                AuditAction.OLD_SECRET_EXPIRED,
                client_id=client_id,
                generation_before=rows.client.generation,
                generation_after=rows.client.generation,
                secret_id=retained.id,
                ended=(end,),
                expires_at=retained.expires_at,
            )
            return True

        with ending():
            return await self.database.run_tx(body, is_urgent=is_urgent, for_client=client_id)

    async def _begin_client_change(
        self, tx: Transaction, client_id: str, caller: Caller, creates_secret: bool
    ) -> ClientChange:
        rows = await read_locked(
            tx,
            client_id,
            secret_id=caller.secret_id,
            session_id=caller.session_id,
            creates_secret=creates_secret,
        )
        caller = evaluate_caller(rows, caller)
        if rows.client is None:
            raise ClientNotFound
        active = active_secrets_of(rows.secrets)
        if active.is_due(rows.now):
            raise _ExpiryDue(client_id)
        return ClientChange(
            tx=tx,
            now=rows.now,
            caller=caller,
            installation=rows.installation,
            pepper=self.pepper,
            client=rows.client,
            features=parse_features(rows.features),
            secrets={row.id: row for row in rows.secrets},
            active=active,
            are_makers=rows.are_makers,
            followers=rows.followers,
            new_secret_id=rows.new_secret_id,
        )


def evaluate_caller(rows: LockedRows, caller: Caller) -> Caller:
    """Return the caller with its current role and the current state of its secret.

    Raises:
        Unauthenticated: the caller did not sign in, or its secret or session has ended.
        _ExpiryDue: its secret has expired and is not yet written EXPIRED.
    """
    try:
        return CallerSnapshot.of(rows).evaluate(caller)
    except SecretDue as due:
        raise _ExpiryDue(due.client_id) from due
