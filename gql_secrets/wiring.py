"""The parts of one running installation, assembled in one place for both entry points (server and command line)."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.service.audit_archive import AuditArchive
from gql_secrets.service.background import repeat
from gql_secrets.service.bulk import BulkRotation
from gql_secrets.service.changes import Changes
from gql_secrets.service.clients import Clients
from gql_secrets.service.cluster import ClusterNodes
from gql_secrets.service.digest_moves import DigestMoves
from gql_secrets.service.event_feed import Feed
from gql_secrets.service.figures import FigureQueries
from gql_secrets.service.history import History
from gql_secrets.service.installation import is_installed, prepare
from gql_secrets.service.maintenance import Maintenance
from gql_secrets.service.new_clients import Registration
from gql_secrets.service.overview import Overviews
from gql_secrets.service.provider_sessions import ProviderSessions
from gql_secrets.service.queries import Queries
from gql_secrets.service.rate_counters import FailureCounters
from gql_secrets.service.replication import report_replication
from gql_secrets.service.rotation import Rotation
from gql_secrets.service.sessions import Sessions
from gql_secrets.service.usage.counter import Usage
from gql_secrets.service.usage.queries import UsageQueries
from gql_secrets.service.usage.sources import SourceQueries
from gql_secrets.service.verification import Verifier
from gql_secrets.service.webhooks.courier import Courier, Send
from gql_secrets.service.webhooks.management import Webhooks
from gql_secrets.service.webhooks.occasions import Occasions
from gql_secrets.settings import PEPPER_FILE, Settings
from gql_secrets.storage.address import DatabaseAddress, PoolSettings
from gql_secrets.storage.cluster import FROM_MEMORY, require_first_key_everywhere
from gql_secrets.storage.database import Database
from gql_secrets.storage.errors import lost_statement
from gql_secrets.storage.migrate import pending, upgrade
from gql_secrets.storage.postgres.membership import Membership
from gql_secrets.storage.secret_index.lookup import Lookup
from gql_secrets.storage.secret_index.opening import open_lookup

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that every surface uses."""

    database: Database
    changes: Changes
    history: History
    rotation: Rotation
    bulk: BulkRotation
    clients: Clients
    queries: Queries
    overviews: Overviews
    usage: Usage
    usage_queries: UsageQueries
    source_queries: SourceQueries
    verifier: Verifier
    lookup: Lookup
    membership: Membership | None
    cluster: ClusterNodes
    sessions: Sessions
    provider_sessions: ProviderSessions
    feed: Feed
    limits: FailureCounters
    figures: FigureQueries
    public_url: str
    maintenance: Maintenance
    audit_archive: AuditArchive
    rotation_policy: RotationPolicy
    webhooks: Webhooks
    occasions: Occasions
    first_owner: Registration | None

    def set_limits(self, settings: Settings) -> None:
        """Apply the limits of settings that were read again."""
        self.rotation.limit_resets(settings.limit(settings.limit_resets_per_client))
        self.limits.set_rates(
            failures_per_address=settings.limit(settings.limit_failures_per_address),
            failures_per_client=settings.limit(settings.limit_failures_per_client),
            sign_ins_per_address=settings.limit(settings.limit_sign_ins_per_address),
        )

    async def close(self) -> None:
        """Close everything, even if a part cannot be closed."""
        self.history.close()
        try:
            await self.feed.close()
        finally:
            try:
                await self.lookup.close()
            finally:
                await self.database.close()


@contextlib.asynccontextmanager
async def background(services: Services, send: Send | None = None) -> AsyncIterator[None]:
    """Run the background work of a server: write the counts of uses, expire, prune, read ahead, deliver events.

    Args:
        services: the installation.
        send: sends an event to the endpoint of a webhook; None where this process delivers none.

    When it ends, every count has been written; counts that cannot be written are logged as lost.
    """
    stop = asyncio.Event()
    await services.cluster.note_start()
    services.history.report_memory()
    tasks = [
        asyncio.create_task(repeat(services.usage.keep_flushing, stop, early=services.usage.fills_up)),
        asyncio.create_task(repeat(services.maintenance.run, stop)),
        asyncio.create_task(repeat(services.history.follow, stop)),
        asyncio.create_task(repeat(services.lookup.read_ahead, stop)),
    ]
    courier = (
        Courier(services.database, services.changes.pepper, services.queries, services.occasions, send)
        if send
        else None
    )
    if courier:
        tasks.append(asyncio.create_task(repeat(courier.run, stop)))
    if services.membership:
        tasks.append(asyncio.create_task(services.membership.run()))
    # It may take minutes, and nothing is lost where it is interrupted: nobody waits for it.
    archiving = asyncio.create_task(repeat(services.audit_archive.run, stop))
    try:
        yield
    finally:
        stop.set()
        archiving.cancel()
        if services.membership:
            services.membership.stop()
        await asyncio.gather(*tasks)
        with contextlib.suppress(asyncio.CancelledError):
            await archiving
        if courier:
            with contextlib.suppress(Failure):
                await courier.release()
        try:
            await services.usage.flush()
        except Failure as failure:
            _log.error("usage_counts_lost", extra={"reason": str(failure)})


