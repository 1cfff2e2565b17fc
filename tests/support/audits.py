"""The audit as tests read it: all events, and whether their chain is whole."""

from gql_secrets.domain.audit import FIRST_HASH
from gql_secrets.service.audit_events import follows, sign_head
from gql_secrets.service.pages import PageRequest
from gql_secrets.storage.models import AuditEvent
from gql_secrets.storage.transaction import Transaction
from gql_secrets.wiring import Services


async def events_of(services: Services) -> list[AuditEvent]:
    """All events, oldest first."""
    events: list[AuditEvent] = []
    after = None
    while True:
        page = await services.queries.page_of_audit_events(PageRequest(first=100, after=after))
        events += page.rows
        if not page.has_next:
            return events[::-1]
        after = page.cursors[-1]


async def check_chain(services: Services) -> list[AuditEvent]:
    """The events, once their chain has been walked from its beginning to the signed head."""
    events = await events_of(services)
    head = FIRST_HASH
    for number, event in enumerate(events, start=1):
        assert event.revision == number, "one change, one revision, none left out"
        assert follows(event, head)
        head = bytes(event.hash)
    [row] = await services.database.fetch("SELECT revision, audit_head, audit_mac FROM installation")
    assert row["revision"] == len(events)
    assert bytes(row["audit_head"]) == head
    assert bytes(row["audit_mac"]) == sign_head(services.changes.pepper, len(events), head)
    return events


async def lose_changes(services: Services, kept: int) -> None:
    """Delete the events after this revision, as a failover to a replica without them does."""
    head = bytes((await events_of(services))[kept - 1].hash)
    mac = sign_head(services.changes.pepper, kept, head)

    async def lose(tx: Transaction) -> None:
        await tx.execute("DELETE FROM audit_ended_secret WHERE event_id > ?", kept)
        await tx.execute("DELETE FROM audit_event WHERE revision > ?", kept)
        await tx.execute("UPDATE installation SET revision = ?, audit_head = ?, audit_mac = ?", kept, head, mac)

    await services.database.run_tx(lose)
