"""What a transaction writes together, and what it inserts: many rows at a time."""

import pytest
from support.callers import Made
from tortoise.exceptions import ValidationError

from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.active_secrets import SecretHasEnded
from gql_secrets.storage.dialect import Writes
from gql_secrets.storage.fields import to_microseconds
from gql_secrets.storage.models import Client, ClientFeature, ClientListing, ProviderLogOut
from gql_secrets.storage.transaction import Transaction, new_row
from gql_secrets.wiring import Services

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


async def test_what_is_written_together_is_undone_where_an_update_changes_no_row(
    services: Services, client: Made
) -> None:
    """A secret that has ended is not written, and neither is what should take its place."""

    async def work(tx: Transaction) -> None:
        writes = Writes(
            updates=[
                ("UPDATE client SET name = ? WHERE client_id = ?", ("renamed", client.id)),
                ("UPDATE client SET name = ? WHERE client_id = ?", ("renamed", "missing")),
            ],
            new_rows=[new_row(ClientFeature, {"client_id": client.id, "feature": "viewer"})],
        )
        assert not await tx.write_together(writes)
        assert not await tx.fetch("SELECT 1 FROM client_feature WHERE client_id = ?", (client.id,))
        raise SecretHasEnded

    with pytest.raises(SecretHasEnded):
        await services.database.run_tx(work)
    found = await services.queries.find_client(client.id)
    assert found is not None
    assert found.name != "renamed"


async def test_updates_are_written_in_their_order_and_before_insertions(services: Services, client: Made) -> None:
    """Each update frees the place of the next one in a unique index, and the last one that of the new row."""

    async def work(tx: Transaction) -> None:
        for feature in ("viewer", "operator"):
            await tx.insert(ClientFeature, [{"client_id": client.id, "feature": feature}])
        update = "UPDATE client_feature SET feature = ? WHERE client_id = ? AND feature = ?"
        writes = Writes(
            updates=[(update, ("other", client.id, "operator")), (update, ("operator", client.id, "viewer"))],
            new_rows=[new_row(ClientFeature, {"client_id": client.id, "feature": "viewer"})],
        )
        assert await tx.write_together(writes)

    await services.database.run_tx(work)
    rows = await services.database.fetch("SELECT feature FROM client_feature WHERE client_id = ?", (client.id,))
    assert {row["feature"] for row in rows} == {"viewer", "operator", "other"}


async def test_many_rows_are_not_inserted_where_a_text_is_longer_than_its_column(services: Services) -> None:
    """SQLite would store it."""
    rows: list[dict[str, object]] = [{"client_id": "x" * length, "search_text": "x"} for length in (127, 128, 129)]
    with pytest.raises(ValidationError):
        await services.database.run_tx(lambda tx: tx.insert(ClientListing, rows))
    await services.database.run_tx(lambda tx: tx.insert(ClientListing, rows[:2]))
    assert await services.database.fetch_rows("SELECT count(*) FROM client_listing WHERE client_id LIKE 'xxx%'") == [
        (2,)
    ]


async def test_what_many_new_rows_have_in_common_is_written_to_each_of_them(services: Services) -> None:
    """Values that are the same in all rows, nulls and defaults are not passed once for each row."""
    now = await services.database.now()
    rows: list[dict[str, object]] = [
        {
            "client_id": f"client-{number}",
            "client_id_folded": "x",
            "name": "x",
            "name_folded": "x",
            "description": None,
            "generation": 7,
            "created_at": now,
        }
        for number in range(3)
    ]
    await services.database.run_tx(lambda tx: tx.insert(Client, rows))
    statement = """
        SELECT client_id, description, enabled, self_reset, generation, created_at FROM client WHERE generation = 7
        ORDER BY client_id
    """
    shared = (None, True, False, 7, to_microseconds(now))
    assert await services.database.fetch_rows(statement) == [(f"client-{number}", *shared) for number in range(3)]


async def test_rows_that_are_the_same_in_all_columns_are_inserted(services: Services) -> None:
    row: dict[str, object] = {"issuer": "x", "received_at": await services.database.now()}
    await services.database.run_tx(lambda tx: tx.insert(ProviderLogOut, [row, row]))
    assert await services.database.fetch_rows("SELECT count(*) FROM provider_log_out") == [(2,)]


async def test_an_insertion_is_over_before_its_transaction_is_rolled_back(services: Services) -> None:
    """One that went on would write outside a transaction, or into the next one."""
    rows: list[dict[str, object]] = [{"client_id": f"client-{number}", "search_text": "x"} for number in range(2000)]
    wrong: list[dict[str, object]] = [{"client_id": "x" * length, "search_text": "x"} for length in (128, 129)]

    async def fail(tx: Transaction, rows: list[dict[str, object]]) -> None:
        async with tx.inserting() as insertions:
            await insertions.begin(ClientListing, rows)
            raise LookupError

    count = "SELECT count(*) FROM client_listing"
    before = await services.database.fetch_rows(count)
    with pytest.raises(LookupError):
        await services.database.run_tx(lambda tx: fail(tx, rows))
    with pytest.raises(ValidationError):
        await services.database.run_tx(lambda tx: fail(tx, wrong))
    assert await services.database.fetch_rows(count) == before
    await services.database.run_tx(lambda tx: tx.insert(ClientListing, rows))
    assert await services.database.fetch_rows(count) == [(before[0][0] + len(rows),)]


async def test_a_change_is_recorded_after_all_that_it_inserts(services: Services) -> None:
    rows: list[dict[str, object]] = [{"client_id": f"client-{number}", "search_text": "x"} for number in range(2000)]
    last = "UPDATE client_listing SET last_used_at = 7 WHERE client_id = 'client-1999'"

    async def work(tx: Transaction) -> bool:
        async with tx.inserting() as insertions:
            await insertions.begin(ClientListing, rows)
            return await tx.write_together(Writes(updates=[(last, ())]))

    assert await services.database.run_tx(work)


@only_sqlite
async def test_nothing_is_inserted_once_sqlite_rolled_back_the_transaction_itself(services: Services) -> None:
    """As it does where the disk is full. What is inserted after that would be committed, and nothing else of it."""
    rows: list[dict[str, object]] = [{"client_id": f"client-{number}", "search_text": "x"} for number in range(3)]
    count = "SELECT count(*) FROM client_listing"
    before = await services.database.fetch_rows(count)

    async def work(tx: Transaction) -> None:
        async with tx.inserting() as insertions:
            await tx.fetch_rows("ROLLBACK")
            await insertions.begin(ClientListing, rows)

    with pytest.raises(Unavailable):
        await services.database.run_tx(work)
    assert await services.database.fetch_rows(count) == before
    await services.database.run_tx(lambda tx: tx.insert(ClientListing, rows))
