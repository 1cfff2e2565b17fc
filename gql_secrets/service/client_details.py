"""Writes whom to call about a client, its labels, and its own maximum age, as a part of a change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gql_secrets.domain.details import ClientDetails, parse_contact, parse_label, parse_labels
from gql_secrets.domain.policies import InvalidMaximumAge, parse_maximum_age
from gql_secrets.service.changes import ClientChange
from gql_secrets.storage.models import ClientLabel


@dataclass(frozen=True, slots=True)
class DetailsEdit:
    """The details of a client that an edit sets; None leaves one as it is.

    Attributes:
        contact: the new contact; an empty one removes it.
        labels: all labels of the client from now on.
        maximum_age_days: the client's own maximum age from now on.
        inherit_maximum_age: whether the client has no maximum age of its own from now on.
    """

    contact: str | None = None
    labels: tuple[str, ...] | None = None
    maximum_age_days: int | None = None
    inherit_maximum_age: bool = False

    @classmethod
    def parse(
        cls,
        *,
        contact: str | None = None,
        labels: Sequence[str] | None = None,
        maximum_age_days: int | None = None,
        inherit_maximum_age: bool = False,
    ) -> Self:
        """Return the edit.

        Raises:
            Refusal: INVALID_CONTACT, INVALID_LABELS or INVALID_MAXIMUM_AGE.
        """
        if maximum_age_days is not None and inherit_maximum_age:
            raise InvalidMaximumAge("Pass either maximumAgeDays or inheritMaximumAge: true, not both.")
        return cls(
            None if contact is None else parse_contact(contact) or "",
            None if labels is None else parse_labels(labels),
            parse_maximum_age(maximum_age_days),
            inherit_maximum_age,
        )

    async def apply(self, change: ClientChange) -> list[str]:
        """Set the details on the client's row, which the caller saves, and write its labels; return what differed."""
        client, edited = change.client, []
        if self.contact is not None and (self.contact or None) != client.contact:
            client.contact = self.contact or None
            edited.append("contact")
        if self.labels is not None and self.labels != await labels_of(change):
            await ClientLabel.filter(client_id=client.client_id).using_db(change.connection).delete()
            await change.tx.insert(ClientLabel, values_of_labels(client.client_id, self.labels))
            edited.append("labels")
        days = None if self.inherit_maximum_age else self.maximum_age_days or client.maximum_age_days
        if days != client.maximum_age_days:
            client.maximum_age_days = days
            edited.append("maximumAgeDays")
        return edited


NO_EDIT = DetailsEdit()
COLUMNS = ("contact", "maximum_age_days")


async def labels_of(change: ClientChange) -> tuple[str, ...]:
    """Return the client's labels in alphabetical order."""
    rows = ClientLabel.filter(client_id=change.client.client_id).using_db(change.connection)
    return tuple(sorted(f"{key}={value}" for key, value in await rows.values_list("key", "value")))


def values_of_details(details: ClientDetails) -> dict[str, object]:
    """Return the columns of a new client."""
    return {"contact": details.contact, "maximum_age_days": details.maximum_age_days}


def values_of_labels(client_id: str, labels: Sequence[str]) -> list[dict[str, object]]:
    """Return the rows of a client's labels."""
    parsed = [parse_label(label) for label in labels]
    return [{"client_id": client_id, "key": key, "value": value} for key, value in parsed]
