"""Roles and what they allow (docs/rules.md)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, Self
from urllib.parse import unquote_to_bytes

from gql_secrets.domain.errors import Forbidden, InvalidFeature, Unauthenticated
from gql_secrets.domain.rotation import SecretState
from gql_secrets.domain.texts import is_visible


class Role(StrEnum):
    """The roles of callers; each includes the permissions of the next one."""

    ADMIN = "ADMIN"
    OPERATOR = "OPERATOR"
    VIEWER = "VIEWER"

    @property
    def rank(self) -> int:
        """Greater is more powerful; a caller without a role has rank 0."""
        return 3 if self is Role.ADMIN else 2 if self is Role.OPERATOR else 1


class Feature(StrEnum):
    """The features of a client.

    The first three give it a role, and the fourth lets it name the person for whom it acts; the others are for the APIs
    that it calls.
    """

    OWNER = "owner"
    OPERATOR = "operator"
    VIEWER = "viewer"
    ACTS_FOR_USERS = "acts_for_users"
    ACCESS_ISSUER = "access_issuer"
    DIRECT_ACCESS = "direct_access"
    DIRECT_READ_ACCESS = "direct_read_access"
    LOGIN_CLIENT = "login_client"


_ROLE_OF: Final = {Feature.OWNER: Role.ADMIN, Feature.OPERATOR: Role.OPERATOR, Feature.VIEWER: Role.VIEWER}


class ActorKind(StrEnum):
    """The kinds of actors."""

    API_CLIENT = "API_CLIENT"
    USER = "USER"
    CLI = "CLI"
    SYSTEM = "SYSTEM"


_KINDS_IN_FRONT: Final[Mapping[ActorKind | None, str]] = {
    ActorKind.API_CLIENT: "api_client:",
    ActorKind.USER: "user:",
}

FORMER_CLIENTS_API: Final = "CAPTURE"


class Surface(StrEnum):
    """How a change was made."""

    GRAPHQL = "GRAPHQL"
    CLIENTS_API = "CLIENTS_API"
    SIGN_IN = "SIGN_IN"
    CLI = "CLI"
    SYSTEM = "SYSTEM"

    @classmethod
    def _missing_(cls, value: object) -> "Surface | None":
        """Return CLIENTS_API for its former name, which older events keep: their hash covers it."""
        return cls.CLIENTS_API if value == FORMER_CLIENTS_API else None


def parse_features(texts: Iterable[str]) -> frozenset[Feature]:
    """Return the features with these names.

    Raises:
        InvalidFeature: one of them is unknown.
    """
    try:
        return _parse_features(tuple(texts))
    except ValueError:
        raise InvalidFeature(f"Unknown feature. The features are: {', '.join(Feature)}.") from None


@lru_cache(maxsize=512)
def _parse_features(texts: tuple[str, ...]) -> frozenset[Feature]:
    """Parse them once: each request asks for those of its caller, and few combinations are in use."""
    return frozenset(Feature(text) for text in texts)


def role_of(features: Iterable[Feature]) -> Role | None:
    """Return the most powerful role that these features give, or None."""
    return _role_of(frozenset(features))


@lru_cache(maxsize=512)
def _role_of(features: frozenset[Feature]) -> Role | None:
    return max(
        (_ROLE_OF[feature] for feature in features if feature in _ROLE_OF), key=lambda role: role.rank, default=None
    )


def rank(role: Role | None) -> int:
    """Return the rank of a role; 0 for None."""
    return role.rank if role else 0


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request. In the audit log it is the actor.

    Attributes:
        name: the client id, what identifies a person (`link/<number of the sign-in link>`; with an access token, the
            issuer and the subject), or `cli:<system user>`.
        kind: what kind of caller; None for the anonymous one.
        role: the role at sign-in; a change evaluates it again inside its transaction.
        surface: how the request was made.
        address: the client's address, where there is one.
        request_id: the id of the request, as in the log and in the response.
        secret_id: the secret that an API client signed in with.
        secret_state: that secret's state at sign-in.
        session_id: the session that a person signed in with.
        expires_at: the end of the access token that a person signed in with.
        display_name: how people know a person; two people can have the same one.
        self_reset: whether the API client may reset its own secret.
        acts_for_users: whether the API client may name the person for whom it acts.
        acting_client: the API client that acts for this person, with its own secret.
        acting_role: the highest role of this person, if lower than that of the acting client.
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
    expires_at: datetime | None = None
    display_name: str | None = None
    self_reset: bool = False
    acts_for_users: bool = False
    acting_client: str | None = None
    acting_role: Role | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller has not signed in."""
        return self.kind is None

    @property
    def actor(self) -> str:
        """The identity in the audit log, with the kind in front, so that a person is never equal to a client."""
        return f"{_KINDS_IN_FRONT.get(self.kind, '')}{self.name}"

    def is_client(self, client_id: str) -> bool:
        """Return whether the caller is this API client."""
        return self.kind is ActorKind.API_CLIENT and self.name == client_id

    def has_credentials_of(self, client_id: str) -> bool:
        """Return whether the caller signed in with a secret of this client, as itself or for a person."""
        return self.is_client(client_id) or self.acting_client == client_id

    def may_reset_itself(self, client_id: str) -> bool:
        """Return whether the caller is this API client, with the right to reset its own secret."""
        return self.self_reset and self.is_client(client_id)

    @classmethod
    def anonymous(cls, surface: Surface, *, address: str | None = None, request_id: str | None = None) -> Self:
        """Return a caller who did not sign in."""
        return cls("anonymous", None, None, surface, address, request_id)


