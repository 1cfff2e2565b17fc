"""The conditions of lists of clients.

Every condition has two forms: a subquery that lists the clients that meet it, and a test of one client.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gql_secrets.domain.access import Feature
from gql_secrets.domain.policies import DEFAULT_OLD_DAYS, RotationPolicy
from gql_secrets.storage.fields import to_microseconds

# "Recently", for attempts with a secret that has ended; and "soon", for the end of a secret.
RECENTLY: Final = timedelta(hours=24)
SOON: Final = timedelta(hours=24)


class Condition(NamedTuple):
    """A condition about rows of a table `x` with a client id; a client meets it if one of its rows does.

    `row_test` is another form, of a table, a test and its values, that is faster where the client is known. `listing`
    is a subquery with the same values that lists the clients faster than the test of all rows. If it `is_common`, many
    clients are known to meet it.
    """

    table: str
    test: str
    values: tuple[object, ...] = ()
    is_met: bool = True
    may_repeat: bool = False
    row_test: tuple[str, str, tuple[object, ...]] | None = None
    listing: str | None = None
    is_common: bool = False

    @property
    def listed(self) -> str:
        """The subquery that lists the ids of the clients that meet it."""
        if self.listing is not None:
            return self.listing
        # COALESCE keeps SQLite from reading a whole index by client id, in whose order nothing repeats.
        client_id = "DISTINCT COALESCE(x.client_id, '') AS client_id" if self.may_repeat else "x.client_id"
        return f"SELECT {client_id} FROM {self.table} x WHERE {self.test}"  # noqa: S608  conditions of our own

    @property
    def tested(self) -> tuple[str, tuple[object, ...]]:
        """The test of a client `c`, and its values."""
        sign = "" if self.is_met else "NOT "
        rows, values = self._rows_of_client
        return f"{sign}EXISTS ({rows})", values

    @property
    def tested_each(self) -> tuple[str, tuple[object, ...]]:
        """The test of a client `c` where clients are tested one by one until a page is full, and its values.

        The offset keeps PostgreSQL from comparing each client with all that meet the condition.
        """
        if not self.is_met:
            return self.tested
        rows, values = self._rows_of_client
        return f"EXISTS ({rows} LIMIT 1 OFFSET 0)", values

    @property
    def _rows_of_client(self) -> tuple[str, tuple[object, ...]]:
        table, test, values = self.row_test or (self.table, self.test, self.values)
        return f"SELECT 1 FROM {table} x WHERE x.client_id = c.client_id AND {test}", values  # noqa: S608


RUNNING: Final = "x.state = 'RETAINED' AND x.expires_at > ?"
# Whether the retained secret `x` was used at an instant or later, and whether it is safe to revoke.
OLD_USED_SINCE: Final = """(
    COALESCE(x.last_used_at, 0) >= {since}
    OR EXISTS (SELECT 1 FROM secret_use u WHERE u.secret_id = x.id AND NOT u.refused AND u.last_seen_at >= {since})
)"""
# `storage/allowed_uses.py` finds those of which this is not all: where the allow list refused uses.
IS_QUIET: Final = f"""(
    EXISTS (
        SELECT 1 FROM client_secret n
        WHERE n.client_id = x.client_id AND n.state = 'CURRENT' AND n.first_used_at <= ?
    ) AND NOT {OLD_USED_SINCE.format(since="?")}
)"""  # noqa: S608  put together from constants


_DAY: Final = 86_400_000_000
_NEVER: Final = 100_000_000
_INHERITED_DUE: Final = """
    SELECT s.client_id FROM client_secret s
    WHERE s.state = 'CURRENT' AND s.created_at <= ? AND s.client_id NOT IN (
        SELECT k.client_id FROM client k WHERE k.deleted_at IS NULL AND k.maximum_age_days IS NOT NULL
    )
    UNION ALL """
_OWN_DUE: Final = f"""
    SELECT s.client_id FROM client k CROSS JOIN client_secret s
    WHERE k.deleted_at IS NULL AND k.maximum_age_days IS NOT NULL AND s.client_id = k.client_id
        AND s.state = 'CURRENT' AND s.created_at <= ? - k.maximum_age_days * {_DAY}
