"""The contact, the labels and the maximum age of a client, over HTTP."""

from typing import Any, Final

import pytest
from support.callers import Made
from support.clocks import DAYS, NOW, Clock

FIELDS: Final = "contact labels maximumAgeDays effectiveMaximumAgeDays rotationDueAt"
CREATE: Final = f"""
mutation ($contact: String, $labels: [String!], $days: Int) {{
  createClient(name: "Shop", contact: $contact, labels: $labels, maximumAgeDays: $days) {{
    client {{ clientId {FIELDS} }} userErrors {{ code field minimum maximum }}
  }}
}}"""
UPDATE: Final = f"""
mutation ($id: ID!, $contact: String, $labels: [String!], $days: Int, $inherit: Boolean) {{
  updateClient(clientId: $id, contact: $contact, labels: $labels, maximumAgeDays: $days, inheritMaximumAge: $inherit) {{
    client {{ {FIELDS} }} userErrors {{ code field minimum maximum }}
  }}
}}"""


async def test_details_are_set_read_and_removed(gql: Any, owner: Made):
    made = (await gql(CREATE, as_=owner, contact="Ada", labels=["team=a"], days=30))["createClient"]
    client_id = made["client"].pop("clientId")
    assert made == {
        "client": {
            "contact": "Ada",
            "labels": ["team=a"],
            "maximumAgeDays": 30,
            "effectiveMaximumAgeDays": 30,
            "rotationDueAt": (NOW + 30 * DAYS).isoformat().replace("+00:00", "Z"),
        },
        "userErrors": [],
    }
    answer = await gql(UPDATE, as_=owner, id=client_id, contact="", labels=[], inherit=True)
    assert answer["updateClient"]["client"] == {
        "contact": None,
        "labels": [],
        "maximumAgeDays": None,
        "effectiveMaximumAgeDays": None,
        "rotationDueAt": None,
    }


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"contact": "x" * 201}, "INVALID_CONTACT", "contact"),
        ({"labels": ["team"]}, "INVALID_LABELS", "labels"),
        ({"days": 0}, "INVALID_MAXIMUM_AGE", "maximumAgeDays"),
        ({"days": 3651}, "INVALID_MAXIMUM_AGE", "maximumAgeDays"),
        ({"days": 30, "inherit": True}, "INVALID_MAXIMUM_AGE", "maximumAgeDays"),
    ],
)
async def test_invalid_details_are_user_errors_and_change_nothing(
    given: dict[str, Any], code: str, field: str, gql: Any, owner: Made, client: Made
):
    payload = (await gql(UPDATE, as_=owner, id=client.id, **given))["updateClient"]
    [error] = payload["userErrors"]
    assert (error["code"], error["field"]) == (code, [field])
    assert payload["client"]["contact"] is None
    if "inherit" not in given:
        payload = (await gql(CREATE, as_=owner, **given))["createClient"]
        assert [error["code"] for error in payload["userErrors"]] == [code]


async def test_lists_take_the_filters(gql: Any, owner: Made, clock: Clock):
    for days in (10, 30):
        await gql(CREATE, as_=owner, contact="Ada", labels=["team=a", f"days=d{days}"], days=days)
    clock.move(5 * DAYS)
    query = "query ($filter: ClientFilter!) { clients(filter: $filter) { totalCount nodes { maximumAgeDays } } }"
    for wanted, found in (
        ({"dueWithinDays": 4}, []),
        ({"dueWithinDays": 5}, [10]),
        ({"dueWithinDays": 25}, [30, 10]),
        ({"labels": ["team=a"]}, [30, 10]),
        ({"labels": ["team=a", "days=d10"]}, [10]),
        ({"contact": "Ada", "dueWithinDays": 5}, [10]),
        ({"contact": "Bob"}, []),
    ):
        answer = (await gql(query, as_=owner, filter=wanted))["clients"]
        assert sorted(node["maximumAgeDays"] for node in answer["nodes"]) == sorted(found), wanted
        assert answer["totalCount"] == len(found)
    refused = await gql(query, as_=owner, filter={"dueWithinDays": -1})
    assert refused.codes == ["BAD_REQUEST"]
    assert refused.errors[0]["extensions"]["argument"] == "dueWithinDays"
    refused = await gql(query, as_=owner, filter={"labels": ["team"]})
    assert refused.codes == ["INVALID_LABELS"]
    assert refused.errors[0]["extensions"]["argument"] == "labels"


async def test_the_policy_of_the_installation_is_shown(gql: Any, owner: Made):
    assert (await gql("{ rotationPolicy { maximumAgeDays } }", as_=owner))["rotationPolicy"] == {"maximumAgeDays": None}
