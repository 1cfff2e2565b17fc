"""A backup is whole and of one moment, though the server goes on; a restore brings all of it, or changes nothing."""

import base64
import errno
import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.callers import ADMIN, CLI, DAY, HARD, is_good
from support.installation import MakeClient, OpenNode

from gql_secrets.domain.access import Role
from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.service import backup
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.backup import back_up, restore
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_database

OTHER_PEPPER = "other:" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
TABLES = "SELECT * FROM {} ORDER BY 1"


async def restored(empty: Settings, pepper: Pepper, path: Path) -> None:
    database = await open_database(empty)
    try:
        copied = await restore(database, pepper, path)
        assert copied.problems == ()
    finally:
        await database.close()


async def everything(services: Services) -> dict[str, list[dict[str, Any]]]:
    """All rows, with truth values as numbers: SQLite has no others."""
    found = {}
    for table in ("client", "client_secret", "audit_event", "installation", "client_listing", "client_network"):
        rows = await services.database.fetch(TABLES.format(table))
        found[table] = [
            {name: int(value) if isinstance(value, bool) else value for name, value in row.items()} for row in rows
        ]
    return found


async def test_a_restored_installation_has_every_row_and_goes_on(
    services: Services, make_client: MakeClient, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    """From either kind of database into either kind."""
    shop, till = await make_client("operator"), await make_client(name="Ünïcode", allow_list=["198.51.100.0/24"])
    assert await is_good(services, shop.id, shop.secret)
    new = (await services.rotation.reset_secret(shop.id, DAY, by=ADMIN)).new_secret.reveal()
    await services.rotation.reset_secret(till.id, HARD, by=ADMIN)
    before = await everything(services)

    copied = await back_up(services.database, services.changes.pepper, folder / "backup")
    assert (copied.clients, copied.problems) == (3, ())
    await restored(empty, services.changes.pepper, folder / "backup")

    node = await open_node(settings=empty)
    assert await everything(node) == before
    assert await is_good(node, shop.id, shop.secret)
    assert await is_good(node, shop.id, new)
    assert not await is_good(node, till.id, till.secret)
    # Numbers that a database gives go on where they were.
    made = await node.clients.create_client("after", by=ADMIN)
    assert await is_good(node, made.client.client_id, made.secret.reveal())
    assert (await AuditLog(node.database, node.changes.pepper).verify([])).problem is None


async def test_a_number_that_events_name_a_person_by_is_never_used_again(
    services: Services, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    """Links are deleted in time, but the audit goes on naming people by their numbers."""
    await services.sessions.create_sign_in_link("Ada", Role.VIEWER, by=CLI)
    [link] = await services.sessions.unspent_links()
    await services.database.run_tx(lambda tx: tx.execute("DELETE FROM sign_in_link"))
    await back_up(services.database, services.changes.pepper, folder / "backup")
    await restored(empty, services.changes.pepper, folder / "backup")

    node = await open_node(settings=empty)
    await node.sessions.create_sign_in_link("Bob", Role.VIEWER, by=CLI)
    [after] = await node.sessions.unspent_links()
    assert after.id == link.id + 1


def names_in(folder: Path, pattern: str) -> list[str]:
    return [path.name for path in folder.glob(pattern)]


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("has_links", [True, False])
async def test_a_file_that_appears_under_the_name_of_a_backup_is_not_replaced(
    services: Services, folder: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system of a USB stick has no hard links."""
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    await back_up(services.database, services.changes.pepper, folder / "first")
    assert names_in(folder, "*first*") == ["first"]
    assert (folder / "first").stat().st_nlink == 1
    path = folder / "second"

    def make_single_file(_: Path) -> None:
        path.write_text("another backup")

    monkeypatch.setattr(backup, "make_single_file", make_single_file)
    with pytest.raises(Failure, match=r"second exists\."):
        await back_up(services.database, services.changes.pepper, path)
    assert path.read_text() == "another backup"


async def test_a_backup_is_one_file_of_its_owner_and_has_no_pepper(services: Services, folder: Path) -> None:
    path = folder / "backup"
    await back_up(services.database, services.changes.pepper, path)
    assert [name for name in os.listdir(folder) if "backup" in name] == ["backup"]  # noqa: PTH208
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    for key in services.changes.pepper.keys:
        assert key._key not in content


async def test_the_tokens_of_identity_providers_are_not_in_a_backup(
    services: Services, empty: Settings, open_node: OpenNode, folder: Path
) -> None:
    """Of a refresh token that two installations use, a provider ends the whole grant."""
    link = await services.sessions.create_sign_in_link("Ada", Role.VIEWER, by=CLI)
    await services.sessions.sign_in(link.token.reveal())
    tokens = "UPDATE session SET issuer = 'https://login.example.com', tokens = {}, tokens_key_id = 'k1'"
    sealed = "decode('736561c3', 'hex')" if services.database.address.dialect == "postgres" else "x'736561c3'"
    await services.database.run_tx(lambda tx: tx.execute(tokens.format(sealed)))
    await back_up(services.database, services.changes.pepper, folder / "backup")
    await restored(empty, services.changes.pepper, folder / "backup")

    node = await open_node(settings=empty)
    [row] = await node.database.fetch("SELECT name, issuer, tokens, tokens_key_id FROM session")
    assert dict(row) == {"name": "Ada", "issuer": "https://login.example.com", "tokens": None, "tokens_key_id": None}


async def test_a_backup_overwrites_nothing_and_leaves_nothing_when_it_fails(services: Services, folder: Path) -> None:
    path = folder / "backup"
    path.write_text("mine")
    with pytest.raises(Failure, match="exists"):
        await back_up(services.database, services.changes.pepper, path)
    assert path.read_text() == "mine"
    with pytest.raises(Failure, match="No backup was made"):
        await back_up(services.database, services.changes.pepper, folder / "no" / "directory")
    assert not (folder / "no").exists()


async def test_a_restore_overwrites_nothing(services: Services, folder: Path) -> None:
    await back_up(services.database, services.changes.pepper, folder / "backup")
    before = await everything(services)
    with pytest.raises(SetupError, match="not empty"):
        await restore(services.database, services.changes.pepper, folder / "backup")
    assert await everything(services) == before


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("content", [None, b"", b"not a database"])
async def test_what_is_not_a_backup_is_refused(
    services: Services, empty: Settings, folder: Path, content: bytes | None
) -> None:
    path = folder / "backup"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match="is not a backup of gql-secrets"):
        await restored(empty, services.changes.pepper, path)


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
async def test_a_backup_of_another_pepper_changes_nothing(
    services: Services, open_node: OpenNode, empty: Settings, folder: Path
) -> None:
    """No secret of it would be found."""
    await back_up(services.database, services.changes.pepper, folder / "backup")
    with pytest.raises(SetupError, match="belongs to the pepper key test"):
        await restored(empty, Pepper.parse(OTHER_PEPPER), folder / "backup")
    node = await open_node(settings=replace(empty, pepper=OTHER_PEPPER))
    assert node.first_owner is not None, "it is still a new installation"


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_backup_of_another_version_is_refused(services: Services, empty: Settings, folder: Path) -> None:
    path = folder / "backup"
    await back_up(services.database, services.changes.pepper, path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM tortoise_migrations WHERE id = (SELECT max(id) FROM tortoise_migrations)")
    connection.commit()
    connection.close()
    with pytest.raises(SetupError, match="different versions"):
        await restored(empty, services.changes.pepper, path)
