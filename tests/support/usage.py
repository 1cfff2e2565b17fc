"""What tests ask about the use of secrets."""

from gql_secrets.service.pages import PageRequest
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.verification import Accepted
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.usage import SecretUse, Totals, UsageBucket
from gql_secrets.wiring import Services
from support.callers import Made


async def call(services: Services, client: Made, secret: str | None = None, source: Source | None = None) -> bool:
    verdict = await services.verifier.verify(
        client.id, secret or client.secret, source or Source("198.51.100.7", "curl/8")
    )
    return isinstance(verdict, Accepted)


async def secrets_of(services: Services, client: Made) -> list[ClientSecret]:
    """All of the client's secrets, oldest first."""
    page = await services.queries.page_of_secrets(client.id, PageRequest(first=100))
    return list(reversed(page.rows))


async def first_id(services: Services, client: Made) -> int:
    return (await secrets_of(services, client))[0].id


async def uses(services: Services, secret_id: int) -> list[SecretUse]:
    return (await services.usage_queries.uses_of([secret_id]))[secret_id]


async def buckets(services: Services, secret_id: int) -> list[UsageBucket]:
    return (await services.usage_queries.usage_of([secret_id]))[secret_id]


async def totals(services: Services, secret_id: int) -> Totals:
    return (await services.usage_queries.totals_of([secret_id]))[secret_id]
