"""The changes of the secrets of a client: reset, revoke, change the retention, cancel a rollover."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gql_secrets.domain.access import (
    Caller,
    Role,
    Surface,
    require_current_secret,
    require_no_old_secret,
    require_not_above,
    require_reset,
    require_role,
    require_role_or_self,
)
from gql_secrets.domain.advice import Opinion
from gql_secrets.domain.audit import AuditAction, parse_reason
from gql_secrets.domain.bulk import NotSafeToRevoke
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.effects import NOT_CHANGED, Effect
from gql_secrets.domain.errors import TooManyResets
from gql_secrets.domain.limits import Rate, seconds_until_next
from gql_secrets.domain.rotation import (
    ResetPlan,
    Retention,
    SecretEndReason,
    plan_cancel,
    plan_change_retention,
    plan_reset,
    plan_revoke,
)
from gql_secrets.service.changes import Changes, ClientChange
from gql_secrets.service.idempotent_resets import ResetRequest, find_replay, mint_secret
from gql_secrets.storage.cluster import Confirm
from gql_secrets.storage.fields import from_microseconds
from gql_secrets.storage.models import Client, ClientSecret
from gql_secrets.storage.urgency import ending
from gql_secrets.storage.usage import add_last_uses

_NTH_NEWEST: Final = """
    SELECT created_at FROM client_secret WHERE client_id = ? AND created_by = ? ORDER BY id DESC LIMIT 1 OFFSET ?
"""


@dataclass(frozen=True, slots=True)
class Reset:
    """The result of a reset. `new_secret` is the only copy of the plaintext."""

    client: Client
    new_secret: PlaintextSecret
    old_secret: ClientSecret | None
    withdrawn_secret: ClientSecret | None
    displaced_secret: ClientSecret | None
    ended_secrets: tuple[ClientSecret, ...]
    replayed: bool
    effect: Effect = NOT_CHANGED


@dataclass(frozen=True, slots=True)
class Revoke:
    """The result of a revoke: `already_ended` if there was no valid old secret."""

    client: Client
    revoked_secret: ClientSecret | None
    already_ended: bool
    effect: Effect = NOT_CHANGED


@dataclass(frozen=True, slots=True)
class RetentionChange:
    """The old secret with its new expiry; `clamped` if the bound of 168 hours moved that back."""

    client: Client
    old_secret: ClientSecret
    clamped: bool
    effect: Effect = NOT_CHANGED


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The result of a cancelled rollover: the secret that is current again, and the unused one that ended."""

    client: Client
    current_secret: ClientSecret
    withdrawn_secret: ClientSecret
    effect: Effect = NOT_CHANGED


@dataclass(frozen=True, slots=True)
class ResetPreview:
    """What a reset would do now: the secrets that it would retain and end. Nothing was changed."""

    client: Client
    old_secret: ClientSecret | None
    old_secret_expires_at: datetime | None
    ended_secrets: tuple[ClientSecret, ...]
    replayed: bool


