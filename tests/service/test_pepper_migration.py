"""Moving secrets to a new key of the pepper, so that the old one can go without a reset of every client."""

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from support.callers import ADMIN, CLI, DAY
from support.clocks import HOUR, Clock
from support.installation import PEPPER, OpenNode

from gql_secrets.domain.errors import SetupError
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.pepper_migration import begin_migration, find_migration
from gql_secrets.service.pepper_status import clients_of_older_keys
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Accepted, Refused, Verdict
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

NEW = "k2:" + base64.urlsafe_b64encode(hashlib.sha256(b"second key of the tests").digest()).decode().rstrip("=")
IDEMPOTENCY_KEY = "a-key-of-16-characters"


async def verify(node: Services, client_id: str, secret: str) -> Verdict:
    return await node.verifier.verify(client_id, secret, Source("192.0.2.1"))


async def key_of(node: Services, secret_id: int | None) -> str:
    [row] = await node.database.fetch("SELECT pepper_key_id FROM client_secret WHERE id = ?", [secret_id])
    return str(row["pepper_key_id"])


@pytest.fixture
def both(settings: Settings) -> Settings:
    return replace(settings, pepper=f"{NEW},{PEPPER}")


async def test_an_accepted_verification_moves_its_secret_and_the_flush_writes_it(
    settings: Settings, both: Settings, open_node: OpenNode
) -> None:
    before = await open_node()
    made = await before.clients.create_client("Shop", by=ADMIN)
    client_id, secret = made.client.client_id, made.secret.reveal()
    node = await open_node(settings=both)
    accepted = await verify(node, client_id, secret)
    assert isinstance(accepted, Accepted)
    await node.usage.flush()
    assert await key_of(node, accepted.secret_id) == "test", "there is no migration yet"

    _, is_new = await begin_migration(node.changes, by=CLI)
    assert is_new
    await node.usage.flush()
    assert isinstance(await verify(node, client_id, secret), Accepted)
    assert await key_of(node, accepted.secret_id) == "test", "the answer's path writes nothing"
    await node.usage.flush()
    assert await key_of(node, accepted.secret_id) == "k2"
    assert isinstance(await verify(node, client_id, secret), Accepted)
    assert not node.verifier._digest_moves._queue, "what was moved is not moved again"
    assert client_id not in [
        each.client_id for each in await clients_of_older_keys(node.database, node.changes.pepper, 9)
    ]
    assert (await AuditLog(node.database, node.changes.pepper).verify()).problem is None
    with pytest.raises(SetupError, match="moved to the pepper key k2"):
        await open_node(settings=settings)


async def test_a_migration_that_has_begun_is_not_begun_again(both: Settings, open_node: OpenNode) -> None:
    node = await open_node(settings=both)
    first, is_first = await begin_migration(node.changes, by=CLI)
    again, is_second = await begin_migration(node.changes, by=CLI)
    assert (is_first, is_second, again) == (True, False, first)
    events = await node.database.fetch(
        "SELECT pepper_key_id FROM audit_event WHERE action = 'PEPPER_MIGRATION_STARTED'"
    )
    assert [event["pepper_key_id"] for event in events] == ["k2"]


@pytest.mark.parametrize("by", [-HOUR, timedelta(0)])
async def test_going_back_to_the_old_key_takes_effect_when_the_clock_was_set_back_too(
    both: Settings, open_node: OpenNode, clock: Clock, by: timedelta
) -> None:
    node = await open_node(settings=both)
    await begin_migration(node.changes, by=CLI)
    made = await node.clients.create_client("Shop", by=ADMIN)
    await node.close()
    clock.move(by)

    back = await open_node(settings=replace(both, pepper=f"{PEPPER},{NEW}"))
    began, _ = await begin_migration(back.changes, by=CLI)
    assert (began.key_id, await find_migration(back.database)) == ("test", began)
    assert await begin_migration(back.changes, by=CLI) == (began, False)
    await back.usage.flush()
    accepted = await verify(back, made.client.client_id, made.secret.reveal())
    assert isinstance(accepted, Accepted)
    await back.usage.flush()
    assert await key_of(back, accepted.secret_id) == "test"


async def test_a_revoked_secret_is_not_accepted_from_memory_after_its_digest_changed(
    both: Settings, open_node: OpenNode
) -> None:
    """Another node remembers it by the old digest."""
    before = await open_node()
    made = await before.clients.create_client("Shop", by=ADMIN)
    client_id, old = made.client.client_id, made.secret.reveal()
    assert isinstance(await verify(before, client_id, old), Accepted)
    await before.rotation.reset_secret(client_id, DAY, by=ADMIN)
    nodes = [await open_node(settings=both) for _ in range(2)]
    await begin_migration(nodes[0].changes, by=CLI)
    await nodes[0].usage.flush()
    for node in nodes:
        accepted = await verify(node, client_id, old)
        assert isinstance(accepted, Accepted)
    await nodes[0].usage.flush()
    assert await key_of(nodes[0], accepted.secret_id) == "k2"
    for node in nodes:
        assert isinstance(await verify(node, client_id, old), Accepted)
    await nodes[0].rotation.revoke_old_secret(client_id, by=ADMIN)
    for node in nodes:
        assert isinstance(await verify(node, client_id, old), Refused)


async def test_a_replay_compares_under_the_key_that_the_secret_was_moved_to(
    both: Settings, open_node: OpenNode
) -> None:
    before = await open_node()
    made = await before.clients.create_client("Shop", by=ADMIN)
    client_id = made.client.client_id
    first = await before.rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key=IDEMPOTENCY_KEY)
    node = await open_node(settings=both)
    await begin_migration(node.changes, by=CLI)
    await node.usage.flush()
    assert isinstance(accepted := await verify(node, client_id, first.new_secret.reveal()), Accepted)
    await node.usage.flush()
    assert await key_of(node, accepted.secret_id) == "k2"
    again = await node.rotation.reset_secret(client_id, DAY, by=ADMIN, idempotency_key=IDEMPOTENCY_KEY)
    assert again.new_secret == first.new_secret
