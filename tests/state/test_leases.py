"""One holder at a time, and whoever was taken over commits nothing more."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa

from config.errors import Fenced, StateUnusable
from sync.state.database import State
from sync.state.leases import acquire
from sync.state.schema import leases, meta
from tests.conftest import MakeState


def test_another_run_waits_until_release(make_state: MakeState) -> None:
    one, other = make_state(), make_state()
    lease = acquire(one, "connection:crm", "run1")
    with pytest.raises(StateUnusable, match="run1") as refused:
        acquire(other, "connection:crm", "run2")
    assert refused.value.code == "busy"
    acquire(other, "connection:mail", "run2")
    lease.release(one)
    assert acquire(other, "connection:crm", "run2").token > lease.token


def test_after_the_expiry_it_is_taken_and_the_old_holder_commits_nothing(make_state: MakeState) -> None:
    one, other = make_state(), make_state()
    old = acquire(one, "crm", "run1", seconds=-1)
    new = acquire(other, "crm", "run2")

    def late() -> None:
        with one.begin() as tx:
            tx.execute(meta.insert().values(name="late", value="harm"))
            old.check(tx)

    with pytest.raises(Fenced):
        late()
    with one.read() as tx:
        assert tx.execute(sa.select(meta).where(meta.c.name == "late")).all() == []
    old.release(one)
    with other.begin() as tx:
        new.check(tx)


def test_an_expired_lease_that_nobody_took_is_still_ours(state: State) -> None:
    lease = acquire(state, "crm", "run1", seconds=-1)
    with state.begin() as tx:
        lease.check(tx)


def test_the_same_run_goes_on_at_once_and_fences_its_old_self(state: State) -> None:
    old = acquire(state, "crm", "run1")
    new = acquire(state, "crm", "run1")
    with pytest.raises(Fenced), state.begin() as tx:
        old.check(tx)
    with state.begin() as tx:
        new.check(tx)


def test_the_lease_of_a_dead_process_of_this_machine_is_free(state: State) -> None:
    acquire(state, "crm", "run1")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with state.begin() as tx:
        holder = tx.execute(sa.select(leases.c.holder)).scalar_one()
        host = holder.partition(":")[0]
        tx.execute(sa.update(leases).values(holder=f"{host}:{dead.pid}:abcd run1"))
    assert acquire(state, "crm", "run2").token == 2


def test_the_process_of_another_machine_is_not_ours_to_judge(state: State) -> None:
    acquire(state, "crm", "run1")
    with state.begin() as tx:
        tx.execute(sa.update(leases).values(holder="elsewhere:999999999:abcd run1"))
    with pytest.raises(StateUnusable):
        acquire(state, "crm", "run2")
