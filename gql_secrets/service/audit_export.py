"""Exported audit events: one JSON object a line, with GraphQL's field names, the hash, and all that the hash covers."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, NamedTuple

from gql_secrets.domain.audit import AuditEntry, EndedSecret
from gql_secrets.domain.errors import BadRequest
from gql_secrets.domain.field_names import camel_case
from gql_secrets.domain.instants import rfc3339
from gql_secrets.domain.rotation import SecretEndReason, SecretState

_INSTANTS: Final = ("at", "expires_at")
_LINE_START: Final = b'{"revision": '


# By the field of an entry, its name in an export.
_NAMES: Final = {field.name: camel_case(field.name) for field in fields(AuditEntry)} | {"ended": "endedSecrets"}


class ExportedEvent(NamedTuple):
    """One line of an export."""

    revision: int
    hash: str
    content: Mapping[str, Any]

    def follows(self, previous: bytes) -> bool:
        """Return whether the hash is that of the line's content after the previous hash."""
        try:
            return _entry_of(self.content).hash_after(previous).hex() == self.hash
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):  # edited, or of format 1
            return False


def line_of(entry: AuditEntry, *, written_in: int, digest: bytes) -> str:
    """Return the line of an event.

    Args:
        entry: what happened.
        written_in: the format that the event was written in. Only a line of the newest can prove its own content.
        digest: the event's hash.
    """
    content: dict[str, object] = {}
    for field, name in _NAMES.items():
        value = getattr(entry, field)
        if field == "ended":
            value = [
                {"secretId": each.secret_id, "reason": each.reason, "stateBefore": each.state_before} for each in value
            ]
        elif field in _INSTANTS and value is not None:
            value = rfc3339(value)
        content[name] = value
    return json.dumps({**content, "format": written_in, "hash": digest.hex()}, ensure_ascii=False)


def is_beginning_of_line(text: bytes) -> bool:
    """Return whether this can be the line of an event that was written only in part."""
    return text[: len(_LINE_START)] == _LINE_START[: len(text)]


def read_lines(lines: Iterable[str]) -> Iterator[ExportedEvent]:
    """Yield the events of an export.

    Raises:
        BadRequest: a line is malformed or out of order.
    """
    previous = 0
    for number, line in enumerate(itertools.filterfalse(str.isspace, lines), start=1):
        try:
            content = json.loads(line)
            event = ExportedEvent(int(content["revision"]), str(content["hash"]), content)
        except (ValueError, TypeError, KeyError):
            raise BadRequest(f"Line {number} is not a line of an export.") from None
        if event.revision <= previous:
            raise BadRequest(f"Line {number} of the export is out of order.")
        previous = event.revision
        yield event


def last_revision_of(lines: Iterable[str]) -> int:
    """Return the revision of an export's last line; 0 for an empty one.

    Raises:
        BadRequest: a line is malformed.
    """
    return next(reversed([0, *(event.revision for event in read_lines(lines))]))


def _entry_of(content: Mapping[str, Any]) -> AuditEntry:
    if content["format"] != AuditEntry.FORMAT:
        raise ValueError("not the newest format")
    values = {field: content[name] for field, name in _NAMES.items()}
    for field in _INSTANTS:
        values[field] = values[field] and datetime.fromisoformat(values[field])
    ended = tuple(
        EndedSecret(each["secretId"], SecretEndReason(each["reason"]), SecretState(each["stateBefore"]))
        for each in values.pop("ended")
    )
    return AuditEntry(**{**values, "edited_fields": tuple(values["edited_fields"]), "ended": ended})
