"""`client import`: the formats of its file, and what the command reports."""

import asyncio
import json
import re
import secrets
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from support.callers import is_good
from support.databases import apart
from support.imports import OTHER, SEQUENCE, STRONG
from support.serving import PROGRAM, environment

from gql_secrets.commands.imported_file import _read, clients_of_file, import_all
from gql_secrets.domain.errors import Conflict, SetupError
from gql_secrets.domain.networks import InvalidNetwork
from gql_secrets.service.client_import import (
    Import,
    Imported,
    ImportedClient,
    Outcome,
    RowRefused,
)
from gql_secrets.settings import Settings
from gql_secrets.wiring import open_services

# The file.


def written(results: Sequence[Any]) -> bytes:
    return orjson.dumps({"results": results, "stat": "ok"})


CLIENT = {"client_id": "till", "client_secret": STRONG}


@pytest.mark.parametrize(
    "raw",
    [
        written([CLIENT]),
        orjson.dumps([CLIENT]),
        orjson.dumps(CLIENT),
        orjson.dumps(CLIENT) + b"\n",
        b"\xef\xbb\xbf" + written([CLIENT]),
        json.dumps({"results": [CLIENT]}, indent=2).encode(),
        json.dumps([CLIENT], indent=2).encode("utf-16"),
    ],
)
def test_a_file_is_a_list_an_array_or_lines(raw: bytes) -> None:
    assert clients_of_file(raw) == [CLIENT]


def test_a_line_that_is_not_json_is_one_refused_row() -> None:
    line = orjson.dumps(CLIENT)
    values = clients_of_file(line + b"\n\n{\r\n" + line + b"\r\n")
    assert values[0] == values[2] == CLIENT
    with pytest.raises(RowRefused, match="not JSON"):
        _read(values[1])


@pytest.mark.parametrize("key", ["features", "client_secret", "unknown"])
@pytest.mark.parametrize("wrap", ["%s", "%s\n%s", "[%s]", '{"results": [%s]}'])
def test_a_row_with_a_repeated_key_is_refused(key: str, wrap: str) -> None:
    """Parsers take the last one: what a reviewer saw as a viewer would become an owner."""
    line = f'{{"client_id": "till", "client_secret": "{STRONG}", "{key}": ["viewer"], "{key}": ["owner"]}}'
    for value in clients_of_file((wrap.replace("%s", line)).encode()):
        with pytest.raises(RowRefused, match="repeated key") as refused:
            _read(value)
        assert STRONG not in str(refused.value)


@pytest.mark.parametrize("colon", [":", " :", "\t:", "\r:", "\n:", " \n :"])
@pytest.mark.parametrize("description", ["Till", "a:b", '\\":', "c :d"])
@pytest.mark.parametrize("wrap", ["[%s]", '{"results": [%s]}'])
def test_a_repeated_key_is_found_wherever_json_allows_its_colon(colon: str, description: str, wrap: str) -> None:
    """The file is read by a parser that takes the last of repeated keys, and the colons tell that there are none."""
    once = f'{{"client_id"{colon} "till", "client_secret"{colon}"{STRONG}", "description"{colon}"{description}"'
    [value] = clients_of_file((wrap % f"{once}}}").encode())
    assert _read(value).description == json.loads(f'"{description}"')
    [value] = clients_of_file((wrap % f'{once}, "features"{colon}["viewer"], "features"{colon}["owner"]}}').encode())
    with pytest.raises(RowRefused, match="repeated key"):
        _read(value)


def test_a_repeated_key_is_found_below_a_key_that_is_not_known() -> None:
    [value] = clients_of_file(b'[{"client_id": "till", "more": [{"key": 1, "key": 2}]}]')
    assert isinstance(value, dict)
    assert isinstance(value["more"][0], ValueError)


@pytest.mark.parametrize("days", ["18446744073709551616", "-9223372036854775809"])
def test_a_whole_number_of_any_size_is_a_whole_number(days: str) -> None:
    [value] = clients_of_file(f'[{{"client_id": "till", "maximum_age_days": {days}}}]'.encode())
    assert isinstance(value, dict)
    assert value["maximum_age_days"] == int(days)


def test_a_file_with_two_lists_is_refused() -> None:
    with pytest.raises(SetupError, match="repeated key: results"):
        clients_of_file(b'{"results": [],\n "results": []}')


