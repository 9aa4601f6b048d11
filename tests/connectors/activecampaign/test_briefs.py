"""Briefs are notes in ActiveCampaign, and are found again."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import InDoubt, RecordRejected
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector, Operation, Verb
from connectors.sandbox import FaultKind

WORDS = {"subject": "Qualified", "body": "Story <b> & more\n"}


def brief(key: str, person: str) -> Operation:
    return Operation(key, Verb.CREATE, "notes", {**WORDS, "person": f"contacts/{person}", "reference": f"ref-{key}"})


def test_a_brief_is_a_note_and_found_by_its_reference(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    person = ac.put("contacts", {"email": "a@x.io"})
    ac.inject(FaultKind.LOST_ANSWER, "POST /api/3/notes")
    results = {result.key: result for result in connector.push([brief("1", person), brief("2", person)], [])}
    assert isinstance(results["1"].error, InDoubt)
    assert results["2"].created
    notes = ac.all("notes")
    assert [note["relid"] for note in notes] == [person, person]
    assert notes[0]["note"].endswith("<br>\nref-1")
    assert "&lt;b&gt;" in notes[0]["note"]
    found = connector.read("notes", "reference", ["ref-1", "ref-9"], [])
    assert {value: record.id for value, record in found.items()} == {"ref-1": notes[0]["id"]}
    [result] = connector.push([brief("3", "99")], [])
    assert isinstance(result.error, RecordRejected)
    [result] = connector.push([Operation("t", Verb.ARCHIVE, "notes", {}, id=notes[0]["id"])], [])
    assert result.error is None
    [result] = connector.push([Operation("t", Verb.ARCHIVE, "notes", {}, id=notes[0]["id"])], [])
    assert result.error is None  # 403 says that it is there no more
    assert len(ac.all("notes")) == 1


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_brief_is_looked_for_from_the_new_end_of_the_notes(
    ac: ActiveCampaignSandbox,
    connector: Connector,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    newest_first: bool,
) -> None:
    monkeypatch.setattr("connectors.activecampaign.client.PAGE", 2)
    person = ac.put("contacts", {"email": "a@x.io"})
    for number in range(20):
        ac.put("notes", {"note": f"old<br>\nref-{number}", "relid": person})
        clock.advance(5 * 86_400)
    if newest_first:
        rows = ac.store.rows["notes"]
        ac.store.rows["notes"] = {id: rows[id] for id in sorted(rows, reverse=True)}
    before = connector.calls
    assert connector.read("notes", "reference", ["ref-19", "ref-1"], []).keys() == {"ref-19"}
    assert connector.calls - before <= 6
