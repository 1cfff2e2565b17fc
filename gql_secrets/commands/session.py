"""`gql-secrets session …`: list and end the sessions of people, and void sign-in links that nobody has used."""

from typing import Annotated

import typer

from gql_secrets.commands.context import with_installation
from gql_secrets.commands.installation import MAX_NUMBER, Installation
from gql_secrets.commands.output import AsJson, printable, say, to_json, write, write_text

app = typer.Typer(help="List and end the sessions of people, and void sign-in links.", no_args_is_help=True)


@app.command("list")
@with_installation
async def list_sessions(installation: Installation, as_json: AsJson = False) -> None:
    """List the sessions of people who are signed in. Sign-in links that nobody has used yet are listed too."""
    sessions = await installation.sessions()
    links = await installation.unused_links()
    if links is None:
        say("Sign-in links that nobody has used are listed only where the database is.")
    if as_json:
        write_text(f"{to_json({'sessions': sessions, 'signInLinks': links})}\n")
        return
    if sessions:
        say(f"{'SESSION':<8}  {'ROLE':<8}  {'LAST SEEN AT':<27}  {'ADDRESS':<16}  NAME")
        write_text(
            "".join(
                f"{each['number']:<8}  {each['role']:<8}  {each['lastSeenAt']:<27}  {each['address'] or '-':<16}  "
                f"{printable(str(each['name']))}\n"
                for each in sessions
            )
        )
    else:
        say("Nobody is signed in.")
    if links:
        say(f"{'LINK':<8}  {'ROLE':<8}  {'EXPIRES AT':<27}  {'CREATED BY':<16}  NAME")
        write_text(
            "".join(
                f"{each['number']:<8}  {each['role']:<8}  {each['expiresAt']:<27}  "
                f"{printable(str(each['createdByName'] or each['createdBy'] or '-')):<16}  "
                f"{printable(str(each['name']))}\n"
                for each in links
            )
        )


@app.command()
@with_installation
async def end(
    installation: Installation,
    number: Annotated[
        int | None,
        typer.Argument(
            metavar="[ID]", min=1, max=MAX_NUMBER, help="The number of the session; or pass --actor or --all."
        ),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="ACTOR", help="End every session of one person, such as user:link/7."),
    ] = None,
    all_sessions: Annotated[
        bool, typer.Option("--all", help="End every session, and void every sign-in link that nobody has used.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """End sessions now. The sessions and unused links that come from them end too."""
    if [number is not None, actor is not None, all_sessions].count(True) != 1:
        raise typer.BadParameter("Pass the number of a session, --actor, or --all.")
    if actor is not None:
        count = await installation.end_sessions_of(actor)
        outcome = f"Sessions ended: {count}."
        say(outcome)
        write({"actor": actor, "endedSessions": count}, as_json=as_json, done=outcome)
        return
    if number is None:
        ended, voided = await installation.end_all_sessions()
        outcome = f"Sessions ended: {ended}. Sign-in links voided: {voided}."
        say(outcome)
        write({"endedSessions": ended, "voidedLinks": voided}, as_json=as_json, done=outcome)
        return
    was_valid = await installation.end_session(number)
    outcome = "The session was ended." if was_valid else "The session had already ended."
    say(outcome)
    write({"session": number, "alreadyEnded": not was_valid}, as_json=as_json, done=outcome)


@app.command("void-link")
@with_installation
async def void_link(
    installation: Installation,
    number: Annotated[
        int, typer.Argument(min=1, max=MAX_NUMBER, help="The number of the sign-in link, as in the list.")
    ],
    as_json: AsJson = False,
) -> None:
    """Void a sign-in link that nobody has used yet."""
    was_valid = await installation.void_link(number)
    outcome = "The sign-in link was voided." if was_valid else "The sign-in link had already ended."
    say(outcome)
    write({"signInLink": number, "alreadyEnded": not was_valid}, as_json=as_json, done=outcome)
