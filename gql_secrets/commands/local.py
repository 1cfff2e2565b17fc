"""The installation on its database: the services, in the form that commands use."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from gql_secrets.commands.caller import cli_caller
from gql_secrets.commands.installation import (
    BulkReset,
    BulkRevoke,
    ClientEdit,
    CreatedClient,
    EndedOldSecret,
    Fields,
    OldSecret,
    ResetDone,
    RevokeDone,
    RunningRollover,
)
from gql_secrets.commands.interruption import uninterrupted
from gql_secrets.commands.local_people import LocalPeople
from gql_secrets.commands.output import client_data, instant, secret_data
from gql_secrets.domain.access import Feature
from gql_secrets.domain.details import ClientDetails
from gql_secrets.domain.effects import Effect
from gql_secrets.domain.errors import ClientNotFound, NoRollover, Refusal
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.bulk import ResetTarget, RevokeTarget
from gql_secrets.service.client_details import DetailsEdit
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.clients import UNCHANGED
from gql_secrets.service.pages import MAX_PAGE, PageRequest
from gql_secrets.service.rotation import Revoke
from gql_secrets.storage.client_rows import ClientRow
from gql_secrets.storage.cluster import OneWait
from gql_secrets.storage.models import Client
from gql_secrets.storage.usage import add_last_uses

_SECRETS: Final = PageRequest(first=MAX_PAGE)


class LocalInstallation(LocalPeople):
    """Acts on the database, as the system user. See `Installation` for what the methods promise."""

    async def now(self) -> datetime:
        return await self.services.queries.now()

    async def find_client(self, client_id: str) -> Fields | None:
        client = await self.services.queries.find_client(client_id)
        return (await self._described([client]))[0] if client else None

    async def each_client(self, search: str | None, wanted: ClientFilter) -> AsyncIterator[Fields]:
        after = None
        while True:
            page = await self.services.queries.page_of_clients(
                PageRequest(first=MAX_PAGE, after=after), search=search, filter=wanted
            )
            for data in await self._described(page.rows):
                yield data
            if not page.has_next:
                return
            after = page.cursors[-1]

    async def has_owner_among(self, client_ids: Sequence[str]) -> bool:
        for start in range(0, len(client_ids), MAX_PAGE):
            found = await self.services.queries.features(client_ids[start : start + MAX_PAGE])
            if any(Feature.OWNER in features for features in found.values()):
                return True
        return False

    @uninterrupted
    async def create_client(self, given: ClientEdit) -> CreatedClient:
        details = ClientDetails.parse(
            contact=given.contact, labels=list(given.labels or ()), maximum_age_days=given.maximum_age_days
        )
        made = await self.services.clients.create_client(
            given.name or "",
            by=cli_caller(),
            description=given.description,
            features=list(given.features or ()),
            allow_list=list(given.allow_list) if given.allow_list else None,
            self_reset=bool(given.self_reset),
            details=details,
        )
        return CreatedClient(made.client.client_id, made.client.name, made.secret)

    @uninterrupted
    async def update_client(self, client_id: str, given: ClientEdit) -> tuple[Fields, Effect]:
        edit = await self.services.clients.update_client(
            client_id,
            by=cli_caller(),
            name=UNCHANGED if given.name is None else given.name,
            description=UNCHANGED if given.description is None else given.description,
            features=UNCHANGED if given.features is None else list(given.features),
            allow_list=UNCHANGED if given.allow_list is None else list(given.allow_list),
            self_reset=UNCHANGED if given.self_reset is None else given.self_reset,
            details=DetailsEdit.parse(
                contact=given.contact,
                labels=None if given.labels is None else list(given.labels),
                maximum_age_days=given.maximum_age_days,
                inherit_maximum_age=given.inherit_maximum_age,
            ),
        )
        return (await self._described([edit.client]))[0], edit.effect

    @uninterrupted
    async def set_client_enabled(self, client_id: str, *, enabled: bool, reason: str | None) -> tuple[bool, Effect]:
        edit = await self.services.clients.set_client_enabled(
            client_id, enabled=enabled, by=cli_caller(), reason=reason
        )
        return edit.client.enabled, edit.effect

    @uninterrupted
    async def delete_client(self, client_id: str, *, reason: str | None) -> tuple[str, Effect]:
        deleted = await self.services.clients.delete_client(client_id, by=cli_caller(), reason=reason)
        return deleted.client_id, deleted.effect

    @uninterrupted
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
        done = await self.services.rotation.reset_secret(
            client_id,
            retention,
            by=cli_caller(),
            end_active_rollover=end_active_rollover,
            idempotency_key=idempotency_key,
            if_generation=if_generation,
            reason=reason,
        )
        return ResetDone(
            generation=done.client.generation,
            new_secret=done.new_secret,
            old_secret=secret_data(done.old_secret),
            old_secret_expires_at=instant(done.old_secret.expires_at) if done.old_secret else None,
            withdrawn_secret=secret_data(done.withdrawn_secret),
            displaced_secret=secret_data(done.displaced_secret),
            replayed=done.replayed,
            effect=done.effect,
        )

    @uninterrupted
    async def revoke_old_secret(
        self,
        client_id: str,
        *,
        secret_id: str | None = None,
        if_generation: int | None = None,
        reason: str | None = None,
    ) -> RevokeDone:
        return _revoked(
            await self.services.rotation.revoke_old_secret(
                client_id,
                by=cli_caller(),
                secret_id=int(secret_id) if secret_id else None,
                if_generation=if_generation,
                reason=reason,
            )
        )

    @uninterrupted
    async def change_retention(
        self, client_id: str, retention: Retention, *, if_generation: int | None, reason: str | None
    ) -> tuple[str, bool, Effect]:
        done = await self.services.rotation.change_retention(
            client_id, retention, by=cli_caller(), if_generation=if_generation, reason=reason
        )
        return instant(done.old_secret.expires_at) or "", done.clamped, done.effect

    @uninterrupted
    async def cancel_rollover(
        self, client_id: str, *, if_generation: int | None, reason: str | None
    ) -> tuple[Fields, Fields, Effect]:
        done = await self.services.rotation.cancel_rollover(
            client_id, by=cli_caller(), if_generation=if_generation, reason=reason
        )
        return secret_data(done.current_secret) or {}, secret_data(done.withdrawn_secret) or {}, done.effect

    @uninterrupted
    async def reset_secrets(
        self, client_ids: Sequence[str], retention: Retention, *, idempotency_key: str
    ) -> list[BulkReset]:
        targets = [ResetTarget(client_id) for client_id in client_ids]
        outcomes = await self.services.bulk.reset_secrets(
            targets, retention, by=cli_caller(), idempotency_key=idempotency_key
        )
        results = []
        for outcome in outcomes:
            if outcome.result is None:
                code = outcome.refusal.code.value if outcome.refusal else None
                results.append(BulkReset(outcome.client_id, code=code, message=str(outcome.refusal)))
            else:
                old = outcome.result.old_secret
                until = instant(old.expires_at) if old else None
                made = outcome.result
                results.append(BulkReset(outcome.client_id, made.new_secret, until, effect=made.effect))
        return results

    @uninterrupted
    async def revoke_old_secrets(self, client_ids: Sequence[str], *, reason: str | None) -> list[BulkRevoke]:
        wait = OneWait(self.services.changes.fence)
        outcomes = []
        for client_id in client_ids:
            try:
                revoke = await self.services.rotation.revoke_old_secret(
                    client_id, by=cli_caller(), reason=reason, confirm=wait.confirm_later
                )
            except Refusal as refusal:  # deleted or locked since it was listed
                outcomes.append(BulkRevoke(client_id, None, str(refusal)))
            else:
                outcomes.append(BulkRevoke(client_id, _revoked(revoke)))
        effect = await wait.finish()
        if effect.everywhere:
            return outcomes
        return [replace(each, done=replace(each.done, effect=effect)) if each.done else each for each in outcomes]

    async def safe_to_revoke(self) -> list[OldSecret]:
        targets: list[OldSecret] = []
        after = None
        while True:
            page = await self.services.queries.page_of_clients(
                PageRequest(first=MAX_PAGE, after=after), filter=ClientFilter(safe_to_revoke=True)
            )
            targets += [OldSecret(row.client_id, str(row.old_secret.id)) for row in page.rows if row.old_secret]
            if not page.has_next:
                return targets
            after = page.cursors[-1]

    @uninterrupted
    async def revoke_if_safe(self, targets: Sequence[OldSecret]) -> list[BulkRevoke]:
        outcomes = await self.services.bulk.revoke_old_secrets(
            [RevokeTarget(each.client_id, int(each.secret_id)) for each in targets], by=cli_caller()
        )
        return [
            BulkRevoke(outcome.client_id, _revoked(outcome.result) if outcome.result else None, str(outcome.refusal))
            for outcome in outcomes
        ]

    async def rollover_of(self, client_id: str, *, quiet: timedelta | None) -> RunningRollover | None:
        rollover = await self.services.usage_queries.rollover_of(client_id, quiet_time=quiet)
        if rollover is None:
            return None
        old = rollover.old_secret
        return RunningRollover(
            str(old.id), secret_data(old) or {}, rollover.safe_to_revoke, rollover.advice.value, rollover.reason
        )

    async def ended_old_secret(self, client_id: str, secret_id: str | None) -> EndedOldSecret:
        if await self.services.queries.find_client(client_id) is None:
            raise ClientNotFound
        for row in (await self.services.queries.page_of_secrets(client_id, _SECRETS)).rows:
            if row.replaced_at is not None and secret_id in (None, str(row.id)):
                await add_last_uses(self.services.database, [row])
                return EndedOldSecret(secret_data(row) or {})
        raise NoRollover

    async def audit_lines(self, *, after: int) -> AsyncIterator[str]:
        async for line in AuditLog(self.services.database, self.services.changes.pepper).export(after=after):
            yield line

    async def _described(self, clients: Sequence[Client | ClientRow]) -> list[Fields]:
        queries = self.services.queries
        ids = [client.client_id for client in clients]
        secrets = await queries.active_secrets(ids)
        await add_last_uses(self.services.database, [row for each in secrets.values() for row in each.values()])
        features = await queries.features(ids)
        allow_lists = await queries.allow_lists(ids)
        labels = await queries.labels(ids)
        return [
            client_data(
                client,
                features[client.client_id],
                allow_lists[client.client_id],
                labels[client.client_id],
                secrets.get(client.client_id, {}),
                self.services.rotation_policy,
            )
            for client in clients
        ]


def _revoked(done: Revoke) -> RevokeDone:
    return RevokeDone(secret_data(done.revoked_secret), already_ended=done.already_ended, effect=done.effect)
