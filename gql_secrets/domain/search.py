"""The search for clients: which text is stored for it, and which part of that text a search must find.

Indexes of trigrams find substrings of three characters or more, so the stored text ends with the first two characters
of each word behind a mark of two characters: a search of one or two characters, with its part of the mark, is a
substring of three.
"""

import re
from typing import Final

from gql_secrets.domain.texts import folded, is_writable

# No name is longer. The length is checked first: normalizing a long text takes seconds.
MAX_SEARCH: Final = 200
_MIN_SUBSTRING: Final = 3
_MARK: Final = "\x02\x02"  # no text that people write, and so no search, has this character
# The first two characters of each word. A word begins after anything but a letter or a digit, and ends at a blank. Only
# what is before a word is consumed: it may be a word too, such as a bracket.
_WORD_START: Final = re.compile(r"[\W_](?=(\S\S?))")


def search_text(name: str, client_id: str, description: str | None) -> str:
    """Return the text in which a search looks for a client."""
    text = folded("\n".join((name, client_id, description or "")))
    starts = dict.fromkeys(_WORD_START.findall(f"\n{text}"))
    return text + "".join([_MARK + start for start in starts])


def search_term(search: str) -> str | None:
    """Return what the stored text of a client must contain to be found, or None if a search finds nothing.

    From three characters on it is the search itself, otherwise the beginning of a word without blanks around it.
    """
    if len(search) > MAX_SEARCH or not is_writable(search):
        return None
    term = folded(search)
    if len(term) >= _MIN_SUBSTRING:
        return term
    start = term.strip()
    return (_MARK + start)[-_MIN_SUBSTRING:] if start else None
