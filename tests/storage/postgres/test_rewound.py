"""A node answers nothing from a database that went back in time, until its clients in doubt are marked."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.audits import lose_changes
from support.callers import ADMIN, HARD, Made, is_good
from support.installation import MakeClient, OpenNode
from support.members import SOURCE, Join, Node, rows_of

from gql_secrets.domain.journal import ClientUncertain, UncertainClients
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


@pytest.fixture
def settings(postgres_url: str, settings: Settings) -> Settings:
    return replace(settings, database_url=postgres_url, rate_limits="off")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture(autouse=True)
def long_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of a busy machine is as long."""
    monkeypatch.setattr("gql_secrets.storage.node_lease.DOUBT_SECONDS", 600.0)


@pytest.fixture
def services(node: Node) -> Services:
    return node.services


async def test_a_node_that_followed_a_lost_change_answers_nothing_before_the_clients_are_marked(
    node: Node, join: Join, client: Made, settings: Settings, tmp_path: Path
) -> None:
    """It read the secret from the older database and accepted it, until a node marked the installation."""
    other = await join(settings=replace(settings, data_dir=tmp_path))
    assert await is_good(other.services, client.id, client.secret)
    kept = await newest_revision(node.services)
    await node.services.rotation.reset_secret(client.id, HARD, by=ADMIN)
    while other.membership._applied <= kept:  # on a busy machine, its lease may have been waited for instead
        await newest_revision(other.services)

    await lose_changes(node.services, kept)
    for services in (node.services, other.services):
        with pytest.raises(ClientUncertain):
            await services.verifier.verify(client.id, client.secret, SOURCE)
    while not other.membership.lease.is_database_doubtful:
        with pytest.raises(ClientUncertain):
            await other.services.verifier.verify(client.id, client.secret, SOURCE)
    with pytest.raises(ClientUncertain):
        await other.services.verifier.verify(client.id, client.secret, SOURCE)

    await node.services.history.follow()
    assert await other.services.history.uncertain_clients() is UncertainClients.NAMED
    other.membership.lease._doubt_end = 0  # its time is over
    with pytest.raises(ClientUncertain):
        await other.services.verifier.verify(client.id, client.secret, SOURCE)


async def test_a_node_without_a_memory_answers_nothing_from_a_database_older_than_its_journal(
    join: Join, make_client: MakeClient, settings: Settings
) -> None:
    client, bystander = await make_client(), await make_client()
    reader = (await join(settings=replace(settings, verify_from="database"))).services
    assert await is_good(reader, client.id, client.secret)
    kept = await newest_revision(reader)
    await reader.rotation.reset_secret(client.id, HARD, by=ADMIN)
    await lose_changes(reader, kept)
    for each in (client, bystander):
        with pytest.raises(ClientUncertain):
            await reader.verifier.verify(each.id, each.secret, SOURCE)
    await reader.history.follow()
    with pytest.raises(ClientUncertain):
        await reader.verifier.verify(client.id, client.secret, SOURCE)
    assert await is_good(reader, bystander.id, bystander.secret)


async def test_a_lost_change_confirms_none_that_was_made_since_under_the_same_revision(
    node: Node, open_node: OpenNode, client: Made, settings: Settings, tmp_path: Path
) -> None:
    other = await open_node(settings=replace(settings, data_dir=tmp_path))
    kept = await newest_revision(node.services)
    await node.services.clients.update_client(client.id, name="One", by=ADMIN)
    while node.membership._applied <= kept:  # its answer does not wait for a poll of its own node
        await newest_revision(node.services)
    await node.die()
    await lose_changes(node.services, kept)
    edited = await other.clients.update_client(client.id, name="Two", by=ADMIN)
    assert edited.effect.everywhere
    assert await newest_revision(other) == kept + 1

    membership = node.membership
    connection = await membership._connected()
    await membership._join(connection)
    lost = await membership._poll(connection)
    [row] = await rows_of(node.services, membership.id)
    assert (lost, row["applied_revision"]) == (True, 0)
    assert not membership.lease.is_held
    await membership._poll(connection)
    [row] = await rows_of(node.services, membership.id)
    assert row["applied_revision"] == kept + 1
    await membership._drop_connection()


async def newest_revision(services: Services) -> int:
    [row] = await services.database.fetch("SELECT revision FROM installation")
    return int(row["revision"])
