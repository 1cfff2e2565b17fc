"""The provider's keys: fetched when needed, kept when it is away, and fetched again for an unknown one."""

import asyncio
from typing import Any

import pytest
from api.authentication.conftest import BuildApi
from api.authentication.test_bearer import ask, reason_of, viewer_of
from support.identity_provider import AUDIENCE, IdentityProvider, SteadyClock, rsa_key

from gql_secrets.api.authentication import identity_providers
from gql_secrets.api.authentication.access_tokens import ACCESS_TOKENS


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
async def steady(trusting: Any) -> SteadyClock:
    """The server's own clock in the hands of a test."""
    clock = SteadyClock()
    for each in trusting.app[ACCESS_TOKENS].providers.values():
        each._clock = clock
    return clock


async def status_of(api: Any, token: str) -> int:
    response, _ = await ask(api, token)
    status: int = response.status
    return status


async def test_the_start_needs_no_provider_and_the_first_token_after_its_return_is_accepted(
    trusting: Any, provider: IdentityProvider, steady: SteadyClock
) -> None:
    provider.is_away = True
    token = provider.token()
    response, content = await ask(trusting, token)
    assert response.status == 503
    assert content["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert provider.fetches == 1
    provider.is_away = False
    assert await status_of(trusting, token) == 503  # nobody waits again so soon
    assert provider.fetches == 1
    steady.seconds += 5
    assert await viewer_of(trusting, token)


async def test_other_callers_do_not_need_the_provider(trusting: Any, provider: IdentityProvider) -> None:
    provider.is_away = True
    assert (await ask(trusting, None))[0].status == 200
    assert provider.fetches == 0


async def test_keys_are_fetched_once(trusting: Any, provider: IdentityProvider) -> None:
    for _ in range(5):
        await viewer_of(trusting, provider.token())
    assert provider.fetches == 1


async def test_requests_at_the_same_time_share_one_fetch(trusting: Any, provider: IdentityProvider) -> None:
    provider.delay = 0.2
    await asyncio.gather(*(viewer_of(trusting, provider.token()) for _ in range(20)))
    assert provider.fetches == 1


async def test_known_keys_are_used_while_the_provider_is_away(
    trusting: Any, provider: IdentityProvider, steady: SteadyClock
) -> None:
    token = provider.token()
    await viewer_of(trusting, token)
    provider.is_away = True
    for _ in range(3):
        steady.seconds += 3600
        assert await viewer_of(trusting, token)
        await asyncio.sleep(0.05)  # the fetch in the background
    # Nobody knows whether the provider has this key by now.
    assert await status_of(trusting, provider.token(key=rsa_key("new"))) == 503
    assert await reason_of(trusting, provider.token(key=rsa_key("first"))) == "SIGNATURE"


async def test_a_withdrawn_key_is_forgotten_without_anybody_waiting(
    trusting: Any, provider: IdentityProvider, steady: SteadyClock
) -> None:
    old = provider.keys[0]
    await viewer_of(trusting, provider.token())
    provider.keys = [rsa_key("second")]
    provider.delay = 0.2
    steady.seconds += 600
    assert await viewer_of(trusting, provider.token(key=old))
    await asyncio.sleep(0.4)
    assert await reason_of(trusting, provider.token(key=old)) == "KEY"


async def test_a_new_key_is_fetched_under_load_by_one_request(trusting: Any, provider: IdentityProvider) -> None:
    await viewer_of(trusting, provider.token())
    provider.keys.append(rsa_key("second"))
    provider.delay = 0.1
    old, new = provider.token(key=provider.keys[0]), provider.token()
    statuses = await asyncio.gather(*(status_of(trusting, token) for token in [old, new] * 20))
    assert set(statuses) == {200}
    assert provider.fetches == 2


async def test_a_new_key_may_have_the_kid_of_the_old_one(trusting: Any, provider: IdentityProvider) -> None:
    await viewer_of(trusting, provider.token())
    provider.keys = [rsa_key("first")]
    assert await viewer_of(trusting, provider.token())
    provider.keys.append(rsa_key("first"))  # both, under one name
    assert await viewer_of(trusting, provider.token(key=provider.keys[0]))


async def test_unknown_keys_lead_to_a_fetch_at_most_every_30_seconds(
    trusting: Any, provider: IdentityProvider, steady: SteadyClock
) -> None:
    await viewer_of(trusting, provider.token())
    unknown = provider.token(key=rsa_key("unknown"))
    for _ in range(5):
        assert await reason_of(trusting, unknown) == "KEY"
    assert provider.fetches == 2
    steady.seconds += 29.9
    assert await reason_of(trusting, unknown) == "KEY"
    assert provider.fetches == 2
    steady.seconds += 0.1
    assert await reason_of(trusting, unknown) == "KEY"
    assert provider.fetches == 3


async def test_a_slow_provider_is_not_waited_for(
    trusting: Any, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_providers, "FETCH_SECONDS", 0.1)
    provider.delay = 30
    async with asyncio.timeout(15):
        assert await status_of(trusting, provider.token()) == 503


async def test_a_request_that_ends_early_does_not_end_the_fetch_of_others(
    trusting: Any, provider: IdentityProvider
) -> None:
    provider.delay = 0.3
    early = asyncio.create_task(status_of(trusting, provider.token()))
    other = asyncio.create_task(status_of(trusting, provider.token()))
    await asyncio.sleep(0.1)
    early.cancel()
    assert await other == 200
    assert provider.fetches == 1


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "keys"},
        {"jwks_uri": "http://["},
    ],
)
async def test_a_wrong_discovery_document_gives_no_keys(
    trusting: Any, provider: IdentityProvider, document: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A document of another issuer would let that one sign for this one."""
    provider.document = document
    assert await status_of(trusting, provider.token()) == 503
    assert "identity_provider_keys_not_fetched" in caplog.text


@pytest.mark.parametrize("published", [[], [{"kty": "oct", "k": "AAAA"}]])
async def test_a_key_set_without_usable_keys_replaces_nothing(
    trusting: Any, provider: IdentityProvider, steady: SteadyClock, published: list[dict[str, Any]]
) -> None:
    token = provider.token()
    await viewer_of(trusting, token)
    provider.published = published
    steady.seconds += 600
    assert await viewer_of(trusting, token)
    async with asyncio.timeout(30):  # the keys are fetched in the background
        while provider.fetches < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await viewer_of(trusting, token)
    assert provider.fetches == 2


async def test_a_provider_that_does_not_listen_is_away(build_api: BuildApi) -> None:
    gone = IdentityProvider("http://127.0.0.1:9")
    api = await build_api(oidc_issuer=gone.issuer, oidc_audience=AUDIENCE)
    assert await status_of(api, gone.token()) == 503


async def test_no_token_is_in_the_log(
    trusting: Any, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    tokens = [provider.token(aud="other"), provider.token(key=rsa_key("x")), "opaque-" + "x" * 20]
    for token in tokens:
        await ask(trusting, token)
    assert "ada-1815" not in caplog.text  # nothing that a refused token says
    tokens.append(provider.token())
    await ask(trusting, tokens[-1])
    assert "ada-1815" in caplog.text  # the caller of a request line
    assert not any(part in caplog.text for token in tokens for part in token.split(".") if len(part) > 8)
