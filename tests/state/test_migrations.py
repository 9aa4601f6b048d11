"""The migrations build exactly the schema that the code speaks of, on both databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from config.clock import ManualClock
from config.errors import StateUnusable
from sync.state import migrate
from sync.state.database import State
from sync.state.migrations import HEAD
from sync.state.schema import metadata


def test_the_migrated_schema_is_the_schema(state: State) -> None:
    with state.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_the_migrations_come_to_the_schema(state: State, state_url: str) -> None:
    """A new database gets its schema whole; an old one must come to the same, step by step."""
    with state.begin() as tx:
        metadata.drop_all(tx)
        tx.exec_driver_sql("DROP TABLE alembic_version")
    migrate.upgrade(state.engine)
    with state.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []
        indexes = {index["name"] for table in metadata.tables for index in sa.inspect(tx).get_indexes(table)}
    assert {str(index.name) for table in metadata.tables.values() for index in table.indexes} <= indexes


def _described(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("select sql from sqlite_master where sql is not null").fetchall()
    connection.close()
    return {" ".join(sql.replace('"', "").split()) for (sql,) in rows if "alembic_version" not in sql}


def test_sqlite_tables_equal_those_made_from_the_schema_to_the_letter(migrated_sqlite: Path, tmp_path: Path) -> None:
    """`compare_metadata` does not see defaults, partial indexes or WITHOUT ROWID; the tables' own text does."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert _described(migrated_sqlite) == _described(tmp_path / "direct.db")


def test_the_head_is_the_newest_revision() -> None:
    assert migrate.head() == HEAD


def test_opening_again_changes_nothing(state: State, state_url: str, clock: ManualClock) -> None:
    with state.begin() as tx:
        tx.execute(sa.text("insert into meta (name, value) values ('mark', 'here')"))
    again = State.open(state_url, clock=clock)
    with again.read() as tx:
        assert tx.execute(sa.text("select value from meta where name = 'mark'")).scalar() == "here"
    again.close()


def test_a_newer_schema_is_refused_and_left_alone(state: State, state_url: str, clock: ManualClock) -> None:
    with state.begin() as tx:
        tx.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(StateUnusable, match=r"9999.*Upgrade Closedloop"):
        State.open(state_url, clock=clock)
    with state.read() as tx:
        assert tx.execute(sa.text("select version_num from alembic_version")).scalar() == "9999"


def test_a_database_of_somebody_else_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table invoices (id integer)")
    connection.close()
    with pytest.raises(StateUnusable, match="database of its own"):
        State.open(f"sqlite:///{path}", clock=clock)


def test_going_back_is_refused_in_words(state: State) -> None:
    from sync.state.migrations.versions import r0001_first

    with pytest.raises(StateUnusable, match="backup"):
        r0001_first.downgrade()
