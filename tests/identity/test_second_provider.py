"""A provider of another make, on Authlib: people sign in to the console, and its JWTs are bearer tokens.

It differs from oidc-provider: it asks for no consent, its access tokens have no `kid`, and it has no log-out, so there
is nothing here about RP-initiated and back-channel log-out.
"""

import contextlib
import hashlib
import json
import re
import sqlite3
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import unused_port
from playwright.sync_api import Page, expect
from support.console_window import Server
from support.identity_provider import AUDIENCE
from support.provider_processes import ProviderProcess, provider_process

from gql_secrets.domain import base64url

PROGRAM: Final = Path(__file__).with_name("authlib_provider.py")
# Authlib does not decode other characters, as RFC 6749, section 2.3.1, demands.
SECRET: Final = "only-unreserved.characters_of~the-tests"
PEOPLE: Final = {
    "ada": {"preferred_username": "Ada", "groups": ["staff", "IONAPI-Admin"]},
    "otto": {"preferred_username": "Otto", "roles": "ops"},
    "vera": {"preferred_username": "Vera", "realm_access": {"roles": ["look"]}},
    "uma": {"preferred_username": "Uma", "https://example.com/roles": ["ops"]},
    "nils": {"preferred_username": "Nils", "app": {"rights": {"names": "look"}}},
}
ROLES: Final = {
    "ada": ["ADMIN", "OPERATOR", "VIEWER"],
    "otto": ["OPERATOR", "VIEWER"],
    "vera": ["VIEWER"],
    "uma": ["OPERATOR", "VIEWER"],
    "nils": ["VIEWER"],
}
Set = tuple[Server, ProviderProcess]


@contextlib.contextmanager
def signing_in(folder: Path, *, secret: str = SECRET, algorithm: str = "RS256") -> Iterator[Set]:
    """A server whose console signs in at a provider of its own."""
    port = unused_port()
    server = Server(
        folder,
        GQL_SECRETS_OIDC_ISSUER=f"http://localhost:{port}",
        GQL_SECRETS_OIDC_AUDIENCE=AUDIENCE,
        GQL_SECRETS_OIDC_CLIENT_ID="the-console",
        GQL_SECRETS_OIDC_CLIENT_SECRET=secret,
        GQL_SECRETS_OIDC_ROLES_CLAIM="roles,groups,realm_access.roles,https://example.com/roles,app.rights.names",
        GQL_SECRETS_OIDC_OPERATOR_ROLES="ops",
        GQL_SECRETS_OIDC_VIEWER_ROLES="look",
    )
    options = {
        "people": PEOPLE,
        "callback": f"{server.url}/sign-in/callback",
        "secret": secret,
        "algorithm": algorithm,
    }
    try:
        with provider_process([sys.executable, str(PROGRAM), str(port), json.dumps(options)], folder) as provider:
            yield server, provider
    finally:
        server.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    with signing_in(tmp_path_factory.mktemp("authlib")) as pair:
        yield pair


def sign_in(page: Page, server: Server, person: str, place: str = "") -> None:
    page.goto(f"{server.url}/{place}")
    page.get_by_role("link", name="Sign in with localhost").click()
    page.locator("input[name=person]").fill(person)
    page.get_by_role("button", name="Sign in").click()


def ask(url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data, given, method=method)  # noqa: S310  a server of the test
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        content: bytes = response.read()
        return content


def age_sessions(server: Server, person: str, assignments: str = "looked_at = looked_at - 601000000") -> None:
    """Move the last look into the past: the test moves the row, not the clock."""
    with contextlib.closing(sqlite3.connect(server.database, timeout=30)) as database, database:
        changed = database.execute(f"UPDATE session SET {assignments} WHERE name = ?", (person,))  # noqa: S608
        assert changed.rowcount > 0


# The console


@pytest.mark.parametrize("person", ROLES)
def test_a_person_signs_in_with_the_role_of_the_claim(person: str, page: Page, running: Set) -> None:
    server, _ = running
    sign_in(page, server, person, "#/apps")
    expect(page.get_by_role("heading", level=1, name="Authorized Apps")).to_be_visible()
    expect(page.get_by_text(person.title()).first).to_be_visible()
    viewer = page.evaluate(
        """fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'},
        body: JSON.stringify({query: '{ viewer { kind name roles } }'})}).then(r => r.json())"""
    )["data"]["viewer"]
    assert viewer == {"kind": "USER", "name": person.title(), "roles": ROLES[person]}


