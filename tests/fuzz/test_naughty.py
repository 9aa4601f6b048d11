"""The naughty strings go round the whole loop: pulled, merged, written to the other side, and at rest there."""

from __future__ import annotations

import orjson
from sqlalchemy import select

from mappings import canonical
from mappings.canonical import Unreadable
from sync.ledger import PULL_STATES
from sync.state.schema import quarantine, records
from tests.engine.conftest import Loop
from tests.fuzz.naughty import ADDRESSES, TEXTS


def readable(text: str) -> str | None:
    """What of a text is kept: nothing of one that is refused."""
    try:
        return canonical.text(text)
    except Unreadable:
        return None


def test_every_text_goes_round_and_comes_to_rest(loop: Loop) -> None:
    loop.alpha.page_size = 50
    people_of = {}
    for number, text in enumerate(TEXTS):
        values = {"email": f"p{number}@x.example", "first": text, "title": "Chief " + text}
        people_of[loop.alpha.put("contacts", values)] = text
        loop.beta.put("contacts", {"email": f"p{number}@x.example"})
    reports = loop.settled()
    assert not reports[-1].counts["write"]
    there = {row["email"]: row for row in loop.beta.all("contacts")}
    wrong = [
        text
        for number, text in enumerate(TEXTS)
        if (there[f"p{number}@x.example"].get("first") or None) != readable(text)
    ]
    assert wrong == []
    assert len(there) == len(TEXTS)


def test_every_address_is_a_key_or_is_told(loop: Loop) -> None:
    loop.alpha.page_size = 50
    for address in ADDRESSES:
        loop.alpha.put("contacts", {"email": address, "first": "x"})
    report = loop.sync(push=False)
    told = report.counts["pull"]["alpha"]["contacts"]
    assert told["pulled"] == len(ADDRESSES)
    assert sum(told[state] for state in PULL_STATES) == len(ADDRESSES)
    with loop.workspace.state.read() as tx:
        rows = {row.id: orjson.loads(row.body) for row in tx.execute(select(records.c.id, records.c.body))}
        refused = set(tx.execute(select(quarantine.c.record).where(quarantine.c.field == "email")).scalars())
    for id, row in loop.alpha.rows["contacts"].items():
        try:
            key = canonical.email(row.values["email"])
        except Unreadable:
            assert id in refused
            continue
        assert rows[id]["email"] == key
        assert key is None or canonical.email(key) == key
