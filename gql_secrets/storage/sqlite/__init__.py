"""Everything that is specific to SQLite."""
