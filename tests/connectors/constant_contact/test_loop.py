"""The loop with Constant Contact as the side of marketing and Salesforce as the side of sales: a click hands a lead
off, opt-outs go both ways, the won deal comes back as a tag and a custom field, and then there is silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from sync import scaffold
from sync.checkup import check_online
from sync.drift import vanished
from sync.runs import Options, Report, Runner
from sync.workspace import Workspace

TAIL = """
qualification: {qualified_when: "activity.email_click > 0"}
"""
SINCE = "# - {remote: custom_fields.customer_since"


@pytest.fixture
def platforms() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        names = ("constant_contact", "salesforce")
        yield {name: stack.enter_context(registry.platform(name).sandbox(seed=3)) for name in names}


def project(folder: Path, platforms: dict[str, Any]) -> None:
    """The ready mappings, and the line more that they show: since when somebody is a customer, as a custom field."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    scaffold.write(folder, chosen, tail=TAIL)
    file = folder / "mappings" / "constant_contact.yaml"
    text = file.read_text()
    assert SINCE in text
    file.write_text(text.replace(SINCE, SINCE.removeprefix("# ")))


def run(workspace: Workspace, command: str = "sync") -> Report:
    report = Runner(workspace).run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
    assert not report.errors, report.errors
    return report


def written(report: Report) -> int:
    return sum(row["planned"] for objects in report.counts["write"].values() for row in objects.values())


def settled(workspace: Workspace) -> None:
    """Sync until nothing is written any more, at most four times."""
    assert any(written(run(workspace)) == 0 for _ in range(4))


def test_a_click_hands_off_and_the_won_deal_comes_back(tmp_path: Path, platforms: dict[str, Any]) -> None:
    cc, org = platforms["constant_contact"], platforms["salesforce"]
    cc.put("contact_custom_fields", {"name": "customer_since", "type": "date"})
    named = {"first_name": "Ana", "last_name": "Ortega", "anniversary": "2006-11-15"}
    more = {"custom_fields": {"hobby": "Skiing"}, "tags": ["vip"], "lists": ["General Interest"]}
    ana = cc.put("contacts", {"email": "ana@x.example", **named, **more})
    bob = cc.put("contacts", {"email": "bob@x.example", "first_name": "Bob", "company_name": "Acme"})
    cara = cc.put("contacts", {"email": "cara@x.example", "first_name": "Cara", "phones": {"home": "+493011"}})
    known = org.put("leads", {"LastName": "Known", "Company": "X", "Email": "bob@x.example", "Title": "Buyer"})
    here = org.put("leads", {"LastName": "Here", "Company": "Y", "Email": "cara@x.example"})
    news = cc.put("campaigns", {"name": "News"})
    cc.send(news, [ana, bob])
    cc.happen(news, ana, "clicks")
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        assert run(workspace, "backfill").counts["handoffs"] == 1
        settled(workspace)
        leads = {row["Email"]: row for row in org.all("leads")}
        assert set(leads) == {"ana@x.example", "bob@x.example", "cara@x.example"}
        assert (leads["ana@x.example"]["FirstName"], leads["ana@x.example"]["LastName"]) == ("Ana", "Ortega")
        [task] = org.all("Task")
        assert task["WhoId"] == leads["ana@x.example"]["Id"]
        assert "News" in task["Description"]
        assert cc.get("contacts", bob)["job_title"] == "Buyer"  # and what was there stays
        assert cc.get("contacts", bob)["company_name"]

        cc.unsubscribe("bob@x.example", "enough")  # told by no time of the contact
        org.unsubscribe("leads", here)
        deal = org.convert(leads["ana@x.example"]["Id"], amount=1200.0, deal="Platform")
        org.win(deal["opportunities"], close_date="2026-11-20")
        settled(workspace)

        assert org.get("leads", known)["HasOptedOutOfEmail"] is True
        out = cc.get("contacts", cara)
        assert (out["permission_to_send"], out["opt_out_source"], out["first_name"], out["phones"]) == (
            "unsubscribed", "Account", "Cara", {"home": "+493011"},
        )  # fmt: skip
        customer = cc.get("contacts", ana)
        assert customer["tags"] == ["vip", "customer"]
        assert customer["custom_fields"] == {"hobby": "Skiing", "customer_since": "2026-11-20"}
        assert (customer["anniversary"], customer["lists"]) == ("2006-11-15", ["General Interest"])
        assert customer["permission_to_send"] == "implicit"
        assert written(run(workspace)) == 0
        cc.log.clear()
        assert written(run(workspace)) == 0
        assert len(cc.log) <= 16
        assert {line.method for line in cc.log} == {"GET"}


def test_a_project_of_the_ready_mapping_passes_the_live_check(tmp_path: Path, platforms: dict[str, Any]) -> None:
    platforms["constant_contact"].put("contact_custom_fields", {"name": "customer_since", "type": "date"})
    project(tmp_path, platforms)
    with Workspace.open(tmp_path) as workspace:
        found = check_online(workspace)
        schema = workspace.connector("constant_contact").describe("contacts")
        assert vanished(workspace.mapped("constant_contact")["contacts"], schema) == []
    assert found.errors == {}
    assert [str(problem) for problem in found.problems if "constant_contact" in str(problem)] == []
    assert found.accounts["constant_contact"].missing_scopes == ()
