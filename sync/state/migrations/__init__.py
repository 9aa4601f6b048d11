"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0007"
"""The newest revision."""
