"""Which tables and columns are copied from one database into another, and in which order."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

# What each database makes for itself: its migrations, the index of the search with its parts, and which node delivers.
_NOT_COPIED: Final = (
    *("sqlite_", "tortoise_migrations", "schema_version", "client_search", "webhook_lease", "cluster"),
    "audit_archive",
)
# Tokens of people's identity providers: of a refresh token that two installations use, the provider ends the grant.
_COLUMNS_NOT_COPIED: Final = {"session": ("tokens", "tokens_key_id", "look_claimed_until")}


class Table(NamedTuple):
    """The columns of a table that are copied, and those of its key."""

    columns: Sequence[str]
    key: Sequence[str]


def choose_tables(tables: Mapping[str, Table], needs: Mapping[str, Collection[str]]) -> dict[str, Table]:
    """Return what is copied of these tables, each table after those that its rows refer to.

    Args:
        tables: all tables of a database, with all their columns.
        needs: the tables that the rows of a table refer to.
    """
    copied = {name: set(needs.get(name, ())) - {name} for name in sorted(tables) if not name.startswith(_NOT_COPIED)}
    return {
        name: Table(
            tuple(column for column in tables[name].columns if column not in _COLUMNS_NOT_COPIED.get(name, ())),
            tables[name].key,
        )
        for name in _in_order(copied)
    }


def _in_order(needs: dict[str, set[str]]) -> Iterator[str]:
    left = dict(needs)
    while left:
        ready = [name for name, others in left.items() if not others & left.keys()]
        yield from ready
        for name in ready:
            del left[name]
