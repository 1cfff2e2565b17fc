"""The names and descriptions of clients."""

from typing import Final

from gql_secrets.domain.errors import InvalidDescription, InvalidName
from gql_secrets.domain.texts import is_visible, is_writable

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 2000


def parse_name(text: str) -> str:
    """Return the name without leading and trailing blanks.

    Raises:
        InvalidName: it has no visible character, over 200 characters, or control characters.
    """
    name = text.strip()
    if not is_visible(name) or len(name) > MAX_NAME or not is_writable(name):
        raise InvalidName(
            f"A name must have 1 to {MAX_NAME} characters, at least one of them visible, and no control characters."
        )
    return name


def parse_description(text: str | None) -> str | None:
    """Return the description, None for an empty one.

    Raises:
        InvalidDescription: it is over 2,000 characters, or has control characters other than line breaks and tabs.
    """
    description = (text or "").strip()
    if len(description) > MAX_DESCRIPTION or not is_writable(description.translate({9: 32, 10: 32, 13: 32})):
        raise InvalidDescription(
            f"A description must have at most {MAX_DESCRIPTION} characters, and no control characters except tabs and "
            "line breaks."
        )
    return description or None


def name_from(description: str) -> str:
    """Return a name for a client that has only a description: its beginning, on one line."""
    return " ".join(description.split())[:MAX_NAME].strip()
