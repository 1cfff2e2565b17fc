"""The session of a person."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.enums import Role, SessionWay
from gql_secrets.api.graphql.nodes import Node
from gql_secrets.domain.access import Caller
from gql_secrets.service.session_rows import actor_of, expiry_of, way_of
from gql_secrets.storage import models


@strawberry.type(description="The session of a person who is signed in with a browser.")
class Session(Node):
    number: int = strawberry.field(description="The number of the session, as in AuditEvent.sessionNumber.")
    actor: str = strawberry.field(
        description="The person, in the format of AuditEvent.actor: `user:link/<number of the sign-in link>`, or "
        "`user:<issuer without its scheme>/<subject>`. It identifies the person: two people can have the same name."
    )
    name: str = strawberry.field(description="The display name of the person.")
    roles: list[Role] = strawberry.field(description="The person's roles, most powerful first.")
    way: SessionWay = strawberry.field(description="How the person signed in.")
    address: str | None = strawberry.field(description="The IP address from which the person signed in.")
    started_at: datetime = strawberry.field(description="When the person signed in.")
    last_seen_at: datetime = strawberry.field(
        description="When the session was last used, to the minute: it is not written with each request."
    )
    expires_at: datetime = strawberry.field(
        description="When the session ends if it is not used again, and its identity provider does not confirm the "
        "role again."
    )
    is_viewers_own: bool = strawberry.field(description="Whether the viewer signed in with this session.")

    @property
    def key(self) -> int:
        """The number of the session."""
        return self.number

    @classmethod
    def of(cls, row: models.Session, caller: Caller) -> Self:
        """Return the view of a session for a caller."""
        return cls(
            number=row.id,
            actor=actor_of(row),
            name=row.name,
            roles=[role for role in Role if role.rank <= Role(row.role).rank],
            way=way_of(row),
            address=row.address,
            started_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=expiry_of(row),
            is_viewers_own=row.id == caller.session_id,
        )
