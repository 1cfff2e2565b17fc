"""An installation to look at: 64 clients, 40 days of use, rollovers in every state.

`uv run python -m support.walk_data DATA_DIR` (with `PYTHONPATH=tests`) fills an empty data directory, and prints how to
look at it. Everything goes through the services of the product, with a clock that is passed in; the last instant is
now.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from gql_secrets.domain.access import Role
from gql_secrets.domain.details import ClientDetails
from gql_secrets.domain.rotation import Retention
from gql_secrets.domain.webhooks import WebhookEventType
from gql_secrets.service.overview import Overview
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.usage.tallies import Source
from gql_secrets.service.webhooks.courier import Answer, Courier
from gql_secrets.settings import Settings
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.wiring import Services, open_services
from support.callers import ADMIN, CLI, OPERATOR

DAYS: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
LENGTH: Final = 40 * DAYS
# How long before now each special client was reset, and what has become of it; tests and pictures look them up here.
NO_ROLLOVER: Final = "Payments API"
WAIT_FOR_NEW: Final = "Warehouse sync"
WAIT_FOR_QUIET: Final = "Order gateway"
SAFE: Final = "Newsletter service"
SILENT: Final = "Inventory API"
NEVER_USED_OLD: Final = "Loyalty points"
ENDING: Final = "Legacy fax gateway"
MANY_SOURCES: Final = "Point of sale"
LOCKED_OUT: Final = "EDI translator"
LEAKED: Final = "Partner feed: Zephyr Shoes"
OUTSIDE: Final = "Bank statements"
DISABLED_IN_ROLLOVER: Final = "Shipping labels"
DISABLED: Final = "Old web shop"
NEVER_USED: Final = "Reporting 2027"
CANCELLED: Final = "Image resizer"
DISPLACED: Final = "Search indexer"
REVOKED: Final = "Tax calculator"
EXPIRED: Final = "Customer portal"
CLAMPED: Final = "Fraud detection"
DELETED: Final = "Telex bridge"
TALKATIVE: Final = "SMS gateway"
LONG: Final = (
    "Bundesweite Schnittstelle für die automatisierte Übermittlung von Umsatzsteuervoranmeldungen, Lohnsteuerbescheini"
    "gungen und Sozialversicherungsmeldungen an die Behörden"
)
SCRIPTS: Final = (
    "日本語の請求書サービス",
    "上海支付网关",
    "결제 알림 서버",
    "Бухгалтерия и склад",
    "Αποθήκη Θεσσαλονίκης",
    "خدمة الفواتير",
    "שירות תשלומים",
    "भुगतान सेवा",
    "บริการจัดส่ง",
    "Հաշիվների ծառայություն",
    "გადახდის სერვისი",
    "Zażółć gęślą jaźń",
    "Ægir & Þór ehf.",
    "Đơn hàng miền Bắc",
    "🚚 Delivery robots",
)
ORDINARY: Final = (
    "Address validation",
    "Appointment booking",
    "Barcode printer Lyon",
    "Call centre desktop",
    "Catalogue export",
    "Coupon engine",
    "Data lake loader",
    "Discount rules",
    "Document archive",
    "E-mail receipts",
    "Gift cards",
    "HR self-service",
    "Kiosk Brussels",
    "Loan calculator",
    "Machine telemetry",
    "Mobile app backend",
    "Price scraper",
    "Returns desk",
    "Route planner",
    "Spare parts",
    "Survey collector",
    "Ticket office",
    "Translation memory",
    "Voucher printing",
    "Weather feed",
)
ROLES: Final = (("Deployment pipeline", "operator"), ("Audit dashboard", "viewer"))
MOVED_TILLS: Final = 25
CHAT: Final = "Chat of the platform team"
TICKETS: Final = "Ticket system"
# What the endpoint of each webhook answers; the names of `.example` lead nowhere.
_ENDPOINTS: Final = {
    "https://chat.example/hooks/T0295/B71": Answer(204),
    "https://tickets.example/api/v2/events": Answer(503),
}
_OFFICE: Final = ["10.1.0.0/16", "2001:db8:40::/48"]

Act = Callable[[], Awaitable[object]]


@dataclass
class Known:
    """A client of the walk: the secrets that it was given, the oldest first."""

    name: str
    id: str
    secrets: list[str]

    @property
    def secret(self) -> str:
        """The newest secret."""
        return self.secrets[-1]


@dataclass
class Walk:
    """The installation while it is filled."""

    now: datetime
    ends_at: datetime
    clients: dict[str, Known] = field(default_factory=dict)
    owner: Known | None = None
    _plan: list[tuple[datetime, int, Act]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._services: Services | None = None

    def clock(self, machine: datetime) -> datetime:
        """The database's clock."""
        del machine
        return self.now

    @property
    def services(self) -> Services:
        assert self._services is not None
        return self._services

    def at(self, before_end: timedelta, act: Act) -> None:
        """Plan an act for an instant before the end."""
        self._plan.append((self.ends_at - before_end, len(self._plan), act))

    async def run(self, services: Services) -> None:
        """Do everything that is planned, in the order of time; maintenance runs once an hour."""
        self._services = services
        if services.first_owner is not None:
            made = services.first_owner
            self.owner = Known("First owner", made.client.client_id, [made.secret.reveal()])
        due = self.now
        for at, _, act in sorted(self._plan, key=lambda planned: planned[:2]):
            while due <= at:
                self.now = due
                await self._maintain()
                due += HOUR
            self.now = at
            await act()
        self.now = self.ends_at
        await self._maintain()

    async def _maintain(self) -> None:
        await self.services.usage.flush()
        await self.services.maintenance.expire_due_secrets()
        if self.now.hour == 0:
            await self.services.maintenance.prune()

    def create(self, before_end: timedelta, name: str, *features: str, **given: object) -> None:
        async def act() -> None:
            made = await self.services.clients.create_client(name, by=CLI, features=features, **given)  # type: ignore[arg-type]
            self.clients[name] = Known(name, made.client.client_id, [made.secret.reveal()])

        self.at(before_end, act)

    def use(
        self,
        since: timedelta,
        until: timedelta,
        every: timedelta,
        name: str,
        source: Source,
        secret: int = 0,
    ) -> None:
        """Plan uses between two instants before the end, the last one at `until`; 0 is the first secret."""

        async def act() -> None:
            client = self.clients[name]
            await self.services.verifier.verify(client.id, client.secrets[secret], source)

        at = until
        while at <= since:
            self.at(at, act)
            at += every

    def reset(
        self, before_end: timedelta, name: str, hours: int, *, reason: str | None = None, ends_rollover: bool = False
    ) -> None:
        async def act() -> None:
            client = self.clients[name]
            done = await self.services.rotation.reset_secret(
                client.id,
                Retention(hours),
                by=ADMIN if hours else OPERATOR,
                end_active_rollover=ends_rollover,
                reason=reason,
            )
            client.secrets.append(done.new_secret.reveal())

        self.at(before_end, act)

    def change(self, before_end: timedelta, change: Callable[[Services, Known], Awaitable[object]], name: str) -> None:
        self.at(before_end, lambda: change(self.services, self.clients[name]))


