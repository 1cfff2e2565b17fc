"""People sign in at /graphql with an access token: who is accepted, who is refused and why."""

import base64
import json
from typing import Any

import pytest
from api.authentication.conftest import BuildApi
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from support.clocks import SECOND, Clock
from support.identity_provider import AUDIENCE, IdentityProvider, identity_providers, rsa_key

VIEWER = "{ viewer { name kind roles expiresAt } }"
CLIENTS = "{ clients { totalCount } }"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


async def ask(api: Any, token: str | None, query: str = VIEWER, **headers: str) -> tuple[Any, dict[str, Any]]:
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    accept = {"Accept": "application/graphql-response+json"}
    async with api.post("/graphql", json={"query": query}, headers=accept | bearer | headers) as response:
        return response, await response.json(content_type=None)


async def viewer_of(api: Any, token: str) -> dict[str, Any]:
    response, content = await ask(api, token)
    assert response.status == 200, content
    viewer: dict[str, Any] = content["data"]["viewer"]
    return viewer


async def reason_of(api: Any, token: str) -> str:
    """Why the token is refused; a refusal shows nothing of it."""
    response, content = await ask(api, token)
    assert response.status == 401, content
    assert response.headers.getall("WWW-Authenticate") == ['Bearer error="invalid_token"']
    [error] = content["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    text = json.dumps(content)
    assert not any(part in text for part in token.split(".") if len(part) > 8)
    assert "ada-1815" not in text
    reason: str = error["extensions"]["reason"]
    return reason


# Accepted


async def test_a_person_has_a_name_a_role_and_an_end(trusting: Any, provider: IdentityProvider) -> None:
    assert await viewer_of(trusting, provider.token(roles=["IONAPI-Admin"])) == {
        "name": "Ada Ashdown",
        "kind": "USER",
        "roles": ["ADMIN", "OPERATOR", "VIEWER"],
        "expiresAt": "2026-11-21T12:05:00Z",
    }


async def test_a_person_without_a_configured_role_is_signed_in_without_a_role(
    trusting: Any, provider: IdentityProvider
) -> None:
    assert (await viewer_of(trusting, provider.token(roles=["somebody"])))["roles"] == []
    response, content = await ask(trusting, provider.token(), CLIENTS)
    assert (response.status, content["errors"][0]["extensions"]["code"]) == (200, "FORBIDDEN")


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "application/at+jwt"])
async def test_plain_jwts_and_those_of_rfc_9068_are_accepted(
    trusting: Any, provider: IdentityProvider, typ: str | None
) -> None:
    assert await viewer_of(trusting, provider.token(header={"typ": typ}))


@pytest.mark.parametrize(
    "key",
    [
        ECKey.generate_key("P-256", {"kid": "ec"}),
        OKPKey.generate_key("Ed25519", {"kid": "okp"}),
        RSAKey.generate_key(3072, {"kid": "rsa", "use": "sig", "alg": "PS256"}),
    ],
    ids=["ES256", "Ed25519", "PS256"],
)
async def test_other_asymmetric_keys_are_accepted(trusting: Any, provider: IdentityProvider, key: Any) -> None:
    provider.keys.append(key)
    assert await viewer_of(trusting, provider.token(header={"alg": key.alg} if key.alg else {}))


async def test_the_older_name_of_ed25519_is_accepted(trusting: Any, provider: IdentityProvider) -> None:
    """RFC 9864 renamed EdDSA; providers still write it."""
    provider.keys = [OKPKey.generate_key("Ed25519", {"kid": "okp"})]
    with pytest.warns(UserWarning, match="RFC 9864"):  # joserfc warns the provider who signs
        token = provider.token(header={"alg": "EdDSA"})
    assert await viewer_of(trusting, token)


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["account", AUDIENCE]])
async def test_the_audience_may_be_one_of_several(trusting: Any, provider: IdentityProvider, audience: Any) -> None:
    assert await viewer_of(trusting, provider.token(aud=audience))


async def test_unknown_headers_are_ignored(trusting: Any, provider: IdentityProvider) -> None:
    assert await viewer_of(trusting, provider.token(header={"x5t": "abc", "rh": "0.A"}))


async def test_a_token_without_kid_is_tried_with_the_keys_that_fit(trusting: Any, provider: IdentityProvider) -> None:
    provider.keys.append(rsa_key("second"))
    assert await viewer_of(trusting, provider.token(header={"kid": None}))


async def test_clocks_may_differ_by_a_minute(trusting: Any, provider: IdentityProvider, clock: Clock) -> None:
    at = int(clock.now.timestamp())
    assert await viewer_of(trusting, provider.token(iat=at + 60, nbf=at + 60))
    assert await reason_of(trusting, provider.token(iat=at + 61)) == "NOT_YET_VALID"
    assert await reason_of(trusting, provider.token(nbf=at + 61)) == "NOT_YET_VALID"


