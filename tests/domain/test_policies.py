"""The rotation policy, asked without a database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clocks import DAYS, NOW

from gql_secrets.domain.policies import (
    MAX_AGE_DAYS,
    InvalidMaximumAge,
    RotationPolicy,
    parse_maximum_age,
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


@given(AGES, AGES)
def test_without_a_maximum_age_nothing_is_ever_due(installation: int | None, own: int | None) -> None:
    due_at = RotationPolicy(installation).due_at(NOW, own)
    assert (due_at is None) == (installation is None and own is None)


@pytest.mark.parametrize("days", [0, -1, MAX_AGE_DAYS + 1])
def test_a_maximum_age_out_of_bounds_is_refused(days: int) -> None:
    with pytest.raises(InvalidMaximumAge):
        parse_maximum_age(days)
    assert (parse_maximum_age(None), parse_maximum_age(1), parse_maximum_age(MAX_AGE_DAYS)) == (None, 1, MAX_AGE_DAYS)
