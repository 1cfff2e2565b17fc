"""The mutations of many clients, over HTTP."""

from typing import Any, Final

import pytest
from support.callers import Made, verify
from support.clocks import HOUR, NOW, Clock
from support.installation import MakeClient

from gql_secrets.wiring import Services

KEY: Final = "6f0c1d7e-0b57-4a5e-8f55-1d7f6d2f8a10"
RESET: Final = """
mutation ($targets: [ResetTarget!]!, $hours: Int! = 24, $key: String!, $dryRun: Boolean! = false) {
  resetSecrets(targets: $targets, hoursToLive: $hours, idempotencyKey: $key, dryRun: $dryRun) {
    results {
      clientId newSecret oldSecretExpiresAt replayed
      client { generation inRollover }
      oldSecret { hint lastUsedAt }
      endedSecrets { hint lastUsedAt }
      userErrors { code field rolloverInProgress { oldSecretExpiresAt } }
    }
    userErrors { code field minimum maximum }
  }
}"""
PREVIEW: Final = RESET.replace("lastUsedAt", "uses { address }")
REVOKE: Final = """
mutation ($targets: [RevokeTarget!]!, $safe: Boolean! = true) {
  revokeOldSecrets(targets: $targets, onlyIfSafe: $safe) {
    results { clientId alreadyEnded revokedSecret { state } client { inRollover } userErrors { code field message } }
    userErrors { code field }
  }
}"""


def targets(*clients: Made) -> list[dict[str, Any]]:
    return [{"clientId": client.id} for client in clients]


@pytest.fixture
async def other(make_client: MakeClient) -> Made:
    return await make_client(name="Other")


async def old_secret_id(gql: Any, owner: Made, client: Made) -> str:
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ oldSecret {{ id }} }} }}', as_=owner)
    return str(answer["client"]["oldSecret"]["id"])


async def test_many_clients_are_reset_in_one_request(gql: Any, owner: Made, client: Made, other: Made):
    unknown = Made("no-such-client", "")
    answer = await gql(RESET, as_=owner, targets=targets(client, unknown, other), key=KEY)

    payload = answer["resetSecrets"]
    assert payload["userErrors"] == []
    first, missing, last = payload["results"]
    assert [result["clientId"] for result in payload["results"]] == [client.id, unknown.id, other.id]
    assert first["newSecret"].startswith("gqls_")
    assert last["newSecret"].startswith("gqls_")
    assert first["client"] == {"generation": 2, "inRollover": True}
    assert first["oldSecretExpiresAt"] == (NOW + 24 * HOUR).isoformat().replace("+00:00", "Z")
    assert missing["newSecret"] is None
    assert missing["client"] is None
    assert missing["userErrors"] == [{"code": "CLIENT_NOT_FOUND", "field": ["clientId"], "rolloverInProgress": None}]

    again = (await gql(RESET, as_=owner, targets=targets(client, other), key=KEY))["resetSecrets"]["results"]
    assert [result["replayed"] for result in again] == [True, True]
    assert [result["newSecret"] for result in again] == [first["newSecret"], last["newSecret"]]


async def test_a_dry_run_names_the_sources_that_would_be_affected(
    gql: Any, owner: Made, client: Made, services: Services
):
    await verify(services, client.id, client.secret, "198.51.100.77")
    answer = await gql(PREVIEW, as_=owner, targets=targets(client), hours=0, key=KEY, dryRun=True)
    [result] = answer["resetSecrets"]["results"]
    assert result["newSecret"] is None
    assert result["client"] == {"generation": 1, "inRollover": False}
    assert result["endedSecrets"] == [{"hint": client.secret[-4:], "uses": [{"address": "198.51.100.77"}]}]
    assert result["oldSecret"] is None

    answer = await gql(PREVIEW, as_=owner, targets=targets(client), key=KEY, dryRun=True)
    [result] = answer["resetSecrets"]["results"]
    assert result["oldSecret"] == {"hint": client.secret[-4:], "uses": [{"address": "198.51.100.77"}]}
    assert result["endedSecrets"] == []


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"hours": 169}, "INVALID_HOURS_TO_LIVE", "hoursToLive"),
        ({"key": "short"}, "INVALID_IDEMPOTENCY_KEY", "idempotencyKey"),
        ({"targets": []}, "INVALID_TARGETS", "targets"),
        ({"targets": [{"clientId": f"c{number}"} for number in range(101)]}, "INVALID_TARGETS", "targets"),
        ({"targets": [{"clientId": "a"}, {"clientId": "a", "ifGeneration": 1}]}, "INVALID_TARGETS", "targets"),
    ],
)
async def test_a_refused_request_changes_no_client(
    given: dict[str, Any], code: str, field: str, gql: Any, owner: Made, client: Made
):
    answer = await gql(RESET, as_=owner, **{"targets": targets(client), "key": KEY} | given)
    payload = answer["resetSecrets"]
    assert payload["results"] is None
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, [field])]
    read = await gql(f'{{ client(clientId: "{client.id}") {{ generation }} }}', as_=owner)
    assert read["client"] == {"generation": 1}


