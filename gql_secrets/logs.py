"""The log: one line of `key=value` for each record, on stderr, and never a credential in it."""

import contextlib
import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

_OURS: Final = "gql_secrets"
# Loggers that write what callers sent, or SQL with its values. Their warnings come through; their chatter never does.
_QUIET_AT_WARNING: Final = ("aiohttp", "asyncio", "aiosqlite", "asyncpg", "tortoise", "py.warnings")
# These would tell nothing that ours do not: access logs hold every query string, Strawberry's hold documents.
_SILENT: Final = ("aiohttp.access", "strawberry.execution", "tortoise.db_client")
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_PLAIN: Final = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f]+")
_CREDENTIALS: Final = (
    (re.compile(r"gqls_[0-9A-Za-z]{8,}"), "gqls_..."),
    (re.compile(r"\b(basic|bearer|signature)[ +]+[\w.~+/:-]{16,}=*", re.IGNORECASE), r"\1 ..."),
)


def set_up_logging(level: str) -> None:
    """Write the log to stderr: ours from `level` on, of libraries only warnings, of their requests and SQL nothing.

    Said again, the later call counts.
    """
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, StderrHandler)]:
        root.removeHandler(handler)
    root.addHandler(StderrHandler())
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level)
    for name in _QUIET_AT_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(capture=True)


class StderrHandler(logging.Handler):
    """Writes to whatever stderr is at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line; trouble with the log must not become trouble with the request."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  the standard handler would print the record's arguments as they are
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"at=- level=ERROR logger={record.name} message=unwritable\n")


class LineFormatter(logging.Formatter):
    """Writes a record as one line: `at=… level=… logger=… message=…`, then its `extra`, then its exception.

    A value with blanks, quotes or control characters stands in quotes as JSON has them, so that nobody can forge a
    second line. What looks like a credential is cut short, whoever wrote it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields: dict[str, object] = {
            "at": at,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = _exception_text(record.exc_info[1])
        return " ".join(f"{key}={_written(value)}" for key, value in fields.items())


def without_credentials(text: str) -> str:
    """Return the text with everything cut short that looks like a credential."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


def _written(value: object) -> str:
    text = without_credentials(str(value))
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _exception_text(error: BaseException) -> str:
    """Return the traceback; of one that aiohttp's parser had a part in, without what the exceptions say.

    These quote the head or the body that they could not read, `Authorization` included.
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
