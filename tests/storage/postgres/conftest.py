"""Nodes that join a cluster."""

from collections.abc import AsyncIterator

import pytest
from support.installation import OpenNode
from support.members import Join, Node, joining


@pytest.fixture(autouse=True)
def patient_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a node more time to leave, because a busy machine may need it."""
    monkeypatch.setattr("gql_secrets.storage.postgres.membership._LEAVE_SECONDS", 60.0)


@pytest.fixture
async def join(open_node: OpenNode) -> AsyncIterator[Join]:
    async with joining(open_node) as function:
        yield function


@pytest.fixture
async def node(join: Join) -> Node:
    return await join()
