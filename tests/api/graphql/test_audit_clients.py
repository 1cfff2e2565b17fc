"""The client of an audit event."""

from typing import Any

from support.callers import ADMIN, Made
from support.installation import MakeClient

from gql_secrets.wiring import Services


async def test_an_event_names_its_client_as_it_is_now_until_that_is_deleted(
    gql: Any, owner: Made, services: Services, make_client: MakeClient
) -> None:
    kept, deleted = await make_client(name="Kept"), await make_client(name="Deleted")
    await services.clients.delete_client(deleted.id, by=ADMIN)
    events = (await gql("{ auditEvents { nodes { clientId client { name } } } }", as_=owner))["auditEvents"]["nodes"]

    named = {event["clientId"]: event["client"] for event in events}
    assert named[kept.id] == {"name": "Kept"}
    assert named[deleted.id] is None
