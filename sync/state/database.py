"""The database: SQLite by default, PostgreSQL by one setting, the same statements on both.

Every change happens in `begin()`, one writer at a time on SQLite; `read()` sees a consistent state and changes
nothing. What the database refuses is told as StateUnusable, with what to do.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.engine import URL, make_url

from config.clock import Clock, stamp
from config.errors import Misconfigured, StateUnusable
from sync.state.migrations import HEAD
from sync.state.schema import meta, metadata

CACHE_KIB = 16_384
"""SQLite's page cache. 16 MB costs no CPU against 64 and keeps memory flat."""

PAGE = 16_384
"""Bytes of a page of SQLite's. Of the usual 4 KiB a record takes a good part: few fit, and much stays empty."""

CHECKPOINT_PAGES = 1000
"""Pages in SQLite's log before it is folded in: with fewer, scattered changes are written over and over."""


# sqlite3 looks for an adapter of every truth value and None that it is given, and makes and drops an exception where it
# finds none: what it would bind all the same
sqlite3.register_adapter(bool, int)
_NONE: dict[None, None] = {}
sqlite3.register_adapter(type(None), _NONE.get)


class State:
    """An open state. Make one with `State.open`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock
        self.dialect = engine.dialect.name
        # SQLite has one writer; a lock of ours is fair where its busy loop starves (and never times out in process)
        self._writer = threading.Lock()
        self._inside = threading.local()

    @classmethod
    def open(cls, url: str, *, clock: Clock) -> State:
        """The state at `url`, made or migrated to this program's schema. Raises StateUnusable, Misconfigured."""
        engine = _engine(url)
        state = cls(engine, clock)
        try:
            with _translated(engine.url):
                _migrate(engine)
                state._remember_identity()
        except BaseException:
            engine.dispose()
            raise
        return state

    def _remember_identity(self) -> None:
        """A name for this state, made once: two databases are never taken for each other."""
        import secrets

        with self.begin() as tx:
            if tx.execute(sa.select(meta.c.value).where(meta.c.name == "state_id")).scalar() is None:
                tx.execute(meta.insert(), [{"name": "state_id", "value": secrets.token_hex(16)}])
                tx.execute(meta.insert(), [{"name": "created_at", "value": stamp(self.clock.now())}])

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Connection]:
        """A write transaction: committed at the end, rolled back by any exception; not to be nested.

        It is on the disk when this returns. Without `durable` a power cut may take it back, though never a part of it,
        nor anything that a durable one after it builds on: for rate budgets, which are worthless by then, and for what
        was pulled, which the platform still has.
        """
        with self._alone(), _translated(self.engine.url), self._connected(durable) as tx, tx.begin():
            if self.dialect == "postgresql" and not durable:
                tx.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield tx

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time in this process, where the database takes only one."""
        if getattr(self._inside, "writing", False):
            raise RuntimeError("a write transaction inside a write transaction would wait for itself")
        with self._writer if self.dialect == "sqlite" else nullcontext():
            self._inside.writing = True
            try:
                yield
            finally:
                self._inside.writing = False

    @contextmanager
    def _connected(self, durable: bool) -> Iterator[Connection]:
        with self.engine.connect().execution_options(closedloop_write=True) as tx:
            if durable or self.dialect == "postgresql":
                yield tx
                return
            driver: Any = tx.connection.driver_connection
            driver.execute("PRAGMA synchronous=NORMAL")
            try:
                yield tx
            finally:
                driver.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view, from the first statement to the last; nothing done in it is kept."""
        options: dict[str, Any] = {}
        if self.dialect == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with _translated(self.engine.url), self.engine.connect().execution_options(**options) as tx:
            yield tx

    def compact(self) -> bool:
        """Write the tables anew, so that nothing of what was deleted stays in their files; False when others hold them.

        SQLite's file and log hold nothing of it afterwards. PostgreSQL's log and the backups of either are not ours.
        """
        with _translated(self.engine.url), self._alone():
            return _compacted_sqlite(self.engine) if self.dialect == "sqlite" else _compacted_postgres(self.engine)

    def close(self) -> None:
        self.engine.dispose()


def _compacted_sqlite(engine: Engine) -> bool:
    """VACUUM leaves out free pages and the remains in used ones; the log that it went through is cut to nothing."""
    connection = engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        driver.execute("VACUUM")
        busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "SQL statements in progress" in str(error):
            return False
        raise
    finally:
        connection.close()


def _compacted_postgres(engine: Engine) -> bool:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET lock_timeout = '30s'")
        try:
            for table in metadata.sorted_tables:
                connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")
        except sa.exc.OperationalError as error:
            if "lock timeout" in str(error):
                return False
            raise
        finally:
            connection.exec_driver_sql("RESET lock_timeout")
        return True


