"""The roles (docs/rules.md, "Who may do what") over the whole schema: a field without a decision fails."""

from typing import Any, Final

import pytest
from graphql import GraphQLObjectType, build_schema
from support.callers import CLI, DAY, HARD, Made, sign_in
from support.installation import MakeClient

from gql_secrets.api.graphql.schema import print_schema
from gql_secrets.wiring import Services

# Roles do not depend on the kind of database: one is enough.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ANYONE, VIEWER, OPERATOR, ADMIN = 0, 1, 2, 3
SCHEMA: Final = build_schema(print_schema(), assume_valid_sdl=True)

# The least powerful role for every root field, with an operation that this role may use.
ROOT: Final[dict[str, tuple[int, str]]] = {
    "Query.viewer": (ANYONE, "{ viewer { name } }"),
    "Query.serverTime": (ANYONE, "{ serverTime }"),
    "Query.revision": (VIEWER, "{ revision }"),
    "Query.client": (VIEWER, '{ client(clientId: "ID") { name } }'),
    "Query.overview": (VIEWER, "{ overview { total } }"),
    "Query.webhooks": (ADMIN, "{ webhooks { id } }"),
    "Mutation.createWebhook": (
        ADMIN,
        'mutation { createWebhook(url: "https://example.com/", events: [SECRET_RESET]) { webhook { id } } }',
    ),
    "Mutation.updateWebhook": (ADMIN, 'mutation { updateWebhook(webhookId: "V2ViaG9vazox") { webhook { id } } }'),
    "Mutation.deleteWebhook": (ADMIN, 'mutation { deleteWebhook(webhookId: "V2ViaG9vazox") { deletedId } }'),
    "Mutation.rotateWebhookSecret": (
        ADMIN,
        'mutation { rotateWebhookSecret(webhookId: "V2ViaG9vazox") { webhook { id } } }',
    ),
    "Mutation.testWebhook": (ADMIN, 'mutation { testWebhook(webhookId: "V2ViaG9vazox") { delivery { id } } }'),
    "Mutation.redeliverWebhook": (
        ADMIN,
        'mutation { redeliverWebhook(deliveryId: "V2ViaG9va0RlbGl2ZXJ5OjE") { delivery { id } } }',
    ),
    "Query.cluster": (ADMIN, "{ cluster { members { own } } }"),
    "Query.rotationPolicy": (VIEWER, "{ rotationPolicy { maximumAgeDays } }"),
    "Query.clients": (VIEWER, "{ clients { totalCount } }"),
    "Query.node": (VIEWER, '{ node(id: "Q2xpZW50Onh4") { id } }'),
    "Query.nodes": (VIEWER, '{ nodes(ids: ["Q2xpZW50Onh4"]) { id } }'),
    "Query.auditEvents": (ADMIN, "{ auditEvents { totalCount } }"),
    "Query.auditExport": (ADMIN, "{ auditExport(first: 1) }"),
    "Query.sessions": (ADMIN, "{ sessions { totalCount } }"),
    "Mutation.endSession": (ADMIN, 'mutation { endSession(sessionId: "U2Vzc2lvbjox") { userErrors { code } } }'),
    "Mutation.endSessions": (ADMIN, 'mutation { endSessions(actor: "user:link/1") { endedCount } }'),
    "Mutation.createSignInLink": (ADMIN, 'mutation { createSignInLink(role: ADMIN, name: "x") { expiresAt } }'),
    "Mutation.createClient": (ADMIN, 'mutation { createClient(name: "x") { secret } }'),
    "Mutation.updateClient": (ADMIN, 'mutation { updateClient(clientId: "ID", name: "y") { client { name } } }'),
    "Mutation.setClientEnabled": (
        ADMIN,
        'mutation { setClientEnabled(clientId: "ID", enabled: false) { client { enabled } } }',
    ),
    "Mutation.deleteClient": (ADMIN, 'mutation { deleteClient(clientId: "ID") { deletedClientId } }'),
    "Mutation.resetSecret": (OPERATOR, 'mutation { resetSecret(clientId: "ID", hoursToLive: 0) { newSecret } }'),
    "Mutation.revokeOldSecret": (ADMIN, 'mutation { revokeOldSecret(clientId: "ID") { alreadyEnded } }'),
    "Mutation.resetSecrets": (
        ADMIN,
        (
            'mutation { resetSecrets(targets: {clientId: "ID"}, hoursToLive: 1, idempotencyKey: "0123456789abcdef") '
            "{ results { newSecret } } }"
        ),
    ),
    "Mutation.revokeOldSecrets": (
        ADMIN,
        (
            'mutation { revokeOldSecrets(targets: [{clientId: "ID", secretId: "Q2xpZW50U2VjcmV0OjE"}]) '
            "{ results { alreadyEnded } } }"
        ),
    ),
    "Mutation.changeRetention": (
        ADMIN,
        'mutation { changeRetention(clientId: "ID", hoursToLive: 5) { clamped userErrors { code } } }',
    ),
    "Mutation.signOut": (ANYONE, "mutation { signOut { signedOut } }"),
    "Mutation.cancelRollover": (ADMIN, 'mutation { cancelRollover(clientId: "ID") { userErrors { code } } }'),
}
# Fields that require a higher role than the field that returns their object.
INNER: Final[dict[str, tuple[int, str]]] = {
    "Client.auditEvents": (ADMIN, '{ client(clientId: "ID") { auditEvents { totalCount } } }'),
    "Client.unknownSecretAttempts": (OPERATOR, '{ client(clientId: "ID") { unknownSecretAttempts } }'),
    "Client.lastUnknownSecretAttemptAt": (OPERATOR, '{ client(clientId: "ID") { lastUnknownSecretAttemptAt } }'),
    "Rollover.sources": (OPERATOR, '{ client(clientId: "ID") { rollover { sources { state } } } }'),
    "ClientSecret.uses": (OPERATOR, '{ client(clientId: "ID") { currentSecret { uses { count } } } }'),
}
# Types whose other fields are visible to every caller that gets the object.
OPEN_TYPES: Final = {
    "AuditEvent",
    "AuditEventConnection",
    "AuditEventEdge",
    "Client",
    "ClientConnection",
    "ClientEdge",
    "ClientEvent",
    "ClientSecret",
    "ClientSecretConnection",
    "ClientSecretEdge",
    "Cluster",
    "ClusterMember",
    "EndedSecret",
    "Overview",
    "PageInfo",
    "ResetSecretResult",
    "RevokeOldSecretResult",
    "Rollover",
    "RolloverSource",
    "RolloverInProgress",
    "RotationPolicy",
    "SecretUse",
    "Session",
    "SessionConnection",
    "SessionEdge",
    "UsageBucket",
    "UserError",
    "Viewer",
    "Webhook",
    "WebhookDelivery",
}
ARGUMENT: Final[dict[str, tuple[int, str]]] = {
    "Mutation.resetSecret(hoursToLive)": (
        ADMIN,
        'mutation { resetSecret(clientId: "ID", hoursToLive: 24) { newSecret } }',
    ),
    "Mutation.resetSecret(endActiveRollover)": (
        ADMIN,
        'mutation { resetSecret(clientId: "ID", hoursToLive: 24, endActiveRollover: true) { newSecret } }',
    ),
}
DECISIONS: Final = ROOT | INNER | ARGUMENT
# Subscriptions use other transports: test_subscriptions.py tests them.
STREAMS: Final[dict[str, int]] = {"Subscription.clientEvents": VIEWER}
# The role of the field through which these are reached: its guard is checked first.
OUTER: Final = {
    "Client.auditEvents": VIEWER,
    "Client.unknownSecretAttempts": VIEWER,
    "Client.lastUnknownSecretAttemptAt": VIEWER,
    "ClientSecret.uses": VIEWER,
    "Rollover.sources": VIEWER,
    "Mutation.resetSecret(hoursToLive)": OPERATOR,
    "Mutation.resetSecret(endActiveRollover)": OPERATOR,
}
# What a client with selfReset may do for itself, with any of its secrets and with its current one: the table of
# test_self_in_roles.py.
SELF_READS: Final = {"Query.client", "ClientSecret.uses", "Rollover.sources"}
SELF_CHANGES: Final = {
    "Mutation.resetSecret(hoursToLive)",
    "Mutation.revokeOldSecret",
    "Mutation.cancelRollover",
}
CALLERS: Final = {"anonymous": -1, "roleless": 0, "viewer": VIEWER, "operator": OPERATOR, "owner": ADMIN}


