"""Every sort of call once, over a world that holds something of everything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from config.clock import ManualClock
from connectors.api import Connector, Operation, Verb
from connectors.constant_contact import bulk
from connectors.constant_contact.sandbox import ConstantContactSandbox
from tests.connectors.constant_contact.opened import create, update
from tests.connectors.surroundings import pulled
from tests.connectors.wire import shown, told

FIELDS = [
    "email", "permission_to_send", "first_name", "job_title", "taggings", "tags.customer", "lists.General Interest",
    "custom_fields.crm_id", "custom_fields.level", "phone", "phones.mobile", "address.city",
]  # fmt: skip
OTHERS = {"campaigns": ["name", "sends"], "email_activity": ["type", "created_time", "contact_id"]}


def world() -> tuple[ConstantContactSandbox, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    cc = ConstantContactSandbox(seed=1, clock=clock)
    choices = [{"choice_id": n, "choice_label": label} for n, label in enumerate(("Gold", "Silver"), 1)]
    cc.put("contact_custom_fields", {"name": "level", "type": "single_select", "choices": choices})
    values = {
        "first_name": "Žofia",
        "tags": ["vip"],
        "lists": ["General Interest"],
        "custom_fields": {"crm_id": "7", "level": ["Gold"]},
        "phones": {"home": "+1 555 0100", "mobile": "+1 555 0101"},
        "address": {"street": "1 Way", "city": "Boston"},
    }
    people = [cc.put("contacts", {**values, "email": f"p{n}@example.com"}) for n in range(4)]
    news, draft = (cc.put("campaigns", {"name": name}) for name in ("News", "Draft"))
    cc.send(news, people)
    for kind in ("opens", "clicks", "bounces", "optouts"):
        cc.happen(news, people[0], kind)
    cc.remove("campaigns", draft)
    return cc, clock


def tour(connector: Connector, cc: ConstantContactSandbox, clock: ManualClock) -> list[Any]:
    """What came of it, as plain values."""
    health = connector.check()
    out: list[Any] = [health.account_id, health.missing_scopes, len(connector.describe("contacts").fields)]
    cursors = {}
    for object, fields in {"contacts": FIELDS, **OTHERS}.items():
        records, cursors[object] = pulled(connector, object, None, fields)
        out += [shown(record) for record in records]
    clock.advance(60)
    out += [shown(record) for record in pulled(connector, "contacts", cursors["contacts"], FIELDS)[0]]
    out += [shown(record) for record in pulled(connector, "email_activity", cursors["email_activity"], [])[0]]
    ids = [row["id"] for row in cc.all("contacts")]
    operations = [
        create("new", "new@example.com", first_name="N", phone="+49301", tags__customer=True),
        create("form", "form@example.com", permission_to_send="explicit", custom_fields__crm_id="8"),
        create("left", "left@example.com", permission_to_send="unsubscribed", opt_out_reason="asked"),
        create("known", "p1@example.com", job_title="CEO"),
        update("update", ids[2], email="two@example.com", tags__customer=True, custom_fields__level="Silver"),
        update(
            "parts", ids[2], address__city="Salem", phones__work="+1 555 0102", **{"lists__General Interest": False}
        ),
        update("out", ids[3], permission_to_send="unsubscribed", opt_out_reason="asked"),
        update("wrong", ids[1], email="p3@example.com"),
    ]
    out += [told(result) for result in connector.push(operations, FIELDS)]
    out += sorted(connector.read("contacts", "email", ["new@example.com", "no@example.com"], FIELDS))
    out += [sorted(connector.read("campaigns", "id", [row["campaign_id"] for row in cc.all("campaigns")], []))]
    return [*out, *_in_bulk(connector, ids)]


def _in_bulk(connector: Connector, ids: list[str]) -> list[Any]:
    """An import and a deletion of many; two are many here."""
    crowd = [
        create(f"b{n}", f"b{n}@example.com", first_name=f"B{n}", custom_fields__crm_id="9", address__city="Salem")
        for n in range(11)
    ]
    away = [Operation(f"a{n}", Verb.ARCHIVE, "contacts", {}, id=id) for n, id in enumerate(ids[:3])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "MANY", 2)
        out = [told(result) for result in connector.push(crowd, FIELDS)]
        out += [told(result) for result in connector.push(away, FIELDS)]
    return [*out, *(told(r) for r in connector.push([Operation("d", Verb.ARCHIVE, "contacts", {}, id=ids[3])], []))]
