"""What an identity provider answers to a sign-in counts only if it is valid; what is not supported is logged."""

import json
from typing import Any

import pytest
from support.identity_provider import CLIENT_ID, IdentityProvider, rsa_key
from yarl import URL

from gql_secrets.domain import base64url

from .conftest import Person

ADA = {"name": "Ada Ashdown", "kind": "USER", "roles": ["ADMIN", "OPERATOR", "VIEWER"]}


@pytest.mark.parametrize("query", [{"error": "access_denied"}, {}, {"code": ""}])
async def test_no_code_is_no_sign_in(query: dict[str, str], person: Person, provider: IdentityProvider) -> None:
    answer = provider.sign_ins.authorize(await person.start(provider))
    del answer["code"]
    assert await person.come_back(answer | query) == "/sign-in?problem=denied"


async def test_a_repeated_parameter_is_no_answer(person: Person, provider: IdentityProvider) -> None:
    answer = provider.sign_ins.authorize(await person.start(provider))
    url = URL("/sign-in/callback").with_query([*answer.items(), ("code", "another")])
    assert await person.get(str(url)) == (303, "/sign-in?problem=denied")


WRONG: dict[str, dict[str, Any]] = {
    "nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "a nonce that is not text": {"nonce": "\ud800"},
    "audience": {"aud": "another-client"},
    "no audience": {"aud": None},
    "authorized party": {"aud": [CLIENT_ID, "other"], "azp": "other"},
    "issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1},
    "future": {"iat": 9_999_999_999},
    "no subject": {"sub": None},
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_id_token_that_is_not_valid_signs_nobody_in(
    wrong: str, person: Person, provider: IdentityProvider
) -> None:
    provider.sign_ins.id_token = WRONG[wrong]
    assert await person.sign_in(provider) == "/sign-in?problem=token"
    assert person.session is None


async def test_a_session_id_that_is_not_text_is_none(person: Person, provider: IdentityProvider) -> None:
    provider.sign_ins.id_token = {"sid": "\ud800"}
    assert await person.sign_in(provider) == "/"


async def test_an_id_token_of_another_key_signs_nobody_in(person: Person, provider: IdentityProvider) -> None:
    await person.start(provider)  # now the keys are known
    provider.published = [key.as_dict(private=False) for key in provider.keys]
    provider.keys = [rsa_key("first")]
    assert await person.sign_in(provider) == "/sign-in?problem=token"


async def test_user_info_of_another_person_does_not_count(person: Person, provider: IdentityProvider) -> None:
    """OpenID Connect Core 1.0, section 5.3.2: the `sub` must be that of the ID token."""
    provider.sign_ins.shown_in = {"userinfo"}
    provider.sign_ins.id_token = {"sub": "eve"}
    assert await person.sign_in(provider) == "/sign-in?problem=role"


async def test_a_provider_that_is_away_signs_nobody_in(person: Person, provider: IdentityProvider) -> None:
    location = await person.start(provider)
    provider.sign_ins.is_away = True
    assert await person.come_back(provider.sign_ins.authorize(location)) == "/sign-in?problem=unavailable"


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
async def test_an_id_token_of_another_algorithm_is_explained_in_the_log(
    algorithm: str,
    person: Person,
    provider: IdentityProvider,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = provider.token
    header = base64url.encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    monkeypatch.setattr(provider, "token", lambda **given: f"{header}.{make(**given).partition('.')[2]}")
    assert await person.sign_in(provider) == "/sign-in?problem=token"
    [record] = [record for record in caplog.records if record.getMessage() == "sign_in_not_completed"]
    assert vars(record)["reason"] == "ALGORITHM"
    assert vars(record)["advice"] == (
        f"The provider signs ID tokens of the console's client with {algorithm}, which is not supported. "
        "Choose RS256, PS256, ES256 or EdDSA for this client at the provider."
    )


async def test_user_info_that_is_a_jwt_gives_no_role_and_is_explained_in_the_log(
    person: Person, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.sign_ins.shown_in = {"userinfo"}
    provider.sign_ins.user_info_is_jwt = True
    assert await person.sign_in(provider) == "/sign-in?problem=role"
    [record] = [record for record in caplog.records if record.getMessage() == "user_info_not_read"]
    assert "user info is a JWT, which is not supported" in vars(record)["advice"]
    provider.sign_ins.shown_in = {"id_token"}
    assert await person.sign_in(provider) == "/"
