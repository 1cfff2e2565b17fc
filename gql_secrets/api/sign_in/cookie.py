"""The cookie that carries a session."""

from typing import Final

from aiohttp import web

from gql_secrets.domain.sessions import MAX_SESSION

_NAME: Final = "gql_secrets_session"


class SessionCookie:
    """The cookie that carries a session's token: scripts cannot read it, and only this server's own pages send it.

    Behind https it is `Secure`, and the prefix `__Host-` makes browsers bind it to this host.
    """

    def __init__(self, public_origin: str) -> None:
        """Name it for an origin, which has its scheme in lower case (`OwnOrigin.public`)."""
        self.is_secure = public_origin.startswith("https://")
        self.name = f"__Host-{_NAME}" if self.is_secure else _NAME

    def read(self, request: web.Request) -> str | None:
        """Return the token in the request's cookie; None without one."""
        return request.cookies.get(self.name)

    def write(self, response: web.StreamResponse, token: str) -> None:
        """Set the cookie in the browser."""
        seconds = int(MAX_SESSION.total_seconds())
        response.set_cookie(
            self.name, token, max_age=seconds, path="/", secure=self.is_secure, httponly=True, samesite="Strict"
        )

    def delete(self, response: web.StreamResponse) -> None:
        """Delete the cookie in the browser."""
        response.del_cookie(self.name, path="/", secure=self.is_secure, httponly=True, samesite="Strict")
