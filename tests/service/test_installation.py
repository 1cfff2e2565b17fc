"""What the first start makes, and what every start refuses: another pepper, a lost one, a database of the future."""

import asyncio
import base64
import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from support.callers import ADMIN, DAY, HARD, is_good, verify
from support.installation import PEPPER, OpenNode

from gql_secrets import wiring
from gql_secrets.domain.errors import Conflict, PepperKeyMissing, SetupError, Unavailable
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.pepper_status import KeyStatus, clients_of_older_keys, key_statuses
from gql_secrets.service.rotation import Rotation
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Refused
from gql_secrets.settings import PEPPER_FILE, Settings
from gql_secrets.wiring import Services, open_services


def key(name: str, seed: str = "") -> str:
    raw = hashlib.sha256(f"{name} {seed}".encode()).digest()
    return f"{name}:{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def open_files(directory: Path) -> list[str]:
    """Return the names of the files in a directory that this process has open."""
    opened = [each.resolve() for each in Path("/proc/self/fd").iterdir()]
    return [file.name for file in opened if file.is_relative_to(directory)]


async def start(settings: Settings) -> None:
    await (await open_services(settings)).close()


async def count_of_clients(services: Services) -> int:
    return await (await services.queries.page_of_clients(PageRequest())).count()


async def test_the_first_start_makes_one_owner_and_the_second_none(open_node: OpenNode) -> None:
    first, second = await open_node(), await open_node()
    assert first.first_owner is not None
    assert second.first_owner is None
    owner = first.first_owner
    assert await is_good(second, owner.client.client_id, owner.secret.reveal())
    assert (await second.queries.features([owner.client.client_id]))[owner.client.client_id] == ["owner"]
    [event] = (await second.queries.page_of_audit_events(PageRequest())).rows
    assert (event.revision, event.action, event.actor) == (1, "CLIENT_CREATED", "system")


async def test_of_many_simultaneous_first_starts_one_creates_the_owner(settings: Settings) -> None:
    opened = await asyncio.gather(*(open_services(settings) for _ in range(6)))
    try:
        assert len([services for services in opened if services.first_owner]) == 1
        assert await count_of_clients(opened[0]) == 1
    finally:
        for services in opened:
            await services.close()


async def test_the_command_line_makes_no_owner(open_node: OpenNode) -> None:
    first = await open_node(with_owner=False)
    assert first.first_owner is None
    assert await count_of_clients(first) == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the list of open files that Linux has")
