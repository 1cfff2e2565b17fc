"""The search for clients, by the trigrams of a term that few clients have.

An index of trigrams reads the places of every trigram that it is asked for, and those of a word that all clients have
are as many as the clients. So a search with rare trigrams asks for these alone, and what is found is compared with the
whole term. A sample of the clients tells which trigrams are rare; it decides how long a search takes, never what it
finds.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from gql_secrets.storage.client_conditions import Condition
from gql_secrets.storage.database import Database

_TRIGRAM: Final = 3
# With fewer clients, no list of places is long.
_MANY: Final = 20_000
_SAMPLED: Final = 500
_BETWEEN: Final = "\x03"  # no text that people write has this character
# How many texts of the sample have a common trigram, at least.
_COMMON: Final = 10
# What more texts of the sample have, many clients have.
_MANY_SAMPLED: Final = 25
_REMEMBERED_SECONDS: Final = 120
_SAMPLE: Final = "SELECT substr(search_text, 1, 200) FROM client_listing WHERE id IN (SELECT id FROM {ids} t)"


class _Sample(NamedTuple):
    """The beginnings of the texts of the sample, which of their trigrams are common, and until when both are used."""

    texts: str
    common: frozenset[str]
    until: float

    def has_often(self, term: str) -> bool:
        """Whether many clients have this term."""
        # One text may have it more than once.
        return self.texts.count(term) > _MANY_SAMPLED and (
            sum(term in text for text in self.texts.split(_BETWEEN)) > _MANY_SAMPLED
        )


_NO_SAMPLE: Final = _Sample("", frozenset(), 0.0)


class ClientSearch:
    """Finds clients by a part of their search text. A process samples the clients again after two minutes."""

    def __init__(self, database: Database) -> None:
        """Search in an open database."""
        self._database = database
        self._sample = _NO_SAMPLE

    async def contains(self, term: str) -> Condition:
        """Return: the search text contains this term, of three characters or more.

        Raises:
            Unavailable: the database does not answer.
        """
        sample = await self._current_sample()
        is_common = sample.has_often(term)
        parts = [term] if is_common else _rare_parts(term, sample)
        table, (indexed, values), (plain, plain_value) = self._database.dialect.contains(term, parts)
        row_test = ("client_listing", plain, (plain_value,))
        return Condition(table, indexed, values, row_test=row_test, is_common=is_common)

    async def _current_sample(self) -> _Sample:
        if time.monotonic() >= self._sample.until:
            self._sample = await self._take_sample()
        return self._sample

    async def _take_sample(self) -> _Sample:
        until = time.monotonic() + _REMEMBERED_SECONDS
        [(last,)] = await self._database.fetch_rows("SELECT max(id) FROM client_listing")
        if (last or 0) < _MANY:
            return _Sample("", frozenset(), until)
        ids = orjson.dumps([[last * place // _SAMPLED] for place in range(1, _SAMPLED + 1)]).decode()
        statement = _SAMPLE.format(ids=self._database.dialect.rows_of_json({"id": "bigint"}))
        texts = [text for (text,) in await self._database.fetch_rows(statement, [ids])]
        return _Sample(_BETWEEN.join(texts), await asyncio.to_thread(_common_trigrams, texts), until)


def _rare_parts(term: str, sample: _Sample) -> list[str]:
    """Return parts of a term, each of three characters or more, that no text of the sample has; or the term itself."""
    parts = _uncommon_parts(term, sample.common) if sample.common else []
    return [part for part in parts if part == term or part not in sample.texts] or [term]


def _common_trigrams(texts: Sequence[str]) -> frozenset[str]:
    having: Counter[str] = Counter()
    for text in texts:
        having.update({text[at : at + _TRIGRAM] for at in range(len(text) - _TRIGRAM + 1)})
    return frozenset(trigram for trigram, number in having.items() if number >= _COMMON)


def _uncommon_parts(term: str, common: frozenset[str]) -> list[str]:
    """Return the longest parts of words in a term none of whose trigrams is common."""
    parts: list[str] = []
    end = 0
    for at in range(len(term) - _TRIGRAM + 1):
        trigram = term[at : at + _TRIGRAM]
        if not trigram.isalnum() or trigram in common:
            continue
        if parts and at + _TRIGRAM == end + 1:
            parts[-1] += trigram[-1]
        else:
            parts.append(trigram)
        end = at + _TRIGRAM
    return parts