def app(number: int = 1, agent: str = "app/2.4") -> Source:
    """A copy of an application."""
    return Source(f"10.1.0.{number}", agent)


def plan(walk: Walk) -> None:
    """Plan everything that happens in the 40 days."""
    special = (
        *(NO_ROLLOVER, WAIT_FOR_NEW, WAIT_FOR_QUIET, SAFE, SILENT, NEVER_USED_OLD, ENDING, MANY_SOURCES, LOCKED_OUT),
        *(LEAKED, DISABLED_IN_ROLLOVER, DISABLED, CANCELLED, DISPLACED, REVOKED, EXPIRED, CLAMPED, TALKATIVE, LONG),
    )
    for number, name in enumerate(special):
        description = f"Owned by team {'ABCDE'[number % 5]}.\nWritten for the walk through the console."
        details = ClientDetails(contact=f"team-{'abcde'[number % 5]}@example.com")
        walk.create(LENGTH - number * MINUTE, name, description=description, details=details)
    walk.create(LENGTH - HOUR, OUTSIDE, allow_list=_OFFICE, description="May call from the office alone.")
    walk.create(LENGTH - HOUR, DELETED)
    for number, (name, feature) in enumerate(ROLES):
        walk.create(LENGTH - 2 * HOUR - number * MINUTE, name, feature)
    for number, name in enumerate((*SCRIPTS, *ORDINARY)):
        created = LENGTH - (number % 30) * DAYS - number * MINUTE
        walk.create(created, name, description=f"Number {number} of the walk.")
        if number % 4:
            every = timedelta(hours=3 + number % 9)
            walk.use(created - HOUR, number * MINUTE, every, name, app(number, f"{name.split()[0]}/{number}.0"))
    walk.create(2 * DAYS, NEVER_USED, description="Goes live in January.")
    _plan_rollovers(walk)
    _plan_endings(walk)
    _plan_webhooks(walk)


