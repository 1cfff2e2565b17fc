"""Which documents a server runs, and who may read its schema."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.installation import BuildApi, as_owner

from gql_secrets.api.app import build_app
from gql_secrets.api.console import console_documents
from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import Settings

# Nothing here depends on the kind of database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

INTROSPECT = {"query": "{ __schema { queryType { name } } }"}


@pytest.fixture
async def api(build_api: BuildApi) -> Any:
    return await build_api()


@pytest.mark.parametrize(
    ("setting", "anonymous", "signed_in"),
    [("signed-in", False, True), ("everyone", True, True), ("nobody", False, False)],
)
async def test_the_schema_is_shown_to_whom_the_setting_says(
    build_api: BuildApi, setting: str, *, anonymous: bool, signed_in: bool
):
    api = await build_api(introspection=setting)
    for headers, shown in (({}, anonymous), (as_owner(api), signed_in)):
        answer = await (await api.post("/graphql", json=INTROSPECT, headers=headers)).json()
        assert ("errors" not in answer) is shown


# Trusted documents


def manifest(folder: Path, *documents: str) -> str:
    path = folder / "trusted.json"
    path.write_text(json.dumps({digest(text): text for text in documents}))
    return str(path)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_with_a_manifest_only_its_documents_and_the_consoles_run(build_api: BuildApi, tmp_path: Path):
    trusted = "query Trusted { viewer { name } }"
    api = await build_api(trusted_documents=manifest(tmp_path, trusted))

    async def runs(**body: Any) -> bool:
        answer = await api.post("/graphql", json=body, headers=as_owner(api))
        return "data" in await answer.json()

    assert await runs(query=trusted)
    assert await runs(documentId=f"sha256:{digest(trusted)}")
    assert await runs(extensions={"persistedQuery": {"version": 1, "sha256Hash": digest(trusted)}})
    assert not await runs(query=f"{trusted} ")
    assert not await runs(query="{ viewer { name } }")
    assert not await runs(documentId=digest("{ viewer { name } }"))
    assert not await runs(**INTROSPECT)
    for document in console_documents():
        if not document.lstrip().startswith("subscription"):
            answer = await api.post("/graphql", json={"query": document}, headers=as_owner(api))
            assert "trusted" not in await answer.text()


async def test_without_a_manifest_no_document_has_an_id(api: Any):
    answer = await api.post("/graphql", json={"documentId": digest("x")}, headers=as_owner(api))
    assert "PersistedQueryNotSupported" in (await answer.json())["errors"][0]["message"]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        '{"x": 5}',
        json.dumps({"0" * 64: "{ viewer { name } }"}),
        json.dumps({digest("{ nothing }"): "{ nothing }"}),
        json.dumps({digest("{"): "{"}),
        b"\xff\xfe",
    ],
)
def test_a_manifest_that_cannot_be_stops_the_start(settings: Settings, tmp_path: Path, content: str | bytes | None):
    path = tmp_path / "trusted.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SetupError, match=r"trusted\.json|GQL_SECRETS_TRUSTED_DOCUMENTS"):
        build_app(replace(settings, trusted_documents=str(path)))
