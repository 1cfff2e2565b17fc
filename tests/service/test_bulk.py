"""Many clients in one request: each has its own transaction and its own result, and no new secret is lost."""

import pytest
from support.callers import ADMIN, DAY, HARD, OPERATOR, Made, is_good, sign_in, verify
from support.clocks import DAYS, HOUR, MINUTE, NOW, SECOND, Clock
from support.installation import MakeClient

from gql_secrets.domain.access import Caller
from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.bulk import MAX_TARGETS, InvalidTargets, NotAttempted, NotSafeToRevoke
from gql_secrets.domain.errors import (
    ClientNotFound,
    Conflict,
    Forbidden,
    IdempotencyKeyReused,
    InvalidIdempotencyKey,
    RolloverInProgress,
    SecretNotOld,
    Unauthenticated,
    Unavailable,
)
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.bulk import MAX_SECONDS, BulkRotation, ResetTarget, RevokeTarget
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.rotation import Reset, Rotation
from gql_secrets.wiring import Services

KEY = "6f0c1d7e-0b57-4a5e-8f55-1d7f6d2f8a10"


@pytest.fixture
def bulk(services: Services) -> BulkRotation:
    return services.bulk


@pytest.fixture
async def clients(make_client: MakeClient) -> list[Made]:
    return [await make_client(name=f"Shop {number}") for number in range(4)]


def targets_of(clients: list[Made]) -> list[ResetTarget]:
    return [ResetTarget(client.id) for client in clients]


async def count_of_events(services: Services) -> int:
    return await (await services.queries.page_of_audit_events(PageRequest())).count()


async def generations(services: Services, clients: list[Made]) -> list[int]:
    found = await services.queries.find_clients([client.id for client in clients])
    return [found[client.id].generation for client in clients]


async def begin_rollover(services: Services, client: Made, *, use_new: bool = True) -> RevokeTarget:
    reset = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert reset.old_secret is not None
    if use_new:
        await verify(services, client.id, reset.new_secret.reveal())
    return RevokeTarget(client.id, reset.old_secret.id)


async def test_each_client_has_a_new_secret_and_an_event_of_its_own(
    services: Services, bulk: BulkRotation, clients: list[Made]
) -> None:
    events = await count_of_events(services)
    outcomes = await bulk.reset_secrets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)

    assert [outcome.client_id for outcome in outcomes] == [client.id for client in clients]
    assert await count_of_events(services) == events + len(clients)
    page = await services.queries.page_of_audit_events(PageRequest(first=len(clients)))
    assert {event.action for event in page.rows} == {AuditAction.SECRET_RESET}
    assert {event.client_id for event in page.rows} == {client.id for client in clients}
    for outcome, client in zip(outcomes, clients, strict=True):
        assert outcome.result is not None
        assert outcome.result.old_secret is not None
        assert outcome.result.old_secret.expires_at == NOW + 24 * HOUR
        assert await is_good(services, client.id, outcome.result.new_secret.reveal())
        assert await is_good(services, client.id, client.secret)


async def test_one_refused_client_does_not_stop_the_others(
    services: Services, bulk: BulkRotation, clients: list[Made]
) -> None:
    """Rule 6 holds for each, and nothing in a bulk ends an active rollover."""
    rolling, used = clients[0], clients[2]
    await begin_rollover(services, rolling)
    targets = [*targets_of(clients[:2]), ResetTarget("no-such-client"), ResetTarget(used.id, if_generation=7)]

    outcomes = await bulk.reset_secrets([*targets, ResetTarget(clients[3].id, 1)], DAY, by=ADMIN, idempotency_key=KEY)

    assert [type(outcome.refusal) for outcome in outcomes] == [
        RolloverInProgress,
        type(None),
        ClientNotFound,
        Conflict,
        type(None),
    ]
    assert [outcome.result is not None for outcome in outcomes] == [False, True, False, False, True]
    assert await generations(services, clients) == [2, 2, 1, 2]


