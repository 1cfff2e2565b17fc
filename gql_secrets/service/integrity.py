"""Checks that the stored data obey the rules."""

from typing import Final

from gql_secrets.storage.database import Database

# Rules that no constraint of the schema enforces. Each statement counts violations.
_CHECKS: Final = {
    "clients without a current secret": """
        SELECT count(*) AS number FROM client c WHERE c.deleted_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM client_secret s WHERE s.client_id = c.client_id AND s.state = 'CURRENT')
    """,
    "deleted clients with an active secret": """
        SELECT count(*) AS number FROM client_secret s JOIN client c ON c.client_id = s.client_id
        WHERE c.deleted_at IS NOT NULL AND s.state IN ('CURRENT', 'RETAINED')
    """,
    "clients that lists do not find, or find after they were deleted": """
        SELECT (SELECT count(*) FROM client c WHERE c.deleted_at IS NULL AND NOT EXISTS (
                SELECT 1 FROM client_listing l WHERE l.client_id = c.client_id))
            + (SELECT count(*) FROM client_listing l WHERE NOT EXISTS (
                SELECT 1 FROM client c WHERE c.client_id = l.client_id AND c.deleted_at IS NULL)) AS number
    """,
    "missing audit events": """
        SELECT i.revision - (SELECT count(*) FROM audit_event) - CASE
            WHEN EXISTS (SELECT 1 FROM audit_event WHERE action = 'AUDIT_PRUNED')
            THEN (SELECT min(revision) - 1 FROM audit_event) ELSE 0 END AS number
        FROM installation i
    """,
}


async def statistics(database: Database) -> dict[str, object]:
    """Return how many clients and rollovers there are, and the revision."""
    [row] = await database.fetch(
        """
        SELECT (SELECT count(*) FROM client WHERE deleted_at IS NULL) AS clients,
               (SELECT count(*) FROM client_secret WHERE state = 'RETAINED') AS rollovers,
               (SELECT revision FROM installation) AS revision
        """
    )
    return {"database": database.dialect.name, **row}


async def find_problems(database: Database) -> list[str]:
    """Return a sentence for each violation; empty for a database without any."""
    return [*await database.find_damage(), *await find_violations(database)]


async def find_violations(database: Database) -> list[str]:
    """Return a sentence for each violation of our own rules, which takes less time."""
    problems = []
    for check, statement in _CHECKS.items():
        [row] = await database.fetch(statement)
        if row["number"]:
            problems.append(f"{check}: {row['number']}")
    return problems