@pytest.mark.parametrize(
    "raw", [b"", b"5", b"null", b"{}", b'{"stat": "error"}', b"[", b"\xff", b"<html>", b"{" * 10000]
)
def test_a_file_without_clients_is_refused_with_the_formats(raw: bytes) -> None:
    with pytest.raises(SetupError, match="results"):
        clients_of_file(raw)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (5, "object"),
        ({"client_secret": STRONG}, "client_id"),
        ({"client_id": 5, "client_secret": STRONG}, "client_id"),
        ({"client_id": "till"}, "client_secret"),
        ({**CLIENT, "client_secret": None}, "client_secret"),
        ({**CLIENT, "description": 5}, "description"),
        ({**CLIENT, "features": "owner"}, "features"),
        ({**CLIENT, "features": [5]}, "features"),
        ({**CLIENT, "contact": 5}, "contact"),
        ({**CLIENT, "labels": "team=a"}, "labels"),
        ({**CLIENT, "maximum_age_days": True}, "maximum_age_days"),
        ({**CLIENT, "whitelist": "0.0.0.0/0"}, "whitelist"),
        ({**CLIENT, "self_reset": 1}, "self_reset"),
        ({**CLIENT, "self_reset": "true"}, "self_reset"),
    ],
)
def test_a_row_that_is_not_a_client_is_refused_with_what_is_missing(value: object, why: str) -> None:
    with pytest.raises(RowRefused, match=why) as told:
        _read(value)
    assert STRONG not in str(told.value)


def test_a_row_gives_the_right_to_reset_itself_only_if_it_says_so() -> None:
    assert not _read(CLIENT).self_reset
    assert not _read({**CLIENT, "self_reset": None}).self_reset
    assert not _read({**CLIENT, "self_reset": False}).self_reset
    assert _read({**CLIENT, "self_reset": True}).self_reset


def test_the_whitelist_of_a_row_is_read_as_its_system_means_it() -> None:
    assert _read({**CLIENT, "whitelist": ["0.0.0.0/0"]}) == _read(CLIENT)
    assert _read({**CLIENT, "features": None, "whitelist": None, "description": None}) == _read(CLIENT)
    for whitelist in ([], ["10.0.0.0/33"]):
        with pytest.raises(InvalidNetwork):
            _read({**CLIENT, "whitelist": whitelist})


# The command.


@pytest.fixture
def run(settings: Settings) -> Callable[..., subprocess.CompletedProcess[str]]:
    apart(start(settings))
    given = {"data_dir": str(settings.data_dir), "database_url": settings.database_url, "pepper": settings.pepper}

    def run_program(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, "client", "import", *arguments],
            env=environment(given),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_program


async def start(settings: Settings) -> None:
    await (await open_services(settings)).close()


