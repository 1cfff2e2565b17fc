"""`gql-secrets webhook …`: manage the endpoints that events are delivered to."""

from typing import Annotated, Final

import typer

from gql_secrets.commands.context import cli_caller, with_services
from gql_secrets.commands.output import AsJson, instant, printable, say, to_json, write, write_text
from gql_secrets.domain.webhooks import InvalidWebhook, WebhookEventType
from gql_secrets.storage.webhook_models import Webhook, WebhookDelivery
from gql_secrets.wiring import Services

app = typer.Typer(help="Manage the endpoints that events are delivered to.", no_args_is_help=True)

_MAX_NUMBER: Final = 2**63 - 1
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=_MAX_NUMBER, help="The number of the webhook.")]
_EVENTS = f"One of {', '.join(WebhookEventType)}. Repeat the option for more."


@app.command()
@with_services
async def create(
    services: Services,
    url: Annotated[str, typer.Argument(help="The https URL of the endpoint.")],
    event: Annotated[list[str], typer.Option("--event", help=f"{_EVENTS} Default: all.")] = [],  # noqa: B006
    description: Annotated[str | None, typer.Option("--description", help="What the endpoint is.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a webhook and show its signing secret once."""
    made = await services.webhooks.create(
        url, _types(event) or list(WebhookEventType), description=description, by=cli_caller()
    )
    number = made.webhook.id
    say("Created. The signing secret is shown only once:")
    write(
        {"number": number, "signingSecret": made.secret},
        as_json=as_json,
        done=f"The webhook {number} was created, and its signing secret cannot be shown again. To get a new one, run: "
        f"gql-secrets webhook rotate-secret {number}",
    )


@app.command("list")
@with_services
async def list_webhooks(services: Services, as_json: AsJson = False) -> None:
    """List all webhooks."""
    rows = [_data(row) for row in await services.webhooks.all()]
    if as_json:
        write_text(f"{to_json(rows)}\n")
        return
    if not rows:
        say("No webhooks.")
        return
    say(f"{'NUMBER':<8}  {'STATE':<8}  URL")
    write_text("".join(f"{row['number']:<8}  {row['state']:<8}  {printable(str(row['url']))}\n" for row in rows))


@app.command()
@with_services
async def update(
    services: Services,
    number: Number,
    url: Annotated[str | None, typer.Option("--url", help="The new URL.")] = None,
    event: Annotated[list[str] | None, typer.Option("--event", help=f"Replaces all events. {_EVENTS}")] = None,
    description: Annotated[
        str | None, typer.Option("--description", help="The new description; '' removes it.")
    ] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether events are delivered; --enable also resumes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Edit a webhook, or resume one that is paused. Only what is passed changes."""
    row = await services.webhooks.update(
        number,
        url=url,
        events=_types(event) if event else None,
        description=description,
        enabled=enabled,
        by=cli_caller(),
    )
    write(_data(row), as_json=as_json, done="The webhook was edited.")


@app.command()
@with_services
async def delete(services: Services, number: Number, as_json: AsJson = False) -> None:
    """Delete a webhook with its deliveries."""
    await services.webhooks.delete(number, by=cli_caller())
    write({"deletedNumber": number}, as_json=as_json, done="The webhook was deleted.")


@app.command("rotate-secret")
@with_services
async def rotate_secret(services: Services, number: Number, as_json: AsJson = False) -> None:
    """Create a new signing secret. For 24 hours, the previous one signs too."""
    made = await services.webhooks.rotate_secret(number, by=cli_caller())
    say("The signing secret was rotated. The new one is shown only once:")
    write(
        {
            "number": number,
            "signingSecret": made.secret,
            "previousSecretUntil": instant(made.webhook.previous_until),
        },
        as_json=as_json,
        done="The signing secret was rotated, and the new one cannot be shown again. Run the command again to get "
        "another.",
    )


@app.command("test")
@with_services
async def send_test(services: Services, number: Number, as_json: AsJson = False) -> None:
    """Send a test event. A running server delivers it; `webhook deliveries` shows the result."""
    row = await services.webhooks.send_test(number, by=cli_caller())
    write(_delivery_data(row), as_json=as_json, done="The test event will be delivered.")


@app.command()
@with_services
async def deliveries(services: Services, number: Number, as_json: AsJson = False) -> None:
    """List the newest 50 deliveries of a webhook, the newest first."""
    rows = [_delivery_data(row) for row in await services.webhooks.newest_deliveries(number)]
    if as_json:
        write_text(f"{to_json(rows)}\n")
        return
    if not rows:
        say("No deliveries.")
        return
    say(f"{'DELIVERY':<8}  {'STATE':<9}  {'ATTEMPTS':<8}  {'EVENT':<15}  LAST ERROR")
    write_text(
        "".join(
            f"{row['number']:<8}  {row['state']:<9}  {row['attempts']:<8}  {row['eventType']:<15}  "
            f"{printable(str(row['lastError'] or '-'))}\n"
            for row in rows
        )
    )


@app.command()
@with_services
async def redeliver(
    services: Services,
    delivery: Annotated[
        int, typer.Argument(metavar="DELIVERY", min=1, max=_MAX_NUMBER, help="The number of the delivery.")
    ],
    as_json: AsJson = False,
) -> None:
    """Deliver an event once more, under the same event id."""
    row = await services.webhooks.redeliver(delivery, by=cli_caller())
    write(_delivery_data(row), as_json=as_json, done="The event will be delivered again.")


def _types(texts: list[str]) -> list[WebhookEventType]:
    try:
        return [WebhookEventType(text) for text in texts]
    except ValueError:
        raise InvalidWebhook(f"Unknown event. The events are: {', '.join(WebhookEventType)}.") from None


def _data(row: Webhook) -> dict[str, object]:
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


def _delivery_data(row: WebhookDelivery) -> dict[str, object]:
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
