"""`gql-secrets webhook …`, on both databases."""

from support.commands import BOTH_WAYS, RunCommand


@BOTH_WAYS
def test_a_webhook_is_created_listed_edited_and_deleted(run: RunCommand) -> None:
    made = run("webhook", "create", "https://example.com/x", "--event", "secret.reset", "--json").data
    number = str(made["number"])
    assert made["signingSecret"].startswith("whsec_")
    [listed] = run("webhook", "list", "--json").data
    assert (listed["url"], listed["state"], listed["events"]) == ("https://example.com/x", "enabled", ["secret.reset"])
    assert "https://example.com/x" in run("webhook", "list").out

    edited = run("webhook", "update", number, "--disable", "--event", "client.created", "--json").data
    assert (edited["state"], edited["events"]) == ("disabled", ["client.created"])
    rotated = run("webhook", "rotate-secret", number, "--json").data
    assert rotated["signingSecret"] != made["signingSecret"]
    assert rotated["previousSecretUntil"] is not None

    sent = run("webhook", "test", number, "--json").data
    [delivery] = run("webhook", "deliveries", number, "--json").data
    assert (delivery["number"], delivery["state"], delivery["eventType"]) == (sent["number"], "PENDING", "webhook.test")
    assert "webhook.test" in run("webhook", "deliveries", number).out
    assert run("webhook", "redeliver", str(delivery["number"]), "--json").data["state"] == "PENDING"

    assert run("webhook", "delete", number, "--json").data == {"deletedNumber": made["number"]}
    assert run("webhook", "delete", number).code == 1
    assert run("webhook", "list", "--json").data == []


@BOTH_WAYS
def test_a_number_that_no_webhook_can_have_is_refused(run: RunCommand) -> None:
    assert [run("webhook", "delete", number).code for number in ("1", "0", "-1", str(2**63))] == [1, 2, 2, 2]
    assert run("webhook", "redeliver", str(2**64)).code == 2


@BOTH_WAYS
def test_an_invalid_webhook_is_refused(run: RunCommand) -> None:
    for arguments in (["http://example.com/"], ["https://example.com/", "--event", "secret.unknown"]):
        refused = run("webhook", "create", *arguments)
        assert (refused.code, "INVALID_WEBHOOK" in refused.err) == (1, True)
