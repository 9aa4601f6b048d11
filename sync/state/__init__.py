"""Everything Closedloop remembers, in SQLite or PostgreSQL: same statements, same tests."""
