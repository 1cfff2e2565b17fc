"""Text that people write: which characters it may have, and how it is compared."""

import unicodedata


def is_writable(text: str) -> bool:
    """Return whether the text has no control characters, lone surrogates or hidden line separators.

    No name has any of them, and PostgreSQL cannot store some of them.
    """
    return all(unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") for character in text)


def folded(text: str) -> str:
    """Return the form that the search by prefix compares: NFKC, case-folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
