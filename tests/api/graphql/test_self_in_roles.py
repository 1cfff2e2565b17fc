"""More columns of the table of roles: clients that reset themselves, and people with access tokens.

`test_roles.py` has the rows, and the columns of API clients with a role and without one.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest
from api.graphql.test_roles import ADMIN as ADMIN_RANK
from api.graphql.test_roles import (
    ANYONE,
    CHANGES,
    DECISIONS,
    OPERATOR,
    OUTER,
    SELF_CHANGES,
    SELF_READS,
    VIEWER,
)
from support.callers import ADMIN, DAY, Made
from support.identity_provider import AUDIENCE, IdentityProvider, identity_providers
from support.installation import MakeClient

from gql_secrets.settings import Settings
from gql_secrets.wiring import Services

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PEOPLE: Final = {"look": VIEWER, "ops": OPERATOR, "IONAPI-Admin": ADMIN_RANK, None: ANYONE}
RIGHTS: Final = "viewerCanResetSecret viewerCanSmoothReset viewerCanRevokeOldSecret viewerCanEdit"


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_providers("/realms/staff") as [made]:
        yield made


@pytest.fixture
def settings(settings: Settings, provider: IdentityProvider) -> Settings:
    return replace(
        settings,
        oidc_issuer=provider.issuer,
        oidc_audience=AUDIENCE,
        oidc_operator_roles="ops",
        oidc_viewer_roles="look",
    )


@pytest.fixture
async def itself(make_client: MakeClient) -> Made:
    return await make_client(self_reset=True)


async def begin_rollover(services: Services, made: Made) -> Made:
    """Reset the client; return it with its new secret. From then on `made` has the old one."""
    reset = await services.rotation.reset_secret(made.id, DAY, by=ADMIN)
    return Made(made.id, reset.new_secret.reveal())


async def prepare(field: str, made: Made, services: Services) -> None:
    """Begin the rollover that a field of one needs."""
    if field.startswith("Rollover."):
        await begin_rollover(services, made)


@pytest.mark.parametrize("field", DECISIONS)
@pytest.mark.parametrize("secret", ["current", "old"])
async def test_a_client_that_resets_itself_may_do_for_itself_what_the_table_says(
    field: str, secret: str, gql: Any, itself: Made, services: Services
):
    await prepare(field, itself, services)
    if secret == "old" and not field.startswith("Rollover."):
        await begin_rollover(services, itself)
    least, operation = DECISIONS[field]

    answer = await gql(operation.replace("ID", itself.id), as_=itself)

    if least == ANYONE or field in SELF_READS or (field in SELF_CHANGES and secret == "current"):
        assert answer.errors == []
    else:
        assert answer.codes == ["FORBIDDEN"]
        if field in SELF_CHANGES:
            assert answer.errors[0]["extensions"]["reason"] == "RETAINED_SECRET"


@pytest.mark.parametrize("field", DECISIONS)
@pytest.mark.parametrize("secret", ["current", "old"])
async def test_a_client_that_resets_itself_has_no_right_to_another_client(
    field: str, secret: str, gql: Any, itself: Made, client: Made, services: Services
):
    if secret == "old":
        await begin_rollover(services, itself)
    least, operation = DECISIONS[field]

    answer = await gql(operation.replace("ID", client.id), as_=itself)

    assert answer.codes == ([] if least == ANYONE else ["FORBIDDEN"])


@pytest.mark.parametrize(
    ("arguments", "argument", "required"),
    [
        ("hoursToLive: 0", "hoursToLive", ["ADMIN", "OPERATOR"]),
        ("hoursToLive: 0, endActiveRollover: true", "hoursToLive", ["ADMIN", "OPERATOR"]),
        ("hoursToLive: 1, endActiveRollover: true", "endActiveRollover", ["ADMIN"]),
    ],
)
async def test_a_client_that_resets_itself_cannot_end_a_secret_that_is_in_use(
    arguments: str, argument: str, required: list[str], gql: Any, itself: Made
):
    answer = await gql(f'mutation {{ resetSecret(clientId: "{itself.id}", {arguments}) {{ newSecret }} }}', as_=itself)
    assert answer.codes == ["FORBIDDEN"]
    extensions = answer.errors[0]["extensions"]
    assert (extensions["argument"], extensions["requiredRoles"]) == (argument, required)


@pytest.mark.parametrize("hours", [-1, 169])
async def test_the_bounds_of_its_retention_are_those_of_every_reset(hours: int, gql: Any, itself: Made):
    operation = f'mutation {{ resetSecret(clientId: "{itself.id}", hoursToLive: {hours}) {{ userErrors {{ code }} }} }}'
    assert (await gql(operation, as_=itself))["resetSecret"]["userErrors"] == [{"code": "INVALID_HOURS_TO_LIVE"}]


async def test_it_reads_itself_with_its_rollover_its_secrets_and_their_uses(gql: Any, itself: Made, services: Services):
    new = await begin_rollover(services, itself)
    query = f"""{{ client(clientId: "{itself.id}") {{
        selfReset inRollover rollover {{ advice endsAt }}
        currentSecret {{ state uses {{ count }} }} oldSecret {{ state uses {{ count }} }}
        secrets {{ nodes {{ state uses {{ count }} }} }}
    }} }}"""
    for secret in (itself, new):
        client = (await gql(query, as_=secret))["client"]
        assert client["selfReset"]
        assert client["inRollover"]
        assert [node["state"] for node in client["secrets"]["nodes"]] == ["CURRENT", "RETAINED"]


async def test_the_rights_that_a_frontend_reads_are_those_of_the_secret(gql: Any, itself: Made, services: Services):
    new = await begin_rollover(services, itself)
    rights = f"{{ viewer {{ client {{ {RIGHTS} }} }} }}"
    assert list((await gql(rights, as_=new))["viewer"]["client"].values()) == [True, True, True, False]
    assert list((await gql(rights, as_=itself))["viewer"]["client"].values()) == [False] * 4


@pytest.mark.parametrize("by", [None, "viewer", "operator", "owner"])
async def test_a_role_is_not_changed_by_the_right_of_the_client(by: str | None, gql: Any, make_client: MakeClient):
    """`selfReset` of the target gives nothing to others."""
    target = await make_client(self_reset=True)
    caller = await make_client(*([by] if by else []))
    answer = await gql(
        f'mutation {{ resetSecret(clientId: "{target.id}", hoursToLive: 1) {{ newSecret }} }}', as_=caller
    )
    assert answer.codes == ([] if by == "owner" else ["FORBIDDEN"])


@pytest.mark.parametrize("field", DECISIONS)
@pytest.mark.parametrize("role", PEOPLE)
async def test_a_person_with_an_access_token_is_allowed_what_the_table_says(
    field: str, role: str | None, api: Any, client: Made, provider: IdentityProvider, services: Services
):
    await prepare(field, client, services)
    least, operation = DECISIONS[field]
    token = provider.token(roles=[role] if role else [])
    async with api.post(
        "/graphql",
        json={"query": operation.replace("ID", client.id)},
        headers={"Authorization": f"Bearer {token}"},
    ) as response:
        content = await response.json(content_type=None)

    errors = content.get("errors", [])
    if PEOPLE[role] >= least:
        assert errors == []
    else:
        required = OUTER[field] if PEOPLE[role] < OUTER.get(field, 0) else least
        assert [error["extensions"]["code"] for error in errors] == ["FORBIDDEN"]
        assert errors[0]["extensions"]["requiredRoles"] == ["ADMIN", "OPERATOR", "VIEWER"][: 4 - required]


@pytest.mark.parametrize(
    "grant", ['createClient(name: "x", selfReset: true)', 'updateClient(clientId: "ID", selfReset: true)']
)
async def test_an_old_owner_secret_cannot_grant_the_right(
    grant: str, gql: Any, make_client: MakeClient, services: Services, client: Made
):
    owner = await make_client("owner")
    new = await begin_rollover(services, owner)
    operation = f"mutation {{ {grant.replace('ID', client.id)} {{ client {{ selfReset }} userErrors {{ code }} }} }}"
    answer = await gql(operation, as_=owner)
    assert answer.codes == ["FORBIDDEN"]
    extensions = answer.errors[0]["extensions"]
    assert (extensions["reason"], extensions["argument"]) == ("RETAINED_SECRET", "selfReset")
    [payload] = (await gql(operation, as_=new)).data.values()
    assert payload == {"client": {"selfReset": True}, "userErrors": []}


@pytest.mark.parametrize("change", CHANGES)
async def test_an_old_owner_secret_may_change_a_client_that_resets_itself(
    change: str, gql: Any, make_client: MakeClient, services: Services, itself: Made
):
    """The right is not a role: it leads to this one client, and to nothing else."""
    owner = await make_client("owner")
    await begin_rollover(services, owner)
    assert (await gql(f"mutation {{ {CHANGES[change].replace('ID', itself.id)} }}", as_=owner)).errors == []
