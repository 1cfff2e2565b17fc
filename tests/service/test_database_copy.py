"""A copy of a database into another one, of either kind, is everything or nothing."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from support.callers import ADMIN, CLI, DAY, Made, is_good
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.service import database_copy
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.backup import opened
from gql_secrets.service.database_copy import copy_database
from gql_secrets.settings import Settings
from gql_secrets.storage import copying
from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.storage.copying import Rows, read_tables
from gql_secrets.storage.database import Database
from gql_secrets.wiring import Services, open_database

ROWS = "SELECT {} FROM {}"


@pytest.fixture
async def target(empty: Settings) -> AsyncIterator[Database]:
    database = await open_database(empty)
    yield database
    await database.close()


async def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row that is copied, with truth values as numbers: SQLite has no others."""
    tables = await read_tables(database.address, database.address)
    found = {}
    for table, (columns, _) in tables.items():
        rows = await database.fetch(ROWS.format(", ".join(sorted(columns)), table))
        values = [tuple(int(value) if isinstance(value, bool) else value for value in row.values()) for row in rows]
        found[table] = sorted(values, key=repr)
    return found


async def test_a_copy_has_every_row_and_goes_on(
    empty: Settings, services: Services, make_client: MakeClient, open_node: OpenNode
) -> None:
    """From either kind of database into either kind."""
    shop, till = await make_client("operator"), await make_client(name="Ünïcode", allow_list=["198.51.100.0/24"])
    assert await is_good(services, shop.id, shop.secret)
    fresh = (await services.rotation.reset_secret(shop.id, DAY, by=ADMIN)).new_secret.reveal()
    link = await services.sessions.create_sign_in_link("Ada", Role.VIEWER, by=CLI)
    cookie = (await services.sessions.sign_in(link.token.reveal())).token.reveal()
    await services.usage.flush()
    before = await everything(services.database)
    totals: list[int] = []
    steps: list[int] = []

    def begin(rows: int) -> Callable[[int], None]:
        totals.append(rows)
        return steps.append

    async with opened(DatabaseAddress.parse(empty.database_url)) as target:
        copied = await copy_database(services.database, target, services.changes.pepper, begin=begin)
        assert await everything(target) == before

    assert (copied.clients, copied.problems) == (3, ())
    assert totals == [sum(steps)] == [sum(map(len, before.values()))]
    assert await everything(services.database) == before
    node = await open_node(settings=empty)
    assert [await is_good(node, shop.id, each) for each in (shop.secret, fresh)] == [True, True]
    assert await is_good(node, till.id, till.secret)
    person = await node.sessions.find(cookie)
    assert person is not None
    made = await node.clients.create_client("after", by=ADMIN)
    assert await is_good(node, made.client.client_id, made.secret.reveal())
    assert (await AuditLog(node.database, node.changes.pepper).verify([])).problem is None


@pytest.mark.parametrize("empty", ["postgres"], indirect=True)
async def test_postgresql_knows_at_once_how_many_rows_a_copy_has(
    empty: Settings, services: Services, client: Made
) -> None:
    """It plans for empty tables until then."""
    async with opened(DatabaseAddress.parse(empty.database_url)) as target:
        await copy_database(services.database, target, services.changes.pepper)
        [counted] = await target.fetch("SELECT reltuples FROM pg_class WHERE relname = 'client'")
        rows = await target.fetch("SELECT client_id FROM client")
        assert client.id in {row["client_id"] for row in rows}
        assert counted["reltuples"] == len(rows)


async def test_a_target_that_is_not_empty_is_left_as_it_is(
    services: Services, open_node: OpenNode, empty: Settings, target: Database
) -> None:
    node = await open_node(settings=empty)
    before = await everything(node.database)
    with pytest.raises(SetupError, match="not empty"):
        await copy_database(services.database, target, services.changes.pepper)
    assert await everything(target) == before


@pytest.mark.parametrize("kind", ["a change", "a use"])
async def test_nothing_is_copied_from_a_database_that_is_written_to(
    services: Services, make_client: MakeClient, target: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await make_client()
    copy_rows = copying.copy_rows

    async def copy_while_written(*given: Any, **named: Any) -> dict[str, int]:
        copied = await copy_rows(*given, **named)
        if kind == "a change":
            await services.rotation.reset_secret(shop.id, DAY, by=ADMIN)
        else:
            assert await is_good(services, shop.id, shop.secret)
        return copied

    monkeypatch.setattr(database_copy, "copy_rows", copy_while_written)
    with pytest.raises(Failure, match="Nothing was copied: the database was written to"):
        await copy_database(services.database, target, services.changes.pepper)
    assert not any((await everything(target)).values())


async def test_a_copy_that_fails_on_the_way_leaves_nothing(services: Services, target: Database) -> None:
    def fail(_rows: int) -> None:
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        await copy_database(services.database, target, services.changes.pepper, begin=lambda _rows: fail)
    assert not any((await everything(target)).values())


async def test_a_digest_that_is_not_the_same_is_found(
    services: Services, make_client: MakeClient, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await make_client()
    copy_rows = copying.copy_rows

    async def damage(source: Rows, filled: Rows, tables: Any, **named: Any) -> dict[str, int]:
        write = filled.write

        async def write_damaged(table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
            if table == "client_secret":
                place = list(columns).index("digest")
                rows = [(*row[:place], os.urandom(32), *row[place + 1 :]) for row in rows]
            await write(table, columns, rows)

        monkeypatch.setattr(filled, "write", write_damaged)
        return await copy_rows(source, filled, tables, **named)

    monkeypatch.setattr(database_copy, "copy_rows", damage)
    with pytest.raises(Failure, match="has other digests"):
        await copy_database(services.database, target, services.changes.pepper)
    assert await is_good(services, shop.id, shop.secret)
