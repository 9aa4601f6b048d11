"""The loop end to end over two in-memory platforms: match, hand off, outcome back, and then silence."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sync.runs import Options, Runner
from sync.state.schema import records
from tests.engine.conftest import Loop


def test_a_lead_goes_to_sales_and_its_outcome_comes_back(loop: Loop) -> None:
    ana = loop.alpha.put("contacts", {"email": "Ana@X.io", "first": "Ana", "title": "Chief", "source": "organic"})
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob", "title": "Intern", "source": "paid"})
    loop.alpha.put("events", {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana, "title": "Contact us"})

    report = loop.sync()

    [prospect] = loop.beta.all("prospects")
    assert prospect["email"] == "ana@x.io"
    assert prospect["origin"] == "organic"
    assert report.counts["handoffs"] == 1
    [task] = loop.beta.all("tasks")
    assert "Contact us" in task["body"]
    assert "+40 asked for contact" in task["body"]
    assert loop.alpha.rows["contacts"][ana].values["stage"] == "sales_qualified"

    person = next(iter(loop.beta.rows["prospects"]))
    deal = loop.beta.put(
        "deals", {"name": "d", "amount": "100", "stage": "Won", "closed": True, "won": True, "close_date": "2026-03-02"}
    )
    loop.beta.put(
        "deal_contacts", {"from_object": "deals", "from_id": deal, "to_object": "prospects", "to_ids": [person]}
    )
    loop.settled()

    row = loop.alpha.rows["contacts"][ana].values
    assert row["stage"] == "customer"
    assert row["customer_since"] == "2026-03-02"


def test_a_sync_with_nothing_new_writes_nothing(loop: Loop) -> None:
    for number in range(10):
        loop.alpha.put("contacts", {"email": f"p{number}@x.io", "first": f"P{number}", "title": "Chief"})
        loop.beta.put("contacts", {"email": f"p{number}@x.io", "first": "Old", "phone": "030 123456"})
    loop.settled()
    written = len(loop.alpha.writes) + len(loop.beta.writes)
    report = loop.sync()
    assert len(loop.alpha.writes) + len(loop.beta.writes) == written
    assert report.state == "done"
    assert not report.needs_person


def test_that_nobody_knows_takes_no_consent_away(loop: Loop) -> None:
    """Unknown on one side is no evidence against subscribed on the other; unsubscribed is."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "consent": "subscribed"})
    beta = loop.workspace.folder / "mappings" / "beta.yaml"
    beta.write_text(beta.read_text().replace('{"true": unsubscribed}', '{"true": unsubscribed, "maybe": unknown}'))
    loop.reopen()
    there = loop.beta.put("contacts", {"email": "ana@x.io", "opted_out": "maybe"})
    loop.settled()
    assert loop.alpha.rows["contacts"][ana].values["consent"] == "subscribed"
    loop.beta.edit("contacts", there, {"opted_out": "true"})
    loop.settled()
    assert loop.alpha.rows["contacts"][ana].values["consent"] == "unsubscribed"


def test_a_pull_that_was_cut_off_catches_up_in_the_run_that_goes_on_with_it(loop: Loop) -> None:
    """It goes on where it stood, and ends where it would have ended then: what came since follows at once."""
    loop.alpha.page_size = 1
    first, _ = [loop.alpha.put("contacts", {"email": f"{name}@x.io", "title": "Clerk"}) for name in ("ana", "bob")]
    loop.alpha.breaks_after = 1
    assert loop.sync().state == "failed"
    loop.alpha.edit("contacts", first, {"title": "Head"})
    assert loop.sync().state == "done"
    with loop.workspace.state.read() as tx:
        body = tx.execute(select(records.c.body).where(records.c.id == first)).scalar_one()
    assert '"title":"Head"' in body


def test_a_backfill_that_died_at_its_start_reads_everything_when_it_is_taken_up(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had been noted, and no cursor was set back yet: what only a full read tells is told by whoever goes on."""
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"})
    there = loop.beta.put("contacts", {"email": "ana@x.io"})
    loop.settled()
    loop.clock.advance(3600)
    loop.alpha.rows["contacts"][ana].values["first"] = "Anna"  # and its time stays

    def dies(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sync.steps.attempt.restart", dies)
        with pytest.raises(KeyboardInterrupt):
            Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    loop.reopen()
    loop.clock.advance(60)
    Runner(loop.workspace).run("backfill", ("alpha", "beta"), Options(approve=True))
    assert loop.beta.rows["contacts"][there].values["first"] == "Anna"


def test_a_backfill_reads_everything_though_another_run_was_at_work_when_it_began(loop: Loop) -> None:
    ana = loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana"})
    there = loop.beta.put("contacts", {"email": "ana@x.io"})
    loop.settled()
    runner = Runner(loop.workspace)
    run = runner.open("backfill", ("alpha", "beta"), Options(approve=True))
    loop.sync()
    loop.alpha.rows["contacts"][ana].values["first"] = "Anna"  # and its time stays
    runner.finish(run)
    assert loop.beta.rows["contacts"][there].values["first"] == "Anna"
