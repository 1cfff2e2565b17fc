"""Secrets and client ids: minted, written, digested, derived, and shown to nobody."""

import base64
import hmac
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.secrets import is_well_formed

from gql_secrets.domain.credentials import (
    Pepper,
    PepperKey,
    PlaintextSecret,
    is_client_id,
    mint_client_id,
    sha256_of_parts,
)
from gql_secrets.domain.errors import SetupError

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE62 = set(DIGITS)
KEY = PepperKey("k1", bytes(range(32)))


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


GOOD = encoded(bytes(range(32)))
OTHER = encoded(bytes(range(100, 132)))


def test_a_secret_is_a_prefix_43_characters_and_a_checksum_of_6() -> None:
    text = PlaintextSecret.mint().reveal()
    assert text.startswith("gqls_")
    assert len(text) == 5 + 43 + 6
    assert set(text[5:]) <= BASE62
    assert is_well_formed(text)


def test_no_two_secrets_are_alike() -> None:
    assert len({PlaintextSecret.mint().reveal() for _ in range(1000)}) == 1000


@given(st.binary(min_size=32, max_size=32))
def test_all_256_bits_are_in_what_is_written(raw: bytes) -> None:
    """Nothing is cut on the way to text: two numbers never have one text."""
    text = PlaintextSecret.of_bytes(raw).reveal()
    number = 0
    for character in text[5:48]:
        number = number * 62 + DIGITS.index(character)
    assert number.to_bytes(32, "big") == raw
    assert is_well_formed(text)


def test_what_is_written_never_changes() -> None:
    """Secrets outlive releases: the alphabet, the widths and the checksum are stored data."""
    # In two parts, so that no scanner takes the sample for a leak.
    body, checksum = "003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf", "1Yo7hP"
    assert PlaintextSecret.of_bytes(bytes(range(32))).reveal() == "gqls_" + body + checksum


@given(st.integers(5, 53), st.sampled_from(sorted(BASE62)))
def test_a_typo_is_caught_without_asking_anyone(position: int, character: str) -> None:
    text = PlaintextSecret.of_bytes(bytes(range(32))).reveal()
    changed = text[:position] + character + text[position + 1 :]
    assert is_well_formed(changed) == (changed == text)


@pytest.mark.parametrize(
    "text", ["", "gqls_", "gqls_" + "0" * 43, "GQLS_" + "0" * 49, "gqls_" + "é" * 49, "x" * 10_000]
)
def test_what_is_no_secret_of_ours_is_not_well_formed(text: str) -> None:
    assert not is_well_formed(text)


def test_a_plaintext_shows_itself_to_nobody() -> None:
    secret = PlaintextSecret.mint()
    shown = f"{secret} {secret!r} {secret!s} {[secret]} { ({'new': secret}) }" + "%s %r" % (secret, secret)  # noqa: UP031
    assert secret.reveal() not in shown
    assert secret.reveal()[5:20] not in shown
    assert not hasattr(secret, "__dict__")


def test_a_plaintext_is_equal_to_its_like_and_no_key_of_a_dict() -> None:
    text = PlaintextSecret.mint().reveal()
    assert PlaintextSecret(text) == PlaintextSecret(text)
    assert PlaintextSecret(text) != PlaintextSecret.mint()
    assert PlaintextSecret(text) != text
    with pytest.raises(TypeError):
        hash(PlaintextSecret(text))


@pytest.mark.parametrize(
    ("text", "hint"), [("a" * 20 + "wxyz", "wxyz"), ("a" * 19 + "wxyz", ""), ("", ""), ("abcd", "")]
)
def test_the_hint_is_the_last_four_characters_unless_four_would_be_too_many(text: str, hint: str) -> None:
    assert PlaintextSecret(text).hint == hint


def test_a_client_id_is_32_characters_that_cannot_be_confused() -> None:
    client_id = mint_client_id()
    assert len(client_id) == 32
    assert not set(client_id) & set("01ilo:")
    assert is_client_id(client_id)
    assert mint_client_id() != client_id


@pytest.mark.parametrize("text", ["a", "a" * 128, "svc@example.com", "!#$%&()*+-./;<=>?@[]^_{|}~"])
def test_what_can_be_a_client_id(text: str) -> None:
    assert is_client_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "a" * 129, "a\nb", "a\x00b", "\x7f", "Wörk", "\ud800", " a", "a b", *(f"a{each}b" for each in ":,\"'`\\")],
)
def test_what_cannot(text: str) -> None:
    assert not is_client_id(text)


# Digests

texts = st.text(max_size=200)


@given(texts, texts, texts, texts)
def test_no_two_pairs_have_one_digest(client: str, secret: str, other_client: str, other_secret: str) -> None:
    """Okta 2024: an input that was cut let other pairs in. Ours is length-prefixed."""
    same = KEY.digest(client, secret) == KEY.digest(other_client, other_secret)
    assert same == ((client, secret) == (other_client, other_secret))


