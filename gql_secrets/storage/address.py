"""Where a database is, as its URL says it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from gql_secrets.domain.errors import SetupError


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where the database is."""

    dialect: str
    path: Path | None = None
    credentials: tuple[tuple[str, Any], ...] = field(default=(), repr=False)  # the password among them

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgres://user:password@host:port/name`.

        A `host` in the query names a directory with a unix socket, as libpq has it.

        Raises:
            SetupError: it is neither; the sentence never shows the password.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise SetupError("The database URL is malformed.") from None
        if parts.scheme == "sqlite":
            path = unquote(parts.path).removeprefix("/")
            if not path or path == ":memory:":
                raise SetupError("A SQLite database needs a file: sqlite:///path/to/file.db")
            return cls("sqlite", Path(path))
        if parts.scheme not in ("postgres", "postgresql"):
            raise SetupError("The database URL must begin with sqlite:/// or postgres://")
        query = dict(parse_qsl(parts.query))
        unknown = query.keys() - {"host", "port", "sslmode"}
        if unknown:
            raise SetupError(f"The database URL has an unknown option: {', '.join(sorted(unknown))}.")
        try:
            port = int(query.get("port") or parts.port or 5432)
        except ValueError:
            raise SetupError("The port in the database URL is not a number.") from None
        name = unquote(parts.path).removeprefix("/")
        if not name:
            raise SetupError("The database URL must name a database: postgres://user@host/name")
        credentials: dict[str, Any] = {
            "host": query.get("host") or parts.hostname or "localhost",
            "port": port,
            "user": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "database": name,
        }
        if "sslmode" in query:
            credentials["ssl"] = query["sslmode"]
        return cls("postgres", None, tuple(credentials.items()))


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How a node uses PostgreSQL."""

    size: int = 10
    statement_cache_size: int = 100
