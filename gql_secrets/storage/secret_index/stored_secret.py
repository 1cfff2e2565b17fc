"""A secret as verification reads it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from gql_secrets.domain.networks import EVERYWHERE, AllowList
from gql_secrets.domain.rotation import SecretState
from gql_secrets.storage.fields import from_microseconds

_ACTIVE: Final = frozenset({SecretState.CURRENT.value, SecretState.RETAINED.value})
TABLES: Final = "client_secret s JOIN client c ON c.client_id = s.client_id"


class SecretRow(NamedTuple):
    """The columns that are read, in this order: `columns` and `_make` follow it."""

    secret_id: int
    client_id: str
    state: str
    expires_at: int | None
    first_used_at: int | None
    enabled: bool
    is_restricted: bool
    self_reset: bool
    features: str | None

    @property
    def may_be_valid(self) -> bool:
        """Whether the secret is valid unless it has expired."""
        return bool(self.enabled) and self.state in _ACTIVE


_OWN_COLUMNS: Final = (
    "s.id AS secret_id, s.client_id, s.state, s.expires_at, s.first_used_at, c.enabled AS enabled, "
    "c.is_restricted AS is_restricted, c.self_reset AS self_reset"
)


def columns(joined: str) -> str:
    """Return the columns as SQL; `joined` is the database's SQL that joins the values `f.feature` by commas."""
    features = f"(SELECT {joined} FROM client_feature f WHERE f.client_id = s.client_id) AS features"  # noqa: S608  a constant
    return f"{_OWN_COLUMNS}, {features}"


class StoredSecret(NamedTuple):
    """A secret as verification sees it. One that cannot be valid has only the fields that say why.

    `digest` is the one that it was found by: what the database had when it was read.
    """

    secret_id: int
    client_id: str
    state: SecretState
    expires_at: datetime | None
    was_used: bool
    enabled: bool
    allow_list: AllowList | None
    features: tuple[str, ...] = ()
    self_reset: bool = False
    digest: bytes = b""

    @classmethod
    def of(cls, row: SecretRow, networks: Sequence[str] | None, digest: bytes) -> "StoredSecret":
        """Return the secret of a row, with the networks that its client may call from; None for everywhere."""
        return cls(
            secret_id=row.secret_id,
            client_id=row.client_id,
            state=SecretState(row.state),
            expires_at=None if row.expires_at is None else from_microseconds(row.expires_at),
            was_used=row.first_used_at is not None,
            enabled=bool(row.enabled),
            allow_list=None if networks is None else AllowList.parse(networks) if networks else EVERYWHERE,
            features=tuple(row.features.split(",")) if row.features else (),
            self_reset=bool(row.self_reset),
            digest=digest,
        )

    @classmethod
    def refused(cls, row: SecretRow) -> "StoredSecret":
        """Return the secret of a row that cannot be valid."""
        # The same work for each: an instant is computed also where there is none.
        expires_at = from_microseconds(row.expires_at or 0)
        state = SecretState(row.state)
        return cls(
            secret_id=row.secret_id,
            client_id=row.client_id,
            state=state,
            expires_at=expires_at if state is SecretState.RETAINED else None,  # it expires while its client is disabled
            was_used=False,
            enabled=bool(row.enabled),
            allow_list=None,
        )
