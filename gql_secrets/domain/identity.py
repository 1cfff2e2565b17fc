"""People who sign in with the access token of an identity provider: the meaning of its claims.

The claims are those of RFC 9068 and RFC 7519. The signature was checked before, elsewhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeGuard

from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import InvalidToken
from gql_secrets.domain.texts import is_visible

MAX_SUBJECT: Final = 255
# An actor is `user:`, the issuer, `/` and the subject: it fits the columns of 512 characters.
MAX_ISSUER: Final = 250
MAX_DISPLAY_NAME: Final = 200
DEFAULT_ROLES_CLAIM: Final = "roles,groups,realm_access.roles"
DEFAULT_NAME_CLAIM: Final = "preferred_username,email,sub"
DEFAULT_SCOPES: Final = "openid profile email"
DEFAULT_ADMIN_ROLES: Final = "IONAPI-Admin,IONAPI-Administrator"
# How far a provider's clock and the database's may differ: for `nbf`, `iat` and log-outs. No token outlives its `exp`.
CLOCK_LEEWAY: Final = timedelta(seconds=60)

# The header's `typ` of an access token: RFC 9068, and the plain JWT of providers that do not follow it.
_TOKEN_TYPES: Final = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt"))
# The payload's `typ`, which Keycloak writes.
_PAYLOAD_TYPES: Final = frozenset(("bearer", "jwt", "at+jwt"))
_ONLY_IN_ID_TOKENS: Final = ("nonce", "at_hash", "c_hash", "s_hash")
_LATEST_SECOND: Final = 253_402_300_799  # the last one of the year 9999


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider that is trusted, and what its tokens must say.

    Attributes:
        url: the issuer, exactly as its tokens name it.
        audiences: the names of this API there; a token must be issued for one of them.
        roles_claims: the claims whose values are role names; all of them count.
        name_claims: the claims that may hold a display name; the first that does counts.
        admin_roles: the role names that give the role ADMIN.
        operator_roles: the role names that give the role OPERATOR.
        viewer_roles: the role names that give the role VIEWER.
        client_id: the console's client id there; empty if people do not sign in to the console there.
        client_secret: that client's secret; empty for a public client.
        scopes: what the console's sign-in asks for, separated by spaces.
    """

    url: str
    audiences: frozenset[str]
    roles_claims: tuple[str, ...] = tuple(DEFAULT_ROLES_CLAIM.split(","))
    name_claims: tuple[str, ...] = tuple(DEFAULT_NAME_CLAIM.split(","))
    admin_roles: frozenset[str] = frozenset()
    operator_roles: frozenset[str] = frozenset()
    viewer_roles: frozenset[str] = frozenset()
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scopes: str = DEFAULT_SCOPES

    @property
    def name(self) -> str:
        """The issuer without its scheme: the first part of its people's names."""
        return self.url.partition("://")[2]


class TokenPerson(NamedTuple):
    """The person of a valid access token.

    Attributes:
        name: the issuer without its scheme, `/` and the subject: unique and permanent.
        display_name: how people know the person; neither unique nor permanent.
        role: the most powerful role that the token gives, or None.
        expires_at: the token's end.
    """

    name: str
    display_name: str | None
    role: Role | None
    expires_at: datetime


def read_person(
    claims: Mapping[str, object], issuer: Issuer, *, token_type: str | None, all_issuers: Iterable[Issuer]
) -> TokenPerson:
    """Return the person of an access token whose signature, issuer, audience and times are valid.

    Args:
        claims: the claims.
        issuer: who issued it.
        token_type: the `typ` of its header.
        all_issuers: all issuers that are trusted: no subject of one may read like a person of another.

    Raises:
        InvalidToken: it is not an access token, or has no valid subject.
    """
    _require_access_token(claims, token_type)
    _require_not_for_console(claims, issuer)
    name = identity_at(issuer.url, read_subject(claims, issuer, all_issuers))
    return TokenPerson(name, find_display_name(claims, issuer), find_role(claims, issuer), expiry_of(claims))


def identity_at(issuer_url: str, subject: str) -> str:
    """Return what identifies a person of an issuer: unique and permanent."""
    return f"{issuer_url.partition('://')[2]}/{subject}"


def read_subject(claims: Mapping[str, object], issuer: Issuer, all_issuers: Iterable[Issuer]) -> str:
    """Return the subject of a token whose signature and issuer are valid.

    Raises:
        InvalidToken: it has none that is valid, or one that reads like a person of another issuer.
    """
    subject = _subject_of(claims)
    name = identity_at(issuer.url, subject)
    if any(len(each.name) > len(issuer.name) and name.startswith(f"{each.name}/") for each in all_issuers):
        raise InvalidToken("The subject of the token reads like a person of another issuer.", reason="SUBJECT")
    return subject


