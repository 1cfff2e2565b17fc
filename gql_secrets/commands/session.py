"""`gql-secrets session …`: list and end the sessions of people, and void sign-in links that nobody has used."""

from typing import Annotated

import typer

from gql_secrets.commands.context import cli_caller, with_services
from gql_secrets.commands.output import AsJson, instant, printable, say, to_json, write, write_text
from gql_secrets.service.session_rows import actor_of, expiry_of, way_of
from gql_secrets.storage.models import Session, SignInLink
from gql_secrets.wiring import Services

app = typer.Typer(help="List and end the sessions of people, and void sign-in links.", no_args_is_help=True)


@app.command("list")
@with_services
async def list_sessions(services: Services, as_json: AsJson = False) -> None:
    """List the sessions of people who are signed in, and the sign-in links that nobody has used yet."""
    sessions = [_session_data(row) for row in await services.sessions.valid_sessions()]
    links = [_link_data(row) for row in await services.sessions.unspent_links()]
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
@with_services
async def end(
    services: Services,
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="The number of the session; or pass --actor or --all.")
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
    """End sessions now, and the sessions and unused links that come from them."""
    if [number is not None, actor is not None, all_sessions].count(True) != 1:
        raise typer.BadParameter("Pass the number of a session, --actor, or --all.")
    if actor is not None:
        count = await services.sessions.end_all_of(actor, by=cli_caller())
        outcome = f"Sessions ended: {count}."
        say(outcome)
        write({"actor": actor, "endedSessions": count}, as_json=as_json, done=outcome)
        return
    if number is None:
        ended, voided = await services.sessions.end_all(by=cli_caller())
        outcome = f"Sessions ended: {ended}. Sign-in links voided: {voided}."
        say(outcome)
        write({"endedSessions": ended, "voidedLinks": voided}, as_json=as_json, done=outcome)
        return
    was_valid = await services.sessions.end(number, by=cli_caller())
    outcome = "The session was ended." if was_valid else "The session had already ended."
    say(outcome)
    write({"session": number, "alreadyEnded": not was_valid}, as_json=as_json, done=outcome)


@app.command("void-link")
@with_services
async def void_link(
    services: Services,
    number: Annotated[int, typer.Argument(help="The number of the sign-in link, as in the list.")],
    as_json: AsJson = False,
) -> None:
    """Void a sign-in link that nobody has used yet."""
    was_valid = await services.sessions.void_link(number, by=cli_caller())
    outcome = "The sign-in link was voided." if was_valid else "The sign-in link had already ended."
    say(outcome)
    write({"signInLink": number, "alreadyEnded": not was_valid}, as_json=as_json, done=outcome)


def _session_data(row: Session) -> dict[str, object]:
    return {
        "number": row.id,
        "actor": actor_of(row),
        "way": way_of(row).value,
        "name": row.name,
        "role": row.role,
        "address": row.address,
        "createdAt": instant(row.created_at),
        "lastSeenAt": instant(row.last_seen_at),
        "expiresAt": instant(expiry_of(row)),
    }


def _link_data(row: SignInLink) -> dict[str, object]:
    return {
        "number": row.id,
        "name": row.name,
        "role": row.role,
        "createdBy": row.created_by,
        "createdByName": row.created_by_name,
        "createdAt": instant(row.created_at),
        "expiresAt": instant(row.expires_at),
    }
