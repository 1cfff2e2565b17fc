"""Encryption of what a node must read again: AES-256-GCM under subkeys of the pepper."""

import os
from typing import TYPE_CHECKING, Final

from gql_secrets.domain.credentials import Pepper

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


def seal(content: bytes, pepper: Pepper, *, purpose: str, context: str) -> tuple[str, bytes]:
    """Encrypt; return the id of the pepper key, and a nonce with the ciphertext.

    Args:
        content: what is encrypted.
        pepper: the ring of keys; the first one encrypts.
        purpose: what for; each purpose has a subkey of its own.
        context: what the ciphertext belongs to: it cannot be opened for anything else.
    """
    key, nonce = pepper.first, os.urandom(_NONCE_BYTES)
    return key.key_id, nonce + _cipher(key.subkey(purpose)).encrypt(nonce, content, context.encode())


def unseal(key_id: str, sealed: bytes, pepper: Pepper, *, purpose: str, context: str) -> bytes | None:
    """Decrypt; None if the key is no longer in the ring, or this was not sealed for the same purpose and context."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  see `_cipher`

    key = pepper.key(key_id)
    if key is None:
        return None
    try:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return _cipher(key.subkey(purpose)).decrypt(nonce, ciphertext, context.encode())
    except (InvalidTag, ValueError):
        return None


def _cipher(key: bytes) -> "AESGCM":
    """Return the cipher; the library is loaded only where there are webhooks or sessions of identity providers."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(key)
