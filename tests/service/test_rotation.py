"""The rules of a rollover (docs/rules.md) through the service, on both databases."""

from datetime import timedelta

import pytest
from support.callers import ADMIN, DAY, HARD, OTHER_ADMIN, WEEK, Made, is_good, verify
from support.clocks import DAYS, HOUR, MICROSECOND, MINUTE, NOW, Clock
from support.installation import MakeClient
from support.secrets import is_well_formed

from gql_secrets.domain.errors import (
    ClientNotFound,
    Conflict,
    NewSecretInUse,
    NoRollover,
    RolloverInProgress,
    SecretNotOld,
)
from gql_secrets.domain.rotation import Retention, SecretEndReason, SecretState
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.rotation import Reset
from gql_secrets.service.verification import Accepted, Refused
from gql_secrets.storage.models import ClientSecret
from gql_secrets.wiring import Services


async def history(services: Services, client_id: str) -> list[ClientSecret]:
    """All secrets of a client, oldest first."""
    page = await services.queries.page_of_secrets(client_id, PageRequest(first=100))
    return list(reversed(page.rows))


async def states(services: Services, client_id: str) -> list[str]:
    return [
        f"{row.state}{'/' + row.end_reason if row.end_reason else ''}" for row in await history(services, client_id)
    ]


async def generation(services: Services, client_id: str) -> int:
    client = await services.queries.find_client(client_id)
    assert client is not None
    return client.generation


async def reset(services: Services, client: Made, hours: int = 24, **given: object) -> Reset:
    return await services.rotation.reset_secret(
        client.id,
        Retention(hours),
        **{"by": ADMIN, **given},  # type: ignore[arg-type]
    )


async def use(services: Services, client: Made, secret: str) -> None:
    assert await is_good(services, client.id, secret)


# Rules 1 to 5


async def test_after_a_smooth_reset_both_secrets_are_good(services: Services, client: Made) -> None:
    done = await reset(services, client)
    new = done.new_secret.reveal()
    assert is_well_formed(new)
    old_verdict, new_verdict = await verify(services, client.id, client.secret), await verify(services, client.id, new)
    assert isinstance(old_verdict, Accepted)
    assert isinstance(new_verdict, Accepted)
    assert (old_verdict.state, old_verdict.expires_at) == (SecretState.RETAINED, NOW + 24 * HOUR)
    assert (new_verdict.state, new_verdict.expires_at) == (SecretState.CURRENT, None)
    assert done.old_secret is not None
    assert done.old_secret.expires_at == NOW + 24 * HOUR
    assert (done.withdrawn_secret, done.displaced_secret, done.replayed) == (None, None, False)
    assert done.client.generation == 2


async def test_after_a_hard_reset_only_the_new_secret_is_good(services: Services, client: Made) -> None:
    done = await reset(services, client, 0)
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, done.new_secret.reveal())
    assert (done.old_secret, done.displaced_secret) == (None, None)
    assert await states(services, client.id) == ["REVOKED/HARD_RESET", "CURRENT"]


async def test_a_hard_reset_during_a_rollover_ends_both_older_secrets_and_says_so(
    services: Services, client: Made
) -> None:
    """A leak cannot wait: rule 6 never refuses a hard reset."""
    second = await reset(services, client)
    await use(services, client, second.new_secret.reveal())
    done = await reset(services, client, 0, by=OTHER_ADMIN)
    assert done.displaced_secret is not None
    assert done.displaced_secret.end_reason == SecretEndReason.HARD_RESET
    assert await states(services, client.id) == ["REVOKED/HARD_RESET", "REVOKED/HARD_RESET", "CURRENT"]
    assert not await is_good(services, client.id, client.secret)
    assert not await is_good(services, client.id, second.new_secret.reveal())


@pytest.mark.parametrize("hours", [1, 168])
async def test_the_old_secret_is_good_for_the_hours_given_and_no_longer(
    services: Services, client: Made, clock: Clock, hours: int
) -> None:
    await reset(services, client, hours)
    clock.set(NOW + hours * HOUR - MICROSECOND)
    assert await is_good(services, client.id, client.secret)
    clock.set(NOW + hours * HOUR)
    assert not await is_good(services, client.id, client.secret)


async def test_a_secret_of_an_unknown_client_is_not_reset(services: Services) -> None:
    with pytest.raises(ClientNotFound):
        await services.rotation.reset_secret("nobody", DAY, by=ADMIN)


