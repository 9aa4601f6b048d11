"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0003"
"""The newest revision."""
