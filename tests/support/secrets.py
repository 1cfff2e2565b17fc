"""The format of new secrets, read as a secret scanner reads it: written apart from the code that writes them."""

import zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "gqls_"
BODY_CHARACTERS = 43
CHECK_CHARACTERS = 6


def is_well_formed(text: str) -> bool:
    """Whether this is written as a new secret is, and its checksum holds."""
    body, check = text[len(PREFIX) : -CHECK_CHARACTERS], text[-CHECK_CHARACTERS:]
    return (
        text.startswith(PREFIX)
        and len(body) == BODY_CHARACTERS
        and all(character in BASE62 for character in body)
        and check == base62(zlib.crc32(body.encode()), CHECK_CHARACTERS)
    )


def base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(BASE62))
        digits.append(BASE62[digit])
    return "".join(reversed(digits))
