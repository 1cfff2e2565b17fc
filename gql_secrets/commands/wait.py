"""`gql-secrets client wait-unused`: blocks until the old secret may go."""

import asyncio
import time
from datetime import timedelta
from typing import Annotated, Final

import typer

from gql_secrets.commands.installation import cli_caller, with_services
from gql_secrets.commands.output import AsJson, instant, say, secret_data, write
from gql_secrets.domain.durations import parse_duration, written_duration
from gql_secrets.domain.errors import ClientNotFound, NoRollover, Unavailable
from gql_secrets.service.queries import PageRequest
from gql_secrets.service.usage.counter import MAX_WAIT
from gql_secrets.service.usage.queries import Rollover
from gql_secrets.storage.models import ClientSecret
from gql_secrets.storage.usage import add_last_uses
from gql_secrets.wiring import Services

TIMED_OUT: Final = 3  # the exit code, apart from those of every command
_POLL_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 60.0
# A server writes down what it counted within seconds: what is safe by the database must stay safe for that long.
STEADY_SECONDS: Final = MAX_WAIT + 1


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@with_services
async def wait_unused(
    services: Services,
    client_id: Annotated[str, typer.Argument(metavar="ID", help="The client id.")],
    quiet: Annotated[
        timedelta | None,
        typer.Option(
            "--quiet",
            parser=_duration,
            metavar="DURATION",
            help="How long nobody must have used it: 90s, 15m, 1h. [env: GQL_SECRETS_QUIET_TIME; default: 1h]",
        ),
    ] = None,
    within: Annotated[
        timedelta, typer.Option("--timeout", parser=_duration, metavar="DURATION", help="How long to wait.")
    ] = "24h",  # type: ignore[assignment]  # typer parses a default as it parses what is typed
    revoke: Annotated[bool, typer.Option("--revoke", help="Then end the old secret.")] = False,
    as_json: AsJson = False,
) -> None:
    """Wait until the old secret is unused: then exit 0, or 3 if that does not come in time.

    Unused means that the new secret was used, and nobody used the old one for the quiet time. An old secret that
    ended meanwhile is unused too.
    """
    safe = await wait_until_unused(services, client_id, quiet=quiet, within=within)
    if safe is None:
        say(f"It is not safe to revoke the old secret after {written_duration(within)} of waiting.")
        raise typer.Exit(TIMED_OUT)
    if isinstance(safe, Rollover):
        old, already_ended = safe.old_secret, False
        say(safe.reason)
        if revoke:
            done = await services.rotation.revoke_old_secret(client_id, by=cli_caller(), secret_id=old.id)
            old, already_ended = done.revoked_secret or old, done.already_ended
            say("The old secret has ended.")
    else:
        old, already_ended = safe, True
        say(f"The old secret has ended, at {instant(old.ended_at or old.expires_at)}: nobody can use it.")
    write({"clientId": client_id, "oldSecret": secret_data(old), "alreadyEnded": already_ended}, as_json=as_json)


async def wait_until_unused(
    services: Services, client_id: str, *, quiet: timedelta | None, within: timedelta
) -> Rollover | ClientSecret | None:
    """Wait until the client's old secret may go.

    Returns:
        The rollover when it is safe; the old secret when it has ended; None when the time is over and it is not.

    Raises:
        ClientNotFound: there is no such client.
        NoRollover: it never had an old secret.
    """
    ends_at = time.monotonic() + within.total_seconds()
    waited_for: int | None = None
    safe_since: float | None = None
    told, told_at = "", 0.0
    while True:
        try:
            rollover = await services.usage_reading.rollover_of(client_id, quiet_time=quiet)
            if rollover is None or waited_for not in (None, rollover.old_secret.id):
                return await _ended(services, client_id, waited_for)
            waited_for, news, reason = rollover.old_secret.id, rollover.advice.value, rollover.reason
        except Unavailable as failure:  # a long wait outlives a restart of the database
            rollover, news, reason = None, "", str(failure)
        now = time.monotonic()
        if news != told or now - told_at >= _TELL_SECONDS:
            say(reason)
            told, told_at = news, now
        if rollover is None or not rollover.safe_to_revoke:
            safe_since = None
        else:
            safe_since = now if safe_since is None else safe_since
            if now - safe_since >= STEADY_SECONDS:
                return rollover
        if now >= ends_at and safe_since is None:
            return None
        await asyncio.sleep(_POLL_SECONDS)


async def _ended(services: Services, client_id: str, secret_id: int | None) -> ClientSecret:
    if await services.reading.find_client(client_id) is None:
        raise ClientNotFound
    for row in (await services.reading.page_of_secrets(client_id, PageRequest(first=100))).rows:
        if row.replaced_at is not None and secret_id in (None, row.id):
            await add_last_uses(services.database, [row])
            return row
    raise NoRollover
