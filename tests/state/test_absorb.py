"""What pulled records become: exactly one state each, changes by field with their time, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from connectors.api import Fault, Gone, Page, Record
from mappings.compiler import Defaults, LeadFields, Mapped, compile_mapping
from mappings.language import MappingFile
from mappings.model import Kind
from mappings.transforms import Context
from sync.absorb import Absorbed, absorb, absorb_pages, absorb_records
from sync.arrivals import OUTSIDE
from sync.reader import LARGEST
from sync.state.database import State
from sync.state.schema import activities, deal_people, identities, leads, quarantine, records, streams
from sync.streams import StreamRow, stream_for

FIELDS: list[dict[str, Any]] = [
    {"remote": "email", "field": "email", "transform": ["email"]},
    {"remote": "first", "field": "first_name", "on_blank": "clear"},
    {"remote": "size", "field": "employees", "transform": ["integer"]},
]
ACTIVITY: list[dict[str, Any]] = [
    {"remote": name, "field": name} for name in ("type", "at", "person", "person_object", "email", "title")
]
ASSOCIATION: list[dict[str, Any]] = [
    {"remote": name, "field": name} for name in ("from_object", "from_id", "to_object", "to_ids", "role")
]


def mapping(kind: Kind, fields: list[dict[str, Any]], **more: Any) -> Mapped:
    whole = {"objects": {"things": {"kind": kind.value, "fields": fields, **more}}}
    file = MappingFile.model_validate(whole)
    return compile_mapping(file, lead=LeadFields(), context=Context(Defaults()))["things"]


def record(id: str, version: str = "v1", /, *, gone: Gone | None = None, into: str = "", **values: Any) -> Record:
    return Record(id=id, raw=orjson.dumps(values), version=version, gone=gone, into=into)


class Bench:
    """A stream and its mapping; `pull` absorbs records as one page."""

    def __init__(self, state: State, mapped: Mapped) -> None:
        self.state, self.mapped = state, mapped

    def stream(self, tx: Connection) -> StreamRow:
        return stream_for(tx, "crm", "things", self.mapped.kind)

    def pull(self, *arrived: Record, at: str = "x1") -> Absorbed:
        with self.state.begin() as tx:
            return absorb_records(tx, self.stream(tx), arrived, self.mapped, run="r1", at=at)

    def rest(self) -> None:
        """As after a run: nothing waits any more."""
        with self.state.begin() as tx:
            tx.execute(sa.update(records).values(dirty=False))

    def row(self, id: str) -> Any:
        with self.state.read() as tx:
            return tx.execute(sa.select(records).where(records.c.id == id)).one()

    def body(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.row(id).body)
        return found

    def complaints(self) -> list[tuple[str, str, str, str, int]]:
        q = quarantine.c
        with self.state.read() as tx:
            return [
                tuple(r) for r in tx.execute(sa.select(q.record, q.field, q.code, q.state, q.attempts).order_by(q.id))
            ]


@pytest.fixture
def bench(state: State) -> Bench:
    return Bench(state, mapping(Kind.LEAD, FIELDS))


def test_a_new_record_is_stored_with_its_values_and_waits(bench: Bench) -> None:
    assert bench.pull(record("1", email="Ana@X.io", first="Ana")) == Absorbed(pulled=1, new=1)
    row = bench.row("1")
    assert bench.body("1") == {"email": "ana@x.io", "first_name": "Ana"}
    assert (row.version, row.first_at, row.changed, row.gone, row.problems, bool(row.dirty)) == (
        "v1",
        "v1",
        None,
        None,
        None,
        True,
    )


def test_the_same_bytes_and_the_same_content_change_nothing(bench: Bench) -> None:
    bench.pull(record("1", email="ana@x.io", first="Ana"))
    bench.rest()
    assert bench.pull(record("1", email="ana@x.io", first="Ana")) == Absorbed(pulled=1, unchanged=1)
    other_bytes = record("1", "v2", first=" Ana ", email="ANA@x.io")
    assert bench.pull(other_bytes) == Absorbed(pulled=1, unchanged=1)
    row = bench.row("1")
    assert (row.version, row.changed, bool(row.dirty)) == ("v2", None, False)


def test_a_change_is_told_by_field_with_its_time(bench: Bench) -> None:
    bench.pull(record("1", email="ana@x.io", first="Ana"))
    bench.rest()
    assert bench.pull(record("1", "v2", email="ana@x.io", first="Anna")) == Absorbed(pulled=1, changed=1)
    bench.pull(record("1", "v3", email="new@x.io", first="Anna"))
    row = bench.row("1")
    assert orjson.loads(row.changed) == {"first_name": "v2", "email": "v3"}
    assert (row.first_at, bool(row.dirty)) == ("v1", True)


def test_absent_says_nothing_and_blank_clears(bench: Bench) -> None:
    bench.pull(record("1", email="ana@x.io", first="Ana"))
    assert bench.pull(record("1", "v2", email="ana@x.io")) == Absorbed(pulled=1, unchanged=1)
    assert bench.body("1") == {"email": "ana@x.io", "first_name": "Ana"}
    assert bench.pull(record("1", "v3", email="ana@x.io", first=None)).changed == 1
    assert bench.body("1") == {"email": "ana@x.io", "first_name": None}
    assert orjson.loads(bench.row("1").changed) == {"first_name": "v3"}


def test_a_blank_where_nothing_was_known_is_not_a_clearing(bench: Bench) -> None:
    bench.pull(record("1", email="ana@x.io"))
    bench.pull(record("1", "v2", email="ana@x.io", first=None))
    assert bench.row("1").changed is None


def test_an_older_state_told_late_is_not_news(bench: Bench) -> None:
    now, hour = "2026-03-01T09:00:00.000Z", "2026-03-01T08:00:00.000Z"
    bench.pull(record("1", hour, email="ana@x.io", first="Anna"))
    older = record("1", "2026-03-01T07:00:00.000Z", email="ana@x.io", first="Ana")
    assert bench.pull(older, at=now) == Absorbed(pulled=1, unchanged=1)
    assert bench.pull(older, at="2026-03-01T09:00:00.001Z") == Absorbed(pulled=1, unchanged=1, older=("1",))  # back
    assert bench.body("1")["first_name"] == "Anna"


def test_what_the_platform_made_of_our_value_is_nobodys_change(bench: Bench) -> None:
    bench.pull(record("1", email="ana@x.io", first="ANA"))
    with bench.state.begin() as tx:
        tx.execute(sa.update(records).values(held='{"first_name": ["Ana", "ANA"]}', raw_hash=0, dirty=False))
    assert bench.pull(record("1", "v2", email="ana@x.io", first="ANA")).unchanged == 1
    assert bench.row("1").held is not None
    assert bench.pull(record("1", "v3", email="ana@x.io", first="Anne")).changed == 1
    row = bench.row("1")
    assert (row.held, orjson.loads(row.changed)) == (None, {"first_name": "v3"})


def test_gone_keeps_the_body_and_coming_back_clears_it(bench: Bench) -> None:
    bench.pull(record("1", email="ana@x.io", first="Ana"))
    bench.rest()
    farewell = Record(id="1", raw=b"{}", gone=Gone.MERGED, into="2")
    assert bench.pull(farewell) == Absorbed(pulled=1, gone=1)
    row = bench.row("1")
    assert (row.gone, row.into, bench.body("1")["first_name"], bool(row.dirty)) == ("merged", "things/2", "Ana", True)
    bench.rest()
    assert bench.pull(farewell) == Absorbed(pulled=1, unchanged=1)
    assert bench.pull(record("1", "v1", gone=Gone.MERGED, into="2", email="x@x.io")).unchanged == 1
    assert not bench.row("1").dirty
    assert bench.pull(record("1", email="ana@x.io", first="Ana")) == Absorbed(pulled=1, changed=1)
    row = bench.row("1")
    assert (row.gone, row.into, row.changed, bool(row.dirty)) == (None, None, None, True)


def test_who_lived_and_is_gone_by_the_same_pages_was_known_while_they_lived(bench: Bench) -> None:
    farewell = Record(id="1", raw=b"{}", gone=Gone.DELETED)
    assert bench.pull(record("1", email="ana@x.io"), farewell) == Absorbed(pulled=2, new=1, gone=1)
    assert (bench.row("1").gone, bench.body("1")["email"]) == ("deleted", "ana@x.io")


def test_who_was_back_and_went_again_before_anybody_looked_is_heard(bench: Bench) -> None:
    def at(minute: int, gone: Gone | None = None, **values: Any) -> Record:
        return record("1", f"2026-03-01T09:0{minute}:00.000Z", gone=gone, email="ana@x.io", **values)

    bench.pull(at(1))
    bench.pull(at(2, Gone.ARCHIVED))
    bench.rest()
    assert bench.pull(at(4, Gone.ARCHIVED, first="Ann")).changed == 1
    row = bench.row("1")
    assert (row.gone, bench.body("1")["first_name"], bool(row.dirty)) == ("archived", "Ann", True)


def test_an_index_that_lags_tells_late_of_an_absence_and_its_words_are_old(bench: Bench) -> None:
    bench.pull(record("1", "2026-03-01T09:02:00.000Z", email="ana@x.io", first="Ana"))
    away = record("1", "2026-03-01T09:01:00.000Z", gone=Gone.ARCHIVED, email="ana@x.io", first="An")
    assert bench.pull(away).gone == 1
    assert (bench.row("1").gone, bench.body("1")["first_name"]) == ("archived", "Ana")
    assert bench.row("1").version == "2026-03-01T09:02:00.000Z"
    bench.pull(record("1", "2026-03-01T09:02:00.000Z", email="ana@x.io", first="Ana"))
    assert (bench.row("1").gone, bench.row("1").changed) == (None, None)


def test_what_was_deleted_before_we_came_is_nobodys_lead(bench: Bench) -> None:
    deleted = record("1", gone=Gone.DELETED, email="ana@x.io")
    converted = record("2", gone=Gone.CONVERTED, into="c1", email="bob@x.io")
    merged = Record(id="3", raw=b"{}", gone=Gone.MERGED, into="2")
    assert bench.pull(deleted, converted, merged) == Absorbed(pulled=3, unchanged=1, gone=2)
    with bench.state.read() as tx:
        found = tx.execute(sa.select(records.c.id, records.c.dirty).order_by(records.c.id)).all()
    assert [(row.id, bool(row.dirty)) for row in found] == [("2", True), ("3", False)]


def test_a_bad_value_is_quarantined_alone_and_resolved_when_it_reads_clean(bench: Bench) -> None:
    bad = record("1", email="ana@x.io", first="Ana", size="many")
    assert bench.pull(bad) == Absorbed(pulled=1, quarantined=1)
    assert bench.body("1") == {"email": "ana@x.io", "first_name": "Ana"}
    [(name, field, code, state, attempts)] = bench.complaints()
    assert (name, field, state, attempts) == ("1", "employees", "open", 1)
    assert orjson.loads(bench.row("1").problems)[0][:2] == ["employees", code]
    bench.pull(record("1", "v2", email="ana@x.io", first="Ana", size="a lot"))
    assert bench.complaints() == [("1", "employees", code, "open", 2)]
    assert bench.pull(record("1", "v3", email="ana@x.io", first="Ana", size="7")) == Absorbed(pulled=1, changed=1)
    assert bench.complaints() == [("1", "employees", code, "resolved", 2)]
    assert (bench.row("1").problems, bench.body("1")["employees"]) == (None, 7)
    bench.pull(record("1", "v4", email="ana@x.io", first="Ana", size="again"))
    assert bench.complaints() == [("1", "employees", code, "open", 3)]
    assert bench.body("1")["employees"] == 7


def test_one_of_two_bad_values_corrected_resolves_just_that(bench: Bench) -> None:
    bench.pull(record("1", email="nobody", size="many"))
    bench.pull(record("1", "v2", email="ana@x.io", size="many"))
    assert [(field, state) for _, field, _, state, _ in bench.complaints()] == [
        ("email", "resolved"),
        ("employees", "open"),
    ]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"<html>", "unreadable"),
        (b"[1]", "unreadable"),
        (b'{"email": "a', "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (b"[" * 5000, "unreadable"),
        (b'{"first": "' + b"x" * LARGEST + b'"}', "too_large"),
    ],
)
def test_an_unreadable_record_never_replaces_what_is_known(bench: Bench, raw: bytes, code: str) -> None:
    bench.pull(record("1", email="ana@x.io", first="Ana"))
    assert bench.pull(Record(id="1", raw=raw, version="v2"), Record(id="2", raw=raw)) == Absorbed(
        pulled=2, quarantined=2
    )
    assert bench.body("1") == {"email": "ana@x.io", "first_name": "Ana"}
    assert sorted(bench.complaints()) == [("1", "", code, "open", 1), ("2", "", code, "open", 1)]
    assert bench.pull(record("1", "v3", email="b@x.io"), record("2", email="c@x.io")) == Absorbed(
        pulled=2, new=1, changed=1
    )
    assert {state for *_, state, _ in bench.complaints()} == {"resolved"}


def test_what_its_source_tells_against_its_own_rules_is_quarantined_in_the_sources_words(bench: Bench) -> None:
    bench.pull(record("1", email="ana@x.io"))
    fault = Fault("address.city", "type", "is no string", "Correct it in the source.")
    odd = [Record(id=id, raw=b"", version="v2", fault=fault) for id in ("1", "2")]
    assert bench.pull(*odd) == Absorbed(pulled=2, quarantined=2)
    assert bench.pull(*odd) == Absorbed(pulled=2, quarantined=2)
    assert bench.body("1") == {"email": "ana@x.io"}
    assert sorted(bench.complaints()) == [
        ("1", "address.city", "type", "open", 2),
        ("2", "address.city", "type", "open", 2),
    ]
    with bench.state.read() as tx:
        told = set(map(tuple, tx.execute(sa.select(quarantine.c.reason, quarantine.c.fix)).all()))
    assert told == {("address.city is no string", "Correct it in the source.")}
    bench.pull(record("1", "v3", email="b@x.io"))
    assert {id: state for id, _, _, state, _ in bench.complaints()} == {"1": "resolved", "2": "open"}


@pytest.mark.parametrize("id", ["", "a\0b", "a\nb", "\ud800"])
def test_an_id_that_no_database_can_hold_is_quarantined(bench: Bench, id: str) -> None:
    assert bench.pull(record(id, email="ana@x.io"), record("2")) == Absorbed(pulled=2, new=1, quarantined=1)
    assert [code for _, _, code, _, _ in bench.complaints()] == ["bad_id"]


def test_of_one_id_twice_the_last_counts(bench: Bench) -> None:
    counts = bench.pull(record("1", first="Ana"), record("2", first="Bob"), record("1", "v2", first="Anna"))
    assert counts == Absorbed(pulled=3, new=2, unchanged=1)
    assert bench.body("1") == {"first_name": "Anna"}


def test_a_filter_leaves_out_and_a_record_that_leaves_it_is_heard_no_more(state: State) -> None:
    bench = Bench(state, mapping(Kind.LEAD, FIELDS, filter="record.first != 'Bob'"))
    assert bench.pull(record("1", first="Ana"), record("2", first="Bob")) == Absorbed(pulled=2, new=1, filtered=1)
    assert bench.pull(record("1", "v2", first="Bob")) == Absorbed(pulled=1, filtered=1)
    assert (bench.row("1").gone, bench.body("1")) == (OUTSIDE, {"first_name": "Ana"})
    bench.rest()
    assert bench.pull(record("1", "v2", first="Bob")) == Absorbed(pulled=1, filtered=1)
    assert not bench.row("1").dirty
    assert bench.pull(record("1", "v3", first="Ana")) == Absorbed(pulled=1, changed=1)
    assert bench.row("1").gone is None


def test_the_cursor_is_that_of_the_last_page_and_complete_says_that_it_was_the_end(bench: Bench) -> None:
    def pages(*made: Page) -> tuple[str, bool]:
        with bench.state.begin() as tx:
            absorb_pages(tx, bench.stream(tx), made, bench.mapped, run="r", at="x9")
        with bench.state.read() as tx:
            row = tx.execute(sa.select(streams)).one()
        assert row.pulled_at == "x9"
        return row.cursor, bool(row.complete)

    assert pages(Page([record("1")], "c1", True), Page([record("2")], "c2", True)) == ("c2", False)
    assert pages(Page([], "c3", False)) == ("c3", True)
    assert pages(Page([record("3")], "c4", True)) == ("c4", False)


def test_a_page_rolls_back_with_its_cursor(bench: Bench) -> None:
    def interrupted() -> None:
        with bench.state.begin() as tx:
            absorb(tx, bench.stream(tx), Page([record("1")], "c1", True), bench.mapped, run="r", at="x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with bench.state.read() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(records)).scalar() == 0
        assert tx.execute(sa.select(streams)).all() == []


def test_more_records_than_one_look_up_takes(bench: Bench) -> None:
    many = [record(str(n), first=f"n{n}", size="x" if n % 7 == 0 else str(n)) for n in range(2500)]
    bad = len(range(0, 2500, 7))
    assert bench.pull(*many) == Absorbed(pulled=2500, new=2500 - bad, quarantined=bad)
    good = [record(str(n), "v2", first=f"m{n}", size="1") for n in range(2500)]
    assert bench.pull(*good, *many) == Absorbed(pulled=5000, unchanged=5000)
    assert bench.pull(*good) == Absorbed(pulled=2500, changed=2500)
    assert {state for *_, state, _ in bench.complaints()} == {"resolved"}


def test_activities_are_written_once(state: State) -> None:
    bench = Bench(state, mapping(Kind.ACTIVITY, ACTIVITY))
    click = record("a1", type="email_click", at="2026-11-01T10:00:00Z", person="7", person_object="contacts")
    assert bench.pull(click, record("a2", type="form", at="2026-11-02T10:00:00Z", email="ana@x.io")).new == 2
    later = record("a1", "v2", type="form", at="2026-11-01T10:00:00Z", person="7", person_object="contacts")
    assert bench.pull(click, later, record("a2", gone=Gone.DELETED)) == Absorbed(pulled=3, unchanged=3)
    with state.read() as tx:
        rows = tx.execute(sa.select(activities).order_by(activities.c.key)).all()
    assert [(r.key, r.type, r.person, r.email) for r in rows] == [
        ("a1", "email_click", "contacts/7", None),
        ("a2", "form", None, "ana@x.io"),
    ]


def revised(id: str, **values: Any) -> Record:
    told = {"type": "meeting", "person_object": "contacts", **values}
    return Record(id=id, raw=orjson.dumps(told), version="v1", revised=True)


def stored(state: State) -> list[tuple[Any, ...]]:
    with state.read() as tx:
        rows = tx.execute(sa.select(activities).order_by(activities.c.key)).all()
    return [(r.key, r.type, r.at, r.person, r.title, bool(r.dirty)) for r in rows]


def test_a_revised_activity_is_the_same_one_as_it_stands_now(state: State) -> None:
    bench = Bench(state, mapping(Kind.ACTIVITY, ACTIVITY))
    monday, friday = "2026-11-30T10:00:00.000Z", "2026-12-04T10:00:00.000Z"
    booked = revised("m1", at=monday, person="7", title="Demo")
    assert bench.pull(booked, revised("m2", at=monday, person="8")) == Absorbed(pulled=2, new=2)
    with state.begin() as tx:
        tx.execute(sa.update(activities).values(dirty=False))
    assert bench.pull(booked) == Absorbed(pulled=1, unchanged=1)
    assert bench.pull(revised("m1", at=friday, person="7", title="Demo")) == Absorbed(pulled=1, changed=1)
    assert stored(state) == [
        ("m1", "meeting", friday, "contacts/7", "Demo", True),
        ("m2", "meeting", monday, "contacts/8", None, False),
    ]
    broken = revised("m1", at="some day", person="7", title="Demo")
    assert bench.pull(broken) == Absorbed(pulled=1, quarantined=1)
    gone = Record(id="m1", raw=b"{}", gone=Gone.DELETED, revised=True)
    assert bench.pull(gone) == Absorbed(pulled=1, unchanged=1)
    cancelled = revised("m1", type="note", at=friday, person="7", title="cancelled: Demo")
    assert bench.pull(cancelled).changed == 1
    assert stored(state)[0] == ("m1", "note", friday, "contacts/7", "cancelled: Demo", True)
    assert {state for *_, state, _ in bench.complaints()} == {"resolved"}


def test_whoever_loses_a_revised_activity_is_decided_anew(state: State) -> None:
    """By the person's record, by the address, or because the filter leaves the activity out now."""
    bench = Bench(state, mapping(Kind.ACTIVITY, ACTIVITY, filter="record.type != 'event'"))
    at = "2026-11-30T10:00:00.000Z"
    with state.begin() as tx:
        people = stream_for(tx, "crm", "contacts", Kind.LEAD)
        for lead in ("ana", "bob", "cy", "dan"):
            made = {"id": lead, "body": "{}", "reasons": "{}", "created_at": at, "updated_at": at, "dirty": 0}
            tx.execute(sa.insert(leads).values(**made))
        for id, lead in (("7", "ana"), ("8", "bob"), ("9", "dan")):
            row = {"stream": people.id, "id": id, "raw_hash": 0, "hash": 0, "body": "{}", "first_at": at, "lead": lead}
            tx.execute(sa.insert(records).values(**row))
        tx.execute(sa.insert(identities).values(kind="email", value="cy@x.io", lead="cy"))
    bench.pull(
        revised("m1", at=at, person="7"), revised("m2", at=at, email="cy@x.io"), revised("m3", at=at, person="9")
    )
    moved = [revised(id, at=at, person="8") for id in ("m1", "m2")]
    left = revised("m3", type="event", at=at, person="9")
    assert bench.pull(*moved, left) == Absorbed(pulled=3, changed=2, filtered=1)
    assert [row[:4:3] for row in stored(state)] == [("m1", "contacts/8"), ("m2", "contacts/8")]
    with state.read() as tx:
        marked = tx.execute(sa.select(leads.c.id).where(leads.c.dirty == 1).order_by(leads.c.id)).scalars().all()
    assert marked == ["ana", "cy", "dan"]  # bob is marked by the row itself
    assert bench.pull(left) == Absorbed(pulled=1, filtered=1)