# Rule 6


async def test_a_retry_withdraws_the_unused_secret_and_keeps_the_old_one(
    services: Services, client: Made, clock: Clock
) -> None:
    """GitLab #524639, LiteLLM #38351: the retry of a rotation killed the token that was in use."""
    await use(services, client, client.secret)
    lost = await reset(services, client)
    clock.move(HOUR - MICROSECOND)
    again = await reset(services, client)
    assert again.withdrawn_secret is not None
    assert again.withdrawn_secret.end_reason == SecretEndReason.WITHDRAWN
    assert again.old_secret is not None
    assert again.old_secret.expires_at == clock.now + 24 * HOUR
    assert again.old_secret.replaced_at == NOW
    assert await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, again.new_secret.reveal())
    assert not await is_good(services, client.id, lost.new_secret.reveal())


async def test_retries_never_carry_the_old_secret_past_168_hours(
    services: Services, client: Made, clock: Clock
) -> None:
    """Unkey PR #5892: rerolling again and again extended the old key."""
    for _ in range(5):
        await reset(services, client, 168, end_active_rollover=True)
        clock.move(DAYS)
    clock.set(NOW + 7 * DAYS - MICROSECOND)
    assert await is_good(services, client.id, client.secret)
    clock.set(NOW + 7 * DAYS)
    assert not await is_good(services, client.id, client.secret)


async def test_a_reset_by_somebody_else_during_a_rollover_is_refused(services: Services, client: Made) -> None:
    await use(services, client, client.secret)
    await reset(services, client)
    with pytest.raises(RolloverInProgress) as refused:
        await reset(services, client, by=OTHER_ADMIN)
    facts = refused.value
    assert (facts.current_secret_created_by, facts.current_secret_created_at, facts.current_secret_used) == (
        "user:ada",
        NOW,
        False,
    )
    assert facts.old_secret_expires_at == NOW + 24 * HOUR
    assert facts.old_secret_last_used_at == NOW
    assert await states(services, client.id) == ["RETAINED", "CURRENT"]
    assert await generation(services, client.id) == 2


async def test_a_reset_after_an_hour_is_refused(services: Services, client: Made, clock: Clock) -> None:
    await reset(services, client)
    clock.move(HOUR)
    with pytest.raises(RolloverInProgress):
        await reset(services, client)


async def test_a_reset_is_refused_once_the_new_secret_was_used(services: Services, client: Made) -> None:
    done = await reset(services, client)
    await use(services, client, done.new_secret.reveal())
    with pytest.raises(RolloverInProgress) as refused:
        await reset(services, client)
    assert refused.value.current_secret_used
    assert await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, done.new_secret.reveal())


async def test_going_on_displaces_the_old_secret_where_the_new_one_is_in_use(services: Services, client: Made) -> None:
    second = await reset(services, client)
    await use(services, client, second.new_secret.reveal())
    third = await reset(services, client, end_active_rollover=True)
    assert third.displaced_secret is not None
    assert third.displaced_secret.end_reason == SecretEndReason.DISPLACED
    assert await states(services, client.id) == ["REVOKED/DISPLACED", "RETAINED", "CURRENT"]
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, second.new_secret.reveal())
    assert await is_good(services, client.id, third.new_secret.reveal())


async def test_going_on_withdraws_the_new_secret_where_nobody_used_it(
    services: Services, client: Made, clock: Clock
) -> None:
    await use(services, client, client.secret)
    await reset(services, client)
    clock.move(5 * HOUR)
    third = await reset(services, client, by=OTHER_ADMIN, end_active_rollover=True)
    assert third.withdrawn_secret is not None
    assert await states(services, client.id) == ["RETAINED", "REVOKED/WITHDRAWN", "CURRENT"]
    assert await is_good(services, client.id, client.secret)


async def test_a_use_that_the_allow_list_refused_counts_as_used(services: Services, make_client: MakeClient) -> None:
    """Somebody has the secret: withdrawing it would cut them off."""
    client = await make_client(allow_list=["192.0.2.0/24"])
    done = await reset(services, client)
    verdict = await verify(services, client.id, done.new_secret.reveal(), address="203.0.113.9")
    assert isinstance(verdict, Refused)
    with pytest.raises(RolloverInProgress) as refused:
        await reset(services, client)
    assert refused.value.current_secret_used


