"""`gql-secrets client …`: register, list, edit and delete clients."""

import sys
from datetime import datetime
from typing import Annotated

import typer

from gql_secrets.commands.context import with_installation
from gql_secrets.commands.installation import ClientEdit, Fields, Installation
from gql_secrets.commands.output import AsJson, effect_data, printable, say, to_json, write, write_text
from gql_secrets.domain.access import Feature
from gql_secrets.domain.audit import MAX_REASON
from gql_secrets.domain.details import parse_contact, parse_labels
from gql_secrets.domain.errors import ClientNotFound, Failure

app = typer.Typer(help="Register clients and change their secrets.", no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Reason = Annotated[
    str | None,
    typer.Option("--reason", help=f"Why, for the audit log; at most {MAX_REASON} characters."),
]
_Features = Annotated[
    list[str], typer.Option("--feature", help=f"One of {', '.join(Feature)}. Repeat the option for more.")
]
_Networks = Annotated[
    list[str],
    typer.Option(
        "--allow",
        help="A network that the client may call from, such as 192.0.2.0/24. Repeat the option for more. Default: all.",
    ),
]

_Labels = Annotated[
    list[str], typer.Option("--label", help="A label such as team=payments. Repeat the option for more.")
]
_MaximumAgeDays = Annotated[
    int | None, typer.Option("--maximum-age-days", help="The client's own maximum age of a current secret, in days.")
]


@app.command()
@with_installation
async def create(
    installation: Installation,
    name: Annotated[str, typer.Argument(help="The name that people see.")],
    feature: _Features = [],  # noqa: B006  typer makes a list of its own
    description: Annotated[str | None, typer.Option("--description", help="What the client is for.")] = None,
    allow: _Networks = [],  # noqa: B006
    self_reset: Annotated[
        bool, typer.Option("--self-reset", help="Let the client reset its own secret, with a smooth reset.")
    ] = False,
    contact: Annotated[str | None, typer.Option("--contact", help="Whom to call about the client.")] = None,
    label: _Labels = [],  # noqa: B006
    maximum_age_days: _MaximumAgeDays = None,
    as_json: AsJson = False,
) -> None:
    """Register a client and show its secret once."""
    made = await installation.create_client(
        ClientEdit(
            name=name,
            description=description,
            features=feature,
            allow_list=allow or None,
            self_reset=self_reset,
            contact=contact,
            labels=label,
            maximum_age_days=maximum_age_days,
        )
    )
    client_id = made.client_id
    say("Registered. The secret is shown only once:")
    write(
        {"clientId": client_id, "name": made.name, "secret": made.secret.reveal()},
        as_json=as_json,
        done=f"The client {client_id} was registered, and its secret cannot be shown again. To get a new one, run: "
        f"gql-secrets client reset {client_id} --hours 0",
    )


@app.command("list")
@with_installation
async def list_clients(
    installation: Installation,
    search: Annotated[
        str | None, typer.Option("--search", help="A part of the name, the description or the client id.")
    ] = None,
    in_rollover: Annotated[
        bool | None,
        typer.Option("--in-rollover/--not-in-rollover", help="Only clients with, or without, a valid old secret."),
    ] = None,
    due: Annotated[
        int | None,
        typer.Option(
            "--due",
            metavar="DAYS",
            help="Only clients whose secret reaches its maximum age within this number of days.",
        ),
    ] = None,
    label: _Labels = [],  # noqa: B006
    contact: Annotated[str | None, typer.Option("--contact", help="Only clients with this contact.")] = None,
    as_json: AsJson = False,
) -> None:
    """List all clients, newest first."""
    from gql_secrets.service.client_filter import ClientFilter

    wanted = ClientFilter(
        in_rollover=in_rollover, due_within_days=due, labels=parse_labels(label), contact=parse_contact(contact)
    )
    now = await installation.now()
    heading = "OLD SECRET EXPIRES AT" if due is None else "ROTATION"
    count = 0
    async for data in installation.each_client(search, wanted):
        if as_json:
            write_text(("[\n" if count == 0 else ",\n") + to_json(data))
        else:
            if count == 0:
                say(f"{'CLIENT ID':<32}  {'STATE':<8}  {heading:<27}  NAME")
            state = "enabled" if data["enabled"] else "disabled"
            old = data["oldSecret"]
            until = old["expiresAt"] if isinstance(old, dict) else "-"
            if due is not None:
                until = _rotation_in_words(str(data["rotationDueAt"]), now)
            name = printable(str(data["name"]))
            write_text(f"{printable(str(data['clientId'])):<32}  {state:<8}  {until:<27}  {name}\n")
        count += 1
    if as_json:
        write_text("\n]\n" if count else "[]\n")
    elif count == 0:
        say("No clients.")


@app.command()
@with_installation
async def show(installation: Installation, client_id: ClientId, as_json: AsJson = False) -> None:
    """Show a client and the state of its secrets."""
    write(await _find(installation, client_id), as_json=as_json)


@app.command()
@with_installation
async def update(
    installation: Installation,
    client_id: ClientId,
    name: Annotated[str | None, typer.Option("--name", help="The new name.")] = None,
    description: Annotated[
        str | None, typer.Option("--description", help="The new description; '' removes it.")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", help="Replaces all features. Repeat the option for more; '' removes them."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="Replaces the allow list with this network. Repeat the option for more."),
    ] = None,
    self_reset: Annotated[
        bool | None,
        typer.Option("--self-reset/--no-self-reset", help="Whether the client may reset its own secret."),
    ] = None,
    contact: Annotated[str | None, typer.Option("--contact", help="The new contact; '' removes it.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Replaces all labels. Repeat the option for more; '' removes them."),
    ] = None,
    maximum_age_days: _MaximumAgeDays = None,
    inherit_maximum_age: Annotated[
        bool, typer.Option("--inherit-maximum-age", help="Remove the client's own maximum age.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Edit a client. Options that are not passed change nothing."""
    data, effect = await installation.update_client(
        client_id,
        ClientEdit(
            name=name,
            description=description,
            features=[each for each in feature if each] if feature else None,
            allow_list=allow or None,
            self_reset=self_reset,
            contact=contact,
            labels=[each for each in label if each] if label else None,
            maximum_age_days=maximum_age_days,
            inherit_maximum_age=inherit_maximum_age,
        ),
    )
    write(data | effect_data(effect), as_json=as_json, done="The client was edited.")


@app.command()
@with_installation
async def enable(
    installation: Installation, client_id: ClientId, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Accept a client's secrets again. Those that have ended stay ended."""
    await _set_enabled(installation, client_id, enabled=True, reason=reason, as_json=as_json)


@app.command()
@with_installation
async def disable(
    installation: Installation, client_id: ClientId, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Refuse a client's secrets until it is enabled. An old secret still expires on time."""
    await _set_enabled(installation, client_id, enabled=False, reason=reason, as_json=as_json)


@app.command()
@with_installation
async def delete(
    installation: Installation, client_id: ClientId, reason: Reason = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Delete a client and end its secrets permanently. Its id is never used again."""
    if not yes:
        client = await _find(installation, client_id)
        confirm(f"Delete {client['name']} ({client_id}) permanently?")
    deleted, effect = await installation.delete_client(client_id, reason=reason)
    say("Deleted. Its audit events remain.")
    write({"deletedClientId": deleted} | effect_data(effect), as_json=as_json, done="The client was deleted.")


def _rotation_in_words(due_at: str, now: datetime) -> str:
    instant = datetime.fromisoformat(due_at)
    return f"{'overdue since' if now >= instant else 'due on'} {instant:%Y-%m-%d}"


def confirm(question: str) -> None:
    """Ask on stderr, because stdout is for data; pass if the answer is yes.

    Raises:
        Failure: the answer is anything else, or stdin is empty or closed.
    """
    say(f"{printable(question)} [y/N] ", end="")
    if _answer().strip().lower() not in ("y", "yes"):
        raise Failure("Nothing was changed. To skip the question, pass --yes.")


def _answer() -> str:
    if sys.stdin is None:  # closed by the parent process
        return ""
    try:
        return sys.stdin.readline()
    except (OSError, ValueError):  # it cannot be read, or is not text
        return ""


async def _find(installation: Installation, client_id: str) -> Fields:
    client = await installation.find_client(client_id)
    if client is None:
        raise ClientNotFound
    return client


async def _set_enabled(
    installation: Installation, client_id: str, *, enabled: bool, reason: str | None, as_json: bool
) -> None:
    is_enabled, effect = await installation.set_client_enabled(client_id, enabled=enabled, reason=reason)
    state = "enabled" if enabled else "disabled"
    say(f"{state.capitalize()}.")
    data = {"clientId": client_id, "enabled": is_enabled} | effect_data(effect)
    write(data, as_json=as_json, done=f"The client was {state}.")