async def test_a_start_that_fails_late_leaves_nothing_open(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that tries again would otherwise keep a journal and a connection for each failed start."""

    async def fail(_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(wiring, "report_replication", fail)
    with pytest.raises(Unavailable):
        await open_services(settings)
    assert open_files(settings.data_dir) == []


# The pepper


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_without_a_setting_the_first_start_makes_a_pepper_and_the_second_has_it(
    settings: Settings, data_dir: Path, open_node: OpenNode
) -> None:
    keyless = replace(settings, pepper="")
    first = await open_node(settings=keyless)
    assert first.first_owner is not None
    made = (data_dir / PEPPER_FILE).read_text()
    second = await open_node(settings=keyless)
    owner = first.first_owner
    assert await is_good(second, owner.client.client_id, owner.secret.reveal())
    assert (data_dir / PEPPER_FILE).read_text() == made


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_first_start_on_postgresql_needs_a_pepper_and_makes_none(settings: Settings, data_dir: Path) -> None:
    with pytest.raises(SetupError, match="GQL_SECRETS_PEPPER_FILE"):
        await start(replace(settings, pepper=""))
    assert not (data_dir / PEPPER_FILE).exists()
    await start(settings)


async def test_no_secret_is_refused_on_any_node_while_the_pepper_changes_in_two_passes(
    settings: Settings, open_node: OpenNode
) -> None:
    old, new = PEPPER, key("k2")
    rings = {name: replace(settings, pepper=ring) for name, ring in
             {"old": old, "both": f"{old},{new}", "new": f"{new},{old}"}.items()}  # fmt: skip
    nodes = [await open_node(settings=rings["old"]) for _ in range(3)]
    credentials: list[tuple[str, str]] = []

    async def work_on_all_nodes() -> None:
        for node in nodes:
            made = await node.clients.create_client("Shop", by=ADMIN)
            credentials.append((made.client.client_id, made.secret.reveal()))
            done = await node.rotation.reset_secret(made.client.client_id, DAY, by=ADMIN)
            credentials.append((made.client.client_id, done.new_secret.reveal()))
        assert all([await is_good(node, *credential) for node in nodes for credential in credentials])

    await work_on_all_nodes()
    for ring in ("both", "new"):
        for place in range(len(nodes)):
            nodes[place] = await open_node(settings=rings[ring])
            await work_on_all_nodes()


async def test_a_node_that_lacks_a_key_of_active_secrets_refuses_nothing_that_it_does_not_find(
    settings: Settings, open_node: OpenNode, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers for the secrets under its own keys, and stays ready."""
    lacking = await open_node()
    made = await lacking.clients.create_client("Shop", by=ADMIN)
    client_id, old = made.client.client_id, made.secret.reveal()
    assert isinstance(await verify(lacking, client_id, "unknown"), Refused)
    ahead = await open_node(settings=replace(settings, pepper=f"{key('k2')},{PEPPER}"))
    assert isinstance(await verify(lacking, client_id, "unknown"), Refused), "nothing is under the new key yet"
    new = (await ahead.rotation.reset_secret(client_id, DAY, by=ADMIN)).new_secret.reveal()

    for secret in (new, "unknown"):
        with pytest.raises(PepperKeyMissing):
            await verify(lacking, client_id, secret)
        with contextlib.suppress(PepperKeyMissing):
            assert lacking.verifier.verify_nowait(client_id, secret, Source()) is None
    assert {record.key_id for record in caplog.records if record.message == "pepper_key_missing"} == {"k2"}  # type: ignore[attr-defined]
    assert await is_good(lacking, client_id, old)
    await lacking.verifier.check()
    await ahead.rotation.revoke_old_secret(client_id, by=ADMIN)
    assert isinstance(await verify(lacking, client_id, old), Refused)
    assert await is_good(ahead, client_id, new)
    assert isinstance(await verify(ahead, client_id, "unknown"), Refused)


async def test_a_node_without_a_key_that_no_active_secret_needs_refuses_what_it_does_not_find(
    settings: Settings, open_node: OpenNode
) -> None:
    first = await open_node()
    assert first.first_owner is not None
    client_id = first.first_owner.client.client_id
    both = await open_node(settings=replace(settings, pepper=f"{key('k2')},{PEPPER}"))
    await both.rotation.reset_secret(client_id, HARD, by=ADMIN)
    last = await open_node(settings=replace(settings, pepper=key("k2")))
    assert isinstance(await verify(last, client_id, "unknown"), Refused)


async def test_another_key_under_the_id_of_a_second_key_is_refused_on_every_node(settings: Settings) -> None:
    await start(replace(settings, pepper=f"{PEPPER},{key('k2')}"))
    with pytest.raises(SetupError, match="k2 is not the one that this database knows"):
        await start(replace(settings, pepper=f"{PEPPER},{key('k2', 'another')}"))
    await start(replace(settings, pepper=f"{PEPPER},{key('k2')}"))


async def test_the_status_of_a_key_says_what_depends_on_it(settings: Settings, open_node: OpenNode) -> None:
    before = await open_node()
    assert before.first_owner is not None
    client_id = before.first_owner.client.client_id
    pepper = f"{key('k2')},{PEPPER}"
    node = await open_node(settings=replace(settings, pepper=pepper))

    async def status() -> tuple[KeyStatus, KeyStatus]:
        keys = {each.key_id: each for each in await key_statuses(node.database, node.changes.pepper)}
        assert keys.keys() == {"test", "k2"}
        return keys["test"], keys["k2"]

    old, new = await status()
    assert (old.active_secrets, old.signs_audit, old.may_be_removed) == (1, True, False)
    assert (new.active_secrets, new.digests_new_secrets, new.may_be_removed) == (0, True, False)
    assert await clients_of_older_keys(node.database, node.changes.pepper, 10) == [(client_id, "First owner", None)]

    await node.rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key="a-key-of-16-characters")
    old, new = await status()
    assert (old.active_secrets, old.signs_audit, old.may_be_removed) == (1, False, False)
    assert (new.active_secrets, new.repeatable_resets) == (1, 1)
    await node.rotation.revoke_old_secret(client_id, by=ADMIN)
    old, new = await status()
    assert (old.active_secrets, old.ended_secrets, old.may_be_removed) == (0, 1, True)
    assert await clients_of_older_keys(node.database, node.changes.pepper, 10) == []
    await start(replace(settings, pepper=key("k2")))


async def test_a_start_with_another_pepper_is_refused(settings: Settings) -> None:
    await start(settings)
    for other in (key("test"), key("k2"), f"{key('k2')},{key('k3')}"):
        with pytest.raises(SetupError) as refused:
            await start(replace(settings, pepper=other))
        assert other.partition(":")[2] not in str(refused.value)
        assert "pepper" in str(refused.value).lower()


