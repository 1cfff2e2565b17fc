"""Whether the database holds what the rules promise, asked of the data themselves."""

from typing import Final

from gql_secrets.storage.database import Database

# What no constraint of the schema holds, each counting what is wrong.
_QUESTIONS: Final = {
    "clients without a current secret": """
        SELECT count(*) AS number FROM client c WHERE c.deleted_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM client_secret s WHERE s.client_id = c.client_id AND s.state = 'CURRENT')
    """,
    "deleted clients with a living secret": """
        SELECT count(*) AS number FROM client_secret s JOIN client c ON c.client_id = s.client_id
        WHERE c.deleted_at IS NOT NULL AND s.state IN ('CURRENT', 'RETAINED')
    """,
    "audit events missing": """
        SELECT i.revision - (SELECT count(*) FROM audit_event) AS number FROM installation i
    """,
}


async def figures_of(database: Database) -> dict[str, object]:
    """Return what there is: clients, running rollovers, the revision."""
    [row] = await database.fetch(
        """
        SELECT (SELECT count(*) FROM client WHERE deleted_at IS NULL) AS clients,
               (SELECT count(*) FROM client_secret WHERE state = 'RETAINED') AS rollovers,
               (SELECT revision FROM installation) AS revision
        """
    )
    return {"database": database.address.dialect, **row}


async def find_problems(database: Database) -> list[str]:
    """Return a sentence for each thing that no rule allows; empty for a sound database."""
    damage = []
    if database.is_sqlite:
        told = [str(next(iter(row.values()))) for row in await database.fetch("PRAGMA integrity_check(20)")]
        damage += [f"SQLite: {text}" for text in told if text != "ok"]
        if broken := await database.fetch("PRAGMA foreign_key_check"):
            damage.append(f"rows that point nowhere: {len(broken)}")
    for question, statement in _QUESTIONS.items():
        [row] = await database.fetch(statement)
        if row["number"]:
            damage.append(f"{question}: {row['number']}")
    return damage
