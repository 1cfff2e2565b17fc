"""Whether a credential is valid. Every interface uses this one module."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple, cast

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Conflict, PepperKeyMissing, Unavailable
from gql_secrets.domain.journal import ClientUncertain
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import SecretState, SecretStatus, evaluate
from gql_secrets.service.changes import Changes
from gql_secrets.service.digest_moves import DigestMoves
from gql_secrets.service.usage.counter import Usage
from gql_secrets.service.usage.tallies import Source
from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import log_rarely
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.listing import list_first_use
from gql_secrets.storage.secret_index.lookup import NO_DIGEST, Lookup
from gql_secrets.storage.secret_index.stored_secret import StoredSecret
from gql_secrets.storage.transaction import Transaction

_log: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 4
# A gateway waits no longer for what a verification writes, its read included.
_ANSWER_SECONDS: Final = 0.9
# How long the readiness check may take.
_READY_SECONDS: Final = 1.0


class RefusalReason(StrEnum):
    """Why a credential was refused, for our log and audit.

    Callers learn only ADDRESS, which requires a valid secret.
    """

    UNKNOWN = "UNKNOWN"
    ENDED = "ENDED"
    DISABLED = "DISABLED"
    ADDRESS = "ADDRESS"


class Accepted(NamedTuple):
    """The credential is valid."""

    client_id: str
    secret_id: int
    state: SecretState
    expires_at: datetime | None
    features: tuple[str, ...] = ()
    self_reset: bool = False


class Refused(NamedTuple):
    """The credential is not valid, or not from this address."""

    reason: RefusalReason
    client_id: str | None = None
    secret_id: int | None = None


Verdict = Accepted | Refused


class Question(NamedTuple):
    """Whether a credential is valid: what `begin` leaves to `complete`. Its digests were computed once."""

    client_id: str
    digests: Sequence[bytes]
    source: Source


# What is evaluated where no secret was found, so that a refusal takes one path whether there is a secret or not.
_NO_SECRET: Final = StoredSecret(0, "", SecretState.REVOKED, None, was_used=False, enabled=True, allow_list=None)


class Verifier:
    """Answers whether a credential is valid at the moment of asking."""

    def __init__(
        self,
        database: Database,
        pepper: Pepper,
        lookup: Lookup,
        changes: Changes,
        usage: Usage,
        digest_moves: DigestMoves,
    ) -> None:
        """Use the parts of one open database."""
        self._digest_moves = digest_moves
        self._database = database
        self._pepper = pepper
        self._lookup = lookup
        self._changes = changes
        self._usage = usage
        # The writes in progress by secret: one is enough for all verifications that wait for it.
        self._writing: dict[int, asyncio.Task[object]] = {}
        # Secrets that were seen to have expired, until EXPIRED is written, with their end.
        self._overdue: dict[int, datetime | None] = {}

    async def verify(self, client_id: str, secret: str, source: Source) -> Verdict:
        """Return the verdict on a client id and a secret that came from `source`.

        The first use of a secret is durable before this returns. So is EXPIRED, if this is the first to see that the
        secret has expired; where that cannot be written in time, this process remembers it (docs/rules.md, rule 3). The
        answer comes within a second.

        Raises:
            PepperKeyMissing: the credential was not found, and may be under a key that this process lacks.
            Unavailable: the database does not answer; the credential may be valid.
        """
        question = Question(client_id, self._pepper.digests(client_id, secret), source)
        self._lookup.expire_view()
        try:
            known = self._find_nowait(client_id, question.digests)
        finally:
            self._lookup.expire_view()
        return await self._answer(question, known)

    async def complete(self, question: Question) -> Verdict:
        """Return the verdict on what `begin` could not answer, as `verify` does; it raises the same."""
        return await self._answer(question, None)

    async def _answer(self, question: Question, known: tuple[StoredSecret | None, datetime] | None) -> Verdict:
        client_id, _, source = question
        deadline = asyncio.get_running_loop().time() + _ANSWER_SECONDS
        for _ in range(_ATTEMPTS):
            found, now = known or await self._find(question, deadline)
            known = None
            self._database.can_read = True
            stored = found or _NO_SECRET
            verdict = self._evaluate(client_id, stored, now, source)
            if verdict is not None:
                self._queue_move(stored, question.digests, verdict)
                return verdict
            is_due = evaluate(stored.state, stored.expires_at, enabled=stored.enabled, now=now) is SecretStatus.DUE
            if is_due:
                self._overdue[stored.secret_id] = stored.expires_at
            try:
                async with asyncio.timeout_at(deadline):
                    await self._write_down(stored, is_due=is_due)
            except (Conflict, Unavailable, TimeoutError) as error:
                _log.warning("verification_not_written", extra={"reason": str(error) or "It took too long."})
                if not is_due:
                    raise Unavailable(str(error)) from error
                self._usage.refused(stored.secret_id, source, now)
                return Refused(RefusalReason.ENDED, stored.client_id, stored.secret_id)
        _log.warning("verification_attempts_exhausted", extra={"attempts": _ATTEMPTS})
        raise Unavailable("Concurrent changes to this client. Try again.")

    def verify_nowait(self, client_id: str, secret: str, source: Source) -> Verdict | None:
        """Return the verdict without awaiting, or None where that is not possible: then call `verify`.

        Only for a caller that calls the lookup's `expire_view` when data arrives.

        Raises:
            Unavailable: the database does not answer; the credential may be valid.
        """
        begun = self.begin(client_id, secret, source)
        return None if type(begun) is Question else cast("Verdict", begun)

    def begin(self, client_id: str, secret: str, source: Source) -> Verdict | Question:
        """Return the verdict as `verify_nowait` does, or where that is not possible what `complete` answers.

        Raises:
            Unavailable: the database does not answer; the credential may be valid.
        """
        digests = self._pepper.digests(client_id, secret)
        answer = self._find_nowait(client_id, digests)
        if answer is not None:
            stored = answer[0] or _NO_SECRET
            verdict = self._evaluate(client_id, stored, answer[1], source)
            if verdict is not None:
                self._queue_move(stored, digests, verdict)
                # The process may have been stopped since it looked.
                if self._lookup.is_current():
                    return verdict
        return Question(client_id, digests, source)

    def _queue_move(self, stored: StoredSecret, digests: Sequence[bytes], verdict: Verdict) -> None:
        if self._digest_moves.is_needed and type(verdict) is Accepted:
            self._digest_moves.queue(stored, digests)

    def _find_nowait(self, client_id: str, digests: Sequence[bytes]) -> tuple[StoredSecret | None, datetime] | None:
        try:
            return self._lookup.find_nowait(client_id, digests)
        except Unavailable as failure:
            self._note_failed_read(failure)
            raise

    async def _find(self, question: Question, deadline: float) -> tuple[StoredSecret | None, datetime]:
        try:
            return await self._lookup.find(question.client_id, question.digests, deadline=deadline)
        except Unavailable as failure:
            self._note_failed_read(failure)
            raise

    def _note_failed_read(self, failure: Exception) -> None:
        if isinstance(failure, PepperKeyMissing):  # the database answered
            log_rarely(_log, "pepper_key_missing", key_id=failure.key_id)
            return
        if isinstance(failure, ClientUncertain):  # likewise
            return
        self._database.can_read = False
        self._database.failed_reads += 1

    async def check(self) -> None:
        """Pass if `verify` would answer: read the database as it does, within a second.

        A node that lacks a key of the pepper passes: it answers for the secrets under the keys that it has. So does one
        whose database went back in time: restarting it, or sending requests elsewhere, would not help.

        Raises:
            Unavailable: it would not.
        """
        try:
            with contextlib.suppress(PepperKeyMissing, ClientUncertain):
                async with asyncio.timeout(_READY_SECONDS):
                    await self._lookup.find("", [NO_DIGEST])
        except TimeoutError as error:
            raise Unavailable from error

    def _evaluate(self, client_id: str, stored: StoredSecret, now: datetime, source: Source) -> Verdict | None:
        """Return the verdict, or None where something must be written first."""
        status = evaluate(stored.state, stored.expires_at, enabled=stored.enabled, now=now)
        if self._overdue and status is not SecretStatus.DUE:
            status = self._remembered(stored, status)
        if status is SecretStatus.VALID:
            if not stored.was_used:
                return None
            self._usage.used(stored.secret_id, source, now)
            if stored.allow_list is not None and not _allows(stored.allow_list, source):
                return Refused(RefusalReason.ADDRESS, stored.client_id, stored.secret_id)
            return Accepted(
                stored.client_id,
                stored.secret_id,
                stored.state,
                stored.expires_at,
                stored.features,
                stored.self_reset,
            )
        if status is SecretStatus.DUE:
            return None
        # Each of these counts once: the time must not reveal which of them it was.
        if stored is _NO_SECRET:
            self._usage.refused_unknown(client_id, now)
            return Refused(RefusalReason.UNKNOWN, None, None)
        self._usage.refused(stored.secret_id, source, now)
        reason = RefusalReason.ENDED if status is SecretStatus.ENDED else RefusalReason.DISABLED
        return Refused(reason, stored.client_id, stored.secret_id)

    def _remembered(self, stored: StoredSecret, status: SecretStatus) -> SecretStatus:
        """Return ENDED for a secret that was seen to have expired, if that is not written yet."""
        if stored.secret_id in self._overdue:
            if stored.state is SecretState.RETAINED and stored.expires_at == self._overdue[stored.secret_id]:
                return SecretStatus.ENDED
            del self._overdue[stored.secret_id]
        return status

    async def _write_down(self, stored: StoredSecret, *, is_due: bool) -> None:
        """Write EXPIRED to a retained secret that has expired, or the first use of a valid one.

        The write goes on when the caller stops waiting for it.
        """
        writing = self._writing.get(stored.secret_id)
        if writing is None:
            work = (
                self._changes.expire_old_secret(stored.client_id, is_urgent=True)
                if is_due
                else self._record_first_use(stored)
            )
            writing = asyncio.create_task(work)
            self._writing[stored.secret_id] = writing
            writing.add_done_callback(partial(self._note_written, stored.secret_id))
        await asyncio.shield(writing)

    def _note_written(self, secret_id: int, writing: asyncio.Task[object]) -> None:
        del self._writing[secret_id]
        if not writing.cancelled():
            writing.exception()  # those that waited have raised it

    async def _record_first_use(self, stored: StoredSecret) -> None:
        """Write the first use durably, unless the secret has ended or was used since it was read."""

        async def work(tx: Transaction) -> None:
            # The clock is read after the locks, as in every change: client first, then the secret.
            await tx.lock_row("client", "client_id", stored.client_id, shared=True)
            await tx.lock_row("client_secret", "id", stored.secret_id)
            now = to_microseconds(await tx.now())
            is_first = await tx.execute(
                """
                UPDATE client_secret SET first_used_at = ?, last_used_at = ?
                WHERE id = ? AND first_used_at IS NULL
                AND (state = 'CURRENT' OR (state = 'RETAINED' AND expires_at > ?))
                AND EXISTS (
                    SELECT 1 FROM client c
                    WHERE c.client_id = client_secret.client_id AND c.enabled = ? AND c.deleted_at IS NULL
                )
                """,
                now,
                now,
                stored.secret_id,
                now,
                True,
            )
            if is_first:
                await list_first_use(tx, stored.client_id, now)

        await self._database.run_tx(work, is_urgent=True)


def _allows(allow_list: AllowList, source: Source) -> bool:
    return source.address is not None and allow_list.allows(source.address)
