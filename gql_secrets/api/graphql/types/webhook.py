"""Webhooks and their deliveries."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import DeliveryState, WebhookEventType
from gql_secrets.api.graphql.nodes import global_id
from gql_secrets.graphql_server.schema_costs import weighs
from gql_secrets.service.webhooks.management import MAX_DELIVERIES
from gql_secrets.storage import webhook_models


@strawberry.type(description="The delivery of one event to one webhook.")
class WebhookDelivery:
    number: int = strawberry.field(description="The number of the delivery.")
    id: strawberry.ID = strawberry.field(description="The global id of the delivery.")
    event_id: str = strawberry.field(
        description="The id of the event, as in the header webhook-id. The same for every attempt."
    )
    event_type: str = strawberry.field(description="The type of the event, as in the payload, such as secret.reset.")
    client_id: strawberry.ID | None = strawberry.field(
        description="The client id of the client that the event is about. Null for a test."
    )
    state: DeliveryState = strawberry.field(description="The state of the delivery.")
    attempts: int = strawberry.field(description="The number of attempts.")
    next_attempt_at: datetime | None = strawberry.field(
        description="The earliest time of the next attempt. Null if no attempt follows."
    )
    last_status: int | None = strawberry.field(
        description="The HTTP status of the last answer. Null if the endpoint did not answer."
    )
    last_error: str | None = strawberry.field(description="Why the last attempt failed. Null if it did not.")
    created_at: datetime = strawberry.field(
        description="When the delivery was created, or was last requested with redeliverWebhook."
    )
    delivered_at: datetime | None = strawberry.field(description="When the endpoint accepted the event.")

    @classmethod
    def of(cls, row: webhook_models.WebhookDelivery) -> Self:
        """Return the view of a delivery."""
        state = DeliveryState(row.state)
        return cls(
            number=row.id,
            id=global_id("WebhookDelivery", row.id),
            event_id=row.event_id,
            event_type=row.event_type,
            client_id=strawberry.ID(row.client_id) if row.client_id else None,
            state=state,
            attempts=row.attempts,
            next_attempt_at=row.next_attempt_at if state is DeliveryState.PENDING else None,
            last_status=row.last_status,
            last_error=row.last_error,
            created_at=row.created_at,
            delivered_at=row.delivered_at,
        )


@strawberry.type(
    description="An endpoint that events are delivered to, as the Standard Webhooks specification defines."
)
class Webhook:
    number: int = strawberry.field(description="The number of the webhook, as in AuditEvent.webhookNumber.")
    id: strawberry.ID = strawberry.field(description="The global id of the webhook.")
    url: str = strawberry.field(description="The URL of the endpoint. It can hold a token.")
    description: str | None = strawberry.field(description="The description of the webhook.")
    events: list[WebhookEventType] = strawberry.field(description="The types of events that are delivered.")
    enabled: bool = strawberry.field(description="Whether events are delivered.")
    paused_at: datetime | None = strawberry.field(
        description="When deliveries were paused because the endpoint had failed for three days or answered 410. "
        "updateWebhook(enabled: true) resumes them. Null if they are not paused."
    )
    failing_since: datetime | None = strawberry.field(
        description="When attempts began to fail. Null if none has failed since the last success."
    )
    previous_secret_until: datetime | None = strawberry.field(
        description="When the previous signing secret stops signing, or stopped. Null if the signing secret was never "
        "rotated."
    )
    created_at: datetime = strawberry.field(description="When the webhook was created.")

    @strawberry.field(
        description="The newest 50 deliveries, the newest first. Kept for 30 days.",
        metadata=weighs(100, size=MAX_DELIVERIES),
    )
    async def deliveries(self, info: Info) -> list[WebhookDelivery] | None:
        rows = await info.context.services.webhooks.newest_deliveries(self.number)
        return [WebhookDelivery.of(row) for row in rows]

    @classmethod
    def of(cls, row: webhook_models.Webhook) -> Self:
        """Return the view of a webhook."""
        return cls(
            number=row.id,
            id=global_id("Webhook", row.id),
            url=row.url,
            description=row.description,
            events=[WebhookEventType(text) for text in row.events.split(",")],
            enabled=row.enabled,
            paused_at=row.paused_at,
            failing_since=row.failing_since,
            previous_secret_until=row.previous_until,
            created_at=row.created_at,
        )
