"""`gql-secrets client …`: what an administrator does to clients, without a server and without credentials."""

import sys
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from gql_secrets.commands.installation import cli_caller, with_services
from gql_secrets.commands.output import AsJson, client_data, instant, say, secret_data, to_json, write
from gql_secrets.domain.access import Feature, parse_features
from gql_secrets.domain.errors import ClientNotFound, Failure, Refusal
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.clients import UNCHANGED
from gql_secrets.service.queries import MAX_PAGE, PageRequest
from gql_secrets.storage.models import Client
from gql_secrets.storage.usage import add_last_uses
from gql_secrets.wiring import Services

app = typer.Typer(help="Register, list, reset and end clients.", no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client id.")]
Features = Annotated[list[str], typer.Option("--feature", help=f"One of {', '.join(Feature)}. Repeat it for more.")]
Networks = Annotated[
    list[str],
    typer.Option("--allow", help="A network that may call, such as 192.0.2.0/24. Repeat it for more. Default: all."),
]
Hours = Annotated[int, typer.Option("--hours", help="How long the old secret stays good: 0 (it ends now) to 168.")]
Generation = Annotated[int | None, typer.Option("--if-generation", help="Refuse if the client changed since.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

OWNER_WARNING = (
    "This client administers gql-secrets: have the new secret in place before the old one ends."  # seed B's advice
)


@app.command()
@with_services
async def create(
    services: Services,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    feature: Features = [],  # noqa: B006  typer makes a list of its own
    description: Annotated[str | None, typer.Option("--description", help="What it is for.")] = None,
    allow: Networks = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Register a client. Its secret is shown once."""
    made = await services.clients.create_client(
        name, by=cli_caller(), description=description, features=feature, allow_list=allow or None
    )
    say("Registered. The secret is shown this once:")
    write(
        {"clientId": made.client.client_id, "name": made.client.name, "secret": made.secret.reveal()}, as_json=as_json
    )


@app.command("list")
@with_services
async def list_clients(
    services: Services,
    search: Annotated[str | None, typer.Option("--search", help="A prefix of the name or the client id.")] = None,
    in_rollover: Annotated[
        bool | None, typer.Option("--in-rollover/--not-in-rollover", help="Only with, or without, an old secret.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List all clients, newest first."""
    count = 0
    async for data in _each_client(services, search, in_rollover):
        if as_json:
            typer.echo(("[\n" if count == 0 else ",\n") + to_json(data), nl=False)
        else:
            if count == 0:
                say(f"{'CLIENT ID':<32}  {'STATE':<8}  {'OLD SECRET GOOD UNTIL':<27}  NAME")
            state = "enabled" if data["enabled"] else "disabled"
            old = data["oldSecret"]
            until = old["expiresAt"] if isinstance(old, dict) else "-"
            typer.echo(f"{data['clientId']:<32}  {state:<8}  {until:<27}  {data['name']}")
        count += 1
    if as_json:
        typer.echo("\n]" if count else "[]")
    elif count == 0:
        say("No client.")


@app.command()
@with_services
async def show(services: Services, client_id: ClientId, as_json: AsJson = False) -> None:
    """Show a client and the state of its secrets."""
    client = await services.reading.find_client(client_id)
    if client is None:
        raise ClientNotFound
    [data] = await _described(services, [client])
    write(data, as_json=as_json)


@app.command()
@with_services
async def update(
    services: Services,
    client_id: ClientId,
    name: Annotated[str | None, typer.Option("--name", help="The new name.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="The new one; '' for none.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", help="All features it has from now on; '' for none.")
    ] = None,
    allow: Annotated[list[str] | None, typer.Option("--allow", help="The whole new allow list.")] = None,
    as_json: AsJson = False,
) -> None:
    """Edit a client: what is not given stays."""
    client = await services.clients.update_client(
        client_id,
        by=cli_caller(),
        name=UNCHANGED if name is None else name,
        description=UNCHANGED if description is None else description,
        features=[each for each in feature if each] if feature else UNCHANGED,
        allow_list=allow or UNCHANGED,
    )
    [data] = await _described(services, [client])
    write(data, as_json=as_json)


@app.command()
@with_services
async def reset(
    services: Services,
    client_id: ClientId,
    hours: Hours,
    end_active_rollover: Annotated[
        bool, typer.Option("--end-active-rollover", help="Go on although a rollover is running.")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key gives the same secret for ten minutes.")
    ] = None,
    if_generation: Generation = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Mint a new secret; the old one stays good for so many hours."""
    retention = Retention(hours)
    if not yes and Feature.OWNER in parse_features((await services.reading.features([client_id]))[client_id]):
        _ask(f"{OWNER_WARNING} Reset its secret?")
    done = await services.rotation.reset_secret(
        client_id,
        retention,
        by=cli_caller(),
        end_active_rollover=end_active_rollover,
        idempotency_key=idempotency_key,
        if_generation=if_generation,
    )
    until = instant(done.old_secret.expires_at) if done.old_secret else None
    if done.replayed:
        say("This idempotency key reset it before: here is that secret again.")
    say("The new secret is good now and is shown this once.")
    if until:
        say(f"The old secret is good until {until}.")
    else:
        say("Every older secret has ended.")
    if done.withdrawn_secret:
        say("The secret made before it, which nobody had used, was withdrawn.")
    if until and done.displaced_secret:
        say("The old secret of the rollover that was running has ended.")
    write(
        {
            "clientId": client_id,
            "generation": done.client.generation,
            "newSecret": done.new_secret.reveal(),
            "oldSecretExpiresAt": until,
            "oldSecret": secret_data(done.old_secret),
            "withdrawnSecret": secret_data(done.withdrawn_secret),
            "displacedSecret": secret_data(done.displaced_secret),
            "replayed": done.replayed,
        },
        as_json=as_json,
    )


@app.command("revoke-old")
@with_services
async def revoke_old(
    services: Services,
    client_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The client id; or say --all.")] = None,
    all_clients: Annotated[
        bool, typer.Option("--all", help="End every old secret there is: after restoring a backup.")
    ] = False,
    if_generation: Generation = None,
    as_json: AsJson = False,
) -> None:
    """End the old secret now. The current one is never touched."""
    if (client_id is None) is not all_clients:
        raise typer.BadParameter("Name one client, or say --all.")
    if client_id is None:
        await _revoke_all(services, as_json=as_json)
        return
    done = await services.rotation.revoke_old_secret(client_id, by=cli_caller(), if_generation=if_generation)
    if not done.already_ended:
        say("The old secret has ended.")
    elif done.revoked_secret:
        say("The old secret had ended before.")
    else:
        say("This client never had an old secret.")
    write(
        _revoked(client_id, done.revoked_secret and secret_data(done.revoked_secret), done.already_ended),
        as_json=as_json,
    )


@app.command("change-retention")
@with_services
async def change_retention(
    services: Services,
    client_id: ClientId,
    hours: Annotated[int, typer.Option("--hours", help="How long from now the old secret stays good: 1 to 168.")],
    if_generation: Generation = None,
    as_json: AsJson = False,
) -> None:
    """Let the old secret end so many hours from now, at most 168 hours after its reset."""
    done = await services.rotation.change_retention(
        client_id, Retention(hours, minimum=1), by=cli_caller(), if_generation=if_generation
    )
    until = instant(done.old_secret.expires_at)
    clamped = " (that is 168 hours after its reset, and no later)" if done.clamped else ""
    say(f"The old secret is good until {until}{clamped}.")
    write({"clientId": client_id, "oldSecretExpiresAt": until, "clamped": done.clamped}, as_json=as_json)


@app.command("cancel-rollover")
@with_services
async def cancel_rollover(
    services: Services, client_id: ClientId, if_generation: Generation = None, as_json: AsJson = False
) -> None:
    """Take a reset back while nobody has used the new secret."""
    done = await services.rotation.cancel_rollover(client_id, by=cli_caller(), if_generation=if_generation)
    say("The new secret, which nobody had used, has ended; the old one is current again.")
    write(
        {
            "clientId": client_id,
            "currentSecret": secret_data(done.current_secret),
            "withdrawnSecret": secret_data(done.withdrawn_secret),
        },
        as_json=as_json,
    )


@app.command()
@with_services
async def enable(services: Services, client_id: ClientId, as_json: AsJson = False) -> None:
    """Accept the client's secrets again: those that have not ended meanwhile."""
    await _set_enabled(services, client_id, enabled=True, as_json=as_json)


@app.command()
@with_services
async def disable(services: Services, client_id: ClientId, as_json: AsJson = False) -> None:
    """Refuse the client's secrets until it is enabled; they go on ageing."""
    await _set_enabled(services, client_id, enabled=False, as_json=as_json)


@app.command()
@with_services
async def delete(services: Services, client_id: ClientId, yes: Yes = False, as_json: AsJson = False) -> None:
    """End the client and its secrets for ever. Its id is never used again."""
    if not yes:
        client = await services.reading.find_client(client_id)
        if client is None:
            raise ClientNotFound
        _ask(f"Delete {client.name} ({client_id}) for ever?")
    deleted = await services.clients.delete_client(client_id, by=cli_caller())
    say("Deleted. Its audit stays readable.")
    write({"deletedClientId": deleted}, as_json=as_json)


async def _set_enabled(services: Services, client_id: str, *, enabled: bool, as_json: bool) -> None:
    client = await services.clients.set_client_enabled(client_id, enabled=enabled, by=cli_caller())
    say("Enabled." if enabled else "Disabled.")
    write({"clientId": client_id, "enabled": client.enabled}, as_json=as_json)


async def _revoke_all(services: Services, *, as_json: bool) -> None:
    client_ids = [str(data["clientId"]) async for data in _each_client(services, None, in_rollover=True)]
    results, failures = [], 0
    for client_id in client_ids:
        try:
            done = await services.rotation.revoke_old_secret(client_id, by=cli_caller())
        except Refusal as refusal:  # deleted or locked meanwhile: the others still end
            say(f"{client_id}: {refusal}")
            failures += 1
            continue
        results.append(_revoked(client_id, secret_data(done.revoked_secret), done.already_ended))
        if not as_json:
            typer.echo(client_id)
    if as_json:
        typer.echo(to_json(results))
    say(f"Old secrets ended: {len(results)}.")
    if failures:
        raise Failure(f"Old secrets that could not be ended: {failures}. Run it again.")


def _revoked(client_id: str, secret: object, already_ended: bool) -> dict[str, object]:
    return {"clientId": client_id, "revokedSecret": secret, "alreadyEnded": already_ended}


async def _each_client(
    services: Services, search: str | None, in_rollover: bool | None
) -> AsyncIterator[dict[str, object]]:
    after = None
    while True:
        page = await services.reading.page_of_clients(
            PageRequest(first=MAX_PAGE, after=after), search=search, in_rollover=in_rollover
        )
        for data in await _described(services, page.rows):
            yield data
        if not page.has_next:
            return
        after = page.cursors[-1]


async def _described(services: Services, clients: list[Client]) -> list[dict[str, object]]:
    ids = [client.client_id for client in clients]
    secrets = await services.reading.active_secrets(ids)
    await add_last_uses(services.database, [row for each in secrets.values() for row in each.values()])
    features = await services.reading.features(ids)
    allow_lists = await services.reading.allow_lists(ids)
    return [
        client_data(
            client, features[client.client_id], allow_lists[client.client_id], secrets.get(client.client_id, {})
        )
        for client in clients
    ]


def _ask(question: str) -> None:
    """Pass when the person says yes. The question stands on stderr, for stdout is for data.

    Raises:
        Failure: the person said no, or nobody is there.
    """
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("Nothing was changed. To go on without being asked, say --yes.")
