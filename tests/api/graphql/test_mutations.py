"""Each mutation: success, refused value, not found, lost race, replay (not allowed: test_roles.py)."""

from typing import Any

import pytest
from support.callers import Made, is_good, verify
from support.clocks import DAYS, HOUR, MINUTE, NOW, SECOND, Clock
from support.installation import MakeClient
from support.mutations import CANCEL, DELETE, ENABLE, RESET, RETENTION, REVOKE, UPDATE

from gql_secrets.wiring import Services


def stamp(instant: Any) -> str:
    return str(instant.isoformat().replace("+00:00", "Z"))


async def test_a_smooth_reset_returns_a_new_secret_and_retains_the_old_one(
    gql: Any, owner: Made, client: Made, services: Services
):
    payload = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]

    assert payload["userErrors"] == []
    assert payload["newSecret"].startswith("gqls_")
    assert payload["oldSecretExpiresAt"] == stamp(NOW + 24 * HOUR)
    assert payload["oldSecret"]["state"] == "RETAINED"
    assert payload["oldSecret"]["hint"] == client.secret[-4:]
    assert payload["client"]["currentSecret"]["hint"] == payload["newSecret"][-4:]
    assert payload["client"]["inRollover"]
    assert payload["client"]["generation"] == 2
    assert not payload["replayed"]
    assert await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, payload["newSecret"])


async def test_a_hard_reset_ends_every_older_secret(gql: Any, owner: Made, client: Made, services: Services):
    first = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]["newSecret"]
    payload = (await gql(RESET, as_=owner, id=client.id, hours=0))["resetSecret"]

    assert payload["oldSecret"] is None
    assert payload["displacedSecret"]["endReason"] == "HARD_RESET"
    assert payload["displacedSecret"]["hint"] == client.secret[-4:]
    valid = [await is_good(services, client.id, secret) for secret in (client.secret, first, payload["newSecret"])]
    assert valid == [False, False, True]


@pytest.mark.parametrize("hours", [-1, 169, 320, 2**31 - 1, -(2**31)])
async def test_hours_out_of_bounds_are_a_user_error_and_change_nothing(hours: int, gql: Any, owner: Made, client: Made):
    payload = (await gql(RESET, as_=owner, id=client.id, hours=hours))["resetSecret"]
    [error] = payload["userErrors"]
    assert (error["code"], error["field"], error["minimum"], error["maximum"]) == (
        "INVALID_HOURS_TO_LIVE",
        ["hoursToLive"],
        0,
        168,
    )
    assert payload["newSecret"] is None
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ generation inRollover }} }}', as_=owner)
    assert answer["client"] == {"generation": 1, "inRollover": False}


@pytest.mark.parametrize(
    ("mutation", "variables"),
    [
        (RESET, {"hours": 1}),
        (REVOKE, {}),
        (RETENTION, {"hours": 1}),
        (CANCEL, {}),
        (UPDATE, {"name": "x"}),
        (ENABLE, {"enabled": True}),
        (DELETE, {}),
    ],
)
@pytest.mark.parametrize("kind", ["unknown", "deleted"])
async def test_an_unknown_client_is_not_found(
    kind: str, mutation: str, variables: dict[str, Any], gql: Any, owner: Made, client: Made
):
    client_id = "no-such-client"
    if kind == "deleted":
        client_id = client.id
        await gql(DELETE, as_=owner, id=client.id)
    answer = await gql(mutation, as_=owner, id=client_id, **variables)
    assert answer.data
    [payload] = answer.data.values()
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [("CLIENT_NOT_FOUND", ["clientId"])]


