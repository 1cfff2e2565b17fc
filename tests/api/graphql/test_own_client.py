"""An API client reads its own state, with or without a role."""

from typing import Any

import pytest
from support.callers import ADMIN, DAY, Made
from support.installation import MakeClient

from gql_secrets.wiring import Services

OWN = "{ viewer { roles client { clientId inRollover currentSecret { state } rollover { remainingSeconds advice } } } }"


@pytest.mark.parametrize("features", [[], ["login_client"], ["viewer"], ["operator"], ["owner"]])
async def test_an_application_sees_that_its_secret_is_about_to_end(
    features: list[str], gql: Any, make_client: MakeClient, services: Services
):
    made = await make_client(*features)
    before = (await gql(OWN, as_=made))["viewer"]["client"]
    assert before == {
        "clientId": made.id,
        "inRollover": False,
        "currentSecret": {"state": "CURRENT"},
        "rollover": None,
    }
    reset = await services.rotation.reset_secret(made.id, DAY, by=ADMIN)
    for secret in (made.secret, reset.new_secret.reveal()):
        now = (await gql(OWN, as_=Made(made.id, secret)))["viewer"]["client"]
        assert now["inRollover"]
        assert 86_000 < now["rollover"]["remainingSeconds"] <= 86_400


async def test_an_application_without_a_role_sees_nothing_else(gql: Any, client: Made):
    """Guarded fields stay guarded on the viewer's own client."""
    answer = await gql(
        "{ viewer { client { name auditEvents { totalCount } currentSecret { uses { count } } } } }", as_=client
    )
    assert answer.codes == ["FORBIDDEN", "FORBIDDEN"]
    assert answer.data["viewer"]["client"]["name"] == "Shop"


async def test_a_person_is_not_a_client(browser: Any):
    _, content = await browser.ask("{ viewer { name client { clientId } } }")
    assert content == {"data": {"viewer": {"name": "ada", "client": None}}}
