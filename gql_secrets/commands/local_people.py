"""Sessions, sign-in links and webhooks of the installation on its database, in the form that commands use."""

from collections.abc import Sequence

from gql_secrets.commands.caller import cli_caller
from gql_secrets.commands.installation import CreatedLink, Fields, SigningSecret
from gql_secrets.commands.interruption import uninterrupted
from gql_secrets.commands.output import instant
from gql_secrets.commands.sign_in_address import address_of
from gql_secrets.domain.access import Role
from gql_secrets.domain.sessions import link_url
from gql_secrets.domain.webhooks import WebhookEventType
from gql_secrets.service.session_rows import actor_of, expiry_of, way_of
from gql_secrets.service.webhooks.management import NewSigningSecret
from gql_secrets.settings import Settings
from gql_secrets.storage.models import Session, SignInLink
from gql_secrets.storage.webhook_models import Webhook, WebhookDelivery
from gql_secrets.wiring import Services


class LocalPeople:
    """The half of `LocalInstallation` that is not about clients."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self.services = services
        self._settings = settings

    async def sessions(self) -> list[Fields]:
        return [_session_data(row) for row in await self.services.sessions.valid_sessions()]

    async def unused_links(self) -> list[Fields] | None:
        return [_link_data(row) for row in await self.services.sessions.unspent_links()]

    @uninterrupted
    async def end_session(self, number: int) -> bool:
        return await self.services.sessions.end(number, by=cli_caller())

    @uninterrupted
    async def end_sessions_of(self, actor: str) -> int:
        return await self.services.sessions.end_all_of(actor, by=cli_caller())

    @uninterrupted
    async def end_all_sessions(self) -> tuple[int, int]:
        return await self.services.sessions.end_all(by=cli_caller())

    @uninterrupted
    async def void_link(self, number: int) -> bool:
        return await self.services.sessions.void_link(number, by=cli_caller())

    @uninterrupted
    async def create_sign_in_link(self, name: str, role: Role) -> CreatedLink:
        link = await self.services.sessions.create_sign_in_link(name, role, by=cli_caller())
        url = link_url(address_of(self._settings), link.token)
        return CreatedLink(url, link.number, link.name, link.role, instant(link.expires_at) or "")

    async def cluster(self) -> Fields:
        members = [
            {
                "id": each.id,
                "version": each.version,
                "lease": each.lease.value,
                "lag": each.lag,
                "startedAt": instant(each.started_at),
                "lastSeenAt": instant(each.last_seen_at),
            }
            for each in await self.services.cluster.members()
        ]
        return {"members": members, "uncertainClients": (await self.services.history.uncertain_clients()).value}

    async def webhooks(self) -> list[Fields]:
        return [_webhook_data(row) for row in await self.services.webhooks.all()]

    @uninterrupted
    async def create_webhook(
        self, url: str, events: Sequence[WebhookEventType], *, description: str | None
    ) -> SigningSecret:
        made = await self.services.webhooks.create(url, events, description=description, by=cli_caller())
        return _signing_secret(made)

    @uninterrupted
    async def update_webhook(
        self,
        number: int,
        *,
        url: str | None,
        events: Sequence[WebhookEventType] | None,
        description: str | None,
        enabled: bool | None,
    ) -> Fields:
        row = await self.services.webhooks.update(
            number, url=url, events=events, description=description, enabled=enabled, by=cli_caller()
        )
        return _webhook_data(row)

    @uninterrupted
    async def delete_webhook(self, number: int) -> None:
        await self.services.webhooks.delete(number, by=cli_caller())

    @uninterrupted
    async def rotate_webhook_secret(self, number: int) -> SigningSecret:
        return _signing_secret(await self.services.webhooks.rotate_secret(number, by=cli_caller()))

    @uninterrupted
    async def test_webhook(self, number: int) -> Fields:
        return _delivery_data(await self.services.webhooks.send_test(number, by=cli_caller()))

    async def deliveries(self, number: int) -> list[Fields]:
        return [_delivery_data(row) for row in await self.services.webhooks.newest_deliveries(number)]

    @uninterrupted
    async def redeliver(self, delivery: int) -> Fields:
        return _delivery_data(await self.services.webhooks.redeliver(delivery, by=cli_caller()))


def _session_data(row: Session) -> Fields:
    return {
        "number": row.id,
        "actor": actor_of(row),
        "way": way_of(row).value,
        "name": row.name,
        "role": row.role,
        "address": row.address,
        "createdAt": instant(row.created_at),
        "lastSeenAt": instant(row.last_seen_at),
        "expiresAt": instant(expiry_of(row)),
    }


def _link_data(row: SignInLink) -> Fields:
    return {
        "number": row.id,
        "name": row.name,
        "role": row.role,
        "createdBy": row.created_by,
        "createdByName": row.created_by_name,
        "createdAt": instant(row.created_at),
        "expiresAt": instant(row.expires_at),
    }


def _signing_secret(made: NewSigningSecret) -> SigningSecret:
    return SigningSecret(made.webhook.id, made.secret, instant(made.webhook.previous_until))


def _webhook_data(row: Webhook) -> Fields:
    return {
        "number": row.id,
        "state": "disabled" if not row.enabled else "paused" if row.paused_at else "enabled",
        "url": row.url,
        "description": row.description,
        "events": row.events.split(","),
        "pausedAt": instant(row.paused_at),
        "failingSince": instant(row.failing_since),
        "previousSecretUntil": instant(row.previous_until),
        "createdAt": instant(row.created_at),
    }


def _delivery_data(row: WebhookDelivery) -> Fields:
    return {
        "number": row.id,
        "eventId": row.event_id,
        "eventType": row.event_type,
        "clientId": row.client_id or None,
        "state": row.state,
        "attempts": row.attempts,
        "lastStatus": row.last_status,
        "lastError": row.last_error,
        "createdAt": instant(row.created_at),
        "deliveredAt": instant(row.delivered_at),
    }
