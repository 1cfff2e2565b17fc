"""Hostile traffic: no answer is a server error, the log holds no traceback, and no secret gets out.

5,000 requests by default, the same ones each time. For a night, 100,000 new requests:

    FUZZ_REQUESTS=100000 FUZZ_SEED=$RANDOM uv run --group test pytest tests/system/test_fuzz.py -s

The seed is in the first line that is printed, and in each failure.
"""

import asyncio
import base64
import contextlib
import http.client
import json
import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import graphql
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema, nodes
from support.databases import temporary_directory
from support.hostile_requests import Attacker, Known
from support.hostile_values import JUNK
from support.leaks import Issued
from support.paths import ROOT
from support.serving import PROGRAM, Serving, environment, serving

from gql_secrets.api.app import build_app
from gql_secrets.settings import Settings

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "5000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))

_VARIANTS = ("as made", "known values", "variables")
_CALLERS = ("owner", "viewer", "anonymous")
_DOCUMENTS = REQUESTS * 4 // 10 // (len(_VARIANTS) * len(_CALLERS))
_BYTES = REQUESTS - _DOCUMENTS * len(_VARIANTS) * len(_CALLERS)
_AT_ONCE = 16
_SAME_CREDENTIALS = 400
# How long a server waits for the rest of a request that has none, and then how long for its last word.
_PATIENCE = 0.3
_MAX_ANSWER = 60.0

SCHEMA = graphql.build_schema((ROOT / "schema.graphql").read_text())
# Where a new secret leaves, by name; and by an alias, which the request then has.
_EXITS = {"newSecret", "secret", "new_secret", "client_secret"}
_SECRET = re.compile(rb'"(\w+)": ?"(gqls_[0-9A-Za-z]{49})"')
_BEGINNING = re.compile(rb"gqls_(?!\.\.\.)")
_COOKIE = re.compile(rb"gql_secrets_session=([\w-]{43})")
# 505 is about the request: an HTTP version other than 1.0 and 1.1 (RFC 9110, section 15.6.6).
_VERSION_NOT_SUPPORTED = 505
_TROUBLE = re.compile(rb"HTTP/\d\.\d 5(?!05)\d\d|Traceback \(most recent|\"INTERNAL\"|[Uu]nexpected error")
_TROUBLE_IN_LOG = re.compile(r"Traceback \(most recent|level=(?:ERROR|CRITICAL)|^(?!at=)", re.MULTILINE)


