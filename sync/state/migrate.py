"""Bring a database to this program's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from config.errors import StateUnusable
from sync.state.database import MIGRATING

FOLDER = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The newest revision this program knows."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


def upgrade(engine: Engine) -> None:
    """Run the missing migrations, one process at a time. Raises StateUnusable for a schema newer than this program."""
    with engine.connect() as connection:
        current = _current(connection)
        if current == head():
            return
    with engine.connect().execution_options(closedloop_write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATING})"))
        current = _current(connection)
        if current == head():
            return
        _refuse_newer(current)
        if current is None and inspect(connection).get_table_names():
            raise StateUnusable(
                "The database holds tables that are not ours.", fix="Give Closedloop a database of its own."
            )
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _current(connection: Any) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(current: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise StateUnusable(
            f"The database has schema {current}, which is newer than this program.", fix="Upgrade Closedloop."
        )
