"""The strength of imported secrets: what people choose is weak, what is random is strong."""

import math
import random
import secrets
import string
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_secrets.domain import strength
from gql_secrets.domain.strength import estimated_bits, is_weak

_WORDS = [
    "password",
    "p4ssw0rd",
    "Secret",
    "qwerty",
    "1qaz",
    "abcd",
    "9876",
    "aaa",
    "2024-01-31",
    "1706659200",
    "İ",
    "ß",
]
# Random characters, words, repeated parts and dates, one after the other: what a secret may be made of.
_SECRETS = st.lists(st.sampled_from(_WORDS) | st.text(max_size=4) | st.text("abc019 $Xé", max_size=12), max_size=8)


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


@given(
    _SECRETS.map("".join)
    | st.text("$5aeth", max_size=3)
    | st.text("0123456789abcdef", max_size=48)
    | st.text(string.ascii_letters + string.digits + "-_", min_size=24, max_size=48)
)
def test_what_is_guessable_is_what_a_look_at_each_character_finds(secret: str) -> None:
    """A random secret is not looked at character by character, which takes longer: its number must be the same."""
    looked_at = _look_at_each_character(secret)

    assert estimated_bits(secret) == looked_at


def _look_at_each_character(secret: str) -> float:
    """The estimate without a short cut: nothing is decided on how many pairs there are, or on digits in a row."""
    folded = secret.lower()
    uuid = strength._UUID.fullmatch(folded)
    if not secret or (uuid and (uuid[1] or strength._has_likely_time(folded, version=uuid[2]))):
        return estimated_bits(secret)
    has_words = not set("0123456789abcdef").issuperset(secret)
    most = math.log2(len(set(secret)) if has_words else 10 if secret.isdecimal() else 16)
    seen = set()
    predicted = likely = leet = 0
    for end in range(2, len(folded) + 1):
        part = folded[max(0, end - 3) : end]
        pair = part[-2:]
        if part in seen or part in strength._PREDICTED:
            predicted += 1
        elif (
            has_words
            and (pair in strength._COMMON or strength._is_leet(part))
            and not strength._begins_a_word(secret[end - 2 : end])
        ):
            if pair in strength._COMMON_PAIRS:
                likely += 1
            else:
                leet += 1
        if len(part) == 3:
            seen.add(part)
    likely = strength._count_in_words(likely, leet, len(folded) - predicted)
    bits = most * (len(folded) - predicted - likely)
    bits += min(strength._PREDICTED_BITS, most) * predicted + min(strength._LIKELY_BITS, most) * likely
    for timestamp in strength._TIMESTAMP.finditer(secret) if has_words else ():
        bits -= max(0.0, most * len(timestamp[0]) - strength._TIMESTAMP_BITS)
    return max(bits, 0.0)
