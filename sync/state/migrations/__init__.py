"""Alembic's scripts; run by sync.state.migrate."""

HEAD = "0005"
"""The newest revision."""
