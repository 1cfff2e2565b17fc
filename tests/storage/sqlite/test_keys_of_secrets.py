"""The index of the pepper keys of active secrets: what it has, who reads it, and that a smooth reset leaves it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.callers import ADMIN, DAY, HARD
from support.installation import MakeClient

from gql_secrets.domain.rotation import SecretState
from gql_secrets.service.active_secrets import saving
from gql_secrets.settings import DATABASE_FILE
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.objects import object_of
from gql_secrets.storage.secret_index.missing_key import missing_key
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
KEPT = ("state", "replaced_at", "expires_at")
ENDED = ("state", "ended_at", "end_reason")


@pytest.fixture
def file(services: Services, data_dir: Path) -> Iterator[sqlite3.Connection]:
    del services  # which made the file
    with closing(sqlite3.connect(data_dir / DATABASE_FILE)) as connection:
        yield connection


def indexes_written(file: sqlite3.Connection, fields: tuple[str, ...]) -> set[str]:
    """The indexes that SQLite opens for writing where these fields of a secret are set."""
    names = dict(file.execute("SELECT rootpage, name FROM sqlite_master WHERE type = 'index'"))
    statement, values = saving((object_of(ClientSecret, {"id": 1}), fields))
    steps = file.execute(f"EXPLAIN {statement}", values)
    return {names[root] for _, step, _, root, *_ in steps if step == "OpenWrite" and root in names}


async def test_the_index_has_the_active_secrets_and_no_others(
    services: Services, make_client: MakeClient, file: sqlite3.Connection
) -> None:
    kept, ended, cancelled = [await make_client() for _ in range(3)]
    await services.rotation.reset_secret(kept.id, DAY, by=ADMIN)
    await services.rotation.reset_secret(ended.id, HARD, by=ADMIN)
    await services.rotation.reset_secret(cancelled.id, DAY, by=ADMIN)
    await services.rotation.cancel_rollover(cancelled.id, by=ADMIN)

    indexed = file.execute(
        "SELECT id FROM client_secret INDEXED BY client_secret_active_key WHERE ended_at IS NULL OR end_reason IS NULL"
    ).fetchall()
    active = file.execute("SELECT id FROM client_secret WHERE state IN ('CURRENT', 'RETAINED')").fetchall()

    assert sorted(indexed) == sorted(active)
    assert len(active) == 1 + 4  # the owner's, and those of the three


def test_the_question_for_a_missing_key_reads_it(file: sqlite3.Connection) -> None:
    plan = [step for *_, step in file.execute(f"EXPLAIN QUERY PLAN SELECT {missing_key(['k1'])}")]
    assert any("client_secret_active_key (pepper_key_id=?)" in step for step in plan), plan


def test_a_secret_that_stays_active_keeps_its_entry(file: sqlite3.Connection) -> None:
    """Its page in the index is that of an older secret: a tenth of what a group of resets writes."""
    kept = indexes_written(file, KEPT)

    assert "client_secret_one_retained" in kept
    assert "client_secret_active_key" not in kept
    assert "client_secret_active_key" in indexes_written(file, ENDED)


@pytest.mark.parametrize("state", [SecretState.CURRENT, SecretState.RETAINED])
def test_no_secret_is_active_with_all_that_says_it_ended(file: sqlite3.Connection, state: SecretState) -> None:
    """Why the condition of the index means the same as the state."""
    with pytest.raises(sqlite3.IntegrityError, match="client_secret_ended"):
        file.execute("UPDATE client_secret SET state = ?, ended_at = 1, end_reason = 'REVOKED'", (state.value,))
