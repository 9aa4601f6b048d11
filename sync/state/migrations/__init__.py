"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0009"
"""The newest revision."""
