"""The id of a request: the same in the response header, the error, the log and the audit."""

import secrets
from typing import Final

X_REQUEST_ID: Final = "X-Request-Id"
# The alphabet and length that callers of /clients know from the vendor's documentation.
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_CHARACTERS: Final = 16


def make_request_id() -> str:
    """Return a new id: 16 characters, 79 random bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CHARACTERS))