async def test_a_repeated_request_returns_the_same_secrets_and_resets_the_missing_ones(
    services: Services, bulk: BulkRotation, clients: list[Made]
) -> None:
    first = await bulk.reset_secrets(targets_of(clients[:2]), DAY, by=ADMIN, idempotency_key=KEY)
    again = await bulk.reset_secrets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)

    results = [outcome.result for outcome in again if outcome.result]
    assert [result.replayed for result in results] == [True, True, False, False]
    assert [result.new_secret for result in results[:2]] == [
        outcome.result.new_secret for outcome in first if outcome.result
    ]
    assert len({result.new_secret.reveal() for result in results}) == len(clients)
    assert await generations(services, clients) == [2, 2, 2, 2]


async def test_a_key_used_with_other_hours_is_refused_for_each(bulk: BulkRotation, clients: list[Made]) -> None:
    await bulk.reset_secrets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)
    again = await bulk.reset_secrets(targets_of(clients), Retention(25), by=ADMIN, idempotency_key=KEY)
    assert {type(outcome.refusal) for outcome in again} == {IdempotencyKeyReused}


async def test_a_hard_reset_names_every_secret_that_it_ends(
    services: Services, bulk: BulkRotation, clients: list[Made]
) -> None:
    target = await begin_rollover(services, clients[0])
    [outcome] = await bulk.reset_secrets(targets_of(clients[:1]), HARD, by=ADMIN, idempotency_key=KEY)
    assert outcome.result is not None
    assert outcome.result.old_secret is None
    assert len(outcome.result.ended_secrets) == 2
    assert target.secret_id in {secret.id for secret in outcome.result.ended_secrets}
    assert not await is_good(services, clients[0].id, clients[0].secret)


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    services: Services, bulk: BulkRotation, clients: list[Made]
) -> None:
    await begin_rollover(services, clients[0])
    [done] = await bulk.reset_secrets(targets_of(clients[1:2]), DAY, by=ADMIN, idempotency_key=KEY)
    before, events = await generations(services, clients), await count_of_events(services)

    previews = await bulk.preview_resets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)

    assert [type(preview.refusal) for preview in previews] == [RolloverInProgress, *[type(None)] * 3]
    results = [preview.result for preview in previews if preview.result]
    assert [result.replayed for result in results] == [True, False, False]
    assert [result.old_secret_expires_at for result in results] == [NOW + 24 * HOUR] * 3
    assert [result.ended_secrets for result in results] == [()] * 3
    assert await generations(services, clients) == before
    assert await count_of_events(services) == events
    assert done.result is not None
    assert await is_good(services, clients[2].id, clients[2].secret)
    # The key of a dry run is still free for the reset itself.
    resets = await bulk.reset_secrets(targets_of(clients[2:]), DAY, by=ADMIN, idempotency_key=KEY)
    assert [outcome.result and outcome.result.replayed for outcome in resets] == [False, False]


async def test_a_dry_run_of_a_hard_reset_names_the_secrets_that_it_would_end(
    services: Services, bulk: BulkRotation, clients: list[Made]
) -> None:
    target = await begin_rollover(services, clients[0])
    [preview] = await bulk.preview_resets(targets_of(clients[:1]), HARD, by=ADMIN, idempotency_key=KEY)
    assert preview.result is not None
    assert target.secret_id in {secret.id for secret in preview.result.ended_secrets}
    assert len(preview.result.ended_secrets) == 2
    assert await is_good(services, clients[0].id, clients[0].secret)


async def test_targets_out_of_bounds_are_refused_before_anything_changes(
    services: Services, bulk: BulkRotation, clients: list[Made], owner: Made
) -> None:
    caller = await sign_in(services, owner.id, owner.secret)
    for targets in (
        [],
        [ResetTarget(f"client-{number}") for number in range(MAX_TARGETS + 1)],
        [*targets_of(clients), ResetTarget(clients[0].id, 1)],
        [*targets_of(clients), ResetTarget(owner.id)],
    ):
        with pytest.raises(InvalidTargets):
            await bulk.reset_secrets(targets, DAY, by=caller, idempotency_key=KEY)
    with pytest.raises(InvalidIdempotencyKey):
        await bulk.reset_secrets(targets_of(clients), DAY, by=caller, idempotency_key="short")
    with pytest.raises(InvalidTargets):
        await bulk.revoke_old_secrets([], by=caller)
    assert await generations(services, clients) == [1, 1, 1, 1]


