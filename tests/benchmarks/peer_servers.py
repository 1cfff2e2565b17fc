"""The servers that graphql_peers.py compares: ours, a bare aiohttp handler, and those of Node.js.

`python tests/benchmarks/peer_servers.py PORT` is the bare handler.
"""

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import asyncpg
import uvloop
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import unused_port
from benchmarks.reset_rate import PEPPER, new_postgres, new_sqlite
from support.callers import ADMIN
from support.databases import PostgresServer

from gql_secrets.domain.access import Feature
from gql_secrets.settings import DATABASE_FILE, Settings
from gql_secrets.wiring import open_services

PEERS = Path(__file__).parent / "peers"
POSTGRAPHILE = "4.14.1"
POSTGRES, SQLITE, BARE = "gql-secrets, PostgreSQL", "gql-secrets, SQLite", "bare aiohttp"
APOLLO, MERCURIUS = "Apollo Server", "Mercurius"
FIELDS = "clientId name enabled createdAt generation currentSecret { hint %s }"
TYPENAME, ONE, LIST, RESET = "{ __typename }", "one client", "50 clients", "resetSecret"
RESET_MUTATION = (
    "mutation ($id: %s!) { resetSecret(clientId: $id, hoursToLive: 24%s) { newSecret oldSecretExpiresAt } }"
)
# What is asked: of ours, of the peers in JavaScript, of PostGraphile.
QUERIES = {
    TYPENAME: ("{ __typename }", "{ __typename }", "{ __typename }"),
    ONE: (
        f"query ($id: ID!) {{ client(clientId: $id) {{ {FIELDS % 'createdAt'} }} }}",
        f"query ($id: String!) {{ client(clientId: $id) {{ {FIELDS % 'createdAt'} }} }}",
        f"query ($id: String!) {{ clientByClientId(clientId: $id) {{ {FIELDS % 'createdAt'} }} }}",
    ),
    LIST: (
        f"{{ clients(first: 50) {{ nodes {{ {FIELDS % ''} oldSecret {{ hint }} }} }} }}",
        f"{{ clients(first: 50) {{ {FIELDS % ''} oldSecret {{ hint }} }} }}",
        f"{{ allClientsList(first: 50) {{ {FIELDS % ''} oldSecret {{ hint }} }} }}",
    ),
    RESET: (
        RESET_MUTATION % ("ID", ", endActiveRollover: true"),
        RESET_MUTATION % ("String", ""),
        None,
    ),
}
RETAINED = """
    INSERT INTO client_secret (client_id, digest, pepper_key_id, hint, is_weak, state, created_at, created_by,
        replaced_at, expires_at, use_count, refused_attempts)
    SELECT client_id, {digest}, 'bench', 'abcd', false, 'RETAINED', created_at, 'user:ada',
        created_at, created_at + 360000000000, 0, 0 FROM client
"""


@dataclass(slots=True)
class Cost:
    """Seconds of processor time per request, in one turn."""

    server: float
    database: float


@dataclass(slots=True)
class Server:
    name: str
    dialect: int
    port: int
    process: subprocess.Popen[bytes]
    path: str
    authorizations: Sequence[str] = ("",)
    costs: dict[tuple[str, int], list[Cost]] = field(default_factory=dict)

    def requests(self, kind: str, client_ids: Iterator[str], number: int) -> Iterator[bytes]:
        """The requests of the connection of that number."""
        query = QUERIES[kind][self.dialect]
        authorization = self.authorizations[number % len(self.authorizations)]
        return (self._request({"query": query, "variables": {"id": each}}, authorization) for each in client_ids)

    def _request(self, content: object, authorization: str) -> bytes:
        body = json.dumps(content).encode()
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


