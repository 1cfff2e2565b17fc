"""Changes of many clients in one request: each client has its own transaction, and its own result or refusal."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from gql_secrets.domain.access import Caller, require_current_admin
from gql_secrets.domain.bulk import InvalidTargets, NotAttempted, require_targets
from gql_secrets.domain.credentials import sha256_of_parts
from gql_secrets.domain.errors import Forbidden, Refusal, Unauthenticated, Unavailable
from gql_secrets.domain.idempotency import parse_idempotency_key
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.rotation import Reset, ResetPreview, Revoke, Rotation
from gql_secrets.service.usage.queries import UsageQueries
from gql_secrets.storage.cluster import Fence, OneWait

MAX_SECONDS: Final = 20.0
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResetTarget:
    """A client to reset, if it is still at this generation."""

    client_id: str
    if_generation: int | None = None


@dataclass(frozen=True, slots=True)
class RevokeTarget:
    """A client whose old secret to revoke: this one and no newer one."""

    client_id: str
    secret_id: int


class _Target(Protocol):
    @property
    def client_id(self) -> str: ...


TargetT = TypeVar("TargetT", bound=_Target)
Result = TypeVar("Result")
Made = TypeVar("Made", Reset, Revoke)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What became of one client: a result, or why it was refused or not attempted."""

    client_id: str
    result: Result | None = None
    refusal: Refusal | None = None


class BulkRotation:
    """Changes the secrets of many clients."""

    def __init__(
        self,
        rotation: Rotation,
        usage_queries: UsageQueries,
        fence: Fence,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Change secrets through `rotation`, and wait at `fence`; `clock` counts the seconds of a request."""
        self._rotation = rotation
        self._usage_queries = usage_queries
        self._fence = fence
        self._clock = clock

    async def reset_secrets(
        self, targets: Sequence[ResetTarget], retention: Retention, *, by: Caller, idempotency_key: str
    ) -> list[Outcome[Reset]]:
        """Reset each client, in this order, as `Rotation.reset_secret` does without `end_active_rollover`.

        The same idempotency key returns the same new secrets again: each client has a key derived from it.

        Raises:
            Refusal: INVALID_TARGETS or INVALID_IDEMPOTENCY_KEY; nothing was changed.
            Failure: the caller may not do this, or the database is not available; nothing was changed.
        """
        _require_may_reset(targets, by, idempotency_key)
        wait = OneWait(self._fence)

        async def reset(target: ResetTarget) -> Reset:
            return await self._rotation.reset_secret(
                target.client_id,
                retention,
                by=by,
                if_generation=target.if_generation,
                idempotency_key=_key_of(idempotency_key, target.client_id),
                confirm=wait.confirm_later,
            )

        return await _confirmed(await self._run(targets, reset), wait)

    async def preview_resets(
        self, targets: Sequence[ResetTarget], retention: Retention, *, by: Caller, idempotency_key: str
    ) -> list[Outcome[ResetPreview]]:
        """Return what `reset_secrets` with these arguments would do now; change nothing.

        Raises:
            Refusal, Failure: as `reset_secrets` does.
        """
        _require_may_reset(targets, by, idempotency_key)

        async def preview(target: ResetTarget) -> ResetPreview:
            return await self._rotation.preview_reset(
                target.client_id,
                retention,
                by=by,
                if_generation=target.if_generation,
                idempotency_key=_key_of(idempotency_key, target.client_id),
            )

        return await self._run(targets, preview)

    async def revoke_old_secrets(
        self, targets: Sequence[RevokeTarget], *, by: Caller, only_if_safe: bool = True
    ) -> list[Outcome[Revoke]]:
        """Revoke these old secrets, in this order.

        Args:
            targets: the secrets.
            by: the caller.
            only_if_safe: refuse each one whose advice, evaluated again in its transaction, is not REVOKE.

        Raises:
            Refusal: INVALID_TARGETS; nothing was changed.
            Failure: the caller may not do this, or the database is not available; nothing was changed.
        """
        require_current_admin(by)
        require_targets([target.client_id for target in targets])
        advise = self._usage_queries.advise_now if only_if_safe else None
        wait = OneWait(self._fence)

        async def revoke(target: RevokeTarget) -> Revoke:
            return await self._rotation.revoke_old_secret(
                target.client_id, secret_id=target.secret_id, advise=advise, by=by, confirm=wait.confirm_later
            )

        return await _confirmed(await self._run(targets, revoke), wait)

    async def _run(
        self, targets: Sequence[TargetT], attempt: Callable[[TargetT], Awaitable[Result]]
    ) -> list[Outcome[Result]]:
        """Attempt each target. From the first success on nothing is raised, since a new secret would be lost with it.

        Raises:
            Failure: what stopped the first attempts, if none had succeeded.
        """
        outcomes: list[Outcome[Result]] = []
        deadline, stopped = self._clock() + MAX_SECONDS, None
        for target in targets:
            if stopped is None and self._clock() >= deadline:
                stopped = f"{MAX_SECONDS:.0f} seconds had passed before this client was reached."
            if stopped is not None:
                outcomes.append(Outcome(target.client_id, refusal=NotAttempted(stopped)))
                continue
            try:
                outcomes.append(Outcome(target.client_id, result=await attempt(target)))
            except Refusal as refusal:
                outcomes.append(Outcome(target.client_id, refusal=refusal))
            except Exception as error:
                if not any(outcome.result is not None for outcome in outcomes):
                    raise
                stopped = _why_stopped(error)
                outcomes.append(Outcome(target.client_id, refusal=NotAttempted(stopped)))
        return outcomes


async def _confirmed(outcomes: Sequence[Outcome[Made]], wait: OneWait) -> list[Outcome[Made]]:
    """Return the outcomes when every node follows the changes, or with the reason why some node may not."""
    effect = await wait.finish()
    if effect.everywhere:
        return list(outcomes)
    return [
        replace(outcome, result=replace(outcome.result, effect=effect)) if outcome.result else outcome
        for outcome in outcomes
    ]


def _why_stopped(error: Exception) -> str:
    match error:
        case Unauthenticated() | Forbidden():
            return str(error)
        case Unavailable():
            # The answer to a commit can be lost, so this may be wrong for the client at which it happened.
            return "The database became unavailable."
        case _:
            _log.error("bulk_change_stopped", exc_info=error)
            return "An unexpected error occurred."


def _require_may_reset(targets: Sequence[ResetTarget], by: Caller, idempotency_key: str) -> None:
    require_current_admin(by)
    parse_idempotency_key(idempotency_key)
    require_targets([target.client_id for target in targets])
    if any(by.has_credentials_of(target.client_id) for target in targets):
        raise InvalidTargets("Your own client cannot be among the targets. Reset it on its own.")


def _key_of(idempotency_key: str, client_id: str) -> str:
    return sha256_of_parts("bulk reset", idempotency_key, client_id).hex()
