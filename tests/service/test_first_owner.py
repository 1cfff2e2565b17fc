"""The person who starts the server can administer it."""

from support.callers import CLI
from support.installation import OpenNode

from gql_secrets.domain.access import Feature
from gql_secrets.wiring import Services


async def test_the_first_start_makes_an_owner_and_no_later_one_does(services: Services, open_node: OpenNode):
    assert services.first_owner is not None
    assert (await open_node()).first_owner is None


async def test_an_installation_that_was_filled_before_its_first_start_gets_an_owner_too(open_node: OpenNode):
    """An import or a `client create` on a new database must not leave a server that nobody administers."""
    before = await open_node(with_owner=False)
    await before.clients.create_client("Imported", by=CLI)
    assert (await open_node()).first_owner is not None


async def test_an_owner_made_on_the_command_line_is_owner_enough(open_node: OpenNode):
    before = await open_node(with_owner=False)
    await before.clients.create_client("Boss", features=[Feature.OWNER.value], by=CLI)
    assert (await open_node()).first_owner is None
