"""Which roles may read a field or pass an argument: checked here, and printed in the schema as `@requiresRole`."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import strawberry
from strawberry.schema_directive import Location
from strawberry.types.field import StrawberryField

from gql_secrets.api.graphql.context import Context
from gql_secrets.domain.access import (
    Role,
    require_no_old_secret,
    require_reset,
    require_role,
    require_role_or_self,
)
from gql_secrets.graphql_server.field_checks import FieldCheck


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.ARGUMENT_DEFINITION],
    name="requiresRole",
    description="Restricts a field or an argument to callers with one of the given roles. Other callers get FORBIDDEN; "
    "unauthenticated callers get UNAUTHENTICATED.",
    repeatable=True,
)
class RequiresRole:
    """A guard as the schema prints it."""

    roles: list[Role] = strawberry.directive_field(name="roles")
    when: str | None = strawberry.directive_field(name="when", default=strawberry.UNSET)
    or_self: bool | None = strawberry.directive_field(name="orSelf", default=strawberry.UNSET)


# `strawberry.directive_field` takes no description, so `build_schema` adds these.
REQUIRES_ROLE_ARGUMENTS: Final = {
    "roles": "The roles that are allowed, most powerful first.",
    "when": "The condition under which a role is required. Always required if absent.",
    "orSelf": "Whether a client with selfReset is also allowed, only for itself. Not allowed if absent.",
}


def roles_from(least: Role) -> list[Role]:
    """Return this role and the more powerful ones, most powerful first."""
    return [role for role in Role if role.rank >= least.rank]


def requirement(least: Role, *, or_self: bool = False) -> str:
    """Return the sentence about a guard for a description: explorers show descriptions, not applied directives."""
    *others, last = [role.value for role in roles_from(least)]
    names = f"{', '.join(others)}, or {last}" if len(others) > 1 else " or ".join([*others, last])
    itself = ", or the client itself with selfReset" if or_self else ""
    return f"Requires {names}{itself}."


ClientIdOf = Callable[[Any, Mapping[str, Any]], str]


def client_of_argument(_: object, arguments: Mapping[str, Any]) -> str:
    """Return the client id that the caller passed."""
    return str(arguments["client_id"])


def client_of_source(source: Any, _: Mapping[str, Any]) -> str:  # noqa: ANN401  an object that belongs to a client
    """Return the client id of the object that has the field."""
    return str(source.client_id)


class Guard(FieldCheck):
    """Restricts a field to callers whose role is at least this one, and a client itself where that is allowed."""

    def __init__(self, least: Role, *, or_self: ClientIdOf | None = None) -> None:
        """Guard with the least powerful role that is allowed.

        Args:
            least: this role.
            or_self: what returns the id of the client that is allowed, too, if it has `self_reset`; None for no client.
        """
        self.least = least
        self._or_self = or_self

    def apply(self, field: StrawberryField) -> None:
        """Add the guard to the field's directives and description, once even if several schemas use the field."""
        others = [each for each in field.directives if not isinstance(each, RequiresRole)]
        or_self = self._or_self is not None
        guard = RequiresRole(roles=roles_from(self.least), or_self=True if or_self else strawberry.UNSET)
        field.directives = [*others, guard]
        sentence = requirement(self.least, or_self=or_self)
        field.description = f"{(field.description or '').removesuffix(sentence).rstrip()} {sentence}"

    def check(self, source: object, info: strawberry.Info[Context, Any], given: Mapping[str, Any]) -> None:
        """Pass if the caller has a required role.

        Raises:
            Unauthenticated: the caller is not signed in.
            Forbidden: the caller has none of the required roles.
        """
        if self._or_self is None:
            require_role(info.context.caller, self.least)
        else:
            require_role_or_self(info.context.caller, self.least, self._or_self(source, given))


class CurrentSecretGuard(FieldCheck):
    """Restricts a field to callers who did not sign in with an old secret."""

    def check(self, _source: object, info: strawberry.Info[Context, Any], _given: Mapping[str, Any]) -> None:
        """Pass unless the caller signed in with an old secret.

        Raises:
            Forbidden: the caller did; `reason` is `RETAINED_SECRET`.
        """
        require_no_old_secret(info.context.caller)


class ResetGuard(FieldCheck):
    """Restricts the values of `hoursToLive` and `endActiveRollover` that a caller may pass."""

    def check(self, _source: object, info: strawberry.Info[Context, Any], given: Mapping[str, Any]) -> None:
        """Pass if the caller may pass this value.

        Raises:
            Unauthenticated: the caller is not signed in.
            Forbidden: the caller has none of the required roles; `argument` names the value.
        """
        require_reset(
            info.context.caller,
            given["client_id"],
            smooth=given["hours_to_live"] != 0,
            end_active_rollover=given.get("end_active_rollover", False),
        )


HoursToLive = Annotated[
    int,
    strawberry.argument(
        description="The number of hours the old secret remains valid: a whole number from 0 to 168. 0 is a hard reset "
        "and ends the old secret immediately. A value above 0 is a smooth reset. "
        f"{requirement(Role.ADMIN, or_self=True)[:-1]}, when greater than 0. {requirement(Role.OPERATOR)[:-1]} when 0.",
        directives=[
            RequiresRole(roles=roles_from(Role.ADMIN), when="hoursToLive > 0", or_self=True),
            RequiresRole(roles=roles_from(Role.OPERATOR), when="hoursToLive = 0"),
        ],
    ),
]
EndActiveRollover = Annotated[
    bool,
    strawberry.argument(
        description="Allows a smooth reset during a rollover. If the new secret was not used, it is withdrawn and the "
        "old secret remains valid; otherwise the old secret ends immediately. "
        f"{requirement(Role.ADMIN)[:-1]} when true in a smooth reset.",
        directives=[RequiresRole(roles=roles_from(Role.ADMIN), when="endActiveRollover = true and hoursToLive > 0")],
    ),
]
