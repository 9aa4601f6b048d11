"""The LinkedIn connector over its sandbox, over real sockets: leads in, and whose they are."""

from __future__ import annotations

from datetime import timedelta
from itertools import chain
from typing import Any

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import (
    Misconfigured,
    RetryLater,
)
from connectors.api import Connector
from connectors.linkedin import client as wire
from connectors.linkedin import pull as pulling
from connectors.linkedin.sandbox import PAGE, LinkedInSandbox
from tests.connectors.linkedin.kit import ANA, FIELDS, opened, person, raws
from tests.connectors.surroundings import pulled


def test_a_response_is_joined_with_its_form(linkedin: LinkedInSandbox, connector: Connector) -> None:
    extra: list[dict[str, Any]] = [{"name": "Budget", "options": ["none", "some", "much"]}, {"name": "City of birth"}]
    form = linkedin.ask("Big form", extra, {"utm_source": "linkedin", "crm": "C-7"}, consents=2)
    answers = {**ANA, "WORK_EMAIL": "x", "Budget": [1, 2], "City of birth": "Ulm"}
    id = linkedin.submit(answers, form=form, consents=(True, False))
    [raw] = raws(pulled(connector, "leads", None, [*FIELDS, "campaignName"])[0])
    assert raw["id"] == id
    assert raw["email"] == "ana@x.example"
    assert raw["predefined"] == ANA
    assert raw["custom"] == {"Budget": "some; much", "City of birth": "Ulm"}
    assert sorted(raw["answers"].values()) == sorted([*ANA.values(), "some; much", "Ulm"])
    assert raw["hidden"] == {"utm_source": "linkedin", "crm": "C-7"}
    assert (raw["formId"], raw["formVersion"], raw["formName"]) == (form, "1", "Big form")
    assert (raw["campaign"], raw["campaignName"]) == (linkedin.campaign, "Lead generation")
    assert raw["consents"] == {"0": True, "1": False}
    assert raw["emailConsent"] is True
    assert raw["emailConsentAt"] == stamp(linkedin.clock.now())
    assert raw["emailConsentProof"] == f"LinkedIn form {form} version 1, consent 0, response {id}"


def test_the_address_for_work_comes_first(linkedin: LinkedInSandbox, connector: Connector) -> None:
    form = linkedin.ask("F", [{"name": "Arbeit", "predefined": "WORK_EMAIL"}])
    linkedin.submit({**ANA, "WORK_EMAIL": "ana@firm.example"}, form=form)
    [raw] = raws(pulled(connector, "leads", None, FIELDS)[0])
    assert (raw["email"], raw["otherEmails"]) == ("ana@firm.example", ["ana@x.example"])


@pytest.mark.parametrize(("setting", "given"), [("", None), ("0", None), ("1", True), ("7/0", None)])
def test_a_box_left_empty_is_no_opt_out(
    linkedin: LinkedInSandbox, clock: ManualClock, setting: str, given: bool | None
) -> None:
    connector = opened(linkedin, clock, email_consent=setting)
    linkedin.submit(ANA, consents=(False, True))
    [raw] = raws(pulled(connector, "leads", None, FIELDS)[0])
    assert raw["emailConsent"] is given
    assert bool(raw["emailConsentProof"]) is bool(given)
    named = opened(linkedin, clock, email_consent=f"{linkedin.form}/1, 99/0")
    assert raws(pulled(named, "leads", None, FIELDS)[0])[0]["emailConsent"] is True
    connector.close()
    named.close()