async def test_only_an_admin_with_a_current_secret_may_change_many_clients(
    services: Services, bulk: BulkRotation, clients: list[Made], owner: Made
) -> None:
    old_owner = await sign_in(services, owner.id, owner.secret)
    await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    old_owner = await sign_in(services, owner.id, owner.secret)
    for caller in (OPERATOR, old_owner):
        with pytest.raises(Forbidden):
            await bulk.reset_secrets(targets_of(clients), HARD, by=caller, idempotency_key=KEY)
        with pytest.raises(Forbidden):
            await bulk.preview_resets(targets_of(clients), HARD, by=caller, idempotency_key=KEY)
        with pytest.raises(Forbidden):
            await bulk.revoke_old_secrets([RevokeTarget(clients[0].id, 1)], by=caller)
    assert await generations(services, clients) == [1, 1, 1, 1]


class Interrupted(Rotation):
    """A rotation whose third reset fails."""

    def __init__(self, rotation: Rotation, failure: Exception, *, after: int = 2) -> None:
        self.rotation, self.failure, self.after = rotation, failure, after

    async def reset_secret(self, client_id: str, retention: Retention, *, by: Caller, **given: object) -> Reset:
        if self.after == 0:
            raise self.failure
        self.after -= 1
        return await self.rotation.reset_secret(client_id, retention, by=by, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", [Unavailable(), Unauthenticated("Your session has ended."), RuntimeError("defect")])
async def test_what_stops_the_rest_is_the_result_of_each_remaining_client(
    failure: Exception, services: Services, clients: list[Made], caplog: pytest.LogCaptureFixture
) -> None:
    """From the first commit on nothing is raised: the new secrets of the first clients would be lost with it."""
    bulk = BulkRotation(Interrupted(services.rotation, failure), services.usage_queries, services.changes.fence)
    outcomes = await bulk.reset_secrets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)

    assert [outcome.result is not None for outcome in outcomes] == [True, True, False, False]
    assert [type(outcome.refusal) for outcome in outcomes[2:]] == [NotAttempted, NotAttempted]
    assert ("bulk_change_stopped" in caplog.text) is isinstance(failure, RuntimeError)
    assert "defect" not in str(outcomes[2].refusal)
    # The request is sent again and continues.
    again = await services.bulk.reset_secrets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)
    assert [outcome.result and outcome.result.replayed for outcome in again] == [True, True, False, False]


@pytest.mark.parametrize("failure", [Unavailable(), Unauthenticated(), Forbidden("no")])
async def test_a_failure_before_the_first_commit_is_raised(
    failure: Exception, services: Services, clients: list[Made]
) -> None:
    bulk = BulkRotation(
        Interrupted(services.rotation, failure, after=0), services.usage_queries, services.changes.fence
    )
    with pytest.raises(type(failure)):
        await bulk.reset_secrets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)


async def test_the_caller_is_evaluated_again_for_each_client(
    services: Services, clients: list[Made], make_client: MakeClient
) -> None:
    boss = await make_client("owner", name="boss")
    caller = await sign_in(services, boss.id, boss.secret)

    class Demoting(Interrupted):
        async def reset_secret(self, client_id: str, retention: Retention, *, by: Caller, **given: object) -> Reset:
            reset = await self.rotation.reset_secret(client_id, retention, by=by, **given)  # type: ignore[arg-type]
            await services.clients.update_client(boss.id, features=[], by=ADMIN)
            return reset

    bulk = BulkRotation(Demoting(services.rotation, RuntimeError()), services.usage_queries, services.changes.fence)
    outcomes = await bulk.reset_secrets(targets_of(clients), DAY, by=caller, idempotency_key=KEY)
    assert [type(outcome.refusal) for outcome in outcomes] == [type(None), *[NotAttempted] * 3]
    assert await generations(services, clients) == [2, 1, 1, 1]


