"""Access tokens: JWTs that an identity provider signed (RFC 7519, RFC 9068, RFC 8725)."""

from collections.abc import Iterable
from datetime import datetime
from importlib import import_module
from typing import Final

from aiohttp import web

from gql_secrets.api.authentication.identity_providers import IdentityProvider
from gql_secrets.domain.errors import InvalidToken
from gql_secrets.domain.identity import Issuer, TokenPerson, read_person


class AccessTokens:
    """Checks access tokens of the configured issuers.

    Args:
        issuers: the issuers; without any, no token is accepted.
    """

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        self.providers = {issuer.url: IdentityProvider(issuer) for issuer in issuers}
        if self.providers:
            import_module("gql_secrets.api.authentication.jose")  # at the start, not when the first token comes

    async def check(self, token: str, now: datetime) -> TokenPerson:
        """Return the person of an access token.

        Raises:
            InvalidToken: it is not valid; the message says why and has nothing of its content.
            Unavailable: the keys of its issuer cannot be fetched.
        """
        from gql_secrets.api.authentication.jose import (  # noqa: PLC0415  loaded only where there is a provider
            check_claims,
            parse_jwt,
            require_signature,
        )

        signed, claims = parse_jwt(token)
        issuer = claims.get("iss")
        provider = self.providers.get(issuer) if isinstance(issuer, str) else None
        if provider is None:
            raise InvalidToken("This server does not accept tokens of this issuer.", reason="ISSUER")
        await require_signature(signed, provider)
        check_claims(claims, provider.issuer, now)
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