def _plan_rollovers(walk: Walk) -> None:
    """Plan the rollovers that are in progress at the end."""
    for name in (NO_ROLLOVER, TALKATIVE, LONG):
        walk.use(39 * DAYS, 2 * MINUTE, timedelta(hours=2), name, app(1))
        walk.use(9 * DAYS, 20 * MINUTE, timedelta(hours=5), name, app(2, "batch/1.1"))

    walk.use(39 * DAYS, 3 * MINUTE, timedelta(hours=4), WAIT_FOR_NEW, app(3, "WarehouseSync/1.2"))
    walk.reset(5 * HOUR, WAIT_FOR_NEW, 72, reason="Yearly rotation")

    for number in (1, 2, 3):
        walk.use(39 * DAYS, 2 * DAYS, timedelta(hours=6), WAIT_FOR_QUIET, app(number, "orders/5.1"))
    walk.reset(2 * DAYS - HOUR, WAIT_FOR_QUIET, 168)
    for number in (1, 2):
        walk.use(40 * HOUR, 4 * MINUTE, HOUR, WAIT_FOR_QUIET, app(number, "orders/5.1"), 1)
    walk.use(40 * HOUR, 4 * MINUTE, timedelta(hours=2), WAIT_FOR_QUIET, app(3, "orders/5.1"))
    walk.change(
        30 * HOUR,
        lambda services, client: services.rotation.change_retention(client.id, Retention(120), by=ADMIN),
        WAIT_FOR_QUIET,
    )

    walk.use(39 * DAYS, 5 * DAYS, timedelta(hours=6), SAFE, app(4, "news/9"))
    walk.reset(4 * DAYS, SAFE, 168)
    walk.use(95 * HOUR, MINUTE, HOUR, SAFE, app(4, "news/9"), 1)

    walk.use(39 * DAYS, 3 * DAYS, timedelta(hours=6), SILENT, app(5, "inventory/8"))
    walk.use(39 * DAYS, 3 * DAYS, timedelta(hours=6), SILENT, Source("10.7.0.2", "inventory/8"))
    walk.reset(3 * DAYS - HOUR, SILENT, 168)
    walk.use(70 * HOUR, 3 * MINUTE, timedelta(hours=2), SILENT, app(5, "inventory/8"), 1)
    walk.use(70 * HOUR, 53 * HOUR, HOUR, SILENT, Source("10.7.0.2", "inventory/8"))

    walk.reset(6 * HOUR, NEVER_USED_OLD, 24)
    walk.use(20 * MINUTE, 10 * MINUTE, 5 * MINUTE, NEVER_USED_OLD, app(6), 1)

    walk.use(39 * DAYS, 2 * DAYS, timedelta(hours=6), ENDING, Source("192.168.77.5", "FaxServer 4.0"))
    walk.reset(24 * HOUR - 26 * MINUTE, ENDING, 24)
    walk.use(23 * HOUR, MINUTE, timedelta(hours=1), ENDING, Source("192.168.77.5", "FaxServer 4.0"))
    walk.use(22 * HOUR, 2 * MINUTE, timedelta(hours=1), ENDING, app(7, "FaxServer 4.1"), 1)

    for number in range(60):
        pos = Source(f"172.16.{number // 8}.{number}", f"pos/{3 + number % 3}.0 (till {number})")
        until = (12 * HOUR if number < MOVED_TILLS else timedelta(0)) + number * MINUTE + MINUTE
        walk.use((30 + number) * HOUR, until, timedelta(hours=9), MANY_SOURCES, pos)
        if number < MOVED_TILLS:
            walk.use((9 + number % 3) * HOUR, number * MINUTE + MINUTE, timedelta(hours=3), MANY_SOURCES, pos, 1)
    walk.reset(12 * HOUR, MANY_SOURCES, 120)

    walk.use(39 * DAYS, 3 * DAYS, timedelta(hours=8), OUTSIDE, app(8, "bank/3"))
    walk.reset(2 * DAYS, OUTSIDE, 168)
    walk.use(20 * HOUR, 3 * HOUR, timedelta(hours=4), OUTSIDE, Source("198.18.0.77", "curl/7.88.1"), 1)

    walk.use(39 * DAYS, 2 * DAYS, timedelta(hours=8), DISABLED_IN_ROLLOVER, app(9, "labels/1"))
    walk.reset(40 * HOUR, DISABLED_IN_ROLLOVER, 168)
    walk.change(20 * HOUR, disable, DISABLED_IN_ROLLOVER)
    walk.use(15 * HOUR, 5 * MINUTE, timedelta(hours=3), DISABLED_IN_ROLLOVER, app(9, "labels/1"))


