"""Which clients a list shows, and in which order it shows them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gql_secrets.domain.access import Feature
from gql_secrets.storage import client_lists
from gql_secrets.storage.client_lists import Condition, Conditions, Order


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFilter:
    """Conditions that clients must meet (True) or must not meet (False); None does not matter.

    `features` are met by clients that have any of them.
    """

    in_rollover: bool | None = None
    locked_out: bool | None = None
    ending_soon: bool | None = None
    safe_to_revoke: bool | None = None
    waiting: bool | None = None
    due_for_rotation: bool | None = None
    never_used: bool | None = None
    disabled: bool | None = None
    features: tuple[Feature, ...] = ()

    def conditions(self, now: datetime, quiet_time: timedelta) -> list[Condition]:
        """Return the conditions at this instant, those that the fewest clients meet first."""
        at = Conditions(now, quiet_time)
        wanted = [
            (self.ending_soon, at.ending_soon()),
            (self.locked_out, at.locked_out()),
            (self.safe_to_revoke, at.safe_to_revoke()),
            (self.waiting, at.waiting()),
            (self.in_rollover, at.in_rollover()),
            (self.disabled, client_lists.disabled()),
            (bool(self.features) or None, client_lists.has_features(self.features)),
            (self.never_used, client_lists.never_used()),
            (self.due_for_rotation, at.due_for_rotation()),
        ]
        return [condition._replace(is_met=is_met) for is_met, condition in wanted if is_met is not None]


EVERY_CLIENT: Final = ClientFilter()
NEWEST_FIRST: Final = Order()
