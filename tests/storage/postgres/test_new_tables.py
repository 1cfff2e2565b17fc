"""PostgreSQL counts the rows of new tables a minute later; nobody waits for that."""

import base64
import hashlib
import json
from functools import partial
from typing import Any

import pytest
from support.callers import CLI

from gql_secrets.domain.networks import EVERYWHERE
from gql_secrets.service.client_import import Import, ImportedClient
from gql_secrets.storage.database import Database
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
TABLES = ("client", "client_secret", "client_listing")


async def count_by_hand(database: Database) -> None:
    """Keep PostgreSQL from counting rows automatically."""
    for table in TABLES:
        statement = f"ALTER TABLE {table} SET (autovacuum_enabled = false)"
        await database.run_tx(partial(Transaction.execute, statement=statement))


async def counted_rows(database: Database) -> dict[str, int]:
    """The number of rows that the planner knows of; -1 where it knows nothing."""
    rows = await database.fetch("SELECT relname, reltuples::bigint AS rows FROM pg_class WHERE relkind = 'r'")
    return {row["relname"]: row["rows"] for row in rows if row["relname"] in TABLES}


async def test_a_page_is_taken_before_anything_is_joined_to_it(services: Services) -> None:
    """Otherwise, all clients were joined with all secrets for the first page, until the time limit of a statement."""
    joins = "LEFT JOIN client_secret s ON s.client_id = c.client_id AND s.state = 'CURRENT'"
    page = services.database.dialect.page_with("client c", joins, "c.deleted_at IS NULL", "c.created_at DESC", 50)
    [[text]] = await services.database.fetch_rows(f"EXPLAIN (FORMAT JSON) SELECT c.client_id, s.id FROM {page}", ())  # noqa: S608  our own
    top = json.loads(text)[0]["Plan"]

    assert top["Node Type"] != "Limit"
    assert tables_of(top) == {"client", "client_secret"}
    [limited] = [node for node in nodes_of(top) if node["Node Type"] == "Limit"]
    assert tables_of(limited) == {"client"}


async def test_the_secrets_of_a_page_are_found_client_by_client(services: Services) -> None:
    """PostgreSQL merged a page of clients with every rollover that there is: 2,000 rows were read for 51."""
    dialect = services.database.dialect
    joins = dialect.row_of("client_secret", "s", "s.client_id = c.client_id AND s.state = 'RETAINED'")
    page = dialect.page_with("client c", joins, "c.deleted_at IS NULL", "c.created_at DESC", 50)
    [[text]] = await services.database.fetch_rows(f"EXPLAIN (FORMAT JSON) SELECT c.client_id, s.id FROM {page}", ())  # noqa: S608  our own

    [secrets] = [node for node in nodes_of(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == "client_secret"]
    assert "c.client_id" in secrets["Index Cond"]


def nodes_of(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for each in node.get("Plans", ()) for below in nodes_of(each))]


def tables_of(node: dict[str, Any]) -> set[str]:
    return {each["Relation Name"] for each in nodes_of(node) if "Relation Name" in each}


async def test_the_rows_are_counted_while_clients_are_imported(services: Services) -> None:
    await count_by_hand(services.database)
    there = len(await services.database.fetch("SELECT client_id FROM client"))
    importing, known = Import(services.changes, by=CLI), []
    for begin in (0, 10, 50, 60):
        batch = [imported(number) for number in range(begin, begin + 10)]
        await importing.take(batch)
        known.append((await counted_rows(services.database))["client"] - there)

    assert known == [10, 10, 10, 40]


def imported(number: int) -> ImportedClient:
    secret = base64.b32encode(hashlib.sha256(b"%d" % number).digest()).decode()
    return ImportedClient.of(f"till-{number}", secret, description=None, features=[], allow_list=EVERYWHERE)
