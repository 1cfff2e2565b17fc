"""The signed-in caller."""

from datetime import datetime
from typing import Self

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Role, ViewerKind
from gql_secrets.api.graphql.types.client import Client
from gql_secrets.api.graphql.weights import FOUND
from gql_secrets.domain.access import ActorKind, Caller, is_current_admin, rank
from gql_secrets.service.sessions import Sessions


@strawberry.type(description="The signed-in caller.")
class Viewer:
    name: str = strawberry.field(description="The client id of an application, or the name of a person.")
    kind: ViewerKind = strawberry.field(description="Whether the viewer is an application or a person.")
    roles: list[Role] = strawberry.field(
        description="The viewer's roles, most powerful first. Empty if the viewer has no role."
    )
    expires_at: datetime | None = strawberry.field(
        description="When the access token with which the viewer signed in expires. Null for other ways to sign in."
    )
    can_create_client: bool = strawberry.field(description="Whether the viewer can create clients.")
    can_end_sessions: bool = strawberry.field(description="Whether the viewer can end the sessions of people.")
    can_create_sign_in_link: bool = strawberry.field(description="Whether the viewer can create sign-in links.")

    @strawberry.field(
        description="The API client that the viewer signed in as, with or without a role: an application can see that "
        "its secret is about to end. Null if the viewer is a person.",
        metadata=FOUND,
    )
    async def client(self, info: Info) -> Client | None:
        caller = info.context.caller
        return await Client.find(caller.name, info) if caller.kind is ActorKind.API_CLIENT else None

    @classmethod
    def of(cls, caller: Caller, sessions: Sessions) -> Self | None:
        """Return the view of a caller, or None for an anonymous one."""
        if caller.is_anonymous:
            return None
        return cls(
            name=caller.display_name or caller.name,
            kind=ViewerKind.API_CLIENT if caller.kind is ActorKind.API_CLIENT else ViewerKind.USER,
            roles=[role for role in Role if role.rank <= rank(caller.role)],
            expires_at=caller.expires_at,
            can_create_client=caller.role is Role.ADMIN,
            can_end_sessions=is_current_admin(caller),
            can_create_sign_in_link=sessions.may_create_link(caller),
        )
