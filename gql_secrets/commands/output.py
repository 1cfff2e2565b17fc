"""Command output: data on stdout, in the field names of the GraphQL schema; prose on stderr.

A command that creates a secret writes its only copy. So stdout is checked before anything is changed
(`require_stdout`), and a failure to write afterwards is an `OutputLost`, which says what was done.
"""

import contextlib
import io
import json
import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO, cast

import typer

from gql_secrets.domain.effects import Effect
from gql_secrets.domain.errors import Failure
from gql_secrets.domain.field_names import camel_case
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.domain.rotation import SecretState

if TYPE_CHECKING:
    from gql_secrets.storage.client_rows import ClientRow
    from gql_secrets.storage.models import Client, ClientSecret

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, with the field names of the GraphQL API.")]

Data = Mapping[str, object]

_STDERR: Final = 2

# Attributes of the models; the GraphQL fields have the same names in camel case.
_CLIENT_FIELDS: Final = (
    "client_id",
    "name",
    "description",
    "enabled",
    "created_at",
    "generation",
    "self_reset",
    "contact",
    "maximum_age_days",
)
_SECRET_FIELDS: Final = (
    "hint",
    "state",
    "created_at",
    "created_by",
    "created_by_name",
    "replaced_at",
    "expires_at",
    "ended_at",
    "end_reason",
    "first_used_at",
    "last_used_at",
)


class OutputLost(Failure):
    """The data could not be written to stdout; the text says what was done nevertheless.

    Attributes:
        why: what the system reported.
    """

    def __init__(self, why: str, done: str = "") -> None:
        super().__init__(f"The output could not be written: {why}. {done}".rstrip())
        self.why = why


class _Stdout:
    """Stdout whose failures are `OutputLost`, for every writer: a command, its help, a progress bar."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.is_closed = stream is None
        self._trouble = "stdout is closed" if stream is None else None

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # typer asks in this way whether a stream takes bytes
            raise TypeError
        if not text:
            return 0
        if self._stream is None or self._trouble:
            raise OutputLost(str(self._trouble))
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            raise self._lost(error) from error

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._stream is None:
            return
        if self._trouble:
            raise OutputLost(self._trouble)
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise self._lost(error) from error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  the other attributes of a stream
        return getattr(self._stream, name)

    def _lost(self, error: OSError | ValueError) -> OutputLost:
        # What is still in the buffer would fail once more when the process ends, with an exit code of Python's own.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            _discard(self._stream.fileno() if self._stream else -1)
        self._trouble = _strerror(error)
        return OutputLost(self._trouble)


@contextlib.contextmanager
def guarded_stdout() -> Iterator[None]:
    """Let every failure to write to stdout be an `OutputLost`, the last flush included."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not cost a secret
    guard = _Stdout(stream)
    sys.stdout = cast("TextIO", guard)
    try:
        yield
    except SystemExit:
        guard.flush()
        raise
    finally:
        sys.stdout = stream


def require_stdout() -> None:
    """Pass unless it is known that stdout takes no data.

    Raises:
        Failure: stdout is closed, a full device, or a pipe that nothing reads.
    """
    trouble = _trouble_of(sys.stdout)
    if trouble:
        raise Failure(
            f"Nothing was done, because the output could not be written: {trouble}. Redirect stdout to a file, or to "
            "/dev/null if you do not need it."
        )


def say(prose: str, *, end: str = "\n") -> None:
    """Write a message on stderr. It never fails: a message must not cost the data that follows it."""
    try:
        sys.stderr.write("\n".join(map(printable, prose.split("\n"))) + end)
        sys.stderr.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            _discard(_STDERR)
    except AttributeError:  # stderr is closed
        return


def write(data: Data, *, as_json: bool, done: str = "") -> None:
    """Write data on stdout: a JSON object, or one line `name: value` per field.

    Args:
        data: the fields.
        as_json: which of the two.
        done: what was changed and how to recover, for a reader who does not get the data.

    Raises:
        OutputLost: stdout did not take it.
    """
    lines = [to_json(data)] if as_json else [f"{name}: {_in_words(value)}" for name, value in data.items()]
    write_text("".join(f"{line}\n" for line in lines), done=done)


