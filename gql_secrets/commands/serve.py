"""`gql-secrets serve`: start the server, and stop it in an orderly way."""

import functools
import logging
from typing import Annotated, Final

import typer

from gql_secrets.commands.context import DatabaseUrl, DataDir, given_settings, read_settings
from gql_secrets.commands.serving.reload import ignore_other_signals
from gql_secrets.logs import set_up_logging
from gql_secrets.settings import parse_workers

_log: Final = logging.getLogger(__name__)


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on. [env: GQL_SECRETS_HOST; default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="The port; 0 for any free one. [env: GQL_SECRETS_PORT; default: 8080]"),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="How many processes serve; auto for one per processor. [env: GQL_SECRETS_WORKERS; default: 1]",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a non-loopback address without an https public URL.")
    ] = False,
    is_worker: Annotated[
        bool, typer.Option("--worker", hidden=True, help="Be a worker: only a supervisor passes it.")
    ] = False,
) -> None:
    """Start the server. The first start creates the installation and prints the owner's credentials once."""
    ignore_other_signals()
    if is_worker:
        from gql_secrets.commands.serving.worker import run_worker

        run_worker()
        return
    count = None if workers is None else parse_workers(workers)
    given = given_settings(ctx, data_dir, database_url, host=host, port=port, workers=count, insecure=insecure or None)
    settings = read_settings(given)
    set_up_logging(settings.log_level, settings.log_format)
    if settings.ignored_variables:
        _log.info("service_links_ignored", extra={"variables": ", ".join(settings.ignored_variables)})
    if settings.audit_directory is not None:
        from gql_secrets.service.audit_archive import require_archive

        # Only at the start: a worker that is started later must verify secrets, even without the directory.
        require_archive(settings.audit_directory)
    if settings.workers > 1:
        from gql_secrets.commands.serving.supervisor import supervise

        supervise(settings, given)
        return
    from gql_secrets.commands.serving.single import serve_until_signalled

    serve_until_signalled(settings, functools.partial(read_settings, given))