async def test_after_20_seconds_the_rest_is_not_attempted(services: Services, clients: list[Made]) -> None:
    seconds = iter([0.0, 0.0, MAX_SECONDS - 0.1, MAX_SECONDS])
    bulk = BulkRotation(services.rotation, services.usage_queries, services.changes.fence, clock=lambda: next(seconds))
    outcomes = await bulk.reset_secrets(targets_of(clients), DAY, by=ADMIN, idempotency_key=KEY)
    assert [type(outcome.refusal) for outcome in outcomes] == [type(None), type(None), NotAttempted, NotAttempted]


async def test_the_advice_is_evaluated_again_at_the_time_of_each_revoke(
    services: Services, bulk: BulkRotation, clients: list[Made], clock: Clock
) -> None:
    """A page rendered two minutes ago must not lock anybody out: the old secret may have been used since."""
    targets = [await begin_rollover(services, client, use_new=client is not clients[2]) for client in clients]
    clock.move(2 * HOUR)
    await verify(services, clients[1].id, clients[1].secret)  # counted in memory, not yet written

    outcomes = await bulk.revoke_old_secrets(targets, by=ADMIN)

    assert [type(outcome.refusal) for outcome in outcomes] == [
        type(None),
        NotSafeToRevoke,
        NotSafeToRevoke,
        type(None),
    ]
    assert [await is_good(services, client.id, client.secret) for client in clients] == [False, True, True, False]


async def test_a_use_that_was_written_counts_against_the_revoke(
    services: Services, bulk: BulkRotation, clients: list[Made], clock: Clock
) -> None:
    target = await begin_rollover(services, clients[0])
    clock.move(2 * HOUR)
    await verify(services, clients[0].id, clients[0].secret)
    await services.usage.flush()
    clock.move(MINUTE)
    [outcome] = await bulk.revoke_old_secrets([target], by=ADMIN)
    assert isinstance(outcome.refusal, NotSafeToRevoke)
    [outcome] = await bulk.revoke_old_secrets([target], by=ADMIN, only_if_safe=False)
    assert outcome.result is not None
    assert not outcome.result.already_ended
    assert not await is_good(services, clients[0].id, clients[0].secret)


async def test_a_secret_that_has_ended_or_is_not_old_is_reported_for_its_client(
    services: Services, bulk: BulkRotation, clients: list[Made], clock: Clock
) -> None:
    revoked = await begin_rollover(services, clients[0])
    expired = await begin_rollover(services, clients[1])
    await bulk.revoke_old_secrets([revoked], by=ADMIN, only_if_safe=False)
    clock.move(DAYS + SECOND)
    foreign = RevokeTarget(clients[2].id, revoked.secret_id)

    outcomes = await bulk.revoke_old_secrets([revoked, expired, foreign], by=ADMIN)

    assert [outcome.result and outcome.result.already_ended for outcome in outcomes] == [True, True, None]
    assert isinstance(outcomes[2].refusal, SecretNotOld)


async def test_a_use_that_the_allow_list_refuses_does_not_make_a_revoke_safe(
    services: Services, bulk: BulkRotation, make_client: MakeClient, clock: Clock
) -> None:
    """Anybody outside with the new secret could make a rollover look finished."""
    client = await make_client(allow_list=["192.0.2.0/24"])
    reset = await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert reset.old_secret is not None
    target = RevokeTarget(client.id, reset.old_secret.id)
    await verify(services, client.id, reset.new_secret.reveal(), "198.51.100.7")
    clock.move(2 * HOUR)
    [outcome] = await bulk.revoke_old_secrets([target], by=ADMIN)
    assert isinstance(outcome.refusal, NotSafeToRevoke)

    await verify(services, client.id, reset.new_secret.reveal(), "192.0.2.9")
    clock.move(2 * HOUR)
    [outcome] = await bulk.revoke_old_secrets([target], by=ADMIN)
    assert outcome.result is not None