def system_caller() -> Caller:
    """Return the caller of the maintenance jobs."""
    return Caller("system", ActorKind.SYSTEM, Role.ADMIN, Surface.SYSTEM)


def require_role(caller: Caller, least: Role, *, argument: str | None = None) -> None:
    """Pass if the caller's role is at least this one.

    Raises:
        Unauthenticated: the caller did not sign in.
        Forbidden: the role is lower; `required_roles` has the ones that are allowed.
    """
    if caller.is_anonymous:
        raise Unauthenticated
    if rank(caller.role) < least.rank:
        allowed = tuple(role.value for role in Role if role.rank >= least.rank)
        what = "This value" if argument else "This"
        raise Forbidden(f"{what} requires the role {' or '.join(allowed)}.", required_roles=allowed, argument=argument)


def require_reset_role(caller: Caller, *, smooth: bool) -> None:
    """Pass if the caller's role allows a reset of this kind: smooth for ADMIN, hard for OPERATOR too.

    Raises:
        Unauthenticated: the caller did not sign in.
        Forbidden: the role is not sufficient.
    """
    require_role(caller, Role.OPERATOR)
    if smooth:
        require_role(caller, Role.ADMIN, argument="hours_to_live")


def require_role_or_self(caller: Caller, least: Role, client_id: str) -> None:
    """Pass if the caller's role is at least this one, or if the caller is this client and may reset itself.

    Raises:
        Unauthenticated: the caller did not sign in.
        Forbidden: neither is true; `required_roles` has the roles that are allowed.
    """
    if not caller.may_reset_itself(client_id):
        require_role(caller, least)


def require_reset(caller: Caller, client_id: str, *, smooth: bool, end_active_rollover: bool = False) -> None:
    """Pass if the caller may reset this client in this way: by its role, or its own secret with a smooth reset.

    Raises:
        Unauthenticated: the caller did not sign in.
        Forbidden: the role is not sufficient. A client that resets itself can neither use a hard reset, after which it
            could not repeat the request, nor end an old secret that is in use.
    """
    if not caller.may_reset_itself(client_id):
        require_reset_role(caller, smooth=smooth)
    elif not smooth:
        require_role(caller, Role.OPERATOR, argument="hours_to_live")
    elif end_active_rollover:
        require_role(caller, Role.ADMIN, argument="end_active_rollover")


def outranks(caller_role: Role | None, target_features: Iterable[Feature]) -> bool:
    """Return whether a client with these features has a higher role than the caller."""
    return rank(role_of(target_features)) > rank(caller_role)


def require_not_above(caller: Caller, target_features: Iterable[Feature]) -> None:
    """Pass if the client's role is not higher than the caller's: a reset must never give the caller a role.

    Raises:
        Forbidden: it is higher; `argument` is `client_id`.
    """
    role = role_of(target_features)
    if role and outranks(caller.role, target_features):
        allowed = tuple(each.value for each in Role if each.rank >= role.rank)
        raise Forbidden("This client has a higher role than you.", required_roles=allowed, argument="client_id")


def require_no_old_secret(caller: Caller, *, argument: str | None = None) -> None:
    """Pass unless the caller signed in with a retained secret.

    Raises:
        Forbidden: it did; `reason` is `RETAINED_SECRET`, and `argument` the one that it may not pass.
    """
    if caller.secret_state is SecretState.RETAINED:
        raise Forbidden(
            "You signed in with an old secret. Sign in with the new secret.",
            argument=argument,
            reason="RETAINED_SECRET",
        )


