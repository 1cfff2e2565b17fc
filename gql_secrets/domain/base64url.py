"""Base64url without padding (RFC 4648, section 5), the encoding of cursors, ids and the pepper."""

import base64


def encode(raw: bytes) -> str:
    """Return the text of these bytes."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Return the bytes of this text.

    Raises:
        ValueError: it is malformed.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
