"""The changes of clients: register, edit, enable, disable, delete."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tortoise.queryset import QuerySet

from gql_secrets.domain.access import (
    Caller,
    Feature,
    Role,
    parse_features,
    require_current_secret,
    require_no_old_secret,
    require_role,
    role_of,
)
from gql_secrets.domain.audit import AuditAction, parse_reason
from gql_secrets.domain.clients import parse_description, parse_name
from gql_secrets.domain.credentials import PlaintextSecret, mint_client_id
from gql_secrets.domain.details import NO_DETAILS, ClientDetails
from gql_secrets.domain.errors import Conflict, InvalidAllowList, LastOwner
from gql_secrets.domain.networks import EVERYWHERE, AllowList
from gql_secrets.domain.rotation import End, SecretEndReason
from gql_secrets.domain.search import search_text
from gql_secrets.domain.sessions import SessionEndReason
from gql_secrets.domain.texts import folded
from gql_secrets.service.changes import Change, Changes, ClientChange
from gql_secrets.service.client_details import COLUMNS, NO_EDIT, DetailsEdit, values_of_details, values_of_labels
from gql_secrets.service.client_results import Deletion, Edit
from gql_secrets.service.secret_store import store_secret
from gql_secrets.service.session_ends import end_what_client_made
from gql_secrets.storage.errors import IntegrityError
from gql_secrets.storage.models import MAX_FOLDED, Client, ClientFeature, ClientLabel, ClientListing, ClientNetwork
from gql_secrets.storage.urgency import ending


class Unchanged(Enum):
    """The default of an argument that was left out. None has a meaning: it removes a description."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class Registration:
    """A new client with its first secret. `secret` is the only copy of the plaintext."""

    client: Client
    secret: PlaintextSecret