@pytest.mark.parametrize("mutation", [RESET, REVOKE, RETENTION, CANCEL])
async def test_a_change_of_a_stale_generation_is_a_conflict(mutation: str, gql: Any, owner: Made, client: Made):
    """The lost race: a stale page cannot change a client that has changed since."""
    await gql(RESET, as_=owner, id=client.id, hours=24)
    hours = {"hours": 5} if "$hours" in mutation else {}
    answer = await gql(mutation, as_=owner, id=client.id, generation=1, **hours)
    [payload] = answer.data.values()
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [("CONFLICT", ["ifGeneration"])]
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ generation inRollover }} }}', as_=owner)
    assert answer["client"] == {"generation": 2, "inRollover": True}


async def test_a_replay_returns_the_same_new_secret(gql: Any, owner: Made, client: Made):
    """GitLab #524639: a retry of a rotation ended the new token."""
    key = "6d1f3c0e-replay-me"
    first = (await gql(RESET, as_=owner, id=client.id, hours=24, key=key))["resetSecret"]
    again = (await gql(RESET, as_=owner, id=client.id, hours=24, key=key))["resetSecret"]
    assert again["replayed"]
    assert again["newSecret"] == first["newSecret"]
    assert again["client"]["generation"] == first["client"]["generation"]


@pytest.mark.parametrize("changed", [{"hours": 25}, {"end": True}, {"generation": 1}])
async def test_an_idempotency_key_with_other_arguments_is_refused(
    changed: dict[str, Any], gql: Any, owner: Made, client: Made
):
    variables = {"id": client.id, "hours": 24, "key": "one-key-for-two-requests"}
    await gql(RESET, as_=owner, **variables)
    payload = (await gql(RESET, as_=owner, **(variables | changed)))["resetSecret"]
    assert [error["code"] for error in payload["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]


async def test_an_idempotency_key_for_another_client_is_refused(
    gql: Any, owner: Made, client: Made, make_client: MakeClient
):
    other = await make_client()
    await gql(RESET, as_=owner, id=client.id, hours=24, key="one-key-for-two-clients")
    payload = (await gql(RESET, as_=owner, id=other.id, hours=24, key="one-key-for-two-clients"))["resetSecret"]
    assert [error["code"] for error in payload["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]


async def test_an_idempotency_key_can_be_reused_after_ten_minutes(gql: Any, owner: Made, client: Made, clock: Clock):
    key = "forgotten-after-ten-minutes"
    first = (await gql(RESET, as_=owner, id=client.id, hours=24, key=key))["resetSecret"]["newSecret"]
    clock.move(10 * MINUTE)
    payload = (await gql(RESET, as_=owner, id=client.id, hours=24, key=key))["resetSecret"]
    assert payload["newSecret"] != first
    assert payload["withdrawnSecret"]["endReason"] == "WITHDRAWN"


async def test_a_replay_whose_secret_has_ended_is_refused(gql: Any, owner: Made, client: Made):
    key = "its-result-has-ended"
    await gql(RESET, as_=owner, id=client.id, hours=24, key=key)
    await gql(RESET, as_=owner, id=client.id, hours=0)
    payload = (await gql(RESET, as_=owner, id=client.id, hours=24, key=key))["resetSecret"]
    assert [error["code"] for error in payload["userErrors"]] == ["IDEMPOTENCY_RESULT_ENDED"]


async def test_an_owner_can_replay_its_own_reset_with_its_old_secret(gql: Any, make_client: MakeClient):
    boss = await make_client("owner")
    first = (await gql(RESET, as_=boss, id=boss.id, hours=24, key="my-own-reset-answer"))["resetSecret"]["newSecret"]
    again = (await gql(RESET, as_=boss, id=boss.id, hours=24, key="my-own-reset-answer"))["resetSecret"]
    assert (again["newSecret"], again["replayed"]) == (first, True)


@pytest.mark.parametrize("key", ["short", "x" * 256, "with-ümlaut-and-length"])
async def test_an_invalid_idempotency_key_is_refused(key: str, gql: Any, owner: Made, client: Made):
    payload = (await gql(RESET, as_=owner, id=client.id, hours=24, key=key))["resetSecret"]
    assert [error["code"] for error in payload["userErrors"]] == ["INVALID_IDEMPOTENCY_KEY"]


async def test_a_smooth_reset_during_a_rollover_is_refused_unless_overridden(
    gql: Any, owner: Made, client: Made, services: Services, clock: Clock
):
    new = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]["newSecret"]
    clock.move(MINUTE)
    await verify(services, client.id, client.secret)
    await verify(services, client.id, new)
    payload = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]
    [error] = payload["userErrors"]
    assert error["code"] == "ROLLOVER_IN_PROGRESS"
    assert owner.id in error["message"]

    payload = (await gql(RESET, as_=owner, id=client.id, hours=24, end=True))["resetSecret"]
    assert payload["displacedSecret"]["endReason"] == "DISPLACED"
    assert not await is_good(services, client.id, client.secret)
    assert await is_good(services, client.id, new)


async def test_a_double_click_withdraws_the_unused_secret_and_retains_the_one_in_use(
    gql: Any, owner: Made, client: Made, services: Services
):
    first = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]["newSecret"]
    second = (await gql(RESET, as_=owner, id=client.id, hours=48))["resetSecret"]
    assert second["withdrawnSecret"]["endReason"] == "WITHDRAWN"
    assert second["oldSecretExpiresAt"] == stamp(NOW + 48 * HOUR)
    valid = [await is_good(services, client.id, secret) for secret in (client.secret, first, second["newSecret"])]
    assert valid == [True, False, True]


async def test_revoking_is_idempotent(gql: Any, owner: Made, client: Made, services: Services):
    await gql(RESET, as_=owner, id=client.id, hours=24)
    first = (await gql(REVOKE, as_=owner, id=client.id))["revokeOldSecret"]
    again = (await gql(REVOKE, as_=owner, id=client.id))["revokeOldSecret"]
    assert (first["alreadyEnded"], again["alreadyEnded"]) == (False, True)
    assert first["revokedSecret"] == again["revokedSecret"]
    assert first["revokedSecret"]["endReason"] == "REVOKED"
    assert (first["client"], again["client"]) == ({"inRollover": False, "generation": 3},) * 2
    assert not await is_good(services, client.id, client.secret)


async def test_revoking_after_the_expiry_returns_the_expired_secret(gql: Any, owner: Made, client: Made, clock: Clock):
    await gql(RESET, as_=owner, id=client.id, hours=1)
    clock.move(HOUR)
    payload = (await gql(REVOKE, as_=owner, id=client.id))["revokeOldSecret"]
    assert payload["alreadyEnded"]
    assert (payload["revokedSecret"]["state"], payload["revokedSecret"]["endReason"]) == ("EXPIRED", "EXPIRED")
    assert payload["revokedSecret"]["endedAt"] == stamp(NOW + HOUR)


async def test_revoking_without_any_rollover_revokes_nothing(gql: Any, owner: Made, client: Made):
    payload = (await gql(REVOKE, as_=owner, id=client.id))["revokeOldSecret"]
    assert (payload["revokedSecret"], payload["userErrors"]) == (None, [])


async def test_revoking_a_named_secret_does_not_end_a_newer_one(
    gql: Any, owner: Made, client: Made, services: Services
):
    first = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]
    meant = first["oldSecret"]["id"]
    await verify(services, client.id, first["newSecret"])
    await gql(RESET, as_=owner, id=client.id, hours=24, end=True)  # now `first.newSecret` is the old one
    payload = (await gql(REVOKE, as_=owner, id=client.id, secret=meant))["revokeOldSecret"]
    assert payload["alreadyEnded"]
    assert payload["revokedSecret"]["endReason"] == "DISPLACED"
    assert await is_good(services, client.id, first["newSecret"])


