"""Sessions, sign-in links and webhooks of a remote server, in the form that commands use."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from gql_secrets.api import cli_documents as documents
from gql_secrets.commands.installation import CreatedLink, Fields, NeedsDatabase, SigningSecret, given_only
from gql_secrets.commands.remote.connection import Connection
from gql_secrets.domain import base64url
from gql_secrets.domain.access import Role
from gql_secrets.domain.webhooks import WebhookEventType


class RemotePeople:
    """The half of `RemoteInstallation` that is not about clients."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def sessions(self) -> list[Fields]:
        return [_session(node) async for node in self._pages(documents.SESSIONS)]

    async def unused_links(self) -> list[Fields] | None:
        return None

    async def end_session(self, number: int) -> bool:
        done = await self.connection.change(documents.END_SESSION, sessionId=_global_id("Session", number))
        return not done["alreadyEnded"]

    async def end_sessions_of(self, actor: str) -> int:
        return int((await self.connection.change(documents.END_SESSIONS, actor=actor))["endedCount"])

    async def end_all_sessions(self) -> tuple[int, int]:
        raise NeedsDatabase("Ending all sessions")

    async def void_link(self, number: int) -> bool:
        raise NeedsDatabase(f"Voiding sign-in link {number}")

    async def create_sign_in_link(self, name: str, role: Role) -> CreatedLink:
        done = await self.connection.change(documents.CREATE_SIGN_IN_LINK, name=name, role=role.value)
        return CreatedLink(done["url"], done["number"], name, role, done["expiresAt"])

    async def cluster(self) -> Fields:
        return dict((await self.connection.query(documents.CLUSTER))["cluster"])

    async def webhooks(self) -> list[Fields]:
        return [_webhook(each) for each in (await self.connection.query(documents.WEBHOOKS))["webhooks"]]

    async def create_webhook(
        self, url: str, events: Sequence[WebhookEventType], *, description: str | None
    ) -> SigningSecret:
        names = [each.name for each in events]
        return _signing_secret(
            await self.connection.change(documents.CREATE_WEBHOOK, url=url, events=names, description=description)
        )

    async def update_webhook(
        self,
        number: int,
        *,
        url: str | None,
        events: Sequence[WebhookEventType] | None,
        description: str | None,
        enabled: bool | None,
    ) -> Fields:
        names = None if events is None else [each.name for each in events]
        given = given_only({"url": url, "events": names, "description": description, "enabled": enabled})
        done = await self.connection.change(documents.UPDATE_WEBHOOK, webhookId=_global_id("Webhook", number), **given)
        return _webhook(done["webhook"])

    async def delete_webhook(self, number: int) -> None:
        await self.connection.change(documents.DELETE_WEBHOOK, webhookId=_global_id("Webhook", number))

    async def rotate_webhook_secret(self, number: int) -> SigningSecret:
        identifier = _global_id("Webhook", number)
        return _signing_secret(await self.connection.change(documents.ROTATE_WEBHOOK_SECRET, webhookId=identifier))

    async def test_webhook(self, number: int) -> Fields:
        identifier = _global_id("Webhook", number)
        return _delivery(await self.connection.change(documents.TEST_WEBHOOK, webhookId=identifier))

    async def deliveries(self, number: int) -> list[Fields]:
        found = (await self.connection.query(documents.DELIVERIES))["webhooks"]
        return [row for each in found if each["number"] == number for row in each["deliveries"]]

    async def redeliver(self, delivery: int) -> Fields:
        identifier = _global_id("WebhookDelivery", delivery)
        return _delivery(await self.connection.change(documents.REDELIVER, deliveryId=identifier))

    async def _pages(self, document: str, **variables: object) -> AsyncIterator[dict[str, Any]]:
        """Yield the nodes of the connection that a document asks for, from all of its pages."""
        after = None
        while True:
            [page] = (await self.connection.query(document, after=after, **variables)).values()
            for node in page["nodes"]:
                yield node
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]


def _global_id(type_name: str, number: int) -> str:
    return base64url.encode(f"{type_name}:{number}".encode())


def _session(node: Mapping[str, Any]) -> Fields:
    return {
        "number": node["number"],
        "actor": node["actor"],
        "way": node["way"],
        "name": node["name"],
        "role": node["roles"][0],
        "address": node["address"],
        "createdAt": node["startedAt"],
        "lastSeenAt": node["lastSeenAt"],
        "expiresAt": node["expiresAt"],
    }


def _signing_secret(done: Mapping[str, Any]) -> SigningSecret:
    webhook = done["webhook"]
    return SigningSecret(webhook["number"], done["signingSecret"], webhook["previousSecretUntil"])


def _webhook(node: Mapping[str, Any]) -> Fields:
    return {
        "number": node["number"],
        "state": "disabled" if not node["enabled"] else "paused" if node["pausedAt"] else "enabled",
        "url": node["url"],
        "description": node["description"],
        "events": [WebhookEventType[each].value for each in node["events"]],
        "pausedAt": node["pausedAt"],
        "failingSince": node["failingSince"],
        "previousSecretUntil": node["previousSecretUntil"],
        "createdAt": node["createdAt"],
    }


def _delivery(done: Mapping[str, Any]) -> Fields:
    delivery: Fields = done["delivery"]
    return delivery
