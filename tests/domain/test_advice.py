from datetime import datetime, timedelta

import pytest
from support.clocks import HOUR, MICROSECOND, MINUTE, NOW, SECOND

from gql_secrets.domain.advice import Opinion, RolloverAdvice, advise
from gql_secrets.domain.durations import format_duration, parse_duration
from gql_secrets.domain.instants import rfc3339_seconds


def advice(new: timedelta | None, old: timedelta | None, quiet: timedelta = HOUR) -> RolloverAdvice:
    """The advice when the new secret was first used, and the old one last used, so long ago."""
    return advise(
        new_first_used_at=None if new is None else NOW - new,
        old_last_used_at=None if old is None else NOW - old,
        ends_at=NOW + 24 * HOUR,
        quiet_time=quiet,
        now=NOW,
    ).advice


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (None, None, RolloverAdvice.WAIT_FOR_NEW),
        (None, 9 * HOUR, RolloverAdvice.WAIT_FOR_NEW),
        (9 * HOUR, SECOND, RolloverAdvice.WAIT_FOR_QUIET),
        (9 * HOUR, HOUR - MICROSECOND, RolloverAdvice.WAIT_FOR_QUIET),
        (9 * HOUR, HOUR, RolloverAdvice.REVOKE),
        (HOUR - MICROSECOND, 9 * HOUR, RolloverAdvice.WAIT_FOR_QUIET),
        (HOUR - MICROSECOND, None, RolloverAdvice.WAIT_FOR_QUIET),
        (HOUR, None, RolloverAdvice.REVOKE),
        (HOUR, 9 * HOUR, RolloverAdvice.REVOKE),
        (9 * HOUR, -SECOND, RolloverAdvice.WAIT_FOR_QUIET),
    ],
)
def test_it_is_safe_when_the_new_one_is_used_and_the_quiet_time_has_passed_since_the_later_use(
    new: timedelta | None, old: timedelta | None, expected: RolloverAdvice
) -> None:
    assert advice(new, old) is expected


def test_the_quiet_time_is_the_askers() -> None:
    assert advice(9 * HOUR, 16 * MINUTE, 15 * MINUTE) is RolloverAdvice.REVOKE
    assert advice(9 * HOUR, 16 * MINUTE, 17 * MINUTE) is RolloverAdvice.WAIT_FOR_QUIET


def test_uses_that_other_nodes_have_not_written_yet_are_waited_for() -> None:
    def opinion(unused_for: timedelta) -> Opinion:
        return advise(
            new_first_used_at=NOW - 9 * HOUR,
            old_last_used_at=NOW - unused_for,
            ends_at=NOW + 24 * HOUR,
            quiet_time=HOUR,
            reporting_time=MINUTE,
            now=NOW,
        )

    assert not opinion(HOUR + MINUTE - MICROSECOND).is_safe_to_revoke
    assert opinion(HOUR + MINUTE).is_safe_to_revoke
    assert rfc3339_seconds(NOW + MINUTE) in opinion(HOUR).reason


def waiting(ends_at: datetime) -> Opinion:
    """The opinion on an old secret that was used 20 minutes ago."""
    return advise(
        new_first_used_at=NOW - 2 * HOUR,
        old_last_used_at=NOW - 20 * MINUTE,
        ends_at=ends_at,
        quiet_time=HOUR,
        now=NOW,
    )


def test_the_reason_says_when_it_will_be_safe() -> None:
    opinion = waiting(ends_at=NOW + 24 * HOUR)
    assert not opinion.is_safe_to_revoke
    assert "last used at 2026-11-21T11:40:00Z" in opinion.reason
    assert "safe to revoke at 2026-11-21T12:40:00Z" in opinion.reason


@pytest.mark.parametrize("left", [26 * MINUTE, 40 * MINUTE])
def test_the_reason_names_no_instant_after_the_end(left: timedelta) -> None:
    opinion = waiting(ends_at=NOW + left)
    assert opinion.advice is RolloverAdvice.WAIT_FOR_QUIET
    assert "safe to revoke" not in opinion.reason
    assert "before the wait of 1h is over" in opinion.reason


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", 90 * SECOND),
        ("15m", 15 * MINUTE),
        ("1h", HOUR),
        ("0s", 0 * SECOND),
        (" 2h ", 2 * HOUR),
        ("3d", 72 * HOUR),
    ],
)
def test_a_duration_is_a_number_and_its_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1.5h", "1h30m", "1 h", "\u0661h", "99999999s"])
def test_another_spelling_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s, 15m, 1h or 90d"):
        parse_duration(text)


def test_a_duration_is_written_in_its_largest_unit() -> None:
    assert [format_duration(each) for each in (90 * SECOND, 15 * MINUTE, 26 * HOUR, 0 * HOUR)] == [
        "90s",
        "15m",
        "26h",
        "0s",
    ]
