"""The installation of a remote server: GraphQL, in the form that commands use."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from gql_secrets.api import cli_documents as documents
from gql_secrets.commands.installation import (
    REFUSALS,
    BulkReset,
    BulkRevoke,
    ClientEdit,
    CreatedClient,
    EndedOldSecret,
    Fields,
    NeedsDatabase,
    OldSecret,
    ResetDone,
    RevokeDone,
    RunningRollover,
    given_only,
)
from gql_secrets.commands.interruption import uninterrupted
from gql_secrets.commands.remote.people import RemotePeople
from gql_secrets.domain.access import Feature, parse_features
from gql_secrets.domain.credentials import PlaintextSecret
from gql_secrets.domain.effects import Effect
from gql_secrets.domain.errors import ClientNotFound, NoRollover, Unavailable
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.client_filter import ClientFilter

# A reset whose answer is lost is sent again with its idempotency key, which gives the same secret.
_ATTEMPTS: Final = 5
_SECONDS_BETWEEN_ATTEMPTS: Final = 1.0
_OWNERS: Final = {"feature": Feature.OWNER.name}


class RemoteInstallation(RemotePeople):
    """Acts as a client of a remote server. See `Installation` for what the methods promise."""

    async def now(self) -> datetime:
        return datetime.fromisoformat((await self.connection.query(documents.NOW))["serverTime"])

    async def find_client(self, client_id: str) -> Fields | None:
        client = (await self.connection.query(documents.CLIENT, clientId=client_id))["client"]
        return _client(client) if client else None

    async def each_client(self, search: str | None, wanted: ClientFilter) -> AsyncIterator[Fields]:
        filters = given_only(
            {
                "inRollover": wanted.in_rollover,
                "dueWithinDays": wanted.due_within_days,
                "labels": list(wanted.labels) or None,
                "contact": wanted.contact,
            }
        )
        async for node in self._pages(documents.CLIENTS, search=search, filter=filters):
            yield _client(node)

    async def has_owner_among(self, client_ids: Sequence[str]) -> bool:
        wanted = set(client_ids)
        async for node in self._pages(documents.OLD_SECRETS, filter=_OWNERS):
            if node["clientId"] in wanted:
                return True
        return False

    async def create_client(self, given: ClientEdit) -> CreatedClient:
        done = await self.connection.change(documents.CREATE_CLIENT, **_variables(given))
        return CreatedClient(done["client"]["clientId"], done["client"]["name"], PlaintextSecret(done["secret"]))

    async def update_client(self, client_id: str, given: ClientEdit) -> tuple[Fields, Effect]:
        inherit = {"inheritMaximumAge": True} if given.inherit_maximum_age else {}
        done = await self.connection.change(documents.UPDATE_CLIENT, clientId=client_id, **_variables(given), **inherit)
        return _client(done["client"]), _effect(done)

    async def set_client_enabled(self, client_id: str, *, enabled: bool, reason: str | None) -> tuple[bool, Effect]:
        done = await self.connection.change(
            documents.SET_CLIENT_ENABLED, clientId=client_id, enabled=enabled, reason=reason
        )
        return bool(done["client"]["enabled"]), _effect(done)

    async def delete_client(self, client_id: str, *, reason: str | None) -> tuple[str, Effect]:
        done = await self.connection.change(documents.DELETE_CLIENT, clientId=client_id, reason=reason)
        return str(done["deletedClientId"]), _effect(done)

    async def reset_secret(
        self,
        client_id: str,
        retention: Retention,
        *,
        end_active_rollover: bool,
        idempotency_key: str | None,
        if_generation: int | None,
        reason: str | None,
    ) -> ResetDone:
        done = await self._until_answered(
            documents.RESET_SECRET,
            clientId=client_id,
            hoursToLive=retention.hours,
            endActiveRollover=end_active_rollover,
            idempotencyKey=str(uuid.uuid4()) if idempotency_key is None else idempotency_key,
            ifGeneration=if_generation,
            reason=reason,
        )
        return ResetDone(
            generation=done["client"]["generation"],
            new_secret=PlaintextSecret(done["newSecret"]),
            old_secret=done["oldSecret"],
            old_secret_expires_at=done["oldSecretExpiresAt"],
            withdrawn_secret=done["withdrawnSecret"],
            displaced_secret=done["displacedSecret"],
            replayed=done["replayed"] and idempotency_key is not None,
            effect=_effect(done),
        )

    async def revoke_old_secret(
        self,
        client_id: str,
        *,
        secret_id: str | None = None,
        if_generation: int | None = None,
        reason: str | None = None,
    ) -> RevokeDone:
        return _revoked(
            await self.connection.change(
                documents.REVOKE_OLD_SECRET,
                clientId=client_id,
                secretId=secret_id,
                ifGeneration=if_generation,
                reason=reason,
            )
        )

    async def revoke_old_secrets(self, client_ids: Sequence[str], *, reason: str | None) -> list[BulkRevoke]:
        outcomes = []
        for client_id in client_ids:
            try:
                outcomes.append(BulkRevoke(client_id, await self.revoke_old_secret(client_id, reason=reason)))
            except REFUSALS as refusal:  # deleted or locked since it was listed
                outcomes.append(BulkRevoke(client_id, None, str(refusal)))
        return outcomes

    async def change_retention(
        self, client_id: str, retention: Retention, *, if_generation: int | None, reason: str | None
    ) -> tuple[str, bool, Effect]:
        done = await self.connection.change(
            documents.CHANGE_RETENTION,
            clientId=client_id,
            hoursToLive=retention.hours,
            ifGeneration=if_generation,
            reason=reason,
        )
        return str(done["oldSecretExpiresAt"]), bool(done["clamped"]), _effect(done)

    async def cancel_rollover(
        self, client_id: str, *, if_generation: int | None, reason: str | None
    ) -> tuple[Fields, Fields, Effect]:
        done = await self.connection.change(
            documents.CANCEL_ROLLOVER, clientId=client_id, ifGeneration=if_generation, reason=reason
        )
        return done["currentSecret"], done["withdrawnSecret"], _effect(done)

    async def reset_secrets(
        self, client_ids: Sequence[str], retention: Retention, *, idempotency_key: str
    ) -> list[BulkReset]:
        done = await self._until_answered(
            documents.RESET_SECRETS,
            targets=[{"clientId": each} for each in client_ids],
            hoursToLive=retention.hours,
            idempotencyKey=idempotency_key,
        )
        results = []
        for each in done["results"]:
            secret = PlaintextSecret(each["newSecret"]) if each["newSecret"] else None
            error: dict[str, str] = next(iter(each["userErrors"]), {})
            until, message = each["oldSecretExpiresAt"], error.get("message", "")
            results.append(BulkReset(each["clientId"], secret, until, error.get("code"), message, _effect(each)))
        return results

    async def safe_to_revoke(self) -> list[OldSecret]:
        nodes = self._pages(documents.OLD_SECRETS, filter={"safeToRevoke": True})
        return [OldSecret(node["clientId"], node["oldSecret"]["id"]) async for node in nodes if node["oldSecret"]]

    async def revoke_if_safe(self, targets: Sequence[OldSecret]) -> list[BulkRevoke]:
        done = await self.connection.change(
            documents.REVOKE_OLD_SECRETS,
            targets=[{"clientId": each.client_id, "secretId": each.secret_id} for each in targets],
        )
        return [
            BulkRevoke(each["clientId"], None, each["userErrors"][0]["message"])
            if each["userErrors"]
            else BulkRevoke(each["clientId"], _revoked(each))
            for each in done["results"]
        ]

    async def rollover_of(self, client_id: str, *, quiet: timedelta | None) -> RunningRollover | None:
        if quiet is not None:
            raise NeedsDatabase("A quiet time other than the server's GQL_SECRETS_QUIET_TIME")
        client = (await self.connection.query(documents.ROLLOVER, clientId=client_id))["client"]
        if client is None or client["rollover"] is None:
            return None
        rollover = client["rollover"]
        old = rollover["oldSecret"]
        return RunningRollover(
            old.pop("id"), old, rollover["safeToRevoke"], str(rollover["advice"]), str(rollover["reason"])
        )

    async def ended_old_secret(self, client_id: str, secret_id: str | None) -> EndedOldSecret:
        client = (await self.connection.query(documents.SECRETS, clientId=client_id))["client"]
        if client is None:
            raise ClientNotFound
        for secret in client["secrets"]["nodes"]:
            is_wanted = secret.pop("id") == secret_id or secret_id is None
            # After a cancelled rollover, the secret that was old is the current one again, and was never replaced.
            if is_wanted and secret["replacedAt"]:
                return EndedOldSecret(secret)
        raise NoRollover

    async def audit_lines(self, *, after: int) -> AsyncIterator[str]:
        while lines := (await self.connection.query(documents.AUDIT_EXPORT, after=after))["auditExport"]:
            for line in lines:
                yield line
            after = int(json.loads(lines[-1])["revision"])

    @uninterrupted
    async def _until_answered(self, document: str, **variables: object) -> dict[str, Any]:
        """Make a change that has an idempotency key; ask again where the answer is lost."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self.connection.change(document, **variables)
            except Unavailable:
                await asyncio.sleep(_SECONDS_BETWEEN_ATTEMPTS)
        return await self.connection.change(document, **variables)


def _variables(given: ClientEdit) -> dict[str, object]:
    features = None if given.features is None else [each.name for each in sorted(parse_features(given.features))]
    return given_only(
        {
            "name": given.name,
            "description": given.description,
            "features": features,
            "allowList": given.allow_list,
            "selfReset": given.self_reset,
            "contact": given.contact,
            "labels": given.labels,
            "maximumAgeDays": given.maximum_age_days,
        }
    )


def _client(node: Mapping[str, Any]) -> Fields:
    return {**node, "features": [Feature[each].value for each in node["features"]]}


def _revoked(done: Mapping[str, Any]) -> RevokeDone:
    return RevokeDone(done["revokedSecret"], already_ended=done["alreadyEnded"], effect=_effect(done))


def _effect(done: Mapping[str, Any]) -> Effect:
    return Effect(done.get("effectiveEverywhere"), done.get("notEffectiveReason"))
