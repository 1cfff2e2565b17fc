"""`gql-secrets webhook …`: manage the endpoints that events are delivered to."""

from typing import Annotated

import typer

from gql_secrets.commands.context import with_installation
from gql_secrets.commands.installation import MAX_NUMBER, Installation
from gql_secrets.commands.output import AsJson, printable, say, to_json, write, write_text
from gql_secrets.domain.webhooks import InvalidWebhook, WebhookEventType

app = typer.Typer(help="Manage the endpoints that events are delivered to.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=MAX_NUMBER, help="The number of the webhook.")]
_EVENTS = f"One of {', '.join(WebhookEventType)}. Repeat the option for more."


@app.command()
@with_installation
async def create(
    installation: Installation,
    url: Annotated[str, typer.Argument(help="The https URL of the endpoint.")],
    event: Annotated[list[str], typer.Option("--event", help=f"{_EVENTS} Default: all.")] = [],  # noqa: B006
    description: Annotated[str | None, typer.Option("--description", help="What the endpoint is for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a webhook and show its signing secret once."""
    made = await installation.create_webhook(url, _types(event) or list(WebhookEventType), description=description)
    number = made.number
    say("Created. The signing secret is shown only once:")
    write(
        {"number": number, "signingSecret": made.signing_secret},
        as_json=as_json,
        done=f"The webhook {number} was created, and its signing secret cannot be shown again. To get a new one, run: "
        f"gql-secrets webhook rotate-secret {number}",
    )


@app.command("list")
@with_installation
async def list_webhooks(installation: Installation, as_json: AsJson = False) -> None:
    """List all webhooks."""
    rows = await installation.webhooks()
    if as_json:
        write_text(f"{to_json(rows)}\n")
        return
    if not rows:
        say("No webhooks.")
        return
    say(f"{'NUMBER':<8}  {'STATE':<8}  URL")
    write_text("".join(f"{row['number']:<8}  {row['state']:<8}  {printable(str(row['url']))}\n" for row in rows))


@app.command()
@with_installation
async def update(
    installation: Installation,
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
    """Edit a webhook, or resume one that is paused. Options that are not passed change nothing."""
    row = await installation.update_webhook(
        number,
        url=url,
        events=_types(event) if event else None,
        description=description,
        enabled=enabled,
    )
    write(row, as_json=as_json, done="The webhook was edited.")


@app.command()
@with_installation
async def delete(installation: Installation, number: Number, as_json: AsJson = False) -> None:
    """Delete a webhook with its deliveries."""
    await installation.delete_webhook(number)
    write({"deletedNumber": number}, as_json=as_json, done="The webhook was deleted.")


@app.command("rotate-secret")
@with_installation
async def rotate_secret(installation: Installation, number: Number, as_json: AsJson = False) -> None:
    """Create a new signing secret. For 24 hours, the previous one signs too."""
    made = await installation.rotate_webhook_secret(number)
    say("The signing secret was rotated. The new one is shown only once:")
    write(
        {
            "number": number,
            "signingSecret": made.signing_secret,
            "previousSecretUntil": made.previous_secret_until,
        },
        as_json=as_json,
        done="The signing secret was rotated, and the new one cannot be shown again. Run the command again to get "
        "another.",
    )


@app.command("test")
@with_installation
async def send_test(installation: Installation, number: Number, as_json: AsJson = False) -> None:
    """Send a test event. A running server delivers it; `webhook deliveries` shows the result."""
    row = await installation.test_webhook(number)
    write(row, as_json=as_json, done="The test event will be delivered.")


@app.command()
@with_installation
async def deliveries(installation: Installation, number: Number, as_json: AsJson = False) -> None:
    """List the newest 50 deliveries of a webhook. The newest is first."""
    rows = await installation.deliveries(number)
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
@with_installation
async def redeliver(
    installation: Installation,
    delivery: Annotated[
        int, typer.Argument(metavar="DELIVERY", min=1, max=MAX_NUMBER, help="The number of the delivery.")
    ],
    as_json: AsJson = False,
) -> None:
    """Deliver an event once more, under the same event id."""
    row = await installation.redeliver(delivery)
    write(row, as_json=as_json, done="The event will be delivered again.")


def _types(texts: list[str]) -> list[WebhookEventType]:
    try:
        return [WebhookEventType(text) for text in texts]
    except ValueError:
        raise InvalidWebhook(f"Unknown event. The events are: {', '.join(WebhookEventType)}.") from None
