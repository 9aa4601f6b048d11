"""The key under which tokens lie can be changed: nothing is unreadable at any moment, and nothing is left under the old
one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import keyring
import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from config.errors import Misconfigured, StateUnusable
from sync.state.database import State
from sync.state.keys import KEY_FILE, KEYRING, VARIABLE, Place, ring
from sync.state.rekey import Rekeyed, drop_others, rekey
from sync.state.schema import tokens
from sync.state.suppression import Suppression
from sync.state.tokens import StateTokens
from tests.conftest import MakeState
from tests.keyrings import Ring

HELD = {("crm", "oauth"): "s3cret-crm", ("crm", "connected"): "s3cret-first", ("mail", "oauth"): "s3cret-mail"}
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def put_all(state: State, folder: Path) -> None:
    for (connection, name), value in HELD.items():
        StateTokens(state, connection, folder=folder).put(name, value)


def got_all(state: State, folder: Path) -> dict[tuple[str, str], str | None]:
    return {(of, name): StateTokens(state, of, folder=folder).get(name) for of, name in HELD}


def sealed_now(state: State) -> list[str]:
    with state.read() as tx:
        return [row.ciphertext for row in tx.execute(sa.select(tokens))]


def under(key: bytes, sealed: list[str]) -> int:
    count = 0
    for one in sealed:
        with suppress(Exception):
            Fernet(key).decrypt(one.encode())
            count += 1
    return count


def test_a_key_in_a_file_is_changed_in_two_steps(state: State, tmp_path: Path) -> None:
    put_all(state, tmp_path)
    [old] = ring(tmp_path).keys
    before = sealed_now(state)

    assert rekey(state, tmp_path) == Rekeyed(Place.FILE, 3, (), 1)
    new, *others = ring(tmp_path).keys
    assert others == [old]
    assert got_all(state, tmp_path) == HELD
    assert under(new, sealed_now(state)) == 3
    assert rekey(state, tmp_path) == Rekeyed(Place.FILE, 0, (), 1), "no third key while two are there"

    assert drop_others(state, tmp_path) == Rekeyed(Place.FILE, 0, (), 0)
    assert ring(tmp_path).keys == (new,)
    assert got_all(state, tmp_path) == HELD
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if KEY_FILE in path.name] == [KEY_FILE]

    state.compact()  # as the command does
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    written = b"".join(path.read_bytes() for path in files)
    for trace in (*before, *HELD.values(), old.decode()):
        assert trace.encode() not in written


def test_a_token_put_by_a_process_that_was_there_before_is_not_lost(make_state: MakeState, tmp_path: Path) -> None:
    """It has looked at the old key, and works on while that goes."""
    ours, other = make_state(), make_state()
    put_all(ours, tmp_path)
    reads, renews = (StateTokens(other, "crm", folder=tmp_path) for _ in range(2))
    assert reads.get("oauth") == renews.get("oauth") == "s3cret-crm"
    rekey(ours, tmp_path)
    assert reads.get("oauth") == "s3cret-crm"
    drop_others(ours, tmp_path)
    renews.put("oauth", "s3cret-renewed")
    assert reads.get("connected") == "s3cret-first"
    assert StateTokens(ours, "crm", folder=tmp_path).get("oauth") == "s3cret-renewed"


class Died(BaseException):
    pass


class Doom:
    """Death at the `at`-th boundary: before and after a file takes another's place, and each commit."""

    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0

    def step(self, *_: Any) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Died

    def replacing(self, real: Callable[..., None]) -> Callable[..., None]:
        def replace(*given: Any) -> None:
            self.step()
            real(*given)
            self.step()

        return replace


