"""What became of an old secret in changes that a database lost, where its client was reset since."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from support.clocks import HOUR, MINUTE, NOW

from gql_secrets.domain.audit import AuditAction
from gql_secrets.domain.journal import JournaledChange
from gql_secrets.domain.lost_history import plan_replay_of_old
from gql_secrets.domain.rotation import RetainedSecret, SecretEndReason

SECRET, OTHER, FIRST, SECOND = 7, 8, 9, 10
UNTIL = NOW + 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lost(
    action: AuditAction,
    secret_id: int,
    *ended: int,
    hours: int | None = None,
    until: datetime | None = None,
) -> JournaledChange:
    expires_at = (until - EPOCH) // timedelta(microseconds=1) if until else None
    return JournaledChange(1, b"", b"", "shop", action, secret_id, hours, expires_at, None, ended)


def smooth(secret_id: int, *ended: int, until: datetime) -> JournaledChange:
    return lost(AuditAction.SECRET_RESET, secret_id, *ended, hours=1, until=until)


HARD = lost(AuditAction.SECRET_RESET, FIRST, SECRET, hours=0)
EARLIER, LATER, PAST = NOW + HOUR, NOW + 48 * HOUR, NOW - MINUTE
RETENTION = lost(AuditAction.RETENTION_CHANGED, SECRET, until=EARLIER)
CANCELLED = lost(AuditAction.ROLLOVER_CANCELLED, SECRET, FIRST)
REVOKED = lost(AuditAction.OLD_SECRET_REVOKED, SECRET, SECRET)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([lost(AuditAction.CLIENT_UPDATED, 0)], UNTIL),
        ([HARD], None),
        ([REVOKED], None),
        ([lost(AuditAction.OLD_SECRET_REVOKED, OTHER, OTHER)], UNTIL),
        ([smooth(FIRST, until=EARLIER)], EARLIER),
        ([smooth(FIRST, until=LATER)], UNTIL),
        ([smooth(FIRST, until=PAST)], None),
        ([smooth(FIRST, OTHER, until=EARLIER)], EARLIER),  # the unused new one was withdrawn, and this one stayed
        ([smooth(FIRST, SECRET, until=EARLIER)], None),  # it was the old one, and displaced
        ([smooth(FIRST, until=EARLIER), smooth(SECOND, SECRET, until=LATER)], None),
        ([smooth(FIRST, until=LATER), RETENTION], EARLIER),
        ([RETENTION], EARLIER),
        ([smooth(FIRST, until=EARLIER), CANCELLED], UNTIL),
        ([smooth(FIRST, until=EARLIER), CANCELLED, HARD], None),
    ],
)
def test_an_old_secret_ends_when_the_lost_changes_ended_it(
    changes: Sequence[JournaledChange], expected: datetime | None
) -> None:
    """Whether it was the current secret or the old one before them."""
    retained = RetainedSecret(SECRET, NOW - HOUR, "user:ada", replaced_at=NOW, expires_at=UNTIL)
    replay = plan_replay_of_old(retained, changes, NOW)
    if expected is None:
        assert replay is not None
        assert [(end.secret, end.reason) for end in replay.ends] == [(retained, SecretEndReason.REVOKED)]
        assert replay.keep is None
    elif expected == UNTIL:
        assert replay is None
    else:
        assert replay is not None
        assert replay.keep is not None
        assert (replay.keep.secret, replay.keep.expires_at, replay.ends) == (retained, expected, ())
    assert replay is None or not replay.needs_new_secret
