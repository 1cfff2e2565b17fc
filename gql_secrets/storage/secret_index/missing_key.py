"""Whether active secrets are under a key of the pepper that this process lacks.

Then no digest of this process proves that a secret is unknown. The database is asked at each refusal, not before it: a
secret that another node has just made under a new key is not refused here.
"""

from collections.abc import Sequence


def missing_key(key_ids: Sequence[str]) -> str:
    """Return SQL for the id of such a key, NULL where there is none; `key_ids` are the keys that this process has."""
    # A key id has only letters, digits, '.', '_' and '-'.
    own = ", ".join(f"'{key_id}'" for key_id in key_ids)
    # The last condition is true of every active secret, as a constraint of the table says: SQLite's index has it.
    return f"""(
        SELECT min(f.key_id) FROM pepper_fingerprint f WHERE f.key_id NOT IN ({own}) AND EXISTS (
            SELECT 1 FROM client_secret a WHERE a.pepper_key_id = f.key_id AND a.state IN ('CURRENT', 'RETAINED')
                AND (a.ended_at IS NULL OR a.end_reason IS NULL)
        )
    )"""  # noqa: S608
