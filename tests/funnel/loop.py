"""Run the whole loop on the real funnel: two marketing platforms, one CRM, three sandboxes on loopback.

Its leads enter through HubSpot (60 %) and Mailchimp (40 %), 500 of them through both. All qualify and are handed off to
Salesforce; those that closed become won Opportunities there; the outcome goes back to both marketing platforms.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml
from sqlalchemy import select

from connectors import registry
from connectors.sandbox import Sandbox
from sync.runs import Options, Report, Runner
from sync.state.schema import leads
from sync.workspace import Workspace

BOTH = 500
HUBSPOT_SHARE = 0.6


@dataclass(frozen=True)
class Mql:
    """One marketing-qualified lead of the file."""

    id: str
    first_contact: str
    origin: str
    won: str = ""
    segment: str = ""

    @property
    def email(self) -> str:
        return f"{self.id}@example.com"


@dataclass
class Outcome:
    """What the loop ended with."""

    leads: int
    customers: int
    by_origin: dict[str, list[int]]
    last_sync_writes: int
    marked: dict[str, int] = field(default_factory=dict)
    handed_off: int = 0

    def json(self) -> str:
        told = {
            "leads": self.leads,
            "customers": self.customers,
            "by_origin": self.by_origin,
            "last_sync_writes": self.last_sync_writes,
            "marked": self.marked,
            "handed_off": self.handed_off,
        }
        return orjson.dumps(told).decode()


def read(folder: Path) -> list[Mql]:
    """The funnel's leads, with the won date of those that closed."""
    with (folder / "olist_closed_deals_dataset.csv").open(encoding="utf-8") as file:
        closed = {row["mql_id"]: row for row in csv.DictReader(file)}
    with (folder / "olist_marketing_qualified_leads_dataset.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Mql(
            row["mql_id"],
            row["first_contact_date"],
            row["origin"] or "unknown",
            closed.get(row["mql_id"], {}).get("won_date", "")[:10],
            closed.get(row["mql_id"], {}).get("business_segment", ""),
        )
        for row in rows
    ]


def expected(people: list[Mql]) -> dict[str, list[int]]:
    """The file's own counts: origin -> [leads, customers]."""
    everyone = Counter(person.origin for person in people)
    won = Counter(person.origin for person in people if person.won)
    return {origin: [number, won[origin]] for origin, number in everyone.items()}


@contextmanager
def sandboxes() -> Iterator[dict[str, Any]]:
    """The three platforms, with the fields that the funnel's mapping needs."""
    with ExitStack() as stack:
        found: dict[str, Any] = {}
        for name in ("hubspot", "mailchimp", "salesforce"):
            sandbox: Sandbox = registry.platform(name).sandbox(seed=7)
            stack.enter_context(sandbox)
            found[name] = sandbox
        found["hubspot"].add_property("contacts", "origin")
        found["hubspot"].add_property("contacts", "first_contact_date", "date")
        found["mailchimp"].add_merge_field("ORIGIN")
        found["mailchimp"].add_merge_field("FIRSTDATE", "date")
        yield found


def fill(platforms: dict[str, Any], people: list[Mql]) -> None:
    """Put the leads into the marketing platforms: the first 60 % in HubSpot, the rest in Mailchimp, 500 in both."""
    share = round(len(people) * HUBSPOT_SHARE)
    for number, person in enumerate(people):
        if number < share:
            values = {"email": person.email, "origin": person.origin, "first_contact_date": person.first_contact}
            platforms["hubspot"].put("contacts", values)
        if number >= share or number < BOTH:
            merge = {"ORIGIN": person.origin, "FIRSTDATE": person.first_contact}
            platforms["mailchimp"].put("members", {"email_address": person.email, "merge_fields": merge})