@pytest.mark.usefixtures("database_url")
def test_every_field_of_the_schema_has_a_decision():
    undecided = []
    for type_ in SCHEMA.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        for field in type_.fields:
            name = f"{type_.name}.{field}"
            if (
                name not in {*DECISIONS, *STREAMS}
                and type_.name not in OPEN_TYPES
                and not type_.name.endswith("Payload")
            ):
                undecided.append(name)
    assert undecided == []


@pytest.mark.usefixtures("database_url")
def test_the_schema_prints_the_decided_roles():
    """The printed guards are the real ones: `@requiresRole` on the field or the argument."""
    names = {VIEWER: "VIEWER", OPERATOR: "OPERATOR", ADMIN: "ADMIN"}
    printed: dict[str, str] = {}
    printed_self: set[str] = set()
    for type_ in SCHEMA.type_map.values():
        for field, definition in type_.fields.items() if isinstance(type_, GraphQLObjectType) else ():
            if definition.ast_node is None:
                continue
            nodes = [(f"{type_.name}.{field}", definition.ast_node)]
            nodes += [
                (f"{type_.name}.{field}({each.name.value})", each) for each in definition.ast_node.arguments or ()
            ]
            for name, node in nodes:
                for directive in node.directives or ():
                    values = {each.name.value: each.value for each in directive.arguments}
                    printed.setdefault(name, values["roles"].values[-1].value)  # the first one is the strictest
                    if "orSelf" in values:
                        printed_self.add(name)
    decided = {name: least for name, (least, _) in DECISIONS.items()} | STREAMS
    assert printed == {name: names[least] for name, least in decided.items() if least > ANYONE}
    assert printed_self == SELF_READS | SELF_CHANGES | {"Mutation.resetSecret"}