@pytest.mark.parametrize("change", [rekey, drop_others])
def test_a_death_at_any_moment_leaves_everything_readable(
    change: Callable[[State, Path], Rekeyed],
    make_state: MakeState,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = make_state()
    put_all(state, tmp_path)
    deaths = 0
    for at in range(1, 20):
        if change is drop_others:
            rekey(state, tmp_path)
        doom, dying = Doom(at), make_state()
        sa.event.listen(dying.engine, "commit", doom.step)
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", doom.replacing(os.replace))
            try:
                change(dying, tmp_path)
            except Died:
                deaths += 1
                assert got_all(state, tmp_path) == HELD, at
                change(make_state(), tmp_path)  # the same command goes on
        assert got_all(state, tmp_path) == HELD, at
        assert under(ring(tmp_path).keys[0], sealed_now(state)) == 3
        drop_others(state, tmp_path)
        if doom.passed < at:
            break
    assert deaths >= 3


WORKER = """
import sys
from pathlib import Path
from config.clock import SystemClock
from config.errors import StateUnusable
from sync.state.database import State
from sync.state.rekey import drop_others, rekey
from sync.state.tokens import StateTokens
url, folder, part = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
state = State.open(url, clock=SystemClock())
print("ready", flush=True)
sys.stdin.readline()
for number in range(8):
    if part == "keys":
        rekey(state, folder)
        drop_others(state, folder)
    else:
        store = StateTokens(state, part, folder=folder)
        store.put("oauth", f"token-{number}")
        assert store.get("oauth") == f"token-{number}"
        assert store.get("fixed") == "fixed"
"""


def test_processes_that_renew_and_processes_that_change_keys_at_once(
    state: State, state_url: str, tmp_path: Path
) -> None:
    store = StateTokens(state, "crm", folder=tmp_path)
    store.put("fixed", "fixed")
    parts = ("keys", "keys", "crm")
    running = [_worker(state_url, tmp_path, part) for part in parts]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    told = [(process.wait(timeout=60), process.stderr.read() if process.stderr else "") for process in running]
    for process in running:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
    assert [code for code, _ in told] == [0, 0, 0], told
    assert store.get("oauth") == "token-7"
    assert drop_others(state, tmp_path).lost == ()


def _worker(url: str, folder: Path, part: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, url, str(folder), part]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_keys_of_the_environment_are_a_persons_to_change(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, OLD)
    put_all(state, tmp_path)
    with pytest.raises(Misconfigured, match="new one first") as refused:
        rekey(state, tmp_path)
    assert OLD not in str(refused.value)
    monkeypatch.setenv(VARIABLE, f"{NEW}, {OLD}")
    assert got_all(state, tmp_path) == HELD
    assert rekey(state, tmp_path) == Rekeyed(Place.ENVIRONMENT, 3, (), 1)
    assert drop_others(state, tmp_path) == Rekeyed(Place.ENVIRONMENT, 0, (), 1)
    monkeypatch.setenv(VARIABLE, NEW)
    assert got_all(state, tmp_path) == HELD
    assert not (tmp_path / KEY_FILE).exists()


@pytest.fixture
def keys_in_memory() -> Iterator[Ring]:
    before = keyring.get_keyring()
    made = Ring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_keys_of_the_keyring_are_changed_there(state: State, tmp_path: Path, keys_in_memory: Ring) -> None:
    keys_in_memory.held[KEYRING] = OLD
    put_all(state, tmp_path)
    assert rekey(state, tmp_path) == Rekeyed(Place.KEYRING, 3, (), 1)
    assert keys_in_memory.held[KEYRING].split()[1:] == [OLD]
    assert drop_others(state, tmp_path).others == 0
    assert OLD not in keys_in_memory.held[KEYRING]
    assert got_all(state, tmp_path) == HELD
    assert not (tmp_path / KEY_FILE).exists()
    keys_in_memory.locked = True
    with pytest.raises(Misconfigured, match="cannot be changed"):
        rekey(state, tmp_path)
    assert got_all(state, tmp_path) == HELD


def test_a_key_file_that_is_a_link_stays_one(state: State, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "key").write_text(OLD)
    (tmp_path / KEY_FILE).symlink_to(tmp_path / "kept" / "key")
    put_all(state, tmp_path)
    rekey(state, tmp_path)
    assert (tmp_path / KEY_FILE).is_symlink()
    assert got_all(state, tmp_path) == HELD


def test_a_row_that_no_key_opens_is_named_and_left(state: State, tmp_path: Path) -> None:
    put_all(state, tmp_path)
    with state.begin() as tx:
        broken = Fernet(OLD.encode()).encrypt(b"elsewhere").decode()
        tx.execute(sa.update(tokens).where(tokens.c.connection == "mail").values(ciphertext=broken))
    assert rekey(state, tmp_path) == Rekeyed(Place.FILE, 2, (("mail", "oauth"),), 1)
    assert broken in sealed_now(state)


def test_a_process_of_the_old_key_alone_keeps_the_old_key_there(
    make_state: MakeState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its key from its environment, and goes on to encrypt under it between the two looks."""
    state, theirs = make_state(), make_state()
    monkeypatch.setenv(VARIABLE, OLD)
    put_all(theirs, tmp_path)
    monkeypatch.delenv(VARIABLE)
    (tmp_path / KEY_FILE).write_text(f"{NEW}\n{OLD}\n")

    begun: list[str] = []

    def before(*_: object) -> None:
        begun.append("a transaction")
        if len(begun) == 2:
            monkeypatch.setenv(VARIABLE, OLD)
            StateTokens(theirs, "crm", folder=tmp_path).put("oauth", "s3cret-crm")
            monkeypatch.delenv(VARIABLE)

    sa.event.listen(state.engine, "checkout", before)
    with pytest.raises(StateUnusable, match="Another process encrypts"):
        drop_others(state, tmp_path)
    assert len(ring(tmp_path).keys) == 2
    assert got_all(state, tmp_path) == HELD


def test_who_was_forgotten_stays_so_under_another_key(make_state: MakeState, tmp_path: Path) -> None:
    def forgotten() -> Suppression:
        return Suppression(lambda: ring(tmp_path))

    state = make_state()
    with state.begin() as tx:
        forgotten().add(tx, [("email", "ana@x.io")], "2026-11-27T10:00:00Z")
    for _ in range(2):
        rekey(state, tmp_path)
        drop_others(state, tmp_path)
        known = forgotten()
        with state.read() as tx:
            assert known.refresh(tx)
        assert known.has_person({"email": "ana@x.io"})
        assert not known.has_person({"email": "bob@x.io"})
    with state.begin() as tx:
        assert forgotten().lift(tx, "ana@x.io")


def test_a_backup_of_before_forgets_again_by_the_key_of_before(make_state: MakeState, tmp_path: Path) -> None:
    """Which people were forgotten stands outside the database too; that key need only be among those that are there."""
    state = make_state()
    (tmp_path / KEY_FILE).write_text(OLD)
    was = Suppression(lambda: ring(tmp_path))
    with state.begin() as tx:
        was.add(tx, [("email", "ana@x.io")], "2026-11-27T10:00:00Z")
        told, mark = {was.digest("email", "ana@x.io"): "2026-11-27T10:00:00Z"}, was.digest("key", "check")
        tx.rollback()  # the state as it was before anybody was forgotten
    (tmp_path / KEY_FILE).write_text(NEW)
    with pytest.raises(Misconfigured, match="taken in again"), state.begin() as tx:
        Suppression(lambda: ring(tmp_path)).restore(tx, told, mark)
    (tmp_path / KEY_FILE).write_text(f"{NEW}\n{OLD}")
    again = Suppression(lambda: ring(tmp_path))
    with state.begin() as tx:
        assert again.restore(tx, told, mark) == set(told)
        assert again.refresh(tx)
    assert again.has_person({"email": "ana@x.io"})