async def test_the_callers_own_client_is_not_among_the_targets(gql: Any, owner: Made, client: Made):
    payload = (await gql(RESET, as_=owner, targets=targets(client, owner), key=KEY))["resetSecrets"]
    assert payload["results"] is None
    assert payload["userErrors"][0]["code"] == "INVALID_TARGETS"


async def test_old_secrets_are_revoked_only_if_that_is_safe(
    gql: Any, owner: Made, client: Made, other: Made, services: Services, clock: Clock
):
    made = (await gql(RESET, as_=owner, targets=targets(client, other), key=KEY))["resetSecrets"]["results"]
    await verify(services, client.id, made[0]["newSecret"])
    clock.move(2 * HOUR)
    revokes = [{"clientId": each.id, "secretId": await old_secret_id(gql, owner, each)} for each in (client, other)]

    safe, unsafe = (await gql(REVOKE, as_=owner, targets=revokes))["revokeOldSecrets"]["results"]
    assert safe == {
        "clientId": client.id,
        "alreadyEnded": False,
        "revokedSecret": {"state": "REVOKED"},
        "client": {"inRollover": False},
        "userErrors": [],
    }
    assert unsafe["client"] == {"inRollover": True}
    assert [(error["code"], error["field"]) for error in unsafe["userErrors"]] == [("NOT_SAFE_TO_REVOKE", ["secretId"])]
    assert "never used" in unsafe["userErrors"][0]["message"]

    results = (await gql(REVOKE, as_=owner, targets=revokes, safe=False))["revokeOldSecrets"]["results"]
    assert [result["alreadyEnded"] for result in results] == [True, False]


async def test_the_id_of_something_else_is_not_the_id_of_an_old_secret(gql: Any, owner: Made, client: Made):
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ id }} }}', as_=owner)
    wrong = [{"clientId": client.id, "secretId": answer["client"]["id"]}]
    payload = (await gql(REVOKE, as_=owner, targets=wrong))["revokeOldSecrets"]
    assert payload == {"results": None, "userErrors": [{"code": "SECRET_NOT_OLD", "field": ["secretId"]}]}


@pytest.mark.parametrize("spread", [False, True])
async def test_an_operation_has_only_one_field_that_changes_many_clients(
    spread: bool, gql: Any, owner: Made, client: Made
):
    one = f'resetSecrets(targets: [{{clientId: "{client.id}"}}], hoursToLive: 1, idempotencyKey: "{KEY}")'
    two = 'revokeOldSecrets(targets: [{clientId: "x", secretId: "x"}])'
    fields = f"a: {one} {{ userErrors {{ code }} }} b: {two} {{ userErrors {{ code }} }}"
    query = f"mutation {{ ...F }} fragment F on Mutation {{ {fields} }}" if spread else f"mutation {{ {fields} }}"
    answer = await gql(query, as_=owner)
    assert answer.codes == ["BAD_REQUEST"]
    assert "2 fields that change many objects" in answer.errors[0]["message"]
    read = await gql(f'{{ client(clientId: "{client.id}") {{ generation }} }}', as_=owner)
    assert read["client"] == {"generation": 1}


async def test_a_hundred_clients_fit_in_one_request(gql: Any, owner: Made, make_client: MakeClient):
    made = [await make_client(name=f"Shop {number}") for number in range(100)]
    payload = (await gql(RESET, as_=owner, targets=targets(*made), key=KEY, dryRun=True))["resetSecrets"]
    assert len(payload["results"]) == 100
