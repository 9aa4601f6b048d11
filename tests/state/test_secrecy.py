"""What lies on the disk: tokens encrypted and bound to their places, files for their owner alone, values never SQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy.types import Boolean, Float, Integer, LargeBinary

from config.clock import ManualClock
from config.errors import Misconfigured
from sync.cli.app import write_file
from sync.epoch import FileMarks, Mark
from sync.planfile import Plan, save
from sync.state.database import State
from sync.state.keys import KEY_FILE, VARIABLE
from sync.state.schema import metadata, tokens
from sync.state.tokens import StateTokens
from tests.conftest import START
from tests.fuzz.naughty import TEXTS

NAMES = ("oauth", "connected", "access_token", "refresh_token")
CANARIES = [f"canary-{name}-{number}" for name in NAMES for number in range(20)]


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def anybodys() -> Iterator[None]:
    """A shell that lets everybody read and write what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_no_token_is_in_a_byte_of_the_files(tmp_path: Path) -> None:
    state = State.open(f"sqlite:///{tmp_path / 'closedloop.db'}", clock=ManualClock(START))
    for connection in ("crm", "mail"):
        store = StateTokens(state, connection, folder=tmp_path)
        for number, name in enumerate(NAMES * 20):
            store.put(name, f"canary-{name}-{number // 4}")
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"closedloop.db", "closedloop.db-wal", KEY_FILE}
    written = b"".join(path.read_bytes() for path in files)
    assert b"ciphertext" in written
    assert [one for one in CANARIES if one.encode() in written] == []
    state.close()


def test_rows_that_change_places_do_not_open(state: State, tmp_path: Path) -> None:
    """Of two connections, and of two names of one."""
    places = [("crm", "oauth"), ("crm", "connected"), ("mail", "oauth")]
    for connection, name in places:
        StateTokens(state, connection, folder=tmp_path).put(name, f"s3cret-{connection}-{name}")
    with state.begin() as tx:
        sealed = {(row.connection, row.name): row.ciphertext for row in tx.execute(sa.select(tokens))}
        for place, other in zip(places, [*places[1:], places[0]], strict=True):
            mine = (tokens.c.connection == place[0]) & (tokens.c.name == place[1])
            tx.execute(sa.update(tokens).where(mine).values(ciphertext=sealed[other]))
    for connection, name in places:
        with pytest.raises(Misconfigured, match="cannot be opened") as refused:
            StateTokens(state, connection, folder=tmp_path).get(name)
        assert "s3cret" not in repr(refused.value) + str(refused.value)


def test_another_key_and_a_changed_row_do_not_open(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StateTokens(state, "crm", folder=tmp_path).put("oauth", "s3cret")
    with state.begin() as tx:
        sealed = str(tx.execute(sa.select(tokens.c.ciphertext)).scalar())
    for changed in (
        sealed[:-3] + "AAA",
        sealed[:20] + ("A" if sealed[20] != "A" else "B") + sealed[21:],
        "",
        "plain",
        sealed[4:],
    ):
        with state.begin() as tx:
            tx.execute(sa.update(tokens).values(ciphertext=changed))
        with pytest.raises(Misconfigured, match="cannot be opened"):
            StateTokens(state, "crm", folder=tmp_path).get("oauth")
    with state.begin() as tx:
        tx.execute(sa.update(tokens).values(ciphertext=sealed))
    assert StateTokens(state, "crm", folder=tmp_path).get("oauth") == "s3cret"
    monkeypatch.setenv(VARIABLE, Fernet.generate_key().decode())
    with pytest.raises(Misconfigured, match="cannot be opened"):
        StateTokens(state, "crm", folder=tmp_path).get("oauth")


@pytest.mark.usefixtures("anybodys")
def test_every_file_of_ours_is_its_owners_alone_whatever_the_shell_says(tmp_path: Path) -> None:
    state = State.open(f"sqlite:///{tmp_path / 'closedloop.db'}", clock=ManualClock(START))
    StateTokens(state, "crm", folder=tmp_path).put("oauth", "s3cret")
    FileMarks(tmp_path / "closedloop.epoch").save(Mark("a", 1))
    for name in ("plan.json", "export.json"):
        (tmp_path / name).touch(mode=0o666)  # it was there before, for everybody
    save(Plan("now", "a"), tmp_path / "plan.json")
    write_file(tmp_path / "export.json", b"{}", private=True)
    save(Plan("now", "a"), tmp_path / "new.json")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert {"closedloop.db", "closedloop.db-wal", KEY_FILE, "closedloop.epoch", "plan.json"} <= set(modes)
    assert set(modes.values()) == {"0o600"}, modes
    state.close()


QUOTES = [text for text in TEXTS if "\x00" not in text and any(sign in text for sign in "'\";\\%-`$")]


@pytest.mark.parametrize("table", [table.name for table in metadata.sorted_tables])
def test_every_column_holds_any_text_as_text(state: State, table: str) -> None:
    """What would end a statement, or begin another one, comes back as it went in, and is found by itself alone."""
    found = metadata.tables[table]
    texts = [column for column in found.columns if isinstance(column.type, sa.String)]
    for number, text in enumerate(QUOTES[:25] if texts else []):
        row = {
            column.name: _value(column, text, number) for column in found.columns if column.autoincrement is not True
        }
        with state.engine.connect() as tx:
            transaction = tx.begin()
            if state.dialect == "sqlite":
                tx.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            else:
                tx.exec_driver_sql("SET CONSTRAINTS ALL DEFERRED")
            tx.execute(found.insert(), [row])
            for column in texts:
                assert tx.execute(sa.select(column).where(column == text)).scalars().all() == [text], (
                    table,
                    column.name,
                )
            transaction.rollback()


def _value(column: sa.Column[object], text: str, number: int) -> object:
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, LargeBinary):
        return text.encode()
    return number + 1 if isinstance(column.type, Integer | Float) else text
