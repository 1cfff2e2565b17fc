"""Everything that only SQLite has."""
