"""The rotation policy, asked without a database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clocks import DAYS, MICROSECOND, NOW

from gql_secrets.domain.policies import (
    MAX_AGE_DAYS,
    InvalidMaximumAge,
    RotationPolicy,
    RotationState,
    parse_maximum_age,
    rotation_state,
)

AGES = st.none() | st.integers(1, MAX_AGE_DAYS)


@pytest.mark.parametrize(
    ("installation", "own", "effective"), [(None, None, None), (90, None, 90), (None, 30, 30), (90, 365, 365)]
)
def test_a_clients_own_maximum_age_comes_before_the_installations(
    installation: int | None, own: int | None, effective: int | None
) -> None:
    policy = RotationPolicy(installation)
    assert policy.effective_days(own) == effective
    assert policy.due_at(NOW, own) == (None if effective is None else NOW + effective * DAYS)


def test_a_secret_is_fine_then_due_then_overdue_from_its_exact_time() -> None:
    due_at = RotationPolicy(90).due_at(NOW, None)
    assert due_at == NOW + 90 * DAYS
    states = [
        rotation_state(due_at, now=now, within=14 * DAYS)
        for now in (NOW, due_at - 14 * DAYS - MICROSECOND, due_at - 14 * DAYS, due_at - MICROSECOND, due_at)
    ]
    assert states == [
        RotationState.FINE,
        RotationState.FINE,
        RotationState.DUE,
        RotationState.DUE,
        RotationState.OVERDUE,
    ]


@given(AGES, AGES, st.integers(0, 4 * MAX_AGE_DAYS))
def test_without_a_maximum_age_nothing_is_ever_due(installation: int | None, own: int | None, later: int) -> None:
    due_at = RotationPolicy(installation).due_at(NOW, own)
    state = rotation_state(due_at, now=NOW + later * DAYS)
    assert (due_at is None) == (installation is None and own is None)
    assert (state is RotationState.OVERDUE) == (due_at is not None and NOW + later * DAYS >= due_at)


@pytest.mark.parametrize("days", [0, -1, MAX_AGE_DAYS + 1])
def test_a_maximum_age_out_of_bounds_is_refused(days: int) -> None:
    with pytest.raises(InvalidMaximumAge):
        parse_maximum_age(days)
    assert (parse_maximum_age(None), parse_maximum_age(1), parse_maximum_age(MAX_AGE_DAYS)) == (None, 1, MAX_AGE_DAYS)
