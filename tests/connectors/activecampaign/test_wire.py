"""ActiveCampaign's wire format, pinned; what is sent fits the published description."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from config.clock import ManualClock
from config.secrets import Secret
from connectors import registry
from connectors.activecampaign.client import BASE
from connectors.activecampaign.sandbox import KEY, ActiveCampaignSandbox
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from tests.connectors.activecampaign.truth import sent, spec, template
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import RECORDING, play, shown, told

CASSETTES = Path(__file__).parent / "cassettes"
FIELDS = ["email", "firstName", "consent", "tags.customer", "joined.2", "fields.JOB_TITLE", "jobTitle", "accountName"]
OTHERS = {
    "users": ["email", "name", "active"],
    "accounts": ["name", "domain"],
    "campaigns": ["name", "bounces", "statusName"],
    "deals": ["title", "amount", "currencyCode", "stageName", "isWon", "closedAt", "fields.DEAL_REASON"],
    "deal_contacts": ["from_id", "to_ids"],
    "activities": ["type", "at", "contact"],
}


def world() -> tuple[ActiveCampaignSandbox, ManualClock]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    sandbox = ActiveCampaignSandbox(seed=1, clock=clock)
    values = {"firstName": "Žofia", "lists": {"1": "1"}, "tags": ["customer"], "fields": {"JOB_TITLE": "Chief"}}
    people = [sandbox.put("contacts", {**values, "email": f"p{n}@example.com"}) for n in range(4)]
    account = sandbox.put("accounts", {"name": "A", "accountUrl": "https://a.example"})
    sandbox.put("accountContacts", {"account": account, "contact": people[0], "jobTitle": "Boss"})
    campaign = sandbox.put("campaigns", {"name": "May", "status": "5", "sdate": "2026-11-20T05:00:00-05:00"})
    sandbox.mail(people[0], campaign)
    sandbox.click(people[0], campaign)
    sandbox.bounce(people[1], campaign)
    sandbox.put("dealCustomFieldMeta", {"fieldLabel": "Reason", "personalization": "DEAL_REASON"})
    sandbox.close(sandbox.deal("D", people[:2], value="500"), won=True)
    sandbox.unsubscribe(people[3])
    return sandbox, clock


def connector(sandbox: ActiveCampaignSandbox, clock: ManualClock, base: str) -> Connector:
    account = sandbox.account()
    secret = registry.facts("activecampaign").auth["api_key"].secrets
    auth = {name: Secret(value) if name in secret else value for name, value in account["auth"].items()}
    settings = {**account["settings"], "bulk_from": 10, "site_tracking": True}
    made = Account("activecampaign", "activecampaign", auth, settings, base)
    return registry.platform("activecampaign").open(made, Surroundings(clock, Budget(), Tokens()))


def tour(ac: Connector, clock: ManualClock) -> list[Any]:
    """Every sort of call once."""
    out: list[Any] = [ac.check().account_id, len(ac.describe("contacts").fields), len(ac.describe("deals").fields)]
    cursors = {}
    for object, fields in {"contacts": FIELDS, **OTHERS}.items():
        for page in ac.pull(object, None, fields):
            out += [shown(record) for record in page.records]
            cursors[object] = page.cursor
    clock.advance(60)
    for object in ("contacts", "deals"):
        for page in ac.pull(object, cursors[object], {"contacts": FIELDS, **OTHERS}[object]):
            out += [shown(record) for record in page.records]
    out += [told(result) for result in ac.push(_few(), FIELDS)]
    many = [
        *(Operation(f"m{n}", Verb.CREATE, "contacts", _new(f"m{n}@example.com")) for n in range(10)),
        Operation("mu", Verb.UPDATE, "contacts", {"tags.customer": True, "consent": "unsubscribed"}, id="2"),
    ]
    out += [told(result) for result in ac.push(many, FIELDS)]
    brief = {"subject": "S", "body": "B", "person": "contacts/1", "reference": "r1"}
    out += [told(result) for result in ac.push([Operation("t", Verb.CREATE, "notes", brief)], [])]
    away = [Operation("e", Verb.ERASE, "contacts", {}, id="4"), Operation("n", Verb.ARCHIVE, "contacts", {}, id="99")]
    out += [told(result) for result in ac.push(away, [])]
    deals = OTHERS["deals"]
    home = {"fields.CLOSEDLOOP_HOME": "crm/deals/1"}
    new = {"title": "N", "amount": "12.5", "stageName": "Follow Up", "isWon": True, "isClosed": True, **home}
    made = [
        Operation("d", Verb.CREATE, "deals", {**new, "person": "contacts/1"}, match=home),
        Operation("de", Verb.UPDATE, "deals", {"amount": "13", "currencyCode": "EUR"}, id="1"),
        Operation("dg", Verb.UPDATE, "deals", {"title": "x"}, id="99"),
    ]
    out += [told(result) for result in ac.push(made, deals)]
    out += sorted(ac.read("deals", "fields.CLOSEDLOOP_HOME", ["crm/deals/1", "crm/deals/2"], deals))
    out += [told(result) for result in ac.push([Operation("da", Verb.ARCHIVE, "deals", {}, id="1")], deals)]
    out += sorted(ac.read("contacts", "email", ["n@example.com", "no@example.com"], FIELDS))
    out += sorted(ac.read("contacts", "id", ["1", "99"], FIELDS))
    out += sorted(ac.read("deals", "id", ["1", "99"], ["title"]))
    return [*out, sorted(ac.read("notes", "reference", ["r1"], []))]


def _new(email: str) -> dict[str, Any]:
    return {"email": email, "firstName": "N", "phone": "+49301", "fields.JOB_TITLE": "Chief", "tags.new": True}


def _few() -> list[Operation]:
    off = {"tags.customer": False, "tags.fresh": True, "consent": "unsubscribed", "lastName": None}
    return [
        Operation("c", Verb.CREATE, "contacts", _new("n@example.com"), match={"email": "n@example.com"}),
        Operation("k", Verb.CREATE, "contacts", {"email": "P0@example.com", "fields.INTERESTS": "red||blue"}),
        Operation("u", Verb.UPDATE, "contacts", {**off, "email": "new@example.com"}, id="1"),
        Operation("j", Verb.UPDATE, "contacts", {"joined.2": True}, id="3"),
        Operation("w", Verb.UPDATE, "contacts", {"email": "p2@example.com"}, id="2"),
        Operation("g", Verb.UPDATE, "contacts", {"firstName": "x"}, id="99"),
    ]


def test_the_wire_format_stands() -> None:
    sandbox, clock = world()
    if RECORDING:
        sandbox.start()
    ac = connector(sandbox, clock, sandbox.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(ac, clock))
    ac.close()
    sandbox.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    assert KEY not in text
    assert "api-token" not in text.casefold()
    assert "webhook-token" not in text


# the published description


@cache
def toured() -> ActiveCampaignSandbox:
    """The sandbox after the tour."""
    sandbox, clock = world()
    with sandbox:
        ac = connector(sandbox, clock, sandbox.base_url)
        tour(ac, clock)
        ac.close()
    return sandbox


def test_sent_bodies_fit_the_published_description() -> None:
    spec()
    checked, invalid = sent(toured().log)
    print(dict(checked))
    assert invalid == set()
    assert set(checked) == {
        "POST /contact/sync", "PUT /contacts/{id}", "POST /contactLists", "POST /contactTags", "POST /tags",
        "POST /notes", "POST /import/bulk_import", "POST /deals", "PUT /deals/{id}",
    }  # fmt: skip


def test_a_body_that_does_not_fit_is_noticed() -> None:
    """The check itself: without its address no contact can be synced."""
    [line, *_] = [line for line in toured().log if line.path.endswith("contact/sync")]
    bad = type(line)(line.method, line.path, line.query, b'{"contact":{"firstName":"x"}}', 200)
    assert sent([bad])[1] == {"POST /contact/sync: $.contact"}


UNDESCRIBED = {
    "include": "what is to come along: not documented, used by others; contacts are asked for alone without it",
    "limit": "of every list, told in prose",
    "offset": "of every list, told in prose",
}


def test_every_call_is_described_and_asks_only_for_what_can_be_asked() -> None:
    spec()
    calls: Counter[str] = Counter()
    unknown: set[str] = set()
    for line in toured().log:
        path = template(line)
        assert path is not None, line.path
        known = spec()["paths"][path].get(line.method.lower())
        assert known is not None, (line.method, path)
        calls[f"{line.method} {path}"] += 1
        described = {row["name"] for row in known.get("parameters", ()) if row["in"] == "query"}
        unknown |= {re.sub(r"\[\]$", "", name) for name in line.query} - described
    print(f"{len(calls)} operations, {sum(calls.values())} calls; not described: {sorted(unknown)}")
    assert unknown == set(UNDESCRIBED)
    assert len(calls) >= 25


def test_no_call_can_put_anybody_on_a_list() -> None:
    """Of all that was sent, no status but 2; `subscribe` in imports only, which put nobody back who left."""
    log = toured().log
    people = [line for line in log if not line.path.startswith(f"{BASE}/deals")]  # a deal's status is another thing
    assert not [line for line in people if b'"status":' in line.body and b'"status":"2"' not in line.body]
    joined = {line.path.removeprefix(BASE) for line in log if b"subscribe" in line.body}
    assert joined == {"/import/bulk_import"}