async def open_services(
    settings: Settings,
    *,
    migrate: bool = True,
    with_owner: bool = True,
    on_first_owner: Callable[[Registration], None] = lambda _owner: None,
    adjust_clock: Callable[[datetime], datetime] | None = None,
) -> Services:
    """Open the installation that the settings name: migrated, its pepper checked, with an owner where it is new.

    Args:
        settings: which database, which pepper.
        migrate: bring the database to the newest migration; otherwise refuse one that lacks some.
        with_owner: create the first owner in a new installation.
        on_first_owner: is called with it before anything else can fail: its secret cannot be read again.
        adjust_clock: replaces the database's clock in tests.

    Raises:
        SetupError: the database is not migrated, is too new, or belongs to another pepper.
        Unavailable: the database does not answer.
    """
    settings.make_data_dir()
    database = await open_database(settings, adjust_clock=adjust_clock)
    opened = contextlib.AsyncExitStack()
    opened.push_async_callback(database.close)
    try:
        if migrate:
            await upgrade(database)
        elif await pending(database):
            raise SetupError("The database lacks migrations. Run: gql-secrets db upgrade")
        pepper = settings.load_pepper()
        made = None if pepper else await _make_pepper(settings, database)
        changes = Changes(database, pepper or made or Pepper(()))
        await require_first_key_everywhere(database, changes.pepper)
        try:
            first_owner = await prepare(changes, with_owner=with_owner)
        except SetupError:
            # Another node was first, with its own key: this one is not needed. After any other failure it stays,
            # because another process may have begun to digest with it.
            if made is not None:
                (settings.data_dir / PEPPER_FILE).unlink(missing_ok=True)
            raise
        if first_owner is not None:
            on_first_owner(first_owner)
        history = History(changes, settings.data_dir)
        opened.callback(history.close)
        await history.open()
        usage = Usage(database, settings.usage_flush)
        queries = Queries(database, settings.wait_to_revoke, settings.rotation_policy)
        usage_queries = UsageQueries(database, queries, usage, settings.quiet_time)
        rotation = Rotation(changes, resets_per_client=settings.limit(settings.limit_resets_per_client))
        lookup, membership = await open_lookup(
            database, changes.pepper.key_ids, from_memory=settings.verify_from == FROM_MEMORY
        )
        opened.push_async_callback(lookup.close)
        if membership is not None and settings.verify_from == FROM_MEMORY:
            # A node that reads the database for each verification has nothing to catch up with.
            changes.fence.own_node = membership
        digest_moves = DigestMoves(database, changes.pepper, lookup)
        usage.also_flushed.append(digest_moves.flush)
        await report_replication(database)
        maintenance = Maintenance(database, changes, settings.source_retention)
        return Services(
            database=database,
            changes=changes,
            history=history,
            rotation=rotation,
            bulk=BulkRotation(rotation, usage_queries, changes.fence),
            clients=Clients(changes),
            queries=queries,
            overviews=Overviews(database, settings.wait_to_revoke, settings.rotation_policy),
            usage=usage,
            usage_queries=usage_queries,
            source_queries=SourceQueries(database, queries, usage_queries),
            verifier=Verifier(database, changes.pepper, lookup, changes, usage, digest_moves),
            lookup=lookup,
            membership=membership,
            cluster=ClusterNodes(database, membership),
            sessions=Sessions(changes, links_only_from_cli=settings.sign_in_links == "off"),
            provider_sessions=ProviderSessions(changes),
            feed=Feed(database, expire_due_secrets=maintenance.expire_due_secrets),
            limits=FailureCounters(
                failures_per_address=settings.limit(settings.limit_failures_per_address),
                failures_per_client=settings.limit(settings.limit_failures_per_client),
                sign_ins_per_address=settings.limit(settings.limit_sign_ins_per_address),
            ),
            figures=FigureQueries(database, changes.pepper, settings.wait_to_revoke),
            public_url=settings.address_url,
            maintenance=maintenance,
            audit_archive=AuditArchive(changes, settings.audit_directory, settings.audit_retention),
            rotation_policy=settings.rotation_policy,
            occasions=Occasions(database, usage_queries, settings.wait_to_revoke, settings.rotation_policy),
            webhooks=Webhooks(changes, allows_http=bool(settings.allowed_webhook_networks)),
            first_owner=first_owner,
        )
    except BaseException as error:
        await opened.aclose()
        if failure := lost_statement(error):
            raise failure from error
        raise


async def open_database(settings: Settings, *, adjust_clock: Callable[[datetime], datetime] | None = None) -> Database:
    """Open the database that the settings name; change nothing in it.

    Raises:
        SetupError: the URL is malformed, or the database does not keep what it commits.
        Unavailable: it does not answer.
    """
    pool = PoolSettings(settings.database_pool_size, settings.statement_cache_size)
    database = Database(DatabaseAddress.parse(settings.resolved_database_url), pool, adjust_clock=adjust_clock)
    await database.open()
    return database


async def _make_pepper(settings: Settings, database: Database) -> Pepper:
    if await is_installed(database):
        raise SetupError(
            "This database has a pepper, but this process has none, so it would find no secret. Set "
            f"GQL_SECRETS_PEPPER, or copy {PEPPER_FILE} into {settings.data_dir}."
        )
    if database.dialect.name == "postgres":
        # The key would be in a file of one node, and in a container gone with it.
        raise SetupError(
            "A first start on PostgreSQL needs a pepper that you keep apart from the database: set GQL_SECRETS_PEPPER "
            "or GQL_SECRETS_PEPPER_FILE. Create one with: python3 -c \"import secrets; print('k1:' + "
            'secrets.token_urlsafe(32))"'
        )
    return settings.write_new_pepper()
