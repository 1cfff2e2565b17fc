"""What verification remembers is found by digest, and forgotten by client."""

import sys

import pytest
from support.clocks import DAYS, NOW

from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.secret_index import cache
from gql_secrets.storage.secret_index.cache import SecretCache
from gql_secrets.storage.secret_index.stored_secret import StoredSecret


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def secret(number: int, client_id: str = "shop", **given: object) -> StoredSecret:
    stored = StoredSecret(
        number,
        client_id,
        SecretState.CURRENT,
        None,
        was_used=True,
        enabled=True,
        allow_list=None,
        digest=digest(number),
    )
    return stored._replace(**given)  # type: ignore[arg-type]


CURRENT = secret(1)
RETAINED = secret(2, state=SecretState.RETAINED, expires_at=NOW + DAYS)
RESTRICTED = secret(3, "other", allow_list=AllowList.parse(["192.0.2.0/24"]))


@pytest.mark.parametrize("stored", [CURRENT, RETAINED, RESTRICTED])
def test_a_secret_is_found_as_it_was_remembered(stored: StoredSecret) -> None:
    known = SecretCache()
    known.remember(digest(stored.secret_id), stored)
    assert known.find(stored.client_id, digest(stored.secret_id)) == stored
    assert known.find(stored.client_id, digest(9)) is None


def test_a_secret_that_was_never_used_is_not_remembered() -> None:
    known = SecretCache()
    known.remember(digest(1), secret(1, was_used=False))
    assert len(known) == 0


def filled() -> SecretCache:
    known = SecretCache()
    for stored in (CURRENT, RETAINED, RESTRICTED):
        known.remember(digest(stored.secret_id), stored)
    return known


def remembered(known: SecretCache) -> set[int]:
    return {each.secret_id for each in (CURRENT, RETAINED, RESTRICTED) if known.find(each.client_id, digest(each[0]))}


def test_a_client_is_forgotten_with_all_its_secrets_and_no_other() -> None:
    known = filled()
    known.forget_client("shop")
    known.forget_client("nobody")
    assert remembered(known) == {3}
    known.forget_clients(["other", "shop"])
    assert len(known) == 0
    assert not known._of_client


def test_a_secret_that_is_remembered_again_is_remembered_as_it_is_now() -> None:
    known = filled()
    known.remember(digest(2), secret(2))
    assert known.find("shop", digest(2)) == secret(2)
    known.forget_client("shop")
    assert remembered(known) == {3}


def test_a_secret_whose_digest_was_changed_is_forgotten_with_its_client() -> None:
    known = filled()
    known.remember(digest(8), CURRENT)
    known.forget_client("shop")
    assert known.find("shop", digest(1)) is None
    assert known.find("shop", digest(8)) is None


def test_a_remembered_secret_takes_less_than_300_bytes() -> None:
    known, count = SecretCache(), 50_000
    for number in range(1000, 1000 + count):
        known.remember(digest(number), secret(number, f"client-{number:020}"))
    tables = (known._by_digest, known._of_client)
    # A digest is in both tables, as one object.
    contents = (*known._by_digest.items(), *((client_id,) for client_id in known._of_client))
    size = sum(map(sys.getsizeof, tables)) + sum(sys.getsizeof(part) for parts in contents for part in parts)
    assert size / count < 300


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_REMEMBERED", 2)
    assert len(filled()) == 2
