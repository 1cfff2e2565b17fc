"""Settings: read from the environment and a file; an unknown or invalid one is refused with a sentence."""

import difflib
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from gql_secrets.domain.credentials import Pepper
from gql_secrets.domain.durations import parse_duration
from gql_secrets.domain.errors import SetupError
from gql_secrets.domain.identity import (
    DEFAULT_ADMIN_ROLES,
    DEFAULT_NAME_CLAIM,
    DEFAULT_ROLES_CLAIM,
    DEFAULT_SCOPES,
    Issuer,
)
from gql_secrets.domain.limits import Rate
from gql_secrets.domain.networks import Network
from gql_secrets.domain.policies import MAX_AGE_DAYS, RotationPolicy
from gql_secrets.domain.rotation import MAX_RETENTION
from gql_secrets.domain.webhooks import parse_webhook_networks
from gql_secrets.settings.addresses import is_loopback, is_origin
from gql_secrets.settings.cores import usable_cores
from gql_secrets.settings.identity import parse_issuers
from gql_secrets.settings.private_files import open_unlinked, read_file_of, require_private
from gql_secrets.settings.service_links import is_service_link
from gql_secrets.settings.settings_file import with_settings_file

PREFIX: Final = "GQL_SECRETS_"
PEPPER_FILE: Final = "pepper.keys"
DATABASE_FILE: Final = "gql-secrets.db"
ADDRESS_FILE: Final = "server.url"
_DATABASE_FILES: Final = tuple(f"{DATABASE_FILE}{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))
# The credentials of the command line at a remote server.
FOR_REMOTE_SERVERS: Final = ("GQL_SECRETS_CLIENT_ID", "GQL_SECRETS_CLIENT_SECRET")
_NOT_VARIABLES: Final = ("insecure", "ignored_variables")
_READ_FROM_FILES: Final = ("database_url", "pepper", "oidc_client_secret")
_CHOICES: Final = {
    "introspection": ("signed-in", "everyone", "nobody"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "log_format": ("text", "json"),
    "rate_limits": ("on", "off"),
    "sign_in_links": ("on", "off"),
    "tracing": ("on", "off"),
    "verify_from": ("memory", "database"),
}
_MAX_PORT: Final = 65535
MAX_WORKERS: Final = 64
_BAD_WORKERS: Final = f"GQL_SECRETS_WORKERS and --workers must be from 1 to {MAX_WORKERS}, or auto."
_MAX_DRAIN_DELAY: Final = timedelta(minutes=5)
# A rollover and the day before it are shown with their sources.
_MIN_SOURCE_RETENTION: Final = timedelta(days=8)
_MAX_KEPT: Final = timedelta(days=3650)
_MIN_USAGE_FLUSH: Final = timedelta(seconds=5)
_MAX_USAGE_FLUSH: Final = timedelta(seconds=60)
_MIN_AUDIT_RETENTION: Final = timedelta(days=30)
_DURATIONS: Final = ("quiet_time", "usage_flush", "drain_delay", "source_retention", "audit_retention")
_FAILURES: Final = Rate(100, timedelta(minutes=1))
_SIGN_INS: Final = Rate(20, timedelta(minutes=1))
_RESETS: Final = Rate(60, timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator decides. Each field but the last two is a variable: `GQL_SECRETS_` and its name.

    Attributes:
        insecure: whether `--insecure` allows a non-loopback address without an https public URL.
        ignored_variables: variables that Kubernetes made for a Service, and no settings.
    """

    settings_file: str = ""
    data_dir: Path = Path(".gql-secrets")
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    database_url: str = field(default="", repr=False)  # it may hold a password
    database_url_file: str = ""
    database_pool_size: int = 10
    statement_cache_size: int | None = None
    verify_from: str = "memory"
    public_url: str = ""
    pepper: str = field(default="", repr=False)
    pepper_file: str = ""
    log_level: str = "INFO"
    log_format: str = "text"
    tracing: str = "off"
    trusted_proxies: str = ""
    quiet_time: timedelta = timedelta(hours=1)
    maximum_age_days: int = 0
    webhook_networks: str = ""
    usage_flush: timedelta = timedelta(seconds=60)
    drain_delay: timedelta = timedelta(0)
    source_retention: timedelta = timedelta(days=90)
    audit_archive: str = ""
    audit_retention: timedelta = timedelta(days=365)
    clients_api_status: str = "200"
    allowed_origins: str = ""
    introspection: str = "signed-in"
    trusted_documents: str = ""
    ionapi_template: str = ""
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_roles_claim: str = DEFAULT_ROLES_CLAIM
    oidc_admin_roles: str = DEFAULT_ADMIN_ROLES
    oidc_operator_roles: str = ""
    oidc_viewer_roles: str = ""
    oidc_name_claim: str = DEFAULT_NAME_CLAIM
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_client_secret_file: str = ""
    oidc_scopes: str = DEFAULT_SCOPES
    sign_in_links: str = "on"
    rate_limits: str = "on"
    limit_failures_per_address: Rate = _FAILURES
    limit_failures_per_client: Rate = _FAILURES
    limit_sign_ins_per_address: Rate = _SIGN_INS
    limit_resets_per_client: Rate = _RESETS
    insecure: bool = False
    ignored_variables: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **given: object) -> Self:
        """Read `GQL_SECRETS_*`, also from the settings file. Values that are `given` (on the command line) come first.

        Raises:
            SetupError: a variable is unknown, or a value is invalid.
        """
        names = [name for name in cls.__dataclass_fields__ if name not in _NOT_VARIABLES]
        known = {f"{PREFIX}{name.upper()}": name for name in names}
        values: dict[str, object] = {}
        # Left out first: one that has the name of a setting must not take the place of that setting in the file.
        ignored = [name for name, text in environment.items() if is_service_link(name, text)]
        own = {name: text for name, text in environment.items() if name not in ignored}
        for variable, text in with_settings_file(own).items():
            if not variable.startswith(PREFIX) or variable in FOR_REMOTE_SERVERS:
                continue
            if variable not in known:
                raise SetupError(f"{variable} is not a setting. {_hint(variable.removeprefix(PREFIX), names)}")
            values[known[variable]] = _parsed(variable, known[variable], text.strip())
        for name in _READ_FROM_FILES:
            if f"{name}_file" in values and given.get(name) is None:
                values[name] = _read_setting(name, values)
        values.update({name: value for name, value in given.items() if value is not None})
        values["ignored_variables"] = tuple(ignored)
        settings = cls(**values)  # type: ignore[arg-type]  # each is checked above or by the command line
        settings._check()
        return settings

    def _check(self) -> None:
        for name in ("port", "metrics_port"):
            if not 0 <= getattr(self, name) <= _MAX_PORT:
                raise SetupError(f"GQL_SECRETS_{name.upper()} must be from 0 to {_MAX_PORT}.")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise SetupError(_BAD_WORKERS)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SetupError(f"GQL_SECRETS_{name.upper()} must be one of {', '.join(choices)}.")
        if self.clients_api_status not in ("200", "mapped"):
            raise SetupError(
                "GQL_SECRETS_CLIENTS_API_STATUS must be 200 (errors of /clients have HTTP status 200) or mapped (4xx)."
            )
        self._check_ranges()
        self._check_addresses()
        _ = self.issuers, self.allowed_webhook_networks

    def _check_ranges(self) -> None:
        if not timedelta(seconds=1) <= self.quiet_time <= MAX_RETENTION:
            raise SetupError("GQL_SECRETS_QUIET_TIME must be from 1s to 168h.")
        if not 0 <= self.maximum_age_days <= MAX_AGE_DAYS:
            raise SetupError(f"GQL_SECRETS_MAXIMUM_AGE_DAYS must be from 1 to {MAX_AGE_DAYS}, or 0 for no maximum.")
        if not _MIN_USAGE_FLUSH <= self.usage_flush <= _MAX_USAGE_FLUSH:
            raise SetupError("GQL_SECRETS_USAGE_FLUSH must be from 5s to 60s.")
        if self.drain_delay > _MAX_DRAIN_DELAY:
            raise SetupError("GQL_SECRETS_DRAIN_DELAY must be from 0s to 5m.")
        if not _MIN_SOURCE_RETENTION <= self.source_retention <= _MAX_KEPT:
            raise SetupError("GQL_SECRETS_SOURCE_RETENTION must be from 8d to 3650d.")
        if not _MIN_AUDIT_RETENTION <= self.audit_retention <= _MAX_KEPT:
            raise SetupError("GQL_SECRETS_AUDIT_RETENTION must be from 30d to 3650d.")
        if not self.database_pool_size:
            raise SetupError("GQL_SECRETS_DATABASE_POOL_SIZE must be at least 1.")

    def _check_addresses(self) -> None:
        if self.public_url and not is_origin(self.public_url):
            raise SetupError(
                "GQL_SECRETS_PUBLIC_URL must be only a scheme and a host, such as https://secrets.example.com"
            )
        if not all(is_origin(origin) for origin in self.origins):
            raise SetupError(
                "GQL_SECRETS_ALLOWED_ORIGINS must be a comma-separated list of origins, each only a scheme and a host, "
                "such as https://app.example.com"
            )
        if not is_loopback(self.host) and not self.public_url.lower().startswith("https:") and not self.insecure:
            raise SetupError(
                f"Listening on {self.host} would expose secrets in cleartext. Set GQL_SECRETS_PUBLIC_URL to the https "
                "address in front of this server, or pass --insecure."
            )

    @property
    def address_url(self) -> str:
        """The public URL, or the address that the server listens on."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of the allowed frontends, as they are written in the setting."""
        parts = (part.strip() for part in self.allowed_origins.split(","))
        return tuple(parts) if self.allowed_origins.strip() else ()

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """The identity providers whose access tokens sign people in.

        Raises:
            SetupError: a setting of them is invalid.
        """
        return parse_issuers(
            self.oidc_issuer,
            self.oidc_audience,
            roles_claim=self.oidc_roles_claim,
            name_claim=self.oidc_name_claim,
            admin_roles=self.oidc_admin_roles,
            operator_roles=self.oidc_operator_roles,
            viewer_roles=self.oidc_viewer_roles,
            client_id=self.oidc_client_id,
            client_secret=self.oidc_client_secret,
            scopes=self.oidc_scopes,
            insecure=self.insecure,
        )

    @property
    def allowed_webhook_networks(self) -> tuple[Network, ...]:
        """The networks of your own that webhooks may deliver to.

        Raises:
            SetupError: one is not a network.
        """
        try:
            return parse_webhook_networks(self.webhook_networks)
        except ValueError:
            raise SetupError(
                "GQL_SECRETS_WEBHOOK_NETWORKS must be a comma-separated list of networks, such as 10.0.0.0/8."
            ) from None

    @property
    def audit_directory(self) -> Path | None:
        """Where old audit events are moved to."""
        return Path(self.audit_archive) if self.audit_archive else None

    @property
    def rotation_policy(self) -> RotationPolicy:
        """The maximum age of current secrets in the installation."""
        return RotationPolicy(self.maximum_age_days or None)

    @property
    def wait_to_revoke(self) -> timedelta:
        """How long an old secret must be unused before it is safe to revoke: uses are known after the second part."""
        return self.quiet_time + self.usage_flush

    def limit(self, rate: Rate) -> Rate | None:
        """Return this limit, or None if all limits are off."""
        return rate if self.rate_limits == "on" else None

    @property
    def resolved_database_url(self) -> str:
        """The database's URL; by default, a SQLite file in the data directory."""
        return self.database_url or f"sqlite:///{(self.data_dir / DATABASE_FILE).absolute()}"

    def make_data_dir(self) -> None:
        """Create the data directory (0700) if there is none, and check that it belongs to this user alone.

        Raises:
            SetupError: it cannot be created, or another user could change what is in it.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"Cannot create the data directory {self.data_dir}: {error.strerror}.") from error
        require_private(self.data_dir, files=(PEPPER_FILE, ADDRESS_FILE, *_DATABASE_FILES))

    def load_pepper(self) -> Pepper | None:
        """Return the pepper of the settings, or of `pepper.keys` in the data directory; None if there is neither.

        Raises:
            SetupError: it is malformed or weak, or other users can read the file.
        """
        if self.pepper:
            return Pepper.parse(self.pepper)
        path = self.data_dir / PEPPER_FILE
        try:
            with open(path, encoding="ascii", opener=open_unlinked) as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                    raise SetupError(f"Other users can read {path}. Run: chmod 600 {path}")
                return Pepper.parse(file.read())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"Cannot read {path}: {error}.") from error

    def write_new_pepper(self) -> Pepper:
        """Create `pepper.keys` (0600) with one new key.

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
            os.link(part, path)  # fails if another process was first; then its key is used
        except FileExistsError:
            return self.load_pepper() or pepper
        except OSError as error:
            raise SetupError(f"Cannot write {path}: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)
        return pepper


def _hint(unknown: str, names: Sequence[str]) -> str:
    """Return the sentence that helps to correct the name of a setting."""
    alike = difflib.get_close_matches(unknown.lower(), names, n=1, cutoff=0.7)
    if alike:
        return f"Did you mean {PREFIX}{alike[0].upper()}?"
    return f"The settings are: {', '.join(f'{PREFIX}{name.upper()}' for name in names)}."


def _read_setting(name: str, values: Mapping[str, object]) -> str:
    """Return the setting that is in a file.

    Raises:
        SetupError: it cannot be read, is empty, or other users can change it; or the setting is given twice.
    """
    variable, path = f"{PREFIX}{name.upper()}", Path(str(values[f"{name}_file"]))
    if name in values:
        raise SetupError(f"Both {variable} and {variable}_FILE are set. Unset one of them.")
    text = read_file_of(f"{variable}_FILE", path).strip()
    if not text:
        raise SetupError(f"The file of {variable}_FILE, {path}, is empty.")
    return text


def _parsed(variable: str, name: str, text: str) -> object:
    if not text and (name in ("data_dir", "database_url", "pepper", "audit_archive") or name.endswith("_file")):
        # What a deployment forgot to fill must not lead to a new database or pepper, or to the working directory.
        raise SetupError(f"{variable} is set and empty. Give it a value, or unset it.")
    if name == "data_dir":
        return Path(text)
    if name == "workers":
        return parse_workers(text)
    if name in ("port", "metrics_port", "database_pool_size", "statement_cache_size", "maximum_age_days"):
        if not re.fullmatch(r"[0-9]{1,6}", text):
            raise SetupError(f"{variable} must be a whole number.")
        return int(text)
    if name in _DURATIONS or name.startswith("limit_"):
        try:
            return parse_duration(text) if name in _DURATIONS else Rate.parse(text)
        except ValueError as error:
            raise SetupError(f"{variable}: {error}") from None
    return text.upper() if name == "log_level" else text


def parse_workers(text: str) -> int:
    """Return how many workers a setting or an option asks for.

    Raises:
        SetupError: it is neither a whole number nor `auto`.
    """
    if text == "auto":
        return min(usable_cores(), MAX_WORKERS)
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise SetupError(_BAD_WORKERS)
    return int(text)
