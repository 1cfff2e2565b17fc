"""`gql-secrets client …`: register, list, edit and delete clients, on both databases."""

import getpass
import io
import re
import sys

import pytest
from support.callers import ADMIN, DAY
from support.commands import BOTH_WAYS, RunCommand, are_valid, ask_services, create, owner_of, revision

from gql_secrets.commands.client import confirm
from gql_secrets.domain.errors import Failure
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


@BOTH_WAYS
def test_create_prints_the_secret_on_stdout_and_the_prose_on_stderr(run: RunCommand, settings: Settings) -> None:
    outcome = run("client", "create", "Shop")

    values = dict(line.split(": ", 1) for line in outcome.out.splitlines())
    assert (outcome.code, list(values)) == (0, ["clientId", "name", "secret"])
    assert values["name"] == "Shop"
    assert "gqls_" not in outcome.err
    assert are_valid(settings, values["clientId"], values["secret"]) == [True]


@BOTH_WAYS
def test_disable_enable_update_delete(run: RunCommand, settings: Settings) -> None:
    made = create(run, "Shop", "--feature", "viewer", "--description", "first", "--allow", "192.0.2.0/24")

    effect = {"effectiveEverywhere": True, "notEffectiveReason": None}
    for command, enabled in (("disable", False), ("enable", True)):
        state = {"clientId": made["clientId"], "enabled": enabled}
        assert run("client", command, made["clientId"], "--json").data == state | effect

    shown = run("client", "show", made["clientId"], "--json").data
    assert (shown["features"], shown["allowList"], shown["description"]) == (["viewer"], ["192.0.2.0/24"], "first")

    edited = run(
        "client", "update", made["clientId"], "--name", "Store", "--feature", "", "--allow", "::/0", "--json"
    ).data
    assert (edited["name"], edited["features"], edited["allowList"]) == ("Store", [], ["::/0"])
    assert edited["description"] == "first"

    gone = run("client", "delete", made["clientId"], "--yes", "--json")
    assert gone.data == {"deletedClientId": made["clientId"]} | effect
    assert are_valid(settings, made["clientId"], made["secret"]) == [False]
    assert run("client", "show", made["clientId"]).code == 1


@BOTH_WAYS
def test_the_right_of_a_client_to_reset_itself_is_granted_and_taken_away(run: RunCommand) -> None:
    made = create(run, "Shop", "--self-reset")
    assert run("client", "show", made["clientId"], "--json").data["selfReset"] is True
    assert run("client", "update", made["clientId"], "--name", "Store", "--json").data["selfReset"] is True
    assert run("client", "update", made["clientId"], "--no-self-reset", "--json").data["selfReset"] is False
    assert run("client", "update", made["clientId"], "--self-reset", "--json").data["selfReset"] is True
    assert create(run)["clientId"] in run("client", "list").out
    assert [each["selfReset"] for each in run("client", "list", "--json").data] == [False, True, False]


@BOTH_WAYS
def test_show_as_text_has_every_field_and_no_secret(run: RunCommand) -> None:
    made = create(run)
    run("client", "reset", made["clientId"], "--hours", "24")
    shown = run("client", "show", made["clientId"])
    as_json = run("client", "show", made["clientId"], "--json").data
    assert [line.partition(": ")[0] for line in shown.out.splitlines()] == list(as_json)
    assert "gqls_" not in shown.out
    assert "state=RETAINED" in shown.out


