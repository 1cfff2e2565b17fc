"""A pause of changes: while the rest of a database is copied, and until every node runs on the copy."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from gql_secrets.domain.errors import Unavailable


class ChangesPause(StrEnum):
    """Why a database accepts no changes, and what ends that. Verification goes on, except for PARTIAL."""

    NONE = "NONE"
    # The rest of the database is being copied. It ends on its own where the copy does not go on.
    COPYING = "COPYING"
    # There is a copy, which the nodes have to be moved to.
    COPIED = "COPIED"
    # The nodes were moved to the copy: this is the old database.
    MOVED = "MOVED"
    # The copy, while it lacks something: nothing may use it.
    PARTIAL = "PARTIAL"
    # The copy, which is complete, until no node uses the old database.
    READY = "READY"


_TEXTS: Final = {
    ChangesPause.COPYING: "Changes are paused for the last seconds of a copy of the database. Try again.",
    ChangesPause.COPIED: (
        "Changes are paused: the database was copied, and every server has to be moved to the copy. Try again when an "
        "administrator has finished that."
    ),
    ChangesPause.MOVED: "This database was moved to another one, and accepts no changes. Use the other one.",
    ChangesPause.PARTIAL: "This database is an incomplete copy. Use the database that it was copied from.",
    ChangesPause.READY: (
        "Changes are paused until every server has been moved to this database. Try again when an administrator has "
        "run `gql-secrets db copy --finish`."
    ),
}


class ChangesPaused(Unavailable):
    """The database accepts no changes now; nothing was changed.

    Attributes:
        is_short: whether the pause is over within seconds.
    """

    reason = "PAUSED"

    def __init__(self, pause: ChangesPause) -> None:
        super().__init__(_TEXTS[pause])
        self.is_short = pause is ChangesPause.COPYING


def require_no_pause(pause: str, until: datetime | None, now: datetime) -> None:
    """Pass if changes are accepted.

    Raises:
        ChangesPaused: they are not.
    """
    kind = ChangesPause(pause)
    is_over = kind is ChangesPause.COPYING and (until is None or now >= until)
    if kind is not ChangesPause.NONE and not is_over:
        raise ChangesPaused(kind)
