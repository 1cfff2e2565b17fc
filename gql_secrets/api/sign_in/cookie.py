"""The cookie that carries a session."""

from typing import Final

from aiohttp import web

from gql_secrets.domain.sessions import MAX_SESSION

_NAME: Final = "gql_secrets_session"


class SessionCookie:
    """The cookie that carries a session's id: unreadable for scripts, and sent by our own pages alone."""

    def __init__(self, public_url: str) -> None:
        """Name it; behind https the browser itself holds it to this host (`__Host-`)."""
        self.is_secure = public_url.startswith("https://")
        self.name = f"__Host-{_NAME}" if self.is_secure else _NAME

    def read(self, request: web.Request) -> str | None:
        """Return what the request's cookie holds."""
        return request.cookies.get(self.name)

    def write(self, response: web.StreamResponse, token: str) -> None:
        """Give the browser a session."""
        seconds = int(MAX_SESSION.total_seconds())
        response.set_cookie(
            self.name, token, max_age=seconds, path="/", secure=self.is_secure, httponly=True, samesite="Strict"
        )

    def delete(self, response: web.StreamResponse) -> None:
        """Take the session from the browser."""
        response.del_cookie(self.name, path="/", secure=self.is_secure, httponly=True, samesite="Strict")
