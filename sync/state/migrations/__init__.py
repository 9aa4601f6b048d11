"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0002"
"""The newest revision."""
