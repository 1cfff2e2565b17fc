"""Lists, counts and figures agree with the advice about each client, over random histories."""

from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest
from support.callers import ADMIN, DAY, WEEK, Made
from support.clocks import HOUR, MINUTE, Clock
from support.installation import MakeClient

from gql_secrets.domain.advice import RolloverAdvice
from gql_secrets.domain.errors import NewSecretInUse, NoRollover
from gql_secrets.domain.networks import AllowList
from gql_secrets.domain.rotation import Retention
from gql_secrets.domain.webhooks import WebhookEventType
from gql_secrets.service import overview as overview_module
from gql_secrets.service.client_filter import ClientFilter
from gql_secrets.service.figures import FigureQueries
from gql_secrets.service.pages import PageRequest
from gql_secrets.service.usage.tallies import Source
from gql_secrets.storage import client_lists
from gql_secrets.wiring import Services

# Unused for an hour, and another minute until every process has written its counts.
WAIT = HOUR + MINUTE
ALLOW_LISTS = (None, ["10.1.0.0/16"], ["10.1.0.0/16", "2001:db8::/32"], ["192.0.2.7/32"])
ADDRESSES = ("10.1.0.1", "10.1.0.2", "192.0.2.7", "198.18.0.77", "2001:db8::5", "::ffff:10.1.0.9", None)
WAITS = (MINUTE, 10 * MINUTE, 59 * MINUTE, HOUR, 3 * HOUR, 20 * HOUR)


@dataclass
class History:
    """A client, and the secrets that it was given."""

    made: Made
    secrets: list[str] = field(default_factory=list)


async def found(services: Services, **condition: bool) -> set[str]:
    page = await services.queries.page_of_clients(PageRequest(first=100), filter=ClientFilter(**condition))  # type: ignore[arg-type]
    assert await page.count() == len(page.rows)
    return {row.client_id for row in page.rows}


async def compare(services: Services, clock: Clock) -> None:
    await services.usage.flush()
    everyone = {row.client_id for row in (await services.queries.page_of_clients(PageRequest(first=100))).rows}
    rollovers = await services.usage_queries.rollovers_of(sorted(everyone))
    totals = await services.usage_queries.totals_of([each.old_secret.id for each in rollovers.values()])
    safe = {each for each, rollover in rollovers.items() if rollover.advice is RolloverAdvice.REVOKE}
    ending = {
        each
        for each, rollover in rollovers.items()
        if each not in safe
        and rollover.ends_at <= clock.now + 24 * HOUR
        and (last := totals[rollover.old_secret.id].last_used_at)
        and last >= rollover.started_at
    }
    expected = {"safe_to_revoke": safe, "waiting": set(rollovers) - safe, "ending_soon": ending}
    overview = await services.overviews.read()
    for name, wanted in expected.items():
        assert await found(services, **{name: True}) == wanted, name
        assert await found(services, **{name: False}) == everyone - wanted, name
        assert getattr(overview, name) == len(wanted), name
    figures = await FigureQueries(services.database, services.changes.pepper, WAIT).read()
    assert (figures.rollovers, figures.safe_to_revoke, figures.ending_in_use) == (
        len(rollovers),
        len(safe),
        len(ending),
    )


async def act(services: Services, history: History, random: Random) -> None:
    """Do something to the client."""
    client_id = history.made.id
    match random.choices(("use", "reset", "allow", "cancel", "disable"), (12, 3, 1, 1, 1))[0]:
        case "use":
            source = Source(random.choice(ADDRESSES), random.choice(("app", "batch")))
            await services.verifier.verify(client_id, random.choice(history.secrets[-2:]), source)
        case "reset":
            done = await services.rotation.reset_secret(
                client_id, random.choice((DAY, WEEK, Retention(2))), by=ADMIN, end_active_rollover=True
            )
            history.secrets.append(done.new_secret.reveal())
        case "allow":
            allow_list = random.choice(ALLOW_LISTS)
            parsed = AllowList.parse(allow_list or ["0.0.0.0/0", "::/0"])
            await services.clients.update_client(client_id, by=ADMIN, allow_list=parsed.texts)
        case "cancel":
            with suppress(NoRollover, NewSecretInUse):
                await services.rotation.cancel_rollover(client_id, by=ADMIN)
                history.secrets.append(history.secrets.pop(-2))
        case "disable":
            await services.clients.set_client_enabled(client_id, enabled=random.random() < 0.7, by=ADMIN)


@pytest.mark.parametrize("is_few", [True, False], ids=["sorted", "walked"])
@pytest.mark.parametrize("seed", range(4))
async def test_every_list_and_count_agrees_with_the_advice(
    services: Services,
    make_client: MakeClient,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    is_few: bool,
) -> None:
    monkeypatch.setattr(client_lists, "_MAX_SORTED", 1000 if is_few else 0)
    monkeypatch.setattr(overview_module, "MAX_AGE", 0)
    random = Random(seed)  # noqa: S311  the same histories each time
    histories = []
    for number in range(8):
        allow_list = ALLOW_LISTS[number % len(ALLOW_LISTS)]
        made = await make_client(name=f"App {number}", **({"allow_list": allow_list} if allow_list else {}))
        histories.append(History(made, [made.secret]))
    for _ in range(15):
        for history in random.choices(histories, k=6):
            await act(services, history, random)
        await compare(services, clock)
        clock.move(random.choice(WAITS))
        await services.maintenance.expire_due_secrets()
        await compare(services, clock)


async def test_a_use_that_the_allow_list_refuses_makes_nothing_safe_to_revoke(
    services: Services, make_client: MakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list once called it safe while the advice and the revoke refused it."""
    monkeypatch.setattr(overview_module, "MAX_AGE", 0)
    client = await make_client(allow_list=["10.1.0.0/16"])
    new = (await services.rotation.reset_secret(client.id, WEEK, by=ADMIN)).new_secret.reveal()
    await services.verifier.verify(client.id, new, Source("198.18.0.77", "curl"))
    clock.move(3 * HOUR)
    await compare(services, clock)
    assert client.id in await found(services, waiting=True)
    assert await services.occasions.of(WebhookEventType.ROLLOVER_SAFE_TO_REVOKE, 1, clock.now, 10) == []

    await services.verifier.verify(client.id, new, Source("10.1.0.1", "app"))
    clock.move(WAIT)
    await compare(services, clock)
    assert client.id in await found(services, safe_to_revoke=True)
    [occasion] = await services.occasions.of(WebhookEventType.ROLLOVER_SAFE_TO_REVOKE, 1, clock.now, 10)
    assert occasion.client_id == client.id
