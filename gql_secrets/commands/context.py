"""What every command needs: the settings, and the services of the installation."""

import asyncio
import contextlib
import functools
import inspect
import os
import re
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import typer

from gql_secrets.commands.installation import Installation, NeedsDatabase
from gql_secrets.commands.output import require_stdout, say
from gql_secrets.commands.remote.profile import Remote
from gql_secrets.domain.errors import SetupError
from gql_secrets.logs import set_up_logging
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress

if TYPE_CHECKING:
    from gql_secrets.wiring import Services

P = ParamSpec("P")
T = TypeVar("T")


def _path(text: str) -> Path:
    return Path(_filled(text))


def _filled(text: str) -> str:
    """Return the value of an option: what a script forgot to fill must not lead to another database."""
    if not text.strip():
        raise typer.BadParameter("It is empty. Give it a value, or leave the option out.")
    return text


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        parser=_path,
        metavar="<path>",
        help="The directory of the database and the pepper. [env: GQL_SECRETS_DATA_DIR; default: .gql-secrets]",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        parser=_filled,
        metavar="<str>",
        help="postgres://… or sqlite:///…  [env: GQL_SECRETS_DATABASE_URL]",
    ),
]

# What a shell reports of a process that SIGTERM ended.
_TERMINATED: Final = 128 + signal.SIGTERM
# Where the options of the command line leave the remote server that they name.
REMOTE: Final = "gql_secrets.remote"
_OPTIONS: Final = (
    inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
    inspect.Parameter("data_dir", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DataDir),
    inspect.Parameter("database_url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DatabaseUrl),
)


_DATABASE_OPTIONS: Final = tuple(parameter.name for parameter in _OPTIONS)


def given_settings(
    context: typer.Context, data_dir: Path | None, database_url: str | None, **given: object
) -> dict[str, object]:
    """Return the settings that the command line gives; None is a setting that it does not give.

    `--data-dir` and `--database-url` may also be passed before the command's name; the later one takes precedence.

    Raises:
        NeedsDatabase: the command line names a remote server.
    """
    if REMOTE in context.meta:
        raise NeedsDatabase("This command")
    nearby = {"data_dir": data_dir, "database_url": database_url}
    return given | (context.obj or {}) | {name: value for name, value in nearby.items() if value is not None}


def read_settings(given: Mapping[str, object]) -> Settings:
    """Return the settings of the environment and the command line.

    Raises:
        SetupError: a setting is unknown or invalid.
    """
    settings = Settings.from_environment(os.environ, **given)
    warn_of_password(
        str(given.get("database_url") or ""), "--database-url", "set GQL_SECRETS_DATABASE_URL_FILE to its path"
    )
    return settings


def warn_of_password(database_url: str, option: str, instead: str) -> None:
    """Warn a user who passes the URL of a database with a password in this option."""
    if _has_password(database_url):
        say(
            f"gql-secrets: Other users of this machine can see the password in {option} (ps). Put the URL into a file "
            f"and {instead}."
        )


def _has_password(database_url: str) -> bool:
    with contextlib.suppress(ValueError):
        url = urlsplit(database_url)
        return bool(url.password or re.search(r"(^|&)password=.", url.query))
    return False


def with_settings(command: Callable[Concatenate[Settings, P], None]) -> Callable[..., None]:
    """Make a command of a function that takes the settings first, and give it the options that choose them.

    It does not run where its output cannot be written.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        choice: dict[str, Any] = {name: kwargs.pop(name) for name in ("data_dir", "database_url")}
        context: Any = kwargs.pop("ctx")
        # Only the server listens, so the rule about cleartext addresses does not apply here.
        settings = read_settings(given_settings(context, **choice, insecure=True))
        set_up_logging(settings.log_level if settings.log_level == "DEBUG" else "WARNING")
        require_stdout()
        command(settings, *args, **kwargs)

    _give_options(run, command)
    return run


def _give_options(run: Callable[..., None], command: Callable[..., object]) -> None:
    """Let typer see the command's own options, and those that choose the database."""
    _first, *own = inspect.signature(command).parameters.values()
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([*keywords, *_OPTIONS])  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*keywords, *_OPTIONS)}


def with_services(command: "Callable[Concatenate[Services, P], Awaitable[None]]") -> Callable[..., None]:
    """Make a command of a coroutine that takes the services of an existing installation first."""

    def run(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> None:
        from gql_secrets.wiring import open_services

        async def work() -> None:
            require_database(settings)
            services = await open_services(settings, migrate=False, with_owner=False)
            try:
                await command(services, *args, **kwargs)
            finally:
                await services.close()

        run_to_end(work())

    functools.update_wrapper(run, command)
    return with_settings(run)


def with_installation(command: Callable[Concatenate[Installation, P], Awaitable[None]]) -> Callable[..., None]:
    """Make a command of a coroutine that takes the installation first: that of the database, or of a remote server."""

    def run_locally(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> None:
        from gql_secrets.commands.local import LocalInstallation
        from gql_secrets.wiring import open_services

        async def work() -> None:
            require_database(settings)
            services = await open_services(settings, migrate=False, with_owner=False)
            try:
                await command(LocalInstallation(services, settings), *args, **kwargs)
            finally:
                await services.close()

        run_to_end(work())

    locally = with_settings(functools.update_wrapper(run_locally, command))

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        context: Any = kwargs["ctx"]
        remote: Remote | None = context.meta.get(REMOTE)
        if remote is None:
            locally(*args, **kwargs)
            return
        if any(kwargs[name] is not None for name in ("data_dir", "database_url")):
            raise typer.BadParameter("--data-dir and --database-url are for a database, not for a remote server.")
        own: dict[str, Any] = {name: value for name, value in kwargs.items() if name not in _DATABASE_OPTIONS}

        from gql_secrets.commands.remote.installation import RemoteInstallation

        async def work() -> None:
            async with remote.connect() as connection:
                await command(RemoteInstallation(connection), *args, **own)

        set_up_logging("WARNING")
        require_stdout()
        run_to_end(work())

    _give_options(run, command)
    return run


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on its own event loop. SIGTERM interrupts it as Ctrl-C does.

    Raises:
        SystemExit: it was interrupted by SIGTERM.
        KeyboardInterrupt: it was interrupted by Ctrl-C.
    """
    is_terminated = False

    async def run() -> T:
        own = asyncio.current_task()

        def interrupt() -> None:
            nonlocal is_terminated
            is_terminated = True
            if own is not None:
                own.cancel()

        with contextlib.suppress(NotImplementedError):  # Windows has no such signal
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, interrupt)
        return await work

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        if is_terminated:
            raise SystemExit(_TERMINATED) from None
        raise


def require_database(settings: Settings) -> None:
    """Pass unless the database is a SQLite file that does not exist: a mistyped path must not create one.

    Raises:
        SetupError: there is no such file.
    """
    path = DatabaseAddress.parse(settings.resolved_database_url).path
    if path is not None and not path.exists():
        raise SetupError(
            f"There is no database at {path}. Pass the right directory with --data-dir, or create one with: "
            "gql-secrets db upgrade"
        )
