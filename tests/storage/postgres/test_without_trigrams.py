"""Where the role may not create the extension pg_trgm, everything works, and a search reads every client."""

from pathlib import Path

import asyncpg
from support.callers import CLI
from support.clocks import Clock
from support.databases import PostgresServer, name_in
from support.installation import PEPPER

from gql_secrets.service.pages import PageRequest
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services

EXTENSIONS = "SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'"
INDEXES = "SELECT indexname FROM pg_indexes WHERE indexname = 'client_listing_search'"


async def found(services: Services, search: str) -> list[str]:
    page = await services.queries.page_of_clients(PageRequest(first=10), search=search)
    assert await page.count() == len(page.rows)
    return sorted(row.name for row in page.rows)


async def test_a_role_that_may_not_create_the_extension_has_a_search(
    postgres_server: PostgresServer, data_dir: Path, clock: Clock
) -> None:
    url = postgres_server.create("template0")
    name = name_in(url)
    role = f"{name}_role"
    try:
        # It may create tables, and no extension: that needs the right to create in the database.
        postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'walk'")
        postgres_server.execute(f"REVOKE CREATE ON DATABASE {name} FROM PUBLIC")
        owner = await asyncpg.connect(url)
        await owner.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
        await owner.close()
        own_url = url.replace("postgres:@", f"{role}:walk@")
        settings = Settings(data_dir=data_dir, database_url=own_url, pepper=PEPPER)
        services = await open_services(settings, adjust_clock=clock)
        try:
            assert await services.database.fetch(EXTENSIONS) == []
            assert await services.database.fetch(INDEXES) == []
            for client in ("SMS gateway", "Legacy fax gateway", "100% under_score"):
                await services.clients.create_client(client, by=CLI, description="Owned by team A")
            assert await found(services, "ATEWA") == ["Legacy fax gateway", "SMS gateway"]
            assert await found(services, "0% un") == ["100% under_score"]
            assert await found(services, "team a") == ["100% under_score", "Legacy fax gateway", "SMS gateway"]
            assert await found(services, "le") == ["Legacy fax gateway"]
            assert await found(services, "absent") == []
        finally:
            await services.close()
    finally:
        postgres_server.drop(url)
        postgres_server.execute(f"DROP ROLE IF EXISTS {role}")
