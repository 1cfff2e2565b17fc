"""What one request read is not kept for longer than the request: collecting it as garbage makes others wait."""

import gc
from weakref import ref

from support.callers import ADMIN

from gql_secrets.api.graphql.context import Context
from gql_secrets.wiring import Services


async def test_nothing_that_a_request_read_refers_to_the_request(services: Services) -> None:
    context = Context(services, ADMIN, "request-1")
    await context.now()
    await context.loaders.usage.load(1)
    await context.loaders.clients.find("nobody")
    loaders = ref(context.loaders)
    gc.disable()
    try:
        del context
        assert loaders() is None
    finally:
        gc.enable()
