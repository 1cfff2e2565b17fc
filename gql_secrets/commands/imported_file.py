"""The file of `gql-secrets client import`: its clients, how they are imported, and the report."""

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

from gql_secrets.commands.output import printable, say, to_json, write_text
from gql_secrets.domain.access import Role, role_of
from gql_secrets.domain.credentials import is_client_id
from gql_secrets.domain.details import ClientDetails
from gql_secrets.domain.errors import Failure, SetupError
from gql_secrets.domain.networks import EVERYWHERE, AllowList, parse_whitelist
from gql_secrets.service.client_import import Import, Imported, ImportedClient, Outcome, RowRefused

_FORMATS: Final = (
    'It must hold the answer of /clients/list, {"results": [...]}, an array of such clients, or one client per line.'
)
_KEYS: Final = frozenset(
    {
        "client_id",
        "client_secret",
        "description",
        "features",
        "whitelist",
        "contact",
        "labels",
        "maximum_age_days",
        "self_reset",
        "results",
    }
)
_ROWS_BETWEEN_PAUSES: Final = 10
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Each of the bytes that JSON allows before the colon between a key and its value.
_COLONS: Final = (b'":', b" :", b"\t:", b"\r:", b"\n:")


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """One client of the file and the result of its import.

    Attributes:
        number: its place in the file, counted from 1.
        client_id: its client id; None unless it is a valid one, for somebody may have pasted a secret there.
        imported: the result.
        role: the role that the new client gets here, if any.
    """

    number: int
    client_id: str | None
    imported: Imported
    role: Role | None


# The number of a row, and its value.
_Row: TypeAlias = tuple[int, object]


class _RepeatedKeyError(ValueError):
    """A JSON object that has a key more than once."""


def clients_of_file(raw: bytes) -> list[object]:
    """Return the clients of a file as parsed JSON; one that cannot be read is returned as a `ValueError`.

    Raises:
        SetupError: the file has none of the formats.
    """
    if raw.startswith(_UTF16):  # what PowerShell's > writes
        raw = raw.decode("utf-16", "replace").encode()
    text = raw.removeprefix(codecs.BOM_UTF8).strip()
    first_line, _, more = text.partition(b"\n")
    value = _parsed(first_line)
    if not text.startswith(b"[") and _is_client(value):
        return [_parsed(line) for line in text.splitlines() if line.strip()]
    if more:
        value = _parsed(text)
    if isinstance(value, dict):
        value = [value] if _is_client(value) else value.get("results")
    if isinstance(value, list):
        return value
    why = f" ({value})" if isinstance(value, ValueError) else ""
    raise SetupError(f"The file holds no clients{why}. {_FORMATS}")


def _parsed(text: bytes) -> Any:  # noqa: ANN401  JSON
    """Return the JSON value; in place of an object with a repeated key, and of what is not JSON, a `ValueError`.

    Parsers take the last one of repeated keys, so a row could get features other than those that a reviewer saw.
    """
    try:
        value = orjson.loads(text)  # strict: it refuses NaN, lone surrogates and deep nesting
        return value if _is_read_exactly(text, value) else json.loads(text, object_pairs_hook=_object)
    except orjson.JSONDecodeError as error:
        return ValueError(f"not JSON: {error.msg}, at character {error.colno}")
    except RecursionError:
        return ValueError("not JSON: nested too deeply")


def _is_read_exactly(text: bytes, value: object) -> bool:
    """Return whether it is certain that no object has a repeated key, and that a whole number was not read as another.

    Between each key and its value there is a colon. If there are not more of these than the clients and what surrounds
    them have keys, no key was lost, and no other object has any. Other colons in a text only make it uncertain.
    """
    listed = value.get("results") if isinstance(value, dict) else value
    objects = [each for each in (value, *(listed if isinstance(listed, list) else ())) if isinstance(each, dict)]
    if any(isinstance(each.get("maximum_age_days"), float) for each in objects):
        return False
    keys = sum(map(len, objects))
    return keys == text.count(b":") or keys == sum(map(text.count, _COLONS))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _RepeatedKeyError:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    names = [name for name, _ in pairs]
    repeated = ", ".join(sorted(name for name in _KEYS if names.count(name) > 1))
    return _RepeatedKeyError(f"repeated key{': ' if repeated else ''}{repeated}")


def _is_client(value: object) -> bool:
    return isinstance(value, _RepeatedKeyError) or (isinstance(value, dict) and "client_id" in value)


async def import_all(run: Import, values: Sequence[object]) -> AsyncIterator[list[ImportedRow]]:
    """Import the readable rows in batches of one transaction; yield the results of each batch that is done.

    The rows are imported in the order of their client ids, those of one id in the order of the file: the clients of a
    batch are neighbours in the indexes, so the database writes a part of their pages and not all of them. The rows of a
    batch are read while the database writes those of the batch before.
    """
    rows = sorted(enumerate(values, start=1), key=_key_of_row)
    start, writing = 0, None
    try:
        while start < len(rows):
            batch = rows[start : start + run.batch_size]
            read = await _read_all(batch)
            if writing is not None:
                yield await writing
            writing = asyncio.create_task(_import_batch(run, batch, read))
            start += len(batch)
        if writing is not None:
            yield await writing
    finally:
        if writing is not None:
            writing.cancel()