async def test_a_first_use_says_when_exactly(services: Services, client: Made, clock: Clock) -> None:
    clock.move(MINUTE)
    await use(services, client, client.secret)
    clock.move(MINUTE)
    await use(services, client, client.secret)
    [row] = await history(services, client.id)
    assert row.first_used_at == NOW + MINUTE


async def test_after_an_expiry_a_reset_starts_a_new_rollover(services: Services, client: Made, clock: Clock) -> None:
    await reset(services, client, 1)
    clock.move(HOUR)
    done = await reset(services, client, 1)
    assert done.old_secret is not None
    assert done.old_secret.expires_at == clock.now + HOUR
    assert await states(services, client.id) == ["EXPIRED/EXPIRED", "RETAINED", "CURRENT"]
    assert not await is_good(services, client.id, client.secret)


# Rule 7


async def test_a_retention_can_be_shortened_and_lengthened_within_168_hours_of_the_reset(
    services: Services, client: Made, clock: Clock
) -> None:
    await reset(services, client, 24)
    clock.move(DAYS / 2)
    shorter = await services.rotation.change_retention(client.id, Retention(1), by=ADMIN)
    assert (shorter.old_secret.expires_at, shorter.clamped) == (clock.now + HOUR, False)
    longer = await services.rotation.change_retention(client.id, Retention(156), by=ADMIN)
    assert (longer.old_secret.expires_at, longer.clamped) == (NOW + 7 * DAYS, False)
    clamped = await services.rotation.change_retention(client.id, Retention(157), by=ADMIN)
    assert (clamped.old_secret.expires_at, clamped.clamped) == (NOW + 7 * DAYS, True)
    assert clamped.old_secret.replaced_at == NOW


async def test_there_is_no_retention_to_change_without_a_rollover(
    services: Services, client: Made, clock: Clock
) -> None:
    with pytest.raises(NoRollover):
        await services.rotation.change_retention(client.id, DAY, by=ADMIN)
    await reset(services, client, 1)
    clock.move(HOUR)
    with pytest.raises(NoRollover):
        await services.rotation.change_retention(client.id, WEEK, by=ADMIN)
    assert await states(services, client.id) == ["EXPIRED/EXPIRED", "CURRENT"]


async def test_a_cancelled_rollover_makes_the_old_secret_current_again(
    services: Services, client: Made, clock: Clock
) -> None:
    done = await reset(services, client)
    cancelled = await services.rotation.cancel_rollover(client.id, by=OTHER_ADMIN)
    assert cancelled.withdrawn_secret.end_reason == SecretEndReason.CANCELLED
    current = cancelled.current_secret
    assert (current.state, current.replaced_at, current.expires_at) == (SecretState.CURRENT, None, None)
    assert await states(services, client.id) == ["CURRENT", "REVOKED/CANCELLED"]
    assert not await is_good(services, client.id, done.new_secret.reveal())
    clock.move(8 * DAYS)
    assert await is_good(services, client.id, client.secret)


async def test_after_a_cancel_a_later_reset_counts_anew(services: Services, client: Made, clock: Clock) -> None:
    await reset(services, client)
    await services.rotation.cancel_rollover(client.id, by=ADMIN)
    clock.move(3 * DAYS)
    done = await reset(services, client, 168)
    assert done.old_secret is not None
    assert done.old_secret.expires_at == NOW + 10 * DAYS


async def test_a_rollover_whose_new_secret_was_used_cannot_be_cancelled(services: Services, client: Made) -> None:
    done = await reset(services, client)
    await use(services, client, done.new_secret.reveal())
    with pytest.raises(NewSecretInUse):
        await services.rotation.cancel_rollover(client.id, by=ADMIN)
    assert await states(services, client.id) == ["RETAINED", "CURRENT"]


async def test_there_is_nothing_to_cancel_without_a_rollover(services: Services, client: Made, clock: Clock) -> None:
    with pytest.raises(NoRollover):
        await services.rotation.cancel_rollover(client.id, by=ADMIN)
    await reset(services, client, 1)
    clock.move(HOUR)
    with pytest.raises(NoRollover):
        await services.rotation.cancel_rollover(client.id, by=ADMIN)
    assert not await is_good(services, client.id, client.secret)


# Rule 8


async def test_a_revoke_ends_the_old_secret_and_leaves_the_new_one(services: Services, client: Made) -> None:
    done = await reset(services, client)
    revoke = await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert not revoke.already_ended
    assert revoke.revoked_secret is not None
    assert revoke.revoked_secret.end_reason == SecretEndReason.REVOKED
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, done.new_secret.reveal())