def test_the_command_reports_each_row_and_run_twice_says_unchanged(
    run: Callable[..., subprocess.CompletedProcess[str]], settings: Settings, data_dir: Path
) -> None:
    file = data_dir / "clients.json"
    bad = {"client_id": "a:b", "client_secret": OTHER}
    file.write_bytes(written([CLIENT, bad, {"client_id": "weak", "client_secret": SEQUENCE}]))

    dry = run(str(file), "--dry-run")
    assert (dry.returncode, dry.stdout.split()[0]) == (1, "created")
    assert "nothing was changed" in dry.stderr

    done = run(str(file))
    assert done.returncode == 1
    lines = [re.split(r"\s{2,}|: ", line, maxsplit=3) for line in done.stdout.splitlines()]
    assert [line[:3] for line in lines] == [
        ["created", "1", "till"],
        ["refused", "2", "-"],
        ["refused", "3", "weak"],
    ]
    assert "1 created, 0 unchanged, 2 refused." in done.stderr

    again = run("-", "--allow-weak", "--json", stdin=file.read_text())
    assert again.returncode == 1
    told = json.loads(again.stdout)
    assert {name: told[name] for name in ("dryRun", "created", "unchanged", "refused")} == {
        "dryRun": False,
        "created": 1,
        "unchanged": 1,
        "refused": 1,
    }
    assert told["rows"][2] == {
        "row": 3,
        "clientId": "weak",
        "outcome": "created",
        "reason": None,
        "isWeak": True,
        "role": None,
    }
    for each in (dry, done, again):
        assert not any(secret in each.stdout + each.stderr for secret in (STRONG, OTHER, SEQUENCE))

    async def check() -> bool:
        services = await open_services(settings)
        try:
            return await is_good(services, "till", STRONG) and await is_good(services, "weak", SEQUENCE)
        finally:
            await services.close()

    assert apart(check())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_report_and_the_dry_run_name_the_rows_that_get_a_role(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    rows = [{**CLIENT, "features": ["owner"]}, {"client_id": "shop", "client_secret": OTHER}]
    text = written(rows).decode()

    dry, done = run("-", "--dry-run", "--json", stdin=text), run("-", stdin=text)
    assert [row["role"] for row in json.loads(dry.stdout)["rows"]] == ["ADMIN", None]
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == ["role ADMIN", ""]
    for each in (dry, done):
        assert "with a role in gql-secrets: 1" in each.stderr
    assert "role" not in run("-", stdin=text).stdout


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pasted", [f"till:{STRONG}", f"till {STRONG}", f"{STRONG}\n"])
def test_a_secret_pasted_into_the_client_id_is_never_repeated(
    run: Callable[..., subprocess.CompletedProcess[str]], pasted: str
) -> None:
    for options in ((), ("--json",), ("--dry-run",)):
        done = run("-", *options, stdin=json.dumps([{"client_id": pasted, "client_secret": OTHER}]))
        assert done.returncode == 1
        assert STRONG[:4] not in done.stdout + done.stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_command_imports_many_batches_and_exits_0(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    lines = [json.dumps({"client_id": f"c{number}", "client_secret": secrets.token_hex(20)}) for number in range(1203)]
    done = run("-", stdin="\n".join(lines))
    assert done.returncode == 0
    assert "1203 created, 0 unchanged, 0 refused." in done.stderr
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [[str(n + 1), f"c{n}"] for n in range(1203)]


class FakeImport:
    """Imports batches of two rows, and records when it begins and ends one."""

    batch_size = 2

    def __init__(self, *, fails_at: int) -> None:
        self.steps: list[str] = []
        self._fails_at = fails_at

    async def take(self, batch: Sequence[ImportedClient]) -> list[Imported]:
        number = len(self.steps) // 2
        self.steps.append(f"begin {batch[0].client_id}")
        await asyncio.sleep(0.01)
        if number == self._fails_at:
            raise Conflict("busy")
        self.steps.append(f"end {batch[-1].client_id}")
        return [Imported(Outcome.CREATED) for _ in batch]


async def test_batches_are_imported_one_after_the_other_and_those_done_are_reported() -> None:
    values = [{"client_id": f"c{number}", "client_secret": STRONG} for number in range(7)]
    run = FakeImport(fails_at=2)
    done: list[tuple[int, str | None]] = []

    async def import_them() -> None:
        async for rows in import_all(cast("Import", run), values):
            done.extend((each.number, each.client_id) for each in rows)

    with pytest.raises(Conflict):
        await import_them()
    assert run.steps == ["begin c0", "end c1", "begin c2", "end c3", "begin c4"]
    assert done == [(1, "c0"), (2, "c1"), (3, "c2"), (4, "c3")]


async def test_rows_are_imported_in_the_order_of_their_ids_and_those_of_one_id_in_the_order_of_the_file() -> None:
    """A batch of neighbours writes few pages of the indexes; the first row of an id is the one that creates it."""
    ids = ["d", "b", "a", None, "b", "c"]
    values = [{"client_id": client_id, "client_secret": STRONG} for client_id in ids]
    run = FakeImport(fails_at=-1)
    done = [(each.number, each.client_id) async for rows in import_all(cast("Import", run), values) for each in rows]
    assert done == [(4, None), (3, "a"), (2, "b"), (5, "b"), (6, "c"), (1, "d")]
    assert run.steps == ["begin a", "end a", "begin b", "end b", "begin c", "end d"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_missing_file_and_one_without_clients_are_one_sentence(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert run("/nowhere.json").returncode == 2
    done = run("-", stdin="<html>")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/clients/list" in done.stderr
    assert "Traceback" not in done.stderr
