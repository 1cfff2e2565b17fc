"""People of several identity providers sign in to the console, and no provider answers for another one (RFC 9207)."""

from support.identity_provider import CLIENT_ID, IdentityProvider
from yarl import URL

from .conftest import BuildApi, Person

ADA = {"name": "Ada Ashdown", "kind": "USER", "roles": ["ADMIN", "OPERATOR", "VIEWER"]}


async def test_an_admin_ends_all_sessions_of_a_person_of_a_provider(
    build_api: BuildApi, console_settings: dict[str, str], providers: list[IdentityProvider]
) -> None:
    """The same subject of another provider is another person."""
    staff, partners = providers
    both = {
        "oidc_issuer": f"{staff.issuer},{partners.issuer}",
        "oidc_audience": "a;b",
        "oidc_client_id": f"{CLIENT_ID};{CLIENT_ID}",
        "oidc_admin_roles": "IONAPI-Admin;IONAPI-Admin",
        "oidc_operator_roles": "",
        "oidc_viewer_roles": "",
    }
    api = await build_api(**(console_settings | both))
    laptop, phone, namesake = (Person(api) for _ in range(3))
    for browser, issuer in ((laptop, staff), (phone, staff), (namesake, partners)):
        assert await browser.sign_in(issuer) == "/"
    actor = f"user:{staff.issuer.removeprefix('http://')}/ada-1815"
    ended = await namesake.ask(f'mutation {{ endSessions(actor: "{actor}") {{ endedCount userErrors {{ code }} }} }}')
    assert ended["endSessions"] == {"endedCount": 2, "userErrors": []}
    assert [await each.viewer() is not None for each in (laptop, phone, namesake)] == [False, False, True]


async def test_an_answer_of_another_issuer_is_refused(
    build_api: BuildApi, console_settings: dict[str, str], providers: list[IdentityProvider]
) -> None:
    """A mix-up: the code of an honest provider must not be redeemed at another one (RFC 9207)."""
    staff, partners = providers
    both = console_settings | {
        "oidc_issuer": f"{staff.issuer},{partners.issuer}",
        "oidc_audience": "a;b",
        "oidc_client_id": f"{CLIENT_ID};{CLIENT_ID}",
    }
    person = Person(await build_api(**both))
    for iss in ({"iss": partners.issuer}, {"iss": ""}, {"iss": staff.issuer + "/"}):
        answer = staff.sign_ins.authorize(await person.start(staff)) | iss
        assert await person.come_back(answer) == "/sign-in?problem=issuer"
    answer = staff.sign_ins.authorize(await person.start(staff))
    del answer["iss"]
    assert await person.come_back(answer) == "/sign-in?problem=issuer"
    assert (staff.sign_ins.requests, partners.sign_ins.requests) == ([], [])

    assert await person.sign_in(staff) == "/"


async def test_one_issuer_need_not_name_itself_unless_it_says_that_it_does(
    person: Person, provider: IdentityProvider, build_api: BuildApi, console_settings: dict[str, str]
) -> None:
    answer = provider.sign_ins.authorize(await person.start(provider))
    del answer["iss"]
    assert await person.come_back(answer) == "/"

    provider.document = {"authorization_response_iss_parameter_supported": True}
    person = Person(await build_api(**console_settings))
    answer = provider.sign_ins.authorize(await person.start(provider))
    del answer["iss"]
    assert await person.come_back(answer) == "/sign-in?problem=issuer"


async def test_an_issuer_without_a_client_id_signs_nobody_in(
    build_api: BuildApi, console_settings: dict[str, str], provider: IdentityProvider
) -> None:
    api = await build_api(**(console_settings | {"oidc_client_id": ""}))
    status, _ = await Person(api).get(str(URL("/sign-in/start").with_query(issuer=provider.issuer)))
    assert status == 404
