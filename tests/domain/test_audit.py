"""The canonical form of audit events, which every stored hash covers."""

import hashlib
import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gql_secrets.domain.audit import AuditEntry, EndedSecret
from gql_secrets.domain.rotation import SecretEndReason, SecretState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = st.integers(-(2**63), 2**63 - 1)
_INSTANTS = st.datetimes(timezones=st.just(UTC))
_VALUES: dict[object, st.SearchStrategy[Any]] = {
    int: _NUMBERS,
    int | None: st.none() | _NUMBERS,
    str: st.text(),
    str | None: st.none() | st.text(),
    bool: st.booleans(),
    datetime: _INSTANTS,
    datetime | None: st.none() | _INSTANTS,
    tuple[str, ...]: st.lists(st.text(), max_size=3).map(tuple),
    tuple[EndedSecret, ...]: st.lists(
        st.builds(EndedSecret, _NUMBERS, st.sampled_from(SecretEndReason), st.sampled_from(SecretState)), max_size=3
    ).map(tuple),
}
_ENTRIES = st.builds(AuditEntry, **{each.name: _VALUES[each.type] for each in fields(AuditEntry)})


def _as_json_has_it(value: object) -> object:
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1)
    if isinstance(value, tuple) and value and isinstance(value[0], EndedSecret):
        return sorted([each.secret_id, each.reason, each.state_before] for each in value)
    return list(value) if isinstance(value, tuple) else value


@given(_ENTRIES)
def test_the_hash_covers_sorted_json_without_what_is_empty(entry: AuditEntry) -> None:
    """Hashes of earlier events were made of exactly this text, by `json` itself: another text would break the chain."""
    facts = {each.name: _as_json_has_it(getattr(entry, each.name)) for each in fields(entry)}
    facts = {name: fact for name, fact in facts.items() if fact is not None and fact is not False and fact != []}
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    previous = hashlib.sha256(b"the event before").digest()

    assert entry.hash_after(previous) == hashlib.sha256(b"\x02" + previous + text.encode()).digest()
