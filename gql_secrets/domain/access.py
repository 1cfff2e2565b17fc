"""Who may do what (DESIGN.md, the table of roles)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from gql_secrets.domain.errors import Forbidden, InvalidFeature, Unauthenticated
from gql_secrets.domain.rotation import SecretState


class Role(StrEnum):
    """What a caller may do; each may all that the next one may."""

    ADMIN = "ADMIN"
    OPERATOR = "OPERATOR"
    VIEWER = "VIEWER"

    @property
    def rank(self) -> int:
        """Greater is more powerful; no role ranks 0."""
        return {Role.ADMIN: 3, Role.OPERATOR: 2, Role.VIEWER: 1}[self]


class Feature(StrEnum):
    """What a client is allowed; the first three give a role here, the others mean something to the APIs behind."""

    OWNER = "owner"
    OPERATOR = "operator"
    VIEWER = "viewer"
    ACCESS_ISSUER = "access_issuer"
    DIRECT_ACCESS = "direct_access"
    DIRECT_READ_ACCESS = "direct_read_access"
    LOGIN_CLIENT = "login_client"


_ROLE_OF: Final = {Feature.OWNER: Role.ADMIN, Feature.OPERATOR: Role.OPERATOR, Feature.VIEWER: Role.VIEWER}


class ActorKind(StrEnum):
    """What kind of actor made a change."""

    API_CLIENT = "API_CLIENT"
    USER = "USER"
    CLI = "CLI"
    SYSTEM = "SYSTEM"


FORMER_CLIENTS_API: Final = "CAPTURE"


class Surface(StrEnum):
    """Through which door a change came."""

    GRAPHQL = "GRAPHQL"
    CLIENTS_API = "CLIENTS_API"
    CLI = "CLI"
    SYSTEM = "SYSTEM"

    @classmethod
    def _missing_(cls, value: object) -> "Surface | None":
        """Return CLIENTS_API for its former name, which older events keep: their hash covers it."""
        return cls.CLIENTS_API if value == FORMER_CLIENTS_API else None


def parse_features(texts: Iterable[str]) -> frozenset[Feature]:
    """Return the features of these names.

    Raises:
        InvalidFeature: one of them does not exist.
    """
    try:
        return frozenset(Feature(text) for text in texts)
    except ValueError:
        raise InvalidFeature(f"A feature is one of: {', '.join(Feature)}.") from None


def role_of(features: Iterable[Feature]) -> Role | None:
    """Return the most powerful role that these features give, or None."""
    return max(
        (_ROLE_OF[feature] for feature in features if feature in _ROLE_OF), key=lambda role: role.rank, default=None
    )


def rank(role: Role | None) -> int:
    """Return how powerful a role is; 0 for none."""
    return role.rank if role else 0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. The audit calls the same one the actor.

    Attributes:
        name: the client id, the user's name, or `cli:<system user>`.
        kind: what kind of caller; None for the anonymous one.
        role: the role at sign-in; a change judges it again inside its transaction.
        surface: through which door the request came.
        address: the client's address, where there is one.
        request_id: the request's id, as the log and the answer have it.
        secret_id: the secret that an API client signed in with.
        secret_state: that secret's state at sign-in.
        session_id: the session that a person signed in with.
    """

    name: str
    kind: ActorKind | None
    role: Role | None
    surface: Surface
    address: str | None = None
    request_id: str | None = None
    secret_id: int | None = None
    secret_state: SecretState | None = None
    session_id: int | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody signed in."""
        return self.kind is None

    @property
    def actor(self) -> str:
        """The name as secrets and audit remember it, told apart by kind: a person never passes for a client."""
        return (
            self.name
            if self.kind in (None, ActorKind.CLI, ActorKind.SYSTEM)
            else f"{self.kind.value.lower()}:{self.name}"
        )

    @classmethod
    def anonymous(cls, surface: Surface, *, address: str | None = None, request_id: str | None = None) -> Self:
        """Return the caller who did not sign in: an object of its own, never None."""
        return cls("anonymous", None, None, surface, address, request_id)


def system_caller() -> Caller:
    """Return the actor of tidying."""
    return Caller("system", ActorKind.SYSTEM, Role.ADMIN, Surface.SYSTEM)


def require_role(caller: Caller, least: Role, *, argument: str | None = None) -> None:
    """Pass if the caller's role is at least this one.

    Raises:
        Unauthenticated: nobody signed in.
        Forbidden: the role does not reach; `required_roles` says which do.
    """
    if caller.is_anonymous:
        raise Unauthenticated
    if rank(caller.role) < least.rank:
        allowed = tuple(role.value for role in Role if role.rank >= least.rank)
        what = "this value" if argument else "this"
        raise Forbidden(f"Only {' or '.join(allowed)} may do {what}.", required_roles=allowed, argument=argument)


def require_reset_role(caller: Caller, *, smooth: bool) -> None:
    """Pass if the caller's role allows a reset of this kind: smooth for ADMIN, hard for OPERATOR too.

    Raises:
        Unauthenticated: nobody signed in.
        Forbidden: the role does not reach.
    """
    require_role(caller, Role.OPERATOR)
    if smooth:
        require_role(caller, Role.ADMIN, argument="hours_to_live")


def outranks(caller_role: Role | None, target_features: Iterable[Feature]) -> bool:
    """Whether a target with these features has a role above the caller's."""
    return rank(role_of(target_features)) > rank(caller_role)


def require_not_above(caller: Caller, target_features: Iterable[Feature]) -> None:
    """Pass if the target's role is not above the caller's: a caller never gains a role by resetting its secret.

    Raises:
        Forbidden: it is; `argument` is `client_id`.
    """
    role = role_of(target_features)
    if role and outranks(caller.role, target_features):
        allowed = tuple(each.value for each in Role if each.rank >= role.rank)
        raise Forbidden("This client has a role above yours.", required_roles=allowed, argument="client_id")


def may_change(caller: Caller, *features: Iterable[Feature]) -> bool:
    """Whether the secret that the caller signed in with allows changing a client with any of these features."""
    return caller.secret_state is not SecretState.RETAINED or all(role_of(each) is None for each in features)


def require_current_secret(caller: Caller, *features: Iterable[Feature]) -> None:
    """Pass unless a caller on a retained secret would change, or grant, a role.

    Whoever holds an old owner secret must not take the house (DESIGN.md, "Who may do what").

    Raises:
        Forbidden: `reason` is `RETAINED_SECRET`.
    """
    if not may_change(caller, *features):
        raise Forbidden(
            "You signed in with an old secret: it may read, and change clients without a role, but neither change "
            "nor make a client with owner, operator or viewer. Use the new secret.",
            argument="client_id",
            reason="RETAINED_SECRET",
        )
