"""Access tokens: JWTs that an identity provider signed (RFC 7519, RFC 9068, RFC 8725)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import web
from joserfc import jws
from joserfc.errors import ClaimError, JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key
from joserfc.jwt import JWTClaimsRegistry

from gql_secrets.api.authentication.identity_providers import IdentityProvider, PublicKey
from gql_secrets.domain.errors import InvalidToken, Unavailable
from gql_secrets.domain.identity import Issuer, TokenPerson, expiry_of, is_time, read_person, require_unexpired

MAX_TOKEN: Final = 16 * 1024
# How far the provider's clock may be ahead of the database's: of `nbf` and `iat`. Nothing is valid after its `exp`.
LEEWAY: Final = timedelta(seconds=60)
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


class AccessTokens:
    """Checks access tokens of the configured issuers.

    Args:
        issuers: the issuers; without any, no token is accepted.
    """

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        self.providers = {issuer.url: IdentityProvider(issuer) for issuer in issuers}

    async def check(self, token: str, now: datetime) -> TokenPerson:
        """Return the person of an access token.

        Raises:
            InvalidToken: it is not valid; the message says why and has nothing of its content.
            Unavailable: the keys of its issuer cannot be fetched.
        """
        signed, claims = parse_jwt(token)
        issuer = claims.get("iss")
        provider = self.providers.get(issuer) if isinstance(issuer, str) else None
        if provider is None:
            raise InvalidToken("The token is from another issuer than those of this server.", reason="ISSUER")
        await require_signature(signed, provider)
        _check_claims(claims, provider.issuer, now)
        return read_person(
            claims,
            provider.issuer,
            token_type=signed.headers().get("typ"),
            all_issuers=[each.issuer for each in self.providers.values()],
        )

    async def close(self) -> None:
        """Stop fetching keys."""
        for provider in self.providers.values():
            await provider.close()


ACCESS_TOKENS: Final = web.AppKey("access_tokens", AccessTokens)


def add_access_tokens(app: web.Application, issuers: Iterable[Issuer]) -> None:
    """Let the application check access tokens; no identity provider needs to answer when it starts."""
    app[ACCESS_TOKENS] = AccessTokens(issuers)

    async def close(app: web.Application) -> None:
        await app[ACCESS_TOKENS].close()

    app.on_cleanup.append(close)


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


async def require_signature(signed: jws.CompactSignature, provider: IdentityProvider) -> None:
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


def _check_claims(claims: Mapping[str, Any], issuer: Issuer, now: datetime) -> None:
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
        leeway=int(LEEWAY.total_seconds()),
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
