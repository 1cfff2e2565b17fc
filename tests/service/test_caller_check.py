"""Who may do what (docs/rules.md), checked by the service itself, for every API that calls it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from support.callers import (
    ADMIN,
    ANONYMOUS,
    CLI,
    DAY,
    HARD,
    NOBODY,
    OPERATOR,
    VIEWER,
    Made,
    is_good,
    sign_in,
)
from support.clocks import HOUR, Clock
from support.installation import MakeClient

from gql_secrets.domain.access import Caller, Role
from gql_secrets.domain.audit import EndedSecret
from gql_secrets.domain.errors import Forbidden, Unauthenticated
from gql_secrets.domain.rotation import Retention, SecretEndReason, SecretState
from gql_secrets.service.audit_events import entry_of
from gql_secrets.service.pages import PageRequest
from gql_secrets.wiring import Services

Act = Callable[[Services, str, Caller], Awaitable[object]]

CHANGES: dict[str, Act] = {
    "smooth reset": lambda services, client, by: services.rotation.reset_secret(client, DAY, by=by),
    "hard reset": lambda services, client, by: services.rotation.reset_secret(client, HARD, by=by),
    "revoke": lambda services, client, by: services.rotation.revoke_old_secret(client, by=by),
    "change retention": lambda services, client, by: services.rotation.change_retention(client, DAY, by=by),
    "cancel": lambda services, client, by: services.rotation.cancel_rollover(client, by=by),
    "create": lambda services, _, by: services.clients.create_client("New", by=by),
    "create with a role": lambda services, _, by: services.clients.create_client("New", by=by, features=["viewer"]),
    "update": lambda services, client, by: services.clients.update_client(client, by=by, name="Renamed"),
    "grant": lambda services, client, by: services.clients.update_client(client, by=by, features=["viewer"]),
    "disable": lambda services, client, by: services.clients.set_client_enabled(client, enabled=False, by=by),
    "delete": lambda services, client, by: services.clients.delete_client(client, by=by),
}


async def revision(services: Services) -> int:
    [row] = await services.database.fetch("SELECT revision FROM installation")
    return int(row["revision"])


@pytest.mark.parametrize("act", CHANGES.values(), ids=CHANGES)
async def test_an_admin_may_do_everything(services: Services, client: Made, act: Act) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    await act(services, client.id, ADMIN)


@pytest.mark.parametrize("act", CHANGES.values(), ids=CHANGES)
async def test_the_anonymous_may_change_nothing(services: Services, client: Made, act: Act) -> None:
    before = await revision(services)
    with pytest.raises(Unauthenticated):
        await act(services, client.id, ANONYMOUS)
    assert await revision(services) == before


@pytest.mark.parametrize("caller", [VIEWER, NOBODY, OPERATOR], ids=lambda caller: caller.name)
@pytest.mark.parametrize("name", CHANGES)
async def test_who_is_no_admin_may_change_nothing_but_an_operator_by_a_hard_reset(
    services: Services, client: Made, caller: Caller, name: str
) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    before = await revision(services)
    if caller is OPERATOR and name == "hard reset":
        await CHANGES[name](services, client.id, caller)
        return
    with pytest.raises(Forbidden) as refused:
        await CHANGES[name](services, client.id, caller)
    assert refused.value.required_roles[0] == Role.ADMIN
    assert await revision(services) == before
    if caller is OPERATOR and name == "smooth reset":
        assert (refused.value.required_roles, refused.value.argument) == (("ADMIN",), "hours_to_live")


# A caller never gains a role


@pytest.mark.parametrize("feature", ["viewer", "operator", "owner", "access_issuer", "direct_access", "login_client"])
async def test_an_operator_resets_no_client_above_it(services: Services, make_client: MakeClient, feature: str) -> None:
    client = await make_client(feature)
    if feature != "owner":
        await services.rotation.reset_secret(client.id, HARD, by=OPERATOR)
        return
    with pytest.raises(Forbidden) as refused:
        await services.rotation.reset_secret(client.id, HARD, by=OPERATOR)
    assert (refused.value.argument, refused.value.required_roles) == ("client_id", ("ADMIN",))
    assert await is_good(services, client.id, client.secret)


async def test_a_hard_reset_by_an_operator_ends_an_old_secret_and_says_so(services: Services, client: Made) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    done = await services.rotation.reset_secret(client.id, HARD, by=OPERATOR)
    assert done.displaced_secret is not None
    assert not await is_good(services, client.id, client.secret)
    [event] = (await services.queries.page_of_audit_events(PageRequest(first=1))).rows
    assert set(entry_of(event).ended) == {
        EndedSecret(done.displaced_secret.id, SecretEndReason.HARD_RESET, SecretState.RETAINED),
        EndedSecret(done.displaced_secret.id + 1, SecretEndReason.HARD_RESET, SecretState.CURRENT),
    }
    assert event.actor == "user:olga"


# The caller is evaluated again inside the change


async def test_a_caller_whose_secret_ended_meanwhile_changes_nothing(
    services: Services, client: Made, make_client: MakeClient
) -> None:
    boss = await make_client("owner")
    caller = await sign_in(services, boss.id, boss.secret)
    await services.rotation.reset_secret(boss.id, HARD, by=ADMIN)
    for act in CHANGES.values():
        with pytest.raises(Unauthenticated):
            await act(services, client.id, caller)


async def test_a_caller_whose_client_was_disabled_or_deleted_meanwhile_changes_nothing(
    services: Services, client: Made, make_client: MakeClient
) -> None:
    for end in (CHANGES["disable"], CHANGES["delete"]):
        boss = await make_client("owner")
        caller = await sign_in(services, boss.id, boss.secret)
        await end(services, boss.id, ADMIN)
        for act in CHANGES.values():
            with pytest.raises(Unauthenticated):
                await act(services, client.id, caller)


async def test_a_caller_who_lost_its_role_meanwhile_changes_nothing(
    services: Services, client: Made, make_client: MakeClient
) -> None:
    boss = await make_client("owner")
    caller = await sign_in(services, boss.id, boss.secret)
    await services.clients.update_client(boss.id, by=ADMIN, features=["operator"])
    for name, act in CHANGES.items():
        if name == "hard reset":
            await act(services, client.id, caller)
            continue
        with pytest.raises(Forbidden):
            await act(services, client.id, caller)


async def test_a_role_that_the_caller_claims_is_not_believed(
    services: Services, client: Made, make_client: MakeClient
) -> None:
    viewer = await make_client("viewer")
    liar = replace(await sign_in(services, viewer.id, viewer.secret), role=Role.ADMIN)
    for act in CHANGES.values():
        with pytest.raises(Forbidden):
            await act(services, client.id, liar)


# A caller on an old secret


@pytest.fixture
async def late_owner(services: Services, owner: Made) -> Caller:
    """An owner who signed in with its old secret."""
    await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    return await sign_in(services, owner.id, owner.secret)


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ("grant", "create with a role")])
async def test_a_caller_on_an_old_secret_may_change_clients_without_a_role(
    services: Services, client: Made, late_owner: Caller, name: str
) -> None:
    await services.rotation.reset_secret(client.id, DAY, by=ADMIN)
    by = replace(late_owner)
    if name in ("smooth reset", "cancel"):  # by the same actor, or with a rollover that may go on
        await services.rotation.cancel_rollover(client.id, by=by)
        if name == "cancel":
            return
    await CHANGES[name](services, client.id, by)


@pytest.mark.parametrize("feature", ["owner", "operator", "viewer"])
@pytest.mark.parametrize("name", [name for name in CHANGES if name != "create"])
async def test_a_caller_on_an_old_secret_changes_no_client_with_a_role_nor_grants_one(
    services: Services, make_client: MakeClient, late_owner: Caller, name: str, feature: str
) -> None:
    target = await make_client(feature)
    await services.rotation.reset_secret(target.id, DAY, by=ADMIN)
    before = await revision(services)
    with pytest.raises(Forbidden) as refused:
        await CHANGES[name](services, target.id, late_owner)
    assert refused.value.reason == "RETAINED_SECRET"
    assert await revision(services) == before


async def test_whoever_holds_an_old_owner_secret_does_not_take_the_house(
    services: Services, owner: Made, client: Made, late_owner: Caller
) -> None:
    before = await revision(services)
    for act in (
        lambda: services.rotation.revoke_old_secret(owner.id, by=late_owner),
        lambda: services.rotation.cancel_rollover(owner.id, by=late_owner),
        lambda: services.rotation.change_retention(owner.id, Retention(168), by=late_owner),
        lambda: services.rotation.reset_secret(owner.id, HARD, by=late_owner),
        lambda: services.clients.update_client(owner.id, by=late_owner, name="mine"),
        lambda: services.clients.update_client(client.id, by=late_owner, features=["owner"]),
        lambda: services.clients.create_client("mine", by=late_owner, features=["owner"]),
        lambda: services.clients.delete_client(owner.id, by=late_owner),
    ):
        with pytest.raises(Forbidden):
            await act()
    assert await revision(services) == before


async def test_a_secret_that_became_old_since_sign_in_is_an_old_one(
    services: Services, owner: Made, make_client: MakeClient
) -> None:
    caller = await sign_in(services, owner.id, owner.secret)
    other = await make_client("viewer")
    await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    with pytest.raises(Forbidden) as refused:
        await services.clients.update_client(other.id, by=caller, features=["owner"])
    assert refused.value.reason == "RETAINED_SECRET"


async def test_a_callers_own_secret_that_is_due_is_over_and_written_down(
    services: Services, owner: Made, client: Made, late_owner: Caller, clock: Clock
) -> None:
    """A change that is the first to see it writes EXPIRED, though it refuses; the clock may step back afterwards."""
    clock.move(24 * HOUR)
    with pytest.raises(Unauthenticated):
        await CHANGES["hard reset"](services, client.id, late_owner)
    with pytest.raises(Unauthenticated):
        await CHANGES["create"](services, client.id, late_owner)
    clock.move(-HOUR)
    assert not await is_good(services, owner.id, owner.secret)


async def test_the_command_line_needs_no_credential(services: Services, owner: Made) -> None:
    done = await services.rotation.reset_secret(owner.id, HARD, by=CLI)
    assert await is_good(services, owner.id, done.new_secret.reveal())


async def test_an_actor_of_one_kind_never_passes_for_one_of_another(
    services: Services, make_client: MakeClient
) -> None:
    """A person named like a client id is not that client: the reset is not a retry of the client's."""
    boss = await make_client("owner")
    caller = await sign_in(services, boss.id, boss.secret)
    person = replace(ADMIN, name=boss.id)
    assert len({caller.actor, person.actor, replace(CLI, name=boss.id).actor, boss.id}) >= 3
    assert caller.actor != person.actor
