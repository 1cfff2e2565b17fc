"""`gql-secrets client reset`, `revoke-old`, `change-retention` and `cancel-rollover`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from gql_secrets.commands.client import ClientId, Reason, Yes, confirm
from gql_secrets.commands.client_bulk import reset_many, revoke_all, revoke_safe, revoked_fields
from gql_secrets.commands.context import with_installation
from gql_secrets.commands.installation import Installation, ResetDone
from gql_secrets.commands.output import AsJson, effect_data, say, write
from gql_secrets.domain.rotation import Retention

_Hours = Annotated[
    int, typer.Option("--hours", help="How long the old secret stays valid: 0 (it ends now) to 168 hours.")
]
_Generation = Annotated[
    int | None,
    typer.Option("--if-generation", help="Refuse unless the client's generation is this number."),
]

_OWNER_WARNING: Final = "This client administers gql-secrets. Put the new secret in place before the old one ends."


@with_installation
async def reset(
    installation: Installation,
    hours: _Hours,
    client_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The client id; or pass --ids and --out.")
    ] = None,
    ids: Annotated[
        typer.FileText | None,
        typer.Option("--ids", metavar="FILE", help="Reset the clients of this file: one id per line; - for stdin."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="With --ids: the directory for the new secrets, one file each."),
    ] = None,
    end_active_rollover: Annotated[
        bool, typer.Option("--end-active-rollover", help="Reset even if a rollover is in progress.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", help="A repeated key within ten minutes returns the same secret."),
    ] = None,
    if_generation: _Generation = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Create a new secret. The old one stays valid for the given number of hours."""
    if ids is not None or out is not None:
        if ids is None or out is None or client_id or end_active_rollover or reason:
            raise typer.BadParameter("Pass --ids and --out together, without an id and the options of a single reset.")
        if idempotency_key or if_generation is not None:
            raise typer.BadParameter("--idempotency-key and --if-generation are for a single client.")
        await reset_many(installation, ids, hours, out, yes=yes, as_json=as_json)
        return
    if client_id is None:
        raise typer.BadParameter("Pass a client id, or --ids and --out.")
    retention = Retention(hours)
    if not yes and await installation.has_owner_among([client_id]):
        confirm(f"{_OWNER_WARNING} Reset its secret?")
    done = await installation.reset_secret(
        client_id,
        retention,
        end_active_rollover=end_active_rollover,
        idempotency_key=idempotency_key,
        if_generation=if_generation,
        reason=reason,
    )
    until = done.old_secret_expires_at
    for sentence in _sentences(done, until):
        say(sentence)
    write(
        {
            "clientId": client_id,
            "generation": done.generation,
            "newSecret": done.new_secret.reveal(),
            "oldSecretExpiresAt": until,
            "oldSecret": done.old_secret,
            "withdrawnSecret": done.withdrawn_secret,
            "displacedSecret": done.displaced_secret,
            "replayed": done.replayed,
        }
        | effect_data(done.effect),
        as_json=as_json,
        done=_lost_secret(client_id, hours, until, idempotency_key),
    )


@with_installation
async def revoke_old(
    installation: Installation,
    client_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The client id; or pass --all or --safe.")
    ] = None,
    all_clients: Annotated[
        bool, typer.Option("--all", help="Revoke the old secrets of all clients, as after restoring a backup.")
    ] = False,
    safe: Annotated[
        bool, typer.Option("--safe", help="Revoke the old secrets of all clients for which that is safe.")
    ] = False,
    if_generation: _Generation = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Revoke the old secret now. The current secret is not affected."""
    if [client_id is not None, all_clients, safe].count(True) != 1:
        raise typer.BadParameter("Pass a client id, --all or --safe.")
    if safe:
        if reason or if_generation is not None:
            raise typer.BadParameter("--safe takes neither --reason nor --if-generation.")
        await revoke_safe(installation, as_json=as_json)
        return
    if client_id is None:
        if if_generation is not None:
            raise typer.BadParameter("--all takes no --if-generation: each client has its own generation.")
        await revoke_all(installation, reason, yes=yes, as_json=as_json)
        return
    done = await installation.revoke_old_secret(client_id, if_generation=if_generation, reason=reason)
    if not done.already_ended:
        outcome = "The old secret was revoked."
    elif done.revoked_secret:
        outcome = "The old secret had already ended."
    else:
        outcome = "This client has never had an old secret."
    say(outcome)
    write(revoked_fields(client_id, done) | effect_data(done.effect), as_json=as_json, done=outcome)


@with_installation
async def change_retention(
    installation: Installation,
    client_id: ClientId,
    hours: Annotated[
        int, typer.Option("--hours", help="How long from now the old secret stays valid: 1 to 168 hours.")
    ],
    if_generation: _Generation = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Change when the old secret expires. That is at most 168 hours after its reset."""
    until, clamped, effect = await installation.change_retention(
        client_id, Retention(hours, minimum=1), if_generation=if_generation, reason=reason
    )
    why = " (168 hours after its reset, the maximum)" if clamped else ""
    outcome = f"The old secret is valid until {until}{why}."
    say(outcome)
    data = {"clientId": client_id, "oldSecretExpiresAt": until, "clamped": clamped} | effect_data(effect)
    write(data, as_json=as_json, done=outcome)


@with_installation
async def cancel_rollover(
    installation: Installation,
    client_id: ClientId,
    if_generation: _Generation = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Undo a reset whose new secret was never used."""
    current, withdrawn, effect = await installation.cancel_rollover(
        client_id, if_generation=if_generation, reason=reason
    )
    outcome = "The unused new secret was withdrawn; the old secret is the current one again."
    say(outcome)
    write(
        {
            "clientId": client_id,
            "currentSecret": current,
            "withdrawnSecret": withdrawn,
        }
        | effect_data(effect),
        as_json=as_json,
        done=outcome,
    )


def _sentences(done: ResetDone, until: str | None) -> Sequence[str]:
    sentences = ["The new secret is valid now. It is shown only once."]
    if done.replayed:
        sentences.insert(0, "This idempotency key was used before: returning the same secret.")
    sentences.append(f"The old secret is valid until {until}." if until else "Every older secret has ended.")
    if done.withdrawn_secret:
        sentences.append("The previous secret, which had never been used, was withdrawn.")
    if until and done.displaced_secret:
        sentences.append("The old secret of the previous rollover has ended.")
    return sentences


def _lost_secret(client_id: str, hours: int, until: str | None, idempotency_key: str | None) -> str:
    """Return what became of a reset whose new secret could not be written, and how to get a secret."""
    old = f"The old secret is valid until {until}." if until else "Every older secret has ended."
    if idempotency_key is not None:
        way_out = "Run the command again within ten minutes to get the same secret."
    else:
        # Within an hour the same actor may replace an unused secret, and the old one stays (docs/rules.md, rule 6).
        within = " within an hour" if hours else ""
        way_out = f"To get another one, run{within}: gql-secrets client reset {shlex.quote(client_id)} --hours {hours}"
    return f"The secret was reset, and the new one cannot be shown again. {old} {way_out}"
