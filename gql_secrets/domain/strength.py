"""How hard an imported secret is to guess: an estimate that is deliberately low for what people choose.

A fast digest is right only for random secrets: somebody who copies the database can try billions of guesses a second.
Secrets that are created here have 256 random bits and need no estimate; an imported one may be a word.
"""

import math
import re
from collections.abc import Sequence
from operator import add
from typing import Final

MIN_STRONG: Final = 24
MIN_BITS: Final = 80.0

_HEX: Final = frozenset("0123456789abcdef")
_PREDICTED_BITS: Final = 0.5
_LIKELY_BITS: Final = 1.0
# Half of all letter pairs in English text, and about one in twelve in random letters.
_COMMON_PAIRS: Final = frozenset(
    (  # noqa: SIM905  a list of 60 strings would take 60 lines
        "th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa "
        "si ar ve ra ld ur me ne ri ro li io ic co ll be ma ch ce om el la us rs ss wo pa"
    ).split()
)
# Digits and signs that are written for letters.
_LEET: Final = {"o": "0", "l": "1", "i": "1!", "e": "3", "a": "4@", "s": "5$", "t": "7"}
_LEET_CHARACTERS: Final = frozenset("".join(_LEET.values()))
# Common pairs are words where they are this share of the characters; random secrets have fewer of them.
_LEET_SHARE: Final = 0.45
_WORD_SHARE: Final = 0.28
_COMMON: Final = frozenset(
    left + right
    for pair in _COMMON_PAIRS
    for left in pair[0] + _LEET.get(pair[0], "")
    for right in pair[1] + _LEET.get(pair[1], "")
)
# Rows and columns of the usual keyboards, and the digits with shift.
_WALKS: Final = (
    "1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
    "1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik", "9ol", "!qaz", "@wsx", "#edc", "$rfv", "%tgb",
    "^yhn", "&ujm", "*ik", "(ol", "!@#$%^&*()",
)  # fmt: skip
_ASCII: Final = "".join(map(chr, range(0x20, 0x7F)))
# Three characters of a run (`abc`, `aaa`) or of a walk (`qwe`), forwards and backwards.
_PREDICTED: Final = frozenset(
    line[index : index + 3][::direction]
    for line in (_ASCII, *_WALKS)
    for index in range(len(line) - 2)
    for direction in (1, -1)
) | frozenset(character * 3 for character in _ASCII)
# A date, with a time or not, and seconds or milliseconds since 1970, each as a whole run of digits.
_TIMESTAMP: Final = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-_./]?(?:0[1-9]|1[0-2])[-_./]?(?:0[1-9]|[12]\d|3[01])(?:[Tt_ -]?\d\d:?\d\d(?::?\d\d)?)?"
    r"|1[4-9]\d{8}(?:\d{3}){0,3})(?!\d)",
    re.ASCII,
)
_TIMESTAMP_BITS: Final = 12.0  # the days of ten years; an attacker who knows the day can try its seconds
_DIGITS_OF_TIMESTAMP: Final = re.compile(r"[0-9]{4}")  # each timestamp has four digits in a row
_UUID: Final = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1([12467])[0-9a-f]{3}\1[89ab][0-9a-f]{3}\1[0-9a-f]{12}")
_RANDOM_BITS_OF_UUID: Final = {"1": 14.0, "2": 14.0, "4": 122.0, "6": 14.0, "7": 74.0}
# Without dashes, one random hexadecimal secret in 16 looks like a UUID made from the time, but one in 5,000 like one of
# these years: 2010 to 2035 in units of 100 ns since 1582 (versions 1 and 6), 2020 to 2035 in ms (version 7).
_TICKS_OF_UUID: Final = range(134_815_968_000_000_000, 142_705_152_000_000_000)
_MILLISECONDS_OF_UUID: Final = range(1_577_836_800_000, 2_051_222_400_000)


def is_weak(secret: str) -> bool:
    """Return whether a secret has under 24 characters or under an estimated 80 bits."""
    return len(secret) < MIN_STRONG or estimated_bits(secret) < MIN_BITS