"""  # noqa: S608  put together from constants


def quiet_values(now: datetime, quiet_time: timedelta) -> tuple[int, ...]:
    """Return the values of `IS_QUIET`; `domain/advice.py` decides the same for one client."""
    quiet_since = to_microseconds(now - quiet_time)
    return quiet_since, quiet_since + 1, quiet_since + 1


class Conditions:
    """The conditions of lists at one instant, by the database's clock."""

    def __init__(
        self,
        now: datetime,
        quiet_time: timedelta,
        policy: RotationPolicy,
        *,
        except_for: tuple[str, str] | None = None,
    ) -> None:
        """Prepare them.

        Args:
            now: the instant.
            quiet_time: how long an old secret must be unused before it is safe to revoke.
            policy: the maximum age of current secrets.
            except_for: the old secrets that look safe to revoke and are not: a table of `secret_id`, and its value.
        """
        self._now = to_microseconds(now)
        self._policy = policy
        self._is_safe = IS_QUIET
        self._quiet: tuple[object, ...] = quiet_values(now, quiet_time)
        if except_for is not None:
            rows, value = except_for
            self._is_safe = f"({IS_QUIET} AND x.id NOT IN (SELECT r.secret_id FROM {rows} r))"  # noqa: S608  constants
            self._quiet += (value,)

    def in_rollover(self) -> Condition:
        """Return: a rollover is in progress."""
        return Condition("client_secret", RUNNING, (self._now,))

    def safe_to_revoke(self) -> Condition:
        """Return: a rollover is in progress, and its old secret is safe to revoke."""
        return Condition("client_secret", f"{RUNNING} AND {self._is_safe}", (self._now, *self._quiet))

    def waiting(self) -> Condition:
        """Return: a rollover is in progress, and its old secret is not yet safe to revoke."""
        return Condition("client_secret", f"{RUNNING} AND NOT {self._is_safe}", (self._now, *self._quiet))

    def ending_soon(self, within: timedelta = SOON) -> Condition:
        """Return: the old secret ends within this time, was used since the reset, and is not safe to revoke."""
        still_used = OLD_USED_SINCE.format(since="x.replaced_at")
        return Condition(
            "client_secret",
            f"{RUNNING} AND x.expires_at <= ? AND {still_used} AND NOT {self._is_safe}",
            (self._now, self._now + within // timedelta(microseconds=1), *self._quiet),
        )

    def locked_out(self) -> Condition:
        """Return: a secret that has ended was tried recently."""
        return Condition(
            "client_secret",
            "x.state IN ('EXPIRED', 'REVOKED') AND x.last_refused_at > ? AND EXISTS ("
            "SELECT 1 FROM client k WHERE k.client_id = x.client_id AND k.deleted_at IS NULL)",
            (self._now - RECENTLY // timedelta(microseconds=1),),
            may_repeat=True,
        )

    def due_for_rotation(self) -> Condition:
        """Return: the current secret has reached its maximum age, or 90 days where there is none."""
        days = self._policy.maximum_age_days
        return self._due(self._now, DEFAULT_OLD_DAYS if days is None else days)

    def due_within(self, time: timedelta) -> Condition:
        """Return: the current secret has a maximum age, and reaches it within this time or has reached it."""
        return self._due(self._now + time // timedelta(microseconds=1), self._policy.maximum_age_days)

    def _due(self, moment: int, days: int | None) -> Condition:
        """Return: the current secret is due at this moment, where clients have this maximum age or one of their own.

        Those that inherit come from the index by age, and those with a maximum age of their own from an index of them.
        """
        if days is None:
            inherited, values = "", [moment]
        else:
            inherited, values = _INHERITED_DUE, [moment - days * _DAY, moment]
        listing = f"{inherited}{_OWN_DUE}"
        return Condition(
            "client_secret",
            f"x.state = 'CURRENT' AND x.client_id IN ({listing})",
            tuple(values),
            listing=listing,
            row_test=(
                "client_secret",
                f"x.state = 'CURRENT' AND x.created_at <= ? - COALESCE(c.maximum_age_days, ?) * {_DAY}",
                # Without a maximum age, no secret is old enough.
                (moment, _NEVER if days is None else days),
            ),
        )


def never_used() -> Condition:
    """Return: no secret of the client was ever used."""
    return Condition("client_listing", "x.last_used_at = 0")


def disabled() -> Condition:
    """Return: the client is disabled."""
    return Condition("client", "x.deleted_at IS NULL AND NOT x.enabled")


def has_features(features: Sequence[Feature]) -> Condition:
    """Return: the client has one of these features."""
    marks = ", ".join("?" * len(features))
    values = tuple(feature.value for feature in features)
    return Condition("client_feature", f"x.feature IN ({marks})", values, may_repeat=len(features) > 1)


def has_label(key: str, value: str) -> Condition:
    """Return: the client has this label."""
    return Condition("client_label", "x.key = ? AND x.value = ?", (key, value))


def has_contact(contact: str) -> Condition:
    """Return: the client has this contact."""
    return Condition("client", "x.deleted_at IS NULL AND x.contact = ?", (contact,))
