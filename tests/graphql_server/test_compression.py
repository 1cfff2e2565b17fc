"""Which results are compressed, for whom, and how: those of queries for callers that accept gzip, and nothing else."""

import gzip
import json
import threading
import zlib
from typing import Any

import pytest
from support.graphql_http import GRAPHQL_JSON, JSON, Client, post

from gql_secrets.graphql_server.compression import MIN_BYTES, MIN_THREAD_BYTES, accepts_gzip, compress

LONG = "{ clients(first: 50) { nodes { clientId name allowList } } }"
SHORT = "{ viewer { name } }"
# Its answer repeats a long name that the caller chose, as it would repeat a new secret.
MUTATION = "mutation ($name: String!) { createClient(name: $name) { name } }"


async def ask(client: Client, body: object, encoding: str | None = "gzip", accept: str = JSON) -> Any:
    """Send an operation; the body of the response stays as it was sent."""
    headers = {} if encoding is None else {"Accept-Encoding": encoding}
    client.session._auto_decompress = False
    return await client.post(
        "/graphql",
        data=json.dumps(body),
        headers={"Content-Type": JSON, "Accept": accept, **headers},
        skip_auto_headers=["Accept-Encoding"],
    )


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_the_result_of_a_query_is_compressed_for_a_caller_that_accepts_gzip(client: Client, accept: str):
    plain = await (await ask(client, {"query": LONG}, None, accept)).read()
    response = await ask(client, {"query": LONG}, accept=accept)
    body = await response.read()

    assert response.status == 200
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == accept
    assert int(response.headers["Content-Length"]) == len(body) < len(plain) / 2
    assert gzip.decompress(body) == plain


async def test_a_query_by_get_is_compressed_too(client: Client):
    client.session._auto_decompress = False
    response = await client.get("/graphql", params={"query": LONG}, headers={"Accept": JSON, "Accept-Encoding": "gzip"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(await response.read()))["data"]["clients"]["nodes"]) == 50


async def test_what_is_read_as_usual_is_the_same(client: Client):
    """Browsers and HTTP libraries ask for gzip and unpack it without being asked to."""
    plain = json.loads(await (await post(client, {"query": LONG}, **{"Accept-Encoding": "identity"})).read())
    unpacked = json.loads(await (await post(client, {"query": LONG}, **{"Accept-Encoding": "gzip"})).read())

    assert unpacked == plain


@pytest.mark.parametrize("encoding", [None, "", "identity", "br", "gzip;q=0", "deflate, zstd", "*;q=0"])
async def test_nothing_is_compressed_for_a_caller_that_does_not_accept_gzip(client: Client, encoding: str | None):
    response = await ask(client, {"query": LONG}, encoding)

    assert "Content-Encoding" not in response.headers
    assert response.headers["Vary"] == "Accept-Encoding"  # a cache must not answer others with it
    assert "data" in json.loads(await response.read())


async def test_a_short_result_is_not_compressed(client: Client):
    response = await ask(client, {"query": SHORT})

    assert not {"Content-Encoding", "Vary"} & set(response.headers)
    assert len(await response.read()) < MIN_BYTES


async def test_the_result_of_a_mutation_is_never_compressed(client: Client):
    """It can hold a new secret next to text of the caller's choice, and its length would say how alike they are."""
    response = await ask(client, {"query": MUTATION, "variables": {"name": "x" * 4000}})
    body = await response.read()

    assert not {"Content-Encoding", "Vary"} & set(response.headers)
    assert len(body) == int(response.headers["Content-Length"]) > 4000
    assert json.loads(body)["data"]["createClient"]["name"] == "x" * 4000


async def test_a_refused_document_is_not_compressed(client: Client):
    """Its errors repeat the caller's words, and nothing in them is long."""
    response = await ask(client, {"query": "{ " + " ".join(f"unknown{n}" for n in range(400)) + " }"})

    assert "Content-Encoding" not in response.headers


async def test_an_event_stream_is_not_compressed(client: Client):
    response = await ask(client, {"query": LONG}, accept="text/event-stream")

    assert "Content-Encoding" not in response.headers
    assert (await response.read()).startswith(b"event: next")


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("br, gzip;q=0.5", True),
        ("deflate,gzip ; q=1.0", True),
        ("*", True),
        ("identity, *;q=0.1", True),
        ("gzip, *;q=0", True),
        ("", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("gzip;q=nan", False),
        ("gzip;q=2", False),
        ("gzip;q=", False),
        ("gzipped", False),
        ("identity", False),
        ("\udcff", False),
    ],
)
def test_gzip_is_accepted_by_its_name_or_by_a_star(header: str, is_accepted: bool):
    assert accepts_gzip(header) is is_accepted


class _Request:
    """All that the compression reads of a request."""

    def __init__(self) -> None:
        self.headers = self

    def getall(self, _name: str, _default: object) -> tuple[str, ...]:
        return ("br", "gzip")


@pytest.mark.parametrize(("length", "is_in_thread"), [(MIN_THREAD_BYTES - 1, False), (MIN_THREAD_BYTES, True)])
async def test_a_long_body_is_compressed_outside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, length: int, is_in_thread: bool
):
    """Others are answered in the time that a long answer takes."""
    threads = []
    plain = zlib.compressobj

    def watched(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return plain(*args)

    monkeypatch.setattr(zlib, "compressobj", watched)
    body = bytes(range(256)) * (length // 256) + bytes(length % 256)
    compressed, headers = await compress(_Request(), body)  # type: ignore[arg-type]

    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed) == body
    assert [thread is not threading.main_thread() for thread in threads] == [is_in_thread]