def test_answers_are_read_with_the_version_that_was_answered(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    form = linkedin.ask("V1", [{"name": "Choice", "options": ["a", "b"]}])
    old = linkedin.submit({**ANA, "Choice": [0]}, form=form)
    linkedin.ask("V2", [{"name": "Choice", "options": ["c", "a"]}], revises=form)
    new = linkedin.submit({**person(1), "Choice": [0]}, form=form)
    told = {raw["id"]: raw for raw in raws(pulled(connector, "leads", None, FIELDS)[0])}
    assert (told[old]["custom"], told[old]["formVersion"]) == ({"Choice": "a"}, "1")
    assert (told[new]["custom"], told[new]["formVersion"]) == ({"Choice": "c"}, "2")
    # a response that comes with another version's form: the right one is looked for, never guessed
    linkedin.leads.embeds_current = True
    told = {raw["id"]: raw for raw in raws(pulled(connector, "leads", None, FIELDS)[0])}
    assert told[new]["custom"] == {"Choice": "c"}
    assert "custom" not in told[old]
    assert "email" not in told[old]
    assert [line.path for line in linkedin.log].count("/rest/leadForms") == 1


def test_a_pull_reads_a_year_back_and_then_what_is_new(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    ancient = linkedin.submit(person(0))
    clock.advance(2 * 86_400)
    old = linkedin.submit(person(1))
    clock.advance(364 * 86_400)
    linkedin.login.access[linkedin.login.first] = "9"
    recent = linkedin.submit(person(2))
    clock.advance(120)
    records, cursor = pulled(connector, "leads", None, FIELDS)
    assert {record.id for record in records} == {old, recent}
    assert ancient not in {record.id for record in records}
    clock.advance(300)
    again, cursor = pulled(connector, "leads", cursor, FIELDS)
    assert [record.id for record in again] == [recent]  # the overlap
    clock.advance(3600)
    _, cursor = pulled(connector, "leads", cursor, FIELDS)
    clock.advance(3600)
    before = connector.calls
    nothing, cursor = pulled(connector, "leads", cursor, FIELDS)
    assert nothing == []
    assert connector.calls - before == 1
    since, _ = pulled(connector, "leads", None, FIELDS, since=stamp(clock.now() - timedelta(hours=3)))
    assert [record.id for record in since] == [recent]


def test_a_pull_goes_on_from_every_cursor(
    linkedin: LinkedInSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    monkeypatch.setattr(pulling, "PAGE", 3)
    connector = opened(linkedin, clock, organizations=PAGE, lead_types="SPONSORED,EVENT,COMPANY")
    event = linkedin.ask("Webinar", owner=linkedin.page)
    for number in range(8):
        linkedin.submit(person(number))
    for number in range(8, 12):
        linkedin.submit(person(number), form=event, leadType="EVENT")
    cursors: list[str | None] = [None]
    whole: list[list[str]] = []
    for page in connector.pull("leads", None, FIELDS):
        whole.append([record.id for record in page.records])
        cursors.append(page.cursor)
    assert sorted(chain(*whole)) == sorted(row["id"] for row in linkedin.all("leads"))
    assert len(set(chain(*whole))) == 12
    for number, cursor in enumerate(cursors[:-1]):
        records, last = pulled(connector, "leads", cursor, FIELDS)
        assert [record.id for record in records] == list(chain(*whole[number:]))
        assert last == cursors[-1]
    assert len(raws(pulled(connector, "submissions", None, [])[0])) == 12
    connector.close()


def test_a_response_deleted_during_a_walk_shifts_nothing_away(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 3)
    monkeypatch.setattr(pulling, "PAGE", 3)
    ids = []
    for number in range(8):
        ids.append(linkedin.submit(person(number)))
        clock.advance(1)
    seen: set[str] = set()
    for page in connector.pull("leads", None, FIELDS):
        seen |= {record.id for record in page.records if record.gone is None}
        if len(seen) == 3:
            linkedin.remove("leads", ids[0])
    assert seen == set(ids)


def test_a_list_that_never_stands_still_is_an_error(
    linkedin: LinkedInSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    monkeypatch.setattr(pulling, "PAGE", 2)
    for number in range(4):
        linkedin.submit(person(number))
    listed = linkedin.leads.listed
    turns = iter(range(100))

    def turning(*given: Any, **more: Any) -> Any:
        rows = listed(*given, **more)
        return rows[next(turns) % 2 :]

    monkeypatch.setattr(linkedin.leads, "listed", turning)
    with pytest.raises(RetryLater, match="changes while it is read"):
        pulled(connector, "leads", None, FIELDS)


def test_an_owner_added_later_is_read_from_a_year_back(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    linkedin.submit(ANA)
    webinar = linkedin.ask("Webinar", owner=linkedin.page)
    early = linkedin.submit(person(1), form=webinar, leadType="EVENT")
    clock.advance(86_400)
    _, cursor = pulled(connector, "leads", None, FIELDS)
    clock.advance(86_400)
    both = opened(linkedin, clock, organizations=PAGE, lead_types="SPONSORED,EVENT")
    records, _ = pulled(both, "leads", cursor, FIELDS)
    assert [record.id for record in records] == [early]
    both.close()


def test_submissions_tell_who_when_and_where_from_and_no_answer(
    linkedin: LinkedInSandbox, connector: Connector
) -> None:
    id = linkedin.submit(ANA, testLead=True)
    [raw] = raws(pulled(connector, "submissions", None, [])[0])
    assert (raw["id"], raw["testLead"], raw["formName"]) == (id, True, "Demo request")
    assert (raw["submittedAt"], raw["campaign"]) == (stamp(linkedin.clock.now()), linkedin.campaign)
    assert "ana@x.example" not in orjson.dumps(raw).decode()
    assert not any("formResponse" in line.query.get("fields", "") for line in linkedin.log)


def test_campaigns_are_paged_by_a_token(
    linkedin: LinkedInSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAGE", 2)
    for number in range(4):
        linkedin.put("campaigns", {"name": f"C{number}"})
    records, cursor = pulled(connector, "campaigns", None, ["name"])
    assert len(records) == 5
    assert raws(records)[0]["budget"] == "3000"
    again, _ = pulled(connector, "campaigns", cursor, ["name"])
    assert [record.id for record in again] == [record.id for record in records]
    assert connector.read("campaigns", "id", [records[3].id, "9"], ["name"]).keys() == {records[3].id}


def test_reading_by_id(linkedin: LinkedInSandbox, connector: Connector) -> None:
    id = linkedin.submit(ANA)
    assert orjson.loads(connector.read("leads", "id", [id, "no", id], FIELDS)[id].raw)["email"] == "ana@x.example"
    assert connector.read("submissions", "id", ["no"], []) == {}
    assert connector.read("conversions", "event_id", ["x"], []) == {}
    with pytest.raises(Misconfigured):
        connector.read("leads", "email", ["a"], FIELDS)
    with pytest.raises(Misconfigured):
        connector.describe("nosuch")
