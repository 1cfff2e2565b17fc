"""What a client may be called."""

from typing import Final

from gql_secrets.domain.errors import InvalidDescription, InvalidIdempotencyKey, InvalidName
from gql_secrets.domain.texts import is_writable

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 2000
MIN_IDEMPOTENCY_KEY: Final = 16
MAX_IDEMPOTENCY_KEY: Final = 255


def parse_name(text: str) -> str:
    """Return the name without blanks around it.

    Raises:
        InvalidName: it is empty, over 200 characters, or holds control characters.
    """
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME or not is_writable(name):
        raise InvalidName(f"A name has 1 to {MAX_NAME} characters and no control characters.")
    return name


def parse_description(text: str | None) -> str | None:
    """Return the description, None for an empty one.

    Raises:
        InvalidDescription: it is over 2,000 characters, or holds control characters other than line breaks and tabs.
    """
    description = (text or "").strip()
    if len(description) > MAX_DESCRIPTION or not is_writable(description.translate({9: 32, 10: 32, 13: 32})):
        raise InvalidDescription(f"A description has at most {MAX_DESCRIPTION} characters and no control characters.")
    return description or None


def name_from(description: str) -> str:
    """Return the name of a client that came with a description alone: its beginning, on one line."""
    return " ".join(description.split())[:MAX_NAME].strip()


def parse_idempotency_key(text: str) -> str:
    """Return the key.

    Raises:
        InvalidIdempotencyKey: it is not 16 to 255 printable ASCII characters.
    """
    if not (MIN_IDEMPOTENCY_KEY <= len(text) <= MAX_IDEMPOTENCY_KEY and text.isascii() and text.isprintable()):
        raise InvalidIdempotencyKey(MIN_IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY)
    return text