@pytest.mark.parametrize("field", DECISIONS)
@pytest.mark.parametrize("who", CALLERS)
async def test_a_role_is_allowed_what_the_table_says(
    field: str, who: str, gql: Any, make_client: MakeClient, services: Services
):
    least, operation = DECISIONS[field]
    target = await make_client()
    if field.startswith("Rollover."):
        await services.rotation.reset_secret(target.id, DAY, by=CLI)
    caller = None if who == "anonymous" else await make_client(*([] if who == "roleless" else [who]), name=who)

    answer = await gql(operation.replace("ID", target.id), as_=caller)

    if CALLERS[who] >= least or least == ANYONE:
        assert answer.errors == []
    elif caller is None:
        assert answer.codes == ["UNAUTHENTICATED"]
    else:
        is_stopped_before = CALLERS[who] < OUTER.get(field, 0)
        required = OUTER[field] if is_stopped_before else least
        assert answer.codes == ["FORBIDDEN"]
        assert answer.errors[0]["extensions"]["requiredRoles"] == ["ADMIN", "OPERATOR", "VIEWER"][: 4 - required]
        argument = "hoursToLive" if "(" in field and not is_stopped_before else None
        assert answer.errors[0]["extensions"].get("argument") == argument


@pytest.mark.parametrize("features", [["owner"], ["operator"], ["viewer"], []])
async def test_an_operator_cannot_reset_a_client_with_a_higher_role(
    features: list[str], gql: Any, make_client: MakeClient
):
    operator, target = await make_client("operator"), await make_client(*features)
    answer = await gql(
        f'mutation {{ resetSecret(clientId: "{target.id}", hoursToLive: 0) {{ newSecret }} }}', as_=operator
    )
    if features == ["owner"]:
        assert answer.codes == ["FORBIDDEN"]
        assert answer.errors[0]["extensions"]["argument"] == "clientId"
    else:
        assert answer["resetSecret"]["newSecret"]


CHANGES: Final = {
    "reset": 'resetSecret(clientId: "ID", hoursToLive: 0) { userErrors { code } }',
    "smooth": 'resetSecret(clientId: "ID", hoursToLive: 1, endActiveRollover: true) { userErrors { code } }',
    "revoke": 'revokeOldSecret(clientId: "ID") { userErrors { code } }',
    "retention": 'changeRetention(clientId: "ID", hoursToLive: 1) { userErrors { code } }',
    "cancel": 'cancelRollover(clientId: "ID") { userErrors { code } }',
    "edit": 'updateClient(clientId: "ID", description: "d") { userErrors { code } }',
    "disable": 'setClientEnabled(clientId: "ID", enabled: false) { userErrors { code } }',
    "delete": 'deleteClient(clientId: "ID") { userErrors { code } }',
}


@pytest.mark.parametrize("feature", ["owner", "operator", "viewer", None])
@pytest.mark.parametrize("change", CHANGES)
async def test_an_old_owner_secret_cannot_change_clients_with_a_role(
    change: str, feature: str | None, gql: Any, make_client: MakeClient, services: Services
):
    """A caller on an old owner secret may read, and change clients without a role, and no others."""
    owner = await make_client("owner")
    admin = await sign_in(services, owner.id, owner.secret)
    await services.rotation.reset_secret(owner.id, DAY, by=admin)  # now `owner.secret` is the old one
    target = await make_client(*([feature] if feature else []))

    assert (await gql("{ clients { totalCount } }", as_=owner))["clients"]["totalCount"] == 3
    answer = await gql(f"mutation {{ {CHANGES[change].replace('ID', target.id)} }}", as_=owner)

    if feature is None:
        assert answer.errors == []
    else:
        assert answer.codes == ["FORBIDDEN"]
        assert answer.errors[0]["extensions"]["reason"] == "RETAINED_SECRET"