def test_an_activity_without_type_time_or_whose_it_is_waits_until_it_is_whole(state: State) -> None:
    bench = Bench(state, mapping(Kind.ACTIVITY, ACTIVITY))
    broken = [
        record("a1", at="2026-11-01T10:00:00Z"),
        record("a2", type="form"),
        record("a3", type="form", at="yesterday"),
        record("a4", type="form", at="2026-11-01T10:00:00Z", person="7"),
    ]
    assert bench.pull(*broken) == Absorbed(pulled=4, quarantined=4)
    whole = [record(r.id, "v2", type="form", at="2026-11-01T10:00:00Z") for r in broken]
    assert bench.pull(*whole) == Absorbed(pulled=4, new=4)
    assert {state for *_, state, _ in bench.complaints()} == {"resolved"}


@pytest.fixture
def ties(state: State) -> Callable[[], list[tuple[str, str, str]]]:
    def tied() -> list[tuple[str, str, str]]:
        columns = (deal_people.c.deal, deal_people.c.person, deal_people.c.role)
        with state.read() as tx:
            return [tuple(row) for row in tx.execute(sa.select(*columns).order_by(*columns))]

    return tied


def test_associations_say_who_is_in_which_deal(state: State, ties: Callable[[], list[tuple[str, str, str]]]) -> None:
    bench = Bench(state, mapping(Kind.ASSOCIATION, ASSOCIATION))
    place: dict[str, Any] = {"from_object": "deals", "from_id": "d1", "to_object": "contacts"}
    bench.pull(record("d1", **place, to_ids=["1", "2"]), record("r9", **place, to_ids=["2"], role="Buyer"))
    assert ties() == [("d1", "1", ""), ("d1", "2", ""), ("d1", "2", "Buyer")]
    bench.pull(record("d1", "v2", **place, to_ids=["3"]))
    assert ties() == [("d1", "2", "Buyer"), ("d1", "3", "")]
    bench.pull(record("d1", "v3", **place, to_ids=[]))
    assert ties() == [("d1", "2", "Buyer")]
    assert bench.pull(Record(id="r9", raw=b"{}", gone=Gone.DELETED)).gone == 1
    assert ties() == []


