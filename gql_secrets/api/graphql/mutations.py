"""What can be changed. Each mutation is one call of a service: one transaction, one audit event."""

from typing import Annotated, Any

import strawberry

from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Role
from gql_secrets.api.graphql.errors import RefusalsAreData
from gql_secrets.api.graphql.guards import Guard, SmoothGuard, SmoothHours
from gql_secrets.api.graphql.nodes import parse_global_id, parse_row_number
from gql_secrets.api.graphql.payloads import (
    CancelRolloverPayload,
    ChangeRetentionPayload,
    CreateClientPayload,
    DeleteClientPayload,
    ResetSecretPayload,
    RevokeOldSecretPayload,
    SetClientEnabledPayload,
    SignOutPayload,
    UpdateClientPayload,
)
from gql_secrets.api.graphql.queries import ClientId
from gql_secrets.domain.errors import SecretNotOld
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.clients import UNCHANGED

Name = Annotated[str, strawberry.argument(description="What people call the client: 1 to 200 characters.")]
Description = Annotated[
    str | None, strawberry.argument(description="What the client is for: at most 2,000 characters.")
]
Features = Annotated[
    list[str] | None,
    strawberry.argument(
        description="What the client is allowed: owner, operator, viewer, access_issuer, direct_access, "
        "direct_read_access, login_client."
    ),
]
AllowListTexts = Annotated[
    list[str] | None,
    strawberry.argument(
        description="The networks that the client may call from, such as 192.0.2.0/24; 1 to 100 of them."
    ),
]
IfGeneration = Annotated[
    int | None,
    strawberry.argument(description="Change the client only if it is still at this generation; else CONFLICT."),
]


def _changes(payload: type[Any], least: Role = Role.ADMIN) -> list[Any]:
    return [Guard(least), RefusalsAreData(payload)]


