"""Many contacts at once, over Constant Contact's sandbox: imports and deletions in its own time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import InDoubt, QuotaExhausted, RetryLater
from connectors.api import Connector, Operation, Verb
from connectors.constant_contact import bulk
from connectors.constant_contact.sandbox import ConstantContactSandbox
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.constant_contact.opened import create, opened, pushed


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five are many."""
    monkeypatch.setattr(bulk, "MANY", 5)


def crowd(number: int, **values: Any) -> list[Operation]:
    return [create(f"c{n}", f"p{n}@x.io", first_name=f"F{n}", **values) for n in range(number)]


@pytest.mark.usefixtures("few")
def test_many_new_people_go_into_one_import(cc: ConstantContactSandbox, clock: ManualClock) -> None:
    connector = opened(cc, clock, permission_if_new="implicit")
    cc.put("contact_custom_fields", {"name": "crm_id"})
    deleted = cc.put("contacts", {"email": "P0@x.io"})
    cc.remove("contacts", deleted)
    there = cc.put("contacts", {"email": "p1@x.io"})
    left = cc.put("contacts", {"email": "p2@x.io"})
    cc.unsubscribe("p2@x.io")
    operations = [
        *crowd(12, custom_fields__crm_id="7", address__city="Bonn", phone="+1 555 0199", permission_to_send="not_set"),
        create("agreed", "agreed@x.io", permission_to_send="explicit"),
        create("out", "out@x.io", permission_to_send="unsubscribed"),
        create("tagged", "tagged@x.io", tags__t=True),
        create("abroad", "abroad@x.io", phone="+49301"),
    ]
    results = pushed(connector, *operations)
    assert {key: result.error.code for key, result in results.items() if result.error} == {"c0": "deleted"}
    assert results["c1"].id == there
    assert not results["c1"].created
    for n in range(3, 12):
        result = results[f"c{n}"]
        told = cc.get("contacts", result.id)
        assert result.created
        assert result.record is not None
        assert orjson.loads(result.record.raw)["first_name"] == f"F{n}"
        assert (told["permission_to_send"], told["lists"], told["custom_fields"], told["phones"]) == (
            "implicit", ["General Interest"], {"crm_id": "7"}, {"work": "+1 555 0199"},
        )  # fmt: skip
    assert cc.get("contacts", left)["permission_to_send"] == "unsubscribed"
    assert cc.get("contacts", deleted)["deleted_at"]
    [job] = cc.store.jobs.values()
    assert [row["email"] for row in job["work"]["rows"]] == [f"p{n}@x.io" for n in range(3, 12)]
    connector.close()


@pytest.mark.usefixtures("few")
def test_an_import_that_drops_rows_without_a_word_is_noticed(cc: ConstantContactSandbox, clock: ManualClock) -> None:
    connector = opened(cc, clock, permission_if_new="implicit")
    cc.bulk.most = 400
    results = pushed(connector, *crowd(12))
    made = {row["email"] for row in cc.all("contacts")}
    assert 0 < len(made) < 12
    for n in range(12):
        result = results[f"c{n}"]
        assert result.created is (f"p{n}@x.io" in made)
        assert result.error is None or result.error.code == "import"
    connector.close()


@pytest.mark.usefixtures("few")
def test_somebody_made_between_the_look_and_the_import_is_not_called_new(
    cc: ConstantContactSandbox, clock: ManualClock
) -> None:
    connector = opened(cc, clock, permission_if_new="implicit")
    start = cc.bulk.start

    def raced(call: Call, kind: str) -> Answer:
        cc.put("contacts", {"email": "p0@x.io"}, at="2026-11-23T09:59:00Z")
        return start(call, kind)

    cc.bulk.start = raced  # type: ignore[method-assign]
    results = pushed(connector, *crowd(6))
    assert [results[f"c{n}"].created for n in range(6)] == [False, *[True] * 5]
    connector.close()


