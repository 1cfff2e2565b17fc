"""The arguments of a call, from its form and its query string."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import hdrs, web

from gql_secrets.api.clients_api.errors import ClientsApiError, Code, invalid, missing
from gql_secrets.domain.errors import InvalidHoursToLive
from gql_secrets.domain.rotation import MAX_HOURS, Retention

_FORM: Final = "application/x-www-form-urlencoded"
_MAX_BODY: Final = 64 * 1024
_MAX_ARGUMENTS: Final = 64
CREDENTIAL_ARGUMENTS: Final = ("client_id", "client_secret")
_KNOWN: Final = (
    *CREDENTIAL_ARGUMENTS,
    "client_id_for_deletion",
    "description",
    "features",
    "for_client_id",
    "has_features",
    "hours_to_live",
    "whitelist",
)
_HOURS: Final = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one call; unknown ones are ignored."""

    values: Mapping[str, str] = field(repr=False)

    def has(self, name: str) -> bool:
        """Whether the argument was sent, even if empty."""
        return name in self.values

    def find(self, name: str) -> str | None:
        """Return the argument; None if it was not sent."""
        return self.values.get(name)

    def text(self, name: str) -> str:
        """Return the argument.

        Raises:
            ClientsApiError: it is missing.
        """
        if name not in self.values:
            raise missing(name)
        return self.values[name]

    def texts(self, name: str) -> list[str]:
        """Return the strings of a JSON array.

        Raises:
            ClientsApiError: it is missing, or not a JSON array of strings.
        """
        try:
            value = orjson.loads(self.text(name))
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise invalid(name, f'{name} must be a JSON array of strings, such as ["a", "b"]')
        return value

    def retention(self, name: str) -> Retention:
        """Return a number of hours, one to three digits; it has no default.

        Raises:
            ClientsApiError: it is missing.
            InvalidHoursToLive: it is not a whole number from 0 to 168.
        """
        text = self.text(name)
        if not _HOURS.fullmatch(text):
            raise InvalidHoursToLive(0, MAX_HOURS)
        return Retention(int(text))


async def read_arguments(request: web.Request) -> Arguments:
    """Return the arguments of the form and of the query string, which must not contain credentials.

    Raises:
        ClientsApiError: they cannot be read, one was sent twice, or the query string contains credentials.
    """
    in_query = _pairs(request.rel_url.raw_query_string)
    for name in CREDENTIAL_ARGUMENTS:
        if any(name == each for each, _ in in_query):
            raise invalid(name, "credentials in a query string end up in logs; send them as form fields, or with Basic")
    pairs = in_query + (_pairs(await _form(request)) if request.method == hdrs.METH_POST else [])
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise ClientsApiError(Code.DUPLICATE_ARGUMENT, f"duplicate argument: {name}")
        if name in _KNOWN:
            values[name] = value
    return Arguments(values)


async def _form(request: web.Request) -> str:
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _MAX_BODY:
                raise ClientsApiError(Code.INVALID_ARGUMENT, f"the form is larger than {_MAX_BODY} bytes", status=413)
        if body and request.content_type != _FORM:
            raise ClientsApiError(Code.INVALID_ARGUMENT, f"send the arguments as {_FORM}", status=415)
        return body.decode("ascii")  # everything else is percent-encoded
    except (web.RequestPayloadError, UnicodeDecodeError):
        raise _unreadable() from None


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_ARGUMENTS)
    except ValueError:  # not UTF-8, or too many
        raise _unreadable() from None


def _unreadable() -> ClientsApiError:
    return ClientsApiError(Code.INVALID_ARGUMENT, f"the arguments cannot be read: send them as {_FORM}, in UTF-8")
