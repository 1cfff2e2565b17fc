"""`gql-secrets cluster status`, next to a server that runs."""

from typing import Any

import pytest
from support.commands import RunCommand

from gql_secrets import __version__
from gql_secrets.settings import Settings

INSERT = """
    INSERT INTO cluster_member (id, version, serves_from, started_at, last_seen_at, applied_revision, poll)
    SELECT 'a1b2', '{version}', '{verify_from}', t, t, 0, 1
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS t) now
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_on_sqlite_the_command_knows_of_no_node(run: RunCommand) -> None:
    assert run("cluster", "status", "--json").data == {"members": [], "uncertainClients": "NONE"}
    assert "No nodes." in run("cluster", "status").err


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("verify_from", ["database", "memory"])
def test_on_postgresql_every_node_is_listed(
    run: RunCommand, bare: RunCommand, settings: Settings, verify_from: str, postgres_server: Any
) -> None:
    del bare
    postgres_server.execute_in(settings.database_url, INSERT.format(version=__version__, verify_from=verify_from))
    [member] = run("cluster", "status", "--json").data["members"]
    assert (member["id"], member["version"]) == ("a1b2", __version__)
    if verify_from == "database":
        assert (member["lease"], member["lag"]) == ("NOT_NEEDED", None)
    else:
        assert member["lease"] in ("HELD", "EXPIRED")
        assert member["lag"] > 0
    assert "a1b2" in run("cluster", "status").out
