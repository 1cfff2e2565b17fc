"""What tests start from: a fresh database of either kind, the services on it, a clock that a test moves."""

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support.callers import ADMIN, Made
from support.clocks import Clock
from support.databases import PostgresServer, SqliteTemplate, temporary_directory
from support.installation import PEPPER, MakeClient, OpenNode
from support.logs import UnredactedFormatter
from support.paths import TESTS

from gql_secrets.domain.access import Caller
from gql_secrets.settings import Settings
from gql_secrets.storage import errors
from gql_secrets.storage.postgres import connection
from gql_secrets.wiring import Services, open_services

_BEGIN = connection._BEGIN

# A property holds however long a loaded machine takes for an example.
hypothesis.settings.register_profile("untimed", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _keys_in_caplog(caplog: pytest.LogCaptureFixture) -> None:
    """Let `caplog.text` hold the keys and values of each record, not only its event name."""
    caplog.handler.setFormatter(UnredactedFormatter())
    errors._logged.clear()  # what another test logged does not keep this one's lines back


# What a whole folder or file needs. Each of these markers implies `slow`, which the quick run leaves out.
MARKERS = {
    "commands": "processes",
    "console": "browser",
    "console_build": "processes",
    "docs": "processes",
    "frontends": "processes",
    "gateways": "gateway",
    "identity": "browser",
    "storage/postgres": "postgres",
    "storage/test_migrations.py": "processes",
    "system": "processes",
}
# What needs nothing, and takes long all the same: by the number of its cases, or by their size.
LONG = {
    "api/authentication",
    "api/clients_api",
    "api/graphql/test_roles.py",
    "api/graphql/test_self_in_roles.py",
    "api/graphql/test_trusted_documents.py",
    "api/sign_in/test_provider.py",
    "api/sign_in/test_provider_answers.py",
    "api/sign_in/test_role_looks.py",
    "api/sign_in/test_silent_sign_ins.py",
    "api/sign_in/test_two_providers.py",
    "api/test_incidents.py",
    "api/test_rate_limits.py",
    "api/web/test_cors.py",
    "api/web/test_origin.py",
    "api/web/test_security_headers.py",
    "graphql_server/test_documents.py",
    "graphql_server/test_http_audits.py",
    "model",
    "service/test_backup.py",
    "service/test_caller_check.py",
    "service/test_client_lists.py",
    "service/test_event_feed.py",
    "service/test_invariants.py",
    "storage/test_schema_version.py",
    "storage/test_transactions.py",
}


def pytest_collection_finish() -> None:
    """Leave what thousands of tests refer to out of garbage collections: one in the middle of a test took seconds."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, so that nobody has to remember to."""
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        places = {place, *(parent.as_posix() for parent in Path(place).parents)}
        needs = {marker for name, marker in MARKERS.items() if name in places}
        parameters = (
            item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        )
        fixtures = getattr(item, "fixturenames", ())
        if "postgres" in parameters or ("postgres_url" in fixtures and "database_url" not in fixtures):
            needs.add("postgres")
        for marker in sorted(needs):
            item.add_marker(marker)
        if needs or places & LONG:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def sqlite_template() -> Iterator[SqliteTemplate]:
    with temporary_directory() as directory:
        yield SqliteTemplate(Path(directory))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield Path(directory)


@pytest.fixture
def sqlite_url(sqlite_template: SqliteTemplate, data_dir: Path) -> str:
    return sqlite_template.copy_into(data_dir)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


@pytest.fixture(autouse=True)
def patient_verifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a verification ten times its limits, so that a busy machine refuses nothing.

    Tests of the limits set them again.
    """
    monkeypatch.setattr("gql_secrets.service.verification._ANSWER_SECONDS", 9.0)
    monkeypatch.setattr("gql_secrets.storage.postgres.lookup._VERIFY_SECONDS", 8.0)


@pytest.fixture(autouse=True)
def patient_fences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a change on PostgreSQL more time to be followed by every node, for the same reason."""
    monkeypatch.setattr("gql_secrets.storage.cluster._MAX_WAIT_SECONDS", 60.0)


@pytest.fixture(autouse=True)
def patient_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PostgreSQL keep the session of a process that pauses in a transaction, for the same reason."""
    monkeypatch.setattr(connection, "_BEGIN", _BEGIN.replace("'3s'", "'60s'"))


@pytest.fixture
def transactions_as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the session of a process that pauses in a transaction end as it does outside tests."""
    monkeypatch.setattr(connection, "_BEGIN", _BEGIN)


@pytest.fixture(autouse=True)
def patient_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give an identity provider more time to answer, for the same reason."""
    for name in ("identity_providers.FETCH_SECONDS", "identity_providers._CONNECT_SECONDS"):
        monkeypatch.setattr(f"gql_secrets.api.authentication.{name}", 60.0)
    monkeypatch.setattr("gql_secrets.api.sign_in.provider_client.FETCH_SECONDS", 60.0)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database that nobody has started on yet: every test that asks for it runs on both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def settings(database_url: str, data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, database_url=database_url, pepper=PEPPER)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def open_node(settings: Settings, clock: Clock) -> AsyncIterator[OpenNode]:
    """Open the services once more on the same database, as another process would; all are closed afterwards."""
    nodes = []

    async def open_one(**given: Any) -> Services:
        node = await open_services(given.pop("settings", settings), **{"adjust_clock": clock, **given})
        nodes.append(node)
        return node

    yield open_one
    for node in nodes:
        await node.close()


@pytest.fixture
async def services(open_node: OpenNode) -> Services:
    return await open_node()


@pytest.fixture
def owner(services: Services) -> Made:
    """The client that the first start made: its role is ADMIN."""
    assert services.first_owner is not None
    return Made(services.first_owner.client.client_id, services.first_owner.secret.reveal())


@pytest.fixture
def make_client(services: Services) -> MakeClient:
    async def make(*features: str, by: Caller = ADMIN, name: str = "Shop", **given: Any) -> Made:
        made = await services.clients.create_client(name, by=by, features=features, **given)
        return Made(made.client.client_id, made.secret.reveal())

    return make


@pytest.fixture
async def client(make_client: MakeClient) -> Made:
    """The smallest valid client: no feature, every address, one secret that nobody used."""
    return await make_client()
