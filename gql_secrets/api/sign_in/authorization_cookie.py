"""The cookie that binds a sign-in at an identity provider to the browser that began it.

Without it, a page of another site could sign somebody in as somebody else (login CSRF), and a stolen state could be
used in another browser. It is encrypted, because it holds what the code is redeemed with.
"""

import hmac
from typing import Final

from aiohttp import web

from gql_secrets.api.keys import SERVICES
from gql_secrets.domain import base64url
from gql_secrets.domain.credentials import sha256_of_parts
from gql_secrets.domain.sign_in import MAX_AUTHORIZATION, Authorization
from gql_secrets.service.sealing import seal, unseal

_NAME: Final = "gql_secrets_authorization_"
_PURPOSE: Final = "authorizations"
_MAX_STATE: Final = 64
_MAX_COOKIE: Final = 4096
# Several windows may sign in at the same time; a browser that began more loses the others.
_MAX_AT_A_TIME: Final = 4


class AuthorizationCookie:
    """Writes and reads the cookie: one for each sign-in that was begun, named by its state."""

    def __init__(self, *, is_secure: bool) -> None:
        self._is_secure = is_secure
        self._prefix = f"__Host-{_NAME}" if is_secure else _NAME

    def write(self, request: web.Request, response: web.StreamResponse, authorization: Authorization) -> None:
        """Set the cookie in the browser. `Lax`, because the provider sends the browser back."""
        others = [name for name in request.cookies if name.startswith(self._prefix)]
        for name in others[: max(0, len(others) - _MAX_AT_A_TIME + 1)]:
            self._delete(response, name)
        name = self._name_of(authorization.state)
        pepper = request.app[SERVICES].changes.pepper
        key_id, sealed = seal(authorization.to_bytes(), pepper, purpose=_PURPOSE, context=name)
        response.set_cookie(
            name,
            f"{base64url.encode(key_id.encode())}.{base64url.encode(sealed)}",
            max_age=int(MAX_AUTHORIZATION.total_seconds()),
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="Lax",
        )

    def read(self, request: web.Request, state: str) -> Authorization | None:
        """Return the sign-in with this state that this browser began; None if it began none."""
        if len(state) > _MAX_STATE:
            return None
        name = self._name_of(state)
        value = request.cookies.get(name, "")
        key, dot, content = value.partition(".")
        if not dot or len(value) > _MAX_COOKIE:
            return None
        try:
            key_id, sealed = base64url.decode(key).decode(), base64url.decode(content)
        except ValueError:
            return None
        raw = unseal(key_id, sealed, request.app[SERVICES].changes.pepper, purpose=_PURPOSE, context=name)
        authorization = Authorization.of_bytes(raw) if raw is not None else None
        is_same = authorization is not None and hmac.compare_digest(authorization.state.encode(), state.encode())
        return authorization if is_same else None

    def delete(self, response: web.StreamResponse, state: str) -> None:
        """Delete the cookie in the browser: its sign-in has ended."""
        self._delete(response, self._name_of(state))

    def _name_of(self, state: str) -> str:
        return self._prefix + sha256_of_parts("sign-in cookie", state).hex()[:16]

    def _delete(self, response: web.StreamResponse, name: str) -> None:
        response.del_cookie(name, path="/", secure=self._is_secure, httponly=True, samesite="Lax")
