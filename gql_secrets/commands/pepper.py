"""`gql-secrets pepper …`: what depends on each key of the pepper."""

from typing import Final

import typer

from gql_secrets.commands.context import with_services
from gql_secrets.commands.output import AsJson, printable, say, to_json, write_text
from gql_secrets.service.pepper_status import KeyStatus, clients_of_older_keys, key_statuses
from gql_secrets.wiring import Services

app = typer.Typer(help="Show what depends on each key of the pepper.", no_args_is_help=True)

_MAX_CLIENTS: Final = 1000


@app.callback()
def group() -> None:
    """Show what depends on each key of the pepper."""


@app.command()
@with_services
async def status(services: Services, as_json: AsJson = False) -> None:
    """Show for each key which secrets need it, and whether it may be removed from the pepper."""
    pepper = services.changes.pepper
    keys = await key_statuses(services.database, pepper)
    clients = await clients_of_older_keys(services.database, pepper, _MAX_CLIENTS)
    if as_json:
        data = {
            "keys": [_data(each) for each in keys],
            "clientsOfOlderKeys": [{"clientId": client_id, "name": name} for client_id, name in clients],
        }
        write_text(f"{to_json(data)}\n")
        return
    say(f"{'KEY':<32}  {'ACTIVE':>8}  {'ENDED':>8}  STATUS")
    write_text(
        "".join(
            f"{each.key_id:<32}  {each.active_secrets:>8}  {each.ended_secrets:>8}  {_in_words(each)}\n"
            for each in keys
        )
    )
    if clients:
        say("Reset these clients, so that the older keys may be removed:")
        write_text("".join(f"{client_id}  {printable(name)}\n" for client_id, name in clients))


def _data(key: KeyStatus) -> dict[str, object]:
    return {
        "keyId": key.key_id,
        "inPepper": key.in_pepper,
        "digestsNewSecrets": key.digests_new_secrets,
        "activeSecrets": key.active_secrets,
        "endedSecrets": key.ended_secrets,
        "repeatableResets": key.repeatable_resets,
        "webhooks": key.webhooks,
        "signsAudit": key.signs_audit,
        "mayBeRemoved": key.may_be_removed,
    }


def _in_words(key: KeyStatus) -> str:
    if key.digests_new_secrets:
        return "digests new secrets"
    if not key.in_pepper:
        return "not in the pepper" + (", but needed: its secrets are not found" if key.active_secrets else "")
    if key.active_secrets:
        return "needed until its secrets have been reset"
    if key.webhooks:
        return "needed until the signing secrets of its webhooks have been rotated"
    if key.signs_audit:
        return "needed until the next change: it signs the audit log"
    return "may be removed"
