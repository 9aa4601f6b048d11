"""One process at a time works on a connection, and one that lost its lease calls no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, update

from config.errors import Fenced, RetryLater
from connectors import registry
from connectors.api import Operation, Result, Verb
from connectors.sandbox import Answer, Call
from sync import scaffold
from sync.fence import Fence
from sync.planning import plan_batches
from sync.push import send
from sync.runs import Options, Runner
from sync.state.database import State
from sync.state.leases import acquire
from sync.state.schema import journal, leases, runs
from tests.conftest import MakeState
from tests.engine.conftest import Loop

PEOPLE = 240
WORKER = """
import sys
from pathlib import Path
from config.errors import ClosedloopError
from sync.cli.app import exit_code
from sync.runs import Options, Runner
from sync import push
from sync.workspace import Workspace
push.DOUBT = 1.0
try:
    with Workspace.open(Path(sys.argv[1])) as workspace:
        report = Runner(workspace).run(sys.argv[2], workspace.connections, Options(approve=True))
    assert not report.errors, report.errors
except ClosedloopError as error:
    print(error, file=sys.stderr)
    sys.exit(exit_code(error))
"""


def test_a_call_that_writes_is_preceded_by_a_look_at_the_token(make_state: MakeState) -> None:
    one, other = make_state(), make_state()
    fence = Fence(one)
    lease = acquire(one, "connection:crm", "run1", seconds=-1)
    fence.hold(["crm"], [lease])
    fence.check("crm")
    with fence.writing("crm"):
        fence.check("crm")
        with other.begin() as tx:
            tx.execute(update(leases).values(token=leases.c.token + 1))
        with pytest.raises(Fenced):
            fence.check("crm")
    fence.drop(["crm"])
    fence.check("crm")
    fence.check("somebody else's")


def test_calls_renew_the_lease_before_it_ends(state: State) -> None:
    lease = acquire(state, "connection:crm", "run1", seconds=0.03)
    fence = Fence(state)
    fence.hold(["crm"], [lease])
    ends = _expiry(state)
    time.sleep(0.02)
    fence.check("crm")
    assert _expiry(state) > ends


def _expiry(state: State) -> float:
    with state.read() as tx:
        return float(tx.execute(select(leases.c.expires_at)).scalar_one())


def test_a_closed_workspace_opens_no_connector(loop: Loop) -> None:
    workspace = loop.workspace
    name = workspace.connections[0]
    assert workspace.connector(name)
    workspace.close()
    with pytest.raises(Fenced, match="closed its connections"):
        workspace.connector(name)


def test_who_loses_the_lease_between_two_results_writes_no_more(loop: Loop) -> None:
    """Another process takes over while the platform works on the first of many operations."""
    for number in range(5):
        loop.beta.put("contacts", {"email": f"p{number}@x.io", "title": "Clerk"})
        loop.clock.advance(1)
        loop.alpha.put("contacts", {"email": f"p{number}@x.io", "title": "Chief"})
    loop.sync(push=False)
    connector: Any = loop.workspace.connector("beta")
    push = connector.push

    def slow(operations: list[Operation], fields: list[str]) -> Iterator[Result]:
        for number, result in enumerate(push(operations, fields)):
            if number == 1:
                with loop.workspace.state.begin() as tx:
                    tx.execute(update(leases).values(token=leases.c.token + 1))
            loop.workspace.fence.check("beta")  # as every connector's rate budget does before a call
            yield result

    connector.push = slow
    before = len(loop.beta.writes)
    with pytest.raises(Fenced):
        Runner(loop.workspace).run("sync", ("alpha", "beta"), Options(approve=True))
    assert len(loop.beta.writes) == before + 2
    with loop.workspace.state.read() as tx:
        states = list(tx.execute(select(journal.c.state).where(journal.c.verb == Verb.UPDATE.value)).scalars())
    assert set(states) == {"sent"}  # nothing that was lost is taken for done: the other process looks it up


def test_who_loses_the_lease_leaves_the_accounts_of_the_run_alone(loop: Loop) -> None:
    """Another process goes on with the run, and counts in the same row, when the platform cannot take the first of two
    objects: what is held of the second is that other's to say."""
    loop.beta.put("contacts", {"email": "ana@x.io", "title": "Clerk"})
    loop.clock.advance(1)
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief"})
    loop.sync(push=False)
    runner = Runner(loop.workspace)
    run = runner.open("sync", ("alpha", "beta"), Options())
    planned = [operation for batch in plan_batches(loop.workspace, run) for operation in batch.operations]
    [first] = [operation for operation in planned if operation.connection == "beta"]
    loop.beta.refuse = lambda op: RetryLater("Busy.")

    def taken_over(connection: str, object: str, number: int) -> None:
        with loop.workspace.state.begin() as tx:
            tx.execute(update(leases).values(token=leases.c.token + 1))
            tx.execute(update(runs).values(counts="another's"))

    with runner._attempt(run) as attempt, pytest.raises(Fenced):
        send(loop.workspace, attempt.ledger, [first, replace(first, object="deals")], on_settled=taken_over)
    with loop.workspace.state.read() as tx:
        assert set(tx.execute(select(runs.c.counts)).scalars()) == {"another's"}


