"""Where a database is, as its URL states it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from gql_secrets.domain.errors import SetupError

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MODES_WITH_FILES: Final = ("require", "verify-ca", "verify-full")
_FILE_OPTIONS: Final = {"sslrootcert": "root_certificate", "sslcert": "certificate", "sslkey": "key"}
_OPTIONS: Final = {
    "host",
    "port",
    "sslmode",
    "application_name",
    "connect_timeout",
    "target_session_attrs",
    *_FILE_OPTIONS,
}
_SESSIONS: Final = ("read-write", "primary")
_MAX_PORT: Final = 65_535
_MAX_CONNECT_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The certificates and the key of a TLS connection to PostgreSQL."""

    root_certificate: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where the database is: a SQLite file has a path, PostgreSQL all the other fields."""

    dialect: str
    path: Path | None = None
    host: str = ""
    port: int = 5432
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str = ""
    ssl_mode: str | None = None
    tls_files: TlsFiles | None = None
    application_name: str = "gql-secrets"
    connect_seconds: int | None = None
    other_hosts: tuple[tuple[str, int], ...] = ()

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """Where the server may be: each host with its port, in the order in which they are tried."""
        return (self.host, self.port), *self.other_hosts

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgres://user:password@host:port/name`.

        The query may have libpq's options `host` (a name, or the directory of a Unix socket), `port`, `sslmode`,
        `sslrootcert`, `sslcert`, `sslkey`, `application_name`, `connect_timeout` and `target_session_attrs`. There
        may be several hosts, separated by commas, each with its port: the one that is the primary is used.

        Raises:
            SetupError: the URL is not valid; the message never shows the password.
        """
        if "#" in url:
            raise SetupError("The database URL contains a # that is not percent-encoded. Write it as %23.")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise SetupError(
                "The database URL is malformed. Write special characters of the password percent-encoded."
            ) from None
        if parts.scheme == "sqlite":
            path = unquote(parts.path).removeprefix("/")
            if parts.netloc or not path or path == ":memory:":
                raise SetupError("A SQLite database needs a file: sqlite:///path/to/file.db")
            return cls("sqlite", Path(path))
        if parts.scheme not in ("postgres", "postgresql"):
            raise SetupError("The database URL must begin with sqlite:/// or postgres://")
        return cls("postgres", **_postgres(parts))


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How a node uses PostgreSQL."""

    size: int = 10
    # None: 100, or 0 behind a connection pooler.
    statement_cache_size: int | None = None


def _postgres(parts: SplitResult) -> dict[str, Any]:
    query = dict(parse_qsl(parts.query))
    if unknown := query.keys() - _OPTIONS:
        raise SetupError(
            f"The database URL has an unknown option: {', '.join(sorted(unknown))}. "
            f"It knows: {', '.join(sorted(_OPTIONS))}."
        )
    name = unquote(parts.path).removeprefix("/")
    (host, port), *others = _hosts_of(parts, query)
    if not name:
        raise SetupError("The database URL must name a database: postgres://user@host/name")
    if query.get("target_session_attrs", "primary") not in _SESSIONS:
        raise SetupError(
            "target_session_attrs in the database URL must be read-write or primary: a standby may not have the "
            "latest revoke."
        )
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "other_hosts": tuple(others),
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "database": name,
        **_tls_of(query),
    }
    if "application_name" in query:
        given["application_name"] = query["application_name"]
    if "connect_timeout" in query:
        given["connect_seconds"] = _number(query["connect_timeout"], _MAX_CONNECT_SECONDS)
        if given["connect_seconds"] is None:
            raise SetupError(f"connect_timeout in the database URL must be 1 to {_MAX_CONNECT_SECONDS} seconds.")
    return given


def _hosts_of(parts: SplitResult, query: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return each host with its port: those of the query, as libpq, before those between `@` and the path."""
    pairs = [_host_and_port(place) for place in parts.netloc.rpartition("@")[2].split(",")]
    hosts = query["host"].split(",") if query.get("host") else [host for host, _ in pairs]
    ports = query["port"].split(",") if query.get("port") else [port for _, port in pairs]
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        if query.get("port"):
            raise SetupError("The database URL must have one port, or one for each host.")
        ports = [""] * len(hosts)
    return [(host or "localhost", _port_of(port)) for host, port in zip(hosts, ports, strict=True)]


def _host_and_port(place: str) -> tuple[str, str]:
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = place.partition(":")
    return unquote(host), port


def _port_of(text: str) -> int:
    port = _number(text or "5432", _MAX_PORT)
    if port is None:
        raise SetupError(
            "The port in the database URL is not a number from 1 to 65535. If the password contains : / ? @ [ or ], "
            "write them percent-encoded (/ is %2F, @ is %40)."
        )
    return port


def _tls_of(query: dict[str, str]) -> dict[str, Any]:
    mode = query.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        raise SetupError(f"sslmode in the database URL must be one of {', '.join(_SSL_MODES)}.")
    files = {_FILE_OPTIONS[name]: path for name, path in query.items() if name in _FILE_OPTIONS}
    if files and mode not in _MODES_WITH_FILES:
        raise SetupError(
            "sslrootcert, sslcert and sslkey in the database URL require sslmode=require, verify-ca or verify-full."
        )
    return {"ssl_mode": mode, "tls_files": TlsFiles(**files) if files else None}


def _number(text: str, maximum: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 1 <= int(text) <= maximum else None
