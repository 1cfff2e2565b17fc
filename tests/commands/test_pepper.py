"""`gql-secrets pepper status`: which keys may be removed."""

from support.commands import RunCommand


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
