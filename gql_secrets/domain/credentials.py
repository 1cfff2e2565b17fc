"""Secrets and client ids: how they are created, written, digested and derived.

A secret is 256 random bits, so a fast keyed digest is enough: a slow one would only slow down verification.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self, final

from gql_secrets.domain import base64url
from gql_secrets.domain.errors import SetupError

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX: Final = "gqls_"
_BODY_CHARACTERS: Final = 43  # 62**43 > 2**256
_CHECK_CHARACTERS: Final = 6  # 62**6 > 2**32
_SECRET_BYTES: Final = 32
_HINT_CHARACTERS: Final = 4
_MIN_WITH_HINT: Final = 24
# Without characters that are easily mistaken for one another.
_CLIENT_ID_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_CLIENT_ID_CHARACTERS: Final = 32
# A client id is the user-id of Basic (RFC 7617: no colon), the value of a header, which proxies trim and split at
# commas, and a word in shells and `.env` files. So these are left out: `:`, `,`, `"`, `'`, `\`, and the backtick.
_CLIENT_ID: Final = re.compile(r"""[!#-&(-+\--9;-\[\]-_a-~]{1,128}""")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_MIN_KEY_BYTES_DIFFERENT: Final = 12
# Of HMAC-SHA-256. No key is longer than a block.
_BLOCK_BYTES: Final = 64
_INNER_PAD: Final = 0x36
_OUTER_PAD: Final = 0x5C


@final
class PlaintextSecret:
    """A secret in plaintext. Its repr and its formatted text show nothing; only `reveal` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text: only for the payload that returns it to the caller, and to digest it."""
        return self._text

    def __repr__(self) -> str:
        return "PlaintextSecret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlaintextSecret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]  # a plaintext is never the key of a dict

    @property
    def hint(self) -> str:
        """The last four characters; empty for a secret under 24 characters, where four would be too many."""
        return self._text[-_HINT_CHARACTERS:] if len(self._text) >= _MIN_WITH_HINT else ""

    @classmethod
    def mint(cls) -> Self:
        """Return a new secret of 256 random bits."""
        return cls.of_bytes(secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def of_bytes(cls, raw: bytes) -> Self:
        """Write 32 bytes as `gqls_`, 43 base62 characters, and the CRC-32 of these in 6 more, for secret scanners."""
        body = _base62(int.from_bytes(raw, "big"), _BODY_CHARACTERS)
        return cls(_PREFIX + body + _base62(zlib.crc32(body.encode()), _CHECK_CHARACTERS))


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def mint_client_id() -> str:
    """Return a new client id: 32 characters, about 158 random bits."""
    return "".join(secrets.choice(_CLIENT_ID_ALPHABET) for _ in range(_CLIENT_ID_CHARACTERS))


def is_client_id(text: str) -> bool:
    """Return whether the text can be a client id: 1 to 128 visible ASCII characters, with six exceptions."""
    return _CLIENT_ID.fullmatch(text) is not None


@dataclass(frozen=True)
class PepperKey:
    """One server key of the ring. Its `repr` shows only its id. Without slots, so that what is derived is cached."""

    key_id: str
    _key: bytes = field(repr=False)

    @cached_property
    def _states(self) -> "tuple[hashlib._Hash, hashlib._Hash]":
        # HMAC by its definition (RFC 2104), of what has hashed the key already: two thirds of the time of a copy of
        # `hmac.new`. `hmac.digest` hashes the key each time.
        key = self._key.ljust(_BLOCK_BYTES, b"\0")
        inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in key)) for pad in (_INNER_PAD, _OUTER_PAD))
        return inner, outer

    @cached_property
    def _subkeys(self) -> dict[str, bytes]:
        return {}

    def digest(self, client_id: str, secret: str) -> bytes:
        """Return the 32 bytes under which a secret is stored.

        HMAC-SHA-256 over the length of the client id, the client id, and the secret. The length makes the inputs of
        any two pairs different, and nothing is cut off (bcrypt ignores everything after 72 bytes).
        """
        name = client_id.encode("utf-8", "surrogatepass")
        inner_state, outer_state = self._states
        inner, outer = inner_state.copy(), outer_state.copy()
        inner.update(len(name).to_bytes(4, "big") + name + secret.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.digest()

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that identify the key without revealing it; the database stores them."""
        return self.subkey("fingerprint")[:16]

    def subkey(self, purpose: str) -> bytes:
        """Return 32 bytes derived for one purpose; the digests of secrets share their key with nothing else."""
        derived = self._subkeys.get(purpose)
        if derived is None:
            derived = hmac.digest(self._key, b"gql-secrets subkey\0" + purpose.encode(), "sha256")
            self._subkeys[purpose] = derived
        return derived

    def derive_secret(self, idempotency_key: str, nonce: bytes) -> PlaintextSecret:
        """Return the secret of an idempotent reset, the same for the same pair: HMAC(derived key, key ‖ nonce)."""
        raw = hmac.digest(self.subkey("idempotency"), idempotency_key.encode() + nonce, "sha256")
        return PlaintextSecret.of_bytes(raw)

    def written(self) -> str:
        """Return `keyId:base64url`, the form of the setting."""
        return f"{self.key_id}:{base64url.encode(self._key)}"


@dataclass(frozen=True, slots=True)
class Pepper:
    """The ring of server keys. The first digests new secrets; all of them are used to find existing ones."""

    keys: tuple[PepperKey, ...]

    @property
    def first(self) -> PepperKey:
        """The key that digests new secrets."""
        return self.keys[0]

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the first one first."""
        return tuple(key.key_id for key in self.keys)

    def key(self, key_id: str) -> PepperKey | None:
        """Return the key with this id, or None if it is not in the ring."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def digests(self, client_id: str, secret: str) -> list[bytes]:
        """Return the digests under which this pair may be stored, one for each key."""
        return [key.digest(client_id, secret) for key in self.keys]

    @classmethod
    def mint(cls) -> Self:
        """Return a ring of one new random key."""
        return cls((PepperKey("k1", secrets.token_bytes(_SECRET_BYTES)),))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `keyId:base64url-of-32-bytes[,…]`.

        Raises:
            SetupError: a key id or a key is malformed, repeated or weak; the message never shows the key.
        """
        keys: list[PepperKey] = []
        for number, part in enumerate(text.strip().split(","), start=1):
            key_id, colon, encoded = part.strip().partition(":")
            if not colon or not _KEY_ID.fullmatch(key_id):
                raise SetupError(
                    f"Key {number} of the pepper must be written keyId:base64url-of-32-bytes, "
                    "with a key id of letters, digits, '.', '_' or '-'."
                )
            try:
                raw = base64url.decode(encoded)
            except ValueError:
                raw = b""
            if len(raw) != _SECRET_BYTES:
                raise SetupError(
                    f"Key {key_id} of the pepper must be 32 random bytes in base64url (43 characters); "
                    "create one with: python3 -c \"import secrets; print('k1:' + secrets.token_urlsafe(32))\""
                )
            if len(set(raw)) < _MIN_KEY_BYTES_DIFFERENT:
                raise SetupError(f"Key {key_id} of the pepper is weak: its bytes repeat. Use 32 random bytes.")
            if any(key.key_id == key_id or key._key == raw for key in keys):  # noqa: SLF001  its own class's field
                raise SetupError(f"The pepper has the key {key_id} twice.")
            keys.append(PepperKey(key_id, raw))
        return cls(tuple(keys))

    def written(self) -> str:
        """Return the ring in the form of the setting."""
        return ",".join(key.written() for key in self.keys)


def sha256_of_parts(*parts: str) -> bytes:
    """Return SHA-256 over the parts, each with its length before it, so that no two lists have the same hash."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(4, "big") + raw)
    return state.digest()
