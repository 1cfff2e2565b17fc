"""Reads of clients, secrets, audit events, and sessions, in pages."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar, cast

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.queryset import QuerySet

from gql_secrets.domain.access import FORMER_CLIENTS_API, Surface
from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.networks import EVERYWHERE
from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.domain.rotation import SecretState
from gql_secrets.domain.search import search_term
from gql_secrets.domain.texts import is_writable
from gql_secrets.service.client_filter import EVERY_CLIENT, NEWEST_FIRST, ClientFilter
from gql_secrets.service.pages import Counts, Page, PageRequest, cursor_by, cursor_of_place
from gql_secrets.service.session_rows import valid_at
from gql_secrets.storage import audit_rows, client_lists, client_networks, client_rows, secret_rows
from gql_secrets.storage.allowed_uses import conditions_at
from gql_secrets.storage.audit_rows import Condition
from gql_secrets.storage.change_log import ChangeLog
from gql_secrets.storage.client_conditions import Conditions
from gql_secrets.storage.client_lists import Order, Place
from gql_secrets.storage.client_rows import WHOLE_CLIENT, ClientPart, ClientRow
from gql_secrets.storage.client_search import ClientSearch
from gql_secrets.storage.database import Database
from gql_secrets.storage.fields import from_microseconds, to_microseconds
from gql_secrets.storage.models import (
    MAX_ACTOR,
    AuditEvent,
    Client,
    ClientFeature,
    ClientLabel,
    ClientSecret,
    Session,
)

_FEW_EVENTS: Final = 1000
_REVISIONS_BETWEEN: Final = f"SELECT revision FROM audit_event WHERE at >= ? AND at < ? LIMIT {_FEW_EVENTS + 1}"  # noqa: S608  a number of ours
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
Record = TypeVar("Record", ClientSecret, Session)
Row = TypeVar("Row")


class Queries:
    """Reads clients, secrets, audit events, and sessions. Changes nothing."""

    def __init__(self, database: Database, quiet_time: timedelta, policy: RotationPolicy) -> None:
        """Read from an open database.

        Args:
            database: the database.
            quiet_time: how long an old secret must be unused before it is safe to revoke.
            policy: the maximum age of current secrets.
        """
        self._database = database
        self._quiet_time = quiet_time
        self._policy = policy
        self._search = ClientSearch(database)

    async def revision(self) -> int:
        """Return the revision of the installation: that of its latest change."""
        return (await ChangeLog(self._database).latest()).revision

    async def find_client(self, client_id: str) -> Client | None:
        """Return the client, or None if it does not exist or was deleted."""
        if not is_client_id(client_id):
            return None
        return await self._database.read(
            lambda connection: Client.filter(client_id=client_id, deleted_at=None).using_db(connection).first()
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

    async def find_clients(self, client_ids: Collection[str], parts: ClientPart = WHOLE_CLIENT) -> dict[str, ClientRow]:
        """Return those of these clients that exist and are not deleted, with these parts of them."""
        wanted = [client_id for client_id in client_ids if is_client_id(client_id)]
        rows = await client_rows.find_clients(self._database, wanted, parts) if wanted else []
        return {row.client_id: row for row in rows}

    def find_client_now(self, client_id: str, parts: ClientPart = WHOLE_CLIENT) -> ClientRow | None:
        """Return the client with these parts of it, or None if it does not exist or was deleted.

        Raises:
            MustAwait: `find_clients` has to be awaited instead.
        """
        return client_rows.find_client_now(self._database, client_id, parts) if is_client_id(client_id) else None

    async def page_of_clients(
        self,
        page: PageRequest,
        *,
        search: str | None = None,
        filter: ClientFilter = EVERY_CLIENT,  # noqa: A002  its name in GraphQL
        order: Order = NEWEST_FIRST,
        parts: ClientPart = WHOLE_CLIENT,
    ) -> Page[ClientRow]:
        """Return clients, newest first unless an order is given. A page that others follow has a row, unless of size 0.

        Args:
            page: which of them.
            search: a part of the name, the description or the client id, ignoring case; of one or two characters, the
                beginning of a word in them.
            filter: conditions that they must meet.
            order: in which order.
            parts: what is read of them.

        Raises:
            BadRequest: the page has a cursor of another order.
            Unavailable: the database does not answer.
        """
        if not search and filter == EVERY_CLIENT and order == NEWEST_FIRST:
            return await self._newest_clients(page, parts)
        term = search_term(search) if search else None
        beyond = page.parse_place(order.field)
        if search and term is None:
            return Page([], cursor_by("client_id"), has_next=False, has_previous=False, count=_none)
        found = await self._places_of_clients(page, filter, term, order, beyond)
        by_id = await self.find_clients([place.client_id for place in found.rows], parts)
        # A client that was deleted between the two reads is left out.
        rows = [row for place in found.rows if (row := by_id.get(place.client_id))]
        if found.rows and not rows:
            # Without a row, the page would have no cursor that leads on.
            return await self.page_of_clients(
                page.beyond(found.cursors), search=search, filter=filter, order=order, parts=parts
            )
        cursors = dict(zip([place.client_id for place in found.rows], found.cursors, strict=True))
        return Page(
            rows,
            lambda row: cursors[row.client_id],
            has_next=found.has_next,
            has_previous=found.has_previous,
            count=found.count,
        )

    async def _places_of_clients(
        self,
        page: PageRequest,
        filter: ClientFilter,  # noqa: A002  its name in GraphQL
        term: str | None,
        order: Order,
        beyond: Place | None,
    ) -> Page[Place]:
        """Return where in the order the clients are that meet the conditions."""
        now = await self._database.now()
        conditions = filter.conditions(
            await conditions_at(self._database, now, self._quiet_time, self._policy)
            if filter.needs_advice
            else Conditions(now, self._quiet_time, self._policy)
        )
        if term is not None:
            conditions.insert(0, await self._search.contains(term))
        places = await client_lists.page_of_places(
            self._database,
            conditions,
            order,
            now=now,
            beyond=beyond,
            is_backward=page.is_backward,
            limit=page.size + 1,
        )
        return Page.of(
            page,
            places,
            lambda place: cursor_of_place(order.field, place),
            count=lambda: client_lists.count_places(self._database, conditions),
        )

    async def _newest_clients(self, page: PageRequest, parts: ClientPart) -> Page[ClientRow]:
        place = page.parse_place(NEWEST_FIRST.field)
        rows = await client_rows.page_of_clients(
            self._database,
            beyond=(from_microseconds(cast(int, place.key)), place.client_id) if place else None,
            is_backward=page.is_backward,
            limit=page.size + 1,
            parts=parts,
        )
        return Page.of(
            page,
            rows,
            cursor_by("created_at", "client_id"),
            count=lambda: client_lists.count_places(self._database, []),
        )

    async def page_of_secrets(self, client_id: str, page: PageRequest) -> Page[ClientSecret]:
        """Return the client's secrets, newest first."""
        return await self._page(page, "id", lambda: ClientSecret.filter(client_id=client_id))

    async def first_pages_of_secrets(
        self, wanted: Sequence[tuple[str, PageRequest]]
    ) -> dict[tuple[str, PageRequest], Page[ClientSecret]]:
        """Return the first page of each client's secrets as `page_of_secrets` does, all of them in one query."""
        longest = max((page.size for _, page in wanted), default=0)
        client_ids = {client_id for client_id, _ in wanted}
        newest = await secret_rows.newest_secrets(self._database, client_ids, longest + 1)
        counts = Counts(lambda: secret_rows.count_of_clients(self._database, client_ids))
        return _first_pages(wanted, newest, "id", counts)

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
        only_count: bool = False,
    ) -> Page[AuditEvent]:
        """Return audit events, newest first, including those of deleted clients.

        Where their number is all that is needed (`only_count`), the page has no rows.

        Raises:
            BadRequest: the page has a cursor of something else.
            Unavailable: the database does not answer.
        """
        beyond = page.parse_cursor(1)
        conditions: list[Condition] = [
            (f"{column} = ?", [value])
            for column, value in (("client_id", client_id), ("actor", actor), ("action", action))
            if value is not None
        ]
        if surface is not None:
            surfaces = [surface, FORMER_CLIENTS_API] if surface == Surface.CLIENTS_API else [surface]
            conditions.append((f"surface IN ({', '.join('?' * len(surfaces))})", surfaces))
        if since is not None:
            conditions.append(("at >= ?", [to_microseconds(since)]))
        if until is not None:
            conditions.append(("at < ?", [to_microseconds(until)]))
        if since is not None or until is not None:
            conditions += await self._revisions_between(since, until)
        if not (is_client_id(client_id or "-") and len(actor or "") <= MAX_ACTOR and is_writable(actor or "")):
            conditions = [("revision = 0", [])]  # no event has this
        count = partial(audit_rows.count_events, self._database, tuple(conditions))
        if only_count:
            return Page([], cursor_by("revision"), has_next=False, has_previous=False, count=count)
        if beyond is not None:
            conditions.append((f"revision {'>' if page.is_backward else '<'} ?", beyond))
        rows = await audit_rows.page_of_events(
            self._database, conditions, is_backward=page.is_backward, limit=page.size + 1
        )
        return Page.of(page, rows, cursor_by("revision"), count=count)

    async def first_pages_of_audit_events(
        self, wanted: Sequence[tuple[str, PageRequest]]
    ) -> dict[tuple[str, PageRequest], Page[AuditEvent]]:
        """Return the first page of each client's events as `page_of_audit_events` does, all of them in one query."""
        client_ids = {client_id for client_id, _ in wanted if is_client_id(client_id)}
        longest = max((page.size for _, page in wanted), default=0)
        newest = await audit_rows.newest_events(self._database, client_ids, longest + 1)
        counts = Counts(lambda: audit_rows.count_of_clients(self._database, client_ids))
        return _first_pages(wanted, newest, "revision", counts)

    async def _revisions_between(self, since: datetime | None, until: datetime | None) -> list[Condition]:
        """Return bounds of the revisions of a time with few events, so that not all others are read to fill a page.

        The order of revisions need not be that of time: the database's clock may have stepped back.
        """
        rows = await self._database.fetch_rows(
            _REVISIONS_BETWEEN, (to_microseconds(since or _FIRST), to_microseconds(until or _LAST))
        )
        revisions = [revision for (revision,) in rows]
        if len(revisions) > _FEW_EVENTS:
            return []
        return [("revision BETWEEN ? AND ?", [min(revisions, default=0), max(revisions, default=0)])]

    async def page_of_sessions(self, page: PageRequest) -> Page[Session]:
        """Return the sessions that are valid now, newest first."""
        now = await self._database.now()
        return await self._page(page, "id", lambda: Session.filter(valid_at(now)))

    async def find_sessions(self, session_ids: Collection[int]) -> list[Session]:
        """Return those of these sessions that are valid now, in any order."""
        now = await self._database.now()
        return await self._database.read(
            lambda connection: Session.filter(valid_at(now), id__in=list(session_ids)).using_db(connection).all()
        )

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

    async def labels(self, client_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the labels of each client, in one query."""

        async def read(connection: BaseDBAsyncClient) -> list[tuple[str, str, str]]:
            rows = ClientLabel.filter(client_id__in=list(client_ids)).using_db(connection).order_by("key")
            return cast("list[tuple[str, str, str]]", await rows.values_list("client_id", "key", "value"))

        labels: dict[str, list[str]] = defaultdict(list)
        for client_id, key, value in await self._database.read(read):
            labels[client_id].append(f"{key}={value}")
        return labels

    async def allow_lists(self, client_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the allow list of each client, in one query."""
        if not client_ids:
            return {}
        stored = await client_networks.find_networks(self._database, client_ids)
        return {client_id: stored.get(client_id) or list(EVERYWHERE.texts) for client_id in client_ids}

    async def now(self) -> datetime:
        """Return the time by the database's clock."""
        return await self._database.now()

    async def _page(self, page: PageRequest, key: str, make_query: Callable[[], "QuerySet[Record]"]) -> "Page[Record]":
        """Return a page of rows in descending order of a number."""
        beyond = page.parse_cursor(1)
        sign = "" if page.is_backward else "-"

        async def read(connection: BaseDBAsyncClient) -> list[Record]:
            query = make_query().using_db(connection)
            if beyond is not None:
                query = query.filter(**{f"{key}__{'gt' if page.is_backward else 'lt'}": beyond[0]})
            return list(await query.order_by(f"{sign}{key}").limit(page.size + 1))

        return Page.of(page, await self._database.read(read), cursor_by(key), count=partial(self._count, make_query))

    async def _count(self, make_query: Callable[[], "QuerySet[Any]"]) -> int:
        return await self._database.read(lambda connection: make_query().using_db(connection).count())


async def _none() -> int:
    return 0


def _first_pages(
    wanted: Sequence[tuple[str, PageRequest]], newest: Mapping[str, Sequence[Row]], key: str, counts: Counts
) -> dict[tuple[str, PageRequest], Page[Row]]:
    """Return the first page of each client, of its newest rows: one more than the longest page has."""
    return {
        (client_id, page): Page.of(
            page, newest.get(client_id, [])[: page.size + 1], cursor_by(key), count=partial(counts.of, client_id)
        )
        for client_id, page in wanted
    }
