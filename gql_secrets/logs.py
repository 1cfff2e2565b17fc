"""The log: one line of `key=value` pairs, or one JSON object, for each record, on stderr, without credentials.

Code logs an event with keys, `_log.info("request", extra={"method": method, "status": status})`: the message is a
stable event name in snake_case without values in it, and what varies goes into `extra`.
"""

import contextlib
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, cast

from gql_secrets.domain.instants import rfc3339, rfc3339_seconds

_OURS: Final = "gql_secrets"
# These loggers write what callers sent, or SQL with its values: only their warnings and errors are kept.
_QUIET_AT_WARNING: Final = ("aiohttp", "asyncio", "aiosqlite", "asyncpg", "tortoise", "py.warnings")
# These add nothing to our own records, and are unsafe: access logs hold query strings, Strawberry's logs documents.
_SILENT: Final = ("aiohttp.access", "strawberry.execution", "tortoise.db_client")
_EMPTY: Final = vars(logging.LogRecord("", logging.INFO, "", 0, "", (), None))
_STANDARD: Final = frozenset(_EMPTY) | {"message", "asctime", "taskName", "color_message"}
_PLAIN: Final = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f]+")
# The values of these keys are never written.
_SECRET_KEYS: Final = frozenset(
    ("authorization", "client_secret", "cookie", "new_secret", "password", "pepper", "secret", "token")
)
_REDACTED: Final = "..."
# The same routes, callers and addresses come again and again: the forms of short texts are kept, of this many.
_MAX_KEPT: Final = 1024
_MAX_KEPT_LENGTH: Final = 128
_CREDENTIALS: Final = (
    (re.compile(r"gqls_[0-9A-Za-z]{8,}"), "gqls_..."),
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "eyJ..."),
    (re.compile(r"\b(basic|bearer|signature)[ +]+[\w.~+/:-]{16,}=*", re.IGNORECASE), r"\1 ..."),
)
# Nearly all texts have none of the words with which credentials begin.
_MAYBE_CREDENTIAL: Final = re.compile(r"gqls_|eyJ|basic|bearer|signature", re.IGNORECASE)


def set_up_logging(level: str, style: str = "text", *, worker: int | None = None) -> None:
    """Write our records from `level` on to stderr, and the warnings of libraries: as `text` or as `json`.

    Calling it again replaces the earlier configuration.

    Args:
        level: the least level.
        style: the form of a line.
        worker: the number of this process, where several write the same log: each line has it.
    """
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, StderrHandler)]:
        root.removeHandler(handler)
    root.addHandler(StderrHandler(JsonFormatter(worker) if style == "json" else LineFormatter(worker)))
    root.setLevel(logging.WARNING)
    set_log_level(level)
    for name in _QUIET_AT_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(capture=True)
    # No line says it, and finding it out takes a fifth of the time of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def set_log_level(level: str) -> None:
    """Write our records from `level` on."""
    logging.getLogger(_OURS).setLevel(level)


def log_without_place(logger: logging.Logger, event: str, facts: Mapping[str, object]) -> None:
    """Log an event as `logger.info` does, which would first find out the line of code that calls it.

    Nothing writes that line, and the search takes a fifth of the time.
    """
    if logger.isEnabledFor(logging.INFO):
        logger.handle(EventRecord(logger.name, event, facts))


class EventRecord(logging.LogRecord):
    """A record at the level INFO that does not say which line of code, thread or process it comes from.

    Attributes:
        facts: what it says in addition to its event. Apart from the attributes of a record, which have the same values,
            so that nobody has to look for them there.
    """

    __slots__ = ("facts",)

    def __init__(self, name: str, event: str, facts: Mapping[str, object]) -> None:
        """Make it of an event and its facts; the other attributes of a record have the same values in each."""
        own = self.__dict__
        own.update(_EMPTY)
        own["name"], own["msg"], own["created"] = name, event, time.time()
        own.update(facts)
        self.facts = facts


