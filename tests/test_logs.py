"""The log: one line for each record, without credentials."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine
from support.paths import ROOT

from gql_secrets.logs import JsonFormatter, LineFormatter, StderrHandler, log_without_place, set_up_logging

SECRET = "gqls_" + "k2" * 21 + "0000000"
TOKEN = "c2hvcDp0aGlzLWlzLXZlcnktc2VjcmV0"


def line(message: str, *args: object, **extra: object) -> str:
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": message, "args": args, **extra})
    return LineFormatter().format(record)


def line_of(error: BaseException) -> str:
    return line("unexpected", exc_info=(type(error), error, error.__traceback__))


def test_a_record_is_one_line_of_key_value() -> None:
    text = line("it is %s", "done", created=0, request_id="abc", name="x.y", who="a b")
    assert text == ('at=1970-01-01T00:00:00.000Z level=INFO logger=x.y message="it is done" request_id=abc who="a b"')


@pytest.mark.parametrize("mark", ["\n", "\r", "\x85", "\u2028", "\x1b[2J", "\x00", '" level=ERROR x="'])
def test_no_value_forges_a_line_or_a_field(mark: str) -> None:
    text = line(f"path=/{mark}at=1970")
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert json.loads(text.partition("message=")[2]) == f"path=/{mark}at=1970"


@pytest.mark.parametrize(
    "said",
    [f"secret {SECRET}", f"Authorization: Basic {TOKEN}", f"{{'authorization': 'BEARER {TOKEN}'}}", f"basic+{TOKEN}"],
)
def test_text_that_looks_like_a_credential_is_redacted(said: str) -> None:
    for text in (line(said), line("x", detail=said), line_of(ValueError(said))):
        assert SECRET not in text
        assert TOKEN not in text
        assert "..." in text


@pytest.mark.parametrize("key", ["secret", "token", "password", "authorization", "cookie", "pepper", "new_secret"])
def test_no_value_is_written_under_the_name_of_a_credential(key: str) -> None:
    assert line("event", **{key: "short"}).endswith(f" {key}=...")


def test_values_have_one_spelling_each() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    text = line("event", user=None, is_new=True, expires_at=at, count=3)
    assert text.endswith("message=event user=- is_new=true expires_at=2026-01-02T03:04:05Z count=3")


def test_an_unexpected_error_is_logged_in_full_on_one_line() -> None:
    try:
        raise ValueError("the cause\nof it")
    except ValueError as error:
        text = line_of(error)
    assert len(text.splitlines()) == 1
    assert "test_logs.py" in text
    assert "ValueError: the cause" in text


@pytest.mark.parametrize("error", [BadStatusLine("GET canary"), BadHttpMessage("canary")])
def test_quotes_by_the_parser_of_aiohttp_are_left_out(error: Exception) -> None:
    try:
        try:
            raise error
        except Exception as inner:
            raise RuntimeError(str(inner)) from inner
    except RuntimeError as outer:
        text = line_of(outer)
    assert "canary" not in text
    assert f"RuntimeError <- {type(error).__name__}" in text


def test_as_json_a_record_is_one_object_with_the_same_keys() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    given = {"created": 0, "user": None, "is_new": True, "expires_at": at, "ms": 0.5, "secret": "short"}
    said = f"is\u2028\nnew: {SECRET}"
    record = logging.makeLogRecord({"name": "x.y", "levelname": "INFO", "msg": "event", "said": said, **given})
    text = JsonFormatter().format(record)
    assert len(text.splitlines()) == 1
    assert json.loads(text) == {
        "at": "1970-01-01T00:00:00.000Z",
        "level": "INFO",
        "logger": "x.y",
        "message": "event",
        "said": "is\u2028\nnew: gqls_...",
        "user": None,
        "is_new": True,
        "expires_at": "2026-01-02T03:04:05Z",
        "ms": 0.5,
        "secret": "...",
    }


@pytest.fixture
def _restored() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("gql_secrets", "aiohttp.access", "tortoise", "")}
    handlers = logging.getLogger().handlers[:]
    yield
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("_restored")
def test_at_debug_only_our_own_records_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO")
    set_up_logging("DEBUG")
    for name in (
        "gql_secrets.x",
        "tortoise.db_client",
        "asyncpg",
        "aiosqlite",
        "aiohttp.access",
        "aiohttp.server",
        "x",
    ):
        logging.getLogger(name).debug("from %s", name)
    logging.getLogger("tortoise.db_client").error("from tortoise")
    logging.getLogger("strawberry.execution").error("from strawberry")
    logging.getLogger("aiohttp.server").error("from aiohttp")
    told = capsys.readouterr().err.splitlines()
    assert [text.partition("message=")[2] for text in told] == ['"from gql_secrets.x"', '"from aiohttp"']


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("worker", [None, 2])
def test_an_event_without_place_is_written_as_any_other(
    style: str, worker: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("INFO", style, worker=worker)
    logger = logging.getLogger("gql_secrets.x")
    facts = {"path": "/a b", "status": 200, "ms": 0.5, "secret": "short", "said": SECRET, "user": None, "is_new": True}
    logger.info("request", extra=facts)
    log_without_place(logger, "request", facts)
    logger.warning("request")
    one, other, last = (re.sub(r"\d{4}-[^Z]+Z", "-", text) for text in capsys.readouterr().err.splitlines())
    assert one == other
    assert SECRET not in one
    assert all(("worker" in text) is (worker is not None) for text in (one, last))


@pytest.mark.usefixtures("_restored")
def test_a_json_log_is_json_even_if_a_record_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("DEBUG", "json")
    logging.getLogger("gql_secrets.x").info("event", extra={"count": 3})
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, StderrHandler))
    handler.emit(logging.makeLogRecord({"name": "gql_secrets.x", "msg": "%d", "args": (SECRET,)}))
    lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [(each["message"], each["level"]) for each in lines] == [("event", "INFO"), ("unwritable", "ERROR")]
    assert lines[0]["count"] == 3


@pytest.mark.usefixtures("_restored")
def test_a_record_that_cannot_be_written_does_not_print_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("DEBUG")
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, StderrHandler))
    handler.emit(logging.makeLogRecord({"name": "gql_secrets.x", "msg": "%d", "args": (SECRET,)}))
    told = capsys.readouterr().err
    assert SECRET not in told
    assert "unwritable" in told


def test_every_event_has_a_name_and_keys() -> None:
    """What operators search for stays the same in every record: values go into `extra`, never into the message."""
    names = {}
    for path in sorted((ROOT / "gql_secrets").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "_log"
            ):
                names[f"{path.name}:{node.lineno}"] = ast.literal_eval(node.args[0]) if len(node.args) == 1 else ""
    assert len(names) > 25
    assert {place: name for place, name in names.items() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)} == {}
