"""The state of the lease under which a node verifies from memory."""

from enum import StrEnum


class LeaseState(StrEnum):
    """Whether a node may verify from memory."""

    HELD = "HELD"
    EXPIRED = "EXPIRED"
    NOT_NEEDED = "NOT_NEEDED"
