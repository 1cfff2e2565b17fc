"""The rules of a rollover, asked of the domain alone: no fixture, no clock, no database."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.clocks import DAYS, HOUR, MICROSECOND, MILLISECOND, MINUTE, NOW

from gql_secrets.domain.errors import (
    InvalidHoursToLive,
    NewSecretInUse,
    NoRollover,
    RolloverInProgress,
    SecretNotOld,
)
from gql_secrets.domain.rotation import (
    ActiveSecrets,
    CurrentSecret,
    End,
    Keep,
    ResetPlan,
    RetainedSecret,
    Retention,
    SecretEndReason,
    SecretState,
    SecretStatus,
    evaluate,
    plan_cancel,
    plan_change_retention,
    plan_reset,
    plan_revoke,
)

CAP = 7 * DAYS
ALICE, BOB = "user:alice", "user:bob"
CURRENT, RETAINED = SecretState.CURRENT, SecretState.RETAINED

hours = st.integers(0, 168)
smooth_hours = st.integers(1, 168)
# Clocks may step back, so the past of a row may lie in the future.
instants = st.integers(-(10**12), 10**12).map(lambda microseconds: NOW + timedelta(microseconds=microseconds))

Found = tuple[ActiveSecrets, datetime]


@st.composite
def active_secrets(draw: st.DrawFn) -> tuple[ActiveSecrets, datetime]:
    """What a client's row lock may find: an old secret, if any, is valid at `now` and within its 168 hours."""
    now = draw(instants)
    used = st.none() | instants
    current = CurrentSecret(2, draw(instants), draw(st.sampled_from([ALICE, BOB])), first_used_at=draw(used))
    if draw(st.booleans()):
        return ActiveSecrets(current), now
    remaining = draw(st.integers(1, 168 * 3_600_000_000))
    expires_at = now + remaining * MICROSECOND
    replaced_at = draw(st.integers(0, 168 * 3_600_000_000 - remaining).map(lambda ago: now - ago * MICROSECOND))
    retained = RetainedSecret(
        1,
        draw(instants),
        ALICE,
        replaced_at=replaced_at,
        expires_at=expires_at,
        first_used_at=draw(used),
        last_used_at=draw(used),
    )
    return ActiveSecrets(current, retained), now


def a_rollover(*, used: bool = False, made_by: str = ALICE, age: timedelta = HOUR / 2) -> ActiveSecrets:
    """The usual one: reset with 24 hours, `age` ago."""
    current = CurrentSecret(2, NOW - age, made_by, first_used_at=NOW - MINUTE if used else None)
    retained = RetainedSecret(
        1, NOW - 30 * DAYS, BOB, replaced_at=NOW - age, expires_at=NOW - age + 24 * HOUR, first_used_at=NOW
    )
    return ActiveSecrets(current, retained)


# Rule 2


@given(hours)
def test_every_whole_number_of_hours_from_0_to_168_is_a_retention(number: int) -> None:
    assert Retention(number).is_smooth == (number > 0)


@given(
    st.one_of(st.integers(max_value=-1), st.integers(min_value=169), st.floats(), st.booleans(), st.text(), st.none())
)
@example(24.0)
@example("24")
def test_nothing_else_is_one(value: object) -> None:
    with pytest.raises(InvalidHoursToLive) as refused:
        Retention(value)  # type: ignore[arg-type]
    assert (refused.value.minimum, refused.value.maximum) == (0, 168)


def test_where_zero_makes_no_sense_the_bounds_begin_at_one() -> None:
    with pytest.raises(InvalidHoursToLive) as refused:
        Retention(0, minimum=1)
    assert (refused.value.minimum, refused.value.maximum) == (1, 168)


@given(smooth_hours)
def test_an_hour_is_3600_seconds_in_every_calendar(number: int) -> None:
    assert Retention(number).until(NOW, replaced_at=NOW) - NOW == timedelta(seconds=3600 * number)


# Rule 3


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (-MILLISECOND, SecretStatus.VALID),
        (-MICROSECOND, SecretStatus.VALID),
        (timedelta(), SecretStatus.DUE),
        (MICROSECOND, SecretStatus.DUE),
        (MILLISECOND, SecretStatus.DUE),
    ],
)
def test_an_old_secret_is_good_until_its_instant_and_not_at_it(offset: timedelta, expected: SecretStatus) -> None:
    assert evaluate(RETAINED, NOW, enabled=True, now=NOW + offset) is expected


@given(st.sampled_from(SecretState), st.none() | instants, st.booleans(), instants)
def test_good_means_enabled_and_current_or_retained_and_not_yet_due(
    state: SecretState, expires_at: datetime | None, enabled: bool, now: datetime
) -> None:
    good = enabled and (state is CURRENT or (state is RETAINED and expires_at is not None and now < expires_at))
    assert (evaluate(state, expires_at, enabled=enabled, now=now) is SecretStatus.VALID) == good