class Target:
    """A server under fire, what is known about it, and every secret that it issued."""

    def __init__(self, server: Serving, folder: Path) -> None:
        self.server = server
        self.issued = Issued()
        self.statuses: Counter[str] = Counter()
        self._folder = folder
        self._log_read = 0
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_MAX_ANSWER)
        first = server.owner.partition(":")
        self.credentials = {"owner": (first[0], first[2])}
        self.issued.add(first[2])
        self.victims = [self.create("--feature", feature) for feature in ("direct_access", "operator", "viewer")]
        self.credentials["viewer"] = self.create("--feature", "viewer")
        self.ended = self.create()
        self.run("client", "delete", self.ended[0], "--yes")
        self.node_ids = self._node_ids()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def run(self, *arguments: str) -> dict[str, str]:
        """Run the command line next to the server; return what it prints."""
        done = subprocess.run(
            [PROGRAM, *arguments, "--json"], cwd=self._folder, env=environment({}), capture_output=True, check=True
        )
        content = json.loads(done.stdout or b"{}")
        assert isinstance(content, dict)
        return content

    def create(self, *arguments: str) -> tuple[str, str]:
        """Make a client; return its credentials."""
        told = self.run("client", "create", "Shop", *arguments)
        self.issued.add(told["secret"])
        return told["clientId"], told["secret"]

    def session(self) -> str:
        """Sign somebody in; return the cookie's value."""
        told = self.run("sign-in-link", "--role", "ADMIN")
        token = told["url"].rpartition("#")[2]
        self.issued.add(token)
        self._connection.request(
            "POST",
            "/sign-in",
            json.dumps({"token": token}),
            {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"},
        )
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 204
        [cookie] = _COOKIE.findall(answer.headers["Set-Cookie"].encode())
        self.issued.add(cookie.decode())
        return str(cookie.decode())

    def known(self) -> Known:
        """The valid credentials at this moment: a caller who lost its secret to the traffic gets another client."""
        for name, credential in self.credentials.items():
            if self.ask("GET", "/verify", headers=basic(credential))[0] != 200:
                self.credentials[name] = self.create("--feature", name)
        ids = [client_id for client_id, _ in self.victims]
        return Known(
            [*ids * 3, self.ended[0], *(client_id for client_id, _ in self.credentials.values())],
            [*[self.credentials["owner"]] * 6, self.credentials["viewer"], *self.victims, self.ended],
            self.node_ids,
            self.session(),
        )

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one well-formed request; check and return its status and answer."""
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        content = answer.read()
        head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n{answer.headers}".encode()
        self.judge(f"{method} {path}".encode() + (body or b""), head + content)
        return answer.status, content

    def judge(self, request: bytes, answer: bytes) -> None:
        """Pass if the answer is not a server error and has no secret in it but a new one, where those are returned."""
        status = re.match(rb"HTTP/\d\.\d (\d{3})", answer)
        self.statuses[status[1].decode() if status else "none"] += 1
        told = f"seed {SEED}: {request!r} was answered {answer[:2000]!r}"
        assert not _TROUBLE.search(answer), told
        if status and int(status[1]) == _VERSION_NOT_SUPPORTED:
            # `CONNECT  HTTP/1.1` has no target, so what looks like its version is read as the target.
            assert not re.search(rb"^\S+ \S+ HTTP/1\.[01]$", request.partition(b"\r\n")[0]), told

        def left(found: re.Match[bytes]) -> bytes:
            is_exit = found[1].decode() in _EXITS or found[1] + b":" in request
            assert is_exit, told
            self.issued.add(found[2].decode())
            return b""

        rest = _SECRET.sub(left, answer)
        for cookie in _COOKIE.findall(rest):
            self.issued.add(cookie.decode())
        rest = _COOKIE.sub(b"", rest)
        assert self.issued.found_in(rest) == set(), told
        assert not _BEGINNING.search(rest), told

    def judge_log(self) -> None:
        """Pass if what was logged since holds no traceback and no secret; each record is one line of ours."""
        log = self.server.stderr
        new, self._log_read = log[self._log_read :], len(log)
        lines = [line for line in new.splitlines() if not line.startswith("gql-secrets ")]
        assert [line for line in lines if _TROUBLE_IN_LOG.search(line)] == [], SEED
        assert self.issued.found_in(log.encode()) == set(), SEED

    def judge_files(self) -> None:
        """Pass if no secret is in the database's files."""
        for path in (self._folder / ".gql-secrets").iterdir():
            assert self.issued.found_in(path.read_bytes()) == set(), path

    def _node_ids(self) -> list[str]:
        document = "{ clients(first: 5) { nodes { id secrets { nodes { id } } } } auditEvents { nodes { id } } }"
        _, content = self.ask(
            "POST",
            "/graphql",
            json.dumps({"query": document}).encode(),
            headers={"Content-Type": "application/json", **basic(self.credentials["owner"])},
        )
        found = re.findall(r'"id":"([^"]+)"', content.decode())
        assert found
        return found


def basic(credential: tuple[str, str]) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(":".join(credential).encode()).decode()}


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    print(f"\n{REQUESTS} requests, FUZZ_SEED={SEED}")
    with temporary_directory() as directory:
        folder = Path(directory)
        with serving(folder, log_level="DEBUG", rate_limits="off", trusted_proxies="127.0.0.1/32") as server:
            target = Target(server, folder)
            with contextlib.closing(target):
                yield target
            print(f"\n{len(target.issued)} secrets were issued; answered: {dict(sorted(target.statuses.items()))}")
            assert server.stop() == 0


# -- What was found


