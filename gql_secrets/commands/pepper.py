"""`gql-secrets pepper …`: what depends on each key of the pepper, and moving secrets to a new one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

from gql_secrets.commands.caller import cli_caller
from gql_secrets.commands.context import with_services
from gql_secrets.commands.output import AsJson, instant, printable, say, to_json, write, write_text

if TYPE_CHECKING:
    from gql_secrets.service.pepper_status import KeyStatus
    from gql_secrets.wiring import Services

app = typer.Typer(help="Move secrets to a new key of the pepper.", no_args_is_help=True)

_MAX_CLIENTS: Final = 1000


@app.callback()
def group() -> None:
    """Move secrets to a new key of the pepper."""


@dataclass(frozen=True, slots=True)
class _Dependent:
    """Something that depends on a key: how long to keep the key for it, None where not, and what is lost without it."""

    what: str
    count: int
    keep_until: str | None
    without_it: str


@app.command()
@with_services
async def status(services: "Services", as_json: AsJson = False) -> None:
    """Show what depends on each key. The output says when it may be removed, and what is lost with it."""
    from gql_secrets.service.pepper_migration import find_migration
    from gql_secrets.service.pepper_status import clients_of_older_keys, key_statuses

    pepper = services.changes.pepper
    keys = await key_statuses(services.database, pepper)
    found = await clients_of_older_keys(services.database, pepper, _MAX_CLIENTS + 1)
    clients, has_more = found[:_MAX_CLIENTS], len(found) > _MAX_CLIENTS
    migration = await find_migration(services.database)
    if as_json:
        data = {
            "migration": migration and {"keyId": migration.key_id, "startedAt": instant(migration.began_at)},
            "keys": [_data(each) for each in keys],
            "clientsOfOlderKeys": [
                {"clientId": each.client_id, "name": each.name, "lastUsedAt": instant(each.last_used_at)}
                for each in clients
            ],
            "hasMoreClients": has_more,
        }
        write_text(f"{to_json(data)}\n")
        return
    say(f"{'KEY':<32}  {'ACTIVE':>8}  {'ENDED':>8}  STATUS")
    write_text("".join(map(_lines, keys)))
    if not clients:
        return
    if migration and migration.key_id == pepper.first.key_id:
        say(
            f"Secrets of these clients were not moved to {migration.key_id} since {instant(migration.began_at)}. Wait "
            "until they are verified, or reset them:"
        )
    else:
        say("These clients have secrets under older keys. Run gql-secrets pepper migrate, or reset them:")
    write_text(
        "".join(
            f"{each.client_id}  {printable(each.name)}  last used: {instant(each.last_used_at) or 'never'}\n"
            for each in clients
        )
    )
    if has_more:
        say(f"There are more: these are the first {_MAX_CLIENTS:,}.")


@app.command()
@with_services
async def migrate(services: "Services", as_json: AsJson = False) -> None:
    """Move secrets to the first key of the pepper. Each is moved when it is next verified. The audit log records it.

    Every running node must have the same first key. If this migration has already begun, nothing changes.
    """
    from gql_secrets.service.pepper_migration import begin_migration

    migration, is_new = await begin_migration(services.changes, by=cli_caller())
    began_at = instant(migration.began_at)
    done = (
        f"Secrets that are verified from now on are moved to the pepper key {migration.key_id}."
        if is_new
        else f"Secrets have been moved to the pepper key {migration.key_id} since {began_at}."
    )
    say(f"{done} gql-secrets pepper status lists the clients that were not seen since.")
    write({"keyId": migration.key_id, "startedAt": began_at, "started": is_new}, as_json=as_json, done=done)


def _data(key: "KeyStatus") -> dict[str, object]:
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
        "dependents": [
            {
                "what": each.what,
                "count": each.count,
                "keepUntil": each.keep_until,
                "withoutIt": each.without_it,
            }
            for each in _dependents(key)
        ],
    }


def _dependents(key: "KeyStatus") -> list[_Dependent]:
    """Return what depends on a key, without what has a count of 0."""
    every = (
        _Dependent(
            "active secrets",
            key.active_secrets,
            "they are under another key (gql-secrets pepper migrate) or have ended",
            "servers do not start",
        ),
        _Dependent(
            "audit log", int(key.signs_audit), "the next change, which another key signs", "servers do not start"
        ),
        _Dependent(
            "webhooks",
            key.webhooks,
            "their signing secrets were rotated and the previous ones no longer sign, 24 hours later",
            "nothing is signed with these signing secrets, and deliveries fail",
        ),
        _Dependent(
            "sessions",
            key.sessions,
            "they are renewed or have ended, at most 8 hours",
            "people have to sign in again",
        ),
        _Dependent(
            "repeatable resets",
            key.repeatable_resets,
            "ten minutes have passed or, where a client reset itself, its new secret was used",
            "a reset whose answer was lost returns no secret when it is repeated",
        ),
        _Dependent(
            "ended secrets",
            key.ended_secrets,
            None,
            "attempts with these secrets are counted as attempts with an unknown secret",
        ),
    )
    return [each for each in every if each.count]


def _lines(key: "KeyStatus") -> str:
    first = f"{key.key_id:<32}  {key.active_secrets:>8}  {key.ended_secrets:>8}  {_in_words(key)}\n"
    if key.digests_new_secrets:
        return first
    return first + "".join(
        f"  {each.what}: {each.count}. {f'Keep the key until {each.keep_until}. ' if each.keep_until else ''}"
        f"Without it, {each.without_it}.\n"
        for each in _dependents(key)
    )


def _in_words(key: "KeyStatus") -> str:
    if key.digests_new_secrets:
        return "digests new secrets"
    if not key.in_pepper:
        return "not in the pepper" + ("" if key.may_be_removed else ", but needed")
    return "may be removed" if key.may_be_removed else "needed"