def expiry_of(claims: Mapping[str, object]) -> datetime:
    """Return when the token ends.

    Raises:
        InvalidToken: it has no valid end.
    """
    exp = claims.get("exp")
    if not is_time(exp):
        raise InvalidToken("The token has no valid `exp`.", reason="MALFORMED")
    return datetime.fromtimestamp(min(max(exp, 0), _LATEST_SECOND), UTC)


def is_time(value: object) -> TypeGuard[float]:
    """Return whether the value of a claim is a number of seconds (RFC 7519, section 2, NumericDate)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124  NaN


def require_unexpired(expires_at: datetime | None, now: datetime, token: str = "access token") -> None:  # noqa: S107
    """Pass unless this is the end of a token, and it has come.

    Raises:
        InvalidToken: it has; `reason` is `EXPIRED`.
    """
    if expires_at is not None and now >= expires_at:
        raise InvalidToken(f"The {token} has expired. Get a new one from the identity provider.", reason="EXPIRED")


def find_role(claims: Mapping[str, object], issuer: Issuer) -> Role | None:
    """Return the most powerful role that the claims give by the issuer's own entry, or None."""
    names = {name for claim in issuer.roles_claims for name in _texts_of(find_claim(claims, claim))}
    given = (
        (Role.ADMIN, issuer.admin_roles),
        (Role.OPERATOR, issuer.operator_roles),
        (Role.VIEWER, issuer.viewer_roles),
    )
    return next((role for role, role_names in given if names & role_names), None)


def find_display_name(claims: Mapping[str, object], issuer: Issuer) -> str | None:
    """Return the first of the issuer's name claims that holds a name that can be shown, cut to 200 characters."""
    for claim in issuer.name_claims:
        value = find_claim(claims, claim)
        # Not printable are also invisible characters and those that turn the direction of the text around them.
        if isinstance(value, str) and value.isprintable() and is_visible(value):
            return value.strip()[:MAX_DISPLAY_NAME]
    return None


def find_claim(claims: Mapping[str, object], path: str) -> object:
    """Return the claim at a dotted path, or None. A name with `://` is a URL, which is one key."""
    if path in claims or "://" in path:
        return claims.get(path)
    value: object = claims
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _texts_of(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _subject_of(claims: Mapping[str, object]) -> str:
    subject = claims.get("sub")
    # Two subjects must not look alike: no invisible characters, and no blanks around it.
    is_plain = isinstance(subject, str) and subject.isprintable() and subject.strip() == subject
    if not isinstance(subject, str) or not is_plain or not is_visible(subject):
        raise InvalidToken("The token has no valid `sub`.", reason="SUBJECT")
    if len(subject) > MAX_SUBJECT:
        raise InvalidToken(f"The subject of the token is longer than {MAX_SUBJECT} characters.", reason="SUBJECT")
    return subject


def _require_access_token(claims: Mapping[str, object], token_type: str | None) -> None:
    payload_type = claims.get("typ")
    if any(claim in claims for claim in _ONLY_IN_ID_TOKENS) or _lower(payload_type) == "id":
        raise InvalidToken("This is an ID token. Send the access token.", reason="ID_TOKEN")
    is_known = token_type is None or token_type.lower() in _TOKEN_TYPES
    if not is_known or (payload_type is not None and _lower(payload_type) not in _PAYLOAD_TYPES):
        raise InvalidToken("The token is not an access token: its `typ` is another one.", reason="TYPE")
    if "cnf" in claims:
        # A thief of such a token could use it as a bearer token (RFC 9449, section 7.2; RFC 8705, section 3).
        raise InvalidToken(
            "The token is bound to a key (DPoP or mutual TLS), which is not supported. Ask for a bearer token.",
            reason="TYPE",
        )


def _require_not_for_console(claims: Mapping[str, object], issuer: Issuer) -> None:
    """Pass unless the token is for the console's own client alone: then it is an ID token."""
    audiences = _texts_of(claims.get("aud"))
    if issuer.client_id and set(audiences) == {issuer.client_id} and claims.get("azp") == issuer.client_id:
        raise InvalidToken("This is an ID token. Send the access token.", reason="ID_TOKEN")


def _lower(value: object) -> str | None:
    return value.lower() if isinstance(value, str) else None
