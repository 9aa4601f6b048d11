"""Writing to ActiveCampaign in bulk: imports, who is told what of them, faults on the way."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, InDoubt
from connectors.activecampaign import imports as importing
from connectors.activecampaign import push as pushing
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector
from connectors.sandbox import Answer, FaultKind
from tests.connectors.activecampaign.kit import codes, create, opened, pushed, raw, update


def test_many_contacts_are_imported_and_told_one_by_one(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ids = [ac.put("contacts", {"email": f"P{number}@x.io", "lists": {ac.list: "1"}}) for number in range(40)]
    away = ac.put("contacts", {"email": "away@x.io"})
    ac.remove("contacts", away)
    met = ac.put("contacts", {"email": "met@x.io"})
    operations = [
        *(update(f"u{id}", id, tags__customer=True, fields__JOB_TITLE="Chief") for id in ids),
        update("out", ids[0], consent="unsubscribed"),
        update("moved", ids[1], email="moved@x.io"),
        update("clears", ids[2], firstName=None),
        update("away", away, firstName="A"),
        create("met", "MET@x.io", firstName="Met"),
        create("refused", "o'hara@x.io", firstName="R"),
        *(create(f"c{number}", f"new{number}@x.io", firstName="N") for number in range(20)),
    ]
    ac.hook("update", "contact_tag_added", "unsubscribe")
    before = connector.calls
    results = pushed(connector, *operations)
    assert codes(results) == {"away": "gone", "refused": "import"}
    assert connector.calls - before < 25
    assert all(raw(results[f"u{id}"])["tags"] == {"customer": True} for id in ids)
    assert raw(results["u" + ids[5]])["fields"] == {"JOB_TITLE": "Chief"}
    assert [results[f"c{number}"].created for number in range(20)] == [True] * 20
    assert (results["met"].created, results["met"].id) == (False, met)
    assert ac.get("contacts", ids[0])["lists"] == {ac.list: "2"}
    assert raw(results["out"])["consent"] == "unsubscribed"
    assert ac.get("contacts", ids[1])["email"] == "moved@x.io"
    assert not [one for one in ac.store.deliveries if b"customer" in one["body"]]  # imports tell nothing


def test_who_left_meanwhile_is_not_put_back_by_an_import(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    connector = opened(ac, clock, bulk_from=2)
    ids = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(3)]
    left = ac.put("contacts", {"email": "left@x.io", "lists": {ac.list: "2"}})
    results = pushed(connector, *(update(id, id, joined__2=True) for id in [*ids, left]))
    assert codes(results) == {left: "consent"}
    assert [ac.get("contacts", id)["lists"] for id in ids] == [{ac.other_list: "1"}] * 3
    connector.close()


def test_who_is_deleted_while_an_import_waits_is_told_as_gone(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    """The import makes them anew, under another id: that is not the contact that was meant."""
    connector = opened(ac, clock, bulk_from=2)
    ids = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(3)]
    take = ac.store.take_in

    def delete_first(lag: float) -> None:
        if any(one["status"] == "waiting" for one in ac.store.imports) and ac.get("contacts", ids[0]):
            ac.remove("contacts", ids[0])
        take(lag)

    ac.store.take_in = delete_first  # type: ignore[method-assign]
    results = pushed(connector, *(update(id, id, firstName="N") for id in ids))
    assert codes(results) == {ids[0]: "gone"}
    connector.close()


def test_few_contacts_are_not_imported(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    for bulk_from in (50, 0):
        connector = opened(ac, clock, bulk_from=bulk_from)
        pushed(connector, *(create(f"c{n}", f"{bulk_from}-{n}@x.io") for n in range(10)))
        connector.close()
    assert ac.store.imports == []
    assert len(ac.all("contacts")) == 20


def test_an_import_refused_for_one_goes_again_without_it(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    connector = opened(ac, clock, bulk_from=2)
    results = pushed(connector, create("a", "a@x.io"), create("bad", "not an address"), create("b", "b@x.io"))
    assert codes(results) == {"bad": "import"}
    assert sorted(row["email"] for row in ac.all("contacts")) == ["a@x.io", "b@x.io"]
    body = {"success": 0, "message": "Something else.", "failureReasons": ["no idea"]}
    ac.inject(FaultKind.ANSWER, "bulk_import", answer=Answer.of(body, 400))
    results = pushed(connector, create("c", "c@x.io"), create("d", "d@x.io"))  # nobody is named: one by one
    assert codes(results) == {}
    assert len(ac.all("contacts")) == 4
    connector.close()


def test_one_address_twice_in_an_import_is_written_one_after_the_other(
    ac: ActiveCampaignSandbox, clock: ManualClock
) -> None:
    connector = opened(ac, clock, bulk_from=2)
    results = pushed(connector, create("a", "a@x.io", firstName="1"), create("b", "A@x.io", firstName="2"))
    assert codes(results) == {}
    [row] = ac.all("contacts")
    assert row["firstName"] == "2"
    connector.close()


@pytest.mark.parametrize("status", ["failed", "interrupted", "active"])
def test_an_import_that_does_not_end_well_is_in_doubt(
    ac: ActiveCampaignSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(importing, "PATIENCE", 60.0)
    connector = opened(ac, clock, bulk_from=2)
    ac.inject(FaultKind.ANSWER, "import/info", times=200, answer=Answer.of({"status": status}))
    results = pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))
    assert {type(result.error) for result in results.values()} == {InDoubt}
    ac.faults.clear()
    clock.advance(10)
    assert connector.read("contacts", "email", ["a@x.io"], []).keys() == {"a@x.io"}
    connector.close()


def test_faults_around_an_import_lose_nothing(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    connector = opened(ac, clock, bulk_from=2)
    ac.inject(FaultKind.LOST_ANSWER, "bulk_import")
    ac.inject(FaultKind.HTML, "import/info")
    results = pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))
    assert codes(results) == {}
    assert len(ac.all("contacts")) == 2
    ac.inject(FaultKind.ANSWER, "import/info", answer=Answer.of({"status": "completed", "success": [], "failure": []}))
    results = pushed(connector, create("c", "c@x.io"), create("d", "d@x.io"))  # the answer leaves them out
    assert {type(result.error) for result in results.values()} == {InDoubt}
    connector.close()


def test_a_hundred_imports_a_minute_are_waited_for(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    connector = opened(ac, clock, bulk_from=2)
    for number in range(100):
        ac.store.queue([{"email": f"q{number}@x.io"}])
    began = clock.now()
    assert codes(pushed(connector, create("a", "a@x.io"), create("b", "b@x.io"))) == {}
    assert (clock.now() - began).total_seconds() >= 60
    connector.close()


def test_an_import_stays_below_its_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LARGEST", 200)
    contacts = {f"p{number}@x.io": {"email": f"p{number}@x.io", "first_name": "x" * 50} for number in range(7)}
    some = importing.portions(contacts)
    assert [len(portion) for portion in some] == [2, 2, 2, 1]
    assert {email for portion in some for email in portion} == set(contacts)
    assert importing.portions({}) == []


def test_a_key_that_is_withdrawn_in_the_middle_is_told_for_all(
    ac: ActiveCampaignSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH", 3)
    connector = opened(ac, clock, bulk_from=2)
    ac.inject(FaultKind.ANSWER, "bulk_import|users/me", skip=1, times=99, answer=Answer(403))
    results = pushed(connector, *(create(f"c{n}", f"p{n}@x.io") for n in range(9)))
    assert {key for key, result in results.items() if result.error is None} == {"c0", "c1", "c2"}
    assert {type(result.error) for result in results.values() if result.error} == {AuthorizationLost}
    connector.close()


@pytest.mark.parametrize("status", [503, 401, 400])
def test_who_was_imported_and_cannot_be_looked_at_is_in_doubt(
    ac: ActiveCampaignSandbox, clock: ManualClock, status: int
) -> None:
    """An import is not sent again for it, and nobody passes for never sent."""
    connector = opened(ac, clock, bulk_from=3)
    skip = 1  # the look at the newest contact, before anything is imported
    ac.inject(FaultKind.ANSWER, "GET .*/contacts", answer=Answer.of({"message": "x"}, status), times=99, skip=skip)
    results = pushed(connector, *(create(str(n), f"p{n}@x.io") for n in range(4)))
    assert {type(result.error) for result in results.values()} == {InDoubt}
    assert len(ac.all("contacts")) == 4
    assert sum("bulk_import" in line.path for line in ac.log) == 1
    connector.close()