async def test_a_token_of_eight_kib_is_answered(trusting: Any, provider: IdentityProvider) -> None:
    groups = [f"group-{number:04d}" for number in range(370)]
    token = provider.token(groups=[*groups, "ops"])
    assert 7_000 < len(token) < 8_100
    assert (await viewer_of(trusting, token))["roles"] == ["OPERATOR", "VIEWER"]


# Refused


async def test_a_token_is_valid_until_its_end_and_not_after(
    trusting: Any, provider: IdentityProvider, clock: Clock
) -> None:
    token = provider.token()
    clock.move(300 * SECOND - SECOND)
    assert await viewer_of(trusting, token)
    clock.move(SECOND)
    assert await reason_of(trusting, token) == "EXPIRED"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "other"}, "AUDIENCE"),
        ({"aud": ["other", AUDIENCE + "x"]}, "AUDIENCE"),
        ({"aud": None}, "AUDIENCE"),
        ({"aud": []}, "AUDIENCE"),
        ({"iss": "https://evil.example.com"}, "ISSUER"),
        ({"iss": None}, "ISSUER"),
        ({"iss": ["x"]}, "ISSUER"),
        ({"exp": None}, "MALFORMED"),
        ({"exp": "2026-11-21"}, "MALFORMED"),
        ({"exp": float("nan")}, "MALFORMED"),
        ({"exp": True}, "MALFORMED"),
        ({"exp": -1}, "EXPIRED"),
        ({"iat": "now"}, "MALFORMED"),
        ({"iat": True}, "MALFORMED"),
        ({"nbf": [1]}, "MALFORMED"),
        ({"nbf": float("nan")}, "MALFORMED"),
        ({"sub": "ad\u200ba"}, "SUBJECT"),
        ({"sub": "\u202eada"}, "SUBJECT"),
        ({"sub": "ada "}, "SUBJECT"),
        ({"sub": None}, "SUBJECT"),
        ({"sub": "x" * 256}, "SUBJECT"),
        ({"nonce": "n"}, "ID_TOKEN"),
        ({"at_hash": "h"}, "ID_TOKEN"),
        ({"typ": "ID"}, "ID_TOKEN"),
        ({"typ": "Refresh"}, "TYPE"),
        ({"cnf": {"jkt": "x"}}, "TYPE"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    trusting: Any, provider: IdentityProvider, claims: dict[str, Any], reason: str
) -> None:
    assert await reason_of(trusting, provider.token(**claims)) == reason


async def test_a_token_may_end_in_the_far_future(trusting: Any, provider: IdentityProvider) -> None:
    assert (await viewer_of(trusting, provider.token(exp=10**30)))["expiresAt"].startswith("9999-12-31")


def _encode(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_an_unsigned_token_is_refused(trusting: Any, provider: IdentityProvider) -> None:
    for alg in ("none", "None", "NONE"):
        token = f"{_encode({'alg': alg, 'typ': 'at+jwt'})}.{_encode(provider.claims())}."
        assert await reason_of(trusting, token) == "ALGORITHM"


async def test_the_public_key_is_not_a_symmetric_one(trusting: Any, provider: IdentityProvider) -> None:
    public = OctKey.import_key(base64.urlsafe_b64encode(provider.keys[0].as_pem(private=False)))  # type: ignore[union-attr]
    token = provider.token(key=public, header={"kid": "first"})
    assert await reason_of(trusting, token) == "ALGORITHM"


async def test_a_symmetric_key_of_the_key_set_is_not_used(trusting: Any, provider: IdentityProvider) -> None:
    shared = OctKey.generate_key(256, {"kid": "shared"})
    provider.published = [shared.as_dict(private=True), provider.keys[0].as_dict(private=False)]
    assert await viewer_of(trusting, provider.token())
    assert await reason_of(trusting, provider.token(key=shared)) == "ALGORITHM"
    assert await reason_of(trusting, provider.token(header={"kid": "shared"})) == "KEY"


async def test_keys_for_other_uses_are_not_used(trusting: Any, provider: IdentityProvider) -> None:
    encryption = RSAKey.generate_key(2048, {"kid": "enc"})
    weak = rsa_key("weak").as_dict(private=False) | {"n": "AQAB" * 40}
    provider.published = [
        encryption.as_dict(private=False) | {"use": "enc"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "XYZ", "kid": "unknown"},
        weak,
        "not a key",  # type: ignore[list-item]
        provider.keys[0].as_dict(private=False),
    ]
    assert await viewer_of(trusting, provider.token())
    assert await reason_of(trusting, provider.token(key=encryption)) == "KEY"


async def test_a_forged_signature_is_refused(trusting: Any, provider: IdentityProvider) -> None:
    assert await reason_of(trusting, provider.token(key=rsa_key("first"))) == "SIGNATURE"
    head, payload, signature = provider.token().split(".")
    assert await reason_of(trusting, f"{head}.{payload}.{signature[:-8]}AAAAAAAA") == "SIGNATURE"
    assert await reason_of(trusting, f"{head}.{_encode(provider.claims(roles='IONAPI-Admin'))}.{signature}") == (
        "SIGNATURE"
    )


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "opaque-token-of-a-provider",
        "a.b.c",
        "a.b.c.d.e",
        "..",
        "eyJ.eyJ.",
        f"{_encode({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'[]').decode()}.AAAA",
        f"{_encode({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'[' * 3000).decode()}.AAAA",
        f"{_encode({'alg': 'RS256', 'crit': ['b64'], 'b64': False})}.{{}}.AAAA",
        f"{_encode({'alg': 'RS256', 'kid': 7})}.{_encode({})}.AAAA",
        f"{_encode({'alg': 'RS256', 'typ': 7})}.{_encode({})}.AAAA",
        f"{_encode({'alg': 7})}.{_encode({})}.AAAA",
        f"{_encode({'alg': 'RS256', 'crit': ['exp'], 'exp': 1})}.{_encode({})}.AAAA",
    ],
)
async def test_what_is_not_a_jwt_is_refused(trusting: Any, token: str) -> None:
    assert await reason_of(trusting, token) in ("MALFORMED", "ISSUER")


