"""Which installation a command acts on, and as whom."""

import asyncio
import functools
import getpass
import inspect
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec, TypeVar

import typer

from gql_secrets.domain.access import ActorKind, Caller, Role, Surface
from gql_secrets.domain.errors import SetupError
from gql_secrets.logs import set_up_logging
from gql_secrets.settings import Settings
from gql_secrets.storage.address import DatabaseAddress
from gql_secrets.wiring import Services, open_services

P = ParamSpec("P")
T = TypeVar("T")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="The directory of database and pepper. [env: GQL_SECRETS_DATA_DIR; default: .gql-secrets]"
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", help="postgres://… or sqlite:///…  [env: GQL_SECRETS_DATABASE_URL]"),
]

_OPTIONS: Final = (
    inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
    inspect.Parameter("data_dir", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DataDir),
    inspect.Parameter("database_url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DatabaseUrl),
)


def with_settings(command: Callable[Concatenate[Settings, P], None]) -> Callable[..., None]:
    """Make a command of a function that takes the settings first; the command gets the options that choose them.

    The options may stand before the command's name too. What is said nearer to the command counts.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        context: Any = kwargs.pop("ctx")
        nearby = {name: kwargs.pop(name) for name in ("data_dir", "database_url")}
        given = {name: value for name, value in nearby.items() if value is not None}
        # A command listens on no address, so the rules about addresses are the server's.
        settings = Settings.from_environment(**{"insecure": True, **(context.obj or {}), **given})
        set_up_logging(settings.log_level if settings.log_level == "DEBUG" else "WARNING")
        command(settings, *args, **kwargs)

    _settings, *own = inspect.signature(command).parameters.values()
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([*keywords, *_OPTIONS])  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*keywords, *_OPTIONS)}
    return run


def with_services(command: Callable[Concatenate[Services, P], Awaitable[None]]) -> Callable[..., None]:
    """Make a command of a coroutine that takes the services of an installation that is there already."""

    def run(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> None:
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


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on an event loop of its own."""
    return asyncio.run(work)


def require_database(settings: Settings) -> None:
    """Pass unless the database is a SQLite file that does not exist: a typing error must not make a new one.

    Raises:
        SetupError: it is.
    """
    path = DatabaseAddress.parse(settings.resolved_database_url).path
    if path is not None and not path.exists():
        raise SetupError(
            f"There is no database at {path}. Name the right directory with --data-dir, or make one with: "
            "gql-secrets db upgrade"
        )


def cli_caller() -> Caller:
    """Return who acts: the system's user. Its authority is that it can open the database and the pepper."""
    return Caller(f"cli:{_system_user()}", ActorKind.CLI, Role.ADMIN, Surface.CLI)


def _system_user() -> str:
    if not hasattr(os, "getuid"):
        return getpass.getuser()
    import pwd  # noqa: PLC0415  no such module on Windows

    # By the process's own id: the environment's LOGNAME says whatever somebody wrote there.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
