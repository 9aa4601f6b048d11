"""Crash drills: the real command, killed at any moment, again and again; `make drill` does it some hundred times.

The platforms are sandboxes on loopback that live on in this process. A command is killed (SIGKILL) when a chosen call
of its arrives, before or after its effect, or some milliseconds later, when it stores what came of it. Then the same
command is given again until it gets through, and both platforms must hold exactly what they would have held.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import orjson
import yaml
from sqlalchemy import create_engine, select

from connectors import registry
from connectors.sandbox import Answer, Call, Sandbox
from sync import push, scaffold
from sync.runs import Options, Runner
from sync.state.schema import journal
from sync.workspace import Workspace
from tests import postgres

PEOPLE = 24
TRIES = 8
SECONDS = 90.0
"""After which a command that says nothing hangs."""
DOUBT = 1.0
"""Seconds after which what was sent before a kill can be told done or not done; for real use it is much longer."""
WAYS = ("backfill", "sync", "daemon", "apply", "undo")
_COMMAND = f"""
import sys
from sync import push
push.DOUBT = {DOUBT}
from sync.cli.app import main
sys.exit(main())
"""
_TAIL = "qualification: {qualified_when: \"lead.last_name == 'X'\"}\n"


class Wrong(AssertionError):
    """What must hold after a crash does not."""


@dataclass
class Drill:
    """One project over two platforms, and what both must hold."""

    folder: Path
    url: str
    rng: Random
    platforms: dict[str, Any]
    kills: Counter[str] = field(default_factory=Counter)
    usual: dict[str, int] = field(default_factory=dict)  # calls of a command that nobody killed
    titles: dict[str, str] = field(default_factory=dict)  # on HubSpot, by e-mail
    undone: dict[str, tuple[str, str]] = field(default_factory=dict)  # at Salesforce: may be either
    calls: int = 0
    strike: Callable[[int, bool], None] = lambda number, after: None
    _said: int = 0

    def __post_init__(self) -> None:
        chosen = {name: scaffold.sandbox_connection(self.folder, name, one) for name, one in self.platforms.items()}
        scaffold.write(self.folder, chosen, tail=_TAIL)
        file = self.folder / "closedloop.yaml"
        project = yaml.safe_load(file.read_text().replace("sqlite:///closedloop.db", self.url))
        project["daemon"] = {"metrics": "", "tick": "1s"}
        limits = {"changed": {"share": "100%", "over": 0}, "opted_out": {"share": "100%", "over": 0}}
        project["guards"] = limits | {"deleted": {"share": "100%", "over": 0}}
        for connection in project["connections"].values():
            connection["every"] = "1s"
        file.write_text(yaml.safe_dump(project))
        for sandbox in self.platforms.values():
            sandbox.answer = self._watched(sandbox)
        for number in range(PEOPLE):
            self.join(number)

    def _watched(self, sandbox: Sandbox) -> Callable[[Call], Answer]:
        answer = sandbox.answer

        def answering(call: Call) -> Answer:
            self.calls += 1
            number = self.calls
            self.strike(number, False)
            answered = answer(call)
            self.strike(number, True)
            return answered

        return answering

    # people

    def join(self, number: int) -> None:
        email = f"p{number}@x.example"
        self.titles[email] = "Chief 0"
        values = {"email": email, "firstname": f"P{number}", "lastname": "X", "jobtitle": "Chief 0"}
        self.platforms["hubspot"].put("contacts", values)

    def edit(self) -> None:
        """A third of the people get new titles, all those of whom something was taken back among them."""
        for row in self.platforms["hubspot"].all("contacts"):
            email = row["email"]
            if email in self.undone or self.rng.random() < 0.3:
                self._said += 1
                self.titles[email] = f"Chief {self._said}"
                self.platforms["hubspot"].edit("contacts", row["hs_object_id"], {"jobtitle": self.titles[email]})
        self.undone.clear()

    # processes

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _COMMAND, *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, stdout=pipe, stderr=pipe, start_new_session=True)

    def killed(self, *words: str) -> bool:
        """Start the command and kill it at a drawn moment; False when it was through before."""
        name = words[0]
        at = self.calls + self.rng.randint(1, self.usual.get(name, 12))
        after, late = self.rng.random() < 0.5, self.rng.choice((0.0, 0.0, 0.01, 0.04, 0.15))
        struck = threading.Event()
        process = self.start(*words)

        def strike(number: int, is_after: bool) -> None:
            if number == at and is_after == after and not struck.is_set():
                struck.set()
                if late:
                    threading.Timer(late, process.kill).start()
                else:
                    process.kill()

        self.strike = strike
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if name == "daemon" and struck.wait(0.5):
                break
            time.sleep(0.02)
        self.strike = lambda number, is_after: None
        if process.poll() is None and not struck.is_set():
            process.kill()
            raise Wrong(f"{name} hangs")
        process.communicate()
        dead = process.returncode == -signal.SIGKILL
        self.kills[name] += dead
        self._check_database()
        return dead

    def through(self, *words: str) -> Any:
        """What the command prints when it is given again until it gets through."""
        began, told = self.calls, ""
        for _ in range(TRIES):
            process = self.start(*words, "--json")
            out, error = process.communicate(timeout=SECONDS)
            if process.returncode in (0, 3):
                self.usual.setdefault(words[0], max(2, self.calls - began))
                return orjson.loads(out)
            told = error.decode()[-600:]
            time.sleep(1.0)
        raise Wrong(f"{words[0]} does not get through: {told}")

    def rest(self) -> None:
        """Sync until nothing is left to write; in this process, which need not start anew for it."""
        with Workspace.open(self.folder) as workspace:
            for _ in range(TRIES):
                report = Runner(workspace).run("sync", workspace.connections, Options(approve=True))
                if report.state == "done" and not report.counts["write"]:
                    return
                time.sleep(0.3)
        raise Wrong(f"does not come to rest: {report.state} {report.counts['write']} {report.errors}")

    # the drills

    def round(self, way: str) -> None:
        """Something changes, a command that carries it over is killed and given again, and all is well."""
        self.edit()
        if way == "daemon":
            self._daemon()
        elif way == "apply":
            self._apply()
        elif way == "undo":
            self._undo()
        else:
            self._again(way, "--yes")
        self.rest()
        self.check()

    def _again(self, *words: str) -> Any:
        for _ in range(self.rng.choice((2, 3, 4))):
            if not self.killed(*words):
                break
        return self.through(*words)

    def _daemon(self) -> None:
        self.usual["daemon"] = 30
        for _ in range(self.rng.choice((2, 3))):
            self.killed("daemon")

    def _apply(self) -> None:
        file = self.folder / "plan.json"
        self.through("plan", "--out", str(file))
        self._again("apply", str(file))

    def _undo(self) -> None:
        before = {row["Email"]: row["Title"] for row in self.platforms["salesforce"].all("leads")}
        run = self.through("sync", "--yes")["run"]
        if self._written(run):
            self.undone = {email: (title, self.titles[email]) for email, title in before.items()}
            self._again("undo", run, "--yes")
            self.rest()
            back = {row["Id"]: row["Email"] for row in self.platforms["salesforce"].all("leads")}
            stands = {row["Email"]: row["Title"] for row in self.platforms["salesforce"].all("leads")}
            for record in self._written(run):
                email = back[record]
                if stands[email] != before[email]:
                    raise Wrong(f"undo: {email} has {stands[email]!r}, not {before[email]!r} as before the run")

    def _written(self, run: str) -> list[str]:
        """The records at Salesforce that the run gave a title."""
        engine = create_engine(
            self.url.replace("postgresql:", "postgresql+psycopg:").replace("///", f"///{self.folder}/")
        )
        mine = (journal.c.run == run) & (journal.c.connection == "salesforce") & (journal.c.state == "settled")
        with engine.connect() as tx:
            rows = tx.execute(select(journal.c.record, journal.c.after).where(mine, journal.c.verb == "update")).all()
        engine.dispose()
        return [row.record for row in rows if "title" in orjson.loads(row.after)]

    # what must hold

    def check(self) -> None:
        hubspot, salesforce = self.platforms["hubspot"], self.platforms["salesforce"]
        contacts = {row["email"]: row["jobtitle"] for row in hubspot.all("contacts")}
        if contacts != self.titles or len(hubspot.all("contacts")) != len(self.titles):
            raise Wrong(f"HubSpot: {_differing(contacts, self.titles)}")
        leads = salesforce.all("leads")
        if sorted(row["Email"] for row in leads) != sorted(self.titles):
            raise Wrong(f"Salesforce: {len(leads)} leads of {len(self.titles)} people")
        for row in leads:
            allowed = {*self.undone.get(row["Email"], ()), self.titles[row["Email"]]}
            if row["Title"] not in allowed:
                raise Wrong(f"Salesforce: {row['Email']} has {row['Title']!r}, not {sorted(allowed)}")
        tasks = [task["WhoId"] for task in salesforce.all("tasks")]
        if len(tasks) != len(set(tasks)) or len(tasks) != len(leads):
            raise Wrong(f"Salesforce: {len(tasks)} hand-off tasks for {len(leads)} leads")

    def _check_database(self) -> None:
        if not self.url.startswith("sqlite"):
            return
        file = self.folder / "closedloop.db"
        if file.exists():
            with sqlite3.connect(file) as connection:
                [told] = connection.execute("PRAGMA integrity_check").fetchone()
            connection.close()
            if told != "ok":
                raise Wrong(f"the database is damaged: {told}")


def _differing(found: dict[str, str], wanted: dict[str, str]) -> dict[str, tuple[str | None, str]]:
    return {email: (found.get(email), title) for email, title in wanted.items() if found.get(email) != title}


@contextmanager
def drilled(folder: Path, url: str, seed: int) -> Iterator[Drill]:
    """A drill on fresh platforms; its first backfill is the first thing to be killed."""
    with ExitStack() as stack:
        platforms = {
            name: stack.enter_context(registry.platform(name).sandbox(seed=9)) for name in ("hubspot", "salesforce")
        }
        stack.enter_context(patch.object(push, "DOUBT", DOUBT))
        yield Drill(folder, url, Random(seed), platforms)


def drill(kind: str, seed: int, kills: int) -> dict[str, Any]:
    """Rounds on one kind of database until so many processes were killed."""
    by_command: Counter[str] = Counter()
    violations: list[str] = []
    with postgres.server() if kind == "postgresql" else nullcontext() as server:
        while by_command.total() < kills and len(violations) < 3:
            seed += 1
            url = server.fresh() if server is not None else "sqlite:///closedloop.db"
            with (
                tempfile.TemporaryDirectory(prefix="closedloop-drill-") as folder,
                drilled(Path(folder), url, seed) as one,
            ):
                try:
                    _rounds(one, kills - by_command.total())
                except (Wrong, subprocess.TimeoutExpired) as error:
                    violations.append(f"{kind} seed {seed}: {error}")
                by_command.update(one.kills)
    return {"kills": dict(by_command), "violations": violations}


def _rounds(one: Drill, kills: int) -> None:
    for number in range(3 * len(WAYS)):
        one.round(WAYS[number] if number < len(WAYS) else one.rng.choice(WAYS))
        if one.kills.total() >= kills:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    kinds = ["sqlite", *(["postgresql"] if postgres.binaries() else [])]
    began = time.monotonic()
    with ProcessPoolExecutor(min(len(kinds), os.cpu_count() or 1)) as pool:
        each = -(-told.kills // len(kinds))
        done = list(pool.map(drill, kinds, [told.seed] * len(kinds), [each] * len(kinds)))
    violations = [line for one in done for line in one["violations"]]
    for line in violations:
        print(line)
    by_kind = {kind: sum(one["kills"].values()) for kind, one in zip(kinds, done, strict=True)}
    by_command: Counter[str] = Counter()
    for one in done:
        by_command.update(one["kills"])
    summary = {
        "kills": sum(by_kind.values()),
        "violations": len(violations),
        "by_database": by_kind,
        "by_command": dict(by_command),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(orjson.dumps(summary).decode())
    return 1 if violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
