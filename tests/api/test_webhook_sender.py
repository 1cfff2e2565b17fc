"""Endpoints that are slow, dead, redirecting or lying, and addresses that are not delivered to."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook

from gql_secrets.api.webhook_sender import WebhookSender
from gql_secrets.domain.webhooks import sign, written_signing_secret

# No database is involved.
OWN = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]
BODY = json.dumps({"type": "webhook.test"}).encode()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/hook?token=very-secret"))

    yield start
    for server in servers:
        await server.close()


async def test_a_receiver_with_the_specifications_library_accepts_an_event(serve: Serve) -> None:
    key = b"k" * 32
    verified: list[Any] = []

    async def receive(request: web.Request) -> web.Response:
        verified.append(Webhook(written_signing_secret(key)).verify(await request.text(), dict(request.headers)))
        return web.Response(status=204)

    timestamp = int(datetime.now(UTC).timestamp())
    headers = {
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign([key], "evt_1", timestamp, BODY),
    }
    answer = await WebhookSender(OWN).send(await serve(receive), headers, BODY)
    assert (answer.status, answer.is_success) == (204, True)
    assert verified == [{"type": "webhook.test"}]


async def test_a_loopback_address_is_refused_before_anything_is_sent(serve: Serve) -> None:
    calls = []

    async def receive(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.Response()

    url = await serve(receive)
    for refused in (
        url,
        url.replace("127.0.0.1", "localhost"),
        url.replace("http:", "https:"),
        url.replace("http://127.0.0.1", "https://[::ffff:127.0.0.1]"),
    ):
        answer = await WebhookSender(()).send(refused, {}, BODY)
        assert (answer.status, answer.error) == (None, "The address of the endpoint is not allowed."), refused
    assert calls == []


@pytest.mark.parametrize("second", ["127.0.0.1", "169.254.169.254", "::1"])
async def test_every_address_of_a_name_is_checked(second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_host: str, port: int, **_: object) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port)),
            (socket.AF_INET6 if ":" in second else socket.AF_INET, socket.SOCK_STREAM, 6, "", (second, port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    answer = await WebhookSender(()).send("https://rebinding.example/", {}, BODY)
    assert answer.error == "The address of the endpoint is not allowed."


async def test_the_connection_goes_to_the_address_that_was_checked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once for a delivery: its next answer does not matter."""
    hosts = []

    async def receive(request: web.Request) -> web.Response:
        hosts.append(request.host)
        return web.Response()

    url = await serve(receive)
    port, asked = url.split(":")[2].split("/")[0], []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def resolve(host: str, port: int, **given: Any) -> list[Any]:
        if host != "hooks.example":
            return await real(host, port, **given)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    answer = await WebhookSender(OWN).send(f"http://hooks.example:{port}/", {}, BODY)
    assert (answer.status, asked, hosts) == (200, ["hooks.example"], [f"hooks.example:{port}"])


async def test_http_is_refused_outside_of_own_networks() -> None:
    answer = await WebhookSender(OWN).send("http://93.184.216.34/", {}, BODY)
    assert answer.error == "The address of the endpoint is not allowed."


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    paths = []

    async def receive(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    answer = await WebhookSender(OWN).send(await serve(receive), {}, BODY)
    assert (answer.status, answer.is_success, paths) == (307, False, ["/hook"])


async def test_a_slow_endpoint_is_given_up(serve: Serve) -> None:
    async def receive(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    for handler in (receive, trickle):
        answer = await WebhookSender(OWN, seconds=0.5).send(await serve(handler), {}, BODY)
        assert answer.status is None
        assert "did not answer within" in str(answer.error)


async def test_an_endless_answer_is_read_to_64_kib(serve: Serve) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 1_000_000_000:
            await response.write(b"x" * 65536)
            sent += 65536
        return response

    answer = await WebhookSender(OWN, seconds=30).send(await serve(flood), {}, BODY)
    assert answer.status == 200
    assert sent < 100_000_000  # what the buffers of both sides hold


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 2", "closed the connection"),
        (b"nonsense\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "not valid HTTP"),
    ],
)
async def test_an_endpoint_that_speaks_no_http_is_an_answer_without_the_url(raw: bytes, reason: str) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answer = await WebhookSender(OWN).send(f"http://127.0.0.1:{port}/?token=very-secret", {}, BODY)
    server.close()
    assert answer.status is None
    assert reason in str(answer.error)
    assert "very-secret" not in str(answer.error)


async def test_a_closed_port_and_an_unknown_name_are_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url, reason in (
        (f"http://127.0.0.1:{port}/", "The endpoint refused the connection."),
        ("https://no-such-name.invalid/", "The name of the endpoint could not be resolved."),
    ):
        answer = await WebhookSender(OWN).send(url, {}, BODY)
        assert (answer.status, answer.is_success, answer.error) == (None, False, reason)


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_certificate_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    calls: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receive)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=self_signed(tmp_path))
    answer = await WebhookSender(OWN).send(str(server.make_url("/")), {}, BODY)
    await server.close()
    assert answer.error == "The certificate of the endpoint is not valid for its name."
    assert calls == []
