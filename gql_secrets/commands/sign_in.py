"""`gql-secrets sign-in-link`: the way into the console before identity providers come."""

import contextlib
from pathlib import Path
from typing import Annotated, Final

import typer

from gql_secrets.commands.installation import cli_caller, require_database, run_to_end, with_settings
from gql_secrets.commands.output import AsJson, instant, say, write
from gql_secrets.domain.access import Role
from gql_secrets.domain.sessions import link_url
from gql_secrets.service.sessions import MadeLink
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services, open_services

_ADDRESS_FILE: Final = "server.url"


@with_settings
def sign_in_link(
    settings: Settings,
    role: Annotated[
        Role,
        typer.Option("--role", case_sensitive=False, metavar="|".join(Role), help="What the person may do."),
    ] = Role.ADMIN,
    name: Annotated[
        str | None, typer.Option("--name", help="The person's name, for the audit. Default: the system's user.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a link that signs a person in to the console: once, and within 15 minutes."""
    require_database(settings)
    link = run_to_end(_make(settings, name or system_user(), role))
    url = link_url(_address_of(settings), link.token)
    say(f"Signs {link.name} in as {link.role}, once, until {instant(link.expires_at)}. Open it in a browser:")
    if as_json:
        data = {"url": url, "name": link.name, "role": link.role.value, "expiresAt": instant(link.expires_at)}
        write(data, as_json=True)
    else:
        typer.echo(url)


async def first_link_text(services: Services, url: str) -> str:
    """Return what the first start prints so that its administrator gets into the console."""
    link = await services.sessions.make_sign_in_link(system_user(), Role.ADMIN)
    return f"""\
Or use the console in a browser. This link signs you in, once, within 15 minutes:

{link_url(url, link.token)}

Later ones come from: gql-secrets sign-in-link

"""


def system_user() -> str:
    """Return who runs this command, as the machine knows them."""
    return cli_caller().name.removeprefix("cli:")


def remember_address(settings: Settings) -> None:
    """Write down where the server listens, so that `sign-in-link` finds it whatever its port is."""
    with contextlib.suppress(OSError):
        _address_file(settings).write_text(settings.address_url + "\n", "ascii")


def _address_of(settings: Settings) -> str:
    """Return the server's address: the public URL, else where it was last seen listening on this machine."""
    if not settings.public_url:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return _address_file(settings).read_text("ascii").strip()
    return settings.address_url


def _address_file(settings: Settings) -> Path:
    return settings.data_dir / _ADDRESS_FILE


async def _make(settings: Settings, name: str, role: Role) -> MadeLink:
    services = await open_services(settings, migrate=False, with_owner=False)
    try:
        return await services.sessions.make_sign_in_link(name, role)
    finally:
        await services.close()
