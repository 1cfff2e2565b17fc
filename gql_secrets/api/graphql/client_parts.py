"""Which parts of what a field returns an operation needs: most select little of it, and only that is read."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from gql_secrets.api.graphql.context import Info
from gql_secrets.graphql_server.selections import SelectedField, selected_fields
from gql_secrets.storage.client_rows import WHOLE_CLIENT, ClientPart

_NONE: Final = ClientPart(0)
# What a field of this name needs, regardless of its type, unless it is below a secret. All others need everything.
_PARTS: Final[Mapping[str, ClientPart]] = {
    **dict.fromkeys(
        (
            *("__typename", "nodes", "edges", "node", "cursor", "totalCount"),
            *("pageInfo", "hasNextPage", "hasPreviousPage", "startCursor", "endCursor"),
            *("id", "clientId", "name", "enabled", "createdAt", "generation", "allowList"),
        ),
        _NONE,
    ),
    **dict.fromkeys(
        ("description", "selfReset", "contact", "maximumAgeDays", "effectiveMaximumAgeDays"), ClientPart.DETAILS
    ),
    "currentSecret": ClientPart.CURRENT_SECRET,
    **dict.fromkeys(("oldSecret", "inRollover"), ClientPart.OLD_SECRET),
    "rotationDueAt": ClientPart.CURRENT_SECRET | ClientPart.CREATION | ClientPart.DETAILS,
    **dict.fromkeys(
        (
            *("features", "viewerCanResetSecret", "viewerCanSmoothReset"),
            *("viewerCanRevokeOldSecret", "viewerCanEdit"),
        ),
        ClientPart.FEATURES,
    ),
    "labels": ClientPart.LABELS,
}
_SECRETS: Final = frozenset(("currentSecret", "oldSecret"))
# The same for fields selected below one of these.
_PARTS_OF_SECRETS: Final[Mapping[str, ClientPart]] = {
    **dict.fromkeys(("__typename", "expiresAt", "endedAt", "endReason"), _NONE),
    "id": ClientPart.IDS,
    "hint": ClientPart.HINTS,
    "createdAt": ClientPart.CREATION,
    **dict.fromkeys(("createdBy", "createdByName", "replacedAt", "firstUsedAt", "isWeak", "state"), ClientPart.SECRETS),
}

_COUNT: Final = frozenset(("totalCount", "__typename"))


def client_parts(info: Info) -> ClientPart:
    """Return what is needed of the clients that a field returns."""
    return needed_parts(_selected(info))


def selects_only_count(info: Info) -> bool:
    """Return whether nothing is selected of the connection that a field returns but the number of its items."""
    return all(field.name in _COUNT for field in _selected(info))


def _selected(info: Info) -> frozenset[SelectedField]:
    raw = info._raw_info  # noqa: SLF001  Strawberry has no public name for the nodes of a field
    return selected_fields(raw.field_nodes, raw.fragments)


@lru_cache(maxsize=512)
def needed_parts(selected: frozenset[SelectedField]) -> ClientPart:
    """Return what fields selected below one that returns clients need of them."""
    parts = _NONE
    for above, name in selected:
        parts |= (_PARTS_OF_SECRETS if above in _SECRETS else _PARTS).get(name, WHOLE_CLIENT)
    return parts