class Rotation:
    """Changes the secrets of clients."""

    def __init__(self, changes: Changes, *, resets_per_client: Rate | None = None) -> None:
        """Change secrets through `changes`, with a limit of resets, or None for no limit."""
        self._changes = changes
        self._resets_per_client = resets_per_client

    def limit_resets(self, per_client: Rate | None) -> None:
        """Limit the resets of a client from now on, or no longer if None."""
        self._resets_per_client = per_client

    async def reset_secret(
        self,
        client_id: str,
        retention: Retention,
        *,
        by: Caller,
        end_active_rollover: bool = False,
        if_generation: int | None = None,
        idempotency_key: str | None = None,
        reason: str | None = None,
        confirm: Confirm | None = None,
    ) -> Reset:
        """Create a new secret, valid immediately, and keep the old one for the retention (rules 4 to 6 and 9).

        `confirm` is called instead of waiting until every node follows the reset.

        Raises:
            Refusal: INVALID_IDEMPOTENCY_KEY, INVALID_REASON, CLIENT_NOT_FOUND, ROLLOVER_IN_PROGRESS, CONFLICT,
                IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_RESULT_ENDED or RATE_LIMITED.
            Forbidden: the reset is smooth and the caller is neither ADMIN nor the client itself, the client has a
                higher role, or the caller signed in with an old secret, of a client with a role or its own.
        """
        require_reset(by, client_id, smooth=retention.is_smooth, end_active_rollover=end_active_rollover)
        why = parse_reason(reason)
        request = ResetRequest.of(idempotency_key, client_id, retention, end_active_rollover, if_generation, why)

        async def work(change: ClientChange) -> Reset:
            require_reset(change.caller, client_id, smooth=retention.is_smooth, end_active_rollover=end_active_rollover)
            require_not_above(change.caller, change.features)
            if request and (replay := await find_replay(change, request)):
                return Reset(change.client, replay.new_secret, replay.old_secret, None, None, (), replayed=True)
            plan = await self._plan_reset(change, retention, if_generation, end_active_rollover=end_active_rollover)
            change.apply(plan)
            plaintext, row = await mint_secret(change, request)
            await change.record_next_generation(
                AuditAction.SECRET_RESET,
                secret_id=row.id,
                ended=plan.ends,
                hours_to_live=retention.hours,
                expires_at=plan.keep.expires_at if plan.keep else None,
                reason=why,
            )
            withdrawn = plan.ended_by(SecretEndReason.WITHDRAWN)
            displaced = plan.ended_by(SecretEndReason.DISPLACED)
            if not retention.is_smooth:  # a hard reset ends an old secret too, and the answer names it
                displaced = change.active.retained
            return Reset(
                client=change.client,
                new_secret=plaintext,
                old_secret=change.secrets[plan.keep.secret.id] if plan.keep else None,
                withdrawn_secret=change.secrets[withdrawn.id] if withdrawn else None,
                displaced_secret=change.secrets[displaced.id] if displaced else None,
                ended_secrets=tuple(change.secrets[end.secret.id] for end in plan.ends),
                replayed=False,
            )

        with ending(not retention.is_smooth):
            reset, effect = await self._changes.change_client_everywhere(
                client_id, by, work, creates_secret=True, confirm=confirm
            )
        return replace(reset, effect=effect)

    async def preview_reset(
        self,
        client_id: str,
        retention: Retention,
        *,
        by: Caller,
        if_generation: int | None = None,
        idempotency_key: str | None = None,
    ) -> ResetPreview:
        """Return what `reset_secret` with these arguments would do now, or refuse as it would; change nothing.

        Raises:
            Refusal, Forbidden: as `reset_secret` does.
        """
        require_reset(by, client_id, smooth=retention.is_smooth)
        request = ResetRequest.of(idempotency_key, client_id, retention, False, if_generation, None)

        async def work(change: ClientChange) -> ResetPreview:
            require_reset(change.caller, client_id, smooth=retention.is_smooth)
            require_not_above(change.caller, change.features)
            if request and (replay := await find_replay(change, request)):
                old = replay.old_secret
                return ResetPreview(change.client, old, old.expires_at if old else None, (), replayed=True)
            plan = await self._plan_reset(change, retention, if_generation)
            return ResetPreview(
                client=change.client,
                old_secret=change.secrets[plan.keep.secret.id] if plan.keep else None,
                old_secret_expires_at=plan.keep.expires_at if plan.keep else None,
                ended_secrets=tuple(change.secrets[end.secret.id] for end in plan.ends),
                replayed=False,
            )

        return await self._changes.change_client(client_id, by, work)

    async def _plan_reset(
        self,
        change: ClientChange,
        retention: Retention,
        if_generation: int | None,
        *,
        end_active_rollover: bool = False,
    ) -> ResetPlan:
        _require_current_secret(change)
        change.require_generation(if_generation)
        plan = plan_reset(
            change.active,
            retention,
            by=change.caller.actor,
            now=change.now,
            end_active_rollover=end_active_rollover,
        )
        await self._require_not_too_many(change, retention)
        return plan

    async def _require_not_too_many(self, change: ClientChange, retention: Retention) -> None:
        """Pass unless this actor reached the limit of resets of this client; exact for all processes.

        Each actor has its own count, so that nobody can use up the limit of somebody else. A hard reset by an ADMIN is
        never limited, since it is the remedy against a stolen secret; nor is the command line.

        Raises:
            TooManyResets: the limit is reached.
        """
        rate, caller = self._resets_per_client, change.caller
        is_remedy = caller.role is Role.ADMIN and not retention.is_smooth
        if rate is None or is_remedy or caller.surface is Surface.CLI:
            return
        if change.client.generation < rate.count:  # each reset adds one to the generation
            return
        statement = change.tx.dialect.placeholders(_NTH_NEWEST)
        rows = await change.tx.fetch_rows(statement, (change.client.client_id, caller.actor, rate.count - 1))
        nth_newest = from_microseconds(rows[0][0]) if rows else None
        # Every reset leaves a row; the first secret of the client is a row that is not a reset.
        is_reset = nth_newest is not None and nth_newest > change.client.created_at
        wait = seconds_until_next(rate, nth_newest if is_reset else None, change.now)
        if wait:
            raise TooManyResets(str(rate), wait)

    async def revoke_old_secret(
        self,
        client_id: str,
        *,
        by: Caller,
        secret_id: int | None = None,
        if_generation: int | None = None,
        advise: Callable[[ClientChange], Awaitable[Opinion]] | None = None,
        reason: str | None = None,
        confirm: Confirm | None = None,
    ) -> Revoke:
        """End the old secret now. Idempotent: a second call returns `already_ended` (rule 8).

        Args:
            client_id: the client.
            by: the caller.
            secret_id: the secret that the caller means.
            if_generation: the client's generation as the caller read it.
            advise: gives the advice at the instant of the change; any but REVOKE refuses it.
            reason: the reason for the change.
            confirm: called instead of waiting until every node follows the revoke.

        Raises:
            Refusal: INVALID_REASON, CLIENT_NOT_FOUND, SECRET_NOT_OLD, NOT_SAFE_TO_REVOKE or CONFLICT.
            Forbidden: the caller is neither ADMIN nor the client itself, or signed in with an old secret.
        """
        require_role_or_self(by, Role.ADMIN, client_id)
        why = parse_reason(reason)

        async def work(change: ClientChange) -> Revoke:
            _require_admin_or_self(change, if_generation)
            ended = await _last_ended_old_secret(change, secret_id)
            end = plan_revoke(change.active, secret_id=secret_id, ended_once_retained=ended is not None)
            if end is None:
                return Revoke(change.client, ended, already_ended=True)
            if advise and not (opinion := await advise(change)).is_safe_to_revoke:
                raise NotSafeToRevoke(opinion.reason)
            await change.end(end)
            await change.record_next_generation(
                AuditAction.OLD_SECRET_REVOKED, secret_id=end.secret.id, ended=(end,), reason=why
            )
            return Revoke(change.client, change.secrets[end.secret.id], already_ended=False)

        with ending():
            revoke, effect = await self._changes.change_client_everywhere(client_id, by, work, confirm=confirm)
        return replace(revoke, effect=effect)

    async def change_retention(
        self,
        client_id: str,
        retention: Retention,
        *,
        by: Caller,
        if_generation: int | None = None,
        reason: str | None = None,
    ) -> RetentionChange:
        """Move the expiry of the old secret to `retention` from now, at most 168 hours after its reset (rule 7).

        Raises:
            Refusal: INVALID_REASON, CLIENT_NOT_FOUND, NO_ROLLOVER or CONFLICT.
            Forbidden: the caller is not ADMIN, or signed in with an old secret.
        """
        require_role(by, Role.ADMIN)
        why = parse_reason(reason)

        async def work(change: ClientChange) -> RetentionChange:
            require_role(change.caller, Role.ADMIN)
            _require_current_secret(change)
            change.require_generation(if_generation)
            keep, clamped = plan_change_retention(change.active, retention, now=change.now)
            old = change.active.retained
            change.note_only_ends(old is not None and keep.expires_at < old.expires_at)
            await change.retain(keep)
            await change.record_next_generation(
                AuditAction.RETENTION_CHANGED,
                secret_id=keep.secret.id,
                hours_to_live=retention.hours,
                expires_at=keep.expires_at,
                clamped=clamped,
                reason=why,
            )
            return RetentionChange(change.client, change.secrets[keep.secret.id], clamped)

        with ending():
            change, effect = await self._changes.change_client_everywhere(client_id, by, work)
        return replace(change, effect=effect)

    async def cancel_rollover(
        self, client_id: str, *, by: Caller, if_generation: int | None = None, reason: str | None = None
    ) -> Cancellation:
        """End the new secret if it is unused, and make the old one current again (rule 7).

        Raises:
            Refusal: INVALID_REASON, CLIENT_NOT_FOUND, NO_ROLLOVER, NEW_SECRET_IN_USE or CONFLICT.
            Forbidden: the caller is neither ADMIN nor the client itself, or signed in with an old secret.
        """
        require_role_or_self(by, Role.ADMIN, client_id)
        why = parse_reason(reason)

        async def work(change: ClientChange) -> Cancellation:
            _require_admin_or_self(change, if_generation)
            old, end = plan_cancel(change.active)
            await change.end(end)
            await change.make_current(old)
            await change.record_next_generation(
                AuditAction.ROLLOVER_CANCELLED, secret_id=old.id, ended=(end,), reason=why
            )
            return Cancellation(change.client, change.secrets[old.id], change.secrets[end.secret.id])

        with ending():
            cancellation, effect = await self._changes.change_client_everywhere(client_id, by, work)
        return replace(cancellation, effect=effect)


def _require_admin_or_self(change: ClientChange, if_generation: int | None) -> None:
    require_role_or_self(change.caller, Role.ADMIN, change.client.client_id)
    _require_current_secret(change)
    change.require_generation(if_generation)


def _require_current_secret(change: ClientChange) -> None:
    """Pass unless a caller on an old secret would change a client with a role, or its own client.

    Raises:
        Forbidden: `reason` is `RETAINED_SECRET`.
    """
    require_current_secret(change.caller, change.features)
    if change.caller.is_client(change.client.client_id):
        require_no_old_secret(change.caller)


async def _last_ended_old_secret(change: ClientChange, secret_id: int | None) -> ClientSecret | None:
    query = ClientSecret.filter(client_id=change.client.client_id, replaced_at__isnull=False, ended_at__isnull=False)
    if secret_id is not None:
        query = query.filter(id=secret_id)
    row = await query.using_db(change.connection).order_by("-ended_at", "-id").first()
    if row is not None:
        await add_last_uses(change.tx, [row])
    return row