def _engine(url: str) -> Engine:
    parsed = _parsed(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        _touch_private(Path(parsed.database or ""))
        engine = sa.create_engine(
            parsed, connect_args={"timeout": 30, "check_same_thread": False}, hide_parameters=True
        )
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine
    return sa.create_engine(parsed, pool_pre_ping=True, pool_size=5, max_overflow=10, hide_parameters=True)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        known = parsed.get_backend_name() in ("sqlite", "postgresql") and parsed.database
    except (sa.exc.SQLAlchemyError, ValueError):
        known = None
    if not known:  # the address is not shown, nor the parser's error: it may hold a password
        raise Misconfigured(
            "The address of the state is none that can be used.",
            fix="Write sqlite:///closedloop.db or postgresql://user@host/database.",
        )
    return parsed


def _touch_private(path: Path) -> None:
    """A new database file belongs to its owner alone: it holds personal data."""
    if path.exists():
        if not path.stat().st_mode & 0o222:  # root could write it all the same, against the owner's plain wish
            raise StateUnusable(f"The database {path} is read-only.", fix="Make it writable: chmod u+w.")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StateUnusable(
            f"The database {path} cannot be made: {error.strerror}.", fix="Check the folder and its permissions."
        ) from error


def _on_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: sqlite3's own does not cover reads
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA page_size={PAGE}")  # of a new file; an old one keeps its own
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("closedloop_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Bring the schema to this program's. A new database is given it whole: what the migrations come to is the same, a
    test holds it, and Alembic costs more to load than all else at the start."""
    with engine.connect() as connection:
        known = sa.inspect(connection).has_table("alembic_version")
        if known and connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD:
            return
    with engine.connect().execution_options(closedloop_write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        if not sa.inspect(connection).get_table_names():
            metadata.create_all(connection)
            _VERSION.create(connection)
            connection.execute(_VERSION.insert(), [{"version_num": HEAD}])
            return
    from sync.state.migrate import upgrade

    upgrade(engine)


MIGRATING = 7201734
"""The name, as PostgreSQL takes it, of the lock that makes migrations happen one at a time."""

_VERSION = sa.Table(  # as Alembic makes it
    "alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True, nullable=False)
)


@contextmanager
def _translated(url: URL) -> Iterator[None]:
    """The database's refusals in our words."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _told(error, url) from error
    except sqlite3.Error as error:
        raise _told(error, url) from error


_SIGNS = (
    ("database or disk is full", "The disk is full.", "Make room, then run the same command again: nothing is lost."),
    ("disk i/o error", "The disk cannot be written.", "Check the disk, then run the same command again."),
    ("readonly", "The database is read-only.", "Give this user the right to write the file and its folder."),
    ("read-only", "The database is read-only.", "Give this user the right to write to it."),
    ("malformed", "The database is damaged.", "Restore it from a backup; do not delete it."),
    ("not a database", "The file is no database of ours.", "Check `state:` in the project file."),
    ("unable to open", "The database cannot be opened.", "Check `state:`, the folder and its permissions."),
    ("database is locked", "Another program holds the database.", "Wait for it, or stop it."),
    ("no space left", "The disk is full.", "Make room, then run the same command again: nothing is lost."),
    ("connection", "The database cannot be reached.", "Check that it runs, its address, and the password."),
)


def _told(error: Exception, url: URL) -> StateUnusable:
    original = getattr(error, "orig", None) or error
    words = str(original).lower()
    shown = url.render_as_string(hide_password=True)
    for sign, what, fix in _SIGNS:
        if sign in words:
            return StateUnusable(f"{what} ({shown})", fix=fix)
    return StateUnusable(
        f"The database refused a statement ({type(original).__name__}, {shown}).",
        fix="This is a bug, or somebody changed the tables: please report it.",
    )


NOTE = sa.select(meta.c.value).where(meta.c.name == sa.bindparam("of"))
"""The value kept in `meta` under the name `of`."""


def dialect_insert(dialect: str, table: Table) -> Any:
    """An INSERT that knows conflicts. Only the dialect in use is loaded: PostgreSQL's brings asyncio along."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(table)


def upsert(
    table: Table, tx: Connection, *, key: Sequence[str] = (), update: Sequence[str] = (), add: Sequence[str] = ()
) -> Any:
    """An INSERT that, where a row with the same `key` (the primary key when empty) is there already, sets the columns
    `update` to the new values and adds the new values of `add` to the old; with neither it leaves the row alone."""
    return _upsert(tx.dialect.name, table, tuple(key), tuple(update), tuple(add))


@cache
def _upsert(dialect: str, table: Table, key: tuple[str, ...], update: tuple[str, ...], add: tuple[str, ...]) -> Any:
    """Built once: most transactions of a run hold one, and building costs more than running."""
    statement = dialect_insert(dialect, table)
    names = list(key) or [column.name for column in table.primary_key]
    if not update and not add:
        return statement.on_conflict_do_nothing(index_elements=names)
    changes: dict[str, Any] = {name: statement.excluded[name] for name in update}
    changes.update({name: table.c[name] + statement.excluded[name] for name in add})
    return statement.on_conflict_do_update(index_elements=names, set_=changes)
