"""A client and what the viewer may do with it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, Self

import strawberry

from gql_secrets.api.graphql.context import Context, Info, loaded_by
from gql_secrets.api.graphql.enums import Feature, Role
from gql_secrets.api.graphql.guards import Guard
from gql_secrets.api.graphql.nodes import After, Connection, First, Node
from gql_secrets.api.graphql.types.audit import AuditEvent
from gql_secrets.api.graphql.types.secret import ClientSecret, Rollover
from gql_secrets.api.graphql.types.usage import MAX_INT
from gql_secrets.api.graphql.weights import EVALUATED, PAGE_BELOW
from gql_secrets.domain.access import Caller, may_change, outranks, parse_features, rank
from gql_secrets.domain.policies import RotationPolicy
from gql_secrets.domain.rotation import SecretState
from gql_secrets.graphql_server.loading import loads
from gql_secrets.graphql_server.schema_costs import weighs
from gql_secrets.service.pages import DEFAULT_PAGE, PageRequest
from gql_secrets.storage.client_rows import ClientPart, ClientRow

_FROM_ATTEMPTS: Final = {**EVALUATED, **loaded_by(lambda loaders: loaders.unknown_attempts)}


async def _load_secrets(context: Context, clients: list["Client"], given: Mapping[str, Any]) -> bool:
    """Load the first page of each client's secrets, and the time at which they are looked at."""
    if given.get("after") is not None:
        return False
    page = PageRequest(given.get("first", DEFAULT_PAGE))
    await context.loaders.secrets.load_all([(client.key, page) for client in clients])
    await context.now()
    return True


async def _load_audit_events(context: Context, clients: list["Client"], given: Mapping[str, Any]) -> bool:
    """Load the first page of each client's audit events."""
    if given.get("after") is not None:
        return False
    page = PageRequest(given.get("first", DEFAULT_PAGE))
    await context.loaders.audit_events.load_all([(client.key, page) for client in clients])
    return True


