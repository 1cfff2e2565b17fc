"""The `/graphql` entry: what stops the start, and with which words."""

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from gql_secrets.api.graphql import entry
from gql_secrets.api.keys import COUNTERS
from gql_secrets.api.metrics.counters import Counters
from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import Settings


@pytest.fixture
def app() -> web.Application:
    app = web.Application()
    app[COUNTERS] = Counters()
    return app


def test_a_defect_of_the_schema_is_not_reported_as_a_fault_of_the_trusted_documents(
    monkeypatch: pytest.MonkeyPatch, app: web.Application
) -> None:
    def fail() -> None:
        raise ValueError("a defect of the schema")

    monkeypatch.setattr(entry, "build_schema", fail)

    with pytest.raises(ValueError, match="a defect of the schema"):
        entry.add_graphql_routes(app, Settings())


@pytest.mark.parametrize("content", ["[]", "{ no JSON", '{"00": "{ viewer { name } }"}', '{"a": 5}'])
def test_a_malformed_manifest_stops_the_start_and_names_the_setting(
    tmp_path: Path, content: str, app: web.Application
) -> None:
    manifest = tmp_path / "trusted.json"
    manifest.write_text(content)

    with pytest.raises(SetupError, match=r"^GQL_SECRETS_TRUSTED_DOCUMENTS: .*trusted\.json"):
        entry.add_graphql_routes(app, replace(Settings(), trusted_documents=str(manifest)))
