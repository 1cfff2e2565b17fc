"""The queries: pages, filters, and global ids as a frontend uses them."""

import asyncio
import json
import unicodedata
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from support.callers import ADMIN, DAY, Made
from support.clocks import NOW
from support.installation import MakeClient

from gql_secrets.domain.errors import Unavailable
from gql_secrets.service.usage.queries import Rollover
from gql_secrets.service.usage.tallies import Source
from gql_secrets.wiring import Services

# What the database does is tested in tests/service/test_queries.py, on both kinds.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NAMES = "{ nodes { name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"


def names(connection: Any) -> list[str]:
    return [node["name"] for node in connection["nodes"]]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ("first: 1, last: 1", "last"),
        ("first: 0, last: 0", "last"),
        ('last: 1, before: "x"', "before"),
        ('first: 1, after: "x"', "after"),
        ('after: "x"', "after"),
        ('before: "x"', "before"),
        ('first: 1, before: "x"', "before"),
        ('last: 1, after: "x"', "after"),
        ("first: 101", "first"),
        ("last: -1", "last"),
    ],
)
async def test_a_page_that_is_refused_names_its_argument(arguments: str, argument: str, gql: Any, owner: Made):
    answer = await gql(f"{{ clients({arguments}) {NAMES} }}", as_=owner)
    assert answer.codes == ["BAD_REQUEST"]
    assert answer.errors[0]["extensions"]["argument"] == argument


@pytest.mark.parametrize("arguments", ["last: 2", "first: null, last: 2", "first: null, after: null, last: 2"])
async def test_null_arguments_of_a_page_are_omitted_ones(
    arguments: str, gql: Any, owner: Made, make_client: MakeClient
):
    """Relay sends the arguments of both directions, the unused ones as null."""
    for name in ("one", "two"):
        await make_client(name=name)
    forward = (await gql(f"{{ clients {NAMES} }}", as_=owner))["clients"]
    assert len(names(forward)) == 3
    assert names((await gql(f"{{ clients({arguments}) {NAMES} }}", as_=owner))["clients"]) == names(forward)[1:]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("null", {"gql-secrets owner", "rolling", "resting"}),
        ("{}", {"gql-secrets owner", "rolling", "resting"}),
        ("{inRollover: null}", {"gql-secrets owner", "rolling", "resting"}),
        ("{inRollover: true}", {"rolling"}),
        ("{inRollover: false}", {"gql-secrets owner", "resting"}),
    ],
)
async def test_clients_are_filtered_by_their_rollover(
    filter_: str, found: set[str], gql: Any, owner: Made, make_client: MakeClient, services: Services
):
    await make_client(name="resting")
    rolling = await make_client(name="rolling")
    await services.rotation.reset_secret(rolling.id, DAY, by=ADMIN)
    await services.clients.update_client(owner.id, name="gql-secrets owner", by=ADMIN)
    assert set(names((await gql(f"{{ clients(filter: {filter_}) {NAMES} }}", as_=owner))["clients"])) == found


async def test_features_are_the_values_of_an_enum(gql: Any, owner: Made, make_client: MakeClient):
    features = ["owner", "operator", "viewer", "access_issuer", "direct_access", "direct_read_access", "login_client"]
    client = await make_client(*features)
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ features }} }}', as_=owner)
    assert sorted(answer["client"]["features"]) == sorted(feature.upper() for feature in features)


