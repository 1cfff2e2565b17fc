"""`gql-secrets client reset`, `revoke-old`, `change-retention` and `cancel-rollover`, on both databases."""

from collections.abc import Sequence

import pytest
from support.callers import ADMIN, DAY
from support.commands import BOTH_WAYS, RunCommand, are_valid, ask_services, create, owner_of, revision
from support.installation import MakeClient

from gql_secrets.commands import client_bulk
from gql_secrets.commands.installation import BulkRevoke
from gql_secrets.commands.local import LocalInstallation
from gql_secrets.domain.effects import Effect
from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.pages import PageRequest
from gql_secrets.settings import Settings
from gql_secrets.storage.cluster import Fence
from gql_secrets.wiring import Services


@BOTH_WAYS
def test_the_first_rollover(run: RunCommand, settings: Settings) -> None:
    made = create(run)

    reset = run("client", "reset", made["clientId"], "--hours", "24", "--json")
    assert reset.code == 0
    assert reset.data["oldSecretExpiresAt"] in reset.err
    assert reset.data["oldSecret"]["state"] == "RETAINED"
    assert are_valid(settings, made["clientId"], made["secret"], reset.data["newSecret"]) == [True, True]

    revoked = run("client", "revoke-old", made["clientId"], "--json")
    assert revoked.data["revokedSecret"]["endReason"] == "REVOKED"
    assert are_valid(settings, made["clientId"], made["secret"], reset.data["newSecret"]) == [False, True]

    again = run("client", "revoke-old", made["clientId"], "--json")
    assert (again.code, again.data["alreadyEnded"]) == (0, True)


@BOTH_WAYS
def test_a_hard_reset_ends_the_old_secret_now(run: RunCommand, settings: Settings) -> None:
    made = create(run)
    reset = run("client", "reset", made["clientId"], "--hours", "0", "--json")
    assert (reset.data["oldSecretExpiresAt"], reset.data["oldSecret"]) == (None, None)
    assert are_valid(settings, made["clientId"], made["secret"], reset.data["newSecret"]) == [False, True]


@BOTH_WAYS
def test_a_second_reset_is_refused_without_end_active_rollover(run: RunCommand, settings: Settings) -> None:
    made = create(run)
    first = run("client", "reset", made["clientId"], "--hours", "24", "--json").data
    assert are_valid(settings, made["clientId"], first["newSecret"]) == [True]  # somebody uses it

    refused = run("client", "reset", made["clientId"], "--hours", "24", "--json")
    assert (refused.code, refused.out) == (1, "")
    assert "ROLLOVER_IN_PROGRESS" in refused.err
    assert "--end-active-rollover" in refused.err

    went_on = run("client", "reset", made["clientId"], "--hours", "24", "--end-active-rollover", "--json").data
    assert went_on["displacedSecret"]["endReason"] == "DISPLACED"
    secrets = (made["secret"], first["newSecret"], went_on["newSecret"])
    assert are_valid(settings, made["clientId"], *secrets) == [False, True, True]


@BOTH_WAYS
def test_a_retry_with_the_same_key_shows_the_same_secret(run: RunCommand) -> None:
    made = create(run)
    arguments = ("client", "reset", made["clientId"], "--hours", "24", "--idempotency-key", "k" * 16, "--json")
    first, second = run(*arguments).data, run(*arguments).data
    assert first["newSecret"] == second["newSecret"]
    assert (first["replayed"], second["replayed"]) == (False, True)


@BOTH_WAYS
def test_retention_and_cancel(run: RunCommand, settings: Settings) -> None:
    made = create(run)
    reset = run("client", "reset", made["clientId"], "--hours", "1", "--json").data

    changed = run("client", "change-retention", made["clientId"], "--hours", "168", "--json").data
    assert changed["clamped"] is True
    assert changed["oldSecretExpiresAt"] > reset["oldSecretExpiresAt"]

    cancelled = run("client", "cancel-rollover", made["clientId"], "--json").data
    assert cancelled["withdrawnSecret"]["endReason"] == "CANCELLED"
    assert are_valid(settings, made["clientId"], made["secret"], reset["newSecret"]) == [True, False]


@BOTH_WAYS
def test_revoke_all_ends_every_old_secret_and_no_current_one(run: RunCommand, settings: Settings) -> None:
    made = [create(run, f"Shop {number}") for number in range(3)]
    new = [run("client", "reset", each["clientId"], "--hours", "24", "--json").data["newSecret"] for each in made]

    ended = run("client", "revoke-old", "--all", "--yes", "--json")
    assert {each["clientId"] for each in ended.data} == {each["clientId"] for each in made}
    for each, secret in zip(made, new, strict=True):
        assert are_valid(settings, each["clientId"], each["secret"], secret) == [False, True]
    assert run("client", "revoke-old", "--all").out == ""


def test_a_generation_cannot_limit_a_revoke_of_all_old_secrets(run: RunCommand, settings: Settings) -> None:
    """It was ignored, and everything was revoked."""
    made = create(run)
    new = run("client", "reset", made["clientId"], "--hours", "24", "--json").data["newSecret"]
    refused = run("client", "revoke-old", "--all", "--if-generation", "1", "--yes")
    assert refused.code == 2
    assert "--all takes no --if-generation" in refused.err
    assert are_valid(settings, made["clientId"], made["secret"], new) == [True, True]


