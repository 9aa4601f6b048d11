"""The loop with ActiveCampaign: as the side of marketing beside Salesforce, and as the side of sales beside HubSpot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from sync import scaffold
from sync.checkup import check_online
from sync.drift import vanished
from sync.forget import erasure, forget
from sync.runs import Options, Report, Runner
from sync.workspace import Workspace

QUALIFIED = "\nqualification: {qualified_when: \"lead.title == 'Chief'\"}\n"
SALES = "handoff: {to: activecampaign, object: contacts, brief: true}\n"
TITLE = "      - {remote: jobTitle, field: title}\n"
OWN = "      - {remote: fields.JOB_TITLE, field: title, direction: both}\n"
WON = "      - {remote: fields.WON, field: won_deals, direction: push, transform: [integer]}\n"


@contextmanager
def running(*names: str) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in names}


def project(folder: Path, platforms: dict[str, Any], tail: str, fields: str = OWN) -> None:
    """The ready mappings, with the job title as a custom field."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=tail)
    file = folder / "mappings" / "activecampaign.yaml"
    text = file.read_text()
    assert TITLE in text
    file.write_text(text.replace(TITLE, fields))


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def refused(report: Report) -> int:
    return sum(row["quarantined"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most four times; nothing is refused on the way."""
    reports: list[Report] = []
    while len(reports) < 4 and (not reports or written(reports[-1])):
        reports.append(run(workspace))
    assert written(reports[-1]) == 0
    assert [refused(report) for report in reports] == [0] * len(reports)


def test_marketing_hands_off_and_the_outcome_comes_back_as_a_tag(tmp_path: Path) -> None:
    with running("activecampaign", "salesforce") as platforms:
        ac, sales = platforms["activecampaign"], platforms["salesforce"]
        ac.put("fields", {"title": "Won", "perstag": "WON"})
        on = {"lists": {ac.list: "1"}}
        ana = ac.put("contacts", {"email": "ana@x.example", "firstName": "Ana", "fields": {"JOB_TITLE": "Chief"}, **on})
        bob = ac.put("contacts", {"email": "bob@x.example", "fields": {"JOB_TITLE": "Clerk"}, **on})
        cara = ac.put("contacts", {"email": "cara@x.example", **on})
        dan = ac.put("contacts", {"email": "dan@x.example", "lists": {ac.list: "1", ac.other_list: "2"}})
        with_cara = sales.put("Contact", {"Email": "cara@x.example", "LastName": "C", "Title": "Buyer"})
        with_dan = sales.put("Contact", {"Email": "dan@x.example", "LastName": "D"})
        project(tmp_path, platforms, QUALIFIED, OWN + WON)
        with Workspace.open(tmp_path) as workspace:
            assert run(workspace, "backfill").counts["handoffs"] == 1
            settled(workspace)
            [lead] = sales.all("Lead")
            assert (lead["Email"], lead["FirstName"], lead["Title"]) == ("ana@x.example", "Ana", "Chief")
            assert ac.get("contacts", cara)["fields"]["JOB_TITLE"] == "Buyer"
            assert ac.get("contacts", bob)["tags"] == []

            ac.unsubscribe(cara)
            sales.unsubscribe("Contact", with_dan)
            made = sales.convert(lead["Id"], deal="Platform", amount=1200)
            sales.win(made["opportunities"])
            settled(workspace)
            assert sales.get("Contact", with_cara)["HasOptedOutOfEmail"] is True
            assert ac.get("contacts", dan)["lists"] == {ac.list: "2", ac.other_list: "2"}
            assert ac.get("contacts", ana)["tags"] == ["customer"]
            assert ac.get("contacts", ana)["fields"]["WON"] == "1"
            assert ac.get("contacts", ana)["lists"] == {ac.list: "1"}

            # a form brings Cara back here; Salesforce still says no, and nothing here is ever opened by us
            ac.sign_up(cara, ac.list, ac.put("forms", {"name": "Newsletter"}))
            settled(workspace)
            assert sales.get("Contact", with_cara)["HasOptedOutOfEmail"] is True
            statuses = [line.body for line in ac.log if line.path.endswith("/contactLists") and line.method == "POST"]
            assert statuses
            assert all(b'"status":"2"' in body for body in statuses)
            assert written(run(workspace)) == 0


def test_a_tag_that_a_person_takes_off_comes_back_and_a_deleted_contact_does_not(tmp_path: Path) -> None:
    with running("activecampaign", "salesforce") as platforms:
        ac, sales = platforms["activecampaign"], platforms["salesforce"]
        ana = ac.put("contacts", {"email": "ana@x.example", "fields": {"JOB_TITLE": "Clerk"}})
        bob = ac.put("contacts", {"email": "bob@x.example", "fields": {"JOB_TITLE": "Clerk"}})
        person = sales.put("Contact", {"Email": "ana@x.example", "LastName": "A"})
        sales.win(sales.open_deal("First", contact=person, amount=100))
        project(tmp_path, platforms, QUALIFIED)
        with Workspace.open(tmp_path) as workspace:
            run(workspace, "backfill")
            settled(workspace)
            assert ac.get("contacts", ana)["tags"] == ["customer"]
            ac.untag(ana, "customer")  # a person takes it off: sales still say so
            ac.remove("contacts", bob)
            sales.edit("Contact", person, {"Title": "Boss"})
            settled(workspace)
            assert ac.get("contacts", ana)["fields"]["JOB_TITLE"] == "Boss"
            assert [row["id"] for row in ac.all("contacts")] == [ana]
            assert ac.get("contacts", ana)["tags"] == ["customer"]


def test_as_the_side_of_sales_it_gets_leads_with_a_brief_and_tells_of_won_deals(tmp_path: Path) -> None:
    with running("hubspot", "activecampaign") as platforms:
        hubspot, ac = platforms["hubspot"], platforms["activecampaign"]
        ana = hubspot.put("contacts", {"email": "ana@x.example", "firstname": "Ana", "jobtitle": "Chief"})
        hubspot.put("contacts", {"email": "bob@x.example", "firstname": "Bob", "jobtitle": "Clerk"})
        project(tmp_path, platforms, QUALIFIED + SALES)
        with Workspace.open(tmp_path) as workspace:
            assert run(workspace, "backfill").counts["handoffs"] == 1
            settled(workspace)
            [made] = ac.all("contacts")
            assert (made["email"], made["firstName"], made["fields"], made["lists"]) == (
                "ana@x.example", "Ana", {"JOB_TITLE": "Chief"}, {},
            )  # fmt: skip
            [note] = ac.all("notes")
            assert note["relid"] == made["id"]
            assert "Ana" in note["note"]
            deal = ac.deal("Platform", [made["id"]], value="120050")
            ac.close(deal, won=True)
            settled(workspace)
            assert hubspot.get("contacts", ana)["lifecyclestage"] == "customer"
            assert written(run(workspace)) == 0


def test_what_is_less_than_an_opt_out_elsewhere_takes_nobody_off_and_is_not_refused(tmp_path: Path) -> None:
    with running("activecampaign", "mailchimp") as platforms:
        ac, mailchimp = platforms["activecampaign"], platforms["mailchimp"]
        ids = {}
        for status in ("transactional", "pending", "unsubscribed"):
            values = {"email": f"{status}@x.example", "lists": {ac.list: "1"}}
            ids[status] = ac.put("contacts", values)
            mailchimp.put("members", {"email_address": f"{status}@x.example"}, status=status)
        ac.put("contacts", {"email": "listless@x.example"})
        mailchimp.put("members", {"email_address": "listless@x.example"})
        project(tmp_path, platforms, "\n")
        with Workspace.open(tmp_path) as workspace:
            run(workspace, "backfill")
            settled(workspace)
        assert {status: ac.get("contacts", id)["lists"][ac.list] for status, id in ids.items()} == {
            "transactional": "1", "pending": "1", "unsubscribed": "2",
        }  # fmt: skip


def test_a_person_is_forgotten_and_stays_so(tmp_path: Path) -> None:
    with running("activecampaign") as platforms:
        ac = platforms["activecampaign"]
        for name in ("ana", "bob"):
            ac.put("contacts", {"email": f"{name}@x.example", "firstName": name})
        project(tmp_path, platforms, "\n")
        with Workspace.open(tmp_path) as workspace:
            run(workspace, "backfill")
            report = forget(workspace, erasure(workspace, "bob@x.example"), Runner(workspace))
            assert report is not None
            assert report.errors == []
            assert [row["email"] for row in ac.all("contacts")] == ["ana@x.example"]
            assert written(run(workspace)) == 0


def test_nothing_of_the_ready_mapping_is_taken_for_vanished(tmp_path: Path) -> None:
    with running("activecampaign") as platforms:
        project(tmp_path, platforms, "\n", TITLE)
        with Workspace.open(tmp_path) as workspace:
            for object, _ in workspace.objects("activecampaign"):
                schema = workspace.connector("activecampaign").describe(object)
                assert vanished(workspace.mapped("activecampaign")[object], schema) == [], object


@pytest.mark.parametrize("fields", [OWN, TITLE])
def test_a_project_of_the_ready_mapping_passes_the_live_check(tmp_path: Path, fields: str) -> None:
    with running("activecampaign") as platforms:
        project(tmp_path, platforms, "\n", fields)
        with Workspace.open(tmp_path) as workspace:
            found = check_online(workspace)
    assert found.errors == {}
    assert [str(problem) for problem in found.problems] == []
    assert found.accounts["activecampaign"].account_id == "sandbox.api-us1.com"
