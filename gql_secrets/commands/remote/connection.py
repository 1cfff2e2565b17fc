"""One connection of the command line to a remote server: sends documents, and turns errors into failures."""

import json
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import hdrs

from gql_secrets import __version__
from gql_secrets.commands.installation import RefusedByServer
from gql_secrets.commands.interruption import uninterrupted
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.errors import NOT_EVALUATED, Failure, Unavailable

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=10)
# Of a proxy in front of a server that is down or restarts.
_UNAVAILABLE: Final = (502, 503, 504)
_REDIRECTS: Final = range(300, 400)


class _MakesNoChangesError(Unavailable):
    """The server makes no changes now, and says why: this one was not made."""


class Connection:
    """Executes documents on a server."""

    def __init__(self, url: str, client_id: str, secret: PlaintextSecret) -> None:
        """Sign in at this server with these credentials; they are sent to no other one."""
        self._url = url
        self._session = aiohttp.ClientSession(
            timeout=_TIMEOUT,
            headers={
                hdrs.AUTHORIZATION: aiohttp.encode_basic_auth(client_id, secret.reveal()),
                hdrs.ACCEPT: "application/json",
                hdrs.USER_AGENT: f"gql-secrets/{__version__}",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def query(self, document: str, **variables: object) -> dict[str, Any]:
        """Return the data of a query.

        Raises:
            Unavailable: the server cannot be reached, or cannot answer now.
            Failure: it refused the query.
        """
        try:
            async with self._session.post(
                f"{self._url}/graphql", json={"query": document, "variables": variables}, allow_redirects=False
            ) as answer:
                status, body = answer.status, await answer.read()
        except TimeoutError:
            raise Unavailable(f"{self._url} did not answer in time.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{self._url} cannot be reached: {_reason_of(error)}.") from error
        if status in _REDIRECTS:
            raise Failure(f"{self._url} redirects, and credentials are sent to no other address. Use its own URL.")
        content = _content_of(body)
        if content is None:
            kind = Unavailable if status in _UNAVAILABLE else Failure
            raise kind(f"{self._url} answered with status {status}, and not as gql-secrets does.")
        if content.get("errors"):
            raise _failure_of(content["errors"][0])
        return dict(content["data"])

    @uninterrupted
    async def change(self, document: str, **variables: object) -> dict[str, Any]:
        """Return the payload of a change.

        Raises:
            RefusedByServer: the server refused it.
            Unavailable: the change was not made, or it is not known whether it was.
            Failure: the caller may not make it.
        """
        try:
            payload = (await self.query(document, **variables))["done"]
        except _MakesNoChangesError:
            raise
        except Unavailable as failure:
            text = str(failure)
            if NOT_EVALUATED not in text:
                text += " Whether the change was made is not known. Check that before you try again."
            raise Unavailable(text) from failure
        for error in payload["userErrors"]:
            raise RefusedByServer(error["code"], error["message"])
        return dict(payload)


def _content_of(body: bytes) -> dict[str, Any] | None:
    """Return the answer to a document, with errors or data; None for what else a proxy answers, also as JSON."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    errors = content.get("errors")
    if not errors:
        return content if isinstance(content.get("data"), dict) else None
    is_ours = isinstance(errors, list) and all(
        isinstance(each, dict) and "message" in each and isinstance(each.get("extensions", {}), dict) for each in errors
    )
    return content if is_ours else None


def _failure_of(error: dict[str, Any]) -> Failure:
    extensions, message = error.get("extensions", {}), str(error.get("message"))
    code = extensions.get("code")
    if code == "UNAVAILABLE":
        kind = _MakesNoChangesError if extensions.get("reason") else Unavailable
        return kind(message or "The server is unavailable.")
    if code == "UNAUTHENTICATED":
        return RefusedByServer(code, f"{message} Check the client id and the secret.")
    return RefusedByServer(code, message) if code else Failure(message)


def _reason_of(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(cause, "strerror", None) or cause).rstrip(".") or type(error).__name__
