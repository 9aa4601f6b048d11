"""A person is forgotten: on every platform that can, in every byte of the state, and is not taken in again."""

from __future__ import annotations

import orjson
import pytest
import structlog
from cryptography.fernet import Fernet
from sqlalchemy import func, select

from config.errors import Misconfigured
from connectors.api import Notice
from sync.forget import all_done, canonical, erasure, forget
from sync.hints import keep, pending_of_all
from sync.insight.export import export
from sync.rollback import hold
from sync.runs import Report, Runner
from sync.state.schema import journal, leads, metadata
from tests.engine.conftest import Loop
from tests.engine.memory import unreachable

MARKS = ("ana.canary@x.io", "Anastasia-Canary", "canary-title", "+4930555666", "Canary form")


@pytest.fixture
def known(loop: Loop) -> Loop:
    """Ana, on both sides, handed off with a brief and a deal; and Bob."""
    values = {"email": MARKS[0], "first": MARKS[1], "title": f"Chief {MARKS[2]}", "phone": MARKS[3]}
    ana = loop.alpha.put("contacts", values)
    event = {"type": "form", "at": "2026-03-01T08:00:00Z", "person": ana, "title": MARKS[4]}
    loop.alpha.put("events", event)
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob"})
    loop.beta.put("contacts", {"email": "bob@x.io", "first": "Rob"})
    loop.settled()
    [prospect] = loop.beta.rows["prospects"]
    deal = loop.beta.put("deals", {"name": "Big", "stage": "Open", "amount": "10"})
    tie = {"from_object": "deals", "from_id": deal, "to_object": "prospects", "to_ids": [prospect]}
    loop.beta.put("deal_contacts", tie)
    loop.clock.advance(5)
    loop.alpha.edit("contacts", ana, {"first": f"{MARKS[1]}-the-second"})
    loop.settled()
    return loop


def forgotten(loop: Loop, address: str = "Ana.Canary@X.io") -> Report | None:
    made = erasure(loop.workspace, canonical(address))
    return forget(loop.workspace, made, Runner(loop.workspace))


def everything(loop: Loop) -> str:
    """All that is in the tables, as one text."""
    with loop.workspace.state.read() as tx:
        found = [list(map(tuple, tx.execute(select(table)))) for table in metadata.sorted_tables]
    return repr(found)


def test_nothing_is_left_of_the_person(known: Loop) -> None:
    with known.workspace.state.begin() as tx:
        told = [Notice("contacts", MARKS[0].title()), Notice("contacts", next(iter(known.alpha.rows["contacts"])))]
        keep(tx, "alpha", told, known.workspace.now())
    before = everything(known)
    assert all(mark in before for mark in MARKS)
    written = len(known.alpha.writes) + len(known.beta.writes)
    with structlog.testing.capture_logs() as logs:
        report = forgotten(known)
    assert report is not None
    assert all_done(report)
    assert [row["email"] for row in known.alpha.all("contacts")] == ["bob@x.io"]
    assert known.beta.all("prospects") == []
    assert len(known.alpha.writes) + len(known.beta.writes) == written + 2
    with known.workspace.state.read() as tx:
        assert pending_of_all(tx) == {}
    after = everything(known) + repr(logs) + repr(report)
    assert not [mark for mark in MARKS if mark.lower() in after.lower()]
    assert "bob@x.io" in after
    assert known.sync().counts["write"] == {}


def test_an_account_that_looks_rolled_back_keeps_nobody_from_being_forgotten(known: Loop) -> None:
    with known.workspace.state.begin() as tx:
        hold(tx, "alpha", "contacts", "it looks rolled back")
    report = forgotten(known)
    assert report is not None
    assert all_done(report)
    assert [row["email"] for row in known.alpha.all("contacts")] == ["bob@x.io"]
    assert known.sync().state == "held"


def test_nothing_is_left_in_the_files(known: Loop) -> None:
    if known.workspace.state.dialect != "sqlite":
        pytest.skip("PostgreSQL's files are not ours to search")
    forgotten(known)
    assert known.workspace.state.compact()
    for path in known.folder.iterdir():
        if path.is_file() and path.name.startswith("closedloop.db"):
            raw = path.read_bytes().lower()
            assert not [mark for mark in MARKS if mark.lower().encode() in raw], path.name


def test_the_tables_can_be_written_anew_on_both_databases(known: Loop) -> None:
    assert known.workspace.state.compact()
    assert MARKS[0] in everything(known)
    with known.workspace.state.read():
        assert known.workspace.state.compact() in (True, False)  # busy, or not: never an error


def test_the_person_is_not_taken_in_again(known: Loop) -> None:
    forgotten(known)
    assert known.sync().counts["pull"]["alpha"]["contacts"]["suppressed"] == 1  # its own record, erased
    with known.workspace.state.read() as tx:
        people = tx.execute(select(func.count()).select_from(leads)).scalar()
    known.clock.advance(60)
    again = known.alpha.put("contacts", {"email": MARKS[0].title(), "first": MARKS[1]})
    known.beta.put("contacts", {"email": MARKS[0], "title": "Chief"})
    known.alpha.put("events", {"type": "form", "at": "2026-03-01T09:00:00Z", "person": "co1", "title": MARKS[4]})
    report = known.sync()
    assert report.counts["pull"]["alpha"]["contacts"]["suppressed"] == 1
    assert report.counts["pull"]["beta"]["contacts"]["suppressed"] == 1
    assert report.counts["pull"]["alpha"]["events"]["suppressed"] == 1
    assert report.counts["write"] == {}
    for objects in report.counts["pull"].values():
        for row in objects.values():
            assert row["pulled"] == sum(number for state, number in row.items() if state != "pulled")
    known.clock.advance(5)
    known.alpha.edit("contacts", again, {"title": "Boss"})
    known.reopen()
    known.sync()
    assert not [mark for mark in MARKS if mark in everything(known)]
    with known.workspace.state.read() as tx:
        assert tx.execute(select(func.count()).select_from(leads)).scalar() == people