def write_project(folder: Path, platforms: dict[str, Any], state: str = "sqlite:///closedloop.db") -> None:
    """A project of the ready mappings, with the funnel's two fields added."""
    connections: dict[str, Any] = {}
    (folder / "mappings").mkdir(parents=True, exist_ok=True)
    (folder / "secrets").mkdir(exist_ok=True)
    for name, sandbox in platforms.items():
        account = sandbox.account()
        auth = {}
        for member, value in account["auth"].items():
            if member == "mode" or member not in _secrets(name, account["auth"]["mode"]):
                auth[member] = value
                continue
            (folder / "secrets" / f"{name}_{member}").write_text(str(value))
            auth[member] = f"file:secrets/{name}_{member}"
        connections[name] = {"auth": auth, "settings": account["settings"], "base_url": sandbox.base_url}
        if sandbox.ca_file:
            (folder / f"{name}-ca.pem").write_bytes(Path(sandbox.ca_file).read_bytes())
            connections[name]["ca_file"] = f"{name}-ca.pem"
        (folder / "mappings" / f"{name}.yaml").write_text(yaml.safe_dump(_mapping(name), sort_keys=False))
    project = {
        "version": 1,
        "state": state,
        "time_zone": "America/Sao_Paulo",
        "country": "BR",
        "currency": "BRL",
        "connections": connections,
        "qualification": {"qualified_when": "lead.original_source != ''"},
        "handoff": {"to": "salesforce", "object": "leads", "brief": False},
    }
    (folder / "closedloop.yaml").write_text(yaml.safe_dump(project, sort_keys=False))


def _secrets(platform: str, mode: str) -> tuple[str, ...]:
    return registry.facts(platform).auth[mode].secrets


_EXTRA = {
    "hubspot": ("contacts", {"original_source": "origin", "first_contact_at": "first_contact_date"}),
    "mailchimp": ("members", {"original_source": "merge_fields.ORIGIN", "first_contact_at": "merge_fields.FIRSTDATE"}),
}


def _mapping(name: str) -> dict[str, Any]:
    """The ready mapping, its entries for the two fields replaced by the funnel's own."""
    mapping: dict[str, Any] = yaml.safe_load((registry.platform(name).folder / "mapping.yaml").read_text())
    if name in _EXTRA:
        object, fields = _EXTRA[name]
        kept = [entry for entry in mapping["objects"][object]["fields"] if entry.get("field") not in fields]
        kept += [{"remote": remote, "field": field, "direction": "pull"} for field, remote in fields.items()]
        mapping["objects"][object]["fields"] = kept
    return mapping


def win(platforms: dict[str, Any], people: list[Mql]) -> None:
    """Sales work the handed-off leads: those that closed are converted and their Opportunities won on their date."""
    salesforce = platforms["salesforce"]
    by_email = {str(row["Email"]).lower(): row["Id"] for row in salesforce.all("leads")}
    for person in people:
        if person.won:
            made = salesforce.convert(by_email[person.email.lower()], amount=1000.0, deal=f"Deal {person.id[:8]}")
            salesforce.win(made["opportunities"], close_date=person.won)


def sync(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    if report.errors:
        raise report.errors[0]
    return report


def written(report: Report) -> int:
    """How many operations the run planned."""
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def run(folder: Path, data: Path, state: str = "sqlite:///closedloop.db") -> tuple[Outcome, list[Mql]]:
    """The whole loop; its outcome, and the leads that it was about."""
    people = read(data)
    with sandboxes() as platforms:
        fill(platforms, people)
        write_project(folder, platforms, state)
        with Workspace.open(folder) as workspace:
            sync(workspace, "backfill")
            win(platforms, people)
            for _ in range(3):
                sync(workspace)
            last = sync(workspace)
            return _outcome(workspace, platforms, last), people


def _outcome(workspace: Workspace, platforms: dict[str, Any], last: Report) -> Outcome:
    by_origin: dict[str, list[int]] = {}
    handed_off = 0
    with workspace.state.read() as tx:
        for row in tx.execute(select(leads.c.body, leads.c.handed_off_at).where(leads.c.state == "live")):
            values = orjson.loads(row.body)
            counts = by_origin.setdefault(values.get("original_source") or "", [0, 0])
            counts[0] += 1
            counts[1] += bool(values.get("is_customer"))
            handed_off += row.handed_off_at is not None
    marked = {
        "hubspot": sum(row.get("lifecyclestage") == "customer" for row in platforms["hubspot"].all("contacts")),
        "mailchimp": sum(
            any(tag["name"] == "customer" for tag in row["tags"]) for row in platforms["mailchimp"].all("members")
        ),
    }
    totals = [sum(column) for column in zip(*by_origin.values(), strict=True)]
    return Outcome(totals[0], totals[1], by_origin, written(last), marked, handed_off)