async def test_a_token_in_the_url_signs_nobody_in(trusting: Any, provider: IdentityProvider) -> None:
    """RFC 6750, section 2.3: URLs end up in logs."""
    parameters = {"access_token": provider.token(), "query": "{ viewer { name } }"}
    async with trusting.get("/graphql", params=parameters, headers={"Accept": "application/json"}) as response:
        assert (await response.json())["data"] == {"viewer": None}


async def test_forged_tokens_count_as_failed_attempts_and_expired_ones_do_not(
    trusting: Any, provider: IdentityProvider, clock: Clock
) -> None:
    token = provider.token()
    clock.move(301 * SECOND)
    for _ in range(110):
        assert (await ask(trusting, token))[0].status == 401
    statuses = [(await ask(trusting, "x.y.z"))[0].status for _ in range(110)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert (await ask(trusting, token))[0].status == 401


# Without a provider, and several


async def test_without_an_issuer_no_token_is_accepted(build_api: BuildApi, provider: IdentityProvider) -> None:
    response, content = await ask(await build_api(), provider.token())
    assert (response.status, content["errors"][0]["message"]) == (401, "Invalid credentials.")
    assert response.headers["WWW-Authenticate"].startswith("Basic ")


async def test_an_issuer_gives_roles_only_by_its_own_entry(build_api: BuildApi) -> None:
    async with identity_providers("/realms/staff", "/realms/partners") as [staff, partners]:
        api = await build_api(
            oidc_issuer=f"{staff.issuer}, {partners.issuer}",
            oidc_audience=f"{AUDIENCE}; partner-api",
            oidc_operator_roles="; ops",
            oidc_viewer_roles="look;look",
        )
        roles = ["IONAPI-Admin", "ops", "look"]
        ours = await viewer_of(api, staff.token(roles=roles))
        assert ours["roles"] == ["ADMIN", "OPERATOR", "VIEWER"]
        assert (await viewer_of(api, staff.token(roles=["ops"])))["roles"] == []
        theirs = await viewer_of(api, partners.token(roles=roles, aud="partner-api"))
        assert theirs["roles"] == ["OPERATOR", "VIEWER"]
        assert await reason_of(api, partners.token(roles=roles)) == "AUDIENCE"
        # A key of one issuer proves nothing about another.
        assert await reason_of(api, staff.token(iss=partners.issuer, aud="partner-api")) == "SIGNATURE"


# Challenges


async def test_a_401_names_the_ways_to_sign_in_and_basic_only_to_people(trusting: Any) -> None:
    """A browser would open its password dialog over the page whose script asked."""
    introspect = "{ __schema { queryType { name } } }"
    response, _ = await ask(trusting, None, introspect)
    assert [each.partition(" ")[0] for each in response.headers.getall("WWW-Authenticate")] == ["Basic", "Bearer"]
    for mode, schemes in (("cors", ["Bearer"]), ("navigate", ["Basic", "Bearer"])):
        response, _ = await ask(trusting, None, introspect, **{"Sec-Fetch-Mode": mode})
        assert [each.partition(" ")[0] for each in response.headers.getall("WWW-Authenticate")] == schemes