def is_current_admin(caller: Caller) -> bool:
    """Return whether the caller is ADMIN, and did not sign in with a retained secret."""
    return caller.role is Role.ADMIN and caller.secret_state is not SecretState.RETAINED


def require_current_admin(caller: Caller) -> None:
    """Pass if the caller is ADMIN and did not sign in with a retained secret: for changes not about a single client.

    Raises:
        Unauthenticated: the caller did not sign in.
        Forbidden: it has another role, or signed in with a retained secret (`reason` is `RETAINED_SECRET`).
    """
    require_role(caller, Role.ADMIN)
    require_no_old_secret(caller)


MAX_ACTING_USER: Final = 128
# Visible ASCII characters, and percent-encoded bytes.
_ENCODED: Final = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})+")


def acting_caller(caller: Caller, encoded_user: str, role: str | None) -> Caller:
    """Return the person for whom an API client acts, with the client's role or a lower one.

    Args:
        caller: the API client that signed in.
        encoded_user: who the person is: 1 to 128 visible characters, percent-encoded UTF-8.
        role: the name of the person's role; None for that of the client.

    Raises:
        Forbidden: the caller may not act for users, or a value is not valid; `reason` is `ACTING_USER`.
    """
    if caller.kind is not ActorKind.API_CLIENT or not caller.acts_for_users:
        raise Forbidden("Only a client with the feature acts_for_users can act for users.", reason="ACTING_USER")
    if "/" in caller.name or caller.name == LINK_PERSON:
        raise Forbidden(
            f"A client whose id is {LINK_PERSON}, or has a slash in it, cannot act for users: they would look like "
            "other people.",
            reason="ACTING_USER",
        )
    user = _parse_acting_user(encoded_user)
    limit = None if role is None else _parse_acting_role(role, caller.role)
    return replace(
        caller,
        name=f"{caller.name}/{user}",
        kind=ActorKind.USER,
        role=caller.role if limit is None else limit,
        display_name=user,
        self_reset=False,
        acts_for_users=False,
        acting_client=caller.name,
        acting_role=limit,
    )


def role_for_user(caller: Caller, features: frozenset[Feature]) -> Role | None:
    """Return the current role of a person for whom a client with these features acts.

    Raises:
        Forbidden: the client may no longer act for users; `reason` is `ACTING_USER`.
    """
    if Feature.ACTS_FOR_USERS not in features:
        raise Forbidden("This client can no longer act for users.", reason="ACTING_USER")
    role = role_of(features)
    return role if caller.acting_role is None or rank(role) < caller.acting_role.rank else caller.acting_role


def _parse_acting_user(encoded: str) -> str:
    try:
        user = unquote_to_bytes(encoded).decode() if _ENCODED.fullmatch(encoded) else ""
    except UnicodeDecodeError:
        user = ""
    if not 1 <= len(user) <= MAX_ACTING_USER or not user.isprintable() or user != user.strip() or not is_visible(user):
        raise Forbidden(
            f"X-Acting-User must have 1 to {MAX_ACTING_USER} visible characters, percent-encoded UTF-8.",
            reason="ACTING_USER",
        )
    return user


def _parse_acting_role(name: str, highest: Role | None) -> Role:
    role = Role.__members__.get(name)
    if role is None or role.rank > rank(highest):
        raise Forbidden(
            "X-Acting-Role must be ADMIN, OPERATOR or VIEWER, and not above the role of the client.",
            reason="ACTING_USER",
        )
    return role


# What the name of a person who signed in with a link begins with; no issuer of access tokens has this name.
LINK_PERSON: Final = "link"


def identity_of_link(link_number: int) -> str:
    """Return what identifies a person who signed in with a link: each link signs in once, and numbers are unique."""
    return f"{LINK_PERSON}/{link_number}"


def may_change(caller: Caller, *features: Iterable[Feature]) -> bool:
    """Return whether the caller's secret allows it to change a client with any of these features."""
    return caller.secret_state is not SecretState.RETAINED or all(role_of(each) is None for each in features)


def require_current_secret(caller: Caller, features: Iterable[Feature], *, argument: str = "client_id") -> None:
    """Pass unless a caller who signed in with a retained secret would change a client with a role, or grant a role.

    Somebody who has an old secret of an owner must not be able to take over the installation (docs/rules.md).

    Raises:
        Forbidden: `reason` is `RETAINED_SECRET`; `argument` is the one that named the features or their client.
    """
    if not may_change(caller, features):
        raise Forbidden(
            "You signed in with an old secret, which cannot change or create a client with owner, operator or viewer. "
            "Sign in with the new secret.",
            argument=argument,
            reason="RETAINED_SECRET",
        )
