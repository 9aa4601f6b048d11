"""The loop with LinkedIn as the side of marketing: a form lead is handed off, its outcomes come back, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from config.clock import ManualClock
from connectors import registry
from connectors.api import Request
from connectors.linkedin.sandbox import INSTANCE
from connectors.linkedin.webhook import challenge
from sync import scaffold
from sync.checkup import check_online
from sync.runs import Options, Report, Runner
from sync.state.schema import activities, leads, records
from sync.workspace import Workspace

TAIL = """
qualification: {qualified_when: "lead.title == 'Chief' && activity.form > 0"}
"""
ANA = {"FIRST_NAME": "Ana", "LAST_NAME": "Ruiz", "EMAIL": "Ana@x.example", "JOB_TITLE": "Chief"}
EVE = {"FIRST_NAME": "Eve", "LAST_NAME": "Out", "EMAIL": "eve@x.example", "JOB_TITLE": "Chief"}
DAN = {"FIRST_NAME": "Dan", "LAST_NAME": "Known", "EMAIL": "dan@x.example", "JOB_TITLE": "Clerk"}


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    names = ("hubspot", "linkedin", "salesforce")
    with ExitStack() as stack:
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in names}


def project(folder: Path, platforms: dict[str, Any]) -> None:
    """The ready mappings as they are."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=TAIL)


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most four times."""
    assert any(written(run(workspace)) == 0 for _ in range(4))


def told(linkedin: Any) -> Counter[str]:
    """The conversions that LinkedIn counts, by their rule's name."""
    names = {f"urn:lla:llaPartnerConversion:{id}": rule["name"] for id, rule in linkedin.events.rules.items()}
    return Counter(names[event["conversion"]] for event in linkedin.all("conversions"))


def known(workspace: Workspace) -> dict[str, Any]:
    query = select(leads.c.body).where(leads.c.state == "live")
    with workspace.state.read() as tx:
        bodies = [orjson.loads(body) for body in tx.execute(query).scalars()]
    return {body["email"]: body for body in bodies if body.get("email")}


def test_a_form_lead_is_handed_off_and_each_outcome_is_told_once(tmp_path: Path, platforms: dict[str, Any]) -> None:
    hubspot, linkedin, salesforce = platforms["hubspot"], platforms["linkedin"], platforms["salesforce"]
    dan = hubspot.put("contacts", {"email": "dan@x.example", "firstname": "Dan"})
    hubspot.put("contacts", {"email": "eve@x.example", "firstname": "Eve"})
    hubspot.unsubscribe("eve@x.example")
    response = linkedin.submit(ANA, consents=(True,))
    linkedin.submit(EVE)
    linkedin.submit(DAN)
    linkedin.submit({**DAN, "EMAIL": "test@x.example"}, testLead=True)
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        report = run(workspace, "backfill")
        assert report.counts["handoffs"] == 2
        settled(workspace)

        people = known(workspace)
        assert set(people) == {"ana@x.example", "eve@x.example", "dan@x.example"}  # no test lead
        ana = people["ana@x.example"]
        assert (ana["linkedin_id"], ana["original_campaign"], ana["utm_source"]) == (
            response,
            "Lead generation",
            "linkedin",
        )
        assert (ana["email_consent"], "version 1, consent 0" in ana["email_consent_source"]) == ("subscribed", True)
        assert people["eve@x.example"]["email_consent"] == "unsubscribed"
        assert hubspot.get("contacts", dan)["jobtitle"] == "Clerk"
        with workspace.state.read() as tx:
            assert Counter(tx.execute(select(activities.c.type)).scalars())["form"] == 3

        [lead] = [row for row in salesforce.all("leads") if row["Email"] == "ana@x.example"]
        assert (lead["FirstName"], lead["Title"]) == ("Ana", "Chief")
        assert told(linkedin) == {"qualified": 1}  # nothing of eve

        again = linkedin.submit({**ANA, "JOB_TITLE": "Chief"}, form=linkedin.ask("Webinar"))
        ids = salesforce.convert(lead["Id"], amount=1200, deal="Platform")
        settled(workspace)
        assert known(workspace)["ana@x.example"]["linkedin_id"] == again  # one person, two responses
        assert told(linkedin) == {"qualified": 1, "opportunity": 1}
        salesforce.win(ids["opportunities"])
        settled(workspace)
        assert told(linkedin) == {"qualified": 1, "opportunity": 1, "won": 1}
        [won] = [event for event in linkedin.all("conversions") if event["conversion"].endswith(":103")]
        assert won["conversionValue"] == {"currencyCode": "USD", "amount": "1200"}
        assert won["user"]["lead"] == f"urn:li:leadGenFormResponse:{again}"
        assert won["user"]["userInfo"]["lastName"] == "Ruiz"

        calls = sent(linkedin)
        assert written(run(workspace)) == 0
        assert sent(linkedin) == calls


