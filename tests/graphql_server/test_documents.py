"""Documents are read once and kept within bounds; trusted documents; subscriptions."""

import gc
import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from graphql import Token
from support.graphql_http import CANARY, GRAPHQL_JSON, RESET, Client, content_of, post
from support.toy_graphql import Context, make_app, make_endpoint

from gql_secrets.graphql_server import documents as documents_module
from gql_secrets.graphql_server.documents import Document, DocumentCache, TrustedDocuments, digest_of
from gql_secrets.graphql_server.errors import DocumentRefused
from gql_secrets.graphql_server.limits import Limits
from gql_secrets.graphql_server.operations import OperationResult
from gql_secrets.graphql_server.requests import GraphQLRequest


async def test_a_known_document_is_neither_parsed_nor_validated_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "query ($n: Int) { clients(first: $n) { totalCount } }"
    for _ in range(2):
        await post(client, {"query": query, "variables": {"n": 1}})

    def fail(*_args: object, **_named: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(documents_module, "parse_document", fail)
    monkeypatch.setattr(documents_module, "validate", fail)
    for size in (2, 3):
        response = await post(client, {"query": query, "variables": {"n": size}})
        assert await content_of(response) == {"data": {"clients": {"totalCount": size}}}


def kept(limits: Limits) -> DocumentCache:
    return make_endpoint(limits=limits).engine.documents


def keep(documents: DocumentCache, text: str) -> Document:
    """Read a document twice, so that it is kept, if it may be."""
    documents.read_now(text)
    return documents.read_now(text)


def test_the_number_of_kept_documents_is_bounded_and_the_least_recently_used_goes_first() -> None:
    documents = kept(Limits(cached_documents=3))
    first = keep(documents, "{ viewer { name } }")
    for n in range(10):
        keep(documents, f"{{ viewer {{ a{n}: name }} }}")
        assert documents.read_now("{ viewer { name } }") is first
        assert len(documents) <= 3


def test_documents_that_are_read_once_are_not_kept_and_displace_none() -> None:
    documents = kept(Limits(cached_documents=14))
    in_use = [f"{{ viewer {{ a{n}: name }} }}" for n in range(14)]
    read = [keep(documents, text) for text in in_use]
    for n in range(100):
        documents.read_now(f"{{ viewer {{ name }} }} # {n}")

    assert [documents.read_now(text) for text in in_use] == read
    assert len(documents) == 14


def test_a_text_that_was_read_once_is_remembered_while_others_are_read_but_not_forever() -> None:
    documents = kept(Limits(cached_documents=3))
    texts = [f"{{ viewer {{ a{n}: name }} }}" for n in range(30)]
    for text in texts:
        documents.read_now(text)
    keep(documents, texts[0])
    assert documents.find(texts[0])

    documents.read_now("{ viewer { name } }")
    documents.read_now("{ viewer { b: name } }")
    documents.read_now(texts[1])
    assert documents.find(texts[1]) is None
    documents.read_now(texts[3])
    assert documents.find(texts[3])


def test_a_document_holds_no_tokens_and_they_are_freed_without_the_collector() -> None:
    """What is left to the collector makes its pauses longer, and all requests wait for them."""

    def tokens() -> int:
        return sum(isinstance(each, Token) for each in gc.get_objects())

    documents = kept(Limits())
    documents.read_now("{ viewer { name } }")
    gc.collect()
    before = tokens()
    gc.disable()
    try:
        document = documents.read_now("query Q($n: Int = 5) { clients(first: $n) { nodes { clientId } } }")
        assert tokens() == before
    finally:
        gc.enable()
    assert document.operations[0].node.loc is not None
    assert document.operations[0].node.loc.end > 60


@pytest.mark.slow  # tracemalloc follows every allocation of a thousand documents
def test_large_literals_cannot_pin_memory() -> None:
    """Each document is as large as the limits let it be; the estimate must hold against what is really taken."""
    limits = Limits(cached_bytes=2_000_000)
    documents = kept(limits)
    keep(documents, "{ viewer { name } }")
    words = 'mutation { createClient(name: "#", features: [' + '"x" ' * 370 + "]) { id } }"
    fields = "{ viewer { " + " ".join(f"a{n}: name" for n in range(20)) + " } a#: clients { totalCount } }"
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(100):
        keep(documents, f'{{ client(clientId: "{"é" * 8_000}{n}") {{ id }} }}')
        keep(documents, words.replace("#", str(n)))
        keep(documents, f"{{ viewer {{ name }} }} # {n}{'x' * 16_000}")
        keep(documents, f"{{ viewer {{ name }} }} # {n}" + "\n#" * 390)
        keep(documents, fields.replace("#", str(n)))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert documents.bytes <= limits.cached_bytes
    assert after - before < limits.cached_bytes * 1.2


def test_a_document_too_large_for_the_cache_displaces_nothing() -> None:
    documents = kept(Limits(cached_bytes=400_000))
    small = keep(documents, "{ viewer { name } }")
    keep(documents, f'{{ client(clientId: "{"x" * 16_000}") {{ id }} }}')

    assert len(documents) == 1
    assert documents.read_now("{ viewer { name } }") is small


def test_a_document_that_is_refused_is_not_kept() -> None:
    documents = kept(Limits())
    for _ in range(2):
        with pytest.raises(DocumentRefused):
            documents.read_now("{ nothing }")

    assert len(documents) == 0
    assert documents.bytes == 0


# -- Trusted documents

VIEWER = "query Viewer { viewer { name } }"
SHA1 = hashlib.new("sha1", VIEWER.encode(), usedforsecurity=False).hexdigest()
MD5 = hashlib.new("md5", VIEWER.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "body",
    [
        {"query": VIEWER},
        {"documentId": digest_of(VIEWER)},
        {"documentId": "sha256:" + digest_of(VIEWER).upper()},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest_of(VIEWER)}}},
    ],
)
async def test_a_trusted_document_runs_by_text_and_by_sha256(body: dict[str, object]) -> None:
    endpoint = make_endpoint(trusted=TrustedDocuments([VIEWER]))
    async with TestClient(TestServer(make_app(endpoint))) as client:
        response = await post(client, body, accept=GRAPHQL_JSON)
        assert response.status == 200
        assert await content_of(response) == {"data": {"viewer": {"name": "ops"}}}


