"""Random histories of an installation that goes back in time: no secret that had ended is accepted again."""

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from support.callers import ADMIN, CLI, HARD, is_good
from support.clocks import HOUR, MINUTE, SECOND, Clock
from support.databases import SqliteTemplate, temporary_directory
from support.installation import PEPPER

from gql_secrets.domain.errors import BadRequest, Refusal
from gql_secrets.domain.journal import ClientUncertain, UncertainClients
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.restore_acceptance import Acceptance, accept_restore
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services


async def replay(node: Services) -> None:
    await accept_restore(node.changes, node.rotation, by=CLI, how=Acceptance.REPLAY, reason="inspected")


class Past:
    """A random history on SQLite, with copies of its file as it was."""

    def __init__(self, services: Services, clock: Clock, seed: int) -> None:
        self.services = services
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311  nothing secret
        self.issued: dict[str, list[str]] = {}

    async def act(self) -> None:
        """Change something, as a person or a client would."""
        services = self.services
        act = self.random.choice(("create", "smooth", "smooth", "hard", "revoke", "cancel", "retain", "switch", "use"))
        if act == "create" or not self.issued:
            made = await services.clients.create_client("Shop", by=ADMIN)
            self.issued[made.client.client_id] = [made.secret.reveal()]
            return
        client_id = self.random.choice(list(self.issued))
        hours = Retention(self.random.choice((1, 24, 168)))
        self.clock.move(self.random.choice((SECOND, MINUTE, HOUR, 30 * HOUR)))
        with contextlib.suppress(Refusal):
            match act:
                case "smooth" | "hard":
                    reset = await services.rotation.reset_secret(
                        client_id,
                        hours if act == "smooth" else HARD,
                        by=ADMIN,
                        end_active_rollover=self.random.random() < 0.5,
                    )
                    self.issued[client_id].append(reset.new_secret.reveal())
                case "revoke":
                    await services.rotation.revoke_old_secret(client_id, by=ADMIN)
                case "cancel":
                    await services.rotation.cancel_rollover(client_id, by=ADMIN)
                case "retain":
                    await services.rotation.change_retention(client_id, hours, by=ADMIN)
                case "switch":
                    await services.clients.set_client_enabled(client_id, enabled=self.random.random() < 0.6, by=ADMIN)
                case "use":
                    await is_good(services, client_id, self.random.choice(self.issued[client_id]))

    async def accepted(self, node: Services) -> set[tuple[str, str]]:
        """What a node accepts."""
        found = set()
        for client_id, secrets in self.issued.items():
            for secret in secrets:
                with contextlib.suppress(ClientUncertain):
                    if await is_good(node, client_id, secret):
                        found.add((client_id, secret))
        return found


async def as_it_was(past: Past, settings: Settings, path: Path, journal: Path, clock: Clock) -> None:
    """Start on an earlier copy of the file, with the journal of today; accept it; compare what is accepted."""
    journal_lines = (await asyncio.to_thread(journal.read_bytes)).splitlines(keepends=True)
    if past.random.random() < 0.2:  # more was lost than it keeps
        journal_lines = journal_lines[-past.random.randint(1, 5) :]
    with temporary_directory() as directory:
        here = Path(directory)
        (here / journal.name).write_bytes(b"".join(journal_lines))
        shutil.copy(path, here / "gql-secrets.db")
        own = replace(settings, data_dir=here, database_url=f"sqlite:///{here / 'gql-secrets.db'}")
        node = await open_services(own, adjust_clock=clock)
        try:
            should_be = await past.accepted(past.services)
            resurrected = await past.accepted(node) - should_be
            assert resurrected == set()
            mark = await node.history.uncertain_clients()
            if mark is UncertainClients.ALL:
                with pytest.raises(BadRequest, match="do not have every change"):
                    await replay(node)
                return
            if mark is UncertainClients.NAMED:
                await replay(node)
            assert await past.accepted(node) - should_be == set()
            if past.random.random() < 0.1:
                clock.move(200 * HOUR)
            assert await past.accepted(node) - await past.accepted(past.services) == set()
        finally:
            await node.close()


@pytest.mark.parametrize("seed", range(5))
async def test_no_secret_is_resurrected_at_any_instant(sqlite_template: SqliteTemplate, seed: int) -> None:
    """Twenty restores of each of five histories, at random instants, before and after the endings are replayed."""
    with temporary_directory() as directory:
        here, clock = Path(directory), Clock()
        settings = Settings(
            data_dir=here, database_url=sqlite_template.copy_into(here), pepper=PEPPER, rate_limits="off"
        )
        services = await open_services(settings, adjust_clock=clock)
        try:
            past = Past(services, clock, seed)
            copies: list[Path] = []
            for number in range(20):
                for _ in range(past.random.randint(1, 8)):
                    await past.act()
                copies.append(here / f"copy-{number}")
                with contextlib.closing(sqlite3.connect(here / "gql-secrets.db")) as connection:
                    connection.execute("VACUUM INTO ?", (str(copies[-1]),))
            journal = here / next(name for name in os.listdir(here) if name.startswith("journal-"))  # noqa: PTH208
            for path in copies:
                for _ in range(past.random.randint(0, 2)):
                    await past.act()
                await as_it_was(past, settings, path, journal, clock)
        finally:
            await services.close()
