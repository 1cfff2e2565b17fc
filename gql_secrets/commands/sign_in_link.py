"""`gql-secrets sign-in-link`: create a link that signs a person in to the console."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from gql_secrets.commands.context import cli_caller, require_database, run_to_end, system_user, with_settings
from gql_secrets.commands.output import AsJson, instant, say, write, write_text
from gql_secrets.domain.access import Role
from gql_secrets.domain.sessions import link_url
from gql_secrets.service.sessions import NewSignInLink
from gql_secrets.settings import ADDRESS_FILE, Settings
from gql_secrets.settings.private_files import open_unlinked
from gql_secrets.wiring import Services, open_services


@with_settings
def sign_in_link(
    settings: Settings,
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
    require_database(settings)
    link = run_to_end(_make(settings, name or system_user(), role))
    url = link_url(_address_of(settings), link.token)
    expires_at = instant(link.expires_at)
    say(f"This link signs {link.name} in as {link.role}. It works once, until {expires_at}. Open it in a browser:")
    lost = f"A link was created that cannot be shown again. It expires at {expires_at}. Run the command again."
    if as_json:
        data = {"url": url, "number": link.number, "name": link.name, "role": link.role.value, "expiresAt": expires_at}
        write(data, as_json=True, done=lost)
    else:
        write_text(f"{url}\n", done=lost)


async def first_link_text(services: Services, url: str) -> str:
    """Return what the first start prints about the console: a link that signs the administrator in."""
    link = await services.sessions.create_sign_in_link(system_user(), Role.ADMIN, by=cli_caller())
    return f"""\
To use the console instead, open this link in a browser. It signs you in once and works for 15 minutes:

{link_url(url, link.token)}

To create another link, run: gql-secrets sign-in-link

"""


def remember_address(settings: Settings) -> None:
    """Write the server's address into the data directory, so that `sign-in-link` knows the port."""
    path = _address_file(settings)
    # Path.open takes no opener.
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii", opener=open_unlinked) as file:
        file.write(f"{settings.address_url}\n")


def _address_of(settings: Settings) -> str:
    """Return the public URL, or else the address on which the server last listened."""
    if not settings.public_url:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return _address_file(settings).read_text("ascii").strip()
    return settings.address_url


def _address_file(settings: Settings) -> Path:
    return settings.data_dir / ADDRESS_FILE


async def _make(settings: Settings, name: str, role: Role) -> NewSignInLink:
    services = await open_services(settings, migrate=False, with_owner=False)
    try:
        return await services.sessions.create_sign_in_link(name, role, by=cli_caller())
    finally:
        await services.close()
