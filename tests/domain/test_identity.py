"""What the claims of an access token mean: whose it is, which role it gives."""

from typing import Any

import pytest

from gql_secrets.domain.access import Role
from gql_secrets.domain.errors import InvalidToken
from gql_secrets.domain.identity import Issuer, find_display_name, find_role, read_person

ISSUER = Issuer(
    "https://login.example.com/realms/staff",
    audiences=frozenset({"api"}),
    admin_roles=frozenset({"IONAPI-Admin", "IONAPI-Administrator"}),
    operator_roles=frozenset({"ops"}),
    viewer_roles=frozenset({"look"}),
)
CLAIMS: dict[str, object] = {"sub": "ada-1815", "exp": 2_000_000_000}


def person(claims: dict[str, Any], *, typ: str | None = "at+jwt", issuers: tuple[Issuer, ...] = (ISSUER,)) -> Any:
    return read_person(CLAIMS | claims, ISSUER, token_type=typ, all_issuers=issuers)


def with_claims(*paths: str) -> Issuer:
    return Issuer(ISSUER.url, ISSUER.audiences, paths, admin_roles=frozenset({"boss"}))


# Roles


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"roles": ["IONAPI-Admin"]}, Role.ADMIN),
        ({"roles": ["IONAPI-Administrator", "other"]}, Role.ADMIN),
        ({"groups": ["ops"]}, Role.OPERATOR),
        ({"realm_access": {"roles": ["look"]}}, Role.VIEWER),
        ({"roles": "ops"}, Role.OPERATOR),
        ({"roles": ["look"], "groups": ["ops"]}, Role.OPERATOR),
        ({"roles": ["ops", "IONAPI-Admin"]}, Role.ADMIN),
        ({"roles": ["ionapi-admin", "IONAPI-Admin "]}, None),
        ({"roles": "ops look"}, None),
        ({"roles": []}, None),
        ({"roles": None}, None),
        ({"roles": {"ops": True}}, None),
        ({"roles": [1, None, {"ops": 1}, ["ops"]]}, None),
        ({"realm_access": "ops"}, None),
        ({"realm_access": {"roles": {"roles": "ops"}}}, None),
        ({"scope": "ops"}, None),
        ({}, None),
    ],
)
def test_the_most_powerful_configured_role_counts(claims: dict[str, Any], role: Role | None) -> None:
    assert find_role(claims, ISSUER) is role


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        ("https://example.com/roles", {"https://example.com/roles": ["boss"]}),
        ("resource_access.gql-secrets.roles", {"resource_access": {"gql-secrets": {"roles": ["boss"]}}}),
        ("cognito:groups", {"cognito:groups": ["boss"]}),
        ("realm.roles", {"realm.roles": ["boss"]}),
    ],
)
def test_a_claim_is_named_by_a_dotted_path_or_a_url(path: str, claims: dict[str, Any]) -> None:
    assert find_role(claims, with_claims(path)) is Role.ADMIN


def test_a_url_is_never_a_path() -> None:
    claims = {"https://example": {"com/roles": ["boss"]}}
    assert find_role(claims, with_claims("https://example.com/roles")) is None


def test_a_token_without_a_configured_role_is_a_person_without_a_role() -> None:
    assert person({"roles": ["somebody"]}).role is None


# Names


def test_a_person_is_the_issuer_and_the_whole_subject() -> None:
    assert person({}).name == "login.example.com/realms/staff/ada-1815"
    assert person({"sub": "x" * 255}).name.endswith("/" + "x" * 255)


@pytest.mark.parametrize("subject", ["x" * 256, "", "  ", None, 7, ["a"], "a\nb", "a\x00"])
def test_a_subject_that_cannot_be_a_name_is_refused(subject: object) -> None:
    with pytest.raises(InvalidToken) as refused:
        person({"sub": subject})
    assert refused.value.reason == "SUBJECT"


def test_no_subject_reads_like_a_person_of_another_issuer() -> None:
    """Okta has issuers below its own: https://example.okta.com and https://example.okta.com/oauth2/default."""
    below = Issuer(f"{ISSUER.url}/more", ISSUER.audiences)
    with pytest.raises(InvalidToken) as refused:
        person({"sub": "more/ada"}, issuers=(ISSUER, below))
    assert refused.value.reason == "SUBJECT"
    assert person({"sub": "moreover/ada"}, issuers=(ISSUER, below))


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "ada", "email": "ada@example.com"}, "ada"),
        ({"email": "ada@example.com", "sub": "1"}, "ada@example.com"),
        ({"preferred_username": "", "email": 7, "sub": "1"}, "1"),
        ({"preferred_username": "a\nb", "sub": "1"}, "1"),
        ({"preferred_username": "\u202eada", "sub": "1"}, "1"),
        ({"preferred_username": "ad\u200ba", "sub": "1"}, "1"),
        ({"preferred_username": " " + "é" * 300, "sub": "1"}, "é" * 200),
        ({}, None),
    ],
)
def test_the_first_claim_that_can_be_shown_is_the_display_name(claims: dict[str, Any], name: str | None) -> None:
    assert find_display_name(claims, ISSUER) == name


# Kinds of tokens


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_access_tokens_are_accepted_by_their_type(typ: str | None) -> None:
    assert person({}, typ=typ)
    assert person({"typ": "Bearer"}, typ=typ)


@pytest.mark.parametrize(
    ("claims", "typ", "reason"),
    [
        ({"nonce": "n"}, "JWT", "ID_TOKEN"),
        ({"at_hash": "h"}, "JWT", "ID_TOKEN"),
        ({"c_hash": "h"}, None, "ID_TOKEN"),
        ({"typ": "ID"}, "JWT", "ID_TOKEN"),
        ({"typ": "Refresh"}, "JWT", "TYPE"),
        ({"typ": "Logout"}, "JWT", "TYPE"),
        ({"typ": 1}, "JWT", "TYPE"),
        ({}, "logout+jwt", "TYPE"),
        ({}, "dpop+jwt", "TYPE"),
        ({}, "secevent+jwt", "TYPE"),
        ({"cnf": {"jkt": "0Zc"}}, "at+jwt", "TYPE"),
    ],
)
def test_other_tokens_are_refused(claims: dict[str, Any], typ: str | None, reason: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        person(claims, typ=typ)
    assert refused.value.reason == reason