@contextmanager
def started(
    name: str,
    dialect: int,
    path: str,
    command: Sequence[str],
    *,
    authorizations: Sequence[str] = ("",),
    **environment: str,
) -> Iterator[Server]:
    """Run a server; PORT in the command is its port."""
    port = unused_port()
    process = subprocess.Popen(
        [part.replace("PORT", str(port)) for part in command],
        env={**os.environ, "NODE_ENV": "production", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"{name} did not start")
            time.sleep(0.1)
        yield Server(name, dialect, port, process, path, authorizations)
    finally:
        process.terminate()
        process.wait(30)


async def make_owners(settings: Settings, count: int) -> list[str]:
    """Create owners, and give each client a retained secret; return the headers with which the owners sign in."""
    services = await open_services(settings)
    owners = [
        await services.clients.create_client("Owner", features=[Feature.OWNER.value], by=ADMIN) for _ in range(count)
    ]
    await services.close()
    if settings.database_url:
        connection = await asyncpg.connect(settings.database_url)
        await connection.execute(RETAINED.format(digest="sha256(client_id::bytea)"))
        await connection.execute("VACUUM ANALYZE client, client_secret")
        await connection.close()
    else:
        with closing(sqlite3.connect(settings.data_dir / DATABASE_FILE)) as file, file:
            file.execute(RETAINED.format(digest="randomblob(32)"))
    return [
        f"Authorization: {encode_basic_auth(owner.client.client_id, owner.secret.reveal())}\r\n" for owner in owners
    ]


def our_servers(stack: ExitStack, directory: Path, server: PostgresServer, callers: int) -> list[Server]:
    servers = [stack.enter_context(started(BARE, 0, "/graphql", [sys.executable, __file__, "PORT"]))]
    for name, settings in (
        (POSTGRES, asyncio.run(new_postgres(server, directory / "postgres"))),
        (SQLITE, asyncio.run(new_sqlite(directory / "sqlite"))),
    ):
        authorizations = asyncio.run(make_owners(settings, callers))
        serve = ["-m", "gql_secrets.cli", "serve", "--data-dir", str(settings.data_dir), "--port", "PORT"]
        command = [sys.executable, *serve]
        environment = {"GQL_SECRETS_PEPPER": PEPPER}
        if settings.database_url:
            environment["GQL_SECRETS_DATABASE_URL"] = settings.database_url
        servers.append(
            stack.enter_context(started(name, 0, "/graphql", command, authorizations=authorizations, **environment))
        )
    return servers


def peer_servers(stack: ExitStack, directory: Path, server: PostgresServer, kinds: Sequence[str]) -> list[Server]:
    """Install and start the peers; say why where one cannot be. Resets alone are compared with Mercurius alone."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("no peers: node and npm are not installed", flush=True)
        return []
    shutil.copytree(PEERS, directory, dirs_exist_ok=True)
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
    if subprocess.run(install, cwd=directory, check=False).returncode:
        print("no peers: npm could not install them", flush=True)
        return []
    url = server.create("template0")
    asyncio.run(run_script(url, (PEERS / "schema.sql").read_text()))
    servers = []

    def start(name: str, dialect: int, path: str, *command: str) -> None:
        try:
            servers.append(stack.enter_context(started(name, dialect, path, [node, *command], DATABASE_URL=url)))
        except RuntimeError as failure:
            print(f"left out: {failure}", flush=True)

    start(MERCURIUS, 1, "/graphql", str(directory / "mercurius.mjs"), "PORT")
    if kinds == (RESET,):
        return servers
    start(APOLLO, 1, "/", str(directory / "apollo.mjs"), "PORT")
    start("Yoga", 1, "/graphql", str(directory / "yoga.mjs"), "PORT")
    start("Mercurius with jit", 1, "/graphql", str(directory / "mercurius.mjs"), "PORT", "jit")
    separate = directory / "postgraphile"
    separate.mkdir()
    (separate / "package.json").write_text('{"private": true}')
    if subprocess.run([*install, f"postgraphile@{POSTGRAPHILE}"], cwd=separate, check=False).returncode:
        print("left out: npm could not install PostGraphile", flush=True)
        return servers
    options = "-s public -n 127.0.0.1 -p PORT --simple-collections both --disable-query-log --disable-graphiql"
    more = "--max-pool-size 10 --no-setof-functions-contain-nulls --legacy-relations omit"
    script = separate / "node_modules" / "postgraphile" / "cli.js"
    start("PostGraphile", 2, "/graphql", str(script), "-c", url, *options.split(), *more.split())
    return servers


async def run_script(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(script)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def serve_bare(port: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"data":{"__typename":"Query"}}', content_type="application/json")

    app = web.Application()
    app.router.add_post("/graphql", answer)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, loop=uvloop.new_event_loop(), print=None)


if __name__ == "__main__":
    serve_bare(int(sys.argv[1]))