def test_an_outcome_whose_answers_stay_lost_is_told_again_and_counts_once(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    with ExitStack() as stack:
        names = ("linkedin", "salesforce")
        made = {name: stack.enter_context(registry.platform(name).sandbox(seed=3, clock=clock)) for name in names}
        project(tmp_path, made)
        linkedin = made["linkedin"]
        linkedin.submit({**EVE, "EMAIL": "first@x.example"})
        workspace = stack.enter_context(Workspace.open(tmp_path, clock=clock))
        run(workspace, "backfill")
        settled(workspace)
        assert told(linkedin) == {"qualified": 1}
        clock.advance(60)
        linkedin.submit(ANA)
        fault = linkedin.inject("lost_answer", "POST /rest/conversionEvents", times=99)
        clock.advance(60)
        run(workspace)
        assert told(linkedin) == {"qualified": 2}  # it arrived, and nobody here knows
        fault.times = 0
        lost = sent(linkedin)
        clock.advance(120)
        settled(workspace)
        assert sent(linkedin) == lost + 1
        assert told(linkedin) == {"qualified": 2}


def sent(linkedin: Any) -> int:
    """How many calls with events came."""
    return sum(line.path == "/rest/conversionEvents" for line in linkedin.log)


def test_what_linkedin_erased_is_gone(tmp_path: Path, platforms: dict[str, Any]) -> None:
    linkedin = platforms["linkedin"]
    project(tmp_path, platforms)
    linkedin.hook()
    with Workspace.open(tmp_path) as workspace:
        connector = workspace.connector("linkedin")

        def receive(method: str, url: str, headers: Any, body: bytes) -> tuple[int, Any]:
            if method == "GET":
                query = dict(part.split("=") for part in url.partition("?")[2].split("&"))
                return 200, challenge(query, linkedin.account()["auth"]["client_secret"])
            assert connector.verify(Request(method, url, headers, body))
            return 200, None

        linkedin.challenge_hooks(receive)
        gone = linkedin.submit(DAN)
        run(workspace, "backfill")
        linkedin.remove("leads", gone)
        linkedin.deliver(receive)
        run(workspace)
        with workspace.state.read() as tx:
            assert tx.execute(select(records.c.gone).where(records.c.id == gone)).scalars().all() == ["erased"]
        assert known(workspace)["dan@x.example"]["title"] == "Clerk"


def test_a_project_of_the_ready_mapping_passes_the_live_check(tmp_path: Path, platforms: dict[str, Any]) -> None:
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        found = check_online(workspace)
    assert found.errors == {}
    assert [str(problem) for problem in found.problems] == []
    assert found.accounts["linkedin"].missing_scopes == ()
    assert found.accounts["linkedin"].notes == ()


def test_a_partner_sees_who_left_the_company(
    tmp_path: Path, platforms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record's id in the CRM finds the lead."""
    linkedin, salesforce = platforms["linkedin"], platforms["salesforce"]
    monkeypatch.setattr("connectors.linkedin.sandbox_exports.TAKES", timedelta(0))
    contact = salesforce.put("contacts", {"LastName": "Ruiz", "Email": "ana@x.example"})
    linkedin.flag(contact)
    project(tmp_path, platforms)
    settings = tmp_path / "closedloop.yaml"
    told = f"sales_navigator_partner: true\n      crm_instance: {INSTANCE}\n      ad_accounts:"
    settings.write_text(settings.read_text().replace("ad_accounts:", told, 1))
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        lead = known(workspace)["ana@x.example"]
        assert lead["tags"] == ["not at company (LinkedIn)"]
        with workspace.state.read() as tx:
            assert len(tx.execute(select(leads.c.id).where(leads.c.state == "live")).all()) == 1


def test_what_sales_navigator_writes_to_the_crm_is_read_there(tmp_path: Path, platforms: dict[str, Any]) -> None:
    """By Salesforce's ready mapping, which leaves other tasks out."""
    salesforce = platforms["salesforce"]
    contact = salesforce.put("contacts", {"LastName": "Ruiz", "Email": "ana@x.example"})
    for subject in ("LinkedIn InMail: Hello", "Call back", None):
        salesforce.put("tasks", {"Subject": subject, "WhoId": contact})
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        run(workspace, "backfill")
        with workspace.state.read() as tx:
            found = tx.execute(select(activities.c.type, activities.c.title, activities.c.person)).all()
        assert [tuple(row) for row in found] == [("note", "LinkedIn InMail: Hello", f"contacts/{contact}")]
