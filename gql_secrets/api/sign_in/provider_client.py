"""The console as a client of an identity provider: OpenID Connect Core 1.0, with PKCE."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote_plus

import aiohttp
from yarl import URL

from gql_secrets.api.authentication.access_tokens import AccessTokens
from gql_secrets.api.authentication.identity_providers import (
    FETCH_SECONDS,
    IdentityProvider,
    InvalidDocument,
    find_endpoint,
    make_session,
    read_json,
)
from gql_secrets.api.sign_in.id_tokens import name_algorithm, read_id_token
from gql_secrets.domain.access import Role, rank
from gql_secrets.domain.errors import InvalidToken, Unavailable
from gql_secrets.domain.identity import TokenPerson, find_display_name, find_role, identity_at
from gql_secrets.domain.sign_in import (
    Authorization,
    ProviderPerson,
    ProviderTokens,
    RoleSource,
    SignInProblem,
    SignInRefused,
)
from gql_secrets.domain.texts import is_writable
from gql_secrets.service.provider_sessions import Look

_log: Final = logging.getLogger(__name__)
_OK: Final = 200
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_UNREACHABLE: Final = (aiohttp.ClientError, TimeoutError, OSError)
_JSON_ADVICE: Final = (
    "The provider's user info is a JWT, which is not supported. Choose plain JSON for the console's client at the "
    "provider."
)
_MAX_SID: Final = 255
_NO_ANSWER: Final = "The identity provider does not answer. Try again."


class GrantEnded(Exception):  # noqa: N818  a result of a look
    """The provider no longer renews the sign-in."""


class RoleNotShown(Exception):  # noqa: N818  a result of a look
    """The provider does not show the role without the person."""


class LookInterrupted(Unavailable):
    """The provider renewed the sign-in, and then did not answer.

    Attributes:
        tokens: what the next look needs: the refresh token that was used may not be valid again.
    """

    def __init__(self, tokens: ProviderTokens) -> None:
        super().__init__(_NO_ANSWER)
        self.tokens = tokens


@dataclass(frozen=True, slots=True)
class _Response:
    """The token endpoint's answer; without `is_new` an earlier one's access token."""

    access: str
    refresh: str | None
    id_token: str | None
    is_new: bool = True


class ProviderClient:
    """The console's client at one identity provider.

    Args:
        provider: the provider, whose issuer has the client id.
        tokens: checks the access tokens that are JWTs for this API.
        redirect_uri: where the provider sends the browser back to.
    """

    def __init__(self, provider: IdentityProvider, tokens: AccessTokens, redirect_uri: str) -> None:
        self.issuer = provider.issuer
        self._provider = provider
        self._tokens = tokens
        self._redirect_uri = redirect_uri

    @property
    def name(self) -> str:
        """What people call the provider: its host name."""
        return URL(self.issuer.url).host or self.issuer.name

    async def authorization_url(self, authorization: Authorization) -> str:
        """Return where the browser goes to sign in.

        Raises:
            Unavailable: the provider does not answer.
        """
        endpoint = URL(self._endpoint(await self._provider.document(), "authorization_endpoint"))
        parameters = {
            "response_type": "code",
            "client_id": self.issuer.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self.issuer.scopes,
            "state": authorization.state,
            "nonce": authorization.nonce,
            "code_challenge": authorization.challenge,
            "code_challenge_method": "S256",
        }
        if authorization.is_silent:
            parameters["prompt"] = "none"
        return str(endpoint.update_query(parameters))

    async def sign_out_url(self, return_url: str) -> str | None:
        """Return where the browser goes to sign out at the provider too; None if the provider has no such page.

        OpenID Connect RP-Initiated Logout 1.0, without `id_token_hint`: tokens are in no URL.
        """
        try:
            endpoint = URL(self._endpoint(await self._provider.document(), "end_session_endpoint"))
        except Unavailable:
            return None
        return str(endpoint.update_query({"client_id": self.issuer.client_id, "post_logout_redirect_uri": return_url}))

    async def require_issuer(self, given: str | None, *, is_only_one: bool) -> None:
        """Pass if the answer comes from this provider (RFC 9207): otherwise its code is of another one.

        Raises:
            SignInRefused: it does not, or its `iss` is missing although it must be there.
            Unavailable: the provider does not answer.
        """
        document = await self._provider.document()
        must_say = not is_only_one or document.get("authorization_response_iss_parameter_supported") is True
        if given is None and not must_say:
            return
        if given != self.issuer.url:
            raise SignInRefused(SignInProblem.ISSUER)

    async def redeem(self, code: str, authorization: Authorization, now: datetime) -> ProviderPerson:
        """Redeem the code, and return the person who signed in.

        Raises:
            SignInRefused: the provider refuses the code, or its tokens are not valid.
            Unavailable: it does not answer.
        """
        response = None
        try:
            response = await self._ask_for_tokens(
                {
                    "grant_type": "authorization_code",
                    "code": code,
                    "redirect_uri": self._redirect_uri,
                    "code_verifier": authorization.verifier,
                }
            )
            claims = await self._read_id_token(response, now, nonce=authorization.nonce)
        except (GrantEnded, InvalidToken) as refused:
            reason = getattr(refused, "reason", None) or str(refused)
            advice = {"advice": _advise(response.id_token or "")} if reason == "ALGORITHM" and response else {}
            _log.warning("sign_in_not_completed", extra={"issuer": self.issuer.url, "reason": reason, **advice})
            raise SignInRefused(SignInProblem.TOKEN) from None
        return await self._person(response, claims, str(claims["sub"]), now)

    async def look(self, look: Look, now: datetime) -> ProviderPerson:
        """Ask the provider for the person's role again.

        Raises:
            GrantEnded: the provider no longer renews the sign-in.
            RoleNotShown: it does not show the role without the person.
            LookInterrupted: it renewed the sign-in, and then did not answer.
            Unavailable: it does not answer.
        """
        tokens = look.tokens
        if tokens.refresh is None:
            response = _Response(tokens.access, None, None, is_new=False)
            return await self._person(response, {}, look.subject, now, needs=tokens.role_source)
        response = await self._ask_for_tokens({"grant_type": "refresh_token", "refresh_token": tokens.refresh})
        if response.refresh is None:
            response = _Response(response.access, tokens.refresh, response.id_token)
        try:
            claims = await self._read_id_token_again(response, look, now) if response.id_token is not None else {}
            return await self._person(response, claims, look.subject, now, needs=tokens.role_source)
        except Unavailable as unavailable:
            renewed = ProviderTokens(response.access, response.refresh, tokens.role_source)
            raise LookInterrupted(renewed) from unavailable

    async def _person(
        self,
        response: _Response,
        id_claims: Mapping[str, Any],
        subject: str,
        now: datetime,
        *,
        needs: RoleSource | None = None,
    ) -> ProviderPerson:
        roles: dict[RoleSource, Role | None] = {}
        user_info = await self._user_info(response.access, subject)
        if user_info is not None:
            roles[RoleSource.USER_INFO] = find_role(user_info, self.issuer)
        # Only a new token shows the role as it is now.
        bearer = await self._bearer(response.access, now) if response.is_new else None
        if bearer is not None and bearer.name == identity_at(self.issuer.url, subject):
            roles[RoleSource.ACCESS_TOKEN] = bearer.role
        if id_claims:
            roles[RoleSource.ID_TOKEN] = find_role(id_claims, self.issuer)
        if needs is not None and needs not in roles:
            raise RoleNotShown
        source = max(roles, key=lambda each: rank(roles[each])) if roles else RoleSource.ID_TOKEN
        can_look = response.refresh is not None or source is RoleSource.USER_INFO
        sid = id_claims.get("sid")
        return ProviderPerson(
            self.issuer.url,
            subject,
            find_display_name({**(user_info or {}), **id_claims}, self.issuer),
            roles.get(source),
            sid if isinstance(sid, str) and 0 < len(sid) <= _MAX_SID and is_writable(sid) else None,
            ProviderTokens(response.access, response.refresh, source) if can_look else None,
        )

    async def _bearer(self, access_token: str, now: datetime) -> TokenPerson | None:
        """Return whom the access token names; None if it is opaque, or for another API."""
        try:
            return await self._tokens.check(access_token, now)
        except InvalidToken:
            return None

    async def _read_id_token(self, response: _Response, now: datetime, *, nonce: str | None) -> Mapping[str, Any]:
        if response.id_token is None:
            raise InvalidToken("The provider sent no ID token.", reason="MALFORMED")
        issuers = [each.issuer for each in self._tokens.providers.values()]
        return await read_id_token(response.id_token, self._provider, now, nonce=nonce, all_issuers=issuers)

    async def _read_id_token_again(self, response: _Response, look: Look, now: datetime) -> Mapping[str, Any]:
        """Return the claims of an ID token that came with a refresh: it must be of the same person."""
        try:
            claims = await self._read_id_token(response, now, nonce=None)
        except InvalidToken:
            raise RoleNotShown from None
        if claims["sub"] != look.subject:
            raise GrantEnded("the ID token is of another person")
        return claims

    async def _user_info(self, access_token: str, subject: str) -> Mapping[str, Any] | None:
        """Return the user info; None if the provider has none, or refuses the token.

        Raises:
            Unavailable: the provider does not answer.
        """
        document = await self._provider.document()
        if "userinfo_endpoint" not in document:
            return None
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                make_session() as session,
                session.get(
                    self._endpoint(document, "userinfo_endpoint"), headers=headers, allow_redirects=False
                ) as response,
            ):
                if response.status >= _SERVER_ERROR or response.status == _TOO_MANY:
                    raise _unavailable()
                if response.content_type == "application/jwt":
                    _log.warning("user_info_not_read", extra={"issuer": self.issuer.url, "advice": _JSON_ADVICE})
                    return None
                content = await read_json(response) if response.status == _OK else {}
        except _UNREACHABLE as error:
            raise _unavailable() from error
        except InvalidDocument:
            return None
        return content if content.get("sub") == subject else None

    async def _ask_for_tokens(self, form: Mapping[str, str]) -> _Response:
        """Ask the token endpoint.

        Raises:
            GrantEnded: it refuses the code or the refresh token.
            Unavailable: it does not answer, or refuses the console's client.
        """
        document = await self._provider.document()
        headers = {"Accept": "application/json"}
        data = dict(form)
        if not self.issuer.client_secret:
            data["client_id"] = self.issuer.client_id
        elif _takes_basic(document):
            # RFC 6749, section 2.3.1: each is form-encoded before Basic encodes them.
            login = aiohttp.encode_basic_auth(quote_plus(self.issuer.client_id), quote_plus(self.issuer.client_secret))
            headers["Authorization"] = login
        else:
            data |= {"client_id": self.issuer.client_id, "client_secret": self.issuer.client_secret}
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                make_session() as session,
                session.post(
                    self._endpoint(document, "token_endpoint"), data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                status = response.status
                content = await read_json(response)
        except (*_UNREACHABLE, InvalidDocument) as error:
            raise _unavailable() from error
        if status != _OK:
            problem = content.get("error")
            if problem == "invalid_grant":
                raise GrantEnded("invalid_grant")
            _log.error(
                "identity_provider_refuses_client",
                extra={"issuer": self.issuer.url, "status": status, "reason": str(problem)[:64]},
            )
            raise _unavailable()
        access, refresh, id_token = (content.get(name) for name in ("access_token", "refresh_token", "id_token"))
        if not isinstance(access, str):
            raise _unavailable()
        return _Response(
            access, refresh if isinstance(refresh, str) else None, id_token if isinstance(id_token, str) else None
        )

    def _endpoint(self, document: Mapping[str, Any], name: str) -> str:
        try:
            return find_endpoint(document, name, self.issuer)
        except InvalidDocument as invalid:
            raise _unavailable() from invalid


def _advise(id_token: str) -> str:
    return (
        f"The provider signs ID tokens of the console's client with {name_algorithm(id_token)}, which is not "
        "supported. Choose RS256, PS256, ES256 or EdDSA for this client at the provider."
    )


def _takes_basic(document: Mapping[str, Any]) -> bool:
    """Return whether the client may sign in with Basic, which is the default."""
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return not isinstance(methods, list) or "client_secret_basic" in methods


def _unavailable() -> Unavailable:
    return Unavailable(_NO_ANSWER)
