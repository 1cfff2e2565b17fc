"""A node forgets what it changed itself as soon as that is committed, and follows everything else by polls."""

import pytest

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.journal import JournaledChange
from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.change_log import ChangedClient, Position
from gql_secrets.storage.secret_index import memory
from gql_secrets.storage.secret_index.memory import Followed, SecretMemory
from gql_secrets.storage.secret_index.stored_secret import StoredSecret

DIGEST = bytes(32)
SECRET = StoredSecret(1, "shop", SecretState.CURRENT, None, was_used=True, enabled=True, allow_list=None, digest=DIGEST)


def position(revision: int) -> Position:
    return Position(revision, bytes([revision]) * 32)


def own(revision: int, client_id: str | None = "shop", action: str = "SECRET_RESET") -> JournaledChange:
    return JournaledChange(revision, bytes([revision]) * 32, bytes([revision - 1]) * 32, client_id, action)


def row(revision: int, client_id: str | None = "shop") -> ChangedClient:
    return ChangedClient(revision, bytes([revision]) * 32, client_id)


def remember(known: SecretMemory, revision: int) -> bool:
    """Whether the secret is remembered as it was read at this revision."""
    known.remember(DIGEST, SECRET, revision=revision, epoch=known.epoch)
    return known.find("shop", DIGEST) is not None


@pytest.fixture
def known() -> SecretMemory:
    """A memory that followed up to revision 5, and has the secret."""
    made = SecretMemory()
    made.start_at(position(5))
    assert remember(made, 5)
    return made


@pytest.mark.parametrize("own_revision", [6, 8])
def test_an_own_change_is_forgotten_before_a_poll_has_it(known: SecretMemory, own_revision: int) -> None:
    known.forget_own([own(own_revision)])
    assert known.find("shop", DIGEST) is None
    assert known.position == position(5)


def test_an_own_change_of_another_client_forgets_nothing(known: SecretMemory) -> None:
    known.forget_own([own(6, "other"), own(7, None, "SESSION_ENDED")])
    assert known.find("shop", DIGEST) is not None


@pytest.mark.parametrize("action", sorted(memory.CHANGES_ALL))
def test_an_own_change_of_all_clients_forgets_everything(known: SecretMemory, action: AuditAction) -> None:
    known.forget_own([own(6, None, action)])
    assert known.find("shop", DIGEST) is None


def test_what_was_read_before_an_own_change_is_not_remembered(known: SecretMemory) -> None:
    known.forget_own([own(8), own(9, "other")])
    known.forget_own([own(7, "other")])  # its commit was answered later
    assert not remember(known, 8)
    assert remember(known, 9)


def test_a_poll_that_was_sent_before_an_own_change_does_not_go_back(known: SecretMemory) -> None:
    """Its snapshot is older, and its answer comes later."""
    sent = known.newest_own
    known.forget_own([own(7)])
    assert known.follow(position(5), [row(5)], own=sent) is Followed.NOTHING
    assert known.follow(position(6), [row(5), row(6, "other")], own=sent) is Followed.OTHERS
    assert known.position == position(6)
    assert not remember(known, 6)
    assert known.newest_own == position(7)
    assert known.follow(position(7), [row(6), row(7)], own=known.newest_own) is Followed.OWN
    assert known.position == position(7)
    assert known.newest_own is None


def test_what_others_changed_before_an_own_change_is_followed_after_it(known: SecretMemory) -> None:
    known.forget_own([own(7, "other")])
    assert known.find("shop", DIGEST) is not None
    assert known.follow(position(7), [row(5), row(6), row(7, "other")], own=known.newest_own) is Followed.OTHERS
    assert known.find("shop", DIGEST) is None


@pytest.mark.parametrize(
    ("latest", "rows"),
    [
        (position(5), [row(5)]),
        (position(6), [row(5), row(6)]),
        (Position(7, b"another"), [row(5), row(6), ChangedClient(7, b"another", "other")]),
        (position(8), [row(5), row(6), ChangedClient(7, b"another", "other"), row(8)]),
    ],
    ids=["nothing after it", "too little", "another in its place", "others after it"],
)
def test_a_poll_that_lacks_an_own_change_finds_that_the_database_went_back(
    known: SecretMemory, latest: Position, rows: list[ChangedClient]
) -> None:
    known.forget_own([own(7, "other")])
    epoch = known.epoch
    assert known.follow(latest, rows, own=known.newest_own) is Followed.WENT_BACK
    assert known.position == latest
    assert known.find("shop", DIGEST) is None
    assert (known.newest_own, known.epoch) == (None, epoch + 1)
    assert remember(known, latest.revision)


def test_own_changes_that_no_poll_follows_take_little_memory(
    known: SecretMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_CHANGES", 3)
    for revision in range(6, 12):
        known.forget_own([own(revision)])
    assert known.newest_own == position(11)
    assert len(known._own) == 3


def test_a_memory_that_has_not_begun_notes_nothing() -> None:
    known = SecretMemory()
    known.forget_own([own(6)])
    assert known.newest_own is None
    assert not remember(known, 6)
