"""The id of a request: the same in the response header, the error, the log and the audit.

A trusted proxy may have given the request an id already, and a trace: then those are kept.
"""

import os
import re
from typing import Final, NamedTuple

from aiohttp import web

from gql_secrets.api.web.client_address import TrustedProxies
from gql_secrets.logs import without_credentials

X_REQUEST_ID: Final = "X-Request-Id"
# The alphabet and length that callers of /clients know from the vendor's documentation.
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_CHARACTERS: Final = 16
# The lower five bits of a random byte choose one of the 31 characters, each as likely; the 32nd value is dropped.
_TO_CHARACTERS: Final = f"{_ALPHABET}-".encode() * 8
_DROPPED: Final = bytes(range(31, 256, 32))
_RANDOM_BYTES: Final = 24
# What the log, the audit and a header hold without quotes.
_KEPT: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
# W3C Trace Context: version, trace id, parent id, flags. All zeros is not a trace.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class TraceParent(NamedTuple):
    """What called: its trace, its span in it, and its flags, each in hexadecimal digits."""

    trace_id: str
    span_id: str
    flags: str


def make_request_id() -> str:
    """Return a new id: 16 characters, 79 random bits."""
    text = b""
    while len(text) < _CHARACTERS:
        text += os.urandom(_RANDOM_BYTES).translate(_TO_CHARACTERS, _DROPPED)
    return text[:_CHARACTERS].decode()


def find_request_id(request: web.BaseRequest, trusted: TrustedProxies) -> str:
    """Return the id that a trusted proxy gave the request, or a new one."""
    given = request.headers.get(X_REQUEST_ID) if _is_by_proxy(request, trusted) else None
    return given if given and _KEPT.fullmatch(given) and without_credentials(given) == given else make_request_id()


def find_trace_id(request: web.BaseRequest, trusted: TrustedProxies) -> str | None:
    """Return the id of the trace that a trusted proxy says the request belongs to, if any."""
    parent = find_trace_parent(request, trusted)
    return parent.trace_id if parent else None


def find_trace_parent(request: web.BaseRequest, trusted: TrustedProxies) -> TraceParent | None:
    """Return the span of a trace that a trusted proxy says the request belongs to, if any."""
    given = request.headers.get("traceparent") if _is_by_proxy(request, trusted) else None
    found = _TRACEPARENT.fullmatch(given) if given else None
    return TraceParent(*found.groups()) if found else None


def _is_by_proxy(request: web.BaseRequest, trusted: TrustedProxies) -> bool:
    return trusted.trusts(request.remote) if request.remote else trusted.unix
