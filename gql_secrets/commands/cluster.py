"""`gql-secrets cluster …`: the nodes that run on one database."""

import typer

from gql_secrets.commands.context import with_services
from gql_secrets.commands.output import AsJson, instant, printable, say, to_json, write_text
from gql_secrets.wiring import Services

app = typer.Typer(help="Show the nodes that run on the database.", no_args_is_help=True)


@app.command()
@with_services
async def status(services: Services, as_json: AsJson = False) -> None:
    """List the nodes, whether each may verify from memory, and how many changes it is behind."""
    members = await services.cluster.members()
    if as_json:
        rows = [
            {
                "id": each.id,
                "version": each.version,
                "lease": each.lease.value,
                "lag": each.lag,
                "startedAt": instant(each.started_at),
                "lastSeenAt": instant(each.last_seen_at),
            }
            for each in members
        ]
        write_text(f"{to_json({'members': rows})}\n")
        return
    if not members:
        say("No nodes. On SQLite the processes do not know of each other: ask a server with the GraphQL field cluster.")
        return
    say(f"{'ID':<16}  {'VERSION':<10}  {'LEASE':<10}  {'LAG':>6}  {'STARTED AT':<27}  LAST SEEN AT")
    for each in members:
        lag = "-" if each.lag is None else str(each.lag)
        write_text(
            f"{printable(each.id):<16}  {printable(each.version):<10}  {each.lease.value:<10}  {lag:>6}  "
            f"{instant(each.started_at) or '':<27}  {instant(each.last_seen_at)}\n"
        )
