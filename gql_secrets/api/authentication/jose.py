"""JSON Web Signatures and Keys (RFC 7515, RFC 7517): everything that takes joserfc.

Loaded only where there is an identity provider: it takes a tenth of a server's memory.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.errors import ClaimError, JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey
from joserfc.jwt import JWTClaimsRegistry

from gql_secrets.domain.errors import InvalidToken, Unavailable
from gql_secrets.domain.identity import CLOCK_LEEWAY, Issuer, expiry_of, is_time, require_unexpired

if TYPE_CHECKING:
    from gql_secrets.api.authentication.identity_providers import IdentityProvider

PublicKey = RSAKey | ECKey | OKPKey

MAX_TOKEN: Final = 16 * 1024
# The algorithms that are accepted, with the type of their keys and, where they have one, the curve.
ALGORITHMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    **{f"{family}{bits}": ("RSA", ()) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
    "Ed25519": ("OKP", ("Ed25519",)),
    "Ed448": ("OKP", ("Ed448",)),
}
_NOT_A_JWT: Final = (
    "The token is not a signed JWT. Many identity providers issue a JWT access token only if the sign-in names this "
    "API as the audience or resource."
)
# A token without `kid` is tried with this many keys.
_MAX_CANDIDATES: Final = 8
_MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048
# The members of a public key; private and symmetric keys have others, which are not even read.
_PUBLIC_MEMBERS: Final = ("kty", "kid", "alg", "n", "e", "crv", "x", "y")


class _Registry(jws.JWSRegistry):
    """joserfc's rules for headers, with the list above in place of its own."""

    max_header_length = 4096
    max_payload_length = MAX_TOKEN

    def get_alg(self, name: str) -> JWSAlgModel:
        # The original warns of `EdDSA`, because RFC 9864 has better names for it; providers still use it.
        return self.algorithms[name]


# Unknown headers are ignored, as RFC 7515 demands; those that `crit` names are not.
_REGISTRY: Final = _Registry(algorithms=list(ALGORITHMS), strict_check_header=False)


def parse_jwt(token: str) -> tuple[jws.CompactSignature, dict[str, Any]]:
    """Return the parts of a token that nothing has proven yet.

    Raises:
        InvalidToken: it is too long, not a JWT, or signed with another algorithm.
    """
    if len(token) > MAX_TOKEN:
        raise InvalidToken(f"The token is longer than {MAX_TOKEN} characters.", reason="TOO_LONG")
    try:
        signed = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header = signed.headers()
        claims = json.loads(signed.payload or b"")
        if isinstance(header.get("alg"), str) and header["alg"] not in ALGORITHMS:
            raise InvalidToken("The token is not signed with an accepted algorithm.", reason="ALGORITHM")
        _REGISTRY.check_header(header)
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        # Without the cause, which holds parts of the token.
        claims = None
    if not isinstance(claims, dict) or not isinstance(header.get("typ", ""), str):
        raise InvalidToken(_NOT_A_JWT, reason="MALFORMED")
    return signed, claims


async def require_signature(signed: jws.CompactSignature, provider: "IdentityProvider") -> None:
    """Pass if one of the provider's keys signed the token.

    A token that no known key signed leads to another fetch of the keys, at most every 30 s: the provider may have a
    new key, with a new `kid` or with the old one.

    Raises:
        InvalidToken: none did.
        Unavailable: the keys cannot be fetched.
    """
    known = _candidates(signed, await provider.current_keys())
    if any(_is_signed_with(signed, key) for key in known):
        return
    try:
        newer = _candidates(signed, await provider.newer_keys())
    except Unavailable:
        if not known:
            raise
        newer = []
    if any(_is_signed_with(signed, key) for key in newer):
        return
    if not known and not newer:
        raise InvalidToken("The token names a key that its issuer does not have.", reason="KEY")
    raise InvalidToken("The signature of the token is not valid.", reason="SIGNATURE")


def _candidates(signed: jws.CompactSignature, keys: Sequence[PublicKey]) -> list[PublicKey]:
    header = signed.headers()
    key_type, curves = ALGORITHMS[header["alg"]]
    kid = header.get("kid")
    fitting = [
        key
        for key in keys
        if key.key_type == key_type
        and (not curves or key.get("crv") in curves)
        and key.alg in (None, header["alg"])
        and (kid is None or key.kid == kid)
    ]
    return fitting[:_MAX_CANDIDATES]


def _is_signed_with(signed: jws.CompactSignature, key: Key) -> bool:
    try:
        return jws.validate_compact(signed, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False


def check_claims(claims: Mapping[str, Any], issuer: Issuer, now: datetime) -> None:
    """Pass if the token was issued for this API, and is valid at `now`.

    Raises:
        InvalidToken: it was not, or is not.
    """
    require_unexpired(expiry_of(claims), now)
    for claim in ("nbf", "iat"):
        if claim in claims and not is_time(claims[claim]):
            raise InvalidToken(f"The `{claim}` of the token is not a time.", reason="MALFORMED")
    registry = JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=int(CLOCK_LEEWAY.total_seconds()),
        iss={"essential": True, "value": issuer.url},
        aud={"essential": True, "values": sorted(issuer.audiences)},
        exp={"essential": True},
    )
    problem = ""
    try:
        registry.validate(dict(claims))
    except ClaimError as error:
        problem = error.claim
    # Not within `except`, because the error holds the claim's value.
    if problem == "aud":
        raise InvalidToken("The token was issued for another audience than this API.", reason="AUDIENCE")
    if problem in ("nbf", "iat"):
        raise InvalidToken("The token is not valid yet.", reason="NOT_YET_VALID")
    if problem:
        raise InvalidToken("The claims of the token are not valid.", reason="MALFORMED")


def usable_keys(key_set: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """Return the keys of a key set that may sign tokens."""
    members = key_set.get("keys")
    found = (_usable_key(each) for each in members[:_MAX_KEYS]) if isinstance(members, list) else ()
    return tuple(key for key in found if key is not None)


def _usable_key(member: object) -> PublicKey | None:
    """Return a public key that may sign tokens; None for any other, such as a symmetric one."""
    if not isinstance(member, dict) or member.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    operations = member.get("key_ops")
    if member.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        return None
    modulus = member.get("n", "")
    if member["kty"] == "RSA" and (not isinstance(modulus, str) or len(modulus) * 6 < _MIN_RSA_BITS):
        return None
    try:
        key = JWKRegistry.import_key({name: member[name] for name in _PUBLIC_MEMBERS if name in member})
        _ = key.public_key  # reads the numbers
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None