@BOTH_WAYS
def test_list_pages_through_all_clients_newest_first(run: RunCommand, settings: Settings) -> None:
    async def make(services: Services) -> list[str]:
        made = [await services.clients.create_client(f"Shop {number}", by=ADMIN) for number in range(230)]
        for each in made[:3]:
            await services.rotation.reset_secret(each.client.client_id, DAY, by=ADMIN)
        return [each.client.client_id for each in made]

    ids = ask_services(settings, make)
    owner = owner_of(run)

    listed = run("client", "list", "--json").data
    assert [client["clientId"] for client in listed] == [*reversed(ids), owner]

    in_words = run("client", "list")
    assert [line.split()[0] for line in in_words.out.splitlines()] == [*reversed(ids), owner]
    assert in_words.err.startswith("CLIENT ID")

    found = run("client", "list", "--search", "SHOP 22", "--json").data
    assert {client["name"] for client in found} == {"Shop 22", *(f"Shop {number}" for number in range(220, 230))}

    running = run("client", "list", "--in-rollover", "--json").data
    assert [client["clientId"] for client in running] == ids[2::-1]
    assert all(client["oldSecret"]["state"] == "RETAINED" for client in running)
    assert len(run("client", "list", "--not-in-rollover", "--json").data) == 228


@BOTH_WAYS
def test_an_empty_list_is_an_empty_list(run: RunCommand) -> None:
    assert run("client", "list", "--search", "nobody", "--json").data == []
    outcome = run("client", "list", "--search", "nobody")
    assert (outcome.code, outcome.out) == (0, "")


@BOTH_WAYS
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", " "), "INVALID_NAME"),
        (("create", "Shop", "--feature", "king"), "INVALID_FEATURE"),
        (("create", "Shop", "--allow", "here"), "INVALID_ALLOW_LIST"),
        (("create", "Shop", "--description", "\x00"), "INVALID_DESCRIPTION"),
        (("show", "nobody"), "CLIENT_NOT_FOUND"),
        (("update", "nobody", "--name", "x"), "CLIENT_NOT_FOUND"),
        (("reset", "nobody", "--hours", "24"), "CLIENT_NOT_FOUND"),
        (("reset", "nobody", "--hours", "320"), "INVALID_HOURS_TO_LIVE"),
        (("reset", "nobody", "--hours", "-1"), "INVALID_HOURS_TO_LIVE"),
        (("reset", "CLIENT", "--hours", "24", "--if-generation", "7"), "CONFLICT"),
        (("reset", "CLIENT", "--hours", "24", "--idempotency-key", "short"), "INVALID_IDEMPOTENCY_KEY"),
        (("revoke-old", "nobody"), "CLIENT_NOT_FOUND"),
        (("change-retention", "CLIENT", "--hours", "24"), "NO_ROLLOVER"),
        (("change-retention", "CLIENT", "--hours", "0"), "INVALID_HOURS_TO_LIVE"),
        (("cancel-rollover", "CLIENT"), "NO_ROLLOVER"),
        (("enable", "nobody"), "CLIENT_NOT_FOUND"),
        (("disable", "OWNER"), "LAST_OWNER"),
        (("delete", "OWNER", "--yes"), "LAST_OWNER"),
        (("delete", "nobody"), "CLIENT_NOT_FOUND"),
        (("update", "OWNER", "--feature", "viewer"), "LAST_OWNER"),
    ],
)
def test_a_refusal_is_a_sentence_on_stderr_and_changes_nothing(
    run: RunCommand, arguments: tuple[str, ...], code: str
) -> None:
    named = {"CLIENT": create(run)["clientId"], "OWNER": owner_of(run)}
    before = revision(run)

    outcome = run("client", *(named.get(each, each) for each in arguments), "--json")

    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"gql-secrets: {code}: ")
    assert outcome.err.rstrip().endswith(".")
    assert revision(run) == before


@BOTH_WAYS
@pytest.mark.parametrize(
    "arguments",
    [
        ("client", "reset", "nobody"),
        ("client", "reset", "nobody", "--hours", "1.5"),
        ("client", "revoke-old"),
        ("client", "revoke-old", "nobody", "--all"),
        ("client", "no-such-command"),
        ("--no-such-option",),
    ],
)
def test_a_wrong_command_line_exits_2(run: RunCommand, arguments: tuple[str, ...]) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Error: " in outcome.err


@BOTH_WAYS
def test_delete_asks_first(run: RunCommand) -> None:
    made = create(run)
    assert run("client", "delete", made["clientId"], stdin="n\n").code == 1
    assert run("client", "show", made["clientId"]).code == 0
    assert run("client", "delete", made["clientId"], stdin="y\n").code == 0
    assert run("client", "show", made["clientId"]).code == 1


