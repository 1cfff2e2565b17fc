"""Settings: read once from the environment, refused with a sentence when they are wrong."""

import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.durations import parse_duration
from gql_secrets.domain.errors import SetupError
from gql_secrets.domain.limits import Rate
from gql_secrets.domain.rotation import MAX_RETENTION

PREFIX: Final = "GQL_SECRETS_"
PEPPER_FILE: Final = "pepper.keys"
DATABASE_FILE: Final = "gql-secrets.db"
_CHOICES: Final = {
    "introspection": ("signed-in", "everyone", "nobody"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "rate_limits": ("on", "off"),
}
_MAX_PORT: Final = 65535
_FAILURES: Final = Rate(100, timedelta(minutes=1))
_SIGN_INS: Final = Rate(20, timedelta(minutes=1))
_RESETS: Final = Rate(60, timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator decides; each field is the environment variable of its name in capitals."""

    data_dir: Path = Path(".gql-secrets")
    host: str = "127.0.0.1"
    port: int = 8080
    database_url: str = field(default="", repr=False)  # it may hold a password
    database_pool_size: int = 10
    statement_cache_size: int = 100
    public_url: str = ""
    pepper: str = field(default="", repr=False)
    log_level: str = "INFO"
    trusted_proxies: str = ""
    quiet_time: timedelta = timedelta(hours=1)
    clients_api_status: str = "200"
    allowed_origins: str = ""
    introspection: str = "signed-in"
    trusted_documents: str = ""
    ionapi_template: str = ""
    rate_limits: str = "on"
    limit_failures_per_address: Rate = _FAILURES
    limit_failures_per_client: Rate = _FAILURES
    limit_sign_ins_per_address: Rate = _SIGN_INS
    limit_resets_per_client: Rate = _RESETS
    insecure: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **given: object) -> Self:
        """Read `GQL_SECRETS_*`; what is `given` (the command line) goes first.

        Raises:
            SetupError: a name is unknown, or a value cannot be.
        """
        known = {f"{PREFIX}{name.upper()}": name for name in cls.__dataclass_fields__ if name != "insecure"}
        values: dict[str, object] = {}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX):
                continue
            if variable not in known:
                raise SetupError(f"{variable} is not a setting. The settings are: {', '.join(known)}.")
            values[known[variable]] = _parsed(variable, known[variable], text)
        values.update({name: value for name, value in given.items() if value is not None})
        settings = cls(**values)  # type: ignore[arg-type]  # each is checked above or by the command line
        settings._check()
        return settings

    def _check(self) -> None:
        if not 0 <= self.port <= _MAX_PORT:
            raise SetupError(f"GQL_SECRETS_PORT must be from 0 to {_MAX_PORT}.")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SetupError(f"GQL_SECRETS_{name.upper()} must be one of {', '.join(choices)}.")
        if self.clients_api_status not in ("200", "mapped"):
            raise SetupError(
                "GQL_SECRETS_CLIENTS_API_STATUS must be 200 (errors of /clients have HTTP status 200) or mapped (4xx)."
            )
        if not timedelta(seconds=1) <= self.quiet_time <= MAX_RETENTION:
            raise SetupError("GQL_SECRETS_QUIET_TIME must be from 1s to 168h.")
        if not self.database_pool_size:
            raise SetupError("GQL_SECRETS_DATABASE_POOL_SIZE must be at least 1.")
        self._check_addresses()

    def _check_addresses(self) -> None:
        if self.public_url and not _is_origin(self.public_url):
            raise SetupError(
                "GQL_SECRETS_PUBLIC_URL must be scheme and host alone, such as https://secrets.example.com"
            )
        if not all(_is_origin(origin) for origin in self.origins):
            raise SetupError(
                "GQL_SECRETS_ALLOWED_ORIGINS must be origins, comma-separated, each scheme and host alone, such as "
                "https://app.example.com"
            )
        if not _is_loopback(self.host) and not self.public_url.lower().startswith("https:") and not self.insecure:
            raise SetupError(
                f"Listening on {self.host} would send secrets in the clear. Set GQL_SECRETS_PUBLIC_URL to the https "
                "address in front of this server, or pass --insecure."
            )

    @property
    def address_url(self) -> str:
        """What people type: the public URL, or the address that the server listens on."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of the allowed frontends, as they were written."""
        parts = (part.strip() for part in self.allowed_origins.split(","))
        return tuple(parts) if self.allowed_origins.strip() else ()

    def limit(self, rate: Rate) -> Rate | None:
        """Return this limit of these settings, or None where all limits are off."""
        return rate if self.rate_limits == "on" else None

    @property
    def resolved_database_url(self) -> str:
        """The database's URL; without a setting a SQLite file in the data directory."""
        return self.database_url or f"sqlite:///{(self.data_dir / DATABASE_FILE).absolute()}"

    def make_data_dir(self) -> None:
        """Make the data directory, for its owner alone (0700).

        Raises:
            SetupError: it cannot be made.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"The data directory {self.data_dir} cannot be made: {error.strerror}.") from error

    def load_pepper(self) -> Pepper | None:
        """Return the ring of the setting, or of `pepper.keys` in the data directory; None where neither is.

        Raises:
            SetupError: it is malformed or weak, or others can read the file.
        """
        if self.pepper:
            return Pepper.parse(self.pepper)
        path = self.data_dir / PEPPER_FILE
        try:
            text = path.read_text("ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"{path} cannot be read: {error}.") from error
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise SetupError(f"Others can read {path}: run chmod 600 {path}")
        return Pepper.parse(text)

    def write_new_pepper(self) -> Pepper:
        """Make `pepper.keys` (0600) with one new key.

        Raises:
            SetupError: it cannot be written.
        """
        pepper, path = Pepper.mint(), self.data_dir / PEPPER_FILE
        part = path.with_name(f"{PEPPER_FILE}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(pepper.written() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(part, path)  # fails where another process was first: its key counts
        except FileExistsError:
            return self.load_pepper() or pepper
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)
        return pepper


def _parsed(variable: str, name: str, text: str) -> object:
    if name in ("data_dir", "pepper") and not text.strip():
        # A variable that a deployment forgot to fill must not end in a new pepper, or in the working directory.
        raise SetupError(f"{variable} is set and empty. Give it a value, or unset it.")
    if name == "data_dir":
        return Path(text)
    if name in ("port", "database_pool_size", "statement_cache_size"):
        if not re.fullmatch(r"[0-9]{1,6}", text):
            raise SetupError(f"{variable} must be a whole number.")
        return int(text)
    if name == "quiet_time" or name.startswith("limit_"):
        try:
            return parse_duration(text) if name == "quiet_time" else Rate.parse(text)
        except ValueError as error:
            raise SetupError(f"{variable}: {error}") from None
    return text.upper() if name == "log_level" else text


def _is_origin(text: str) -> bool:
    try:
        url = urlsplit(text)
        port_is_one = url.port is None or url.port > 0
    except ValueError:
        return False
    is_bare = not (url.path.strip("/") or url.query or url.fragment or url.username)
    return url.scheme in ("http", "https") and bool(url.hostname) and port_is_one and is_bare


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
