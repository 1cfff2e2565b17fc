"""`gql-secrets session`: who is signed in, and ending that."""

import pytest
from support.audits import events_of
from support.commands import BOTH_WAYS, RunCommand, ask_services

from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


def sign_in(run: RunCommand, settings: Settings, name: str, role: str = "VIEWER") -> int:
    """Sign a person in with a link of the command line; return the number of the session."""
    token = link(run, name, role).partition("#")[2]

    async def spend(services: Services) -> int:
        return (await services.sessions.sign_in(token, address="192.0.2.7")).session_id

    return ask_services(settings, spend)


def link(run: RunCommand, name: str, role: str = "VIEWER") -> str:
    outcome = run("sign-in-link", "--name", name, "--role", role, "--json")
    assert outcome.code == 0, outcome.err
    return str(outcome.data["url"])


def test_the_list_names_who_is_signed_in_and_which_links_are_unused(run: RunCommand, settings: Settings) -> None:
    number = sign_in(run, settings, "Ada")
    link(run, "Bob", "OPERATOR")

    data = run("session", "list", "--json").data
    [session], [unused] = data["sessions"], data["signInLinks"]
    assert (session["number"], session["name"], session["role"]) == (number, "Ada", "VIEWER")
    assert (session["actor"], session["address"]) == (f"user:link/{unused['number'] - 1}", "192.0.2.7")
    assert (unused["name"], unused["role"]) == ("Bob", "OPERATOR")
    assert unused["createdBy"].startswith("cli:")
    table = run("session", "list").out
    assert "Ada" in table
    assert "Bob" in table


@BOTH_WAYS
def test_the_list_has_no_token(run: RunCommand, settings: Settings) -> None:
    sign_in(run, settings, "Ada")
    token = link(run, "Bob").partition("#")[2]
    for arguments in (["session", "list"], ["session", "list", "--json"], ["audit", "export"]):
        outcome = run(*arguments)
        assert token not in outcome.out + outcome.err


def test_one_session_ends_and_the_audit_log_says_who_ended_it(run: RunCommand, settings: Settings) -> None:
    number, other = sign_in(run, settings, "Ada"), sign_in(run, settings, "Bob")

    assert run("session", "end", str(number), "--json").data == {"session": number, "alreadyEnded": False}
    assert run("session", "end", str(number), "--json").data == {"session": number, "alreadyEnded": True}

    assert [each["number"] for each in run("session", "list", "--json").data["sessions"]] == [other]
    event = ask_services(settings, events_of)[-1]
    assert (event.action, event.session_number, event.session_end_reason) == (
        "SESSION_ENDED",
        number,
        "ENDED_BY_ADMIN",
    )
    assert (event.actor_kind, event.person_name, event.actor_name) == ("CLI", "Ada", None)


def test_all_sessions_end_and_all_unused_links_are_voided(run: RunCommand, settings: Settings) -> None:
    sign_in(run, settings, "Ada")
    sign_in(run, settings, "Bob")
    link(run, "Carl")

    assert run("session", "end", "--all", "--json").data == {"endedSessions": 2, "voidedLinks": 1}

    assert run("session", "list", "--json").data == {"sessions": [], "signInLinks": []}
    assert "Nobody is signed in." in run("session", "list").err


@BOTH_WAYS
def test_all_sessions_of_one_person_end(run: RunCommand, settings: Settings) -> None:
    sign_in(run, settings, "Ada")
    sign_in(run, settings, "Bob")

    assert run("session", "end", "--actor", "user:link/1", "--json").data == {
        "actor": "user:link/1",
        "endedSessions": 1,
    }

    [left] = run("session", "list", "--json").data["sessions"]
    assert (left["actor"], left["way"], left["name"]) == ("user:link/2", "LINK", "Bob")


def test_one_unused_link_is_voided(run: RunCommand) -> None:
    link(run, "Ada")
    [unused] = run("session", "list", "--json").data["signInLinks"]

    assert run("session", "void-link", str(unused["number"])).code == 0

    assert run("session", "list", "--json").data["signInLinks"] == []
    assert "had already ended" in run("session", "void-link", str(unused["number"])).err


def test_what_does_not_exist_or_is_not_given_is_refused(run: RunCommand) -> None:
    assert "no session with this id" in run("session", "end", "4711").err
    assert "no sign-in link with this number" in run("session", "void-link", "4711").err
    assert run("session", "end").code == 2
    assert run("session", "end", "1", "--all").code == 2
    assert run("session", "end", "--actor", "user:link/1", "--all").code == 2


@pytest.mark.parametrize("command", ["end", "void-link"])
def test_a_number_that_no_session_and_no_link_can_have_is_an_invalid_option(run: RunCommand, command: str) -> None:
    outcome = run("session", command, str(2**63))
    assert (outcome.code, "Traceback" in outcome.err) == (2, False)
    assert run("session", command, str(2**63 - 1)).code == 1