def test_somebody_who_takes_the_address_over_is_refused_too(known: Loop) -> None:
    forgotten(known)
    known.sync()
    bob = next(id for id, row in known.alpha.rows["contacts"].items() if row.values.get("email") == "bob@x.io")
    known.clock.advance(60)
    known.alpha.edit("contacts", bob, {"email": MARKS[0]})
    assert known.sync().counts["pull"]["alpha"]["contacts"]["suppressed"] == 1
    assert MARKS[0] not in everything(known)


def test_while_a_platform_has_not_done_it_nothing_is_lost_and_it_goes_on(known: Loop) -> None:
    known.beta.refuse = lambda operation: unreachable()
    report = forgotten(known)
    assert report is not None
    assert not all_done(report)
    assert MARKS[0] in everything(known)
    assert known.alpha.all("contacts")[0]["email"] == "bob@x.io"
    known.beta.refuse = lambda operation: None
    assert known.sync().counts["write"] == {}
    again = forgotten(known)
    assert again is not None
    assert all_done(again)
    assert known.beta.all("prospects") == []
    assert not [mark for mark in MARKS if mark in everything(known)]


def test_a_lost_answer_is_looked_up(known: Loop) -> None:
    known.beta.lose_answers = 1
    forgotten(known)
    again = forgotten(known)
    assert again is not None
    assert all_done(again)
    assert not [mark for mark in MARKS if mark in everything(known)]


def test_what_no_program_can_remove_is_named(known: Loop) -> None:
    file = known.folder / "closedloop.yaml"
    file.write_text(file.read_text().replace("beta: {auth", "beta: {push: false, auth"))
    known.reopen()
    made = erasure(known.workspace, MARKS[0])
    [(place, why)] = made.left
    assert place[:2] == ("beta", "prospects")
    assert "push: false" in why
    forget(known.workspace, made, Runner(known.workspace))
    assert len(known.beta.all("prospects")) == 1
    assert not [mark for mark in MARKS if mark in everything(known)]
    assert known.sync().counts["write"] == {}
    assert not [mark for mark in MARKS if mark in everything(known)]


def test_a_record_that_was_never_pulled_is_found_by_its_address(known: Loop) -> None:
    hidden = known.beta.put("contacts", {"email": MARKS[0]})
    forgotten(known)
    assert known.beta.rows["contacts"][hidden].gone == "erased"


def test_another_key_lets_nobody_in_unseen(known: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten(known)
    monkeypatch.setenv("CLOSEDLOOP_KEY", Fernet.generate_key().decode())
    known.reopen()
    report = known.sync()
    assert isinstance(report.error, Misconfigured)
    assert "key" in str(report.error)


def test_who_comes_back_by_their_own_wish_is_taken_in(known: Loop) -> None:
    forgotten(known)
    with known.workspace.state.begin() as tx:
        assert known.workspace.suppression.lift(tx, MARKS[0])
        assert not known.workspace.suppression.lift(tx, "nobody@x.io")
    known.clock.advance(60)
    known.alpha.put("contacts", {"email": MARKS[0], "first": "Ana"})
    known.sync()
    assert MARKS[0] in everything(known)


def test_the_export_holds_what_is_held_and_nothing_of_others(known: Loop) -> None:
    with known.workspace.state.read() as tx:
        found = export(tx, known.workspace, MARKS[0])
    told = orjson.dumps(found).decode()
    assert all(mark in told for mark in MARKS)
    assert "bob@x.io" not in told
    assert {name for name, rows in found.items() if not rows} == {
        "forgotten_since",
        "quarantine",
        "conflicts",
        "conversions",
    }
    assert {row["connection"] for row in found["records"]} == {"alpha", "beta"}
    assert MARKS[0] in {row["after"].get("email") for row in found["journal"]}
    forgotten(known)
    with known.workspace.state.read() as tx:
        empty = export(tx, known.workspace, MARKS[0])
    assert empty["forgotten_since"]
    assert not any(rows for rows in empty.values() if isinstance(rows, list))


def test_what_is_no_address_is_refused() -> None:
    for wrong in ("", "ana", "ana@", "a b@x.io"):
        with pytest.raises(Misconfigured):
            canonical(wrong)


# the journal's age


def test_values_age_out_of_the_journal_and_the_counts_stay(known: Loop) -> None:
    def rows() -> list[tuple[str, str, str]]:
        with known.workspace.state.read() as tx:
            query = select(journal.c.connection, journal.c.verb, journal.c.state).order_by(journal.c.id)
            return [(row[0], row[1], row[2]) for row in tx.execute(query)]

    def values() -> str:
        with known.workspace.state.read() as tx:
            return repr(list(map(tuple, tx.execute(select(journal.c.before, journal.c.after, journal.c.remote)))))

    before = rows()
    known.clock.advance(364 * 86400)
    known.sync()
    assert MARKS[0] in values()
    known.clock.advance(2 * 86400)
    known.sync()
    assert not [mark for mark in MARKS if mark in values()]
    assert rows() == before
    assert known.sync().counts["write"] == {}
