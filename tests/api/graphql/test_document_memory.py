"""What a kept document takes is not more than the cache counts for it, so that its bound is one."""

import gc
import tracemalloc

import pytest
from support.frontend_pages import PAGES

from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.api.graphql.schema import build_schema
from gql_secrets.graphql_server.documents import DocumentCache

SCHEMA = build_schema()._schema


@pytest.mark.slow  # tracemalloc follows every allocation
@pytest.mark.parametrize("name", PAGES)
def test_a_document_takes_no_more_memory_than_is_counted_for_it(name: str) -> None:
    documents = DocumentCache(SCHEMA, LIMITS)
    documents.read_now(PAGES[name].query)  # what is made once, for all documents
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    document = documents.read_now(PAGES[name].query)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after - before <= document.bytes