SIGN_IN = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nSec-Fetch-Site: same-origin\r\n"
SUBSCRIBE = b'{"query": "subscription { clientEvents { kind } }"}'
GRAPHQL = b"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: OWNER\r\nContent-Type: application/json\r\n"
FOUND = {
    "a name that is a secret": GRAPHQL + b'Content-Length: 72\r\n\r\n{"query": "{ aSECRET }"}' + b" " * 10,
    "a path in which a secret stands encoded": b"GET /sign-in/HEX HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an expectation that is a secret": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: SECRET\r\n\r\n",
    "an expectation that is no text": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n",
    "a header with a secret that cannot be read": b"GET / HTTP/1.1\r\nHost: x\r\nA SECRET: x\r\n\r\n",
    "a method that is a secret": b"SECRET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a sign-in whose body breaks off": SIGN_IN + b"Content-Length: 50\r\n\r\n{",
    "a form that breaks off": b"POST /clients/add HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\na=b",
    "a body that is waited for": b"POST /clients/add HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    b"Content-Length: 9\r\n\r\n",
    "a body that is no gzip": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
    "a reader of a stream who leaves": GRAPHQL
    + b"Accept: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(SUBSCRIBE)
    + SUBSCRIBE,
    "a list whose reader leaves": b"GET /clients/list HTTP/1.1\r\nHost: x\r\nAuthorization: OWNER\r\n\r\n",
    "a socket by a key that is no text": b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub\xe65jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
    "a socket by a connection that is no text": b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection:\xc3( Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
    "a socket of a version that is no text": b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 1\xe6\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
    "a socket whose opener leaves": b"GET /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: OWNER\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
}


@pytest.mark.parametrize("request_", FOUND.values(), ids=FOUND)
@pytest.mark.parametrize("leaves", [False, True])
async def test_what_was_found_stays_as_it_must_be(target: Target, request_: bytes, *, leaves: bool) -> None:
    owner = target.credentials["owner"]
    for word, value in (
        (b"OWNER", basic(owner)["Authorization"].encode()),
        (b"SECRET", owner[1].encode()),
        (b"HEX", owner[1].encode().hex().encode()),
    ):
        request_ = request_.replace(word, value)
    if leaves:
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", target.server.port)
            writer.write(request_)
            writer.transport.abort()
        await asyncio.sleep(0.2)
    else:
        target.judge(request_, await exchange(target.server.port, request_))
    assert target.ask("GET", "/healthz")[0] == 200
    target.judge_log()


# -- Documents of the schema


class Filling(graphql.Visitor):
    """Puts values that mean something here where the generator put any text; as variables, if asked to."""

    def __init__(self, chance: random.Random, known: Known, types: graphql.TypeInfo, *, variables: bool) -> None:
        super().__init__()
        self.variables: dict[str, object] | None = {} if variables else None
        self.definitions: list[str] = []
        self._types = types
        self._chance = chance
        self._pools: dict[str, list[object]] = {
            "clientId": [*known.client_ids],
            "secretId": [*known.node_ids],
            "id": [*known.node_ids],
            "hoursToLive": [0, 1, 24, 168, 169, -1],
            "idempotencyKey": [None, None, "k" * 16, "another key of some length"],
            "ifGeneration": [None, None, None, 1, 2],
            "features": [["viewer"], ["direct_access", "operator"], [], None, None, ["nothing"]],
            "allowList": [["0.0.0.0/0", "::/0"], None, None, ["192.0.2.0/24"], ["x"], []],
            "first": [1, 5, 100, 101, -1],
            "last": [None, None, 2],
            "after": [None, None, "MQ", "x"],
            "before": [None, None, None, "MQ"],
            "search": [None, "s", "Sho", "\x00", "%", "\\"],
            "since": [None, "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
            "until": [None, "2027-01-01T00:00:00Z"],
            "name": ["Shop", "x" * 300],
        }

    def enter_field(self, node: graphql.FieldNode, *_: object) -> object:
        exit_ = {"createClient": "secret", "resetSecret": "newSecret"}.get(node.name.value)
        if exit_ is None or node.selection_set is None:
            return None
        chosen = (*node.selection_set.selections, graphql.FieldNode(name=graphql.NameNode(value=exit_)))
        return replace(node, selection_set=graphql.SelectionSetNode(selections=chosen))

    def enter_argument(self, node: graphql.ArgumentNode, *_: object) -> object:
        value: object
        name = node.name.value
        if name in self._pools and self._chance.random() < 0.85:
            value = self._chance.choice(self._pools[name])
        else:
            value = graphql.value_from_ast_untyped(node.value)
        if self.variables is None:
            return graphql.ArgumentNode(name=node.name, value=graphql.parse_value(written(value, name)))
        argument = self._types.get_argument()
        variable = f"v{len(self.variables)}"
        self.variables[variable] = self._chance.choice(_ODD) if self._chance.random() < 0.05 else value
        self.definitions.append(f"${variable}: {argument.type if argument else 'Int'}")
        return graphql.ArgumentNode(name=node.name, value=graphql.VariableNode(name=graphql.NameNode(value=variable)))


_ODD: tuple[object, ...] = (
    *(text.decode("utf-8", "replace") for text in JUNK if len(text) < 400),
    10**30,
    1.5,
    True,
    {},
    {"a": [1]},
    [[]],
    None,
)


_ENUM_NAMES = ("action", "direction", "feature", "features", "field", "surface")
_ENUM_VALUES = {
    value for type_ in SCHEMA.type_map.values() if isinstance(type_, graphql.GraphQLEnumType) for value in type_.values
}


def written(value: object, name: str) -> str:
    """A value as GraphQL writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(each, key)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(each, name) for each in value) + "]"
    if isinstance(value, str) and name in _ENUM_NAMES and value in _ENUM_VALUES:
        return value
    return json.dumps(value)


def variants(document: graphql.DocumentNode, known: Known, chance: random.Random) -> Iterator[dict[str, object]]:
    yield {"query": graphql.print_ast(document)}
    for variables in (False, True):
        types = graphql.TypeInfo(SCHEMA)
        filling = Filling(chance, known, types, variables=variables)
        text = graphql.print_ast(graphql.visit(document, graphql.TypeInfoVisitor(types, filling)))
        if filling.definitions:
            kind = "mutation" if text.startswith("mutation") else "query"
            text = f"{kind}({', '.join(filling.definitions)}) {text[text.index('{') :]}"
        yield {"query": text, "variables": filling.variables}


def test_no_document_of_the_schema_is_too_much(target: Target) -> None:
    chance = random.Random(SEED)  # noqa: S311  for repeating a run, not for secrecy
    asked = answered = 0
    known = target.known()

    @seed(SEED)
    @settings(
        max_examples=_DOCUMENTS,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a server that was changed by one document cannot be asked it again
        suppress_health_check=list(HealthCheck),
    )
    @given(
        from_schema(
            SCHEMA,
            custom_scalars={"DateTime": st.datetimes().map(lambda at: nodes.String(at.isoformat() + "Z"))},
            print_ast=lambda document: document,
        )
    )
    def send(document: graphql.DocumentNode) -> None:
        nonlocal asked, answered, known
        if asked % _SAME_CREDENTIALS < len(_VARIANTS) * len(_CALLERS):
            known = target.known()
        for body in variants(document, known, chance):
            for caller in _CALLERS:
                headers = {"Content-Type": "application/json"}
                if caller != "anonymous":
                    headers |= basic(target.credentials[caller])
                if chance.random() < 0.1:
                    query = "&".join(
                        f"{k}={quote(str(v) if k == 'query' else json.dumps(v))}" for k, v in body.items() if v
                    )
                    path = f"/graphql?{query}"
                    status, content = target.ask("GET", path[:60_000].rstrip("%"), headers=headers)
                else:
                    status, content = target.ask("POST", "/graphql", json.dumps(body).encode(), headers=headers)
                asked += 1
                answered += status == 200 and b'"data"' in content

    send()
    target.judge_log()
    target.judge_files()
    print(f"\n{asked} documents, {answered} of them executed")
    assert asked >= _DOCUMENTS * len(_VARIANTS) * len(_CALLERS) * 0.9
    assert answered > asked / 4


# -- Bytes on every route


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, and return all that comes back; half-close where the server waits for more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    part = await reader.read(65_536)
            except TimeoutError:
                if answer and is_whole(answer):
                    break
                with contextlib.suppress(OSError):
                    writer.write_eof()
                async with asyncio.timeout(_MAX_ANSWER):
                    answer += await reader.read()
                break
            if not part:
                break
            answer += part
            if is_whole(answer):
                break
    except ConnectionError:
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return bytes(answer)


def is_whole(answer: bytes | bytearray) -> bool:
    """Whether an answer has come that has an end; one without waits for the connection's."""
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if length is not None:
        return len(body) >= int(length[1])
    return b" 204 " in head or (b"chunked" in head and body.endswith(b"0\r\n\r\n"))


def routes_of(folder: Path) -> list[tuple[str, str]]:
    """Every route of the server, asked of the server's own application: one that is added is fuzzed too."""
    app = build_app(Settings(data_dir=folder))
    return [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None]


async def test_no_bytes_on_any_route_are_too_much(target: Target, tmp_path: Path) -> None:
    routes = routes_of(tmp_path)
    # These hold most of what can go wrong.
    routes += [route for route in routes if route[1] in ("/graphql", "/clients/{call}", "/verify", "/sign-in")] * 3
    sent = 0
    answers: Counter[str] = Counter()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def send(request: bytes) -> None:
        async with gate:
            try:
                answer = await exchange(target.server.port, request)
            except TimeoutError:
                raise AssertionError(f"seed {SEED}: {request!r} was never answered") from None
        target.judge(request, answer)
        found = re.match(rb"HTTP/\d\.\d (\d{3})", answer)
        answers[found[1].decode() if found else "none"] += 1

    while sent < _BYTES:
        attacker = Attacker(SEED + sent, routes, await asyncio.to_thread(target.known))
        number = min(_SAME_CREDENTIALS, _BYTES - sent)
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(send(attacker.request()))
        sent += number
    assert target.ask("GET", "/healthz")[0] == 200
    target.judge_log()
    target.judge_files()
    print(f"\n{sent} requests, answered: {dict(sorted(answers.items()))}")
    assert answers["200"] > sent / 20
    assert answers["401"] > sent / 20
    assert answers["101"] > sent / 100