class Clients:
    """Registers and edits clients."""

    def __init__(self, changes: Changes) -> None:
        """Change clients through `changes`."""
        self._changes = changes

    async def create_client(
        self,
        name: str,
        *,
        by: Caller,
        description: str | None = None,
        features: Sequence[str] = (),
        allow_list: Sequence[str] | None = None,
        self_reset: bool = False,
        details: ClientDetails = NO_DETAILS,
    ) -> Registration:
        """Register a client and create its first secret.

        Raises:
            Refusal: INVALID_NAME, INVALID_DESCRIPTION, INVALID_FEATURE or INVALID_ALLOW_LIST.
            Forbidden: the caller is not ADMIN, or signed in with an old secret and grants a role or `self_reset`.
        """
        require_role(by, Role.ADMIN)
        name, description = parse_name(name), parse_description(description)
        wanted = parse_features(features)
        networks = AllowList.parse(allow_list) if allow_list is not None else None

        async def work(change: Change) -> Registration:
            require_role(change.caller, Role.ADMIN)
            require_current_secret(change.caller, wanted, argument="features")
            if Feature.ACTS_FOR_USERS in wanted:
                require_no_old_secret(change.caller, argument="features")
            if self_reset:
                require_no_old_secret(change.caller, argument="self_reset")
            return await register(
                change,
                mint_client_id(),
                name,
                description,
                wanted,
                networks,
                self_reset=self_reset,
                details=details,
            )

        return await self._changes.change_installation(by, work)

    async def update_client(
        self,
        client_id: str,
        *,
        by: Caller,
        name: str | Unchanged = UNCHANGED,
        description: str | Unchanged | None = UNCHANGED,
        features: Sequence[str] | Unchanged = UNCHANGED,
        allow_list: Sequence[str] | Unchanged = UNCHANGED,
        self_reset: bool | Unchanged = UNCHANGED,
        details: DetailsEdit = NO_EDIT,
    ) -> Edit:
        """Edit the given fields. If nothing differs, nothing is written and there is no audit event.

        Raises:
            Refusal: INVALID_NAME, INVALID_DESCRIPTION, INVALID_FEATURE, INVALID_ALLOW_LIST, CLIENT_NOT_FOUND,
                LAST_OWNER or CONFLICT.
            Forbidden: the caller is not ADMIN, or signed in with an old secret and the client has or gets a role, or
                gets `self_reset`.
        """
        require_role(by, Role.ADMIN)
        new_name = name if name is UNCHANGED else parse_name(name)
        new_description = description if description is UNCHANGED else parse_description(description)
        new_features = features if features is UNCHANGED else parse_features(features)
        networks = allow_list if allow_list is UNCHANGED else AllowList.parse(allow_list)

        async def work(change: ClientChange) -> Client:
            require_role(change.caller, Role.ADMIN)
            require_current_secret(change.caller, change.features)
            if new_features is not UNCHANGED:
                _require_may_grant(change, new_features)
            client = change.client
            if self_reset is True and not client.self_reset:
                require_no_old_secret(change.caller, argument="self_reset")
            edited = _edit(client, name=new_name, description=new_description, self_reset=self_reset)
            reduced = ["selfReset"] if "selfReset" in edited and not client.self_reset else []
            if new_features is not UNCHANGED and new_features != change.features:
                if Feature.OWNER in change.features and Feature.OWNER not in new_features:
                    await _require_another_owner(change)
                await _write_features(change, client, new_features)
                edited.append("features")
                reduced += ["features"] if new_features < change.features else []
            if networks is not UNCHANGED and networks.texts != (before := await allow_list_of(change, client)):
                _require_own_address(change, networks)
                await _write_networks(change, client, networks)
                edited.append("allowList")
                reduced += ["allowList"] if networks.is_within(AllowList.parse(before)) else []
            edited += await details.apply(change)
            change.note_only_ends(edited == reduced)
            if edited:
                await client.save(
                    using_db=change.connection,
                    update_fields=["name", "name_folded", "description", "is_restricted", "self_reset", *COLUMNS],
                )
                await _listing_of(change).update(search_text=search_text(client.name, client_id, client.description))
                await change.record_next_generation(AuditAction.CLIENT_UPDATED, edited_fields=edited)
                if new_features is not UNCHANGED and role_of(new_features) is not Role.ADMIN:
                    await end_what_client_made(change, client_id, SessionEndReason.ROLE_LOST)
            return client

        may_end = (new_name, new_description, details) == (UNCHANGED, UNCHANGED, NO_EDIT) and self_reset is not True
        with ending(may_end):
            return Edit(*await self._changes.change_client_everywhere(client_id, by, work))

    async def set_client_enabled(self, client_id: str, *, enabled: bool, by: Caller, reason: str | None = None) -> Edit:
        """Enable or disable a client. Its retained secret still expires while it is disabled (rule 12).

        Raises:
            Refusal: INVALID_REASON, CLIENT_NOT_FOUND, LAST_OWNER or CONFLICT.
            Forbidden: the caller is not ADMIN, or signed in with an old secret and the client has or gets a role.
        """
        require_role(by, Role.ADMIN)
        why = parse_reason(reason)

        async def work(change: ClientChange) -> Client:
            require_role(change.caller, Role.ADMIN)
            require_current_secret(change.caller, change.features)
            client = change.client
            if client.enabled == enabled:
                return client
            if not enabled and Feature.OWNER in change.features:
                await _require_another_owner(change)
            client.enabled = enabled
            await client.save(using_db=change.connection, update_fields=["enabled"])
            action = AuditAction.CLIENT_ENABLED if enabled else AuditAction.CLIENT_DISABLED
            await change.record_next_generation(action, reason=why)
            if not enabled:
                await end_what_client_made(change, client_id)
            return client

        with ending(not enabled):
            return Edit(*await self._changes.change_client_everywhere(client_id, by, work))

    async def delete_client(self, client_id: str, *, by: Caller, reason: str | None = None) -> Deletion:
        """Delete a client and end its secrets. Its row stays, so that its id is never reused.

        Raises:
            Refusal: INVALID_REASON, CLIENT_NOT_FOUND, LAST_OWNER or CONFLICT.
            Forbidden: the caller is not ADMIN, or signed in with an old secret and the client has or gets a role.
        """
        require_role(by, Role.ADMIN)
        why = parse_reason(reason)

        async def work(change: ClientChange) -> str:
            require_role(change.caller, Role.ADMIN)
            require_current_secret(change.caller, change.features)
            if Feature.OWNER in change.features and change.client.enabled:
                await _require_another_owner(change)
            ends = [End(secret, SecretEndReason.CLIENT_DELETED) for secret in change.active.all]
            await change.end(*ends)
            change.client.deleted_at = change.now
            await change.client.save(using_db=change.connection, update_fields=["deleted_at"])
            await _listing_of(change).delete()
            await change.record_next_generation(AuditAction.CLIENT_DELETED, ended=ends, reason=why)
            await end_what_client_made(change, client_id)
            return change.client.client_id

        with ending():
            return Deletion(*await self._changes.change_client_everywhere(client_id, by, work))


def _edit(client: Client, **values: str | bool | Unchanged | None) -> list[str]:
    """Change these columns of a client; return the names, as the audit log has them, of those that differed."""
    edited = []
    for name, value in values.items():
        if value is not UNCHANGED and value != getattr(client, name):
            setattr(client, name, value)
            first, *others = name.split("_")
            edited.append(first + "".join(map(str.capitalize, others)))
    client.name_folded = folded(client.name)[:MAX_FOLDED]
    return edited


async def register(
    change: Change,
    client_id: str,
    name: str,
    description: str | None,
    features: frozenset[Feature],
    allow_list: AllowList | None,
    *,
    self_reset: bool = False,
    details: ClientDetails = NO_DETAILS,
) -> Registration:
    """Write a new client with a new secret, as a part of a change.

    Raises:
        Conflict: the client id is in use, or was used by a deleted client.
    """
    plaintext = PlaintextSecret.mint()
    client = await write_client(
        change, client_id, name, description, features, allow_list, self_reset=self_reset, details=details
    )
    secret = await store_secret(change, client, plaintext)
    await change.record(
        AuditAction.CLIENT_CREATED,
        client_id=client_id,
        generation_before=0,
        generation_after=client.generation,
        secret_id=secret.id,
    )
    return Registration(client, plaintext)