async def test_a_second_node_without_the_pepper_is_refused_and_makes_none(settings: Settings, data_dir: Path) -> None:
    await start(settings)
    with pytest.raises(SetupError):
        await start(replace(settings, pepper=""))
    assert not (data_dir / PEPPER_FILE).exists()


@pytest.mark.parametrize("weak", ["", "k1", "k1:", "k1:AAAA", "k1:" + "A" * 43])
async def test_a_weak_pepper_stops_the_start(settings: Settings, weak: str) -> None:
    if weak:
        with pytest.raises(SetupError):
            await start(replace(settings, pepper=weak))


async def test_a_new_key_in_front_of_the_ring_digests_and_the_old_one_still_finds(
    settings: Settings, open_node: OpenNode
) -> None:
    before = await open_node()
    owner = before.first_owner
    assert owner is not None
    old = owner.secret.reveal()
    rotated = await open_node(settings=replace(settings, pepper=f"{key('k2')},{PEPPER}"))
    assert await is_good(rotated, owner.client.client_id, old)
    done = await rotated.rotation.reset_secret(owner.client.client_id, DAY, by=ADMIN)
    assert await is_good(rotated, owner.client.client_id, done.new_secret.reveal())
    keys = await rotated.database.fetch("SELECT pepper_key_id FROM client_secret ORDER BY id")
    assert [row["pepper_key_id"] for row in keys] == ["test", "k2"]
    again = await open_node(settings=replace(settings, pepper=f"{key('k2')},{PEPPER}"))
    assert await is_good(again, owner.client.client_id, old)


async def test_a_replay_is_answered_by_the_key_that_made_it(settings: Settings, open_node: OpenNode) -> None:
    before = await open_node()
    assert before.first_owner is not None
    client_id = before.first_owner.client.client_id
    idempotency_key = "a-key-of-16-characters"

    async def reset(rotation: Rotation) -> str:
        done = await rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key=idempotency_key)
        return done.new_secret.reveal()

    first = await reset(before.rotation)
    rotated = await open_node(settings=replace(settings, pepper=f"{key('k2')},{PEPPER}"))
    assert await reset(rotated.rotation) == first


async def test_a_key_that_an_active_secret_depends_on_cannot_be_removed(
    settings: Settings, open_node: OpenNode
) -> None:
    """Half of the ring lost: half of the secrets would be unknown, and nobody would say why."""
    both = replace(settings, pepper=f"{key('k2')},{PEPPER}")
    before = await open_node()
    assert before.first_owner is not None
    rotated = await open_node(settings=both)
    await rotated.clients.create_client("New", by=ADMIN)
    for lost in (key("k2"), PEPPER):
        with pytest.raises(SetupError) as refused:
            await start(replace(settings, pepper=lost))
        assert ("test" if lost != PEPPER else "k2") in str(refused.value)
    await start(both)


async def test_a_key_that_no_active_secret_depends_on_can_be_removed(settings: Settings, open_node: OpenNode) -> None:
    before = await open_node()
    assert before.first_owner is not None
    rotated = await open_node(settings=replace(settings, pepper=f"{key('k2')},{PEPPER}"))
    client_id = before.first_owner.client.client_id
    await rotated.rotation.reset_secret(client_id, DAY, by=ADMIN)
    await rotated.rotation.revoke_old_secret(client_id, by=ADMIN)
    await start(replace(settings, pepper=key("k2")))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("trouble", [Conflict("busy"), Unavailable()])
async def test_trouble_during_the_first_start_leaves_the_pepper_that_another_process_may_use(
    settings: Settings, data_dir: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """The pepper is the one thing that cannot be made again: deleting it would end every secret."""
    keyless = replace(settings, pepper="")
    prepare = wiring.prepare  # type: ignore[attr-defined]

    async def another_process_was_quicker(*args: object, **given: object) -> object:
        await prepare(*args, **given)  # type: ignore[arg-type]
        raise trouble

    monkeypatch.setattr(wiring, "prepare", another_process_was_quicker)
    with pytest.raises(type(trouble)):
        await start(keyless)
    monkeypatch.undo()
    assert (data_dir / PEPPER_FILE).exists()
    await start(keyless)


async def test_a_pepper_made_for_a_database_that_has_another_is_taken_back(
    settings: Settings, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes with data directories of their own start on one new PostgreSQL: the second must not keep its key."""
    await start(settings)

    async def not_yet(*_: object) -> bool:
        return False

    monkeypatch.setattr(wiring, "is_installed", not_yet)
    with pytest.raises(SetupError):
        await start(replace(settings, pepper=""))
    assert not (data_dir / PEPPER_FILE).exists()