async def test_a_revoke_said_twice_is_no_error_and_no_second_change(services: Services, client: Made) -> None:
    await reset(services, client)
    first = await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    before = await generation(services, client.id)
    second = await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert second.already_ended
    assert second.revoked_secret is not None
    assert first.revoked_secret is not None
    assert second.revoked_secret.id == first.revoked_secret.id
    assert await generation(services, client.id) == before


async def test_a_revoke_after_an_expiry_says_that_it_expired(services: Services, client: Made, clock: Clock) -> None:
    await reset(services, client, 1)
    clock.move(HOUR)
    revoke = await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert revoke.already_ended
    assert revoke.revoked_secret is not None
    assert revoke.revoked_secret.state == SecretState.EXPIRED
    assert revoke.revoked_secret.ended_at == NOW + HOUR


async def test_a_revoke_where_there_never_was_a_rollover_names_no_secret(services: Services, client: Made) -> None:
    revoke = await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert (revoke.revoked_secret, revoke.already_ended) == (None, True)
    await reset(services, client, 0)
    revoke = await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert (revoke.revoked_secret, revoke.already_ended) == (None, True), "a hard reset retains nothing"


async def test_a_late_click_ends_no_newer_old_secret(services: Services, client: Made, clock: Clock) -> None:
    await reset(services, client, 1)
    [old, _] = await history(services, client.id)
    clock.move(HOUR)
    await reset(services, client, 24)
    revoke = await services.rotation.revoke_old_secret(client.id, by=ADMIN, secret_id=old.id)
    assert revoke.already_ended
    assert revoke.revoked_secret is not None
    assert revoke.revoked_secret.id == old.id
    assert await states(services, client.id) == ["EXPIRED/EXPIRED", "RETAINED", "CURRENT"]


async def test_a_revoke_never_names_the_current_secret_or_another_clients(
    services: Services, make_client: MakeClient
) -> None:
    client, other = await make_client(), await make_client()
    await reset(services, client)
    await reset(services, other)
    [_, current] = await history(services, client.id)
    [others_old, _] = await history(services, other.id)
    for secret_id in (current.id, others_old.id, 10**15, 0, -1):
        with pytest.raises(SecretNotOld):
            await services.rotation.revoke_old_secret(client.id, by=ADMIN, secret_id=secret_id)
    assert await states(services, client.id) == ["RETAINED", "CURRENT"]
    assert await states(services, other.id) == ["RETAINED", "CURRENT"]


async def test_a_withdrawn_secret_was_never_an_old_one(services: Services, client: Made) -> None:
    await reset(services, client)
    await reset(services, client)
    [_, withdrawn, _] = await history(services, client.id)
    with pytest.raises(SecretNotOld):
        await services.rotation.revoke_old_secret(client.id, by=ADMIN, secret_id=withdrawn.id)


# Rule 10


async def test_each_change_adds_one_to_the_generation(services: Services, client: Made) -> None:
    assert await generation(services, client.id) == 1
    await reset(services, client)
    await services.rotation.change_retention(client.id, WEEK, by=ADMIN)
    await services.rotation.cancel_rollover(client.id, by=ADMIN)
    await reset(services, client)
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    await services.clients.update_client(client.id, by=ADMIN, name="Other")
    assert await generation(services, client.id) == 8


async def test_a_change_for_another_generation_is_a_conflict_and_changes_nothing(
    services: Services, client: Made
) -> None:
    await reset(services, client, if_generation=1)
    rotation = services.rotation
    for stale in (1, 3):
        with pytest.raises(Conflict):
            await reset(services, client, 0, if_generation=stale)
        with pytest.raises(Conflict):
            await rotation.revoke_old_secret(client.id, by=ADMIN, if_generation=stale)
        with pytest.raises(Conflict):
            await rotation.change_retention(client.id, DAY, by=ADMIN, if_generation=stale)
        with pytest.raises(Conflict):
            await rotation.cancel_rollover(client.id, by=ADMIN, if_generation=stale)
    assert await states(services, client.id) == ["RETAINED", "CURRENT"]
    assert await generation(services, client.id) == 2
    await rotation.revoke_old_secret(client.id, by=ADMIN, if_generation=2)