def test_the_audit_names_the_system_user(run: RunCommand, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    made = create(run)

    async def read(services: Services) -> tuple[str, str, str]:
        [row] = await services.database.fetch(
            "SELECT actor, actor_kind, surface FROM audit_event WHERE client_id = ?", [made["clientId"]]
        )
        return row["actor"], row["actor_kind"], row["surface"]

    monkeypatch.delenv("LOGNAME")
    assert ask_services(settings, read) == (f"cli:{getpass.getuser()}", "CLI", "CLI")


def test_every_command_has_help(bare: RunCommand) -> None:
    commands = re.findall(r"^  ([a-z-]+) ", bare("client", "--help").out.partition("Commands:")[2], re.MULTILINE)
    assert {"create", "list", "show", "reset", "revoke-old", "change-retention", "cancel-rollover"} <= set(commands)
    for command in commands:
        outcome = bare("client", command, "--help")
        assert outcome.code == 0
        assert "--data-dir" in outcome.out


@BOTH_WAYS
def test_details_are_set_shown_filtered_and_removed(run: RunCommand) -> None:
    made = create(run, "Shop", "--contact", "Ada", "--label", "team=a", "--label", "env=b", "--maximum-age-days", "10")
    create(run, "Other", "--label", "team=a")
    shown = run("client", "show", made["clientId"], "--json").data
    assert (shown["contact"], shown["labels"]) == ("Ada", ["env=b", "team=a"])
    assert (shown["maximumAgeDays"], shown["effectiveMaximumAgeDays"]) == (10, 10)
    assert shown["rotationDueAt"] is not None

    def listed(*options: str) -> list[str]:
        return [each["name"] for each in run("client", "list", "--json", *options).data]

    assert listed("--label", "team=a") == ["Other", "Shop"]
    assert listed("--label", "team=a", "--label", "env=b") == ["Shop"]
    assert listed("--contact", "Ada") == ["Shop"]
    assert listed("--due", "14") == ["Shop"]
    assert listed("--due", "9") == []
    assert re.search(r"due on \d{4}-\d\d-\d\d +Shop", run("client", "list", "--due", "14").out)
    assert run("client", "list", "--due", "-1").code == 1
    assert run("client", "list", "--label", "team").code == 1

    both = run("client", "update", made["clientId"], "--maximum-age-days", "5", "--inherit-maximum-age")
    assert (both.code, "not both" in both.err) == (1, True)
    edited = run(
        "client", "update", made["clientId"], "--contact", "", "--label", "", "--inherit-maximum-age", "--json"
    ).data
    assert (edited["contact"], edited["labels"], edited["maximumAgeDays"]) == (None, [], None)


@BOTH_WAYS
def test_an_overdue_secret_is_listed_as_such(run: RunCommand, settings: Settings) -> None:
    made = create(run, "Shop", "--maximum-age-days", "1")

    async def grow_old(services: Services) -> None:
        statement = "UPDATE client_secret SET created_at = created_at - 172800000000 WHERE client_id = ?"
        await services.database.run_tx(lambda tx: tx.execute(statement, made["clientId"]))

    ask_services(settings, grow_old)
    assert "overdue since" in run("client", "list", "--due", "0").out


@pytest.mark.parametrize("stdin", [None, io.TextIOWrapper(io.BytesIO(b"\xe9\n"), "utf-8"), io.StringIO()])
def test_a_question_that_gets_no_answer_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOBase | None
) -> None:
    """Python has no stdin where the parent process closed it."""
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(Failure, match="Nothing was changed"):
        confirm("Delete Shop permanently?")


def test_a_contact_that_no_client_can_have_is_one_sentence(run: RunCommand) -> None:
    outcome = run("client", "list", "--contact", "caf\udce9")  # as Python has an argument that is not UTF-8
    assert (outcome.code, outcome.out) == (1, "")
    assert "INVALID_CONTACT" in outcome.err