async def test_revoking_a_current_or_foreign_secret_is_refused(
    gql: Any, owner: Made, client: Made, make_client: MakeClient
):
    current = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]["client"]["currentSecret"]["id"]
    other = await make_client()
    foreign = (await gql(RESET, as_=owner, id=other.id, hours=24))["resetSecret"]["oldSecret"]["id"]
    for secret in (current, foreign, "Q2xpZW50Ong"):
        payload = (await gql(REVOKE, as_=owner, id=client.id, secret=secret))["revokeOldSecret"]
        assert [error["code"] for error in payload["userErrors"]] == ["SECRET_NOT_OLD"]


async def test_a_retention_counts_from_now_and_is_clamped_to_seven_days(
    gql: Any, owner: Made, client: Made, clock: Clock
):
    await gql(RESET, as_=owner, id=client.id, hours=24)
    clock.move(2 * HOUR)
    shorter = (await gql(RETENTION, as_=owner, id=client.id, hours=1))["changeRetention"]
    assert (shorter["oldSecretExpiresAt"], shorter["clamped"]) == (stamp(NOW + 3 * HOUR), False)
    longest = (await gql(RETENTION, as_=owner, id=client.id, hours=168))["changeRetention"]
    assert (longest["oldSecretExpiresAt"], longest["clamped"]) == (stamp(NOW + 7 * DAYS), True)


