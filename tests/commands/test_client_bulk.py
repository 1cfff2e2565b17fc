"""`gql-secrets client reset --ids` and `client revoke-old --safe`, on both databases."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from support.callers import is_good, verify
from support.commands import BOTH_WAYS, RunCommand, are_valid, ask_services, create, owner_of

from gql_secrets.commands import client_bulk
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new"


def ids_file(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "ids.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


@BOTH_WAYS
def test_each_new_secret_is_in_a_private_file_and_none_on_stdout(
    run: RunCommand, settings: Settings, tmp_path: Path, out: Path
) -> None:
    made = [create(run, f"Shop {number}") for number in range(12)]  # more than one batch
    ids = ids_file(tmp_path, "# these", "", *(each["clientId"] for each in made), "no-such-client")

    outcome = run("client", "reset", "--ids", ids, "--hours", "24", "--out", str(out), "--json")

    assert outcome.code == 1
    assert (outcome.data["reset"], outcome.data["refused"]) == (12, 1)
    assert outcome.data["rows"][-1]["code"] == "CLIENT_NOT_FOUND"
    assert "gqls_" not in outcome.out + outcome.err
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    written = {each["clientId"]: (out / f"{each['clientId']}.secret").read_text().strip() for each in made}

    async def are_all_valid(services: Services) -> bool:
        both = [(each["clientId"], secret) for each in made for secret in (written[each["clientId"]], each["secret"])]
        return all([await is_good(services, *credential) for credential in both])

    assert ask_services(settings, are_all_valid)


@BOTH_WAYS
def test_an_interrupted_run_continues_with_the_same_secrets(
    run: RunCommand, settings: Settings, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [create(run, f"Shop {number}") for number in range(3)]
    ids = ids_file(tmp_path, *(each["clientId"] for each in made))
    arguments = ("client", "reset", "--ids", ids, "--hours", "24", "--out", str(out))
    write = client_bulk._write_private
    written: list[str] = []

    def fail_at_third(path: Path, text: str) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(text)
        write(path, text)

    monkeypatch.setattr(client_bulk, "_write_private", fail_at_third)
    interrupted = run(*arguments)
    assert interrupted.code == 1
    assert "No space left on device" in interrupted.err
    assert "gqls_" not in interrupted.err + interrupted.out
    monkeypatch.setattr(client_bulk, "_write_private", write)

    again = run(*arguments)
    assert again.code == 0, again.err
    assert sorted(line.split()[0] for line in again.out.splitlines()) == ["reset", "reset", "skipped"]
    assert len(list(out.glob("*.secret"))) == 3
    for each in made:
        secret = (out / f"{each['clientId']}.secret").read_text().strip()
        assert are_valid(settings, each["clientId"], secret) == [True]
        assert run("client", "show", each["clientId"], "--json").data["generation"] == 2
    once_more = run(*arguments)
    assert [line.split()[0] for line in once_more.out.splitlines()] == ["skipped"] * 3


@BOTH_WAYS
def test_secrets_that_cannot_be_written_are_named_and_the_others_of_their_batch_are_written(
    run: RunCommand, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [create(run, f"Shop {number}")["clientId"] for number in range(3)]
    ids = ids_file(tmp_path, *made)
    write = client_bulk._write_private

    def fail_at_second(path: Path, text: str) -> None:
        if path.name == f"{made[1]}.secret":
            raise OSError(28, "No space left on device")
        write(path, text)

    with monkeypatch.context() as full:
        full.setattr(client_bulk, "_write_private", fail_at_second)
        outcome = run("client", "reset", "--ids", ids, "--hours", "24", "--out", str(out), "--json")
    assert (outcome.code, outcome.data["reset"]) == (1, 3)
    files = {row["clientId"]: row["file"] for row in outcome.data["rows"]}
    assert files == {made[0]: f"{made[0]}.secret", made[1]: None, made[2]: f"{made[2]}.secret"}
    assert f"cannot be written: {made[1]} (No space left on device). Run the same command again" in outcome.err
    assert sorted(path.name for path in out.glob("*.secret")) == sorted(filter(None, files.values()))


@BOTH_WAYS
def test_a_run_does_not_mix_with_another_or_with_foreign_files(run: RunCommand, tmp_path: Path, out: Path) -> None:
    made = create(run)
    ids = ids_file(tmp_path, made["clientId"])
    assert run("client", "reset", "--ids", ids, "--hours", "24", "--out", str(out)).code == 0
    other_hours = run("client", "reset", "--ids", ids, "--hours", "25", "--out", str(out))
    assert (other_hours.code, "--hours 24" in other_hours.err) == (1, True)
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o700)
    (foreign / "file").write_text("x")
    refused = run("client", "reset", "--ids", ids, "--hours", "24", "--out", str(foreign))
    assert (refused.code, "not empty" in refused.err) == (1, True)
    (out / "run.json").write_text("{")
    damaged = run("client", "reset", "--ids", ids, "--hours", "24", "--out", str(out))
    assert (damaged.code, "damaged" in damaged.err) == (1, True)
    assert run("client", "show", made["clientId"], "--json").data["generation"] == 2


@BOTH_WAYS
@pytest.mark.parametrize(
    ("lines", "why"), [(["two words"], "line 1"), (["a", "b", "a"], "line 3"), (["# nothing", ""], "no client ids")]
)
def test_a_file_that_is_not_a_list_of_client_ids_changes_nothing(
    lines: list[str], why: str, run: RunCommand, tmp_path: Path, out: Path
) -> None:
    refused = run("client", "reset", "--ids", ids_file(tmp_path, *lines), "--hours", "24", "--out", str(out))
    assert (refused.code, why in refused.err, out.exists()) == (1, True, False)


def test_a_file_of_client_ids_that_is_not_text_changes_nothing(run: RunCommand, tmp_path: Path, out: Path) -> None:
    (tmp_path / "ids").write_bytes(b"caf\xe9\n")
    refused = run("client", "reset", "--ids", str(tmp_path / "ids"), "--hours", "24", "--out", str(out))
    assert (refused.code, out.exists()) == (1, False)
    assert refused.err == "gql-secrets: Nothing was changed: cannot read the file of client ids: it is not text.\n"


def test_owners_among_the_clients_are_asked_about(run: RunCommand, tmp_path: Path, out: Path) -> None:
    ids = ids_file(tmp_path, owner_of(run))
    refused = run("client", "reset", "--ids", ids, "--hours", "24", "--out", str(out), stdin="n\n")
    assert (refused.code, "administer" in refused.err) == (1, True)
    assert run("client", "reset", "--ids", ids, "--hours", "24", "--out", str(out), "--yes").code == 0


@BOTH_WAYS
@pytest.mark.parametrize(
    "options",
    [
        ["--ids", "FILE"],
        ["--out", "DIR"],
        ["--ids", "FILE", "--out", "DIR", "an-id"],
        ["--ids", "FILE", "--out", "DIR", "--idempotency-key", "k" * 16],
        [],
    ],
)
def test_options_that_do_not_go_together_are_not_understood(
    options: list[str], run: RunCommand, tmp_path: Path, out: Path
) -> None:
    named = {"FILE": ids_file(tmp_path, "a"), "DIR": str(out)}
    assert run("client", "reset", "--hours", "1", *(named.get(each, each) for each in options)).code == 2


def test_names_of_files_are_unique_and_stay_in_the_directory() -> None:
    ids = ["..", "../x", "a/b", "a%2Fb", "%" * 128, "%" * 127 + "&"]
    names = [client_bulk._file_name(client_id) for client_id in ids]
    assert len(set(names)) == len(ids)
    assert all("/" not in name and len(name) < 255 and name.endswith(".secret") for name in names)


@BOTH_WAYS
def test_safe_revokes_only_what_is_safe_to_revoke(run: RunCommand, settings: Settings) -> None:
    safe, unsafe = create(run, "Safe"), create(run, "Unsafe")
    new = {
        each["clientId"]: run("client", "reset", each["clientId"], "--hours", "24", "--json").data["newSecret"]
        for each in (safe, unsafe)
    }

    async def use_new_two_hours_ago(services: Services) -> None:
        await verify(services, safe["clientId"], new[safe["clientId"]])
        statement = "UPDATE client_secret SET first_used_at = first_used_at - ? WHERE client_id = ?"
        by = timedelta(hours=2) // timedelta(microseconds=1)
        await services.database.run_tx(lambda tx: tx.execute(statement, by, safe["clientId"]))

    ask_services(settings, use_new_two_hours_ago)
    outcome = run("client", "revoke-old", "--safe", "--json")
    assert (outcome.code, [each["clientId"] for each in outcome.data]) == (0, [safe["clientId"]])
    assert are_valid(settings, safe["clientId"], safe["secret"]) == [False]
    assert are_valid(settings, unsafe["clientId"], unsafe["secret"]) == [True]
    assert run("client", "revoke-old", "--safe", "--json").data == []
    assert run("client", "revoke-old", "--safe", "--all").code == 2