def estimated_bits(secret: str) -> float:
    """Return roughly how many bits an attacker must guess who knows how people choose secrets.

    Each character counts as one of as many as there are different ones (of 10 or 16 where all are digits or
    hexadecimal). It counts little where it continues a run (`aaaa`, `abcd`, `9876`) or a walk on a keyboard (`qwerty`,
    `1qaz`), repeats an earlier part (`passwordpassword`), or belongs to a date or a timestamp; and less where it
    continues a pair that is common in words, also if it is written with digits (`p4ssw0rd`). In secrets of hexadecimal
    digits alone, words and timestamps are not looked for: random ones would look like them too often.
    """
    if not secret:
        return 0.0
    folded = secret.lower()
    if (uuid := _UUID.fullmatch(folded)) and (uuid[1] or _has_likely_time(folded, version=uuid[2])):
        return _RANDOM_BITS_OF_UUID[uuid[2]]
    has_words = not _HEX.issuperset(secret)
    most = math.log2(len(set(secret)) if has_words else 10 if secret.isdecimal() else 16)
    pairs = list(map(add, folded, folded[1:]))
    parts = list(map(add, pairs, folded[2:]))
    # Of each part, the first one is not predicted, unless it is of a run or a walk.
    predicted = len(parts) - len(set(parts) - _PREDICTED)
    likely = _count_likely(secret, folded, pairs) if has_words and _may_have_words(folded, pairs, predicted) else 0
    bits = most * (len(folded) - predicted - likely)
    bits += min(_PREDICTED_BITS, most) * predicted + min(_LIKELY_BITS, most) * likely
    has_timestamps = has_words and _DIGITS_OF_TIMESTAMP.search(secret)
    for timestamp in _TIMESTAMP.finditer(secret) if has_timestamps else ():
        bits -= max(0.0, most * len(timestamp[0]) - _TIMESTAMP_BITS)
    return max(bits, 0.0)


def _may_have_words(folded: str, pairs: Sequence[str], predicted: int) -> bool:
    """Return whether there are enough common pairs for words if each of them counts.

    Nearly all random secrets have fewer, and counting them takes a fraction of the time of looking at each of them.
    """
    common = sum(map(_COMMON.__contains__, pairs))
    leet = sum(map(_LEET_CHARACTERS.__contains__, folded))
    length = len(folded) - predicted
    return common >= _WORD_SHARE * length or common + leet >= _LEET_SHARE * length


def _count_likely(secret: str, folded: str, pairs: Sequence[str]) -> int:
    """Return how many characters are not predicted and continue a word."""
    seen: set[str] = set()
    predicted = likely = leet = 0
    for end, pair in enumerate(pairs, start=2):
        part = folded[max(0, end - 3) : end]
        if part in seen or part in _PREDICTED:
            predicted += 1
        elif (pair in _COMMON or _is_leet(part)) and not _begins_a_word(secret[end - 2 : end]):
            if pair in _COMMON_PAIRS:
                likely += 1
            else:
                leet += 1
        seen.add(part)
    return _count_in_words(likely, leet, len(folded) - predicted)


def _count_in_words(likely: int, leet: int, length: int) -> int:
    """Return how many of the common pairs are part of words; the few of a random secret are chance."""
    if likely + leet >= _LEET_SHARE * length:
        return likely + leet
    return likely if likely >= _WORD_SHARE * length else 0


def _is_leet(part: str) -> bool:
    return part[1] in _LEET_CHARACTERS and part[0].isalpha() and part[-1].isalpha()


def _begins_a_word(pair: str) -> bool:
    # Where the lower case of a secret is longer, the last pairs are cut off.
    return pair[:1].islower() and pair[1:].isupper()


def _has_likely_time(digits: str, *, version: str) -> bool:
    """Return whether a UUID without dashes was made from a time at which it may have been made."""
    if version == "1":
        return int(digits[13:16] + digits[8:12] + digits[:8], 16) in _TICKS_OF_UUID
    if version == "6":
        return int(digits[:12] + digits[13:16], 16) in _TICKS_OF_UUID
    return version == "7" and int(digits[:12], 16) in _MILLISECONDS_OF_UUID