@pytest.mark.parametrize("hours", [0, -1, 169])
async def test_a_retention_out_of_bounds_is_refused(hours: int, gql: Any, owner: Made, client: Made):
    await gql(RESET, as_=owner, id=client.id, hours=24)
    [error] = (await gql(RETENTION, as_=owner, id=client.id, hours=hours))["changeRetention"]["userErrors"]
    assert (error["code"], error["minimum"], error["maximum"]) == ("INVALID_HOURS_TO_LIVE", 1, 168)


@pytest.mark.parametrize(("mutation", "variables"), [(RETENTION, {"hours": 1}), (CANCEL, {})])
async def test_a_rollover_can_be_changed_only_during_a_rollover(
    mutation: str, variables: dict[str, Any], gql: Any, owner: Made, client: Made
):
    answer = await gql(mutation, as_=owner, id=client.id, **variables)
    [payload] = answer.data.values()
    assert [error["code"] for error in payload["userErrors"]] == ["NO_ROLLOVER"]


async def test_a_cancelled_rollover_makes_the_old_secret_current_again(
    gql: Any, owner: Made, client: Made, services: Services, clock: Clock
):
    new = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]["newSecret"]
    payload = (await gql(CANCEL, as_=owner, id=client.id))["cancelRollover"]
    assert payload["currentSecret"]["state"] == "CURRENT"
    assert (payload["currentSecret"]["replacedAt"], payload["currentSecret"]["expiresAt"]) == (None, None)
    assert payload["withdrawnSecret"]["endReason"] == "CANCELLED"
    clock.move(30 * DAYS)
    assert await is_good(services, client.id, client.secret)
    assert not await is_good(services, client.id, new)


async def test_a_rollover_whose_new_secret_was_used_cannot_be_cancelled(
    gql: Any, owner: Made, client: Made, services: Services
):
    new = (await gql(RESET, as_=owner, id=client.id, hours=24))["resetSecret"]["newSecret"]
    await verify(services, client.id, new)
    payload = (await gql(CANCEL, as_=owner, id=client.id))["cancelRollover"]
    assert [error["code"] for error in payload["userErrors"]] == ["NEW_SECRET_IN_USE"]


async def test_a_refused_sibling_does_not_erase_a_new_secret(gql: Any, owner: Made, client: Made):
    """The mutations of one request are separate changes; each committed one is returned."""
    query = f"""mutation {{
      a: resetSecret(clientId: "{client.id}", hoursToLive: 24) {{ newSecret client {{ oldSecret {{ id }} }} }}
      b: resetSecret(clientId: "nobody", hoursToLive: 24) {{ newSecret userErrors {{ code }} }}
      c: revokeOldSecret(clientId: "{client.id}") {{ client {{ oldSecret {{ id }} }} }}
    }}"""
    answer = await gql(query, as_=owner)
    assert answer["a"]["newSecret"]
    assert answer["a"]["client"]["oldSecret"]
    assert answer["b"]["userErrors"] == [{"code": "CLIENT_NOT_FOUND"}]
    assert answer["c"]["client"]["oldSecret"] is None


