"""The protocol by which nodes verify from memory holds in every state, and each of its rules is needed."""

import pytest
from support.lease_protocol import ENDING, Rules, Scope, find_counterexample

POLLS_ALONE = Scope(has_other_change=False, reads=False, leaves=False, fails_over=False)
TWO_CHANGES = POLLS_ALONE._replace(has_other_change=True)
OWN_ENDING = POLLS_ALONE._replace(own=frozenset({ENDING}))
# What has to happen, besides polls and the change that ends the secret, for a mistake to show.
NEEDED = {
    "revisions_are_in_commit_order": TWO_CHANGES,
    "polls_need_a_row": TWO_CHANGES,
    "row_is_there_before_the_poll": TWO_CHANGES,
    "removes_only_silent_members": TWO_CHANGES,
    "old_reads_are_not_remembered": POLLS_ALONE._replace(reads=True),
    "waits_after_a_failover": POLLS_ALONE._replace(fails_over=True),
    "server_is_known_after_a_whole_lease": POLLS_ALONE._replace(fails_over=True),
    "stops_answering_before_it_leaves": POLLS_ALONE._replace(leaves=True),
    "expiry_uses_the_upper_bound": POLLS_ALONE._replace(expires_at=3),
    "own_changes_are_forgotten": OWN_ENDING,
    "reads_before_an_own_change_are_not_remembered": OWN_ENDING._replace(reads=True),
    "own_changes_move_no_position": TWO_CHANGES._replace(own=frozenset({1 - ENDING})),
    "unanswered_commits_are_not_own": OWN_ENDING,
    "joins_wait_for_changes": TWO_CHANGES,
    "looks_for_others_on_a_known_server": POLLS_ALONE._replace(fails_over=True),
}


@pytest.mark.parametrize(
    ("scope", "at_least"),
    [
        (Scope(fails_over=False), 500_000),
        (Scope(reads=False, leaves=False), 700_000),
        (POLLS_ALONE._replace(reads=True, expires_at=3), 15_000),
        (Scope(own=frozenset({ENDING}), end_of_time=3, leaves=False, fails_over=False), 350_000),
        (Scope(own=frozenset({1 - ENDING}), end_of_time=3, leaves=False, fails_over=False), 350_000),
        (OWN_ENDING._replace(reads=True, leaves=True, fails_over=True), 90_000),
    ],
    ids=["in order", "failover", "expiry", "own ending", "own other change", "own ending, failover"],
)
def test_no_verification_after_the_acknowledgement_accepts(scope: Scope, at_least: int) -> None:
    counterexample, states = find_counterexample(Rules(), scope)
    assert counterexample is None
    assert states >= at_least


@pytest.mark.parametrize("rule", Rules._fields)
def test_each_rule_is_needed(rule: str) -> None:
    scope = NEEDED.get(rule, POLLS_ALONE)
    counterexample, _ = find_counterexample(Rules()._replace(**{rule: False}), scope)
    assert counterexample is not None
    assert find_counterexample(Rules(), scope)[0] is None
