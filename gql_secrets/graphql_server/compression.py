"""Results of queries are compressed with gzip for callers that accept it.

Results of mutations never are: they can hold a new secret next to text that the caller chose, and the length of a
compressed response tells an eavesdropper how alike the two are (the BREACH attack). Event streams are not compressed
either: each event must leave when it happens.
"""

import asyncio
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

MIN_BYTES: Final = 1024
"""Shorter bodies are sent as they are: they fit into one packet either way."""
MIN_THREAD_BYTES: Final = 262_144
"""From this length on, a thread compresses: less takes about a millisecond."""
# The fastest level: in JSON, the next ones save some percent and take twice as long.
_LEVEL: Final = 1
_GZIP: Final = zlib.MAX_WBITS | 16
_GZIP_NAMES: Final = ("gzip", "x-gzip")
_AS_IT_IS: Final[Mapping[str, str]] = {}
# A cache must not give the compressed form to others, nor the plain form to everybody.
_PLAIN: Final[Mapping[str, str]] = {hdrs.VARY: hdrs.ACCEPT_ENCODING}
_COMPRESSED: Final[Mapping[str, str]] = {hdrs.CONTENT_ENCODING: "gzip", **_PLAIN}


async def compress(request: web.Request, body: bytes) -> tuple[bytes, Mapping[str, str]]:
    """Return the body of a query's response as the request accepts it, with its headers."""
    if len(body) < MIN_BYTES:
        return body, _AS_IT_IS
    if not accepts_gzip(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))):
        return body, _PLAIN
    compressed = _gzip(body) if len(body) < MIN_THREAD_BYTES else await asyncio.to_thread(_gzip, body)
    return compressed, _COMPRESSED


@lru_cache(maxsize=512)
def accepts_gzip(header: str) -> bool:
    """Return whether an `Accept-Encoding` header accepts gzip, by name or by `*` (RFC 9110, section 12.5.3)."""
    accepted: dict[str, bool] = {}
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        accepted.setdefault(name, all(_is_accepted(parameter) for parameter in parameters))
    named = [accepted[name] for name in _GZIP_NAMES if name in accepted]
    return any(named) if named else accepted.get("*", False)


def _is_accepted(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    try:
        return name.strip() != "q" or 0 < float(value) <= 1
    except ValueError:
        return False


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(body) + compressor.flush()