def test_a_person_without_a_role_learns_why(page: Page, running: Set) -> None:
    sign_in(page, running[0], "nobody")
    expect(page.get_by_role("alert")).to_contain_text("it gives you no role here")


def test_a_person_who_refuses_is_back_on_the_sign_in_page(page: Page, running: Set) -> None:
    page.goto(running[0].url)
    page.get_by_role("link", name="Sign in with localhost").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()


def test_the_role_is_looked_at_again_with_a_refresh_token(page: Page, running: Set) -> None:
    """The provider takes each refresh token once, so two looks in a row need the one that replaced it."""
    server, provider = running
    sign_in(page, server, "ada")
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    for _ in range(2):
        age_sessions(server, "Ada")
        page.reload()
        expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    ask(f"{provider.issuer}/people/ada", "PUT", {"preferred_username": "Ada", "groups": ["staff"]})
    try:
        age_sessions(server, "Ada")
        page.reload()
        expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()
    finally:
        ask(f"{provider.issuer}/people/ada", "PUT", PEOPLE["ada"])


def test_a_grant_that_the_provider_ended_ends_the_session(page: Page, running: Set) -> None:
    server, provider = running
    sign_in(page, server, "otto")
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    ask(f"{provider.issuer}/revocations/otto", "POST")
    age_sessions(server, "Otto")
    page.reload()
    expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()


def test_a_public_client_signs_in_with_pkce_alone(page: Page, tmp_path: Path) -> None:
    with signing_in(tmp_path, secret="") as (server, _):
        sign_in(page, server, "vera")
        expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def test_an_id_token_that_is_signed_with_the_client_secret_names_the_algorithm(page: Page, tmp_path: Path) -> None:
    with signing_in(tmp_path, algorithm="HS256") as (server, _):
        sign_in(page, server, "ada")
        expect(page.get_by_role("alert")).to_contain_text("not valid")
        [line] = [line for line in server.log.splitlines() if "sign_in_not_completed" in line]
    assert "HS256" in line
    assert "RS256" in line  # the remedy


# Bearer tokens


def tokens_of(pair: Set, person: str) -> dict[str, str]:
    """Sign in at the provider without a browser, and redeem the code as the console's client does."""
    server, provider = pair
    callback = f"{server.url}/sign-in/callback"
    verifier = "v" * 43
    query = urllib.parse.urlencode(
        {
            "client_id": "the-console",
            "response_type": "code",
            "redirect_uri": callback,
            "scope": "openid",
            "nonce": f"nonce of {person}",
            "code_challenge": base64url.encode(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
    )
    opener = urllib.request.build_opener(_NoRedirects)
    with pytest.raises(urllib.error.HTTPError) as redirect:
        opener.open(f"{provider.issuer}/authorize?{query}", f"person={person}".encode())
    place = urllib.parse.urlsplit(redirect.value.headers["Location"])
    redirect.value.close()
    [code] = urllib.parse.parse_qs(place.query)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback, "code_verifier": verifier}
    headers = {"Authorization": encode_basic_auth("the-console", SECRET)}
    request = urllib.request.Request(  # noqa: S310  a server of the test
        f"{provider.issuer}/token", urllib.parse.urlencode(form).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        tokens: dict[str, str] = json.load(response)
        return tokens


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def graphql(server: Server, token: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/graphql-response+json"}
    try:
        answer = ask(f"{server.url}/graphql", "POST", {"query": "{ viewer { kind name roles } }"}, headers)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)
    return 200, json.loads(answer)


@pytest.mark.parametrize(("person", "roles"), [*ROLES.items(), ("nobody", [])])
def test_its_access_token_is_a_bearer_token(person: str, roles: list[str], running: Set) -> None:
    status, content = graphql(running[0], tokens_of(running, person)["access_token"])
    assert (status, content["data"]["viewer"]["roles"]) == (200, roles)


def test_its_id_token_is_not_a_bearer_token(running: Set) -> None:
    status, content = graphql(running[0], tokens_of(running, "ada")["id_token"])
    assert status == 401
    assert content["errors"][0]["extensions"]["reason"] in {"AUDIENCE", "ID_TOKEN"}


def test_a_bearer_and_a_session_are_one_person(page: Page, running: Set) -> None:
    server, provider = running
    sign_in(page, server, "ada", "#/people")
    row = page.get_by_role("row", name=re.compile(r"Ada \(this is you\)"))
    expect(row).to_contain_text(f"user:{provider.issuer.removeprefix('http://')}/ada")