def write_text(text: str, *, done: str = "") -> None:
    """Write text on stdout, and make sure that it left this process.

    Raises:
        OutputLost: stdout did not take it.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OutputLost as lost:
        raise OutputLost(lost.why, done) from lost


def to_json(value: object) -> str:
    """Return the value as JSON. Characters that a terminal might act on are escaped."""
    encoding = str(getattr(sys.stdout, "encoding", None) or "utf-8")
    text = json.dumps(value, indent=2, ensure_ascii=not encoding.lower().startswith("utf"))
    return text.translate({ord(each): json.dumps(each)[1:-1] for each in _unprintable(text) if each != "\n"})


def printable(text: str) -> str:
    """Return the text on one line, with every control character escaped."""
    return text.translate({ord(each): each.encode("unicode_escape").decode() for each in _unprintable(text)})


def instant(value: datetime | None) -> str | None:
    """Return an instant as GraphQL's DateTime writes it."""
    return rfc3339(value) if value else None


def client_data(
    client: "Client | ClientRow",
    features: list[str],
    allow_list: list[str],
    labels: list[str],
    secrets: "Mapping[SecretState, ClientSecret]",
    policy: RotationPolicy,
) -> dict[str, object]:
    """Return a client with the field names of GraphQL's `Client`."""
    old, current = secrets.get(SecretState.RETAINED), secrets.get(SecretState.CURRENT)
    return _fields_of(client, _CLIENT_FIELDS) | {
        "features": features,
        "allowList": allow_list,
        "labels": labels,
        "effectiveMaximumAgeDays": policy.effective_days(client.maximum_age_days),
        "rotationDueAt": instant(policy.due_at(current.created_at, client.maximum_age_days)) if current else None,
        "inRollover": old is not None,
        "currentSecret": secret_data(current),
        "oldSecret": secret_data(old),
    }


def secret_data(secret: "ClientSecret | None") -> dict[str, object] | None:
    """Return a secret with the field names of GraphQL's `ClientSecret`."""
    return _fields_of(secret, _SECRET_FIELDS) if secret else None


def effect_data(effect: Effect) -> dict[str, object]:
    """Return whether a change is effective on every node, with GraphQL's names; if it may not be, tell the user."""
    if effect.reason is not None:
        say(effect.reason)
    return effect_fields(effect)


def effect_fields(effect: Effect) -> dict[str, object]:
    """Return whether a change is effective on every node, with GraphQL's names."""
    return {"effectiveEverywhere": effect.everywhere, "notEffectiveReason": effect.reason}


def _fields_of(row: "Client | ClientRow | ClientSecret", names: Iterable[str]) -> dict[str, object]:
    values = ((name, getattr(row, name)) for name in names)
    return {camel_case(name): instant(value) if isinstance(value, datetime) else value for name, value in values}


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_in_words(each)}" for name, each in value.items() if each is not None)
    if isinstance(value, list):
        return ", ".join(printable(str(each)) for each in value) or "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "-" if value is None else printable(str(value).replace("\n", " "))


def _unprintable(text: str) -> set[str]:
    return {each for each in set(text) if not each.isprintable()}


def _trouble_of(stream: TextIO | None) -> str | None:
    """Return why a stream takes no data, as far as that can be known without writing any."""
    if stream is None or getattr(stream, "is_closed", False):
        return "stdout is closed"
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # not a file of the system, as in tests
        return None
    try:
        os.write(number, b"")
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            if any(events & (select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0)):
                return "nothing reads the pipe"
        if hasattr(os, "fstatvfs") and stat.S_ISREG(os.fstat(number).st_mode):
            disk = os.fstatvfs(number)
            if disk.f_blocks and not disk.f_bfree:
                return "the disk is full"
    except OSError as error:
        return _strerror(error)
    return None


def _strerror(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def _discard(number: int) -> None:
    """Discard what is written to this file descriptor from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, number)
    finally:
        os.close(nowhere)
