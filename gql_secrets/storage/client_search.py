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
# A trigram that so many texts of the sample have is common.
_COMMON: Final = 10
_REMEMBERED_SECONDS: Final = 600
_SAMPLE: Final = "SELECT substr(search_text, 1, 200) FROM client_listing WHERE id IN (SELECT id FROM {ids} t)"


class _Sample(NamedTuple):
    """The texts of the sample, which of their trigrams are common, and until when both are used."""

    texts: str
    common: frozenset[str]
    until: float


_NO_SAMPLE: Final = _Sample("", frozenset(), 0.0)


class ClientSearch:
    """Finds clients by a part of their search text. A process samples the clients again after ten minutes."""

    def __init__(self, database: Database) -> None:
        """Search in an open database."""
        self._database = database
        self._sample = _NO_SAMPLE

    async def contains(self, term: str) -> Condition:
        """Return: the search text contains this term, of three characters or more.

        Raises:
            Unavailable: the database does not answer.
        """
        parts = await self.rare_parts(term)
        table, (indexed, values), (plain, plain_value) = self._database.dialect.contains(term, parts)
        return Condition(table, indexed, values, row_test=("client_listing", plain, (plain_value,)))

    async def rare_parts(self, term: str) -> Sequence[str]:
        """Return parts of a term, each of three characters or more, that few clients have; or the term itself.

        Every text with the term has them. Where no part of the term is rare, or the installation is small, it is the
        term itself.

        Raises:
            Unavailable: the database does not answer.
        """
        sample = self._sample
        if time.monotonic() >= sample.until:
            sample = self._sample = await self._take_sample()
        if not sample.common:
            return [term]
        return [part for part in _uncommon_parts(term, sample.common) if part not in sample.texts] or [term]

    async def _take_sample(self) -> _Sample:
        until = time.monotonic() + _REMEMBERED_SECONDS
        [(last,)] = await self._database.fetch_rows("SELECT max(id) FROM client_listing")
        if (last or 0) < _MANY:
            return _Sample("", frozenset(), until)
        ids = orjson.dumps([[last * place // _SAMPLED] for place in range(1, _SAMPLED + 1)]).decode()
        statement = _SAMPLE.format(ids=self._database.dialect.rows_of_json({"id": "bigint"}))
        texts = [text for (text,) in await self._database.fetch_rows(statement, [ids])]
        return _Sample("\n".join(texts), await asyncio.to_thread(_common_trigrams, texts), until)


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
