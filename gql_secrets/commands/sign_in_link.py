"""`gql-secrets sign-in-link`: create a link that signs a person in to the console."""

from typing import TYPE_CHECKING, Annotated

import typer

from gql_secrets.commands.caller import cli_caller, system_user
from gql_secrets.commands.context import with_installation
from gql_secrets.commands.installation import Installation
from gql_secrets.commands.output import AsJson, say, write, write_text
from gql_secrets.domain.access import Role
from gql_secrets.domain.sessions import link_url

if TYPE_CHECKING:
    from gql_secrets.wiring import Services


@with_installation
async def sign_in_link(
    installation: Installation,
    role: Annotated[
        Role,
        typer.Option("--role", case_sensitive=False, metavar="|".join(Role), help="The person's role."),
    ] = Role.ADMIN,
    name: Annotated[
        str | None, typer.Option("--name", help="The person's name in the audit log. Default: the system user.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a link that signs a person in to the console. It works once, for 15 minutes."""
    link = await installation.create_sign_in_link(name or system_user(), role)
    until = link.expires_at
    say(f"This link signs {link.name} in as {link.role}. It works once, until {until}. Open it in a browser:")
    lost = f"A link was created that cannot be shown again. It expires at {until}. Run the command again."
    if as_json:
        data = {
            "url": link.url,
            "number": link.number,
            "name": link.name,
            "role": link.role.value,
            "expiresAt": until,
        }
        write(data, as_json=True, done=lost)
    else:
        write_text(f"{link.url}\n", done=lost)


async def first_link_text(services: "Services", url: str) -> str:
    """Return what the first start prints about the console: a link that signs the administrator in."""
    link = await services.sessions.create_sign_in_link(system_user(), Role.ADMIN, by=cli_caller())
    return f"""\
To use the console instead, open this link in a browser. It signs you in once and works for 15 minutes:

{link_url(url, link.token)}

To create another link, run: gql-secrets sign-in-link

"""
