"""A lost answer is asked for again, and gives the same secret or an error, never a third thing (rule 9)."""

import sqlite3
from pathlib import Path

import pytest
from support.callers import ADMIN, DAY, HARD, OPERATOR, OTHER_ADMIN, VIEWER, WEEK, Made, is_good, sign_in
from support.clocks import HOUR, MICROSECOND, MINUTE, NOW, Clock
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import (
    ClientNotFound,
    Forbidden,
    IdempotencyKeyReused,
    IdempotencyResultEnded,
    InvalidIdempotencyKey,
    RolloverInProgress,
)
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.rotation import Rotation
from gql_secrets.settings import DATABASE_FILE
from gql_secrets.wiring import Services

KEY = "0b8f3c52-6a1e-4f0e-9d2f-5f1d2c3b4a59"


@pytest.fixture
def rotation(services: Services) -> Rotation:
    return services.rotation


def everything_in(data_dir: Path) -> tuple[str, bytes]:
    """The database as SQL, and the bytes of all its files, the write-ahead log among them."""
    connection = sqlite3.connect(data_dir / DATABASE_FILE)
    dump = "\n".join(connection.iterdump())
    connection.close()
    return dump, b"".join(path.read_bytes() for path in data_dir.iterdir())


async def count_of_events(services: Services) -> int:
    return await (await services.queries.page_of_audit_events(PageRequest())).count()


async def test_the_same_key_gives_the_same_secret_and_changes_nothing(
    services: Services, rotation: Rotation, client: Made, clock: Clock
) -> None:
    first = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    events = await count_of_events(services)
    clock.move(10 * MINUTE - MICROSECOND)
    again = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.new_secret == first.new_secret
    assert again.client.generation == first.client.generation
    assert again.old_secret is not None
    assert again.old_secret.expires_at == NOW + 24 * HOUR
    assert await count_of_events(services) == events
    assert await is_good(services, client.id, client.secret)


async def test_after_ten_minutes_the_key_is_a_new_one(rotation: Rotation, client: Made, clock: Clock) -> None:
    first = await rotation.reset_secret(client.id, HARD, by=ADMIN, idempotency_key=KEY)
    clock.move(10 * MINUTE)
    again = await rotation.reset_secret(client.id, HARD, by=ADMIN, idempotency_key=KEY)
    assert not again.replayed
    assert again.new_secret != first.new_secret
    replay = await rotation.reset_secret(client.id, HARD, by=ADMIN, idempotency_key=KEY)
    assert replay.new_secret == again.new_secret


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"retention": WEEK}, id="hours"),
        pytest.param({"end_active_rollover": True}, id="flag"),
        pytest.param({"if_generation": 1}, id="generation"),
        pytest.param({"client": "other"}, id="client"),
    ],
)
async def test_the_same_key_for_something_else_is_refused(
    services: Services, rotation: Rotation, client: Made, make_client: MakeClient, change: dict[str, object]
) -> None:
    await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    events = await count_of_events(services)
    given = {"retention": DAY, "client": client.id, **change}
    if given["client"] == "other":
        given["client"] = (await make_client()).id
        events += 1
    with pytest.raises(IdempotencyKeyReused):
        await rotation.reset_secret(given.pop("client"), by=ADMIN, idempotency_key=KEY, **given)  # type: ignore[arg-type]
    assert await count_of_events(services) == events


async def test_a_key_belongs_to_its_caller(rotation: Rotation, client: Made) -> None:
    """Nobody learns another caller's secret by a key that they guess or share."""
    first = await rotation.reset_secret(client.id, HARD, by=ADMIN, idempotency_key=KEY)
    other = await rotation.reset_secret(client.id, HARD, by=OTHER_ADMIN, idempotency_key=KEY)
    assert not other.replayed
    assert other.new_secret != first.new_secret


async def test_a_replay_comes_before_the_generation_and_the_rollover(
    services: Services, rotation: Rotation, client: Made
) -> None:
    """The generation that the first try named is gone by its own success, and the new secret is in use already."""
    first = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY, if_generation=1)
    assert await is_good(services, client.id, first.new_secret.reveal())
    again = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY, if_generation=1)
    assert again.new_secret == first.new_secret


async def test_a_replay_whose_secret_ended_is_an_error(rotation: Rotation, client: Made) -> None:
    await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    await rotation.reset_secret(client.id, HARD, by=ADMIN)
    with pytest.raises(IdempotencyResultEnded):
        await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)


