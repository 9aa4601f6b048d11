"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0008"
"""The newest revision."""
