"""What a journal has of a change."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gql_secrets.domain.journal import JournaledChange

_NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)
_CHANGES = st.builds(
    JournaledChange,
    revision=_NUMBERS,
    hash=st.binary(min_size=32, max_size=32),
    previous=st.binary(min_size=32, max_size=32),
    client_id=st.none() | st.text(),
    action=st.text(),
    secret_id=st.none() | _NUMBERS,
    hours_to_live=st.none() | _NUMBERS,
    expires_at=st.none() | _NUMBERS,
    session_number=st.none() | _NUMBERS,
    ended=st.lists(_NUMBERS, max_size=3).map(tuple),
)


@given(_CHANGES)
def test_a_line_is_the_json_that_earlier_versions_wrote(change: JournaledChange) -> None:
    """Processes of different versions share a file, where a line that two of them wrote counts once."""
    digests = [change.hash.hex(), change.previous.hex()]
    line = change.to_json()

    assert line == json.dumps([change.revision, *digests, *change[3:]], separators=(",", ":"))
    assert JournaledChange.of_json(line) == change
