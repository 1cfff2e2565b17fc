"""Moving secrets to a new key of the pepper on several nodes that verify from memory."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.callers import ADMIN, CLI, DAY, Made, is_good
from support.installation import PEPPER, OpenNode
from support.members import Join, Node, joining

from gql_secrets.domain.effects import EFFECTIVE
from gql_secrets.domain.errors import BadRequest, SetupError
from gql_secrets.service.pepper_migration import begin_migration, find_migration
from gql_secrets.service.verification import Accepted
from gql_secrets.settings import Settings

NEW = "k2:" + base64.urlsafe_b64encode(hashlib.sha256(b"second key of the tests").digest()).decode().rstrip("=")
NEW_BEHIND, NEW_IN_FRONT = f"{PEPPER},{NEW}", f"{NEW},{PEPPER}"


@pytest.fixture
def settings(postgres_url: str, settings: Settings) -> Settings:
    return replace(settings, database_url=postgres_url, verify_from="memory", rate_limits="off")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
async def join(open_node: OpenNode, settings: Settings) -> AsyncIterator[Join]:
    async with joining(open_node) as joined:

        async def function(pepper: str) -> Node:
            return await joined(settings=replace(settings, pepper=pepper))

        yield function


async def forget(node: Node) -> None:
    """Let a node that died count as stopped."""
    await node.services.database.run_tx(
        lambda tx: tx.execute("UPDATE cluster_member SET last_seen_at = 0 WHERE id = ?", node.membership.id)
    )


async def test_a_migration_is_refused_until_every_running_node_has_the_same_first_key(join: Join) -> None:
    behind = await join(NEW_BEHIND)
    in_front = await join(NEW_IN_FRONT)
    for node, other in ((in_front, "test"), (behind, "k2")):
        with pytest.raises(BadRequest, match=f"digests new secrets with the pepper key {other}"):
            await begin_migration(node.services.changes, by=CLI)

    # A node of an earlier version does not say which keys it has.
    await behind.die()
    say_nothing = "UPDATE cluster_member SET pepper_keys = NULL WHERE id = ?"
    await in_front.services.database.run_tx(lambda tx: tx.execute(say_nothing, behind.membership.id))
    with pytest.raises(BadRequest, match="does not say which keys it has"):
        await begin_migration(in_front.services.changes, by=CLI)
    assert await find_migration(in_front.services.database) is None

    await forget(behind)
    migration, is_new = await begin_migration(in_front.services.changes, by=CLI)
    assert (migration.key_id, is_new) == ("k2", True)
    with pytest.raises(SetupError, match="moved to the pepper key k2"):
        await join(PEPPER)


async def test_a_moved_secret_is_not_accepted_from_the_memory_of_any_node_after_its_end(
    join: Join, open_node: OpenNode
) -> None:
    """The other node remembers it by the digest that it had before."""
    before = await open_node()
    made = await before.clients.create_client("Shop", by=ADMIN)
    client = Made(made.client.client_id, made.secret.reveal())
    assert await is_good(before, client.id, client.secret)
    await before.rotation.reset_secret(client.id, DAY, by=ADMIN)

    one, two = await join(NEW_IN_FRONT), await join(NEW_IN_FRONT)
    await begin_migration(one.services.changes, by=CLI)
    await one.services.usage.flush()
    for node in (one, two):
        assert isinstance(await node.verify_from_memory(client), Accepted)
    await one.services.usage.flush()
    for node in (one, two):
        assert isinstance(await node.verify_from_memory(client), Accepted)
    keys = await one.services.database.fetch(
        "SELECT state, pepper_key_id FROM client_secret WHERE client_id = ?", [client.id]
    )
    assert {row["state"]: row["pepper_key_id"] for row in keys} == {"RETAINED": "k2", "CURRENT": "test"}

    revoked = await one.services.rotation.revoke_old_secret(client.id, by=ADMIN)
    assert revoked.effect == EFFECTIVE
    for node in (two, one):
        assert not await is_good(node.services, client.id, client.secret)
