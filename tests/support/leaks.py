"""Finds secrets where none may be: as they are, in base64 of anything around them, URL-encoded, in hex.

The cost grows with what is searched and not with how many secrets were issued, so a run may issue thousands.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

_BODY = slice(4, 40)  # of the random characters: at its ends an encoding may hold only a piece of a character
_LENGTH = 36
_LETTERS = re.compile(rb"[0-9A-Za-z_-]{%d,}" % _LENGTH)  # the letters of base64url: those of tokens too
_BASE64 = re.compile(rb"[0-9A-Za-z+/_-]{%d,}" % (_LENGTH * 4 // 3))
_HEX = re.compile(rb"[0-9A-Fa-f]{%d,}" % (_LENGTH * 2))
_ESCAPED = re.compile(rb"%[0-9A-Fa-f]{2}")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


class Issued:
    """The secrets that were issued in a run, and the tokens of sign-in links and sessions."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._bodies: dict[bytes, str] = {}
        for secret in secrets:
            self.add(secret)

    def __len__(self) -> int:
        return len(self._bodies)

    def add(self, secret: str) -> None:
        """Remember a secret; it is found with or without the characters around its random ones."""
        self._bodies[secret.removeprefix("gqls_")[_BODY].encode()] = secret

    def found_in(self, text: bytes) -> set[str]:
        """Return the secrets that are in the text in any form."""
        return {
            self._bodies[body]
            for view in _views(text)
            for run in _LETTERS.findall(view)
            for start in range(len(run) - _LENGTH + 1)
            if (body := run[start : start + _LENGTH]) in self._bodies
        }


def _views(text: bytes) -> Iterator[bytes]:
    """The text, and every text that is encoded in it."""
    yield text
    if _ESCAPED.search(text):
        text = unquote_to_bytes(text)
        yield text
    for run in _HEX.findall(text):
        for start in (0, 1):
            yield binascii.unhexlify(run[start : start + (len(run) - start) // 2 * 2])
    for run in _BASE64.findall(text):
        whole = run.translate(_FROM_URL)
        # The secret may begin anywhere in what was encoded, and the encoded text anywhere in the run.
        for start in range(4):
            part = whole[start : start + (len(whole) - start) // 4 * 4]
            yield base64.b64decode(part)


def forms_of(secret: str) -> dict[str, bytes]:
    """The forms of a secret that must be found, by name: what the tests of this module and of others hide it in."""
    raw = secret.encode()
    return {
        "raw": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "odd hex": b"a" + raw.hex().encode(),
        "URL-encoded": b"".join(b"%%%02x" % byte for byte in raw),
        **{f"base64 after {width}": base64.b64encode(b"x" * width + raw) for width in range(4)},
        **{f"base64url after {width}": base64.urlsafe_b64encode(b"\xff" * width + raw) for width in range(4)},
        "URL-encoded base64": base64.b64encode(raw).replace(b"=", b"%3D").replace(b"Z", b"%5A"),
        "in a run": b"AAA" + base64.b64encode(raw),
    }
