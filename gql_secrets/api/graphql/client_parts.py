"""Which parts of what a field returns an operation needs: most select little of it, and only that is read."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from gql_secrets.api.graphql.context import Info
from gql_secrets.graphql_server.selections import selected_names
from gql_secrets.storage.client_rows import WHOLE_CLIENT, ClientPart

_NONE: Final = ClientPart(0)
# What a field of this name needs, regardless of its type. All others need everything.
_PARTS: Final[Mapping[str, ClientPart]] = {
    **dict.fromkeys(
        (
            *("__typename", "nodes", "edges", "node", "cursor", "totalCount"),
            *("pageInfo", "hasNextPage", "hasPreviousPage", "startCursor", "endCursor"),
            *("id", "clientId", "name", "enabled", "generation", "allowList", "currentSecret", "expiresAt"),
        ),
        _NONE,
    ),
    **dict.fromkeys(
        ("description", "selfReset", "contact", "maximumAgeDays", "effectiveMaximumAgeDays"), ClientPart.DETAILS
    ),
    **dict.fromkeys(("createdAt", "hint"), ClientPart.HINTS),
    **dict.fromkeys(("oldSecret", "inRollover"), ClientPart.OLD_SECRET),
    "rotationDueAt": ClientPart.HINTS | ClientPart.DETAILS,
    **dict.fromkeys(
        ("createdBy", "createdByName", "replacedAt", "firstUsedAt", "isWeak", "state"),
        ClientPart.HINTS | ClientPart.SECRETS,
    ),
    **dict.fromkeys(
        (
            *("features", "viewerCanResetSecret", "viewerCanSmoothReset"),
            *("viewerCanRevokeOldSecret", "viewerCanEdit"),
        ),
        ClientPart.FEATURES,
    ),
    "labels": ClientPart.LABELS,
}

_COUNT: Final = frozenset(("totalCount", "__typename"))


def client_parts(info: Info) -> ClientPart:
    """Return what is needed of the clients that a field returns."""
    raw = info._raw_info  # noqa: SLF001  Strawberry has no public name for the nodes of a field
    return _needed(selected_names(raw.field_nodes, raw.fragments))


def selects_only_count(info: Info) -> bool:
    """Return whether nothing is selected of the connection that a field returns but the number of its items."""
    raw = info._raw_info  # noqa: SLF001  as above
    return selected_names(raw.field_nodes, raw.fragments) <= _COUNT


@lru_cache(maxsize=512)
def _needed(names: frozenset[str]) -> ClientPart:
    parts = _NONE
    for name in names:
        parts |= _PARTS.get(name, WHOLE_CLIENT)
    return parts
