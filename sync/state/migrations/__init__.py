"""Alembic's scripts; run by sync.state.migrate."""
