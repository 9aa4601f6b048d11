"""The loop where alpha takes copies of beta's deals, and what the tests of copies share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from config.clock import ManualClock
from connectors.api import Operation
from sync.runs import Report
from sync.state.schema import leads, quarantine
from tests.engine.conftest import MARKETING, PROJECT, Loop, open_loop, write_project
from tests.engine.memory import Memory

DEALS = """
  deals:
    kind: deal
    match: [home]
    create_when: "deal.name != 'Secret'"
    fields:
      - {remote: home, field: home, direction: push}
      - {remote: title, field: name, direction: push}
      - {remote: worth, field: amount, direction: push, transform: [{money: EUR}]}
      - remote: stage
        field: stage
        direction: push
        transform: [{values: {map: {Talking: Negotiation, Done: Closed Won, Over: Closed Lost}}}]
      - {remote: closed, field: is_closed, direction: push}
      - {remote: won, field: is_won, direction: push}
      - {remote: until, field: close_date, direction: push}
      - {remote: reason, field: lost_reason, direction: push}
  deal_contacts:
    kind: association
    fields:
      - {remote: from_object, field: from_object}
      - {remote: from_id, field: from_id}
      - {remote: to_object, field: to_object}
      - {remote: to_ids, field: to_ids}
"""
OPEN = {"name": "Deal", "amount": "900", "stage": "Negotiation", "closed": False, "won": False}
WON = {"stage": "Closed Won", "closed": True, "won": True, "close_date": "2026-03-01"}
COPY = {"title": "Deal", "worth": "900", "stage": "Talking", "closed": False, "won": False}


class Deals(Loop):
    """The loop where alpha takes copies of deals; no hand-off, so deals of both count."""

    def sync(self, **more: Any) -> Report:
        """One sync of both; before it, alpha shows by its own ties who is in each of its deals."""
        for id, row in self.alpha.rows.get("deals", {}).items():
            if "person" in row.values and f"t{id}" not in self.alpha.rows.get("deal_contacts", {}):
                tie(self.alpha, id, "contacts", [row.values["person"].partition("/")[2]], f"t{id}")
        return super().sync(**more)

    def mine(self) -> list[dict[str, Any]]:
        """Alpha's deals, without the names of their homes and people."""
        return [{n: v for n, v in deal.items() if n not in ("home", "person")} for deal in self.alpha.all("deals")]

    def written(self) -> list[Operation]:
        return [operation for operation in self.alpha.writes if operation.object == "deals"]

    def reopened(self, mapping: str) -> None:
        """What the project is with another mapping of alpha."""
        self.workspace.close()
        (self.folder / "mappings" / "alpha.yaml").write_text(mapping)
        self.workspace = open_loop(self.folder, self.clock, self.alpha, self.beta)


def tie(side: Memory, deal: str, object: str, people: list[str], id: str = "") -> str:
    values = {"from_object": "deals", "from_id": deal, "to_object": object, "to_ids": people}
    return side.put("deal_contacts", values, id)


def ana(both: Deals) -> tuple[str, str]:
    """A person of both sides: (contact of alpha, prospect of beta)."""
    one = both.alpha.put("contacts", {"email": "ana@x.io"})
    return one, both.beta.put("prospects", {"email": "ana@x.io"})


def deal(both: Deals, *people: str, **more: Any) -> str:
    made = both.beta.put("deals", {**OPEN, **more})
    tie(both.beta, made, "prospects", list(people))
    return made


def values(both: Deals) -> dict[str, Any]:
    """The only lead's values."""
    with both.workspace.state.read() as tx:
        [body] = tx.execute(select(leads.c.body).where(leads.c.state == "live")).scalars()
    found: dict[str, Any] = orjson.loads(body)
    return found


def complaints(both: Deals, code: str = "") -> list[Any]:
    with both.workspace.state.read() as tx:
        rows = list(tx.execute(select(quarantine).where(quarantine.c.state == "open")))
    return [row for row in rows if code in ("", row.code)]


@pytest.fixture
def both(tmp_path: Path, state_url: str) -> Iterator[Deals]:
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    write_project(tmp_path, state_url)
    manifest = (tmp_path / "alpha" / "manifest.yaml").read_text()
    plain, pushed = "{kind: deal, about: deals}", "{kind: deal, about: deals, push: [create, update, archive]}"
    (tmp_path / "alpha" / "manifest.yaml").write_text(manifest.replace(plain, pushed))
    (tmp_path / "mappings" / "alpha.yaml").write_text(MARKETING + DEALS.lstrip("\n"))
    project = PROJECT.format(state=state_url).replace("handoff: {to: beta, object: prospects, brief: true}\n", "")
    (tmp_path / "closedloop.yaml").write_text(project)
    alpha, beta = Memory(clock), Memory(clock)
    both = Deals(tmp_path, clock, alpha, beta, open_loop(tmp_path, clock, alpha, beta))
    yield both
    both.workspace.close()