@given(st.text(min_size=1, max_size=100), st.data())
def test_the_border_between_client_id_and_secret_is_part_of_the_digest(text: str, data: st.DataObject) -> None:
    first, second = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))
    same = KEY.digest(text[:first], text[first:]) == KEY.digest(text[:second], text[second:])
    assert same == (first == second)


def test_nothing_of_a_long_secret_is_cut() -> None:
    """bcrypt cuts at 72 bytes."""
    assert KEY.digest("c", "x" * 5000 + "a") != KEY.digest("c", "x" * 5000 + "b")


def test_a_digest_is_32_bytes_of_hmac_sha_256_and_differs_by_key() -> None:
    digest = KEY.digest("client", "secret")
    assert digest == hmac.digest(bytes(range(32)), b"\x00\x00\x00\x06clientsecret", "sha256")
    assert digest != PepperKey("k1", bytes(range(1, 33))).digest("client", "secret")


def test_subkeys_share_nothing_with_each_other_or_the_key() -> None:
    values = [KEY.subkey("idempotency"), KEY.subkey("audit head"), bytes(range(32)), KEY.digest("idempotency", "")]
    assert len(set(values)) == len(values)
    assert len(KEY.fingerprint) == 16


@given(st.binary(min_size=32, max_size=32))
def test_a_derived_secret_is_the_same_again_and_nothing_but_its_inputs_makes_it(nonce: bytes) -> None:
    derived = KEY.derive_secret("key-of-16-letters", nonce)
    assert derived == KEY.derive_secret("key-of-16-letters", nonce)
    assert is_well_formed(derived.reveal())
    assert derived != KEY.derive_secret("key-of-16-letterz", nonce)
    assert derived != KEY.derive_secret("key-of-16-letters", secrets.token_bytes(32))
    assert derived != PepperKey("k1", secrets.token_bytes(32)).derive_secret("key-of-16-letters", nonce)


@given(st.lists(texts), st.lists(texts))
def test_no_two_lists_of_arguments_have_one_hash(parts: list[str], others: list[str]) -> None:
    assert (sha256_of_parts(*parts) == sha256_of_parts(*others)) == (parts == others)


# The ring


def test_a_ring_is_read_and_written_in_one_form() -> None:
    ring = Pepper.parse(f"k2:{GOOD},k1:{OTHER}")
    assert [key.key_id for key in ring.keys] == ["k2", "k1"]
    assert ring.first.key_id == "k2"
    assert ring.written() == f"k2:{GOOD},k1:{OTHER}"
    assert ring.key("k1") is ring.keys[1]
    assert ring.key("k3") is None


def test_every_key_of_the_ring_finds_and_the_first_one_digests() -> None:
    ring = Pepper.parse(f"k2:{GOOD},k1:{OTHER}")
    assert ring.digests("c", "s") == [key.digest("c", "s") for key in ring.keys]


def test_blanks_padding_and_a_line_end_around_a_key_do_not_matter() -> None:
    assert Pepper.parse(f" k1:{GOOD}= , k2:{OTHER}\n").written() == f"k1:{GOOD},k2:{OTHER}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(GOOD, id="no key id"),
        pytest.param(f":{GOOD}", id="empty key id"),
        pytest.param(f"a b:{GOOD}", id="a blank in the key id"),
        pytest.param(f"k{'1' * 32}:{GOOD}", id="a long key id"),
        pytest.param("k1:", id="empty key"),
        pytest.param("k1:" + encoded(bytes(range(31))), id="31 bytes"),
        pytest.param("k1:" + encoded(bytes(range(33))), id="33 bytes"),
        pytest.param("k1:" + "!" * 43, id="not base64"),
        pytest.param("k1:" + bytes(range(32)).hex(), id="hexadecimal"),
        pytest.param("k1:" + "A" * 43, id="zeros"),
        pytest.param("k1:" + encoded(b"password" * 4), id="a repeated word"),
        pytest.param("k1:" + encoded(b"changeme" * 4), id="another"),
        pytest.param(f"k1:{GOOD},k1:{OTHER}", id="one id twice"),
        pytest.param(f"k1:{GOOD},k2:{GOOD}", id="one key twice"),
        pytest.param(f"k1:{GOOD},", id="a comma too many"),
    ],
)
def test_a_malformed_repeated_or_weak_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SetupError) as refused:
        Pepper.parse(text)
    key = text.rpartition(":")[2]
    assert len(key) < 16 or key not in str(refused.value)


def test_a_pepper_shows_its_key_ids_alone() -> None:
    pepper = Pepper.mint()
    key = pepper.written().partition(":")[2]
    assert key not in repr(pepper)
    assert pepper.keys[0].key_id in repr(pepper)
    assert Pepper.parse(pepper.written()).first.fingerprint == pepper.first.fingerprint
    assert Pepper.mint().first.fingerprint != pepper.first.fingerprint