async def test_the_audit_records_who_did_what(gql: Any, owner: Made, client: Made, clock: Clock):
    reset = await gql(RESET, as_=owner, id=client.id, hours=24)
    clock.move(SECOND)
    await gql(REVOKE, as_=owner, id=client.id)
    answer = await gql(
        f"""{{ client(clientId: "{client.id}") {{ auditEvents(first: 2) {{ totalCount nodes {{
            at action actor actorKind surface requestId address clientId generationBefore generationAfter
            secretId endedSecrets {{ secretId reason }} hoursToLive expiresAt reason }} }} }} }}""",
        as_=owner,
    )
    revoked, made = answer["client"]["auditEvents"]["nodes"]
    old = reset["resetSecret"]["oldSecret"]["id"]
    assert answer["client"]["auditEvents"]["totalCount"] == 3
    assert made["requestId"] == reset.headers["X-Request-Id"]
    assert (made["actor"], made["actorKind"], made["surface"]) == (f"api_client:{owner.id}", "API_CLIENT", "GRAPHQL")
    assert (made["hoursToLive"], made["expiresAt"]) == (24, stamp(NOW + 24 * HOUR))
    assert (made["generationBefore"], made["generationAfter"], made["address"]) == (1, 2, "127.0.0.1")
    assert (revoked["at"], revoked["action"], revoked["reason"]) == (stamp(NOW + SECOND), "OLD_SECRET_REVOKED", None)
    assert (revoked["secretId"], revoked["endedSecrets"]) == (old, [{"secretId": old, "reason": "REVOKED"}])


async def test_the_audit_records_the_reason_of_the_caller(gql: Any, owner: Made, client: Made):
    arguments = f'clientId: "{client.id}", reason: " The contractor left. "'
    changes = [
        f"resetSecret({arguments}, hoursToLive: 24)",
        f"changeRetention({arguments}, hoursToLive: 2)",
        f"cancelRollover({arguments})",
        f"resetSecret({arguments}, hoursToLive: 24)",
        f"revokeOldSecret({arguments})",
        f"setClientEnabled({arguments}, enabled: false)",
        f"deleteClient({arguments})",
    ]
    for change in changes:
        answer = await gql(f"mutation {{ change: {change} {{ userErrors {{ code }} }} }}", as_=owner)
        assert answer["change"]["userErrors"] == []
    answer = await gql("{ auditEvents(first: 7) { nodes { action reason } } }", as_=owner)
    assert [event["reason"] for event in answer["auditEvents"]["nodes"]] == ["The contractor left."] * 7


@pytest.mark.parametrize("reason", ["x" * 201, "a\u0007b"])
async def test_a_reason_out_of_bounds_is_refused_and_changes_nothing(gql: Any, owner: Made, client: Made, reason: str):
    for mutation in (
        "resetSecret(clientId: $id, hoursToLive: 24, reason: $reason)",
        "changeRetention(clientId: $id, hoursToLive: 24, reason: $reason)",
        "cancelRollover(clientId: $id, reason: $reason)",
        "revokeOldSecret(clientId: $id, reason: $reason)",
        "setClientEnabled(clientId: $id, enabled: false, reason: $reason)",
        "deleteClient(clientId: $id, reason: $reason)",
    ):
        answer = await gql(
            f"mutation ($id: ID!, $reason: String) {{ m: {mutation} {{ userErrors {{ code field maximum }} }} }}",
            as_=owner,
            id=client.id,
            reason=reason,
        )
        assert answer["m"]["userErrors"] == [{"code": "INVALID_REASON", "field": ["reason"], "maximum": 200}]
    answer = await gql(f'{{ client(clientId: "{client.id}") {{ generation }} }}', as_=owner)
    assert answer["client"]["generation"] == 1