def test_what_another_process_ended_is_not_failed_afterwards(loop: Loop) -> None:
    runner = Runner(loop.workspace)
    run = runner.open("sync", ("alpha", "beta"), Options())
    runner.finish(run)
    runner.fail(run, RetryLater("Busy."))
    with loop.workspace.state.read() as tx:
        assert tx.execute(select(runs.c.state).where(runs.c.id == run)).scalar() == "done"


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(registry.platform(name).sandbox(seed=9)) for name in ("hubspot", "salesforce")
        }
        for number in range(PEOPLE):
            values = {"email": f"p{number}@x.example", "firstname": f"P{number}", "lastname": "X", "jobtitle": "Chief"}
            found["hubspot"].put("contacts", values)
        yield found


def project(folder: Path, platforms: dict[str, Any], state: str) -> None:
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail="qualification: {qualified_when: \"lead.title == 'Chief'\"}\n")
    file = folder / "closedloop.yaml"
    file.write_text(file.read_text().replace("sqlite:///closedloop.db", state))


def start(folder: Path, command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), command], stderr=subprocess.PIPE)


def written(platforms: dict[str, Any]) -> int:
    """How many calls that make or change a person's record reached the platforms."""
    return sum(
        line.method in ("POST", "PATCH") and any(part in line.path for part in ("/batch/", "/composite/"))
        and "/batch/read" not in line.path
        for sandbox in platforms.values()
        for line in sandbox.log
    )  # fmt: skip


def stop_in_call(process: subprocess.Popen[bytes], platforms: dict[str, Any], number: int) -> None:
    """Stop the process while it waits for the answer to its call `number` that writes.

    There it holds no lock of the database's, and has no call that passed the fence and has not left: such a call no
    fence can hold back, so elsewhere one call more could go out.
    """
    stopped = threading.Event()

    def watched(answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        def answering(call: Call) -> Answer:
            answered = answer(call)
            if written(platforms) == number and not stopped.is_set():
                process.send_signal(signal.SIGSTOP)
                stopped.set()
            return answered

        return answering

    for sandbox in platforms.values():
        sandbox.answer = watched(sandbox.answer)
    while not stopped.wait(0.5):
        assert process.poll() is None, process.communicate()[1].decode()[-1500:]


def expire_leases(url: str) -> None:
    """As if the time of every lease had run out."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as tx:
        assert tx.execute(update(leases).values(expires_at=0.0)).rowcount > 0
    engine.dispose()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
def test_a_process_that_slept_past_its_lease_writes_nothing_more(
    tmp_path: Path, state_url: str, platforms: dict[str, Any]
) -> None:
    project(tmp_path, platforms, state_url)
    first = start(tmp_path, "sync")
    stop_in_call(first, platforms, number=2)
    busy = start(tmp_path, "backfill")
    told = busy.communicate(timeout=60)[1].decode()
    assert busy.returncode == 5, told
    assert "holds connection:" in told
    expire_leases(state_url)
    second = start(tmp_path, "backfill")
    told = second.communicate(timeout=120)[1].decode()
    assert second.returncode == 0, told[-1500:]
    done = written(platforms)
    leads = len(platforms["salesforce"].all("leads"))
    os.kill(first.pid, signal.SIGCONT)
    told = first.communicate(timeout=60)[1].decode()
    assert first.returncode == 5, told[-1500:]
    assert "taken over" in told
    assert written(platforms) == done
    assert leads == len(platforms["salesforce"].all("leads")) == PEOPLE
    tasks = platforms["salesforce"].all("tasks")
    assert len(tasks) == len({task["WhoId"] for task in tasks}) == PEOPLE