@pytest.mark.parametrize("change", CHANGES)
async def test_an_old_owner_secret_cannot_change_its_own_client(
    change: str, gql: Any, make_client: MakeClient, services: Services
):
    owner = await make_client("owner")
    await services.rotation.reset_secret(owner.id, DAY, by=await sign_in(services, owner.id, owner.secret))
    answer = await gql(f"mutation {{ {CHANGES[change].replace('ID', owner.id)} }}", as_=owner)
    assert answer.codes == ["FORBIDDEN"]
    assert answer.errors[0]["extensions"]["reason"] == "RETAINED_SECRET"


@pytest.mark.parametrize("feature", ["owner", "operator", "viewer"])
async def test_an_old_owner_secret_cannot_grant_a_role(
    feature: str, gql: Any, make_client: MakeClient, services: Services, client: Made
):
    owner = await make_client("owner")
    await services.rotation.reset_secret(owner.id, DAY, by=await sign_in(services, owner.id, owner.secret))
    for operation in (
        f'createClient(name: "x", features: [{feature.upper()}]) {{ secret }}',
        f'updateClient(clientId: "{client.id}", features: [{feature.upper()}]) {{ client {{ name }} }}',
    ):
        answer = await gql(f"mutation {{ {operation} }}", as_=owner)
        assert answer.codes == ["FORBIDDEN"]
        assert answer.errors[0]["extensions"]["reason"] == "RETAINED_SECRET"
        assert answer.errors[0]["extensions"]["argument"] == "features"


@pytest.mark.parametrize(
    "field",
    ["Mutation.resetSecrets", "Mutation.revokeOldSecrets", *(name for name in ROOT if "ebhook" in name)],
)
async def test_an_old_owner_secret_cannot_change_many_clients(
    field: str, gql: Any, make_client: MakeClient, services: Services, client: Made
):
    owner = await make_client("owner")
    await services.rotation.reset_secret(owner.id, DAY, by=await sign_in(services, owner.id, owner.secret))
    answer = await gql(DECISIONS[field][1].replace("ID", client.id), as_=owner)
    assert answer.codes == ["FORBIDDEN"]
    assert answer.errors[0]["extensions"]["reason"] == "RETAINED_SECRET"


async def test_viewer_can_fields_follow_the_role_and_the_secret_of_the_viewer(
    gql: Any, make_client: MakeClient, services: Services
):
    """A frontend hides what the viewer cannot use: it selects these fields instead of comparing roles."""
    fields = "viewerCanResetSecret viewerCanSmoothReset viewerCanRevokeOldSecret viewerCanEdit"
    plain, boss = await make_client(), await make_client("owner")
    rights = {}
    for who in ("viewer", "operator", "owner"):
        caller = await make_client(who)
        for target, name in ((plain, "plain"), (boss, "boss")):
            answer = await gql(f'{{ client(clientId: "{target.id}") {{ {fields} }} }}', as_=caller)
            rights[who, name] = list(answer["client"].values())
    assert rights == {
        ("viewer", "plain"): [False, False, False, False],
        ("viewer", "boss"): [False, False, False, False],
        ("operator", "plain"): [True, False, False, False],
        ("operator", "boss"): [False, False, False, False],
        ("owner", "plain"): [True, True, True, True],
        ("owner", "boss"): [True, True, True, True],
    }
    await services.rotation.reset_secret(boss.id, DAY, by=await sign_in(services, boss.id, boss.secret))
    answer = await gql(f'{{ client(clientId: "{boss.id}") {{ {fields} }} }}', as_=boss)
    assert list(answer["client"].values()) == [False, False, False, False]


async def test_a_lost_role_is_lost_immediately(gql: Any, make_client: MakeClient, services: Services):
    caller = await make_client("owner")
    await gql("{ viewer { roles } }", as_=caller)
    await services.clients.update_client(caller.id, features=[], by=await sign_in(services, caller.id, caller.secret))
    assert (await gql("{ clients { totalCount } }", as_=caller)).codes == ["FORBIDDEN"]


async def test_a_hard_reset_of_the_callers_own_client_ends_the_secret_it_used(gql: Any, make_client: MakeClient):
    caller = await make_client("owner")
    answer = await gql(
        f'mutation {{ resetSecret(clientId: "{caller.id}", hoursToLive: {HARD.hours}) {{ newSecret }} }}', as_=caller
    )
    assert (await gql("{ viewer { name } }", as_=caller)).status == 401
    renewed = Made(caller.id, answer["resetSecret"]["newSecret"])
    assert (await gql("{ viewer { name } }", as_=renewed))["viewer"] == {"name": caller.id}
