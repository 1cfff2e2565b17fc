"""ID tokens (OpenID Connect Core 1.0) and logout tokens (OpenID Connect Back-Channel Logout 1.0)."""

import hmac
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gql_secrets.api.authentication.identity_providers import IdentityProvider
from gql_secrets.domain import base64url
from gql_secrets.domain.errors import InvalidToken
from gql_secrets.domain.identity import CLOCK_LEEWAY, Issuer, expiry_of, is_time, read_subject, require_unexpired
from gql_secrets.domain.texts import is_writable

_LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_ALGORITHM: Final = re.compile(r"[A-Za-z0-9-]{1,24}")
_MAX_LOGOUT_AGE: Final = timedelta(minutes=5)


async def read_id_token(
    token: str, provider: IdentityProvider, now: datetime, *, nonce: str | None, all_issuers: Iterable[Issuer]
) -> Mapping[str, Any]:
    """Return the claims of an ID token for the console.

    Args:
        token: the token.
        provider: who must have issued it.
        now: the current time.
        nonce: what the authorization asked for; None after a refresh, where a nonce may be missing.
        all_issuers: all issuers that are trusted.

    Raises:
        InvalidToken: it is not valid.
        Unavailable: the keys of its issuer cannot be fetched.
    """
    claims = await _read(token, provider)
    require_unexpired(expiry_of(claims), now, "ID token")
    _issued_at(claims, now)
    if nonce is not None and not _is_same(claims.get("nonce"), nonce):
        raise InvalidToken("The ID token is for another sign-in.", reason="NONCE")
    read_subject(claims, provider.issuer, all_issuers)
    return claims


async def read_logout_token(
    token: str, provider: IdentityProvider, now: datetime
) -> tuple[Mapping[str, Any], datetime]:
    """Return the claims of a logout token, and when it was issued.

    Raises:
        InvalidToken: it is not valid, or too old.
        Unavailable: the keys of its issuer cannot be fetched.
    """
    claims = await _read(token, provider)
    issued_at = _issued_at(claims, now)
    if "exp" in claims:
        require_unexpired(expiry_of(claims), now, "logout token")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict) or "nonce" in claims:
        raise InvalidToken("This is not a logout token.", reason="TYPE")
    names = [claims[name] for name in ("sub", "sid") if claims.get(name) is not None]
    if not isinstance(claims.get("jti"), str):
        raise InvalidToken("The logout token has no `jti`.", reason="MALFORMED")
    are_texts = all(isinstance(name, str) and is_writable(name) for name in names)
    if not names or not are_texts or now - issued_at > _MAX_LOGOUT_AGE:
        raise InvalidToken("The logout token names nobody, or is too old.", reason="MALFORMED")
    return claims, issued_at


def name_algorithm(token: str) -> str:
    """Return with which algorithm the provider signed a token that nothing has proven; `unknown` if it does not say."""
    try:
        algorithm = json.loads(base64url.decode(token.partition(".")[0])).get("alg")
    except (ValueError, AttributeError, RecursionError):
        algorithm = None
    return algorithm if isinstance(algorithm, str) and _ALGORITHM.fullmatch(algorithm) else "unknown"


def name_issuer(token: str) -> str | None:
    """Return the issuer that a token names, which nothing has proven; None if it names none.

    Raises:
        InvalidToken: it is too long, not a JWT, or signed with another algorithm.
    """
    from gql_secrets.api.authentication.jose import parse_jwt  # noqa: PLC0415  loaded only where there is a provider

    issuer = parse_jwt(token)[1].get("iss")
    return issuer if isinstance(issuer, str) else None


async def _read(token: str, provider: IdentityProvider) -> Mapping[str, Any]:
    """Return the claims of a token that this provider signed for the console's client."""
    from gql_secrets.api.authentication.jose import parse_jwt, require_signature  # noqa: PLC0415  loaded only where there is a provider

    signed, claims = parse_jwt(token)
    if claims.get("iss") != provider.issuer.url:
        raise InvalidToken("The token is from another issuer.", reason="ISSUER")
    await require_signature(signed, provider)
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    client_id = provider.issuer.client_id
    is_shared = len(audiences) > 1 or "azp" in claims
    if client_id not in audiences or (is_shared and claims.get("azp", client_id) != client_id):
        raise InvalidToken("The token was issued for another client.", reason="AUDIENCE")
    return claims


def _issued_at(claims: Mapping[str, Any], now: datetime) -> datetime:
    issued_at = claims.get("iat")
    if not is_time(issued_at):
        raise InvalidToken("The token has no valid `iat`.", reason="MALFORMED")
    if issued_at > (now + CLOCK_LEEWAY).timestamp():
        raise InvalidToken("The token is not valid yet.", reason="NOT_YET_VALID")
    return datetime.fromtimestamp(max(issued_at, 0), UTC)


def _is_same(given: object, expected: str) -> bool:
    # JSON can name a lone surrogate, which UTF-8 cannot.
    return isinstance(given, str) and hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode())
