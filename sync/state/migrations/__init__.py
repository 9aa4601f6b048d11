"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0001"
"""The newest revision."""
