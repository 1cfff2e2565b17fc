"""The strength of imported secrets: what people choose is weak, what is random is strong."""

import random
import secrets
import string
import uuid
from collections.abc import Callable

import pytest

from gql_secrets.domain.strength import estimated_bits, is_weak


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_urlsafe(24),
        lambda: secrets.token_hex(20),
        lambda: "".join(secrets.choice("23456789abcdefghjkmnpqrstuvwxyz") for _ in range(32)),
        lambda: "".join(secrets.choice("0123456789") for _ in range(40)),
    ],
    ids=["base64", "hexadecimal", "the vendor's", "digits"],
)
def test_random_secrets_are_strong(make: Callable[[], str]) -> None:
    assert not any(is_weak(make()) for _ in range(500))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "password" * 4,
        "changemechangemechangeme!",
        "1234567890" * 3,
        "correct horse battery staple",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "zyxwvutsrqponmlkjihgfedcba98765",
        "supersecretsupersecretsecret",
        "x8Kq2mZ7vR4tYw9PbN3cLdE",  # random, and of 23 characters
        "qwertyuiopasdfghjklzxcvbnm",
        "1qaz2wsx3edc4rfv5tgb6yhn",
        "!QAZ@WSX#EDC$RFV%TGB^YHN",
        "mnbvcxzlkjhgfdsapoiuytrewq",
        "P4ssw0rd!P4ssw0rd!P4ssw0rd!",
        "c0rr3ct-h0rs3-b4tt3ry-st4pl3",
        "Sup3rS3cr3tK3y4Pr0duct10n!",
        "my-app-2024-01-31T12:00:00",
        "secret-1706659200-1706659300",
        "supersecret-1706659200123",
        "0190163d-8694-739b-aea5-966c26f8ad91",  # a UUID of version 7: 74 random bits
        "thisisaverysecretpassword",
        "invoicing-service-secret",
        "1EC9414C-232A-6B00-B3C8-9E6BDECED846",  # of version 6
    ],
)
def test_secrets_that_people_choose_are_weak(secret: str) -> None:
    assert is_weak(secret)
    assert estimated_bits(secret) >= 0


def test_a_secret_whose_lower_case_is_longer_is_estimated() -> None:
    assert len("İ".lower()) == 2
    assert not is_weak("İ7Xt" + "P2mWz9RkV4nLc8JhB6sD")
    assert is_weak("İ" * 30)


def test_a_uuid_that_is_made_from_the_time_is_weak_and_a_random_one_is_strong() -> None:
    assert is_weak(str(uuid.uuid1()))
    assert is_weak(uuid.uuid1().hex)
    assert is_weak("1EC9414C232A6B00B3C89E6BDECED846")  # of version 6
    assert is_weak("0190163d8694739baea5966c26f8ad91")  # of version 7
    assert not any(is_weak(str(uuid.uuid4())) or is_weak(uuid.uuid4().hex) for _ in range(500))


@pytest.mark.parametrize(
    ("alphabet", "length", "most"),
    [
        (string.ascii_letters + string.digits, 24, 30),
        (string.ascii_letters + string.digits + "-_", 24, 30),
        (string.ascii_letters + string.digits + string.punctuation, 24, 5),
        ("0123456789abcdef", 32, 15),
    ],
    ids=["letters and digits", "base64", "all signs", "hexadecimal"],
)
def test_few_random_secrets_are_refused(alphabet: str, length: int, most: int) -> None:
    """Always the same 20,000, so that the number is the same each time."""
    chance = random.Random(1)  # noqa: S311  nothing is protected by these
    assert sum(is_weak("".join(chance.choices(alphabet, k=length))) for _ in range(20_000)) <= most
