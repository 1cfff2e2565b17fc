"""When clients were last used, as lists sort them: a coarse copy of what `storage/usage.py` stores exactly."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from typing import Final

from gql_secrets.storage.transaction import Transaction

LISTED_FOR: Final = timedelta(hours=1) // timedelta(microseconds=1)
_LIST_USES: Final = """
    UPDATE client_listing SET last_used_at = used.last_at
    FROM (
        SELECT s.client_id, max(t.last_at) AS last_at
        FROM {rows} t JOIN client_secret s ON s.id = t.secret_id GROUP BY s.client_id
    ) used
    WHERE client_listing.client_id = used.client_id AND client_listing.last_used_at <= used.last_at - ?
"""
_LISTED: Final = """
    SELECT t.secret_id, l.last_used_at
    FROM {rows} t JOIN client_secret s ON s.id = t.secret_id JOIN client_listing l ON l.client_id = s.client_id
"""

# A secret's id, and the microseconds of its last use.
LastUse = tuple[int, int]
_USE_COLUMNS: Final = {"secret_id": "bigint", "last_at": "bigint"}


async def list_first_use(tx: Transaction, client_id: str, at: int) -> None:
    """Write the first use of a secret, in microseconds."""
    await tx.execute(
        "UPDATE client_listing SET last_used_at = ? WHERE client_id = ? AND last_used_at < ?", at, client_id, at
    )


async def list_last_uses(tx: Transaction, uses: Sequence[LastUse]) -> list[LastUse]:
    """Write these last uses, except for clients whose listed use is less than an hour older.

    Return what is listed then, for each of these secrets whose client is listed.
    """
    listed: list[LastUse] = []
    for rows, values in tx.tables_of(_USE_COLUMNS, list(chain.from_iterable(uses))):
        await tx.execute(_LIST_USES.format(rows=rows), *values, LISTED_FOR)
        listed += await tx.fetch_as(_last_use_of, _LISTED.format(rows=rows), values)
    return listed


def _last_use_of(row: Sequence[int]) -> LastUse:
    secret_id, last_used_at = row
    return secret_id, last_used_at
