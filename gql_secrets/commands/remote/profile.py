"""Which remote server a command acts on, and with which credentials: options, a profile file, the environment."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from gql_secrets.domain.credentials import PlaintextSecret, is_client_id
from gql_secrets.domain.errors import SetupError
from gql_secrets.settings import FOR_REMOTE_SERVERS
from gql_secrets.settings.addresses import is_loopback

if TYPE_CHECKING:
    from gql_secrets.commands.remote.connection import Connection

_CLIENT_ID, _CLIENT_SECRET = FOR_REMOTE_SERVERS
_NAMES: Final = ("url", "client_id", "client_secret")


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote server and the client that the command line signs in as."""

    url: str
    client_id: str
    secret: PlaintextSecret

    @classmethod
    def find(
        cls,
        environment: Mapping[str, str] = os.environ,
        *,
        url: str | None = None,
        client_id: str | None = None,
        profile: Path | None = None,
    ) -> Self | None:
        """Return the remote server that the options name; None without `--url` and `--profile`.

        An option takes precedence over the environment, and that over the profile.

        Raises:
            SetupError: the profile or the URL is invalid, or the credentials are missing.
        """
        if url is None and profile is None:
            if client_id is not None:
                raise SetupError("--client-id is for a remote server: pass --url too.")
            return None
        values = _read(profile) if profile else {}
        url = url or values.get("url")
        if not url:
            raise SetupError(f"{profile} names no server: pass --url, or write a line url=https://…")
        client_id = client_id or environment.get(_CLIENT_ID) or values.get("client_id")
        secret = environment.get(_CLIENT_SECRET) or values.get("client_secret")
        if not client_id or not secret:
            missing = "secret" if client_id else "client id"
            raise SetupError(
                f"A remote server needs credentials, and the {missing} is missing. Pass --client-id and set "
                f"{_CLIENT_SECRET}, or pass --profile with a file that only you can read."
            )
        return cls(_checked(url), _checked_id(client_id.strip()), PlaintextSecret(_checked_secret(secret.strip())))

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator["Connection"]:
        """Yield a connection to the server."""
        from gql_secrets.commands.remote.connection import Connection

        async with Connection(self.url, self.client_id, self.secret) as connection:
            yield connection


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise SetupError("The URL of the server is malformed.") from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("http", "https") or not host or extra:
        raise SetupError("The URL of the server must be only a scheme and a host, such as https://secrets.example.com")
    if parts.scheme == "http" and not is_loopback(host):
        raise SetupError(f"http would send the secret to {host} in cleartext. Use https.")
    return f"{parts.scheme}://{parts.netloc}"


def _checked_id(client_id: str) -> str:
    if not is_client_id(client_id):
        # It is not repeated: it may be the secret.
        raise SetupError("The client id has characters that no client id has. Check --client-id and the profile.")
    return client_id


def _checked_secret(secret: str) -> str:
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise SetupError(f"{_CLIENT_SECRET} is not UTF-8 text.") from None
    return secret


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            f"Cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}."
        ) from error
    if os.name == "posix" and status.st_uid not in (0, os.geteuid()):
        raise SetupError(f"{path} belongs to another user.")
    if os.name == "posix" and status.st_mode & 0o077:
        raise SetupError(f"Other users can read {path}. Run: chmod 600 {path}")
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or name.strip() not in _NAMES or name.strip() in values:
            # The line is not repeated: it may hold the secret.
            raise SetupError(f"{path}, line {number}: write one each of {', '.join(f'{each}=…' for each in _NAMES)}.")
        values[name.strip()] = value.strip()
    return values
