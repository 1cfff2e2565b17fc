"""`gql-secrets cluster …`: the nodes that run on one database."""

import typer

from gql_secrets.commands.context import with_installation
from gql_secrets.commands.installation import Installation
from gql_secrets.commands.output import AsJson, printable, say, to_json, write_text
from gql_secrets.domain.journal import UncertainClients

app = typer.Typer(help="Show the nodes that run on the database.", no_args_is_help=True)


@app.command()
@with_installation
async def status(installation: Installation, as_json: AsJson = False) -> None:
    """List the nodes. The output says whether each may verify from memory, and how many changes it is behind."""
    cluster = await installation.cluster()
    if as_json:
        write_text(f"{to_json(cluster)}\n")
        return
    members = cluster["members"]
    if cluster["uncertainClients"] != UncertainClients.NONE:
        which = "All clients are" if cluster["uncertainClients"] == UncertainClients.ALL else "Some clients are"
        say(f"The database lost changes. {which} not verified until you run gql-secrets restore accept.")
    if not members:
        say("No nodes. On SQLite the processes do not know of each other: ask a server with --url.")
        return
    say(f"{'ID':<16}  {'VERSION':<10}  {'LEASE':<10}  {'LAG':>6}  {'STARTED AT':<27}  LAST SEEN AT")
    for each in members:
        lag = "-" if each["lag"] is None else str(each["lag"])
        write_text(
            f"{printable(each['id']):<16}  {printable(each['version']):<10}  {each['lease']:<10}  {lag:>6}  "
            f"{each['startedAt']:<27}  {each['lastSeenAt']}\n"
        )