async def write_client(
    change: Change,
    client_id: str,
    name: str,
    description: str | None,
    features: frozenset[Feature],
    allow_list: AllowList | None,
    *,
    self_reset: bool = False,
    details: ClientDetails = NO_DETAILS,
) -> Client:
    """Write the rows of a new client without a secret, as a part of a change.

    Raises:
        Conflict: the client id is in use, or was used by a deleted client.
    """
    client = Client(
        **values_of_client(change, client_id, name, description, allow_list, self_reset=self_reset, details=details)
    )
    try:
        await client.save(using_db=change.connection, force_create=True)
    except IntegrityError as error:
        raise Conflict(
            "This client id is in use, or was used by a deleted client: ids are never reused.", argument="client_id"
        ) from error
    await change.tx.insert(ClientListing, [values_of_listing(client_id, name, description)])
    await change.tx.insert(ClientFeature, values_of_features(client_id, features))
    await change.tx.insert(ClientNetwork, values_of_networks(client_id, allow_list))
    await change.tx.insert(ClientLabel, values_of_labels(client_id, details.labels))
    return client


def values_of_client(
    change: Change,
    client_id: str,
    name: str,
    description: str | None,
    allow_list: AllowList | None,
    *,
    self_reset: bool,
    details: ClientDetails,
) -> dict[str, object]:
    """Return the row of a new client."""
    return {
        "client_id": client_id,
        "client_id_folded": folded(client_id)[:MAX_FOLDED],
        "name": name,
        "name_folded": folded(name)[:MAX_FOLDED],
        "description": description,
        "is_restricted": allow_list is not None and not allow_list.is_everywhere,
        "self_reset": self_reset,
        "generation": 1,
        "created_at": change.now,
        **values_of_details(details),
    }


def values_of_listing(client_id: str, name: str, description: str | None) -> dict[str, object]:
    """Return the row by which lists find a new client."""
    return {"client_id": client_id, "search_text": search_text(name, client_id, description)}


def values_of_features(client_id: str, features: frozenset[Feature]) -> list[dict[str, object]]:
    """Return the rows of a client's features."""
    return [{"client_id": client_id, "feature": feature.value} for feature in sorted(features)]


def values_of_networks(client_id: str, allow_list: AllowList | None) -> list[dict[str, object]]:
    """Return the rows of a client's allow list; none if every address is allowed."""
    if allow_list is None or allow_list.is_everywhere:
        return []
    return [
        {"client_id": client_id, "position": position, "network": text}
        for position, text in enumerate(allow_list.texts)
    ]


def _listing_of(change: ClientChange) -> QuerySet[ClientListing]:
    return ClientListing.filter(client_id=change.client.client_id).using_db(change.connection)


async def _write_features(change: Change, client: Client, features: frozenset[Feature]) -> None:
    await ClientFeature.filter(client_id=client.client_id).using_db(change.connection).delete()
    await change.tx.insert(ClientFeature, values_of_features(client.client_id, features))


async def _write_networks(change: Change, client: Client, allow_list: AllowList) -> None:
    await ClientNetwork.filter(client_id=client.client_id).using_db(change.connection).delete()
    client.is_restricted = not allow_list.is_everywhere
    await change.tx.insert(ClientNetwork, values_of_networks(client.client_id, allow_list))


async def allow_list_of(change: Change, client: Client) -> tuple[str, ...]:
    """Return the client's allow list as text."""
    if not client.is_restricted:
        return EVERYWHERE.texts
    query = ClientNetwork.filter(client_id=client.client_id).using_db(change.connection).order_by("position")
    return tuple(str(text) for text in await query.values_list("network", flat=True))


async def _require_another_owner(change: ClientChange) -> None:
    """Pass if there is another enabled owner. Exact, since every change waits for the installation's row.

    Raises:
        LastOwner: there is not.
    """
    others = ClientFeature.filter(feature=Feature.OWNER.value, client__enabled=True, client__deleted_at=None).exclude(
        client_id=change.client.client_id
    )
    if change.client.enabled and not await others.using_db(change.connection).exists():
        raise LastOwner


def _require_may_grant(change: ClientChange, features: frozenset[Feature]) -> None:
    """Pass unless a caller on an old secret would grant a role, or the right to act for users.

    Raises:
        Forbidden: `reason` is `RETAINED_SECRET`; `argument` is `features`.
    """
    require_current_secret(change.caller, features, argument="features")
    if Feature.ACTS_FOR_USERS in features - change.features:
        require_no_old_secret(change.caller, argument="features")


def _require_own_address(change: ClientChange, allow_list: AllowList) -> None:
    caller = change.caller
    if caller.has_credentials_of(change.client.client_id) and caller.address and not allow_list.allows(caller.address):
        raise InvalidAllowList("This allow list excludes the address that you are calling from. Add it.")
