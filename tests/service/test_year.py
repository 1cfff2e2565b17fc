"""What `support/year.py` lays down is what the product would have left: its own checks find nothing wrong."""

from datetime import timedelta

from support.callers import ADMIN, DAY, is_good
from support.clocks import Clock
from support.year import Size, lay_down

from gql_secrets.service.audit_log import AuditLog
from gql_secrets.service.integrity import find_problems
from gql_secrets.service.pages import PageRequest
from gql_secrets.wiring import Services

SMALL = Size(clients=20, rotations=5, days=12, sign_ins=2, edits=1)


async def test_a_small_year_is_intact_and_goes_on(services: Services, clock: Clock) -> None:
    year = await lay_down(services, SMALL, clock.move(timedelta(days=13)))
    report = await AuditLog(services.database, services.changes.pepper).verify()
    assert (report.problem, report.events) == (None, year.revision)
    assert year.revision > 20 + 12 * 5 + 11 * 5
    assert await find_problems(services.database) == []

    before = await services.database.fetch("SELECT count(*) AS rows FROM secret_use")
    hours = await services.database.fetch("SELECT count(*) AS rows FROM secret_usage_hour")
    assert await services.maintenance.expire_due_secrets() == 1, "the one that ends in this instant"
    await services.maintenance.prune()
    assert await services.database.fetch("SELECT count(*) AS rows FROM secret_use") == before
    assert await services.database.fetch("SELECT count(*) AS rows FROM secret_usage_hour") == hours

    client_id = year.client_ids[7]
    assert await is_good(services, client_id, year.secret_of(7))
    done = await services.rotation.reset_secret(client_id, DAY, by=ADMIN)
    assert await is_good(services, client_id, done.new_secret.reveal())
    assert await is_good(services, client_id, year.secret_of(7))
    states = [secret.state for secret in (await services.queries.page_of_secrets(client_id, PageRequest(first=9))).rows]
    assert states[:3] == ["CURRENT", "RETAINED", "EXPIRED"]
    assert (await AuditLog(services.database, services.changes.pepper).verify()).problem is None
