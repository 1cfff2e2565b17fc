"""Which clients a list shows, and in which order it shows them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gql_secrets.domain.access import Feature
from gql_secrets.domain.details import parse_label
from gql_secrets.domain.errors import BadRequest
from gql_secrets.domain.policies import MAX_AGE_DAYS
from gql_secrets.storage import client_conditions
from gql_secrets.storage.client_conditions import Condition, Conditions
from gql_secrets.storage.client_lists import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFilter:
    """Conditions that clients must meet (True) or must not meet (False); None does not matter.

    `features` are met by clients that have any of them, and `labels` by those that have all of them.
    """

    in_rollover: bool | None = None
    locked_out: bool | None = None
    ending_soon: bool | None = None
    safe_to_revoke: bool | None = None
    waiting: bool | None = None
    due_for_rotation: bool | None = None
    never_used: bool | None = None
    disabled: bool | None = None
    due_within_days: int | None = None
    features: tuple[Feature, ...] = ()
    labels: tuple[str, ...] = ()
    contact: str | None = None

    def __post_init__(self) -> None:
        days = self.due_within_days
        if days is not None and not 0 <= days <= MAX_AGE_DAYS:
            raise BadRequest(f"dueWithinDays must be from 0 to {MAX_AGE_DAYS}.", argument="due_within_days")

    @property
    def needs_advice(self) -> bool:
        """Whether the advice about rollovers decides which clients are listed."""
        return any(each is not None for each in (self.ending_soon, self.safe_to_revoke, self.waiting))

    def conditions(self, at: Conditions) -> list[Condition]:
        """Return the conditions, those that the fewest clients meet first."""
        due_within = at.due_within(timedelta(days=self.due_within_days or 0))
        wanted = [
            (self.ending_soon, at.ending_soon()),
            (self.locked_out, at.locked_out()),
            (self.safe_to_revoke, at.safe_to_revoke()),
            (self.waiting, at.waiting()),
            (self.in_rollover, at.in_rollover()),
            (self.disabled, client_conditions.disabled()),
            (None if self.contact is None else True, client_conditions.has_contact(self.contact or "")),
            *((True, client_conditions.has_label(*parse_label(label))) for label in self.labels),
            (None if self.due_within_days is None else True, due_within),
            (bool(self.features) or None, client_conditions.has_features(self.features)),
            (self.never_used, client_conditions.never_used()),
            (self.due_for_rotation, at.due_for_rotation()),
        ]
        return [condition._replace(is_met=is_met) for is_met, condition in wanted if is_met is not None]


EVERY_CLIENT: Final = ClientFilter()
NEWEST_FIRST: Final = Order()
