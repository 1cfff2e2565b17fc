"""What the payload of a refused mutation holds, so that a frontend needs no second query."""

from typing import Any, Final

import pytest
from support.callers import ADMIN, DAY, Made, verify
from support.clocks import HOUR, MINUTE, NOW, Clock
from support.installation import MakeClient

from gql_secrets.domain.errors import Unavailable
from gql_secrets.wiring import Services

# A mutation about one client that is refused while a rollover is in progress, or always.
REFUSED: Final[dict[str, str]] = {
    "resetSecret": 'resetSecret(clientId: "ID", hoursToLive: 24, ifGeneration: 1)',
    "revokeOldSecret": 'revokeOldSecret(clientId: "ID", ifGeneration: 1)',
    "changeRetention": 'changeRetention(clientId: "ID", hoursToLive: 169)',
    "cancelRollover": 'cancelRollover(clientId: "ID", ifGeneration: 1)',
    "updateClient": 'updateClient(clientId: "ID", name: "")',
    "setClientEnabled": 'setClientEnabled(clientId: "ID", enabled: false)',
    "deleteClient": 'deleteClient(clientId: "ID")',
}
CLIENT: Final = "client { clientId generation enabled name inRollover oldSecret { state } }"
FACTS: Final = """rolloverInProgress {
  currentSecretCreatedBy currentSecretCreatedAt currentSecretUsed oldSecretExpiresAt oldSecretLastUsedAt
}"""
RESET: Final = f"""
mutation ($id: ID!, $hours: Int! = 24) {{
  resetSecret(clientId: $id, hoursToLive: $hours) {{
    client {{ generation }} newSecret userErrors {{ code {FACTS} }}
  }}
}}"""


@pytest.mark.parametrize("mutation", REFUSED)
async def test_a_refused_mutation_returns_the_client_as_it_is(mutation: str, gql: Any, owner: Made, services: Services):
    """The only owner cannot be disabled or deleted, so every one of them is refused."""
    reset = await services.rotation.reset_secret(owner.id, DAY, by=ADMIN)
    current = Made(owner.id, reset.new_secret.reveal())
    answer = await gql(
        f"mutation {{ {REFUSED[mutation].replace('ID', owner.id)} {{ {CLIENT} userErrors {{ code }} }} }}", as_=current
    )
    assert len(answer[mutation]["userErrors"]) == 1
    assert answer[mutation]["client"] == {
        "clientId": owner.id,
        "generation": 2,
        "enabled": True,
        "name": answer[mutation]["client"]["name"],
        "inRollover": True,
        "oldSecret": {"state": "RETAINED"},
    }


async def test_a_refused_registration_has_no_client(gql: Any, owner: Made):
    answer = await gql('mutation { createClient(name: "") { client { name } userErrors { code } } }', as_=owner)
    assert answer["createClient"] == {"client": None, "userErrors": [{"code": "INVALID_NAME"}]}


async def test_the_client_of_a_refusal_is_no_older_than_the_refusal(gql: Any, owner: Made, client: Made):
    """Two mutations of one request: the second one's client includes what the first one did."""
    answer = await gql(
        f"""mutation {{
          a: resetSecret(clientId: "{client.id}", hoursToLive: 24, ifGeneration: 1) {{ {CLIENT} }}
          b: resetSecret(clientId: "{client.id}", hoursToLive: 24, ifGeneration: 1) {{ {CLIENT} }}
        }}""",
        as_=owner,
    )
    assert answer["b"]["client"] == answer["a"]["client"]
    assert answer["b"]["client"]["generation"] == 2


async def test_a_caller_who_may_not_change_a_client_gets_no_payload(gql: Any, client: Made, make_client: MakeClient):
    plain = await make_client()
    answer = await gql(RESET, as_=plain, id=client.id)
    assert answer.codes == ["FORBIDDEN"]
    assert answer.data == {"resetSecret": None}


async def test_a_refusal_is_returned_although_the_client_cannot_be_read(
    gql: Any, owner: Made, client: Made, services: Services, monkeypatch: pytest.MonkeyPatch
):
    async def find_clients(_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(services.queries, "find_clients", find_clients)
    answer = await gql(RESET, as_=owner, id=client.id, hours=169)
    assert answer["resetSecret"]["client"] is None
    assert [error["code"] for error in answer["resetSecret"]["userErrors"]] == ["INVALID_HOURS_TO_LIVE"]


@pytest.mark.parametrize("used", [False, True])
async def test_a_rollover_in_progress_is_returned_as_facts(
    used: bool, gql: Any, owner: Made, client: Made, services: Services, clock: Clock
):
    new = (await gql(RESET, as_=owner, id=client.id))["resetSecret"]["newSecret"]
    clock.move(MINUTE)
    if used:
        await verify(services, client.id, new)
        await verify(services, client.id, client.secret)
    clock.move(HOUR)
    [error] = (await gql(RESET, as_=owner, id=client.id))["resetSecret"]["userErrors"]
    assert error == {
        "code": "ROLLOVER_IN_PROGRESS",
        "rolloverInProgress": {
            "currentSecretCreatedBy": f"api_client:{owner.id}",
            "currentSecretCreatedAt": stamp(NOW),
            "currentSecretUsed": used,
            "oldSecretExpiresAt": stamp(NOW + 24 * HOUR),
            "oldSecretLastUsedAt": stamp(NOW + MINUTE) if used else None,
        },
    }


async def test_other_refusals_have_no_rollover_in_progress(gql: Any, owner: Made, client: Made):
    [error] = (await gql(RESET, as_=owner, id=client.id, hours=-1))["resetSecret"]["userErrors"]
    assert error["rolloverInProgress"] is None


def stamp(instant: Any) -> str:
    return str(instant.isoformat().replace("+00:00", "Z"))


async def test_a_deletion_returns_both_ids_and_no_client(gql: Any, owner: Made, client: Made):
    """Relay's @deleteEdge and Apollo's evict need the global id."""
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ id }} }}', as_=owner)
    deletion = f'deleteClient(clientId: "{client.id}") {{ deletedId deletedClientId client {{ id }} }}'
    assert (await gql(f"mutation {{ {deletion} }}", as_=owner))["deleteClient"] == {
        "deletedId": answer["client"]["id"],
        "deletedClientId": client.id,
        "client": None,
    }
    again = (await gql(f"mutation {{ {deletion} }}", as_=owner))["deleteClient"]
    assert again == {"deletedId": None, "deletedClientId": None, "client": None}


@pytest.mark.parametrize("text", ["", "x", "é", "Q2xpZW50", "A" * 1_025, "A" * 100_000])
async def test_an_invalid_global_id_is_refused_by_the_name_of_its_argument(
    text: str, gql: Any, owner: Made, client: Made
):
    answer = await gql("query ($id: ID!) { node(id: $id) { id } }", as_=owner, id=text)
    assert (answer.codes, answer.errors[0]["extensions"]["argument"]) == (["BAD_REQUEST"], "id")
    answer = await gql(
        "mutation ($id: ID!, $secret: ID) { revokeOldSecret(clientId: $id, secretId: $secret) { alreadyEnded } }",
        as_=owner,
        id=client.id,
        secret=text,
    )
    assert (answer.codes, answer.errors[0]["extensions"]["argument"]) == (["BAD_REQUEST"], "secretId")
