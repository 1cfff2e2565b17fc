"""`gql-secrets client wait-unused`: wait until the old secret is safe to revoke."""

import asyncio
import time
from datetime import timedelta
from typing import Annotated, Final

import typer

from gql_secrets.commands.client import Reason
from gql_secrets.commands.context import with_installation
from gql_secrets.commands.installation import EndedOldSecret, Installation, RunningRollover
from gql_secrets.commands.output import AsJson, say, write
from gql_secrets.domain.audit import parse_reason
from gql_secrets.domain.durations import format_duration, parse_duration
from gql_secrets.domain.errors import Unavailable

TIMED_OUT: Final = 3  # an exit code of this command alone
_POLL_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 60.0
# A server that could not write its counts for a moment must get to it first.
STEADY_SECONDS: Final = 6.0


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@with_installation
async def wait_unused(
    installation: Installation,
    client_id: Annotated[str, typer.Argument(metavar="ID", help="The client id.")],
    quiet: Annotated[
        timedelta | None,
        typer.Option(
            "--quiet",
            parser=_duration,
            metavar="DURATION",
            help="How long the old secret must be unused, such as 90s, 15m or 1h. "
            "[env: GQL_SECRETS_QUIET_TIME; default: 1h]",
        ),
    ] = None,
    within: Annotated[
        timedelta, typer.Option("--timeout", parser=_duration, metavar="DURATION", help="How long to wait.")
    ] = "24h",  # type: ignore[assignment]  # typer parses a default as it parses what is typed
    revoke: Annotated[bool, typer.Option("--revoke", help="Then revoke the old secret.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Wait until the old secret is safe to revoke. The exit code is 0, or 3 after the timeout.

    It is safe once the new secret has been used and the old one has not been used for the quiet time, or once the
    old secret has ended.
    """
    parse_reason(reason)  # before a wait of hours
    safe = await wait_until_unused(installation, client_id, quiet=quiet, within=within)
    if safe is None:
        say(f"Timed out after {format_duration(within)}: it is not yet safe to revoke the old secret.")
        raise typer.Exit(TIMED_OUT)
    if isinstance(safe, RunningRollover):
        old, already_ended, outcome = safe.old_secret, False, ""
        say(safe.reason)
        if revoke:
            done = await installation.revoke_old_secret(client_id, secret_id=safe.secret_id, reason=reason)
            old, already_ended = done.revoked_secret or old, done.already_ended
            outcome = "The old secret had already ended." if already_ended else "The old secret was revoked."
            say(outcome)
    else:
        old, already_ended = safe.old_secret, True
        outcome = f"The old secret ended at {old['endedAt'] or old['expiresAt']}."
        say(outcome)
    write(
        {"clientId": client_id, "oldSecret": old, "alreadyEnded": already_ended},
        as_json=as_json,
        done=outcome,
    )


async def wait_until_unused(
    installation: Installation, client_id: str, *, quiet: timedelta | None, within: timedelta
) -> RunningRollover | EndedOldSecret | None:
    """Wait until the client's old secret is safe to revoke.

    Returns:
        The rollover when it is safe, the old secret when it has ended, or None after the timeout.

    Raises:
        ClientNotFound: there is no such client.
        NoRollover: it never had an old secret.
    """
    ends_at = time.monotonic() + within.total_seconds()
    waited_for: str | None = None
    safe_since: float | None = None
    reported, reported_at = "", 0.0
    while True:
        try:
            rollover = await installation.rollover_of(client_id, quiet=quiet)
            if rollover is None or waited_for not in (None, rollover.secret_id):
                return await installation.ended_old_secret(client_id, waited_for)
            waited_for, news, reason = rollover.secret_id, rollover.advice, rollover.reason
        except Unavailable as failure:  # a long wait survives a restart of the database
            rollover, news, reason = None, "", str(failure)
        now = time.monotonic()
        if news != reported or now - reported_at >= _REPORT_SECONDS:
            say(reason)
            reported, reported_at = news, now
        if rollover is None or not rollover.safe_to_revoke:
            safe_since = None
        else:
            safe_since = now if safe_since is None else safe_since
            if now - safe_since >= STEADY_SECONDS:
                return rollover
        if now >= ends_at and safe_since is None:
            return None
        await asyncio.sleep(_POLL_SECONDS)
