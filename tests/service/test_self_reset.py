"""A client with `self_reset` changes its own secret, and nothing else (docs/rules.md, "Who may do what")."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.callers import ADMIN, CLI, DAY, HARD, WEEK, Made, is_good, sign_in
from support.clocks import DAYS, HOUR, MINUTE, NOW, Clock
from support.installation import MakeClient

from gql_secrets.domain.access import ActorKind, Caller
from gql_secrets.domain.effects import NOT_CHANGED
from gql_secrets.domain.errors import (
    Forbidden,
    IdempotencyKeyReused,
    IdempotencyResultEnded,
    NewSecretInUse,
    RolloverInProgress,
    Unauthenticated,
)
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.clients import UNCHANGED
from gql_secrets.service.maintenance import Maintenance
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.rotation import Reset
from gql_secrets.storage.models import IdempotentReset
from gql_secrets.wiring import Services

KEY = "0b8f3c52-6a1e-4f0e-9d2f-5f1d2c3b4a59"


@pytest.fixture
async def itself(make_client: MakeClient) -> Made:
    """A client without a role that may reset itself."""
    return await make_client(self_reset=True)


async def reset_itself(services: Services, made: Made, retention: Retention = DAY, **given: Any) -> Reset:
    caller = await sign_in(services, made.id, made.secret)
    return await services.rotation.reset_secret(made.id, retention, by=caller, **given)


async def nonces(services: Services) -> list[bytes]:
    await Maintenance(services.database, services.changes, 90 * DAYS).prune()
    rows = await services.database.read(lambda connection: IdempotentReset.all().using_db(connection))
    return [row.nonce for row in rows]


async def test_a_client_resets_itself_and_the_audit_says_so(services: Services, itself: Made) -> None:
    reset = await reset_itself(services, itself)
    assert await is_good(services, itself.id, itself.secret)
    assert await is_good(services, itself.id, reset.new_secret.reveal())
    [event, *_] = (await services.queries.page_of_audit_events(PageRequest())).rows
    assert (event.action, event.actor, event.actor_kind, event.client_id) == (
        "SECRET_RESET",
        f"api_client:{itself.id}",
        ActorKind.API_CLIENT,
        itself.id,
    )


async def test_a_client_without_the_right_cannot_reset_itself(services: Services, client: Made) -> None:
    with pytest.raises(Forbidden) as refused:
        await reset_itself(services, client)
    assert refused.value.required_roles == ("ADMIN", "OPERATOR")


async def test_a_lost_right_is_lost_in_a_change_that_has_begun(services: Services, itself: Made) -> None:
    """The right is evaluated again inside the transaction, as roles are."""
    caller = await sign_in(services, itself.id, itself.secret)
    await services.clients.update_client(itself.id, by=ADMIN, self_reset=False)
    with pytest.raises(Forbidden):
        await services.rotation.reset_secret(itself.id, DAY, by=caller)


async def test_a_right_that_was_granted_is_not_used_before_the_next_request(services: Services, client: Made) -> None:
    caller = await sign_in(services, client.id, client.secret)
    await services.clients.update_client(client.id, by=ADMIN, self_reset=True)
    with pytest.raises(Forbidden):
        await services.rotation.reset_secret(client.id, DAY, by=caller)
    assert (await reset_itself(services, client)).old_secret is not None


@pytest.mark.parametrize(
    ("retention", "flag", "argument"),
    [(HARD, False, "hours_to_live"), (HARD, True, "hours_to_live"), (DAY, True, "end_active_rollover")],
)
async def test_a_client_cannot_end_a_secret_of_its_own_that_is_in_use(
    retention: Retention, flag: bool, argument: str, services: Services, itself: Made
) -> None:
    with pytest.raises(Forbidden) as refused:
        await reset_itself(services, itself, retention, end_active_rollover=flag)
    assert refused.value.argument == argument


async def test_an_operator_that_resets_itself_keeps_its_hard_reset(services: Services, make_client: MakeClient) -> None:
    operator = await make_client("operator", self_reset=True)
    await reset_itself(services, operator, WEEK)
    other = await make_client("operator", self_reset=True)
    await reset_itself(services, other, HARD)
    assert not await is_good(services, other.id, other.secret)


async def test_it_is_the_same_rule_6_for_a_client_itself(services: Services, itself: Made) -> None:
    """A second rollover is refused while the first one lasts: its old secret may be in use."""
    reset = await reset_itself(services, itself)
    renewed = Made(itself.id, reset.new_secret.reveal())
    with pytest.raises(RolloverInProgress):
        await reset_itself(services, renewed)


Act = Callable[[Services, str, Caller], Awaitable[Any]]
OTHERS: dict[str, Act] = {
    "smooth": lambda services, id_, by: services.rotation.reset_secret(id_, DAY, by=by),
    "hard": lambda services, id_, by: services.rotation.reset_secret(id_, HARD, by=by),
    "revoke": lambda services, id_, by: services.rotation.revoke_old_secret(id_, by=by),
    "cancel": lambda services, id_, by: services.rotation.cancel_rollover(id_, by=by),
    "retention": lambda services, id_, by: services.rotation.change_retention(id_, DAY, by=by),
    "update": lambda services, id_, by: services.clients.update_client(id_, by=by, description="x"),
    "grant": lambda services, id_, by: services.clients.update_client(id_, by=by, self_reset=True),
    "disable": lambda services, id_, by: services.clients.set_client_enabled(id_, enabled=False, by=by),
    "delete": lambda services, id_, by: services.clients.delete_client(id_, by=by),
}
OWN = {name: act for name, act in OTHERS.items() if name not in ("smooth", "revoke", "cancel")}


@pytest.mark.parametrize("act", OTHERS.values(), ids=OTHERS)
async def test_it_changes_no_other_client(act: Act, services: Services, itself: Made, client: Made) -> None:
    with pytest.raises(Forbidden):
        await act(services, client.id, await sign_in(services, itself.id, itself.secret))


@pytest.mark.parametrize("act", OWN.values(), ids=OWN)
async def test_it_changes_nothing_else_of_itself(act: Act, services: Services, itself: Made) -> None:
    with pytest.raises(Forbidden):
        await act(services, itself.id, await sign_in(services, itself.id, itself.secret))


@pytest.mark.parametrize("name", ["smooth", "revoke", "cancel"])
async def test_with_its_old_secret_it_changes_nothing(name: str, services: Services, itself: Made) -> None:
    await reset_itself(services, itself)
    with pytest.raises(Forbidden) as refused:
        await OTHERS[name](services, itself.id, await sign_in(services, itself.id, itself.secret))
    assert refused.value.reason == "RETAINED_SECRET"


async def test_it_revokes_its_old_secret_with_the_new_one(services: Services, itself: Made) -> None:
    reset = await reset_itself(services, itself)
    renewed = await sign_in(services, itself.id, reset.new_secret.reveal())
    revoke = await services.rotation.revoke_old_secret(itself.id, by=renewed)
    assert not revoke.already_ended
    assert not await is_good(services, itself.id, itself.secret)


async def test_it_can_no_longer_cancel_once_it_signed_in_with_the_new_secret(services: Services, itself: Made) -> None:
    reset = await reset_itself(services, itself)
    renewed = await sign_in(services, itself.id, reset.new_secret.reveal())
    with pytest.raises(NewSecretInUse):
        await services.rotation.cancel_rollover(itself.id, by=renewed)


async def test_the_holder_of_old_secret_and_key_gets_the_answer_again_until_the_old_one_ends(
    services: Services, itself: Made, clock: Clock
) -> None:
    """An answer that was lost on Friday evening is asked for again on Monday morning."""
    first = await reset_itself(services, itself, WEEK, idempotency_key=KEY)
    for _ in range(6):
        clock.move(DAYS)
        assert len(await nonces(services)) == 1
        again = await reset_itself(services, itself, WEEK, idempotency_key=KEY)
        assert again.replayed
        assert again.new_secret == first.new_secret
    clock.set(NOW + 7 * DAYS)
    with pytest.raises(AssertionError):  # the old secret has expired
        await reset_itself(services, itself, WEEK, idempotency_key=KEY)
    assert await nonces(services) == []


async def test_a_key_alone_is_not_enough(services: Services, itself: Made) -> None:
    """Nobody else gets the answer, an ADMIN included: keys belong to their caller."""
    first = await reset_itself(services, itself, idempotency_key=KEY)
    with pytest.raises(RolloverInProgress):
        await services.rotation.reset_secret(itself.id, DAY, by=ADMIN, idempotency_key=KEY)
    with pytest.raises(IdempotencyKeyReused):
        await reset_itself(services, itself, WEEK, idempotency_key=KEY)
    assert (await reset_itself(services, itself, idempotency_key=KEY)).new_secret == first.new_secret


async def test_the_first_use_of_the_new_secret_ends_the_replay(services: Services, itself: Made, clock: Clock) -> None:
    """From then on an old secret that somebody finds is not a way to the new one, not even with the key."""
    reset = await reset_itself(services, itself, idempotency_key=KEY)
    assert [len(nonce) for nonce in await nonces(services)] == [32]
    assert await is_good(services, itself.id, reset.new_secret.reveal())
    with pytest.raises(IdempotencyResultEnded, match="was used"):
        await reset_itself(services, itself, idempotency_key=KEY)
    assert await nonces(services) == [b""]  # the key is remembered, and what derives the secret is gone
    with pytest.raises(IdempotencyResultEnded):
        await reset_itself(services, itself, idempotency_key=KEY)
    clock.move(10 * MINUTE + MINUTE)
    assert await nonces(services) == []
    with pytest.raises(Forbidden) as refused:
        await reset_itself(services, itself, idempotency_key=KEY)
    assert refused.value.reason == "RETAINED_SECRET"


async def test_a_cancelled_self_reset_is_not_repeated_by_its_key(services: Services, itself: Made) -> None:
    await reset_itself(services, itself, idempotency_key=KEY)
    await services.rotation.cancel_rollover(itself.id, by=ADMIN)
    with pytest.raises(IdempotencyResultEnded, match="no longer valid"):
        await reset_itself(services, itself, idempotency_key=KEY)


async def test_a_replay_is_answered_by_every_node(
    services: Services, itself: Made, open_node: Callable[[], Awaitable[Services]], clock: Clock
) -> None:
    first = await reset_itself(services, itself, idempotency_key=KEY)
    clock.move(23 * HOUR)
    other = await open_node()
    again = await reset_itself(other, itself, idempotency_key=KEY)
    assert again.replayed
    assert again.new_secret == first.new_secret


async def test_a_disabled_client_does_not_sign_in_to_reset_itself(services: Services, itself: Made) -> None:
    caller = await sign_in(services, itself.id, itself.secret)
    await services.clients.set_client_enabled(itself.id, enabled=False, by=ADMIN)
    with pytest.raises(Unauthenticated):
        await services.rotation.reset_secret(itself.id, DAY, by=caller)


@pytest.mark.parametrize("by", [ADMIN, CLI])
async def test_granting_and_taking_away_is_edited_like_every_field(
    by: Caller, services: Services, client: Made
) -> None:
    for granted in (True, False):
        row = (await services.clients.update_client(client.id, by=by, self_reset=granted)).client
        assert row.self_reset is granted
        [event, *_] = (await services.queries.page_of_audit_events(PageRequest())).rows
        assert event.edited_fields == "selfReset"
    generation = (await services.clients.update_client(client.id, by=by, self_reset=False)).client.generation
    edit = await services.clients.update_client(client.id, by=by, self_reset=UNCHANGED)
    assert edit.client.generation == generation
    assert edit.effect == NOT_CHANGED
    [found] = (await services.queries.find_clients([client.id])).values()
    assert not found.self_reset


async def test_an_old_owner_secret_cannot_grant_it(services: Services, make_client: MakeClient, client: Made) -> None:
    """Somebody who has an old owner secret could grant it to a client of their own, and keep a way in."""
    owner = await make_client("owner")
    await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    old = await sign_in(services, owner.id, owner.secret)
    with pytest.raises(Forbidden) as refused:
        await services.clients.update_client(client.id, by=old, self_reset=True)
    assert (refused.value.reason, refused.value.argument) == ("RETAINED_SECRET", "self_reset")
    with pytest.raises(Forbidden) as refused:
        await services.clients.create_client("x", by=old, self_reset=True)
    assert (refused.value.reason, refused.value.argument) == ("RETAINED_SECRET", "self_reset")
    await services.clients.update_client(client.id, by=old, self_reset=False)