@given(instants, instants, st.booleans())
def test_an_ended_secret_is_not_good_at_any_time(expires_at: datetime, now: datetime, enabled: bool) -> None:
    for state in (SecretState.EXPIRED, SecretState.REVOKED):
        assert evaluate(state, expires_at, enabled=enabled, now=now) is SecretStatus.ENDED


def test_a_due_secret_of_a_disabled_client_is_due_so_that_it_is_written_down() -> None:
    assert evaluate(RETAINED, NOW, enabled=False, now=NOW) is SecretStatus.DUE


# Rules 1 and 4 to 7


@given(active_secrets(), hours, st.sampled_from([ALICE, BOB]), st.booleans())
def test_every_reset_leaves_at_most_one_old_secret_and_ends_the_rest(
    found: Found, number: int, by: str, end_active_rollover: bool
) -> None:
    active, now = found
    try:
        plan = plan_reset(active, Retention(number), by=by, now=now, end_active_rollover=end_active_rollover)
    except RolloverInProgress:
        return
    before = {secret.id for secret in (active.current, active.retained) if secret}
    kept = {plan.keep.secret.id} if plan.keep else set()
    ended = [end.secret.id for end in plan.ends]
    assert sorted([*kept, *ended]) == sorted(before), "each older secret is kept or ended, once"
    assert bool(plan.keep) == (number > 0)


@given(active_secrets(), smooth_hours, st.sampled_from([ALICE, BOB]), st.booleans())
def test_no_life_exceeds_168_hours_after_the_reset_that_retained_it(
    found: Found, number: int, by: str, end_active_rollover: bool
) -> None:
    active, now = found
    try:
        keep = plan_reset(active, Retention(number), by=by, now=now, end_active_rollover=end_active_rollover).keep
    except RolloverInProgress:
        return
    assert keep is not None
    assert keep.expires_at == min(now + number * HOUR, keep.replaced_at + CAP)
    assert keep.expires_at > now
    if active.retained and keep.secret.id == active.retained.id:
        assert keep.replaced_at == active.retained.replaced_at, "a later reset does not restart the 168 hours"


@given(active_secrets(), smooth_hours, st.sampled_from([ALICE, BOB]))
def test_a_smooth_reset_without_the_flag_never_ends_a_used_secret(found: Found, number: int, by: str) -> None:
    active, now = found
    try:
        plan = plan_reset(active, Retention(number), by=by, now=now)
    except RolloverInProgress:
        assert active.retained is not None
        return
    for end in plan.ends:
        assert end.reason is SecretEndReason.WITHDRAWN
        assert not end.secret.was_used


@given(active_secrets(), smooth_hours, st.sampled_from([ALICE, BOB]))
def test_even_with_the_flag_the_used_one_of_two_stays(found: Found, number: int, by: str) -> None:
    active, now = found
    plan = plan_reset(active, Retention(number), by=by, now=now, end_active_rollover=True)
    assert active.current not in [end.secret for end in plan.ends if active.current.was_used]
    if active.retained and not active.current.was_used:
        assert plan.keep is not None
        assert plan.keep.secret is active.retained


@given(active_secrets(), st.sampled_from([ALICE, BOB]), st.booleans())
def test_a_hard_reset_ends_everything_and_is_never_refused(found: Found, by: str, end_active_rollover: bool) -> None:
    active, now = found
    plan = plan_reset(active, Retention(0), by=by, now=now, end_active_rollover=end_active_rollover)
    assert plan.keep is None
    assert {end.reason for end in plan.ends} == {SecretEndReason.HARD_RESET}
    assert [end.secret for end in plan.ends] == [s for s in (active.current, active.retained) if s]


@given(active_secrets())
def test_a_reset_without_an_old_secret_retains_the_current_one(found: Found) -> None:
    active, now = found
    plan = plan_reset(ActiveSecrets(active.current), Retention(24), by=BOB, now=now)
    assert plan == ResetPlan(Keep(active.current, now, now + 24 * HOUR))


# Rule 6, case by case


def test_a_double_click_withdraws_the_unused_secret_and_keeps_the_old_one() -> None:
    active = a_rollover(made_by=ALICE)
    plan = plan_reset(active, Retention(24), by=ALICE, now=NOW)
    assert active.retained is not None
    assert plan.keep == Keep(active.retained, NOW - HOUR / 2, NOW + 24 * HOUR)
    assert plan.ends == (End(active.current, SecretEndReason.WITHDRAWN),)
    assert plan.ended_by(SecretEndReason.WITHDRAWN) == active.current
    assert plan.ended_by(SecretEndReason.DISPLACED) is None


