"""The manifests of trusted documents that frontends' tools write, as they write them."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from support.frontend_programs import build
from support.serving import serving

FIRST_PAGE: Final = {"first": 1, "after": None}


class Manifest(NamedTuple):
    """The hash of each operation, and the file that holds their documents."""

    path: Path
    hashes: Mapping[str, str]


def of_codegen(folder: Path) -> Manifest:
    config = {
        "schema": "schema.graphql",
        "documents": "operations.graphql",
        "generates": {
            "typed/": {
                "preset": "client",
                "presetConfig": {"persistedDocuments": {"hashAlgorithm": "sha256"}},
                "config": {"scalars": {"DateTime": "string"}},
            }
        },
    }
    (folder / "manifest.json").write_text(json.dumps(config))
    build(folder, ["graphql-codegen", "--config", "manifest.json"])
    return by_text(folder / "typed" / "persisted-documents.json")


def of_relay(folder: Path) -> Manifest:
    config = json.loads((folder / "relay.config.json").read_text())
    config["persistConfig"] = {"file": "./relay-documents.json", "algorithm": "SHA256"}
    (folder / "relay.config.json").write_text(json.dumps(config))
    (folder / "relay-documents.json").write_text("{}")
    (folder / "__generated__").mkdir()
    build(folder, ["relay-compiler"])
    return by_text(folder / "relay-documents.json")


def of_apollo(folder: Path) -> Manifest:
    # The tool wants one operation in a file.
    operations = folder / "operations.graphql"
    for number, text in enumerate(operations.read_text().split("\n\n")):
        (folder / f"operation{number}.graphql").write_text(text)
    operations.unlink()
    config = {"documents": ["operation?.graphql"], "output": "apollo.json"}
    (folder / "persisted-query-manifest.config.json").write_text(json.dumps(config))
    build(folder, ["generate-persisted-query-manifest"])
    written = json.loads((folder / "apollo.json").read_text())["operations"]
    return Manifest(folder / "apollo.json", {each["body"]: each["id"] for each in written})


def by_text(path: Path) -> Manifest:
    return Manifest(path, {text: key for key, text in json.loads(path.read_text()).items()})


def ask(url: str, credentials: str, body: Mapping[str, Any]) -> dict[str, Any]:
    token = base64.b64encode(credentials.encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    request = urllib.request.Request(f"{url}/graphql", json.dumps(body).encode(), headers)  # noqa: S310  of the test
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            content: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as refused:
        with refused:
            content = json.load(refused)
    return content


@pytest.mark.parametrize("write", [of_codegen, of_relay, of_apollo])
def test_a_server_runs_the_documents_of_the_manifest_and_no_others(
    write: Callable[[Path], Manifest], program: Path
) -> None:
    manifest = write(program)
    [page] = [key for text, key in manifest.hashes.items() if "clients(" in text]
    assert len(manifest.hashes) >= 2
    with serving(program.parent, trusted_documents=str(manifest.path)) as server:
        owner = server.owner
        by_id = ask(server.url, owner, {"documentId": page, "variables": FIRST_PAGE})
        by_hash = {"persistedQuery": {"version": 1, "sha256Hash": page.removeprefix("sha256:")}}
        by_extension = ask(server.url, owner, {"extensions": by_hash, "variables": FIRST_PAGE})
        assert by_id == by_extension
        assert "errors" not in by_id
        assert by_id["data"]["clients"]["pageInfo"]["hasNextPage"] is False
        unknown = [{"documentId": "0" * 64}, {"query": "{ viewer { name } }"}]
        errors = [ask(server.url, owner, body)["errors"] for body in unknown]
        assert [error["extensions"]["code"] for [error] in errors] == ["PERSISTED_QUERY_NOT_FOUND", "BAD_REQUEST"]
