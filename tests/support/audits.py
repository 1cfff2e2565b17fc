"""The audit as tests read it: all events, and whether their chain is whole."""

from gql_secrets.domain.audit import FIRST_HASH
from gql_secrets.service.audit_log import follows, sign_head
from gql_secrets.service.pages import PageRequest
from gql_secrets.storage.models import AuditEvent
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