@strawberry.type(description="An application that signs in with its client id and a secret.")
class Client(Node):
    row: strawberry.Private[ClientRow]
    caller: strawberry.Private[Caller]
    policy: strawberry.Private[RotationPolicy]

    @property
    def key(self) -> str:
        """The client id."""
        return self.row.client_id

    @strawberry.field(
        description="The id with which the application signs in. Arguments named clientId take this value."
    )
    def client_id(self) -> strawberry.ID:
        return strawberry.ID(self.row.client_id)

    @strawberry.field(description="The client's name.")
    def name(self) -> str:
        return self.row.name

    @strawberry.field(description="The client's description.")
    def description(self) -> str | None:
        return self.row.description

    @strawberry.field(
        description="Whether the client's active secrets are accepted. Retained secrets still expire while the client "
        "is disabled."
    )
    def enabled(self) -> bool:
        return self.row.enabled

    @strawberry.field(description="When the client was created.")
    def created_at(self) -> datetime:
        return self.row.created_at

    @strawberry.field(
        description="A number that increases with every change of the client. Pass it as ifGeneration to refuse the "
        "change if the client has changed since."
    )
    def generation(self) -> int:
        return self.row.generation

    @strawberry.field(
        description="Whether the client may reset its own secret. Signed in with its current secret, it can read "
        "itself, use a smooth reset, revoke its old secret, and cancel its rollover. With its old secret it can read "
        "itself, and repeat a reset with the same idempotencyKey until the new secret is used."
    )
    def self_reset(self) -> bool:
        return self.row.self_reset

    @strawberry.field(description="Whom to call about the client, such as a mailing list or a person's name.")
    def contact(self) -> str | None:
        return self.row.contact

    @strawberry.field(description="The client's labels in alphabetical order, each key=value.")
    def labels(self) -> list[str]:
        return list(self.row.labels)

    @strawberry.field(
        description="The client's own maximum age of a current secret, in days. Null if the client inherits the "
        "installation's."
    )
    def maximum_age_days(self) -> int | None:
        return self.row.maximum_age_days

    @strawberry.field(
        description="The maximum age of the client's current secret, in days: its own or the installation's. Null if "
        "there is none."
    )
    def effective_maximum_age_days(self) -> int | None:
        return self.policy.effective_days(self.row.maximum_age_days)

    @strawberry.field(
        description="When the current secret reaches its maximum age and should be rotated; it remains valid. Null "
        "without a maximum age."
    )
    def rotation_due_at(self) -> datetime | None:
        secret = self.row.current_secret
        return self.policy.due_at(secret.created_at, self.row.maximum_age_days) if secret else None

    @strawberry.field(
        description="The client's features. OWNER, OPERATOR, and VIEWER give the client a role here; the others are "
        "passed through to your APIs.",
    )
    def features(self) -> list[Feature]:
        return [Feature(text) for text in self.row.features]

    @strawberry.field(
        description="The networks from which the client's secrets are accepted, in CIDR notation.",
        metadata={**weighs(38), **loaded_by(lambda loaders: loaders.allow_lists)},
    )
    async def allow_list(self, info: Info) -> list[str]:
        return await info.context.loaders.allow_lists.load(self.row.client_id)

    @strawberry.field(
        description="Whether the client has both a current and a retained secret. Does not depend on enabled."
    )
    def in_rollover(self) -> bool:
        return self.row.old_secret is not None

    @strawberry.field(description="The client's current secret.", metadata=weighs(4))
    def current_secret(self) -> ClientSecret | None:
        row = self.row.current_secret
        return None if row is None else ClientSecret.of_active(row)

    @strawberry.field(
        description="The client's retained secret. Null if no rollover is in progress.", metadata=weighs(4)
    )
    def old_secret(self) -> ClientSecret | None:
        row = self.row.old_secret
        return None if row is None else ClientSecret.of_active(row)

    @strawberry.field(
        description="The rollover in progress, with advice on when to revoke the old secret. Null if no rollover is in "
        "progress.",
        metadata={**weighs(80), **loaded_by(lambda loaders: loaders.rollovers)},
    )
    async def rollover(self, info: Info) -> Rollover | None:
        rollover = await info.context.loaders.rollovers.find(self.row.client_id)
        return Rollover.of(rollover) if rollover else None

    @strawberry.field(
        description="All secrets of the client, newest first.", metadata={**PAGE_BELOW, **loads(_load_secrets)}
    )
    async def secrets(
        self, info: Info, first: First = DEFAULT_PAGE, after: After = None
    ) -> Connection[ClientSecret] | None:
        asked = PageRequest(first, after)
        if after is None:
            page = await info.context.loaders.secrets.load((self.row.client_id, asked))
        else:
            page = await info.context.services.queries.page_of_secrets(self.row.client_id, asked)
        now = await info.context.now()
        return Connection[ClientSecret].of(page, partial(ClientSecret.of, now=now))

    @strawberry.field(
        description="The audit events of the client, newest first.",
        extensions=[Guard(Role.ADMIN)],
        metadata={**PAGE_BELOW, **loads(_load_audit_events)},
    )
    async def audit_events(
        self, info: Info, first: First = DEFAULT_PAGE, after: After = None
    ) -> Connection[AuditEvent] | None:
        asked = PageRequest(first, after)
        if after is None:
            page = await info.context.loaders.audit_events.load((self.row.client_id, asked))
        else:
            page = await info.context.services.queries.page_of_audit_events(asked, client_id=self.row.client_id)
        return Connection[AuditEvent].of(page, AuditEvent.of)

    @strawberry.field(
        description="How often a request named the client with a secret that was never issued to any client. Delayed "
        "by at most a minute, and never above 2147483647.",
        extensions=[Guard(Role.OPERATOR)],
        metadata=_FROM_ATTEMPTS,
    )
    async def unknown_secret_attempts(self, info: Info) -> int | None:
        return min((await info.context.loaders.unknown_attempts.load(self.row.client_id)).count, MAX_INT)

    @strawberry.field(
        description="When a request last named the client with a secret that was never issued to any client. Delayed "
        "by at most a minute.",
        extensions=[Guard(Role.OPERATOR)],
        metadata=_FROM_ATTEMPTS,
    )
    async def last_unknown_secret_attempt_at(self, info: Info) -> datetime | None:
        return (await info.context.loaders.unknown_attempts.load(self.row.client_id)).last_at

    @strawberry.field(
        description="Whether the viewer can reset the client's secret. ADMIN and OPERATOR can use the hard reset; a "
        "client that resets itself can use only the smooth reset."
    )
    def viewer_can_reset_secret(self) -> bool:
        return self._viewer_can(Role.OPERATOR) or self._viewer_resets_itself()

    @strawberry.field(
        description="Whether the viewer can reset the client's secret with a smooth reset, which retains the old "
        "secret."
    )
    def viewer_can_smooth_reset(self) -> bool:
        return self._viewer_can(Role.ADMIN) or self._viewer_resets_itself()

    @strawberry.field(
        description="Whether the viewer can revoke the old secret or cancel the rollover. ADMIN can change its "
        "retention, too."
    )
    def viewer_can_revoke_old_secret(self) -> bool:
        return self._viewer_can(Role.ADMIN) or self._viewer_resets_itself()

    @strawberry.field(description="Whether the viewer can update, enable, disable, or delete the client.")
    def viewer_can_edit(self) -> bool:
        return self._viewer_can(Role.ADMIN)

    def _viewer_can(self, least: Role) -> bool:
        caller, features = self.caller, parse_features(self.row.features)
        return rank(caller.role) >= least.rank and not outranks(caller.role, features) and may_change(caller, features)

    def _viewer_resets_itself(self) -> bool:
        caller = self.caller
        return caller.may_reset_itself(self.row.client_id) and caller.secret_state is SecretState.CURRENT

    @classmethod
    def of(cls, row: ClientRow, context: Context) -> Self:
        """Return a client as the caller of this request sees it."""
        return cls(row=row, caller=context.caller, policy=context.services.rotation_policy)

    @staticmethod
    def maker(context: Context) -> Callable[[ClientRow], "Client"]:
        """Return what makes clients as `of` does, for many."""
        caller, policy = context.caller, context.services.rotation_policy

        def make(row: ClientRow) -> Client:
            made = object.__new__(Client)  # as in `ClientSecret.of_active`
            made.row, made.caller, made.policy = row, caller, policy
            return made

        return make

    @classmethod
    async def find(cls, client_id: str, info: Info) -> Self | None:
        """Return a client as the viewer sees it, or None if it does not exist."""
        row = await info.context.loaders.clients.find(client_id)
        return cls.of(row, info.context) if row else None

    @classmethod
    def find_now(cls, client_id: str, info: Info, parts: ClientPart) -> Self | None:
        """Return what `find_alone` returns, without awaiting it.

        Raises:
            MustAwait: it has to be awaited.
        """
        row = info.context.services.queries.find_client_now(client_id, parts)
        return cls.of(row, info.context) if row else None

    @classmethod
    async def find_alone(cls, client_id: str, info: Info, parts: ClientPart) -> Self | None:
        """Return a client as `find` does, where no other field asks for it: with these parts of it."""
        row = (await info.context.services.queries.find_clients((client_id,), parts)).get(client_id)
        return cls.of(row, info.context) if row else None
