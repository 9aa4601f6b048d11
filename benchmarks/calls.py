"""API calls of a sync, counted by the platforms' sandboxes and set beside the least there can be.

HubSpot is the marketing side, Salesforce the CRM: contacts go over as leads, then some of them change. The least is
what the platforms' own limits allow: a check of the account each, a page per 200 changed contacts, one look at what was
archived, one query per CRM object, and one write per 200 changed leads.

The last line is JSON.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import orjson
import structlog

from config.clock import ManualClock, SystemClock
from connectors import registry
from sync import scaffold
from sync.runs import Options, Report, Runner
from sync.workspace import Workspace

CONTACTS, CHANGED = 1200, 450
PAGE, BATCH = 200, 200
STANDING = 6
"""Calls of any sync: HubSpot's account and its archived contacts, Salesforce's limits and objects (what the credentials
open), its changed and its deleted leads."""
QUIET = 900
"""Seconds between the syncs, on a clock that is moved: longer than the overlap that a pull reads again."""

_RULES = """
qualification:
  qualified_when: "true"
"""


@contextmanager
def loop() -> Iterator[tuple[Workspace, dict[str, Any]]]:
    """A project between two sandboxes, HubSpot's filled."""
    clock = ManualClock(SystemClock().now())
    sandboxes = (registry.platform(name).sandbox(seed=1, clock=clock) for name in ("hubspot", "salesforce"))
    with tempfile.TemporaryDirectory() as name, next(sandboxes) as hubspot, next(sandboxes) as salesforce:
        platforms = {"hubspot": hubspot, "salesforce": salesforce}
        for n in range(CONTACTS):
            values = {"email": f"p{n}@example.com", "lastname": f"L{n}", "company": "Acme"}
            hubspot.put("contacts", values, at="2026-01-05T08:00:00.000Z")
        folder = Path(name)
        project(folder, platforms)
        with Workspace.open(folder, clock=clock) as workspace:
            yield workspace, platforms


def project(folder: Path, platforms: dict[str, Any]) -> None:
    """Contacts and leads only, and no brief: what is counted is the leads' way and nothing beside it."""
    made = {name: scaffold.sandbox_connection(folder, name, sandbox) for name, sandbox in platforms.items()}
    crm = made["salesforce"]
    settled = {**crm.settings, "settle": 0}
    made["salesforce"] = scaffold.Chosen(crm.platform, crm.mode, crm.auth, settled, crm.base_url, crm.ca_file)
    scaffold.write(folder, made, tail=_RULES)
    path = folder / "closedloop.yaml"
    text = path.read_text(encoding="utf-8").replace("brief: true", "brief: false")
    text = re.sub(r"(  hubspot:\n)", r"\1    objects: [contacts]\n", text, count=1)
    text = re.sub(r"(  salesforce:\n)", r"\1    objects: [leads]\n", text, count=1)
    path.write_text(text, encoding="utf-8")


def sync(workspace: Workspace, platforms: dict[str, Any]) -> tuple[Report, Counter[str]]:
    """Sync once; the calls that the sandboxes counted, by sort."""
    workspace.clock.sleep(QUIET)
    before = {name: len(sandbox.log) for name, sandbox in platforms.items()}
    report = Runner(workspace).run("sync", list(workspace.connections), Options(approve=True))
    if report.errors:
        raise report.errors[0]
    calls: Counter[str] = Counter()
    for name, sandbox in platforms.items():
        calls.update(f"{name} {_sort(entry)}" for entry in sandbox.log[before[name] :])
    return report, calls


def _sort(entry: Any) -> str:
    path = re.sub(r"/(?:\d{4}-\d\d|v\d+(?:\.\d+)?|crm|objects|services|data)(?=/)", "", entry.path)
    return f"{entry.method} {path}"


def told(title: str, calls: Counter[str]) -> list[str]:
    return [f"{title}: {calls.total()}", *(f"  {number:4} {sort}" for sort, number in sorted(calls.items())), ""]


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with loop() as (workspace, platforms):
        sync(workspace, platforms)
        sync(workspace, platforms)  # what the CRM made of the new leads is seen
        _, noop = sync(workspace, platforms)
        hubspot = platforms["hubspot"]
        for row in hubspot.all("contacts")[:CHANGED]:
            hubspot.edit("contacts", row["hs_object_id"], {"jobtitle": "Head of Purchasing"})
        _, calls = sync(workspace, platforms)
    least = STANDING + max(1, ceil(CHANGED / PAGE)) + ceil(CHANGED / BATCH)
    lines = [
        *told(f"a sync with nothing new, {CONTACTS} contacts", noop),
        *told(f"a sync with {CHANGED} changed contacts", calls),
    ]
    result = {"lines": lines, "noop_sync_calls": noop.total(), "calls": calls.total(), "calls_minimum": least}
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