def _key_of_row(row: _Row) -> str:
    _, value = row
    client_id = value.get("client_id") if isinstance(value, dict) else None
    return client_id if isinstance(client_id, str) else ""


async def _read_all(rows: Sequence[_Row]) -> list[ImportedClient | str]:
    """Return the client that each row describes, or why it describes none."""
    read: list[ImportedClient | str] = []
    for _, value in rows:
        try:
            read.append(_read(value))
        except Failure as failure:
            read.append(str(failure))
        if len(read) % _ROWS_BETWEEN_PAUSES == 0:
            await asyncio.sleep(0)  # the transaction goes on
    return read


async def _import_batch(run: Import, rows: Sequence[_Row], read: Sequence[ImportedClient | str]) -> list[ImportedRow]:
    results = iter(await run.take([each for each in read if isinstance(each, ImportedClient)]))
    return [
        _row(number, value, each, Imported(Outcome.REFUSED, each) if isinstance(each, str) else next(results))
        for (number, value), each in zip(rows, read, strict=True)
    ]


def _row(number: int, value: object, read: ImportedClient | str, imported: Imported) -> ImportedRow:
    client_id = value.get("client_id") if isinstance(value, dict) else None
    is_shown = isinstance(client_id, str) and is_client_id(client_id)
    is_created = isinstance(read, ImportedClient) and imported.outcome is Outcome.CREATED
    return ImportedRow(
        number,
        client_id if is_shown else None,
        imported,
        role_of(read.features) if is_created and isinstance(read, ImportedClient) else None,
    )


def _read(value: object) -> ImportedClient:
    """Return the client that a row describes.

    Raises:
        Failure: it describes none; the text says why, and never holds the secret.
    """
    if isinstance(value, ValueError):
        raise RowRefused(str(value))
    if not isinstance(value, dict):
        raise RowRefused("a row must be a JSON object with client_id and client_secret")
    client_id, secret, description = value.get("client_id"), value.get("client_secret"), value.get("description")
    if not isinstance(client_id, str):
        raise RowRefused("client_id is missing or not a string")
    if not isinstance(secret, str):
        raise RowRefused("client_secret is missing or not a string: export the list with its secrets")
    if description is not None and not isinstance(description, str):
        raise RowRefused("description must be a string")
    whitelist, self_reset = value.get("whitelist"), value.get("self_reset")
    if not isinstance(self_reset, bool | None):
        raise RowRefused("self_reset must be true or false")
    contact, maximum_age_days = value.get("contact"), value.get("maximum_age_days")
    if contact is not None and not isinstance(contact, str):
        raise RowRefused("contact must be a string")
    if maximum_age_days is not None and type(maximum_age_days) is not int:
        raise RowRefused("maximum_age_days must be a whole number")
    return ImportedClient.of(
        client_id,
        secret,
        description=description,
        features=_strings(value.get("features"), "features"),
        allow_list=EVERYWHERE if whitelist is None else _allow_list(tuple(_strings(whitelist, "whitelist"))),
        self_reset=bool(self_reset),
        details=ClientDetails.parse(
            contact=contact, labels=_strings(value.get("labels"), "labels"), maximum_age_days=maximum_age_days
        ),
    )


# Many clients of a file have the same list, and parsing one costs more than the rest of a row.
@lru_cache(maxsize=1024)
def _allow_list(whitelist: tuple[str, ...]) -> AllowList:
    return parse_whitelist(whitelist)


def _strings(value: object, name: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise RowRefused(f"{name} must be a list of strings")
    return value


def report(rows: Sequence[ImportedRow], *, dry_run: bool, as_json: bool) -> None:
    """Write the result of each row on stdout, and the totals on stderr."""
    counts = {outcome: sum(row.imported.outcome is outcome for row in rows) for outcome in Outcome}
    total = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    with_role = sum(row.role is not None for row in rows)
    roles = f" New clients with a role in gql-secrets: {with_role}." if with_role else ""
    summary = f"Dry run, nothing was changed: {total}.{roles}" if dry_run else f"{total}.{roles}"
    say(summary)
    if as_json:
        totals = {outcome.value: count for outcome, count in counts.items()}
        text = to_json({"dryRun": dry_run, **totals, "rows": [_data(row) for row in rows]}) + "\n"
    else:
        text = "".join(_lines(rows))
    write_text(text, done="" if dry_run else f"The import was done: {total}. Running it again reports the same rows.")


def _data(row: ImportedRow) -> dict[str, object]:
    return {
        "row": row.number,
        "clientId": row.client_id,
        "outcome": row.imported.outcome,
        "reason": row.imported.reason,
        "isWeak": row.imported.is_weak,
        "role": row.role,
    }


def _lines(rows: Iterable[ImportedRow]) -> Iterable[str]:
    for row in rows:
        notes = [f"role {row.role}"] if row.role else []
        if row.imported.is_weak and row.imported.outcome is not Outcome.REFUSED:
            notes.append("weak secret")
        if row.imported.reason:
            notes.append(printable(row.imported.reason))
        note = f": {'; '.join(notes)}" if notes else ""
        yield f"{row.imported.outcome:<9}  {row.number:>6}  {row.client_id or '-'}{note}\n"