@strawberry.type(
    description="What can be changed. An expected failure is in userErrors and changed nothing; a mutation that is "
    "refused is null and leaves the others alone."
)
class Mutation:
    """The root of all changes."""

    @strawberry.mutation(
        description="Register a client. Its secret is shown here, once.", extensions=_changes(CreateClientPayload)
    )
    async def create_client(
        self,
        info: Info,
        name: Name,
        description: Description = None,
        features: Features = None,
        allow_list: AllowListTexts = None,
    ) -> CreateClientPayload | None:
        """Register."""
        registration = await info.context.services.clients.create_client(
            name, description=description, features=features or (), allow_list=allow_list, by=info.context.caller
        )
        return CreateClientPayload.of(registration)

    @strawberry.mutation(
        description="Edit a client. What is left out or null stays as it is; an empty description removes it.",
        extensions=_changes(UpdateClientPayload),
    )
    async def update_client(
        self,
        info: Info,
        client_id: ClientId,
        name: Annotated[str | None, strawberry.argument(description="What people call the client.")] = None,
        description: Description = None,
        features: Features = None,
        allow_list: AllowListTexts = None,
    ) -> UpdateClientPayload | None:
        """Edit."""
        client = await info.context.services.clients.update_client(
            client_id,
            name=UNCHANGED if name is None else name,
            description=UNCHANGED if description is None else description,
            features=UNCHANGED if features is None else features,
            allow_list=UNCHANGED if allow_list is None else allow_list,
            by=info.context.caller,
        )
        return UpdateClientPayload.of(client)

    @strawberry.mutation(
        description="Enable or disable a client. While it is disabled its secrets are refused and go on ageing.",
        extensions=_changes(SetClientEnabledPayload),
    )
    async def set_client_enabled(
        self,
        info: Info,
        client_id: ClientId,
        enabled: Annotated[bool, strawberry.argument(description="Whether its secrets are accepted.")],
    ) -> SetClientEnabledPayload | None:
        """Enable or disable."""
        client = await info.context.services.clients.set_client_enabled(
            client_id, enabled=enabled, by=info.context.caller
        )
        return SetClientEnabledPayload.of(client)

    @strawberry.mutation(
        description="Delete a client: its secrets end at once, its id is never used again, its audit stays.",
        extensions=_changes(DeleteClientPayload),
    )
    async def delete_client(self, info: Info, client_id: ClientId) -> DeleteClientPayload | None:
        """Delete."""
        deleted = await info.context.services.clients.delete_client(client_id, by=info.context.caller)
        return DeleteClientPayload(deleted_client_id=strawberry.ID(deleted))

    @strawberry.mutation(
        description="Mint a new secret, good at once, and keep the old one good for hoursToLive hours. "
        "During a rollover it never cuts off a secret in use unless endActiveRollover says so.",
        extensions=[Guard(Role.OPERATOR), SmoothGuard(), RefusalsAreData(ResetSecretPayload)],
    )
    async def reset_secret(
        self,
        info: Info,
        client_id: ClientId,
        hours_to_live: SmoothHours,
        idempotency_key: Annotated[
            str | None,
            strawberry.argument(
                description="16 to 255 printable ASCII characters of your own, such as a UUID: the same request with "
                "the same key within ten minutes gives the same new secret again."
            ),
        ] = None,
        end_active_rollover: Annotated[
            bool,
            strawberry.argument(
                description="Go on during a running rollover: an unused new secret is withdrawn and the old one stays; "
                "if the new one was used, the old one ends now."
            ),
        ] = False,
        if_generation: IfGeneration = None,
    ) -> ResetSecretPayload | None:
        """Reset (seed A, smooth reset; seed B, hours_to_live)."""
        reset = await info.context.services.rotation.reset_secret(
            client_id,
            Retention(hours_to_live),
            by=info.context.caller,
            idempotency_key=idempotency_key,
            end_active_rollover=end_active_rollover,
            if_generation=if_generation,
        )
        return ResetSecretPayload.of(reset)

    @strawberry.mutation(
        description="End the old secret now. Said twice, the second answer is alreadyEnded. Never touches the new one.",
        extensions=_changes(RevokeOldSecretPayload),
    )
    async def revoke_old_secret(
        self,
        info: Info,
        client_id: ClientId,
        secret_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="The id of the secret that you mean, so that a late click ends no newer one."
            ),
        ] = None,
        if_generation: IfGeneration = None,
    ) -> RevokeOldSecretPayload | None:
        """Revoke (seed A, step 5)."""
        revoke = await info.context.services.rotation.revoke_old_secret(
            client_id, secret_id=_secret_number(secret_id), if_generation=if_generation, by=info.context.caller
        )
        return RevokeOldSecretPayload.of(revoke)

    @strawberry.mutation(
        description="Let the old secret end hoursToLive hours from now, within 168 hours of the reset that kept it.",
        extensions=_changes(ChangeRetentionPayload),
    )
    async def change_retention(
        self,
        info: Info,
        client_id: ClientId,
        hours_to_live: Annotated[
            int, strawberry.argument(description="How many hours from now: a whole number from 1 to 168.")
        ],
        if_generation: IfGeneration = None,
    ) -> ChangeRetentionPayload | None:
        """Change the retention."""
        change = await info.context.services.rotation.change_retention(
            client_id, Retention(hours_to_live, minimum=1), if_generation=if_generation, by=info.context.caller
        )
        return ChangeRetentionPayload.of(change)

    @strawberry.mutation(
        description="Take a rollover back: the new secret, if nobody used it, ends, and the old one is current again.",
        extensions=_changes(CancelRolloverPayload),
    )
    async def cancel_rollover(
        self, info: Info, client_id: ClientId, if_generation: IfGeneration = None
    ) -> CancelRolloverPayload | None:
        """Cancel."""
        cancellation = await info.context.services.rotation.cancel_rollover(
            client_id, if_generation=if_generation, by=info.context.caller
        )
        return CancelRolloverPayload.of(cancellation)

    @strawberry.mutation(
        description="End the viewer's own session. For anyone, whoever they are.",
        extensions=[RefusalsAreData(SignOutPayload)],
    )
    async def sign_out(self, info: Info) -> SignOutPayload | None:
        """Sign out; a caller with a client id and a secret has no session to end."""
        session_id = info.context.caller.session_id
        ended = session_id is not None and await info.context.services.sessions.end(session_id)
        return SignOutPayload(signed_out=ended)


def _secret_number(secret_id: str | None) -> int | None:
    if secret_id is None:
        return None
    type_name, text = parse_global_id(secret_id)
    number = parse_row_number(text)
    if type_name != "ClientSecret" or number is None:
        raise SecretNotOld
    return number
