"""The mutations. Each is one call of a service: one transaction, one audit event."""

from typing import Annotated, Any

import strawberry

from gql_secrets.api.graphql import bulk
from gql_secrets.api.graphql.context import Info
from gql_secrets.api.graphql.enums import Feature, Role
from gql_secrets.api.graphql.errors import RefusalsAreData
from gql_secrets.api.graphql.guards import (
    ClientIdOf,
    EndActiveRollover,
    Guard,
    HoursToLive,
    ResetGuard,
    client_of_argument,
)
from gql_secrets.api.graphql.nodes import secret_number
from gql_secrets.api.graphql.payloads import (
    CancelRolloverPayload,
    ChangeRetentionPayload,
    CreateClientPayload,
    DeleteClientPayload,
    ResetSecretPayload,
    RevokeOldSecretPayload,
    SetClientEnabledPayload,
    UpdateClientPayload,
)
from gql_secrets.api.graphql.queries import ClientId
from gql_secrets.api.graphql.session_mutations import SessionMutations
from gql_secrets.api.graphql.webhook_mutations import WebhookMutations
from gql_secrets.domain.details import ClientDetails
from gql_secrets.domain.rotation import Retention
from gql_secrets.service.client_details import DetailsEdit
from gql_secrets.service.clients import UNCHANGED

Name = Annotated[str, strawberry.argument(description="The client's name: 1 to 200 characters.")]
Description = Annotated[
    str | None, strawberry.argument(description="The client's description: at most 2,000 characters.")
]
Features = Annotated[
    list[Feature] | None,
    strawberry.argument(description="The client's features."),
]
AllowListTexts = Annotated[
    list[str] | None,
    strawberry.argument(
        description="The networks from which the client's secrets are accepted, in CIDR notation, such as "
        "192.0.2.0/24: 1 to 100 networks."
    ),
]
SelfReset = Annotated[
    bool | None,
    strawberry.argument(
        description="Whether the client may reset its own secret (Client.selfReset). A viewer who signed in with an "
        "old secret cannot pass true."
    ),
]
Contact = Annotated[
    str | None,
    strawberry.argument(description="Whom to call about the client: at most 200 characters."),
]
Labels = Annotated[
    list[str] | None,
    strawberry.argument(
        description="The client's labels: at most 16, each key=value with a different key. A key has lower-case "
        "letters, digits and . _ - /, a value letters, digits and . _ - / @ : +, each at most 63 characters."
    ),
]
MaximumAgeDays = Annotated[
    int | None,
    strawberry.argument(
        description="The client's own maximum age of a current secret, in days: 1 to 3650. Without one, the client "
        "inherits the installation's."
    ),
]
IfGeneration = Annotated[
    int | None,
    strawberry.argument(description="Refuses the change with CONFLICT if the client is no longer at this generation."),
]

Reason = Annotated[
    str | None,
    strawberry.argument(
        description="The reason for the change, recorded in the audit log: at most 200 characters. Must not contain a "
        "secret."
    ),
]


def _changes(payload: type[Any], *, or_self: ClientIdOf | None = None) -> list[Any]:
    return [Guard(Role.ADMIN, or_self=or_self), RefusalsAreData(payload)]


