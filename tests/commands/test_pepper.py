"""`gql-secrets pepper …`: moving secrets to a new key, and which keys may be removed."""

import base64
import hashlib
from dataclasses import replace

import pytest
from support.commands import RunCommand, ask_services, create, owner_of
from support.installation import PEPPER

from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

NEW = "k2:" + base64.urlsafe_b64encode(hashlib.sha256(b"second key of the tests").digest()).decode().rstrip("=")


def test_the_status_names_each_key_and_what_needs_it(run: RunCommand) -> None:
    assert run("client", "create", "Till").code == 0

    data = run("pepper", "status", "--json").data
    [key] = data["keys"]
    assert (key["inPepper"], key["digestsNewSecrets"], key["mayBeRemoved"]) == (True, True, False)
    assert key["activeSecrets"] >= 1
    assert key["webhooks"] == 0
    assert run("webhook", "create", "https://example.com/").code == 0
    assert run("pepper", "status", "--json").data["keys"][0]["webhooks"] == 1
    assert data["clientsOfOlderKeys"] == []

    shown = run("pepper", "status")
    assert key["keyId"] in shown.out
    assert "digests new secrets" in shown.out


async def _add_session(services: Services) -> None:
    """A session of an identity provider, whose tokens are encrypted under the old key."""
    now = int((await services.database.now()).timestamp() * 1_000_000)
    await services.database.run_tx(
        lambda tx: tx.execute(
            "INSERT INTO session (digest, name, role, created_at, last_seen_at, tokens, tokens_key_id) "
            "VALUES (?, 'Ada', 'ADMIN', ?, ?, ?, 'test')",
            b"a digest",
            now,
            now,
            b"tokens",
        )
    )


def test_a_migration_is_started_once_and_the_status_says_what_is_left(
    run: RunCommand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = create(run, "Shop")
    assert run("webhook", "create", "https://example.com/").code == 0
    assert run("client", "reset", shop["clientId"], "--hours", "0").code == 0
    ask_services(settings, _add_session)
    monkeypatch.setenv("GQL_SECRETS_PEPPER", f"{NEW},{PEPPER}")

    before = run("pepper", "status", "--json").data
    assert before["migration"] is None
    assert "Run gql-secrets pepper migrate" in run("pepper", "status").err
    done = run("pepper", "migrate", "--json")
    assert (done.code, done.data["keyId"], done.data["started"]) == (0, "k2", True)
    again = run("pepper", "migrate")
    assert again.code == 0
    assert f"moved to the pepper key k2 since {done.data['startedAt']}" in again.err
    assert run("pepper", "migrate", "--json").data == {**done.data, "started": False}
    exported = run("audit", "export").out
    assert exported.count("PEPPER_MIGRATION_STARTED") == 1

    data = run("pepper", "status", "--json").data
    assert data["migration"] == {"keyId": "k2", "startedAt": done.data["startedAt"]}
    assert [each["clientId"] for each in data["clientsOfOlderKeys"]] == sorted([shop["clientId"], owner_of(run)])
    old, new = data["keys"]
    assert (old["keyId"], old["mayBeRemoved"], new["keyId"], new["digestsNewSecrets"]) == ("test", False, "k2", True)
    # The event of the migration is signed with the new key.
    counts = {each["what"]: each["count"] for each in old["dependents"]}
    assert counts == {"active secrets": 2, "ended secrets": 1, "webhooks": 1, "sessions": 1}
    shown = run("pepper", "status")
    assert f"were not moved to k2 since {done.data['startedAt']}" in shown.err
    assert "  sessions: 1. Keep the key until they are renewed or have ended" in shown.out
    assert "  ended secrets: 1. Without it, attempts with these secrets" in shown.out
    assert f"{shop['clientId']}  Shop  last used: never" in shown.out


def test_a_key_with_which_only_ended_secrets_would_lose_their_names_may_be_removed(
    run: RunCommand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GQL_SECRETS_PEPPER", f"{NEW},{PEPPER}")
    assert run("client", "reset", owner_of(run), "--hours", "0", "--yes").code == 0
    assert run("pepper", "status", "--json").data["keys"][0]["mayBeRemoved"] is True
    ask_services(replace(settings, pepper=f"{NEW},{PEPPER}"), _add_session)
    [old, _] = run("pepper", "status", "--json").data["keys"]
    assert (old["sessions"], old["mayBeRemoved"]) == (1, False)
