"""What lists of clients are searched, filtered and sorted by."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state_apps import StateApps

from gql_secrets.domain.search import search_text
from gql_secrets.storage.operations import RunOnPostgres, RunOnSqlite

_PIECE = 1000
_LISTED = """
    SELECT c.client_id, c.name, c.description,
        COALESCE((
            SELECT max(COALESCE(s.last_used_at, s.first_used_at)) FROM client_secret s WHERE s.client_id = c.client_id
        ), 0) AS first_use,
        COALESCE((
            SELECT max(u.last_seen_at) FROM client_secret s JOIN secret_use u ON u.secret_id = s.id AND NOT u.refused
            WHERE s.client_id = c.client_id
        ), 0) AS last_use
    FROM client c WHERE c.deleted_at IS NULL AND c.client_id > {mark} ORDER BY c.client_id LIMIT {piece}
"""
_INDEX = """
    CREATE VIRTUAL TABLE client_search USING fts5(
        search_text, content='client_listing', content_rowid='id', tokenize='trigram case_sensitive 1'
    )
"""
_ADD = "INSERT INTO client_search (rowid, search_text) VALUES (new.id, new.search_text);"
_REMOVE = "INSERT INTO client_search (client_search, rowid, search_text) VALUES ('delete', old.id, old.search_text);"
# Where the role may not create the extension, or the server does not have it, a search reads every client.
_TRIGRAMS = """
    DO $$ BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX client_listing_search ON client_listing USING gin (search_text gin_trgm_ops);
    EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
        RAISE NOTICE 'Without the extension pg_trgm a search reads every client.';
    END $$
"""


async def _list_all(apps: StateApps, editor: BaseSchemaEditor) -> None:  # noqa: ARG001  Tortoise's signature
    """Write the rows of the clients that there are."""
    marks = [f"${number}" for number in range(1, 4)] if editor.DIALECT == "postgres" else ["?"] * 3
    client_id = ""
    while True:
        rows = await editor.client.execute_query_dict(_LISTED.format(mark=marks[0], piece=_PIECE), [client_id])
        if not rows:
            return
        await editor.client.execute_many(
            f"INSERT INTO client_listing (client_id, search_text, last_used_at) VALUES ({', '.join(marks)})",  # noqa: S608  placeholders
            [
                [
                    row["client_id"],
                    search_text(row["name"], row["client_id"], row["description"]),
                    max(row["first_use"], row["last_use"]),
                ]
                for row in rows
            ],
        )
        client_id = rows[-1]["client_id"]


class Migration(migrations.Migration):
    """Add a row for each client that is not deleted, and an index for each order and filter."""

    dependencies = [("models", "0009_people_of_links")]

    operations = [
        ops.CreateModel(
            name="ClientListing",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("client_id", fields.CharField(max_length=128, unique=True)),
                ("search_text", fields.TextField(unique=False)),
                ("last_used_at", fields.BigIntField(default=0)),
            ],
            options={"table": "client_listing", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.RunPython(_list_all, ops.RunPython.noop),
        RunOnPostgres(_TRIGRAMS, "DROP INDEX IF EXISTS client_listing_search"),
        RunOnSqlite(_INDEX, "DROP TABLE client_search"),
        RunOnSqlite("INSERT INTO client_search (client_search) VALUES ('rebuild')"),
        RunOnSqlite(f"CREATE TRIGGER client_listing_added AFTER INSERT ON client_listing BEGIN {_ADD} END"),
        RunOnSqlite(f"CREATE TRIGGER client_listing_removed AFTER DELETE ON client_listing BEGIN {_REMOVE} END"),
        RunOnSqlite(
            "CREATE TRIGGER client_listing_changed AFTER UPDATE OF search_text ON client_listing "
            f"BEGIN {_REMOVE} {_ADD} END"
        ),
        ops.RunSQL("CREATE INDEX client_listing_last_use ON client_listing (last_used_at, client_id)"),
        ops.RunSQL("CREATE INDEX client_by_name ON client (name_folded, client_id) WHERE deleted_at IS NULL"),
        ops.RunSQL("CREATE INDEX client_disabled ON client (client_id) WHERE deleted_at IS NULL AND NOT enabled"),
        ops.RunSQL("CREATE INDEX client_secret_age ON client_secret (created_at, client_id) WHERE state = 'CURRENT'"),
        ops.RunSQL("CREATE INDEX client_secret_ends ON client_secret (expires_at, client_id) WHERE state = 'RETAINED'"),
        ops.RunSQL(
            "CREATE INDEX client_secret_tried ON client_secret (last_refused_at, client_id) "
            "WHERE state IN ('EXPIRED', 'REVOKED') AND last_refused_at IS NOT NULL"
        ),
    ]
