"""A browser as the server sees it: the headers that a page makes it send, the cookie that it keeps."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from gql_secrets.api.keys import SERVICES
from gql_secrets.domain.access import Role
from support.callers import CLI

Api = TestClient[Any, Any]
COOKIE = "gql_secrets_session"


@dataclass
class Browser:
    """Somebody's browser with one of our own pages open."""

    api: Api
    cookie: str | None = None
    page: dict[str, str] = field(default_factory=dict)
    """What the browser says of the page that asks."""

    def __post_init__(self) -> None:
        self.page = {"Sec-Fetch-Site": "same-origin", "Origin": own_origin(self.api)}

    async def sign_in(self, role: Role = Role.ADMIN, name: str = "ada") -> None:
        link = await self.api.app[SERVICES].sessions.create_sign_in_link(name, role, by=CLI)
        async with self.api.post("/sign-in", json={"token": link.token.reveal()}, headers=self.headers()) as response:
            assert response.status == 204
            self.cookie = response.cookies[COOKIE].value
        self.api.session.cookie_jar.clear()  # aiohttp's own client would send it with every request

    async def sign_in_again(self) -> None:
        """With our own page open, as a person would."""
        self.__post_init__()
        await self.sign_in()

    def headers(self, **others: str) -> dict[str, str]:
        cookie = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        return self.page | cookie | others

    async def ask(self, query: str, **others: str) -> tuple[ClientResponse, Any]:
        async with self.api.post("/graphql", json={"query": query}, headers=self.headers(**others)) as response:
            return response, await response.json(content_type=None)

    async def viewer(self) -> dict[str, Any] | None:
        _, content = await self.ask("{ viewer { name kind roles } }")
        viewer: dict[str, Any] | None = content["data"]["viewer"]
        return viewer


def own_origin(api: Api) -> str:
    return f"http://{api.host}:{api.port}"
