"""What the console asks is known at build time, and the server can run all of it."""

import json
from pathlib import Path

from gql_secrets.api.console import console_documents
from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.graphql_server.documents import TrustedDocuments
from gql_secrets.graphql_server.http import GraphQLEndpoint


def test_every_document_of_the_console_runs_within_the_budget(tmp_path: Path) -> None:
    manifest = tmp_path / "trusted.json"
    manifest.write_text(json.dumps({}))
    documents = console_documents()

    assert len(documents) > 10
    trusted = TrustedDocuments.load(manifest, additional=documents)
    # The engine refuses to be made with a trusted document that it could not run.
    GraphQLEndpoint(build_schema(), limits=LIMITS, introspection=lambda _: True, trusted_documents=trusted)