@pytest.mark.parametrize(
    ("active", "by"),
    [
        pytest.param(a_rollover(used=True), ALICE, id="the current secret was used"),
        pytest.param(a_rollover(made_by=BOB), ALICE, id="somebody else made it"),
        pytest.param(a_rollover(age=HOUR), ALICE, id="it was made an hour ago"),
    ],
)
def test_any_other_reset_during_a_rollover_is_refused_with_what_is_at_stake(active: ActiveSecrets, by: str) -> None:
    with pytest.raises(RolloverInProgress) as refused:
        plan_reset(active, Retention(24), by=by, now=NOW)
    facts = refused.value
    assert facts.current_secret_created_by == active.current.created_by
    assert facts.current_secret_created_at == active.current.created_at
    assert facts.current_secret_used == active.current.was_used
    assert active.retained is not None
    assert facts.old_secret_expires_at == active.retained.expires_at
    assert facts.old_secret_last_used_at == active.retained.last_used_at
    assert "endActiveRollover" in str(facts)


def test_a_retry_is_one_until_the_hour_is_full() -> None:
    assert plan_reset(a_rollover(age=HOUR - MICROSECOND), Retention(24), by=ALICE, now=NOW).ends


def test_going_on_displaces_the_old_secret_where_the_new_one_is_in_use() -> None:
    active = a_rollover(used=True)
    plan = plan_reset(active, Retention(24), by=BOB, now=NOW, end_active_rollover=True)
    assert plan.keep == Keep(active.current, NOW, NOW + 24 * HOUR)
    assert plan.ends == (End(active.retained, SecretEndReason.DISPLACED),)  # type: ignore[arg-type]


def test_going_on_withdraws_the_new_secret_where_nobody_used_it_and_keeps_the_old_one() -> None:
    active = a_rollover(made_by=BOB, age=5 * HOUR)
    plan = plan_reset(active, Retention(168), by=ALICE, now=NOW, end_active_rollover=True)
    assert active.retained is not None
    assert plan.keep == Keep(active.retained, NOW - 5 * HOUR, NOW - 5 * HOUR + CAP)
    assert plan.ends == (End(active.current, SecretEndReason.WITHDRAWN),)


def test_many_retries_in_a_row_never_move_the_end_past_its_168_hours() -> None:
    active, replaced_at = a_rollover(), NOW - HOUR / 2
    now = NOW
    for number in range(400):
        keep = plan_reset(active, Retention(168), by=ALICE, now=now).keep
        assert keep is not None
        assert keep.expires_at == replaced_at + CAP
        now += HOUR / 2
        if now >= keep.expires_at:
            return
        assert isinstance(keep.secret, RetainedSecret)
        retained = replace(keep.secret, replaced_at=keep.replaced_at, expires_at=keep.expires_at)
        active = ActiveSecrets(CurrentSecret(number + 3, now - MINUTE, ALICE), retained)
    pytest.fail("the old secret outlived its 168 hours")


# Rule 7


@given(active_secrets(), smooth_hours)
def test_a_changed_retention_stays_within_168_hours_of_the_reset_and_says_when_it_was_clamped(
    found: Found, number: int
) -> None:
    active, now = found
    if active.retained is None:
        with pytest.raises(NoRollover):
            plan_change_retention(active, Retention(number, minimum=1), now=now)
        return
    keep, clamped = plan_change_retention(active, Retention(number, minimum=1), now=now)
    assert active.retained.replaced_at is not None
    cap = active.retained.replaced_at + CAP
    assert (keep.secret, keep.replaced_at) == (active.retained, active.retained.replaced_at)
    assert keep.expires_at == min(now + number * HOUR, cap)
    assert clamped == (now + number * HOUR > cap)


@given(active_secrets())
def test_a_cancelled_rollover_ends_the_unused_new_secret_and_nothing_else(
    found: Found,
) -> None:
    active, _ = found
    if active.retained is None:
        with pytest.raises(NoRollover):
            plan_cancel(active)
    elif active.current.was_used:
        with pytest.raises(NewSecretInUse):
            plan_cancel(active)
    else:
        assert plan_cancel(active) == (active.retained, End(active.current, SecretEndReason.CANCELLED))


# Rule 8


@given(active_secrets(), st.none() | st.integers(1, 4), st.booleans())
def test_a_revoke_ends_the_old_secret_and_never_another(found: Found, secret_id: int | None, ended_once: bool) -> None:
    active, _ = found
    is_the_old_one = active.retained is not None and secret_id in (None, active.retained.id)
    if secret_id is not None and not is_the_old_one and not ended_once:
        with pytest.raises(SecretNotOld):
            plan_revoke(active, secret_id=secret_id, ended_once_retained=ended_once)
        return
    end = plan_revoke(active, secret_id=secret_id, ended_once_retained=ended_once)
    assert end == (End(active.retained, SecretEndReason.REVOKED) if is_the_old_one and active.retained else None)


@pytest.mark.parametrize("reason", SecretEndReason)
def test_every_reason_but_expired_belongs_to_the_state_revoked(reason: SecretEndReason) -> None:
    assert reason.state is (SecretState.EXPIRED if reason.name == "EXPIRED" else SecretState.REVOKED)