def test_imports_are_cut_to_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "LARGEST", 300)
    monkeypatch.setattr(bulk, "ROWS", 4)
    operations = [*crowd(10), create("twice", "p9@x.io")]
    portions = list(bulk.portions(operations))
    assert [operation.key for portion in portions for operation, _ in portion.values()] == [o.key for o in operations]
    assert len(portions) > 3
    for portion in portions:
        assert len(portion) <= 4
        assert len(orjson.dumps([row for _, row in portion.values()])) <= 301


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("ends", "kind"), [("failed", InDoubt), ("timed_out", InDoubt), ("processing", InDoubt)])
def test_an_import_without_a_good_end_is_in_doubt(
    cc: ConstantContactSandbox, clock: ManualClock, ends: str, kind: type
) -> None:
    connector = opened(cc, clock, permission_if_new="implicit")
    cc.bulk.ends = ends
    results = pushed(connector, *crowd(6))
    assert {type(result.error) for result in results.values()} == {kind}
    assert cc.all("contacts") == []
    connector.close()


@pytest.mark.usefixtures("few")
def test_a_lost_answer_of_an_import_is_in_doubt_and_a_full_queue_is_not(
    cc: ConstantContactSandbox, clock: ManualClock
) -> None:
    connector = opened(cc, clock, permission_if_new="implicit")
    connector.check()
    cc.inject(FaultKind.LOST_ANSWER, "POST /v3/activities")
    assert {type(result.error) for result in pushed(connector, *crowd(6)).values()} == {InDoubt}
    assert len(cc.store.jobs) == 1
    full = Answer.of({"error_key": "too_many_requests", "error_message": "More than 1,000 activities."}, 429)
    cc.inject(FaultKind.ANSWER, "POST /v3/activities", times=99, answer=full)
    assert {type(result.error) for result in pushed(connector, *crowd(6)).values()} == {RetryLater}
    cc.faults.clear()
    cc.daily = cc.used
    assert {type(result.error) for result in pushed(connector, *crowd(6)).values()} == {QuotaExhausted}
    connector.close()


@pytest.mark.usefixtures("few")
def test_no_import_where_finding_out_who_is_there_costs_more(cc: ConstantContactSandbox, clock: ManualClock) -> None:
    connector = opened(cc, clock, permission_if_new="implicit")
    for n in range(4):
        cc.put("contacts", {"email": f"old{n}@x.io"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "PAGE", 1)
        pushed(connector, *crowd(6))
    assert cc.store.jobs == {}
    assert len(cc.all("contacts")) == 10
    connector.close()


@pytest.mark.usefixtures("few")
def test_many_are_deleted_in_bulk(cc: ConstantContactSandbox, connector: Connector, clock: ManualClock) -> None:
    ids = [cc.put("contacts", {"email": f"p{n}@x.io"}) for n in range(8)]
    cc.remove("contacts", ids[0])
    clock.advance(3600)
    gone = [*ids[:7], cc.store.id()]
    cc.log.clear()
    results = list(connector.push([Operation(id, Verb.ARCHIVE, "contacts", {}, id=id) for id in gone], []))
    assert sorted(result.key for result in results) == sorted(gone)
    assert all(result.error is None and result.id == result.key for result in results)
    assert [row["id"] for row in cc.all("contacts")] == [ids[7]]
    writes = Counter(line.method for line in cc.log if line.method != "GET" and line.path.startswith("/v3"))
    assert writes == {"POST": 1, "DELETE": 2}  # who was deleted long before, and who never was, by themselves
    cc.bulk.ends = "failed"
    ids = [cc.put("contacts", {"email": f"q{n}@x.io"}) for n in range(6)]
    results = list(connector.push([Operation(id, Verb.ARCHIVE, "contacts", {}, id=id) for id in ids], []))
    assert all(result.error is None for result in results)
    assert len(cc.all("contacts")) == 1
