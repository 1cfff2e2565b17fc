"""The /clients API as tests call it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gql_secrets.service.pages import PageRequest
from gql_secrets.wiring import Services

# What the transport does is decided above the database: one kind of it is enough there.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NOT_ALLOWED = "the provided client does not have authorization for this action"
HOURS_REASON = "hours_to_live was not valid for the following reason: hours_to_live must be between 0 and 168"
CALLS = {
    "add": {"description": "Shop"},
    "delete": {"client_id_for_deletion": "ID"},
    "list": {},
    "reset_secret": {"for_client_id": "ID", "hours_to_live": "24"},
    "set_description": {"for_client_id": "ID", "description": "Shop"},
    "set_features": {"for_client_id": "ID", "features": '["direct_access"]'},
    "set_whitelist": {"for_client_id": "ID", "whitelist": '["192.0.2.0/24"]'},
    "clear_whitelist": {"for_client_id": "ID"},
}


@dataclass(slots=True)
class Answer:
    """A response of the /clients API."""

    status: int
    fields: dict[str, Any]
    headers: Any

    @property
    def error(self) -> tuple[int, str, str | None]:
        assert self.fields["stat"] == "error", self.fields
        return self.fields["code"], self.fields["error"], self.fields.get("argument_name")


CallClients = Callable[..., Awaitable[Answer]]


async def audit_of(services: Services, client_id: str) -> list[Any]:
    page = await services.queries.page_of_audit_events(PageRequest(first=100), client_id=client_id)
    return list(reversed(page.rows))