AT = "2026-03-01T09:00:00.000Z"
NEXT_YEAR, TODAY = "2027-04-05T09:00:00.000Z", "2026-03-01T08:59:00.000Z"


def test_a_time_far_ahead_hides_no_later_edit(bench: Bench) -> None:
    bench.pull(record("1", NEXT_YEAR, email="ana@x.io"), at=AT)
    assert bench.pull(record("1", TODAY, email="ana@y.io"), at=AT).changed == 1
    assert bench.pull(record("1", TODAY[:-6] + "1.000Z", email="ana@z.io"), at=AT).changed == 1


def test_nor_does_one_some_hours_ahead(bench: Bench) -> None:
    bench.pull(record("1", "2026-03-01T14:00:00.000Z", email="ana@x.io"), at=AT)
    assert bench.pull(record("1", TODAY, email="ana@y.io"), at=AT).changed == 1
    ahead = record("2", "2026-03-01T14:00:00.000Z", email="bo@x.io")  # of a platform whose clock is
    bench.pull(ahead, at=AT)
    assert bench.pull(record("2", "2026-03-01T13:30:00.000Z", email="bo@y.io"), at=AT).unchanged == 1


def test_among_times_far_ahead_an_older_state_is_no_news(bench: Bench) -> None:
    bench.pull(record("1", NEXT_YEAR, email="ana@x.io"), at=AT)
    assert bench.pull(record("1", "2026-12-01T09:00:00.000Z", email="ana@y.io"), at=AT).unchanged == 1


def test_a_time_far_ahead_counts_from_when_it_was_read(bench: Bench) -> None:
    other = record("2", "2026-03-01T13:00:00.000Z", email="bo@x.io")  # some clocks are hours apart
    bench.pull(record("1", NEXT_YEAR, email="ana@x.io"), other, at=AT)
    assert [bench.row(id).first_at for id in "12"] == [AT, "2026-03-01T13:00:00.000Z"]
    bench.pull(record("1", NEXT_YEAR, email="ana@y.io"), at=AT)
    assert orjson.loads(bench.row("1").changed)["email"] <= "2026-03-01T09:00:00.001Z"
