"""All platforms at once: a star around the lead, by the ready mappings, one CRM to hand off to, figures that add up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from connectors import registry
from connectors.conformance_bench import numbered
from mappings.model import Kind
from sync import scaffold
from sync.insight.report import funnel
from sync.runs import Options, Report, Runner
from sync.state.schema import leads
from sync.workspace import Workspace

EACH = 4
"""People of each platform; the half of them stand on the next platform too."""
CHIEF = 3
"""Whose number qualifies: somebody of two platforms."""
TAIL = f"""
qualification: {{qualified_when: "lead.email == 'person{CHIEF}@people.example'"}}
"""


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=4)) for name in scaffold.ready()}


def fill(platforms: dict[str, Any]) -> set[str]:
    """People by the manifests' samples, each platform's overlapping with the next one's; the addresses there are."""
    first, addresses = 0, set()
    for name, sandbox in platforms.items():
        for object, facts in registry.facts(name).objects.items():
            if facts.kind is Kind.LEAD and facts.sample and facts.pull:
                for number in range(first, first + EACH):
                    sample = numbered(facts.sample, number)
                    sandbox.put(object, sample)
                    addresses |= {value for value in sample.values() if "@people" in str(value)}
                first += EACH // 2
    return addresses


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> dict[str, int]:
    counts = report.counts["write"]
    return {name: sum(row["planned"] for row in objects.values()) for name, objects in counts.items()}


def known(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The leads by their address."""
    with workspace.state.read() as tx:
        bodies = [orjson.loads(body) for body in tx.execute(select(leads.c.body)).scalars()]
    return {body["email"]: body for body in bodies if body.get("email")}


@pytest.mark.slow
def test_everybody_is_one_lead_and_the_funnel_adds_up(tmp_path: Path, platforms: dict[str, Any]) -> None:
    addresses = fill(platforms)
    chosen = {name: scaffold.sandbox_connection(tmp_path, name, made) for name, made in platforms.items()}
    scaffold.write(tmp_path, chosen, tail=TAIL)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        assert set(known(workspace)) == addresses, "somebody is missing, or twice"
        for _ in range(4):
            if not written(run(workspace)):
                break
        crm = platforms["salesforce"]
        [lead] = [row for row in crm.all("leads") if row["Email"] == f"person{CHIEF}@people.example"]
        crm.win(crm.convert(lead["Id"], deal="Big", amount=900)["opportunities"])
        for _ in range(5):
            if not written(run(workspace)):
                break
        assert written(run(workspace)) == {}
        assert known(workspace)[f"person{CHIEF}@people.example"]["lifecycle_stage"] == "customer"
        with workspace.state.read() as tx:
            found = funnel(tx, "source", workspace.project.currency)
    assert found.total.leads == sum(row.leads for row in found.rows) == len(addresses)
    assert (found.total.qualified, found.total.handed_off, found.total.customers) == (1, 1, 1)
    assert found.total.revenue == 900
