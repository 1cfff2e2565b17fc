"""The mutations of webhooks."""

from typing import Annotated, Any, Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Role, WebhookEventType
from gql_secrets.api.graphql.errors import RefusalsAreData, UserError
from gql_secrets.api.graphql.guards import CurrentSecretGuard, Guard
from gql_secrets.api.graphql.nodes import global_id, parse_global_id, parse_row_number
from gql_secrets.api.graphql.payloads import ERRORS
from gql_secrets.api.graphql.types.webhook import Webhook, WebhookDelivery
from gql_secrets.domain.webhooks import WebhookNotFound
from gql_secrets.service.webhooks.management import NewSigningSecret

WebhookId = Annotated[strawberry.ID, strawberry.argument(description="The global id of the webhook.")]
Description = Annotated[
    str | None, strawberry.argument(description="The description of the webhook: at most 200 characters.")
]
_NOT_OLD = "Not available to a caller who signed in with an old secret."


@strawberry.type
class _SigningSecretPayload:
    webhook: Webhook | None = strawberry.field(default=None, description="The webhook.")
    signing_secret: str | None = strawberry.field(
        default=None, description="The signing secret, with which the endpoint verifies events. Returned only here."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)

    @classmethod
    def of(cls, made: NewSigningSecret) -> Self:
        """Return the payload, with the signing secret."""
        return cls(webhook=Webhook.of(made.webhook), signing_secret=made.secret)


@strawberry.type(description="The result of createWebhook.")
class CreateWebhookPayload(_SigningSecretPayload):
    pass


@strawberry.type(description="The result of rotateWebhookSecret.")
class RotateWebhookSecretPayload(_SigningSecretPayload):
    pass


@strawberry.type(description="The result of updateWebhook.")
class UpdateWebhookPayload:
    webhook: Webhook | None = strawberry.field(default=None, description="The webhook after the change.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


@strawberry.type(description="The result of deleteWebhook.")
class DeleteWebhookPayload:
    deleted_id: strawberry.ID | None = strawberry.field(
        default=None, description="The global id of the deleted webhook."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


@strawberry.type(description="The result of testWebhook.")
class TestWebhookPayload:
    delivery: WebhookDelivery | None = strawberry.field(default=None, description="The delivery of the test event.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


@strawberry.type(description="The result of redeliverWebhook.")
class RedeliverWebhookPayload:
    delivery: WebhookDelivery | None = strawberry.field(default=None, description="The delivery.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS)


def _guards(payload: type[Any]) -> list[Any]:
    return [Guard(Role.ADMIN), CurrentSecretGuard(), RefusalsAreData(payload)]


@strawberry.type
class WebhookMutations:
    @strawberry.mutation(
        description="Creates a webhook and its signing secret, which is returned only once. An installation can "
        f"have at most 20 webhooks. {_NOT_OLD}",
        extensions=_guards(CreateWebhookPayload),
    )
    async def create_webhook(
        self,
        info: Info,
        url: Annotated[
            str,
            strawberry.argument(
                description="The https URL of the endpoint: at most 2,000 characters. Its addresses must be public, or "
                "in a network of GQL_SECRETS_WEBHOOK_NETWORKS, for which http is allowed too."
            ),
        ],
        events: Annotated[
            list[WebhookEventType], strawberry.argument(description="The types of events to deliver: at least one.")
        ],
        description: Description = None,
    ) -> CreateWebhookPayload | None:
        made = await info.context.services.webhooks.create(url, events, description=description, by=info.context.caller)
        return CreateWebhookPayload.of(made)

    @strawberry.mutation(
        description="Updates a webhook. Omitted and null arguments leave the value unchanged; an empty description "
        f"removes it. {_NOT_OLD}",
        extensions=_guards(UpdateWebhookPayload),
    )
    async def update_webhook(
        self,
        info: Info,
        webhook_id: WebhookId,
        url: Annotated[str | None, strawberry.argument(description="The URL of the endpoint.")] = None,
        events: Annotated[
            list[WebhookEventType] | None, strawberry.argument(description="The types of events to deliver.")
        ] = None,
        description: Description = None,
        enabled: Annotated[
            bool | None,
            strawberry.argument(
                description="Whether events are delivered. Events that happen while a webhook is disabled are not "
                "delivered later. True also resumes a webhook that is paused."
            ),
        ] = None,
    ) -> UpdateWebhookPayload | None:
        row = await info.context.services.webhooks.update(
            _number(webhook_id, "Webhook", "webhook_id"),
            url=url,
            events=events,
            description=description,
            enabled=enabled,
            by=info.context.caller,
        )
        return UpdateWebhookPayload(webhook=Webhook.of(row))

    @strawberry.mutation(
        description=f"Deletes a webhook with its deliveries. {_NOT_OLD}", extensions=_guards(DeleteWebhookPayload)
    )
    async def delete_webhook(self, info: Info, webhook_id: WebhookId) -> DeleteWebhookPayload | None:
        number = _number(webhook_id, "Webhook", "webhook_id")
        await info.context.services.webhooks.delete(number, by=info.context.caller)
        return DeleteWebhookPayload(deleted_id=global_id("Webhook", number))

    @strawberry.mutation(
        description="Rotates the signing secret of a webhook. For 24 hours, events are signed with the previous one "
        f"too, so that no event is refused while the endpoint changes over. {_NOT_OLD}",
        extensions=_guards(RotateWebhookSecretPayload),
    )
    async def rotate_webhook_secret(self, info: Info, webhook_id: WebhookId) -> RotateWebhookSecretPayload | None:
        number = _number(webhook_id, "Webhook", "webhook_id")
        made = await info.context.services.webhooks.rotate_secret(number, by=info.context.caller)
        return RotateWebhookSecretPayload.of(made)

    @strawberry.mutation(
        description="Sends an event of the type webhook.test to a webhook. Read Webhook.deliveries for its result. "
        f"{_NOT_OLD}",
        extensions=_guards(TestWebhookPayload),
    )
    async def test_webhook(self, info: Info, webhook_id: WebhookId) -> TestWebhookPayload | None:
        number = _number(webhook_id, "Webhook", "webhook_id")
        row = await info.context.services.webhooks.send_test(number, by=info.context.caller)
        return TestWebhookPayload(delivery=WebhookDelivery.of(row))

    @strawberry.mutation(
        description=f"Delivers an event once more, under the same event id. {_NOT_OLD}",
        extensions=_guards(RedeliverWebhookPayload),
    )
    async def redeliver_webhook(
        self,
        info: Info,
        delivery_id: Annotated[strawberry.ID, strawberry.argument(description="The global id of the delivery.")],
    ) -> RedeliverWebhookPayload | None:
        number = _number(delivery_id, "WebhookDelivery", "delivery_id")
        row = await info.context.services.webhooks.redeliver(number, by=info.context.caller)
        return RedeliverWebhookPayload(delivery=WebhookDelivery.of(row))


def _number(global_id_of_row: str, expected: str, argument: str) -> int:
    type_name, text = parse_global_id(global_id_of_row, argument=argument)
    number = parse_row_number(text)
    if type_name != expected or number is None:
        raise WebhookNotFound(argument)
    return number
