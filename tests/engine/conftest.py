"""Two in-memory platforms, a project that ties them together, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.clock import ManualClock
from connectors import manifest
from sync.runs import Options, Report, Runner
from sync.workspace import Workspace
from tests.engine.memory import Memory, platform

MANIFEST = """
name: {name}
title: {name}
about: a platform in memory
api: "1"
sdk: none
hosts: [127.0.0.1]
auth: {{none: {{about: nothing}}}}
objects:
  owners: {{kind: owner, about: users}}
  contacts: {{kind: lead, about: people, push: [create, update, archive, erase], unique: [email]}}
  prospects: {{kind: lead, about: unqualified people, push: [create, update, archive, erase], unique: [email]}}
  deals: {{kind: deal, about: deals}}
  deal_contacts: {{kind: association, about: who is in which deal}}
  events: {{kind: activity, about: what people did}}
  tasks: {{kind: activity, about: to do, pull: false, push: [create, archive], brief: true}}
"""

MARKETING = """
platform: alpha
objects:
  contacts:
    kind: lead
    match: [email]
    create_when: "false"
    fields:
      - {remote: email, field: email, direction: both, transform: [email]}
      - {remote: first, field: first_name, direction: both}
      - {remote: title, field: title, direction: both, on_blank: clear}
      - {remote: phone, field: phone, direction: both, transform: [{phone: DE}]}
      - {remote: source, field: original_source}
      - {remote: stage, field: lifecycle_stage, direction: both}
      - {remote: consent, field: email_consent, direction: both}
      - {remote: customer_since, field: customer_since, direction: push}
  events:
    kind: activity
    fields:
      - {remote: type, field: type}
      - {remote: at, field: at}
      - {remote: person, field: person}
      - {constant: contacts, field: person_object}
      - {remote: title, field: title}
"""

CRM_PEOPLE = """
    kind: lead
    match: [email]
    fields:
      - {remote: email, field: email, direction: both, transform: [email]}
      - {remote: first, field: first_name, direction: both}
      - {remote: title, field: title, direction: both, on_blank: clear}
      - {remote: phone, field: phone, direction: both, transform: [{phone: DE}]}
      - {remote: opted_out, field: email_consent, direction: both, transform: [{values: {map: {"true": unsubscribed}}}]}
      - {remote: origin, field: original_source, direction: push}
"""

CRM = f"""
platform: beta
objects:
  contacts: {CRM_PEOPLE}
  prospects: {CRM_PEOPLE}
  deals:
    kind: deal
    fields:
      - {{remote: name, field: name}}
      - {{remote: amount, field: amount, transform: [{{money: EUR}}]}}
      - {{remote: stage, field: stage}}
      - {{remote: closed, field: is_closed}}
      - {{remote: won, field: is_won}}
      - {{remote: close_date, field: close_date}}
      - {{remote: lost_reason, field: lost_reason}}
  deal_contacts:
    kind: association
    fields:
      - {{remote: from_object, field: from_object}}
      - {{remote: from_id, field: from_id}}
      - {{remote: to_object, field: to_object}}
      - {{remote: to_ids, field: to_ids}}
"""

PROJECT = """
version: 1
state: {state}
time_zone: Europe/Berlin
country: DE
currency: EUR
connections:
  alpha: {{auth: {{mode: none}}}}
  beta: {{auth: {{mode: none}}}}
qualification:
  score:
    - {{when: "lead.title.contains('Chief')", points: 30, because: decides}}
    - {{when: "activity.form > 0", points: 40, because: asked for contact}}
  qualified_when: "score >= 40"
handoff: {{to: beta, object: prospects, brief: true}}
first_run: {{canary: 2}}
"""


@dataclass
class Loop:
    """The two platforms and the project between them."""

    folder: Path
    clock: ManualClock
    alpha: Memory
    beta: Memory
    workspace: Workspace

    def sync(self, *, approve: bool = True, names: tuple[str, ...] = ("alpha", "beta"), push: bool = True) -> Report:
        """One sync of both; a minute passes before it."""
        self.clock.advance(60)
        return Runner(self.workspace).run("sync", names, Options(approve=approve, push=push))

    def settled(self) -> list[Report]:
        """Sync until nothing is written any more, at most four times."""
        reports = []
        for _ in range(4):
            reports.append(self.sync())
            if not reports[-1].counts["write"]:
                return reports
        raise AssertionError(f"does not come to rest: {reports[-1].counts['write']}")

    def reopen(self) -> None:
        """What a new process would see."""
        self.workspace.close()
        self.workspace = open_loop(self.folder, self.clock, self.alpha, self.beta)

    def know_by_address(self) -> None:
        """From now on beta knows people by their address only, as its manifest says of those without a number."""
        self.beta.by_address = True
        path = self.folder / "beta" / "manifest.yaml"
        path.write_text(path.read_text().replace("unique: [email]", "unique: [email], lasting_id: number"))
        manifest.load.cache_clear()
        self.reopen()

    def rule(self, field: str, told: str) -> None:
        """Somebody writes the survivorship rule of a field into the project file (`told` "": takes it out), and the
        program starts again."""
        path = self.folder / "closedloop.yaml"
        rule = f"\nlead: {{survivorship: {{{field}: {{rule: {told}}}}}}}\n" if told else ""
        path.write_text(path.read_text().partition("\nlead:")[0] + rule)
        self.reopen()


def open_loop(folder: Path, clock: ManualClock, alpha: Memory, beta: Memory) -> Workspace:
    platforms = {
        "alpha": platform("alpha", folder / "alpha", alpha),
        "beta": platform("beta", folder / "beta", beta),
    }
    return Workspace.open(folder, clock=clock, find=platforms.__getitem__)


def write_project(folder: Path, state: str) -> None:
    """The project's files, and the two platforms' manifests."""
    for name, mapping in (("alpha", MARKETING), ("beta", CRM)):
        (folder / name).mkdir()
        (folder / name / "manifest.yaml").write_text(MANIFEST.format(name=name))
        (folder / "mappings").mkdir(exist_ok=True)
        (folder / "mappings" / f"{name}.yaml").write_text(mapping)
    (folder / "closedloop.yaml").write_text(PROJECT.format(state=state))


@pytest.fixture
def loop(tmp_path: Path, state_url: str) -> Iterator[Loop]:
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    write_project(tmp_path, state_url)
    alpha, beta = Memory(clock), Memory(clock)
    loop = Loop(tmp_path, clock, alpha, beta, open_loop(tmp_path, clock, alpha, beta))
    yield loop
    loop.workspace.close()