@BOTH_WAYS
@pytest.mark.parametrize("stdin", ["n\n", "\n", ""])
def test_to_revoke_all_asks_first(run: RunCommand, settings: Settings, stdin: str) -> None:
    """It ends secrets that are in use, and those of every client."""
    made = create(run)
    new = run("client", "reset", made["clientId"], "--hours", "24", "--json").data["newSecret"]

    refused = run("client", "revoke-old", "--all", stdin=stdin)
    assert (refused.code, refused.out) == (1, "")
    assert "Old secrets: 1. Revoke all of them now, including those that are still in use? [y/N]" in refused.err
    assert are_valid(settings, made["clientId"], made["secret"], new) == [True, True]

    assert run("client", "revoke-old", "--all", stdin="y\n").out == f"{made['clientId']}\n"
    assert are_valid(settings, made["clientId"], made["secret"], new) == [False, True]


def test_to_revoke_all_says_once_that_a_node_may_not_follow(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        run("client", "reset", create(run, f"Shop {number}")["clientId"], "--hours", "24")

    async def fail(_fence: Fence, _awaited: object) -> Effect:
        return Effect(everywhere=False, reason="A node did not confirm it.")

    monkeypatch.setattr(Fence, "is_needed_for", lambda _fence, _followers: True)  # as if there were another node
    monkeypatch.setattr(Fence, "wait", fail)
    outcome = run("client", "revoke-old", "--all", "--yes", "--json")
    assert [each["effectiveEverywhere"] for each in outcome.data] == [False] * 3
    assert outcome.err.count("A node did not confirm it.") == 1


def test_what_was_revoked_is_reported_even_if_the_rest_fails(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [create(run, f"Shop {number}") for number in range(2)]
    for each in made:
        run("client", "reset", each["clientId"], "--hours", "24")
    revoke = LocalInstallation.revoke_old_secrets

    async def revoke_one(self: LocalInstallation, ids: Sequence[str], *, reason: str | None) -> list[BulkRevoke]:
        if ids == [made[0]["clientId"]]:
            raise Unavailable
        return await revoke(self, ids, reason=reason)

    monkeypatch.setattr(LocalInstallation, "revoke_old_secrets", revoke_one)
    monkeypatch.setattr(client_bulk, "_REVOKED_TOGETHER", 1)
    outcome = run("client", "revoke-old", "--all", "--yes")
    assert (outcome.code, outcome.out) == (1, f"{made[1]['clientId']}\n")  # the newest is the first
    assert "Old secrets revoked: 1." in outcome.err
    assert "The database is unavailable." in outcome.err


async def test_to_revoke_all_waits_for_the_other_nodes_once(
    services: Services, settings: Settings, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [(await make_client()).id for _ in range(3)]
    for client_id in clients:
        await services.rotation.reset_secret(client_id, DAY, by=ADMIN)
    waits = []

    async def fail(_: Fence, awaited: object) -> Effect:
        waits.append(awaited)
        return Effect(everywhere=False, reason="A node did not confirm it.")

    monkeypatch.setattr(Fence, "is_needed_for", lambda _fence, _followers: True)  # as if there were another node
    monkeypatch.setattr(Fence, "wait", fail)
    outcomes = await LocalInstallation(services, settings).revoke_old_secrets(
        [clients[0], "gone", *clients[1:]], reason=None
    )
    assert len(waits) == 1
    assert [each.client_id for each in outcomes if each.done is None] == ["gone"]
    done = [each.done for each in outcomes if each.done]
    assert [(each.already_ended, each.effect.everywhere) for each in done] == [(False, False)] * 3


@pytest.mark.parametrize("stdin", ["n\n", "\n", ""])
def test_the_reset_of_an_owner_asks_first(run: RunCommand, stdin: str) -> None:
    owner, before = owner_of(run), revision(run)

    refused = run("client", "reset", owner, "--hours", "24", stdin=stdin)
    assert (refused.code, refused.out) == (1, "")
    assert "This client administers gql-secrets. Put the new secret in place before the old one ends." in refused.err
    assert "--yes" in refused.err
    assert revision(run) == before

    assert "newSecret: gqls_" in run("client", "reset", owner, "--hours", "24", stdin="y\n").out
    assert "newSecret: gqls_" in run("client", "reset", owner, "--hours", "24", "--yes").out


@BOTH_WAYS
def test_the_audit_has_the_reason_of_every_change(run: RunCommand, settings: Settings) -> None:
    client_id = create(run)["clientId"]
    commands = [
        ("reset", "--hours", "24"),
        ("change-retention", "--hours", "2"),
        ("revoke-old",),
        ("reset", "--hours", "24"),
        ("revoke-old", "--all", "--yes"),
        ("reset", "--hours", "0"),
        ("disable",),
        ("enable",),
        ("reset", "--hours", "24"),
        ("cancel-rollover",),
        ("delete", "--yes"),
    ]
    for number, (command, *options) in enumerate(commands):
        target = [] if "--all" in options else [client_id]
        assert run("client", command, *target, *options, "--reason", f"ticket {number}").code == 0

    async def read(services: Services) -> list[str | None]:
        page = await services.queries.page_of_audit_events(PageRequest(first=100), client_id=client_id)
        return [row.reason for row in reversed(page.rows)]

    assert ask_services(settings, read) == [None, *(f"ticket {number}" for number in range(len(commands)))]


@BOTH_WAYS
@pytest.mark.parametrize("reason", ["x" * 201, "a\x07b"])
def test_an_invalid_reason_is_refused(run: RunCommand, reason: str) -> None:
    client_id = create(run)["clientId"]
    for command in (("reset", "--hours", "24"), ("disable",), ("delete", "--yes")):
        outcome = run("client", command[0], client_id, *command[1:], "--reason", reason)
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith("gql-secrets: INVALID_REASON: ")
