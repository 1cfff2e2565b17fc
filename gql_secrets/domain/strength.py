"""How hard an imported secret is to guess: an estimate that is deliberately low for what people choose.

A fast digest is right only for random secrets: somebody who copies the database can try billions of guesses a second.
Secrets that are created here have 256 random bits and need no estimate; an imported one may be a word.
"""

import math
from typing import Final

MIN_STRONG: Final = 24
MIN_BITS: Final = 80.0

_HEX: Final = frozenset("0123456789abcdef")
_PREDICTED_BITS: Final = 0.5
_LIKELY_BITS: Final = 1.5
# Half of all letter pairs in English text, and about one in twelve in random letters.
_COMMON_PAIRS: Final = frozenset(
    (  # noqa: SIM905  a list of 60 strings would take 60 lines
        "th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa "
        "si ar ve ra ld ur me ne ri ro li io ic co ll be ma ch ce om el la us rs ss wo pa"
    ).split()
)


def is_weak(secret: str) -> bool:
    """Return whether a secret has under 24 characters or under an estimated 80 bits."""
    return len(secret) < MIN_STRONG or estimated_bits(secret) < MIN_BITS


def estimated_bits(secret: str) -> float:
    """Return about how many bits an attacker must guess who knows how people choose.

    Each character counts as one of as many as there are different ones (of 10 or 16 where all are digits or
    hexadecimal). It counts little where it continues a run
    (`aaaa`, `abcd`, `9876`) or repeats an earlier part (`passwordpassword`), and less where it continues a pair that
    is common in words.
    """
    if not secret:
        return 0.0
    most = math.log2(10 if secret.isdecimal() else 16 if set(secret) <= _HEX else len(set(secret)))
    likely = min(_LIKELY_BITS, most)
    predicted = min(_PREDICTED_BITS, most)
    folded = secret.lower()
    seen: set[str] = set()
    bits = 0.0
    for index, character in enumerate(folded):
        part = folded[max(0, index - 2) : index + 1]
        if part in seen or _continues_run(part):
            bits += predicted
        elif part[-2:] in _COMMON_PAIRS and character.isalpha():
            bits += likely
        else:
            bits += most
        if len(part) == 3:  # noqa: PLR2004  shorter ones repeat by chance
            seen.add(part)
    return bits


def _continues_run(part: str) -> bool:
    if len(part) < 3:  # noqa: PLR2004  a run shows at its third character
        return False
    first, second, third = map(ord, part)
    return second - first == third - second and -1 <= third - second <= 1