@pytest.mark.parametrize(
    "body",
    [
        {"query": RESET},
        {"query": VIEWER + " "},
        {"query": RESET, "documentId": digest_of(VIEWER)},
        {"documentId": digest_of(RESET)},
        {"documentId": ""},
        {"extensions": {"persistedQuery": {"sha256Hash": digest_of(RESET)}}},
    ],
)
async def test_with_trusted_documents_nothing_else_runs(context: Context, body: dict[str, object]) -> None:
    endpoint = make_endpoint(trusted=TrustedDocuments([VIEWER]))
    async with TestClient(TestServer(make_app(endpoint, context))) as client:
        response = await post(client, body, accept=GRAPHQL_JSON)
        content = await content_of(response)

    assert response.status == 400
    assert "data" not in content
    assert context.resets == []


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": digest_of(VIEWER)},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest_of(VIEWER)}}},
        {"query": "", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest_of(VIEWER)}}},
    ],
)
async def test_automatic_persisted_queries_fall_back_to_the_document(client: Client, body: dict[str, object]) -> None:
    """Apollo Client and urql compare the message or the code, and send the document itself."""
    response = await post(client, body, accept=GRAPHQL_JSON)
    [error] = (await content_of(response))["errors"]

    assert response.status == 400
    assert error["message"] == "PersistedQueryNotSupported"
    assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_SUPPORTED"
    retry = await post(client, {**body, "query": VIEWER}, accept=GRAPHQL_JSON)
    assert retry.status == 200