@strawberry.type(
    description="The mutations of this API. Expected failures are returned in userErrors and change nothing. A refused "
    "mutation returns null without affecting the others."
)
class Mutation(SessionMutations, WebhookMutations):
    @strawberry.mutation(
        description="Creates a client and its first secret, which is returned only once.",
        extensions=_changes(CreateClientPayload),
    )
    async def create_client(
        self,
        info: Info,
        name: Name,
        description: Description = None,
        features: Features = None,
        allow_list: AllowListTexts = None,
        self_reset: SelfReset = None,
        contact: Contact = None,
        labels: Labels = None,
        maximum_age_days: MaximumAgeDays = None,
    ) -> CreateClientPayload | None:
        registration = await info.context.services.clients.create_client(
            name,
            description=description,
            features=features or (),
            allow_list=allow_list,
            self_reset=bool(self_reset),
            details=ClientDetails.parse(contact=contact, labels=labels or (), maximum_age_days=maximum_age_days),
            by=info.context.caller,
        )
        return CreateClientPayload.of(registration)

    @strawberry.mutation(
        description="Updates a client. Omitted and null arguments leave the value unchanged; an empty description "
        "or contact removes it, and an empty list removes all labels.",
        extensions=_changes(UpdateClientPayload),
    )
    async def update_client(
        self,
        info: Info,
        client_id: ClientId,
        name: Annotated[str | None, strawberry.argument(description="The client's name: 1 to 200 characters.")] = None,
        description: Description = None,
        features: Features = None,
        allow_list: AllowListTexts = None,
        self_reset: SelfReset = None,
        contact: Contact = None,
        labels: Labels = None,
        maximum_age_days: MaximumAgeDays = None,
        inherit_maximum_age: Annotated[
            bool | None,
            strawberry.argument(
                description="Removes the client's own maximum age, so that it inherits the installation's. Not "
                "together with maximumAgeDays."
            ),
        ] = None,
    ) -> UpdateClientPayload | None:
        edit = await info.context.services.clients.update_client(
            client_id,
            name=UNCHANGED if name is None else name,
            description=UNCHANGED if description is None else description,
            features=UNCHANGED if features is None else features,
            allow_list=UNCHANGED if allow_list is None else allow_list,
            self_reset=UNCHANGED if self_reset is None else self_reset,
            details=DetailsEdit.parse(
                contact=contact,
                labels=labels,
                maximum_age_days=maximum_age_days,
                inherit_maximum_age=bool(inherit_maximum_age),
            ),
            by=info.context.caller,
        )
        return UpdateClientPayload.of(edit)

    @strawberry.mutation(
        description="Enables or disables a client. The secrets of a disabled client are refused, and a retained secret "
        "still expires.",
        extensions=_changes(SetClientEnabledPayload),
    )
    async def set_client_enabled(
        self,
        info: Info,
        client_id: ClientId,
        enabled: Annotated[bool, strawberry.argument(description="Whether the client's secrets are accepted.")],
        reason: Reason = None,
    ) -> SetClientEnabledPayload | None:
        edit = await info.context.services.clients.set_client_enabled(
            client_id, enabled=enabled, reason=reason, by=info.context.caller
        )
        return SetClientEnabledPayload.of(edit)

    @strawberry.mutation(
        description="Deletes a client. Its secrets end immediately, its client id is never reused, and its audit "
        "events are kept.",
        extensions=_changes(DeleteClientPayload),
    )
    async def delete_client(self, info: Info, client_id: ClientId, reason: Reason = None) -> DeleteClientPayload | None:
        deleted = await info.context.services.clients.delete_client(client_id, reason=reason, by=info.context.caller)
        return DeleteClientPayload.of(deleted)

    @strawberry.mutation(
        description="Resets a client's secret: creates a new secret, which is valid immediately, and retains the old "
        "one for hoursToLive hours. During a rollover, a smooth reset never ends a secret in use unless "
        "endActiveRollover is true.",
        extensions=[
            Guard(Role.OPERATOR, or_self=client_of_argument),
            ResetGuard(),
            RefusalsAreData(ResetSecretPayload),
        ],
    )
    async def reset_secret(
        self,
        info: Info,
        client_id: ClientId,
        hours_to_live: HoursToLive,
        idempotency_key: Annotated[
            str | None,
            strawberry.argument(
                description="A unique key of 16 to 255 printable ASCII characters, such as a UUID. Repeating the "
                "request with the same key within ten minutes returns the same new secret. If the client resets "
                "itself, the time is not ten minutes: it ends when the new secret is first used or the old one ends."
            ),
        ] = None,
        end_active_rollover: EndActiveRollover = False,
        if_generation: IfGeneration = None,
        reason: Reason = None,
    ) -> ResetSecretPayload | None:
        reset = await info.context.services.rotation.reset_secret(
            client_id,
            Retention(hours_to_live),
            by=info.context.caller,
            idempotency_key=idempotency_key,
            end_active_rollover=end_active_rollover,
            if_generation=if_generation,
            reason=reason,
        )
        return ResetSecretPayload.of(reset)

    @strawberry.mutation(
        description="Revokes a client's old secret immediately. Never affects the current secret. Idempotent: a second "
        "call returns alreadyEnded.",
        extensions=_changes(RevokeOldSecretPayload, or_self=client_of_argument),
    )
    async def revoke_old_secret(
        self,
        info: Info,
        client_id: ClientId,
        secret_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="The global id of the secret to revoke. Guards against revoking a newer old secret."
            ),
        ] = None,
        if_generation: IfGeneration = None,
        reason: Reason = None,
    ) -> RevokeOldSecretPayload | None:
        revoke = await info.context.services.rotation.revoke_old_secret(
            client_id,
            secret_id=None if secret_id is None else secret_number(secret_id),
            if_generation=if_generation,
            reason=reason,
            by=info.context.caller,
        )
        return RevokeOldSecretPayload.of(revoke)

    reset_secrets = bulk.RESET_SECRETS
    revoke_old_secrets = bulk.REVOKE_OLD_SECRETS

    @strawberry.mutation(
        description="Changes when a client's old secret expires: hoursToLive hours from now, but at most 168 hours "
        "after the reset that retained it.",
        extensions=_changes(ChangeRetentionPayload),
    )
    async def change_retention(
        self,
        info: Info,
        client_id: ClientId,
        hours_to_live: Annotated[
            int, strawberry.argument(description="The number of hours from now: a whole number from 1 to 168.")
        ],
        if_generation: IfGeneration = None,
        reason: Reason = None,
    ) -> ChangeRetentionPayload | None:
        change = await info.context.services.rotation.change_retention(
            client_id,
            Retention(hours_to_live, minimum=1),
            if_generation=if_generation,
            reason=reason,
            by=info.context.caller,
        )
        return ChangeRetentionPayload.of(change)

    @strawberry.mutation(
        description="Cancels a client's rollover: the new secret ends and the old one is current again. Refused if the "
        "new secret was used.",
        extensions=_changes(CancelRolloverPayload, or_self=client_of_argument),
    )
    async def cancel_rollover(
        self, info: Info, client_id: ClientId, if_generation: IfGeneration = None, reason: Reason = None
    ) -> CancelRolloverPayload | None:
        cancellation = await info.context.services.rotation.cancel_rollover(
            client_id, if_generation=if_generation, reason=reason, by=info.context.caller
        )
        return CancelRolloverPayload.of(cancellation)
