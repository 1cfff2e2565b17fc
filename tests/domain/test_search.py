"""What a search looks for in the stored text of a client."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gql_secrets.domain.search import search_term, search_text
from gql_secrets.domain.texts import folded

_TEXTS = st.text("aB9é_-.[ \n\t", max_size=12) | st.text(max_size=12)


@given(_TEXTS, _TEXTS, st.none() | _TEXTS)
def test_the_first_two_characters_after_anything_but_a_letter_or_a_digit_are_found(
    name: str, client_id: str, description: str | None
) -> None:
    """The text is stored: what it is may not change from one version to the next."""
    text = folded("\n".join((name, client_id, description or "")))
    starts = dict.fromkeys(re.findall(r"(?<![^\W_])(?=(\S\S?))", text))

    assert search_text(name, client_id, description) == text + "".join("\x02\x02" + start for start in starts)


def test_a_bracket_and_the_word_after_it_are_beginnings_of_words() -> None:
    text = search_text("[blue] till", "x", None)

    for search in ("[b", "bl", "ti", "t"):
        term = search_term(search)
        assert term is not None
        assert term in text
    assert str(search_term("ue")) not in text
