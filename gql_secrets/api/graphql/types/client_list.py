"""How lists of clients are filtered and sorted, and how many clients need attention."""

from typing import Self

import strawberry

from gql_secrets.api.graphql.enums import ClientOrderField, Feature, OrderDirection
from gql_secrets.domain.details import parse_labels
from gql_secrets.service import client_filter, overview
from gql_secrets.storage.client_lists import Order


@strawberry.input(description="Conditions that clients must meet. An omitted or null condition is met by every client.")
class ClientFilter:
    in_rollover: bool | None = strawberry.field(
        default=None, description="Whether a rollover of the client is in progress."
    )
    locked_out: bool | None = strawberry.field(
        default=None,
        description="Whether an ended secret of the client was tried in the last 24 hours: a source may be locked "
        "out. Attempts of the last minute may be missing.",
    )
    ending_soon: bool | None = strawberry.field(
        default=None,
        description="Whether the old secret expires within 24 hours, was used since the reset, and is not yet safe to "
        "revoke. Uses of the last minute may be missing.",
    )
    safe_to_revoke: bool | None = strawberry.field(
        default=None,
        description="Whether a rollover of the client is in progress, and its advice is REVOKE. Uses of the last "
        "minute may be missing.",
    )
    waiting: bool | None = strawberry.field(
        default=None,
        description="Whether a rollover of the client is in progress, and its advice is WAIT_FOR_NEW or "
        "WAIT_FOR_QUIET. Uses of the last minute may be missing.",
    )
    due_for_rotation: bool | None = strawberry.field(
        default=None, description="Whether the current secret has reached its maximum age, or 90 days if it has none."
    )
    never_used: bool | None = strawberry.field(
        default=None, description="Whether no secret of the client was ever used."
    )
    disabled: bool | None = strawberry.field(default=None, description="Whether the client is disabled.")
    feature: Feature | None = strawberry.field(default=None, description="A feature that the client has.")
    due_within_days: int | None = strawberry.field(
        default=None,
        description="The current secret has reached its maximum age, or will within this number of days: 0 to 3650. "
        "Unlike dueForRotation, never matches a secret without a maximum age.",
    )
    labels: list[str] | None = strawberry.field(
        default=None, description="Labels that the client has, all of them: at most 16, each key=value."
    )
    contact: str | None = strawberry.field(default=None, description="The client's contact, exactly.")

    def parse(self) -> client_filter.ClientFilter:
        """Return the conditions."""
        return client_filter.ClientFilter(
            in_rollover=self.in_rollover,
            locked_out=self.locked_out,
            ending_soon=self.ending_soon,
            safe_to_revoke=self.safe_to_revoke,
            waiting=self.waiting,
            due_for_rotation=self.due_for_rotation,
            never_used=self.never_used,
            disabled=self.disabled,
            features=(self.feature,) if self.feature else (),
            due_within_days=self.due_within_days,
            labels=parse_labels(self.labels or ()),
            contact=self.contact,
        )


@strawberry.input(
    description="The order of a list of clients. Clients with equal values are sorted by client id, in the same "
    "direction."
)
class ClientOrder:
    field: ClientOrderField = strawberry.field(description="What to sort by.")
    direction: OrderDirection = strawberry.field(description="In which direction.")

    def parse(self) -> Order:
        """Return the order."""
        return Order(self.field, is_descending=self.direction is OrderDirection.DESC)


@strawberry.type(description="The rotation policy of the installation.")
class RotationPolicy:
    maximum_age_days: int | None = strawberry.field(
        description="The maximum age of a current secret, in days, of clients that have no maximum age of their own. "
        "Null if there is none."
    )


@strawberry.type(
    description="How many clients need attention, and why. Counted at most once in five seconds for all callers of a "
    "server process. Each count is the number of clients that the ClientFilter field of the same name matches."
)
class Overview:
    locked_out: int = strawberry.field(
        description="The number of clients with an ended secret that was tried in the last 24 hours."
    )
    ending_soon: int = strawberry.field(
        description="The number of clients whose old secret expires within 24 hours and is still in use."
    )
    safe_to_revoke: int = strawberry.field(description="The number of clients whose old secret is safe to revoke.")
    waiting: int = strawberry.field(
        description="The number of clients with a rollover in progress whose old secret is not yet safe to revoke, "
        "including those of endingSoon."
    )
    due_for_rotation: int = strawberry.field(
        description="The number of clients whose current secret has reached its maximum age, or 90 days if it has none."
    )
    never_used: int = strawberry.field(description="The number of clients whose secrets were never used.")
    total: int = strawberry.field(description="The number of clients that are not deleted.")

    @classmethod
    def of(cls, counts: overview.Overview) -> Self:
        """Return the counts."""
        return cls(
            locked_out=counts.locked_out,
            ending_soon=counts.ending_soon,
            safe_to_revoke=counts.safe_to_revoke,
            waiting=counts.waiting,
            due_for_rotation=counts.due_for_rotation,
            never_used=counts.never_used,
            total=counts.total,
        )
