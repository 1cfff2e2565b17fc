"""Which roles may read a field or pass an argument: checked here, and printed in the schema as `@requiresRole`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.schema_directive import Location
from strawberry.types.field import StrawberryField

from gql_secrets.api.graphql.context import Context
from gql_secrets.domain.access import Role, require_no_old_secret, require_reset_role, require_role


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.ARGUMENT_DEFINITION],
    name="requiresRole",
    description="Restricts a field or an argument to callers with one of the given roles. Other callers get FORBIDDEN; "
    "unauthenticated callers get UNAUTHENTICATED.",
)
class RequiresRole:
    """A guard as the schema prints it."""

    roles: list[Role] = strawberry.directive_field(name="roles")
    when: str | None = strawberry.directive_field(name="when", default=strawberry.UNSET)


# `strawberry.directive_field` takes no description, so `build_schema` adds these.
REQUIRES_ROLE_ARGUMENTS: Final = {
    "roles": "The roles that are allowed, most powerful first.",
    "when": "The condition under which a role is required. Always required if absent.",
}


def roles_from(least: Role) -> list[Role]:
    """Return this role and the more powerful ones, most powerful first."""
    return [role for role in Role if role.rank >= least.rank]


def requirement(least: Role) -> str:
    """Return the sentence about a guard for a description: explorers show descriptions, not applied directives."""
    *others, last = [role.value for role in roles_from(least)]
    names = f"{', '.join(others)}, or {last}" if len(others) > 1 else " or ".join([*others, last])
    return f"Requires {names}."


class Guard(FieldExtension):
    """Restricts a field to callers whose role is at least this one."""

    def __init__(self, least: Role) -> None:
        """Guard with the least powerful role that is allowed."""
        self.least = least

    def apply(self, field: StrawberryField) -> None:
        """Add the guard to the field's directives and description, once even if several schemas use the field."""
        others = [each for each in field.directives if not isinstance(each, RequiresRole)]
        field.directives = [*others, RequiresRole(roles=roles_from(self.least))]
        description = (field.description or "").removesuffix(requirement(self.least)).rstrip()
        field.description = f"{description} {requirement(self.least)}"

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[object]],
        source: object,
        info: strawberry.Info[Context, Any],
        **kwargs: object,
    ) -> object:
        """Resolve the field if the caller has a required role.

        Raises:
            Unauthenticated: the caller is not signed in.
            Forbidden: the caller has none of the required roles.
        """
        require_role(info.context.caller, self.least)
        return await next_(source, info, **kwargs)


class CurrentSecretGuard(FieldExtension):
    """Restricts a field to callers who did not sign in with an old secret."""

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[object]],
        source: object,
        info: strawberry.Info[Context, Any],
        **kwargs: object,
    ) -> object:
        """Resolve the field unless the caller signed in with an old secret.

        Raises:
            Forbidden: the caller did; `reason` is `RETAINED_SECRET`.
        """
        require_no_old_secret(info.context.caller)
        return await next_(source, info, **kwargs)


class SmoothResetGuard(FieldExtension):
    """Restricts `hoursToLive` above 0, a smooth reset, to callers with the role ADMIN."""

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[object]],
        source: object,
        info: strawberry.Info[Context, Any],
        **kwargs: object,
    ) -> object:
        """Resolve the field if the caller may pass this value.

        Raises:
            Unauthenticated: the caller is not signed in.
            Forbidden: the caller has none of the required roles; `argument` is `hours_to_live`.
        """
        require_reset_role(info.context.caller, smooth=kwargs["hours_to_live"] != 0)
        return await next_(source, info, **kwargs)


HoursToLive = Annotated[
    int,
    strawberry.argument(
        description="The number of hours the old secret remains valid: a whole number from 0 to 168. 0 is a hard reset "
        f"and ends the old secret immediately. A value above 0 is a smooth reset. {requirement(Role.ADMIN)[:-1]} when "
        "greater than 0.",
        directives=[RequiresRole(roles=roles_from(Role.ADMIN), when="hoursToLive > 0")],
    ),
]