class TestNodes:
    NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"

    async def ids(self, gql: Any, owner: Made) -> list[str]:
        """The global ids of a client, of its secret, and of the audit event of its registration."""
        answer = await gql(
            f'{{ client(clientId: "{owner.id}") {{ id currentSecret {{ id }} }} auditEvents {{ nodes {{ id }} }} }}',
            as_=owner,
        )
        client = answer["client"]
        return [client["id"], client["currentSecret"]["id"], answer["auditEvents"]["nodes"][-1]["id"]]

    async def test_they_are_found_in_the_order_of_their_ids(self, gql: Any, owner: Made):
        client, secret, event = await self.ids(gql, owner)
        unknown = ["Q2xpZW50Om5vYm9keQ", "Q2xpZW50U2VjcmV0OjA", "Q2xpZW50U2VjcmV0Ong", "Tm90aGluZzp4"]
        ids = [event, unknown[0], client, secret, *unknown[1:], client]
        found = (await gql(self.NODES, as_=owner, ids=ids))["nodes"]
        assert [node and node["id"] for node in found] == [event, None, client, secret, None, None, None, client]
        assert [node["__typename"] for node in found if node] == ["AuditEvent", "Client", "ClientSecret", "Client"]
        assert (await gql(self.NODES, as_=owner, ids=[]))["nodes"] == []

    async def test_those_of_a_deleted_client_are_gone(self, gql: Any, owner: Made, client: Made, services: Services):
        answer = await gql(f'{{ client(clientId: "{client.id}") {{ id currentSecret {{ id }} }} }}', as_=owner)
        ids = [answer["client"]["id"], answer["client"]["currentSecret"]["id"]]
        await services.clients.delete_client(client.id, by=ADMIN)
        assert (await gql(self.NODES, as_=owner, ids=ids))["nodes"] == [None, None]

    async def test_an_audit_event_is_refused_to_others_than_an_admin_and_leaves_the_rest(
        self, gql: Any, owner: Made, make_client: MakeClient
    ):
        client, secret, event = await self.ids(gql, owner)
        operator = await make_client("operator")
        answer = await gql(self.NODES, as_=operator, ids=[client, event, secret])
        assert [node and node["id"] for node in answer.data["nodes"]] == [client, None, secret]
        assert [(error["path"], error["extensions"]["code"]) for error in answer.errors] == [
            (["nodes", 1], "FORBIDDEN")
        ]
        assert (await gql("query ($id: ID!) { node(id: $id) { id } }", as_=operator, id=event)).codes == ["FORBIDDEN"]

    @pytest.mark.parametrize("ids", [["Q2xpZW50Om5vYm9keQ"] * 101, ["Q2xpZW50Om5vYm9keQ", "x"], [""]])
    async def test_too_many_or_invalid_ids_are_refused(self, ids: list[str], gql: Any, owner: Made):
        answer = await gql(self.NODES, as_=owner, ids=ids)
        assert (answer.codes, answer.errors[0]["extensions"]["argument"]) == (["BAD_REQUEST"], "ids")

    async def test_a_hundred_clients_take_one_query(
        self, gql: Any, owner: Made, services: Services, monkeypatch: pytest.MonkeyPatch
    ):
        reads = 0
        find_clients = services.queries.find_clients

        async def count(client_ids: Any) -> Any:
            nonlocal reads
            reads += 1
            return await find_clients(client_ids)

        client, *_ = await self.ids(gql, owner)
        monkeypatch.setattr(services.queries, "find_clients", count)
        assert len((await gql(self.NODES, as_=owner, ids=[client] * 100))["nodes"]) == 100
        assert reads == 2, "one for each of the two executions"


class TestLongTexts:
    """The length of a text is checked before anything is done with it."""

    # Normalizing these combining marks took 8 seconds, during which the server answered nobody.
    COMBINING = "\u0301" * 31_900 + "\u0316" * 31_900

    @pytest.mark.parametrize(
        "query",
        [
            "query ($text: String!) { clients(search: $text) { nodes { id } } }",
            "query ($text: String!) { auditEvents(actor: $text) { nodes { id } } }",
            "query ($text: ID!) { auditEvents(clientId: $text) { nodes { id } } }",
            "query ($text: ID!) { client(clientId: $text) { id } }",
            "query ($text: ID!) { node(id: $text) { id } }",
            "query ($text: ID!) { nodes(ids: [$text]) { id } }",
            "query ($text: String!) { clients(first: 1, after: $text) { nodes { id } } }",
            "query ($text: String!) { clients(last: 1, before: $text) { nodes { id } } }",
            "query ($text: DateTime!) { auditEvents(since: $text) { nodes { id } } }",
            "mutation ($text: String!) { createClient(name: $text) { userErrors { code } } }",
            'mutation ($text: String!) { createClient(name: "x", description: $text) { userErrors { code } } }',
            'mutation ($text: ClientFeature!) { createClient(name: "x", features: [$text]) { userErrors { code } } }',
            'mutation ($text: String!) { createClient(name: "x", allowList: [$text]) { userErrors { code } } }',
            "mutation ($text: ID!) { resetSecret(clientId: $text, hoursToLive: 0) { userErrors { code } } }",
            'mutation ($text: String!) { resetSecret(clientId: "x", hoursToLive: 0, reason: $text) { replayed } }',
            'mutation ($text: String!) { resetSecret(clientId: "x", hoursToLive: 0, idempotencyKey: $text){replayed} }',
            'mutation ($text: String!) { deleteClient(clientId: "x", reason: $text) { userErrors { code } } }',
            'mutation ($text: ID!) { revokeOldSecret(clientId: "x", secretId: $text) { userErrors { code } } }',
        ],
    )
    async def test_they_cost_nothing_and_find_nothing(
        self, query: str, api: Any, owner: Made, monkeypatch: pytest.MonkeyPatch
    ):
        lengths, normalize = [0], unicodedata.normalize

        def noted(form: Any, text: str) -> str:
            lengths.append(len(text))
            return normalize(form, text)

        monkeypatch.setattr(unicodedata, "normalize", noted)
        body = json.dumps({"query": query, "variables": {"text": self.COMBINING}}, ensure_ascii=False).encode()
        headers = {"Authorization": encode_basic_auth(owner.id, owner.secret), "Content-Type": "application/json"}
        async with api.post("/graphql", data=body, headers=headers) as response:
            answer = await response.json(content_type=None)
        assert max(lengths) < 2_000
        assert {error["extensions"]["code"] for error in answer.get("errors", ())} <= {"BAD_REQUEST"}
        if "errors" not in answer:
            [found] = answer["data"].values()
            assert found is None or found.get("nodes") == [] or found.get("userErrors") or found == {"replayed": False}


