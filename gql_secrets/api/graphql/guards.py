"""Who may see a field or pass an argument: checked here, and printed in the schema as `@requiresRole`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.schema_directive import Location
from strawberry.types.field import StrawberryField

from gql_secrets.api.graphql.context import Context
from gql_secrets.domain.access import Role, require_reset_role, require_role


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.ARGUMENT_DEFINITION],
    name="requiresRole",
    description="Who may see this field or pass this argument; others get FORBIDDEN, the anonymous UNAUTHENTICATED.",
)
class RequiresRole:
    """The guard as an explorer shows it."""

    roles: list[Role] = strawberry.directive_field(name="roles")
    when: str | None = strawberry.directive_field(name="when", default=strawberry.UNSET)


def roles_from(least: Role) -> list[Role]:
    """Return this role and the more powerful ones, most powerful first."""
    return [role for role in Role if role.rank >= least.rank]


class Guard(FieldExtension):
    """Lets a caller through whose role is at least this one."""

    def __init__(self, least: Role) -> None:
        """Guard with the least role that may."""
        self.least = least

    def apply(self, field: StrawberryField) -> None:
        """Print the guard on the field, once however many schemas are built of it."""
        others = [each for each in field.directives if not isinstance(each, RequiresRole)]
        field.directives = [*others, RequiresRole(roles=roles_from(self.least))]

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[object]],
        source: object,
        info: strawberry.Info[Context, Any],
        **kwargs: object,
    ) -> object:
        """Resolve the field for a caller who may.

        Raises:
            Unauthenticated: nobody signed in.
            Forbidden: the role does not reach.
        """
        require_role(info.context.caller, self.least)
        return await next_(source, info, **kwargs)


class SmoothGuard(FieldExtension):
    """Lets only an ADMIN keep the old secret: `hoursToLive` above 0 (seed A, "IONAPI-Admin users")."""

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[object]],
        source: object,
        info: strawberry.Info[Context, Any],
        **kwargs: object,
    ) -> object:
        """Resolve the field for a caller who may pass this value.

        Raises:
            Unauthenticated: nobody signed in.
            Forbidden: the role does not reach; `argument` is `hoursToLive`.
        """
        require_reset_role(info.context.caller, smooth=kwargs["hours_to_live"] != 0)
        return await next_(source, info, **kwargs)


SmoothHours = Annotated[
    int,
    strawberry.argument(
        description="How many hours the old secret stays good: a whole number from 0 to 168; 0 ends it at once. "
        "Anything above 0 (a smooth reset) is for ADMIN.",
        directives=[RequiresRole(roles=roles_from(Role.ADMIN), when="hoursToLive > 0")],
    ),
]