async def test_an_expiry_is_no_generation(services: Services, client: Made, clock: Clock) -> None:
    """A page that was read before it still acts on what it showed."""
    await reset(services, client, 1)
    clock.move(HOUR)
    assert not await is_good(services, client.id, client.secret)
    assert await generation(services, client.id) == 2
    await reset(services, client, 0, if_generation=2)


# Rule 12


async def test_a_disabled_clients_secrets_are_refused_and_go_on_ageing(
    services: Services, client: Made, clock: Clock
) -> None:
    """Keycloak #51529: re-enabling resurrected old secrets."""
    done = await reset(services, client, 1)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    assert not await is_good(services, client.id, client.secret)
    assert not await is_good(services, client.id, done.new_secret.reveal())
    clock.move(2 * HOUR)
    await services.clients.set_client_enabled(client.id, enabled=True, by=ADMIN)
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, done.new_secret.reveal())


async def test_enabling_makes_good_again_what_has_not_ended(services: Services, client: Made, clock: Clock) -> None:
    done = await reset(services, client, 2)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    clock.move(HOUR)
    await services.clients.set_client_enabled(client.id, enabled=True, by=ADMIN)
    assert await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, done.new_secret.reveal())


async def test_every_change_works_while_the_client_is_disabled(services: Services, client: Made) -> None:
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    await reset(services, client)
    await services.rotation.change_retention(client.id, WEEK, by=ADMIN)
    living = (await services.queries.active_secrets([client.id]))[client.id]
    assert set(living) == {SecretState.CURRENT, SecretState.RETAINED}
    await services.rotation.cancel_rollover(client.id, by=ADMIN)
    await reset(services, client)
    await services.rotation.revoke_old_secret(client.id, by=ADMIN)
    done = await reset(services, client, 0)
    await services.clients.set_client_enabled(client.id, enabled=True, by=ADMIN)
    assert await is_good(services, client.id, done.new_secret.reveal())


async def test_a_deleted_clients_secrets_end_and_nothing_changes_it_again(services: Services, client: Made) -> None:
    done = await reset(services, client)
    await services.clients.delete_client(client.id, by=ADMIN)
    assert await states(services, client.id) == ["REVOKED/CLIENT_DELETED", "REVOKED/CLIENT_DELETED"]
    for secret in (client.secret, done.new_secret.reveal()):
        assert not await is_good(services, client.id, secret)
    rotation, clients = services.rotation, services.clients
    for change in (
        lambda: rotation.reset_secret(client.id, HARD, by=ADMIN),
        lambda: rotation.revoke_old_secret(client.id, by=ADMIN),
        lambda: rotation.change_retention(client.id, DAY, by=ADMIN),
        lambda: rotation.cancel_rollover(client.id, by=ADMIN),
        lambda: clients.set_client_enabled(client.id, enabled=True, by=ADMIN),
        lambda: clients.update_client(client.id, by=ADMIN, name="x"),
        lambda: clients.delete_client(client.id, by=ADMIN),
    ):
        with pytest.raises(ClientNotFound):
            await change()
    assert await services.queries.find_client(client.id) is None


# Time


async def test_a_clock_that_steps_back_revives_nothing_that_was_seen_to_expire(
    services: Services, client: Made, clock: Clock
) -> None:
    await reset(services, client, 1)
    clock.move(HOUR)
    assert not await is_good(services, client.id, client.secret)
    clock.move(timedelta(days=-30))
    assert not await is_good(services, client.id, client.secret)
    assert await states(services, client.id) == ["EXPIRED/EXPIRED", "CURRENT"]


async def test_a_clock_that_steps_back_lengthens_no_life_past_168_hours_after_the_reset(
    services: Services, client: Made, clock: Clock
) -> None:
    await reset(services, client, 24)
    clock.move(-5 * DAYS)
    done = await services.rotation.change_retention(client.id, WEEK, by=ADMIN)
    assert done.old_secret.expires_at == NOW + 2 * DAYS
    assert not done.clamped


async def test_a_refused_change_still_writes_the_expiry_that_it_saw(
    services: Services, client: Made, clock: Clock
) -> None:
    """Written durably before anything else: the change fails, the clock steps back, and it is still over."""
    await reset(services, client, 1)
    clock.move(HOUR)
    with pytest.raises(Conflict):
        await reset(services, client, 1, if_generation=77)
    clock.move(-HOUR)
    assert not await is_good(services, client.id, client.secret)
