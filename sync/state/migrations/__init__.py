"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0004"
"""The newest revision."""
