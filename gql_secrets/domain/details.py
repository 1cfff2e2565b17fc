"""What people need to know about a client: whom to call, its labels, and its own maximum age."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from gql_secrets.domain.error_codes import ErrorCode
from gql_secrets.domain.errors import Refusal
from gql_secrets.domain.policies import parse_maximum_age
from gql_secrets.domain.texts import is_writable

MAX_CONTACT: Final = 200
MAX_LABELS: Final = 16
MAX_PART: Final = 63
# No comma and no blank: a label is part of a shell word and of comma-separated lists.
_LABEL: Final = re.compile(
    rf"(?P<key>[a-z0-9][a-z0-9._/-]{{0,{MAX_PART - 1}}})=(?P<value>[A-Za-z0-9._/@:+-]{{1,{MAX_PART}}})", re.ASCII
)


class InvalidContact(Refusal):
    """The contact of a client is too long or has control characters."""

    code = ErrorCode.INVALID_CONTACT
    argument = "contact"
    maximum = MAX_CONTACT

    def __init__(self) -> None:
        super().__init__(f"A contact must have at most {MAX_CONTACT} characters and no control characters.")


class InvalidLabels(Refusal):
    """The labels of a client are too many, malformed, or have a key twice."""

    code = ErrorCode.INVALID_LABELS
    argument = "labels"

    def __init__(self, text: str, *, maximum: int | None = None) -> None:
        super().__init__(text)
        self.maximum = maximum


def parse_contact(text: str | None) -> str | None:
    """Return the contact without leading and trailing blanks; None for an empty one.

    Raises:
        InvalidContact: it is over 200 characters, or has control characters.
    """
    contact = (text or "").strip()
    if len(contact) > MAX_CONTACT or not is_writable(contact):
        raise InvalidContact
    return contact or None


def parse_labels(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the labels in alphabetical order, each `key=value`.

    Raises:
        InvalidLabels: there are over 16, one is malformed, or two have the same key.
    """
    labels = sorted(texts)
    if len(labels) > MAX_LABELS:
        raise InvalidLabels(f"A client can have at most {MAX_LABELS} labels.", maximum=MAX_LABELS)
    keys = [parse_label(label)[0] for label in labels]
    if len(set(keys)) < len(keys):
        raise InvalidLabels("Each label must have a different key.")
    return tuple(labels)


def parse_label(text: str) -> tuple[str, str]:
    """Return the key and the value of a label.

    Raises:
        InvalidLabels: it is malformed.
    """
    match = _LABEL.fullmatch(text)
    if match is None:
        raise InvalidLabels(
            "Write a label as key=value, such as team=payments: the key in lower-case letters, digits and . _ - /, the "
            f"value in letters, digits and . _ - / @ : +, each at most {MAX_PART} characters."
        )
    return match["key"], match["value"]


@dataclass(frozen=True, slots=True)
class ClientDetails:
    """Whom to call about a client, its labels, and its own maximum age; None where it inherits that."""

    contact: str | None = None
    labels: tuple[str, ...] = ()
    maximum_age_days: int | None = None

    @classmethod
    def parse(
        cls, *, contact: str | None = None, labels: Iterable[str] = (), maximum_age_days: int | None = None
    ) -> Self:
        """Return the details of a new client.

        Raises:
            Refusal: INVALID_CONTACT, INVALID_LABELS or INVALID_MAXIMUM_AGE.
        """
        return cls(parse_contact(contact), parse_labels(labels), parse_maximum_age(maximum_age_days))


NO_DETAILS: Final = ClientDetails()