async def test_a_replay_is_answered_while_its_secret_is_the_old_one(
    rotation: Rotation, client: Made, clock: Clock
) -> None:
    first = await rotation.reset_secret(client.id, HARD, by=ADMIN, idempotency_key=KEY)
    await rotation.reset_secret(client.id, DAY, by=ADMIN)
    again = await rotation.reset_secret(client.id, HARD, by=ADMIN, idempotency_key=KEY)
    assert again.new_secret == first.new_secret
    clock.move(MINUTE)


async def test_a_replay_is_answered_while_the_client_is_disabled(
    services: Services, rotation: Rotation, client: Made
) -> None:
    first = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    await services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN)
    again = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    assert again.new_secret == first.new_secret


async def test_a_replay_for_a_deleted_client_finds_no_client(
    services: Services, rotation: Rotation, client: Made
) -> None:
    await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    await services.clients.delete_client(client.id, by=ADMIN)
    with pytest.raises(ClientNotFound):
        await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)


async def test_a_refused_reset_keeps_no_key(services: Services, rotation: Rotation, client: Made) -> None:
    """Only successes are kept: what was refused may be tried again."""
    done = await rotation.reset_secret(client.id, DAY, by=ADMIN)
    assert await is_good(services, client.id, done.new_secret.reveal())
    with pytest.raises(RolloverInProgress):
        await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    await rotation.revoke_old_secret(client.id, by=ADMIN)
    again = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    assert not again.replayed


async def test_who_may_not_reset_gets_no_replay(
    services: Services, rotation: Rotation, client: Made, make_client: MakeClient
) -> None:
    boss = await make_client("owner")
    caller = await sign_in(services, boss.id, boss.secret)
    await rotation.reset_secret(client.id, HARD, by=caller, idempotency_key=KEY)
    await services.clients.update_client(boss.id, by=ADMIN, features=["viewer"])
    with pytest.raises(Forbidden):
        await rotation.reset_secret(client.id, HARD, by=caller, idempotency_key=KEY)
    with pytest.raises(Forbidden):
        await rotation.reset_secret(client.id, HARD, by=VIEWER, idempotency_key=KEY)
    operator = await rotation.reset_secret(client.id, HARD, by=OPERATOR, idempotency_key=KEY)
    assert not operator.replayed


async def test_an_owner_on_its_old_secret_gets_the_replay_of_its_own_reset_and_nothing_else(
    services: Services, rotation: Rotation, owner: Made
) -> None:
    """The answer got lost: the owner holds its old secret alone, and asks again with it."""
    caller = await sign_in(services, owner.id, owner.secret)
    first = await rotation.reset_secret(owner.id, DAY, by=caller, idempotency_key=KEY)
    late = await sign_in(services, owner.id, owner.secret)
    again = await rotation.reset_secret(owner.id, DAY, by=late, idempotency_key=KEY)
    assert again.new_secret == first.new_secret
    with pytest.raises(Forbidden) as refused:
        await rotation.reset_secret(owner.id, DAY, by=late, idempotency_key=KEY[::-1])
    assert refused.value.reason == "RETAINED_SECRET"
    assert late.role is Role.ADMIN


async def test_a_replay_works_on_another_node(
    services: Services, rotation: Rotation, client: Made, open_node: OpenNode
) -> None:
    first = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    other = await open_node()
    again = await other.rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    assert again.new_secret == first.new_secret
    assert await is_good(services, client.id, again.new_secret.reveal())


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 15, "x" * 256, "with a line\nbreak....", "nön-ascii-key-0123456789", "\x00" * 20]
)
async def test_a_key_that_is_too_short_or_strange_is_refused(rotation: Rotation, client: Made, key: str) -> None:
    with pytest.raises(InvalidIdempotencyKey) as refused:
        await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=key)
    assert (refused.value.minimum, refused.value.maximum) == (16, 255)


@pytest.mark.parametrize("key", ["x" * 16, "x" * 255])
async def test_keys_of_16_to_255_characters_are_taken(rotation: Rotation, client: Made, key: str) -> None:
    assert not (await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=key)).replayed


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_neither_the_key_nor_the_secret_is_stored(rotation: Rotation, client: Made, data_dir: Path) -> None:
    """With the database alone nobody derives the secret again: the pepper is elsewhere, and the key is hashed."""
    done = await rotation.reset_secret(client.id, DAY, by=ADMIN, idempotency_key=KEY)
    secret = done.new_secret.reveal()
    dump, files = everything_in(data_dir)
    for needle in (KEY, secret, secret[5:48]):
        assert needle not in dump
        assert needle.encode() not in files
        assert needle.encode().hex() not in dump.lower()