def _plan_endings(walk: Walk) -> None:
    """Plan the secrets that have ended, for every reason."""
    walk.use(39 * DAYS, 4 * DAYS, timedelta(hours=5), LOCKED_OUT, Source("192.168.77.5", "WarehouseSync/1.2"))
    walk.reset(10 * DAYS, LOCKED_OUT, 144)
    walk.use(9 * DAYS, 2 * MINUTE, timedelta(hours=3), LOCKED_OUT, app(10, "edi/7"), 1)
    walk.use(3 * DAYS, MINUTE, timedelta(hours=3), LOCKED_OUT, Source("192.168.77.5", "WarehouseSync/1.2"))

    walk.use(39 * DAYS, 6 * DAYS, timedelta(hours=5), LEAKED, app(11, "feed/2"))
    walk.reset(5 * DAYS, LEAKED, 0, reason="The secret was in a public repository.")
    walk.use(119 * HOUR, MINUTE, timedelta(hours=5), LEAKED, app(11, "feed/2"), 1)
    walk.use(10 * HOUR, 2 * HOUR, timedelta(hours=1), LEAKED, Source("185.220.101.4", "python-requests/2.31"))

    walk.use(39 * DAYS, 12 * DAYS, timedelta(hours=8), DISABLED, app(12, "shop/1"))
    walk.change(11 * DAYS, disable, DISABLED)

    walk.use(39 * DAYS, MINUTE, timedelta(hours=7), CANCELLED, app(13))
    walk.reset(8 * DAYS, CANCELLED, 48)
    walk.change(
        7 * DAYS,
        lambda services, client: services.rotation.cancel_rollover(client.id, by=ADMIN, reason="Wrong client"),
        CANCELLED,
    )

    walk.use(39 * DAYS, 9 * DAYS, timedelta(hours=7), DISPLACED, app(14))
    walk.reset(9 * DAYS, DISPLACED, 168)
    walk.use(8 * DAYS, 6 * DAYS, timedelta(hours=6), DISPLACED, app(14), 1)
    walk.reset(5 * DAYS, DISPLACED, 24, ends_rollover=True)
    walk.use(4 * DAYS, MINUTE, timedelta(hours=6), DISPLACED, app(14), 2)

    walk.use(39 * DAYS, 7 * DAYS, timedelta(hours=7), REVOKED, app(15))
    walk.reset(7 * DAYS, REVOKED, 168)
    walk.use(6 * DAYS, MINUTE, timedelta(hours=6), REVOKED, app(15), 1)
    walk.change(4 * DAYS, lambda services, client: services.rotation.revoke_old_secret(client.id, by=ADMIN), REVOKED)

    walk.use(39 * DAYS, 20 * DAYS, timedelta(hours=7), EXPIRED, app(16))
    walk.reset(19 * DAYS, EXPIRED, 24)
    walk.use(18 * DAYS, MINUTE, timedelta(hours=7), EXPIRED, app(16), 1)

    walk.use(39 * DAYS, 6 * DAYS, timedelta(hours=9), CLAMPED, app(17))
    walk.reset(6 * DAYS, CLAMPED, 24)
    walk.change(
        130 * HOUR,
        lambda services, client: services.rotation.change_retention(client.id, Retention(168), by=ADMIN),
        CLAMPED,
    )
    walk.use(5 * DAYS, 8 * MINUTE, timedelta(hours=9), CLAMPED, app(17), 1)
    walk.use(5 * DAYS, 10 * HOUR, timedelta(hours=9), CLAMPED, app(18))

    walk.change(15 * DAYS, lambda services, client: services.clients.delete_client(client.id, by=ADMIN), DELETED)
    walk.change(
        12 * DAYS,
        lambda services, client: services.clients.update_client(
            client.id, by=ADMIN, description="Sends the codes of two-factor sign-ins."
        ),
        TALKATIVE,
    )
    for number in range(24):
        walk.reset((38 - number) * DAYS, TALKATIVE, 0)
        walk.use((38 - number) * DAYS - HOUR, (37 - number) * DAYS, timedelta(hours=8), TALKATIVE, app(1), number + 1)


