"""People & sessions over GraphQL: who is signed in, ending sessions, and links to hand on."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from support.audits import events_of
from support.browsers import Browser
from support.callers import DAY, Made, sign_in
from support.clocks import MINUTE, Clock
from support.installation import MakeClient

from gql_secrets.api.app import build_app
from gql_secrets.api.graphql.nodes import global_id
from gql_secrets.domain.access import Role
from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

SESSIONS = """
    { sessions { totalCount nodes { id actor name roles way address startedAt lastSeenAt expiresAt isViewersOwn } } }
"""


async def signed_in(api: Any, role: Role = Role.ADMIN, name: str = "Ada") -> Browser:
    browser = Browser(api)
    await browser.sign_in(role, name)
    return browser


async def ask(browser: Browser, operation: str) -> Any:
    _, content = await browser.ask(operation)
    assert "errors" not in content, content
    return content["data"]


@pytest.fixture
async def owner(make_client: MakeClient) -> Made:
    return await make_client("owner", name="owner")


async def test_an_admin_sees_who_is_signed_in(api: TestClient[Any, Any], clock: Clock) -> None:
    vera = await signed_in(api, Role.VIEWER, "Vera")
    clock.move(5 * MINUTE)
    ada = await signed_in(api)

    content = (await ask(ada, SESSIONS))["sessions"]

    assert content["totalCount"] == 2
    newest, oldest = content["nodes"]
    assert (newest["name"], newest["actor"], newest["roles"]) == ("Ada", "user:link/2", ["ADMIN", "OPERATOR", "VIEWER"])
    assert (newest["isViewersOwn"], newest["way"], newest["address"]) == (True, "LINK", "127.0.0.1")
    assert (oldest["name"], oldest["roles"], oldest["isViewersOwn"]) == ("Vera", ["VIEWER"], False)
    assert (oldest["startedAt"], oldest["expiresAt"]) == ("2026-11-21T12:00:00Z", "2026-11-21T12:30:00Z")
    assert await vera.viewer() is not None


async def test_only_valid_sessions_are_listed(api: TestClient[Any, Any], clock: Clock) -> None:
    idle, left, renewed = await signed_in(api), await signed_in(api), await signed_in(api)
    await ask(left, "mutation { signOut { signedOut } }")
    clock.move(29 * MINUTE)
    assert await renewed.viewer() is not None
    clock.move(MINUTE)

    assert [each["isViewersOwn"] for each in (await ask(renewed, SESSIONS))["sessions"]["nodes"]] == [True]
    assert await idle.viewer() is None


async def test_the_longest_session_ends_after_eight_hours(api: TestClient[Any, Any], clock: Clock) -> None:
    ada = await signed_in(api)
    for _ in range(19):
        clock.move(25 * MINUTE)
        assert await ada.viewer() is not None

    [session] = (await ask(ada, SESSIONS))["sessions"]["nodes"]

    assert session["expiresAt"] == "2026-11-21T20:00:00Z"


async def test_sessions_have_pages_and_global_ids(api: TestClient[Any, Any]) -> None:
    browsers = [await signed_in(api, name=f"person {number}") for number in range(3)]
    first = (await ask(browsers[0], "{ sessions(first: 2) { nodes { name id } pageInfo { endCursor hasNextPage } } }"))[
        "sessions"
    ]
    assert [each["name"] for each in first["nodes"]] == ["person 2", "person 1"]
    assert first["pageInfo"]["hasNextPage"]
    rest = await ask(
        browsers[0], f'{{ sessions(first: 2, after: "{first["pageInfo"]["endCursor"]}") {{ nodes {{ name }} }} }}'
    )
    assert rest["sessions"]["nodes"] == [{"name": "person 0"}]

    found = await ask(browsers[0], f'{{ node(id: "{first["nodes"][0]["id"]}") {{ ... on Session {{ name }} }} }}')
    assert found["node"] == {"name": "person 2"}
    assert (await ask(browsers[0], f'{{ node(id: "{global_id("Session", 4711)}") {{ id }} }}'))["node"] is None


async def test_a_session_is_not_visible_by_its_id_to_an_operator(api: TestClient[Any, Any]) -> None:
    olga = await signed_in(api, Role.OPERATOR)
    _, content = await olga.ask(
        f'{{ nodes(ids: ["{global_id("Session", 1)}", "{global_id("Client", "x")}"]) {{ id }} }}'
    )
    assert content["data"]["nodes"] == [None, None]
    [error] = content["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["nodes", 0], "FORBIDDEN")


async def test_an_admin_ends_a_session_once(api: TestClient[Any, Any], services: Services) -> None:
    vera, ada = await signed_in(api, Role.VIEWER, "Vera"), await signed_in(api)
    number = global_id("Session", 1)

    for already in (False, True):
        ended = await ask(
            ada,
            f'mutation {{ endSession(sessionId: "{number}") {{ endedSessionId alreadyEnded userErrors {{ code }} }} }}',
        )
        assert ended["endSession"] == {"endedSessionId": number, "alreadyEnded": already, "userErrors": []}

    assert await vera.viewer() is None
    assert await ada.viewer() is not None
    event = (await events_of(services))[-1]
    assert (event.action, event.actor, event.session_number) == ("SESSION_ENDED", "user:link/2", 1)
    assert (event.person_name, event.session_end_reason) == ("Vera", "ENDED_BY_ADMIN")


@pytest.mark.parametrize("session_id", [global_id("Session", 4711), global_id("Client", "x")])
async def test_a_session_that_does_not_exist_is_reported_as_data(api: TestClient[Any, Any], session_id: str) -> None:
    content = await ask(
        await signed_in(api),
        f'mutation {{ endSession(sessionId: "{session_id}") {{ endedSessionId userErrors {{ code field }} }} }}',
    )
    assert content["endSession"] == {
        "endedSessionId": None,
        "userErrors": [{"code": "SESSION_NOT_FOUND", "field": ["sessionId"]}],
    }


async def test_all_sessions_of_one_person_end_and_of_nobody_else(api: TestClient[Any, Any]) -> None:
    """Two people have the same name: the actor tells them apart."""
    first, second, ada = [await signed_in(api, name="Ada") for _ in range(3)]

    ended = await ask(ada, 'mutation { endSessions(actor: "user:link/1") { endedCount userErrors { code } } }')

    assert ended["endSessions"] == {"endedCount": 1, "userErrors": []}
    assert await first.viewer() is None
    assert await second.viewer() is not None
    again = await ask(ada, 'mutation { endSessions(actor: "user:link/1") { endedCount } }')
    assert again["endSessions"] == {"endedCount": 0}


async def test_a_link_to_hand_on_signs_somebody_in_once(api: TestClient[Any, Any], services: Services) -> None:
    ada = await signed_in(api)
    made = await ask(
        ada, 'mutation { createSignInLink(role: OPERATOR, name: " Olga ") { url expiresAt userErrors { code } } }'
    )
    link = made["createSignInLink"]
    assert link["expiresAt"] == "2026-11-21T12:15:00Z"
    address, _, token = link["url"].partition("#")
    assert address.endswith("/sign-in")

    olga = Browser(api)
    async with api.post("/sign-in", json={"token": token}, headers=olga.headers()) as response:
        assert response.status == 204
        olga.cookie = response.cookies["gql_secrets_session"].value
    api.session.cookie_jar.clear()
    async with api.post("/sign-in", json={"token": token}, headers=ada.headers()) as response:
        assert response.status == 401

    assert await olga.viewer() == {"name": "Olga", "kind": "USER", "roles": ["OPERATOR", "VIEWER"]}
    created = next(
        event for event in await events_of(services) if event.action == "SIGN_IN_LINK_CREATED" and event.request_id
    )
    assert (created.actor, created.person_name, created.person_role) == ("user:link/1", "Olga", "OPERATOR")


async def test_a_person_without_a_name_gets_no_link(api: TestClient[Any, Any]) -> None:
    content = await ask(
        await signed_in(api),
        'mutation { createSignInLink(role: VIEWER, name: "  ") { url userErrors { code field } } }',
    )
    assert content["createSignInLink"] == {"url": None, "userErrors": [{"code": "INVALID_NAME", "field": ["name"]}]}


CHANGES = (
    'createSignInLink(role: VIEWER, name: "Eve") { url }',
    f'endSession(sessionId: "{global_id("Session", 1)}") {{ alreadyEnded }}',
    'endSessions(actor: "user:link/1") { endedCount }',
)


@pytest.mark.parametrize("change", CHANGES)
async def test_an_old_owner_secret_changes_nothing_about_people(
    change: str, api: TestClient[Any, Any], gql: Any, owner: Made, services: Services
) -> None:
    """Otherwise somebody with an old secret could sign in as a person, and lock everybody else out."""
    vera = await signed_in(api, Role.VIEWER, "Vera")
    admin = await sign_in(services, owner.id, owner.secret)
    await services.rotation.reset_secret(owner.id, DAY, by=admin)

    refused = await gql(f"mutation {{ {change} }}", as_=owner)

    assert refused.codes == ["FORBIDDEN"]
    assert refused.errors[0]["extensions"]["reason"] == "RETAINED_SECRET"
    assert await vera.viewer() is not None
    seen = await gql("{ viewer { canEndSessions canCreateSignInLink } sessions { totalCount } }", as_=owner)
    assert seen["viewer"] == {"canEndSessions": False, "canCreateSignInLink": False}
    assert seen["sessions"] == {"totalCount": 1}


@pytest.mark.parametrize("role", Role)
async def test_the_viewer_shows_what_it_may_do_about_people(role: Role, api: TestClient[Any, Any]) -> None:
    content = await ask(await signed_in(api, role), "{ viewer { canEndSessions canCreateSignInLink } }")
    is_admin = role is Role.ADMIN
    assert content["viewer"] == {"canEndSessions": is_admin, "canCreateSignInLink": is_admin}


async def test_links_can_be_left_to_the_command_line(
    aiohttp_client: Any, settings: Settings, services: Services, clock: Clock
) -> None:
    del services  # its owner exists before this server starts
    api = await aiohttp_client(build_app(replace(settings, sign_in_links="off"), adjust_clock=clock))
    ada = await signed_in(api)  # by a link of the command line
    _, content = await ada.ask('mutation { createSignInLink(role: VIEWER, name: "Vera") { url } }')
    [error] = content["errors"]
    assert (error["extensions"]["code"], error["extensions"]["reason"]) == ("FORBIDDEN", "SIGN_IN_LINKS")
    assert (await ask(ada, "{ viewer { canCreateSignInLink canEndSessions } }"))["viewer"] == {
        "canCreateSignInLink": False,
        "canEndSessions": True,
    }
    await api.close()
