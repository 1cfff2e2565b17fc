"""How far a source has come in a rollover, by which secret it used when."""

from datetime import timedelta

import pytest
from support.clocks import DAYS, HOUR, MINUTE, NOW, SECOND

from gql_secrets.domain.sources import (
    RolloverSourceState,
    SeenSource,
    by_danger,
    count_sources,
    evaluate_sources,
    first_allowed_use,
)

STARTED_AT = NOW - 3 * DAYS


def seen(
    name: str, new: timedelta | None = None, old: timedelta | None = None, refused: timedelta | None = None
) -> SeenSource:
    """A source that did these things so long ago."""
    new_at, old_at, refused_at = (None if each is None else NOW - each for each in (new, old, refused))
    return SeenSource("192.0.2.1", name, new_at, old_at, refused_at)


def states(*sources: SeenSource, allowed: bool = True) -> list[tuple[str | None, str]]:
    evaluated = evaluate_sources(list(sources), allows=lambda _: allowed, started_at=STARTED_AT, now=NOW)
    return [(each.seen.user_agent, each.state.value) for each in by_danger(evaluated)]


@pytest.mark.parametrize(
    ("source", "state"),
    [
        (seen("a", new=HOUR, old=2 * HOUR), "MOVED"),
        (seen("a", new=DAYS), "MOVED"),
        (seen("a", new=HOUR, old=HOUR), "MOVED"),
        (seen("a", new=2 * HOUR, old=HOUR), "STILL_OLD"),
        (seen("a", old=HOUR - SECOND), "STILL_OLD"),
        (seen("a", old=HOUR), "NOT_SEEN_WITH_NEW"),
        (seen("a", old=4 * DAYS), "NOT_SEEN_WITH_NEW"),
        (seen("a", refused=DAYS - SECOND), "LOCKED_OUT"),
        (seen("a", old=2 * HOUR, refused=HOUR), "LOCKED_OUT"),
        (seen("a", new=HOUR, refused=2 * HOUR), "MOVED"),
    ],
)
def test_the_later_use_decides_the_state_of_a_source(source: SeenSource, state: str) -> None:
    assert states(source) == [("a", state)]


def test_sources_that_were_gone_before_the_reset_are_left_out() -> None:
    assert states(seen("gone", old=4 * DAYS + SECOND), seen("gave up", refused=DAYS)) == []


def test_a_source_outside_the_allow_list_is_refused_and_need_not_move() -> None:
    outside = evaluate_sources([seen("thief", new=MINUTE)], allows=lambda _: False, started_at=STARTED_AT, now=NOW)
    assert [each.state for each in outside] == [RolloverSourceState.NOT_ALLOWED]
    assert count_sources(each.state for each in outside) == (0, 0)


def test_the_greatest_danger_comes_first_and_then_the_most_recent() -> None:
    assert states(
        seen("moved", new=MINUTE),
        seen("silent", old=DAYS),
        seen("silent since", old=2 * DAYS),
        seen("old", old=MINUTE),
        seen("locked", refused=HOUR),
    ) == [
        ("locked", "LOCKED_OUT"),
        ("old", "STILL_OLD"),
        ("silent", "NOT_SEEN_WITH_NEW"),
        ("silent since", "NOT_SEEN_WITH_NEW"),
        ("moved", "MOVED"),
    ]


def test_a_use_that_the_allow_list_refuses_is_not_a_first_use() -> None:
    first = NOW - DAYS
    uses = [("198.18.0.77", first), ("10.1.0.1", NOW - HOUR), (None, NOW - MINUTE)]
    assert first_allowed_use(first, uses, allows=lambda _: True) == first
    assert first_allowed_use(first, uses, allows=lambda address: address == "10.1.0.1") == NOW - HOUR
    assert first_allowed_use(first, uses[:1], allows=lambda _: False) is None
    assert first_allowed_use(first, [], allows=lambda _: False) == first