def _plan_webhooks(walk: Walk) -> None:
    """Plan two webhooks: one whose endpoint takes every event, and one that has been failing for hours."""
    (chat, tickets) = _ENDPOINTS
    some = (
        WebhookEventType.CLIENT_DISABLED,
        WebhookEventType.ROLLOVER_ENDING,
        WebhookEventType.SECRET_RESET,
        WebhookEventType.STRAGGLER_REFUSED,
    )
    walk.at(3 * DAYS, lambda: walk.services.webhooks.create(chat, some, description=CHAT, by=ADMIN))
    walk.at(3 * DAYS, lambda: walk.services.webhooks.create(tickets, WebhookEventType, description=TICKETS, by=ADMIN))
    for before_end in (30 * HOUR, 19 * HOUR, 4 * HOUR, MINUTE):
        walk.at(before_end, lambda: _deliver(walk.services))


async def _deliver(services: Services) -> None:
    async def send(url: str, headers: dict[str, str], body: bytes) -> Answer:
        del headers, body
        return _ENDPOINTS[url]

    courier = Courier(services.database, services.changes.pepper, services.queries, services.occasions, send)
    while await courier.run() == 0:
        pass
    await courier.release()


def disable(services: Services, client: Known) -> Awaitable[object]:
    return services.clients.set_client_enabled(client.id, enabled=False, by=ADMIN, reason="Suspected misuse")


async def fill(data_dir: Path, now: datetime | None = None) -> Walk:
    """Fill an empty data directory; return what it holds.

    Args:
        data_dir: where the database and the pepper are made.
        now: the last instant; the machine's clock unless given.
    """
    ends_at = now or datetime.now(UTC)
    walk = Walk(ends_at - LENGTH - HOUR, ends_at)
    plan(walk)
    settings = Settings(data_dir=data_dir, rate_limits="off")
    services = await open_services(settings, adjust_clock=walk.clock)
    try:
        await walk.run(services)
        for name, role in (("Ada Ashdown", Role.ADMIN), ("Olga Lastochkina", Role.OPERATOR)):
            await services.sessions.create_sign_in_link(name, role, by=CLI)
    finally:
        await services.close()
    return walk


async def advice_of(data_dir: Path, now: datetime) -> dict[str, str]:
    """Return the advice of each rollover in progress at an instant, by the name of its client."""
    services = await open_services(Settings(data_dir=data_dir), adjust_clock=lambda _: now)
    try:
        found = {row.client_id: row.name for row in await _all_clients(services)}
        rollovers = await services.usage_queries.rollovers_of(sorted(found))
        return {found[client_id]: str(rollover.advice) for client_id, rollover in rollovers.items()}
    finally:
        await services.close()


async def overview_of(data_dir: Path, now: datetime) -> Overview:
    """Return the counts of the overview at an instant."""
    services = await open_services(Settings(data_dir=data_dir), adjust_clock=lambda _: now)
    try:
        return await services.overviews.read()
    finally:
        await services.close()


async def _all_clients(services: Services) -> list[ClientRow]:
    return list((await services.queries.page_of_clients(PageRequest(first=100))).rows)


def main() -> None:
    """Fill the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Fill an installation with the data of the console walk-through.")
    parser.add_argument("data_dir", type=Path, help="an empty or new directory")
    data_dir: Path = parser.parse_args().data_dir
    if data_dir.exists() and any(data_dir.iterdir()):
        parser.error(f"{data_dir} is not empty.")
    walk = asyncio.run(fill(data_dir))
    print(f"{len(walk.clients) - 1} clients and their owner are in {data_dir}. Look at them:")
    print(f"  export GQL_SECRETS_DATA_DIR={data_dir}")
    print("  gql-secrets serve &")
    print("  gql-secrets sign-in-link --role ADMIN --name Ada")


if __name__ == "__main__":
    main()
