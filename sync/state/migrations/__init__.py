"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0006"
"""The newest revision."""
