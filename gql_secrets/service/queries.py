"""Reads of clients, secrets, and audit events, in pages.

Pages are keyset pages: the cursor contains the key of a row, so page 10,000 costs as much as page 1.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from gql_secrets.domain import base64url
from gql_secrets.domain.access import FORMER_CLIENTS_API, Feature, Surface
from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.errors import BadRequest
from gql_secrets.domain.networks import EVERYWHERE
from gql_secrets.domain.rotation import SecretState
from gql_secrets.domain.texts import folded, is_writable
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.models import (
    MAX_FOLDED,
    AuditEvent,
    Client,
    ClientFeature,
    ClientNetwork,
    ClientSecret,
)

Row = TypeVar("Row", Client, ClientSecret, AuditEvent)

DEFAULT_PAGE: Final = 20
MAX_PAGE: Final = 100
MAX_CURSOR: Final = 1_024
MAX_INT: Final = 2**63 - 1
MAX_ACTOR: Final = 255
# No name is longer. The length is checked first: normalizing a long text takes seconds.
MAX_SEARCH: Final = 200
_LAST_CHARACTER: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which rows to return: the first N after a cursor, or the last N before one.

    Raises:
        BadRequest: a size is not between 0 and 100, or both directions are requested.
    """

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        for name, size in (("first", self.first), ("last", self.last)):
            if size is not None and not 0 <= size <= MAX_PAGE:
                raise BadRequest(f"{name} must be between 0 and {MAX_PAGE}.", argument=name)
        if self.first is not None and self.last is not None:
            raise BadRequest("Use either first or last.", argument="last")
        if self.last is not None and self.after is not None:
            raise BadRequest("Use after with first, and before with last.", argument="after")
        if self.last is None and self.before is not None:
            raise BadRequest("Use before with last, and after with first.", argument="before")

    @property
    def is_backward(self) -> bool:
        """Whether the last rows are requested."""
        return self.last is not None

    @property
    def size(self) -> int:
        """The maximum number of rows."""
        size = self.last if self.last is not None else self.first
        return DEFAULT_PAGE if size is None else size


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows, newest first, and whether there are more on either side."""

    rows: list[Row]
    cursors: list[str]
    has_next: bool
    has_previous: bool
    query: "QuerySet[Row]"

    def __len__(self) -> int:
        return len(self.rows)


class Reading:
    """Reads clients, secrets, and audit events. Changes nothing."""

    def __init__(self, database: Database) -> None:
        """Read from an open database."""
        self._database = database

    async def find_client(self, client_id: str) -> Client | None:
        """Return the client, or None if it does not exist or was deleted."""
        if not is_client_id(client_id):
            return None
        return await self._database.read(
            lambda connection: Client.filter(client_id=client_id, deleted_at=None).using_db(connection).first()
        )

    async def find_clients(self, client_ids: Collection[str]) -> list[Client]:
        """Return those clients that exist and are not deleted, in any order."""
        wanted = [client_id for client_id in client_ids if is_client_id(client_id)]
        return await self._database.read(
            lambda connection: Client.filter(client_id__in=wanted, deleted_at=None).using_db(connection).all()
        )

    async def find_secrets(self, secret_ids: Collection[int]) -> list[ClientSecret]:
        """Return those secrets that exist and whose client is not deleted, in any order."""
        return await self._database.read(
            lambda connection: (
                ClientSecret.filter(id__in=list(secret_ids), client__deleted_at=None).using_db(connection).all()
            )
        )

    async def find_audit_events(self, revisions: Collection[int]) -> list[AuditEvent]:
        """Return those audit events that exist, in any order."""
        return await self._database.read(
            lambda connection: (
                AuditEvent.filter(revision__in=list(revisions))
                .using_db(connection)
                .prefetch_related("ended_secrets")
                .all()
            )
        )

    async def page_of_clients(
        self,
        page: PageRequest,
        *,
        search: str | None = None,
        in_rollover: bool | None = None,
        has_features: Collection[Feature] = (),
    ) -> Page[Client]:
        """Return clients, newest first.

        `search` is a case-insensitive prefix of the name or the client id. Two index ranges answer it, and the clients
        found are sorted, so a very common prefix is slower. `has_features` selects clients with any of these features.
        """
        now = await self._database.now()

        async def read(connection: BaseDBAsyncClient) -> Page[Client]:
            query = Client.filter(deleted_at=None).using_db(connection)
            if search and (len(search) > MAX_SEARCH or not is_writable(search)):
                query = query.filter(client_id="")  # no name and no client id contains this
            elif search:
                prefix = folded(search)[: MAX_FOLDED - 1]  # the end of its range is one character longer
                query = query.filter(_has_prefix("name_folded", prefix) | _has_prefix("client_id_folded", prefix))
            if has_features:
                having = ClientFeature.filter(feature__in=[feature.value for feature in has_features])
                query = query.filter(client_id__in=Subquery(having.using_db(connection).values("client_id")))
            running = ClientSecret.filter(state=SecretState.RETAINED.value, expires_at__gt=now)
            if in_rollover is not None:
                clients = Subquery(running.using_db(connection).values("client_id"))
                query = query.filter(client_id__in=clients) if in_rollover else query.filter(client_id__not_in=clients)
            return await _keyset_page(query, page, ("created_at", "client_id"))

        return await self._database.read(read)

    async def page_of_secrets(self, client_id: str, page: PageRequest) -> Page[ClientSecret]:
        """Return the client's secrets, newest first."""
        return await self._database.read(
            lambda connection: _keyset_page(
                ClientSecret.filter(client_id=client_id).using_db(connection), page, ("id",)
            )
        )

    async def page_of_audit_events(
        self,
        page: PageRequest,
        *,
        client_id: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        surface: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[AuditEvent]:
        """Return audit events, newest first, including those of deleted clients."""
        wanted: dict[str, Any] = {
            "client_id": client_id,
            "actor": actor,
            "action": action,
            "surface__in": [surface, FORMER_CLIENTS_API] if surface == Surface.CLIENTS_API else surface and [surface],
            "at__gte": since,
            "at__lt": until,
        }
        filters = {name: value for name, value in wanted.items() if value is not None}
        if not (is_client_id(client_id or "-") and len(actor or "") <= MAX_ACTOR and is_writable(actor or "")):
            filters = {"revision": 0}  # no event has this
        return await self._database.read(
            lambda connection: _keyset_page(
                AuditEvent.filter(**filters).using_db(connection).prefetch_related("ended_secrets"), page, ("revision",)
            )
        )

    async def count(self, page: Page[Any]) -> int:
        """Return the number of rows on all pages."""
        return await self._database.read(lambda _: page.query.count())

    async def active_secrets(self, client_ids: Sequence[str]) -> dict[str, dict[SecretState, ClientSecret]]:
        """Return the current and the retained secret of each client, in one query.

        A retained secret that has expired is left out, even if its expiry is not recorded yet.
        """
        now = await self._database.now()

        async def read(connection: BaseDBAsyncClient) -> list[ClientSecret]:
            return await ClientSecret.filter(
                client_id__in=list(client_ids), state__in=[SecretState.CURRENT.value, SecretState.RETAINED.value]
            ).using_db(connection)

        secrets: dict[str, dict[SecretState, ClientSecret]] = defaultdict(dict)
        for row in await self._database.read(read):
            if row.expires_at is None or now < row.expires_at:
                secrets[row.client_id][SecretState(row.state)] = row
        return secrets

    async def features(self, client_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the features of each client, in one query."""

        async def read(connection: BaseDBAsyncClient) -> list[tuple[str, str]]:
            rows = ClientFeature.filter(client_id__in=list(client_ids)).using_db(connection).order_by("feature")
            return cast("list[tuple[str, str]]", await rows.values_list("client_id", "feature"))

        features: dict[str, list[str]] = defaultdict(list)
        for client_id, feature in await self._database.read(read):
            features[client_id].append(feature)
        return features

    async def allow_lists(self, client_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the allow list of each client, in one query."""

        async def read(connection: BaseDBAsyncClient) -> list[tuple[str, str]]:
            rows = ClientNetwork.filter(client_id__in=list(client_ids)).using_db(connection).order_by("position")
            return cast("list[tuple[str, str]]", await rows.values_list("client_id", "network"))

        lists: dict[str, list[str]] = defaultdict(list)
        for client_id, network in await self._database.read(read):
            lists[client_id].append(network)
        return {client_id: lists.get(client_id) or list(EVERYWHERE.texts) for client_id in client_ids}

    async def now(self) -> datetime:
        """Return the time by the database's clock."""
        return await self._database.now()


async def _keyset_page(query: "QuerySet[Row]", page: PageRequest, key: tuple[str, ...]) -> Page[Row]:
    """Return a page of rows in descending order of their key."""
    cursor = page.before if page.is_backward else page.after
    rows_query = query
    if cursor is not None:
        values = _parse_cursor(cursor, len(key), argument="before" if page.is_backward else "after")
        rows_query = rows_query.filter(_beyond(key, values, ascending=page.is_backward))
    sign = "" if page.is_backward else "-"
    rows = list(await rows_query.order_by(*(sign + name for name in key)).limit(page.size + 1))
    has_more = len(rows) > page.size
    rows = rows[: page.size]
    if page.is_backward:
        rows.reverse()
    return Page(
        rows=rows,
        cursors=[_cursor_of(row, key) for row in rows],
        has_next=cursor is not None if page.is_backward else has_more,
        has_previous=has_more if page.is_backward else cursor is not None,
        query=query,
    )


def _has_prefix(column: str, prefix: str) -> Q:
    # Both columns compare by code point (PostgreSQL: COLLATE "C"), so a prefix is a range that an index answers.
    return Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + _LAST_CHARACTER})


def _beyond(key: tuple[str, ...], values: list[Any], *, ascending: bool) -> Q:
    operator = "gt" if ascending else "lt"
    first, *rest = zip(key, values, strict=True)
    condition = Q(**{f"{first[0]}__{operator}": first[1]})
    for name, value in rest:
        condition |= Q(**{first[0]: first[1], f"{name}__{operator}": value})
    return condition


def _cursor_of(row: Any, key: tuple[str, ...]) -> str:  # noqa: ANN401  a row of any of the models
    values = (getattr(row, name) for name in key)
    text = "\n".join(str(to_microseconds(value)) if isinstance(value, datetime) else str(value) for value in values)
    return base64url.encode(text.encode())


def _parse_cursor(cursor: str, parts: int, *, argument: str) -> list[Any]:
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError
        text = base64url.decode(cursor).decode()
        number, *rest = text.split("\n", parts - 1)
        if len(rest) != parts - 1 or not all(map(is_client_id, rest)) or not 0 <= int(number) <= MAX_INT:
            raise ValueError
        return [from_microseconds(int(number)) if rest else int(number), *rest]
    except (ValueError, OverflowError):
        raise BadRequest("Not a cursor. Pass a cursor from pageInfo or an edge.", argument=argument) from None