class StderrHandler(logging.Handler):
    """Writes to `sys.stderr` as it is at the time of each record."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line. A failure to log must not fail the request."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  the standard handler would print the record's arguments as they are
            with contextlib.suppress(OSError, ValueError):
                about = {"name": record.name, "levelname": "ERROR", "msg": "unwritable"}
                sys.stderr.write(self.format(logging.makeLogRecord(about)) + "\n")


class LineFormatter(logging.Formatter):
    """Formats a record as one line: `at=… level=… logger=… message=…`, then its `extra`, then its exception.

    A value with blanks, quotes or control characters is written as a JSON string, so that no value can forge a second
    line or field. Text that looks like a credential is redacted, in the message, in each value and in the exception.
    """

    def __init__(self, worker: int | None = None) -> None:
        """Format the records of this process, whose number each line has if it is one of several."""
        super().__init__()
        self._tail = "" if worker is None else f" worker={worker}"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at, exception = _at(record.created), _exception_of(record)
        if isinstance(record, EventRecord):
            head, facts = _head_of_event(record.name, record.msg), record.facts
        else:
            head, facts = _head_of(record), _extra_of(record)
        # Most values are short texts, whose forms are kept.
        fields = [
            f" {key}={_kept_form(value)}"
            if type(value) is str and len(value) <= _MAX_KEPT_LENGTH and key not in _SECRET_KEYS
            else f" {key}={_format_value(key, value)}"
            for key, value in facts.items()
        ]
        end = "" if exception is None else f" exception={_form(exception)}"
        return f"at={at} {head}{''.join(fields)}{self._tail}{end}"


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object on one line: the same keys, and texts redacted in the same way."""

    def __init__(self, worker: int | None = None) -> None:
        """Format the records of this process, whose number each line has if it is one of several."""
        super().__init__()
        self._tail: dict[str, object] = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = record.facts if isinstance(record, EventRecord) else _extra_of(record)
        exception = _exception_of(record)
        fields: dict[str, object] = {
            "at": _at(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **facts,
            **self._tail,
            **({} if exception is None else {"exception": exception}),
        }
        return (
            "{" + ", ".join([f"{_json_form_of(key)}: {_json_value(key, value)}" for key, value in fields.items()]) + "}"
        )


def without_credentials(text: str) -> str:
    """Return the text with everything redacted that looks like a credential."""
    if _MAYBE_CREDENTIAL.search(text) is None:
        return text
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


def _extra_of(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


def _head_of(record: logging.LogRecord) -> str:
    message = _form_of(record.getMessage())
    return f"level={_form_of(record.levelname)} logger={_form_of(record.name)} message={message}"


@lru_cache(maxsize=128)
def _head_of_event(logger: str, event: str) -> str:
    return _head_of(EventRecord(logger, event, {}))


def _exception_of(record: logging.LogRecord) -> str | None:
    if record.exc_info and record.exc_info[1] is not None:
        return _exception_text(record.exc_info[1])
    return None


def _at(seconds: float) -> str:
    """Return the instant with its milliseconds, cut off. Many lines have the same second."""
    second, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_text_of_second(second)}.{milliseconds:03}Z"


@lru_cache(maxsize=8)
def _text_of_second(second: int) -> str:
    return rfc3339_seconds(datetime.fromtimestamp(second, UTC))[:-1]


def _json_value(key: str, value: object) -> str:
    if key in _SECRET_KEYS:
        return f'"{_REDACTED}"'
    kind = type(value)
    if kind is str:
        return _json_form_of(cast("str", value))
    if value is None or isinstance(value, int | float):
        return json.dumps(value)
    return _json_form_of(rfc3339(value) if isinstance(value, datetime) else str(value))


def _format_value(key: str, value: object) -> str:
    if key in _SECRET_KEYS and value is not None:
        return _REDACTED
    kind = type(value)
    if kind is str:
        return _form_of(cast("str", value))
    if kind is int or kind is float:
        return repr(value)
    if value is None:
        return "-"
    if kind is bool:
        return str(value).lower()
    return rfc3339(value) if isinstance(value, datetime) else _form_of(str(value))


def _form_of(text: str) -> str:
    return _kept_form(text) if len(text) <= _MAX_KEPT_LENGTH else _form(text)


def _form(text: str) -> str:
    text = without_credentials(text)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _json_form_of(text: str) -> str:
    return _kept_json_form(text) if len(text) <= _MAX_KEPT_LENGTH else _json_form(text)


def _json_form(text: str) -> str:
    return json.dumps(without_credentials(text))


_kept_form: Final = lru_cache(maxsize=_MAX_KEPT)(_form)
_kept_json_form: Final = lru_cache(maxsize=_MAX_KEPT)(_json_form)


def _exception_text(error: BaseException) -> str:
    """Return the traceback; without the exceptions' messages where one of them comes from aiohttp.

    aiohttp's parser quotes the head or the body that it could not read, including `Authorization`.
    """
    chain = _chain(error)
    if not any(type(each).__module__.startswith("aiohttp") for each in chain):
        return "".join(traceback.format_exception(error)).rstrip()
    places = traceback.format_tb(error.__traceback__)
    return " <- ".join(type(each).__qualname__ for each in chain) + "\n" + "".join(places[-3:]).rstrip()


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