async def test_attempts_with_a_secret_that_was_never_issued_are_counted_by_the_client_that_they_name(
    gql: Any, owner: Made, client: Made, services: Services
):
    query = "query ($id: ID!) { client(clientId: $id) { unknownSecretAttempts lastUnknownSecretAttemptAt } }"
    answer = await gql(query, as_=owner, id=client.id)
    assert answer["client"] == {"unknownSecretAttempts": 0, "lastUnknownSecretAttemptAt": None}
    for _ in range(2):
        await services.verifier.verify(client.id, "wrong", Source())
    answer = await gql(query, as_=owner, id=client.id)
    assert answer["client"] == {
        "unknownSecretAttempts": 2,
        "lastUnknownSecretAttemptAt": NOW.isoformat().replace("+00:00", "Z"),
    }


async def test_clients_are_filtered_and_sorted(gql: Any, make_client: MakeClient, owner: Made):
    for name in ("beta", "Alpha", "gamma"):
        await make_client("viewer", name=name)

    async def ask(arguments: str) -> list[str]:
        answer = await gql(f"{{ clients({arguments}) {NAMES} }}", as_=owner)
        return names(answer["clients"])

    order = "orderBy: {field: NAME, direction: %s}"
    assert await ask(f"filter: {{feature: VIEWER}}, {order % 'ASC'}") == ["Alpha", "beta", "gamma"]
    assert await ask(f"filter: {{neverUsed: true}}, first: 2, {order % 'DESC'}") == ["gamma", "beta"]
    assert await ask(f"filter: {{lockedOut: true}}, {order % 'DESC'}") == []
    assert await ask(f'search: "lph", {order % "ASC"}') == ["Alpha"]


async def test_the_overview_is_for_those_who_may_read(gql: Any, make_client: MakeClient):
    viewer, stranger = await make_client("viewer"), await make_client()
    counts = "lockedOut endingSoon safeToRevoke waiting dueForRotation neverUsed total"
    answer = await gql(f"{{ overview {{ {counts} }} }}", as_=viewer)
    assert answer["overview"] == {
        "lockedOut": 0,
        "endingSoon": 0,
        "safeToRevoke": 0,
        "waiting": 0,
        "dueForRotation": 0,
        "neverUsed": 2,
        "total": 3,
    }
    refused = await gql("{ overview { total } }", as_=stranger)
    assert (refused.data, refused.codes) == ({"overview": None}, ["FORBIDDEN"])


async def test_a_read_that_fails_takes_no_other_client_along(
    gql: Any, owner: Made, make_client: MakeClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollovers of both clients are read together, by a field that is cancelled as the one next to it fails."""
    one, other = await make_client(name="one"), await make_client(name="other")
    node_id = (await gql("query($id: ID!) { client(clientId: $id) { id } }", as_=owner, id=one.id))["client"]["id"]
    rollovers_of, has_failed = services.usage_queries.rollovers_of, asyncio.Event()

    async def fail(_: object) -> dict[str, list[str]]:
        has_failed.set()
        raise Unavailable

    async def find_later(client_ids: list[str]) -> Mapping[str, Rollover]:
        await has_failed.wait()
        await asyncio.sleep(0.05)
        return await rollovers_of(client_ids)

    monkeypatch.setattr(services.queries, "allow_lists", fail)
    monkeypatch.setattr(services.usage_queries, "rollovers_of", find_later)
    answer = await gql(
        """query($node: ID!, $id: ID!) {
            node(id: $node) { ... on Client { rollover { __typename } allowList } }
            client(clientId: $id) @include(if: true) { name rollover { __typename } }
        }""",
        as_=owner,
        node=node_id,
        id=other.id,
    )
    assert answer.data == {"node": None, "client": {"name": "other", "rollover": None}}
    assert answer.codes == ["UNAVAILABLE"]
    assert answer.status == 503
