"""The mutations about people: their sessions and sign-in links."""

from typing import Annotated

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Role
from gql_secrets.api.graphql.errors import RefusalsAreData
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import global_id, parse_global_id, parse_row_number
from gql_secrets.api.graphql.payloads import (
    CreateSignInLinkPayload,
    EndSessionPayload,
    EndSessionsPayload,
    SignOutPayload,
)
from gql_secrets.domain.sessions import SessionNotFound


@strawberry.type
class SessionMutations:
    @strawberry.mutation(
        description="Ends the session of a person immediately, and the sessions and unused sign-in links that come "
        "from it. Idempotent: a second call returns alreadyEnded. Not allowed with an old secret.",
        extensions=[Guard(Role.ADMIN), RefusalsAreData(EndSessionPayload)],
    )
    async def end_session(
        self,
        info: Info,
        session_id: Annotated[strawberry.ID, strawberry.argument(description="The global id of the session.")],
    ) -> EndSessionPayload | None:
        type_name, text = parse_global_id(session_id, argument="session_id")
        number = parse_row_number(text)
        if type_name != "Session" or number is None:
            raise SessionNotFound
        was_valid = await info.context.services.sessions.end(number, by=info.context.caller)
        return EndSessionPayload(ended_session_id=global_id("Session", number), already_ended=not was_valid)

    @strawberry.mutation(
        description="Ends all sessions of one person immediately, and the sessions and unused sign-in links that come "
        "from them. Not allowed with an old secret.",
        extensions=[Guard(Role.ADMIN), RefusalsAreData(EndSessionsPayload)],
    )
    async def end_sessions(
        self,
        info: Info,
        actor: Annotated[
            str, strawberry.argument(description="The person, in the format of Session.actor and AuditEvent.actor.")
        ],
    ) -> EndSessionsPayload | None:
        ended = await info.context.services.sessions.end_all_of(actor, by=info.context.caller)
        return EndSessionsPayload(ended_count=ended)

    @strawberry.mutation(
        description="Creates a link that signs a person in to the console once, within 15 minutes. Give it only to "
        "that person: anyone who has the link can use it. Not allowed with an old secret, and refused (FORBIDDEN, "
        "reason SIGN_IN_LINKS) if GQL_SECRETS_SIGN_IN_LINKS is off.",
        extensions=[Guard(Role.ADMIN), RefusalsAreData(CreateSignInLinkPayload)],
    )
    async def create_sign_in_link(
        self,
        info: Info,
        role: Annotated[Role, strawberry.argument(description="The role of the person.")],
        name: Annotated[
            str,
            strawberry.argument(
                description="The name of the person, as the audit log shows it: 1 to 100 characters without control "
                "characters."
            ),
        ],
    ) -> CreateSignInLinkPayload | None:
        services = info.context.services
        link = await services.sessions.create_sign_in_link(name, role, by=info.context.caller)
        return CreateSignInLinkPayload.of(link, services.public_url)

    @strawberry.mutation(
        description="Ends the viewer's own session. Any caller can use it.",
        extensions=[RefusalsAreData(SignOutPayload)],
    )
    async def sign_out(self, info: Info) -> SignOutPayload | None:
        ended = await info.context.services.sessions.sign_out(info.context.caller)
        return SignOutPayload(signed_out=ended)
