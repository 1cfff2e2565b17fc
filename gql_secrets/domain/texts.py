"""Text that people write: which characters it may have, and how it is compared."""

import unicodedata
from typing import Final

# Letters and a symbol that are rendered as blanks: the Hangul fillers and the empty Braille pattern.
_BLANK_LETTERS: Final = "\u115f\u1160\u3164\uffa0\u2800"


def is_writable(text: str) -> bool:
    """Return whether the text has no control characters, lone surrogates or hidden line separators.

    No name has any of them, and PostgreSQL cannot store some of them.
    """
    if text.isprintable():  # most text is, and looking at each character takes longer
        return True
    return all(unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") for character in text)


def is_visible(text: str) -> bool:
    """Return whether the text has a character that people see: not only blanks, marks and invisible characters."""
    return any(
        unicodedata.category(character)[0] not in "CMZ" and character not in _BLANK_LETTERS for character in text
    )


def folded(text: str) -> str:
    """Return the form that the search by prefix compares: NFKC, case-folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
