"""The changes of clients: register, edit, enable, disable, delete."""

from collections.abc import Sequence
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
from gql_secrets.domain.credentials import mint_client_id
from gql_secrets.domain.details import NO_DETAILS, ClientDetails
from gql_secrets.domain.errors import InvalidAllowList, LastOwner
from gql_secrets.domain.field_names import camel_case
from gql_secrets.domain.networks import EVERYWHERE, AllowList
from gql_secrets.domain.rotation import End, SecretEndReason
from gql_secrets.domain.search import search_text
from gql_secrets.domain.sessions import SessionEndReason
from gql_secrets.domain.texts import folded
from gql_secrets.service.changes import Change, Changes, ClientChange
from gql_secrets.service.client_details import COLUMNS, NO_EDIT, DetailsEdit
from gql_secrets.service.client_results import Deletion, Edit
from gql_secrets.service.new_clients import (
    NewClient,
    Registration,
    register,
    values_of_features,
    values_of_networks,
)
from gql_secrets.service.session_ends import end_what_client_made
from gql_secrets.storage.models import MAX_FOLDED, Client, ClientFeature, ClientListing, ClientNetwork
from gql_secrets.storage.urgency import ending


class Unchanged(Enum):
    """The default of an argument that was left out. None has a meaning: it removes a description."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


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
        new = NewClient(
            mint_client_id(),
            parse_name(name),
            parse_description(description),
            parse_features(features),
            AllowList.parse(allow_list) if allow_list is not None else EVERYWHERE,
            self_reset=self_reset,
            details=details,
        )

        async def work(change: Change) -> Registration:
            require_role(change.caller, Role.ADMIN)
            require_current_secret(change.caller, new.features, argument="features")
            if Feature.ACTS_FOR_USERS in new.features:
                require_no_old_secret(change.caller, argument="features")
            if new.self_reset:
                require_no_old_secret(change.caller, argument="self_reset")
            return await register(change, new)

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
            edited.append(camel_case(name))
    client.name_folded = folded(client.name)[:MAX_FOLDED]
    return edited


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
