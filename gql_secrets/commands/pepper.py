"""`gql-secrets pepper …`: what depends on each key of the pepper, and moving secrets to a new one."""

from typing import Final

import typer

from gql_secrets.commands.context import cli_caller, with_services
from gql_secrets.commands.output import AsJson, instant, printable, say, to_json, write, write_text
from gql_secrets.service.pepper_migration import begin_migration, find_migration
from gql_secrets.service.pepper_status import KeyStatus, clients_of_older_keys, key_statuses
from gql_secrets.wiring import Services

app = typer.Typer(
    help="Show what depends on each key of the pepper, and move secrets to a new one.", no_args_is_help=True
)

_MAX_CLIENTS: Final = 1000


@app.callback()
def group() -> None:
    """Show what depends on each key of the pepper, and move secrets to a new one."""


@app.command()
@with_services
async def status(services: Services, as_json: AsJson = False) -> None:
    """Show for each key which secrets need it, and whether it may be removed from the pepper."""
    pepper = services.changes.pepper
    keys = await key_statuses(services.database, pepper)
    clients = await clients_of_older_keys(services.database, pepper, _MAX_CLIENTS)
    migration = await find_migration(services.database)
    if as_json:
        data = {
            "migration": migration and {"keyId": migration.key_id, "startedAt": instant(migration.began_at)},
            "keys": [_data(each) for each in keys],
            "clientsOfOlderKeys": [
                {"clientId": each.client_id, "name": each.name, "lastUsedAt": instant(each.last_used_at)}
                for each in clients
            ],
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
    if not clients:
        return
    if migration and migration.key_id == pepper.first.key_id:
        say(
            f"These clients were not seen since {instant(migration.began_at)}. Wait for them or reset them, so that "
            "the older keys may be removed:"
        )
    else:
        say("These clients use older keys. Run gql-secrets pepper migrate, or reset them:")
    write_text(
        "".join(
            f"{each.client_id}  {printable(each.name)}  last used: {instant(each.last_used_at) or 'never'}\n"
            for each in clients
        )
    )


@app.command()
@with_services
async def migrate(services: Services, as_json: AsJson = False) -> None:
    """Move each secret that is verified from now on to the first key of the pepper. The audit log records it.

    Every running node must have the same first key. Nothing changes if this migration has begun already.
    """
    migration, is_new = await begin_migration(services.changes, by=cli_caller())
    began_at = instant(migration.began_at)
    done = (
        f"Secrets that are verified from now on are moved to the pepper key {migration.key_id}."
        if is_new
        else f"Secrets have been moved to the pepper key {migration.key_id} since {began_at}."
    )
    say(f"{done} gql-secrets pepper status lists the clients that were not seen since.")
    write({"keyId": migration.key_id, "startedAt": began_at, "started": is_new}, as_json=as_json, done=done)


def _data(key: KeyStatus) -> dict[str, object]:
    return {
        "keyId": key.key_id,
        "inPepper": key.in_pepper,
        "digestsNewSecrets": key.digests_new_secrets,
        "activeSecrets": key.active_secrets,
        "endedSecrets": key.ended_secrets,
        "repeatableResets": key.repeatable_resets,
        "webhooks": key.webhooks,
        "sessions": key.sessions,
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
