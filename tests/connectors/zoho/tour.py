"""Every sort of call that the connector makes, once, over a small org."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

from config.clock import ManualClock
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from connectors.zoho import bulk, bulk_file, bulk_write
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import shown, told
from tests.connectors.zoho.kit import FIELDS, away, create, lead, update

MANY = 5
OTHERS = {
    "users": ["email", "name", "active"],
    "accounts": ["Account_Name", "Website"],
    "campaigns": ["Campaign_Name", "Status"],
    "contacts": ["Email", "Account_Name.id", "Account_Name.Account_Name"],
    "deals": ["Deal_Name", "Amount", "Stage", "Stage_Closed", "Stage_Won"],
    "contact_roles": ["from_id", "to_ids"],
    "campaign_members": ["Campaign", "Person_Id", "Person_Object", "Member_Status", "Member_Time"],
    "tasks": ["Subject", "Person_Id", "Person_Object"],
    "calls": ["Subject", "Person_Id"],
    "meetings": ["Event_Title", "Person_Id"],
    "notes": ["Note_Title", "Person_Id", "Person_Object"],
}


def world() -> tuple[ZohoSandbox, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    zoho = ZohoSandbox(seed=1, clock=clock)
    zoho.store.last_id = 6100000000000060000
    people = [lead(zoho, f"p{n}@example.com", First_Name="Žofia", Tag=["vip"]) for n in range(4)]
    account = zoho.put("accounts", {"Account_Name": "A", "Website": "https://a.example"})
    contact = zoho.put("contacts", {"Last_Name": "C", "Email": "c@example.com", "Account_Name": account})
    fair = zoho.put("campaigns", {"Campaign_Name": "Fair", "Status": "Active"})
    zoho.member(fair, f"leads/{people[0]}", "Responded")
    zoho.member(fair, f"contacts/{contact}", "Invited")
    zoho.close(zoho.deal("D", [contact], Amount=5), won=True, day="2026-11-20")
    zoho.deal("P", [], "Partner gewonnen")
    zoho.put("tasks", {"Subject": "T", "person": f"contacts/{contact}"})
    zoho.put("calls", {"Subject": "C", "person": f"leads/{people[0]}"})
    zoho.put("meetings", {"Event_Title": "M", "person": f"contacts/{contact}"})
    zoho.put("notes", {"Note_Title": "N", "Parent_Id": people[0], "$se_module": "Leads"})
    return zoho, clock


def after(zoho: ZohoSandbox) -> None:
    """What people do between the two pulls."""
    rows = sorted(zoho.all("leads"), key=lambda row: str(row["id"]))
    zoho.convert(str(rows[3]["id"]))
    zoho.remove("leads", str(rows[2]["id"]))


def keyed(n: int, **values: Any) -> Operation:
    """A create that a job can look by."""
    given = {"Last_Name": f"N{n}", "Company": "Acme", "Customer_Since": "2026-03-04", **values}
    return Operation(f"m{n}", Verb.CREATE, "leads", given, match={"Closedloop_Id": f"cl_{n}", "Email": f"m{n}@x.io"})


def small(patch: pytest.MonkeyPatch) -> None:
    """Little is much: the tour takes the ways of large accounts. Files are not packed, which no two libraries do in
    the same bytes."""
    patch.setattr(bulk, "FROM", 1)
    patch.setattr(bulk_write, "FROM", MANY)
    patch.setattr(bulk_file, "PACKING", zipfile.ZIP_STORED)


def connector(zoho: ZohoSandbox, clock: ManualClock, base: str) -> Connector:
    told = zoho.account()
    secret = registry.facts("zoho").auth["oauth"].secrets
    auth = {name: Secret(value) if name in secret else value for name, value in told["auth"].items()}
    settings = {**told["settings"], "notify_url": "https://sync.example/hooks/zoho"}
    return registry.platform("zoho").open(
        Account("zoho", "zoho", auth, settings, base), Surroundings(clock, Budget(), Tokens())
    )


def tour(made: Connector, zoho: ZohoSandbox, clock: ManualClock) -> list[Any]:
    """`zoho` is the org, or, over a cassette, one that is like it."""
    out: list[Any] = [made.check().account_id, len(made.describe("leads").fields)]
    first, second = sorted(str(row["id"]) for row in zoho.all("leads"))[:2]
    cursor = ""
    for object, fields in {**OTHERS, "leads": [*FIELDS, "Tag"]}.items():
        for page in made.pull(object, None, fields):
            out += [shown(record) for record in page.records]
            cursor = page.cursor
    clock.advance(4 * 86_400)  # the channel is renewed
    after(zoho)
    for page in made.pull("leads", cursor, FIELDS):
        out += [shown(record) for record in page.records]
    for page in made.pull("leads", None, FIELDS, bulk=True):
        out += [shown(record) for record in page.records]
    wrong = update("w", second, First_Name="x" * 99)
    writes = [create("c", "n@example.com"), create("k", "p0@example.com", Email_Opt_Out=True), wrong]
    out += [
        told(result) for result in made.push([*writes, update("u", first, Phone="+49301", Owner__id=zoho.user)], FIELDS)
    ]
    brief = {"subject": "S", "body": "B", "person": f"leads/{first}", "reference": "r1"}
    out += [told(result) for result in made.push([Operation("t", Verb.CREATE, "tasks", brief)], [])]
    out += sorted(made.read("tasks", "reference", ["r1"], []))
    out += sorted(made.read("leads", "Email", ["n@example.com", "o'no@example.com"], FIELDS))
    out += sorted(made.read("leads", "id", [first, "6100000000000000001"], FIELDS))
    out += [told(result) for result in made.push([keyed(n, Phone=f"+4930{n}") for n in range(MANY)], FIELDS)]
    out += [told(result) for result in made.push(away(Verb.ARCHIVE, "leads", first), [])]
    return out + [told(result) for result in made.push(away(Verb.ERASE, "leads", second), [])]
