"""The keys that make a repeated reset return the same secret (docs/rules.md, rule 9)."""

from datetime import timedelta
from typing import Final

from gql_secrets.domain.errors import InvalidIdempotencyKey

MIN_KEY: Final = 16
MAX_KEY: Final = 255
REPLAY_WINDOW: Final = timedelta(minutes=10)


def parse_idempotency_key(text: str) -> str:
    """Return the key.

    Raises:
        InvalidIdempotencyKey: it is not 16 to 255 printable ASCII characters.
    """
    if not (MIN_KEY <= len(text) <= MAX_KEY and text.isascii() and text.isprintable()):
        raise InvalidIdempotencyKey(MIN_KEY, MAX_KEY)
    return text
