"""Whom to call about a client, and its labels."""

import pytest

from gql_secrets.domain.details import (
    MAX_CONTACT,
    MAX_LABELS,
    InvalidContact,
    InvalidLabels,
    parse_contact,
    parse_label,
    parse_labels,
)


def test_a_contact_loses_its_blanks_and_an_empty_one_is_none() -> None:
    assert parse_contact("  Payments team, payments@example.com ") == "Payments team, payments@example.com"
    assert parse_contact("   ") is None
    assert parse_contact(None) is None
    assert parse_contact("é" * MAX_CONTACT) == "é" * MAX_CONTACT


@pytest.mark.parametrize("text", ["x" * (MAX_CONTACT + 1), "a\nb", "a\x00b", "\ud800"])
def test_a_contact_that_is_too_long_or_has_control_characters_is_refused(text: str) -> None:
    with pytest.raises(InvalidContact):
        parse_contact(text)


def test_labels_are_sorted_and_parsed() -> None:
    assert parse_labels(["team=payments", "env=prod"]) == ("env=prod", "team=payments")
    assert parse_label("example.com/cost-center=A1_b:2@x+y") == ("example.com/cost-center", "A1_b:2@x+y")
    assert len(parse_labels([f"k{number}=v" for number in range(MAX_LABELS)])) == MAX_LABELS


@pytest.mark.parametrize(
    "labels",
    [
        ["team"],
        ["=x"],
        ["team="],
        ["Team=x"],
        ["team=a,b"],
        ["team=a b"],
        ["team=a=b"],
        ["team=é"],
        ["team=x\n"],
        ["k" * 64 + "=v"],
        ["k=" + "v" * 64],
        ["team=a", "team=b"],
        ["team=a", "team=a"],
        [f"k{number}=v" for number in range(MAX_LABELS + 1)],
    ],
)
def test_malformed_repeated_and_too_many_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(InvalidLabels):
        parse_labels(labels)