async def test_an_unknown_hash_is_not_found_among_the_trusted_documents(context: Context) -> None:
    endpoint = make_endpoint(trusted=TrustedDocuments([VIEWER]))
    async with TestClient(TestServer(make_app(endpoint, context))) as client:
        response = await post(client, {"query": "", "documentId": digest_of(RESET)})
        [error] = (await content_of(response))["errors"]
        known = await post(client, {"query": "", "documentId": digest_of(VIEWER)})
        assert "errors" not in await content_of(known)

    assert error["message"] == "PersistedQueryNotFound"
    assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    ("manifest", "id_"),
    [
        ({"sha256:" + digest_of(VIEWER): VIEWER}, "sha256:" + digest_of(VIEWER)),
        ({SHA1: VIEWER}, SHA1),
        ({MD5: VIEWER}, MD5),
        (
            {
                "format": "apollo-persisted-query-manifest",
                "version": 1,
                "operations": [{"id": digest_of(VIEWER), "name": "Viewer", "type": "query", "body": VIEWER}],
            },
            digest_of(VIEWER),
        ),
    ],
    ids=["graphql-codegen", "graphql-codegen sha1", "Relay", "Apollo"],
)
def test_the_manifests_of_the_usual_tools_are_read(tmp_path: Path, manifest: dict[str, object], id_: str) -> None:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(manifest))
    trusted = TrustedDocuments.load(path)
    assert trusted.find(id_) == VIEWER
    assert trusted.find(digest_of(VIEWER)) == VIEWER
    assert list(trusted) == [VIEWER]


@pytest.mark.parametrize(
    "manifest",
    [
        {"format": "apollo-persisted-query-manifest", "operations": None},
        {"format": "apollo-persisted-query-manifest", "operations": ["x"]},
        {"format": "apollo-persisted-query-manifest", "operations": [{"id": 1, "body": VIEWER}]},
        {"x": 1},
        "x",
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path: Path, manifest: object) -> None:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="JSON object"):
        TrustedDocuments.load(path)


def test_a_manifest_is_checked_when_it_is_read(tmp_path: Path) -> None:
    manifest = tmp_path / "documents.json"
    manifest.write_text(json.dumps({digest_of(VIEWER): VIEWER}))
    trusted = TrustedDocuments.load(manifest, additional=[RESET])
    assert trusted.find(digest_of(VIEWER)) == VIEWER
    assert RESET in trusted

    manifest.write_text(json.dumps({digest_of(VIEWER): VIEWER + " "}))
    with pytest.raises(ValueError, match="another hash"):
        TrustedDocuments.load(manifest)
    manifest.write_text("[]")
    with pytest.raises(ValueError, match="JSON object"):
        TrustedDocuments.load(manifest)


def test_a_trusted_document_that_cannot_run_stops_the_start() -> None:
    with pytest.raises(ValueError, match="nothing"):
        make_endpoint(trusted=TrustedDocuments(["{ nothing }"]))


# -- Subscriptions, by any transport


async def test_a_subscription_gives_an_answer_for_each_event_and_masks_its_end() -> None:
    engine = make_endpoint().engine
    prepared = await engine.prepare(
        GraphQLRequest("subscription ($f: Boolean!) { ticks(upto: 2, fail: $f) }", {"f": False}), Context()
    )

    answers = [answer async for answer in await engine.subscribe(prepared, Context())]

    assert answers == [OperationResult({"ticks": 0}, []), OperationResult({"ticks": 1}, [])]


async def test_a_failing_subscription_is_masked_like_a_query(caplog: pytest.LogCaptureFixture) -> None:
    engine = make_endpoint().engine
    prepared = await engine.prepare(GraphQLRequest("subscription { ticks(upto: 1, fail: true) }"), Context())

    answers = [answer async for answer in await engine.subscribe(prepared, Context())]

    assert answers[0].data == {"ticks": 0}
    assert answers[1].data is None
    assert answers[1].errors[0]["extensions"] == {"code": "INTERNAL", "requestId": "req-1"}
    assert "ended badly" in caplog.text


async def test_a_subscription_with_a_misfitting_variable_does_not_begin() -> None:
    engine = make_endpoint().engine
    call = GraphQLRequest("subscription ($n: Int!) { ticks(upto: $n) }", {"n": CANARY})
    with pytest.raises(DocumentRefused) as refused:
        await engine.subscribe(await engine.prepare(call, Context()), Context())

    assert refused.value.errors[0]["message"] == "Variable '$n' does not fit its type 'Int!'."
