"""The nodes of the installation over GraphQL."""

from dataclasses import replace
from typing import Any

import pytest
from support.callers import Made

from gql_secrets import __version__
from gql_secrets.settings import Settings

CLUSTER = "{ cluster { members { id version lease lag startedAt lastSeenAt own } uncertainClients } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A node that is rarely seen: these tests execute each query twice, and compare the results."""
    return replace(settings, verify_from="database")


async def test_an_administrator_sees_the_node_that_answers(gql: Any, owner: Made) -> None:
    members = (await gql(CLUSTER, as_=owner))["cluster"]["members"]
    while not members:  # on PostgreSQL it joins a moment after its start
        members = (await gql(CLUSTER, as_=owner))["cluster"]["members"]
    [own] = members
    assert own["own"]
    assert (own["version"], own["lease"], own["lag"]) == (__version__, "NOT_NEEDED", None)
    assert own["startedAt"] <= own["lastSeenAt"]
