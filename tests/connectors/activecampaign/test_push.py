"""Writing to ActiveCampaign contact by contact: results, consent, tags, lists, deletions, faults on the way."""

from __future__ import annotations

import orjson
import pytest

from config.clock import ManualClock
from config.errors import InDoubt, PermissionMissing, RetryLater
from connectors.activecampaign.sandbox import ActiveCampaignSandbox
from connectors.api import Connector, Operation, Verb
from connectors.sandbox import Answer, FaultKind
from tests.connectors.activecampaign.kit import FIELDS, codes, create, opened, pushed, raw, update

# one by one


def test_contacts_are_created_changed_and_told_as_they_stand(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    known = ac.put("contacts", {"email": "known@x.io", "firstName": "K", "fields": {"JOB_TITLE": "Boss"}})
    results = pushed(
        connector,
        create("new", "new@x.io", firstName="N", fields__JOB_TITLE="Chief", tags__customer=True),
        create("met", "KNOWN@x.io", firstName="Met"),
        update("change", known, lastName="Changed", fields__JOB_TITLE=None, fields__INTERESTS="red||blue"),
    )
    assert raw(results["new"]) == {
        "email": "new@x.io",
        "firstName": "N",
        "consent": "none",
        "tags": {"customer": True},
        "lists": {"1": None},
        "joined": {"2": False},
        "fields": {"JOB_TITLE": "Chief"},
    }
    assert (results["new"].created, results["met"].created, results["met"].id) == (True, False, known)
    held = ac.get("contacts", known)
    assert (held["firstName"], held["lastName"]) == ("Met", "Changed")
    assert held["fields"] == {"JOB_TITLE": "", "INTERESTS": "||red||blue||"}
    assert raw(results["change"])["fields"] == {"JOB_TITLE": None}
    assert ac.get("contacts", results["new"].id)["lists"] == {}  # nobody is put on a list


def test_what_comes_from_a_pull_goes_back_as_it_came(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    person = ac.put("contacts", {"email": "a@x.io", "fields": {"INTERESTS": "||red||"}})
    fields = ["fields.INTERESTS"]
    [record] = connector.read("contacts", "id", [person], fields).values()
    value = orjson.loads(record.raw)["fields"]["INTERESTS"]
    [result] = connector.push([update("k", person, fields__INTERESTS=value)], fields)
    assert raw(result) == {"fields": {"INTERESTS": "||red||"}}


def test_tags_are_made_set_and_taken_off(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    person = ac.put("contacts", {"email": "a@x.io", "tags": ["customer", "vip"]})
    bare = ac.put("contacts", {"email": "b@x.io"})
    results = pushed(
        connector,
        update("off", person, tags__customer=False, tags__never=False),
        update("on", bare, tags__customer=True, tags__brand_new=True),
        update("again", bare, tags__customer=True),
    )
    assert ac.get("contacts", person)["tags"] == ["vip"]
    assert ac.get("contacts", bare)["tags"] == ["brand_new", "customer"]
    assert raw(results["off"])["tags"] == {"customer": False}
    assert codes(results) == {}
    assert [row["tag"] for row in ac.all("tags")].count("customer") == 1


def test_an_opt_out_travels_and_an_opt_in_never_does(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    both = ac.put("contacts", {"email": "both@x.io", "lists": {ac.list: "1", ac.other_list: "0"}})
    one = ac.put("contacts", {"email": "one@x.io", "lists": {ac.list: "1", ac.other_list: "1"}})
    none = ac.put("contacts", {"email": "none@x.io"})
    out = ac.put("contacts", {"email": "out@x.io", "lists": {ac.list: "2"}})
    results = pushed(
        connector,
        update("both", both, consent="unsubscribed"),
        update("one", one, **{"lists.1": "unsubscribed"}),
        update("none", none, consent="unsubscribed"),
        update("in", out, consent="active"),
        update("cleared", out, consent=None),
        update("back", out, **{"lists.1": "active"}),
        create("known", "out@x.io", consent="active", firstName="K"),
        create("gone", "gone@x.io", consent="unsubscribed"),
    )
    assert codes(results) == dict.fromkeys(("in", "cleared", "back"), "consent")
    assert ac.get("contacts", both)["lists"] == {ac.list: "2", ac.other_list: "2"}
    assert ac.get("contacts", one)["lists"] == {ac.list: "2", ac.other_list: "1"}
    assert ac.get("contacts", none)["lists"] == {ac.list: "2", ac.other_list: "2"}
    assert (ac.get("contacts", out)["lists"], ac.get("contacts", out)["firstName"]) == ({ac.list: "2"}, "K")
    assert raw(results["gone"])["consent"] == "unsubscribed"
    assert (raw(results["both"])["consent"], raw(results["one"])["consent"]) == ("unsubscribed", "active")
    written = [
        orjson.loads(line.body)["contactList"]["status"] for line in ac.log if line.path.endswith("contactLists")
    ]
    assert set(written) == {"2"}


def test_only_counted_lists_are_left(ac: ActiveCampaignSandbox, clock: ManualClock) -> None:
    person = ac.put("contacts", {"email": "a@x.io", "lists": {ac.list: "1", ac.other_list: "1"}})
    bare = ac.put("contacts", {"email": "b@x.io"})
    connector = opened(ac, clock, lists=ac.other_list)
    pushed(connector, update("k", person, consent="unsubscribed"), update("b", bare, consent="unsubscribed"))
    assert ac.get("contacts", person)["lists"] == {ac.list: "1", ac.other_list: "2"}
    assert ac.get("contacts", bare)["lists"] == {ac.other_list: "2"}
    connector.close()


def test_a_list_is_joined_once_and_by_nobody_who_left(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    fresh = ac.put("contacts", {"email": "fresh@x.io"})
    left = ac.put("contacts", {"email": "left@x.io", "lists": {ac.other_list: "2"}})
    other = ac.put("contacts", {"email": "other@x.io", "lists": {ac.list: "2"}})
    bounced = ac.put("contacts", {"email": "bounced@x.io", "bounced_hard": "1"})
    results = pushed(
        connector,
        update("fresh", fresh, joined__2=True),
        update("again", fresh, joined__2=True),
        update("left", left, joined__2=True),
        update("other", other, joined__2=True),
        update("bounced", bounced, joined__2=True),
        update("no", fresh, joined__2=False, firstName="F"),
        update("nowhere", fresh, joined__99=True),
        create("new", "new@x.io", joined__2=True),
    )
    assert codes(results) == {"other": "consent", "bounced": "consent", "nowhere": "list"}
    assert raw(results["fresh"])["joined"] == {"2": True}
    assert len(ac.store.imports) == 1
    assert raw(results["left"])["joined"] == {"2": True}  # they were on it once
    lists = {row["email"]: row["lists"] for row in ac.all("contacts")}
    assert (lists["fresh@x.io"], lists["new@x.io"]) == ({ac.other_list: "1"}, {ac.other_list: "1"})
    assert (lists["left@x.io"], lists["other@x.io"], lists["bounced@x.io"]) == (
        {ac.other_list: "2"}, {ac.list: "2"}, {},
    )  # fmt: skip
    assert not [line for line in ac.log if line.path.endswith("contactLists") and line.method == "POST"]


def test_who_leaves_while_being_put_on_a_list_stays_off(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    """Between our look and the import: the import itself puts nobody back."""
    person = ac.put("contacts", {"email": "a@x.io"})
    take = ac.store.take_in

    def leave_first(lag: float) -> None:
        if any(one["status"] == "waiting" for one in ac.store.imports):
            ac.store.list_status(ac.store.rows["contacts"][int(person)], ac.other_list, "2")
        take(lag)

    ac.store.take_in = leave_first  # type: ignore[method-assign]
    result = pushed(connector, update("k", person, joined__2=True))["k"]
    assert result.error is None
    assert ac.get("contacts", person)["lists"] == {ac.other_list: "2"}


def test_what_cannot_be_written_is_refused_before_any_call(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    person = ac.put("contacts", {"email": "a@x.io"})
    connector.describe("contacts")
    results = pushed(
        connector,
        update("hash", person, hash="x"),
        update("field", person, fields__NO_SUCH="x"),
        update("list", person, **{"lists.99": "unsubscribed"}),
    )
    assert codes(results) == {"hash": "read_only", "field": "unknown_field", "list": "list"}
    assert not [line for line in ac.log if line.method != "GET"]
    [result] = connector.push([Operation("d", Verb.UPDATE, "accounts", {"name": "x"}, id="1")], [])
    assert result.error is not None
    assert result.error.code == "read_only"


def test_refusals_have_a_code_and_no_value(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    person = ac.put("contacts", {"email": "a@x.io"})
    ac.put("contacts", {"email": "taken@x.io"})
    results = pushed(
        connector,
        update("taken", person, email="taken@x.io"),
        create("wrong", "no address"),
        update("away", "99", firstName="x"),
        update("away_tag", "99", tags__t=True),
        update("away_off", "99", tags__t=False),
        update("good", person, firstName="Good"),
    )
    assert codes(results) == {
        "taken": "duplicate", "wrong": "field_invalid", "away": "gone", "away_tag": "gone", "away_off": "gone",
    }  # fmt: skip
    assert results["taken"].error is not None
    assert results["taken"].error.field == "email"
    assert not [
        key for key, result in results.items() if "x.io" in str(result.error) or "no address" in str(result.error)
    ]
    assert ac.get("contacts", person)["firstName"] == "Good"


@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.NO_ANSWER, FaultKind.TRUNCATED, FaultKind.HTML])
def test_an_upsert_whose_answer_is_lost_is_asked_again(
    ac: ActiveCampaignSandbox, connector: Connector, kind: FaultKind
) -> None:
    ac.inject(kind, "POST /api/3/contact/sync")
    assert pushed(connector, create("k", "a@x.io", firstName="A"))["k"].error is None
    assert [row["email"] for row in ac.all("contacts")] == ["a@x.io"]


def test_an_upsert_whose_answer_stays_lost_is_in_doubt_and_found(
    ac: ActiveCampaignSandbox, connector: Connector
) -> None:
    ac.inject(FaultKind.LOST_ANSWER, "POST /api/3/contact/sync", times=6)
    results = pushed(connector, create("lost", "lost@x.io"), create("next", "next@x.io"))
    assert isinstance(results["lost"].error, InDoubt)
    assert results["next"].created
    assert connector.read("contacts", "email", ["lost@x.io"], FIELDS).keys() == {"lost@x.io"}
    assert len(ac.all("contacts")) == 2


def test_a_look_afterwards_that_fails_takes_nothing_back(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    person = ac.put("contacts", {"email": "a@x.io"})
    ac.inject(FaultKind.ANSWER, "GET /api/3/contacts$", times=6, answer=Answer(500))
    result = pushed(connector, update("k", person, firstName="A"))["k"]
    assert (result.id, result.record, result.error) == (person, None, None)


def test_what_would_meet_the_next_one_as_well_stops_all(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ids = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(30)]
    ac.inject(FaultKind.ANSWER, "PUT", skip=1, times=99, answer=Answer(429, b"", {"Retry-After": "120"}))
    results = pushed(connector, *(update(id, id, firstName="N") for id in ids))
    assert results[ids[0]].error is None
    assert {type(result.error) for key, result in results.items() if key != ids[0]} == {RetryLater}
    assert len([line for line in ac.log if line.method == "PUT"]) == 1
    ac.forbidden.add("contacts")
    ac.faults.clear()
    results = pushed(connector, *(update(id, id, firstName="N") for id in ids))
    assert {type(result.error) for result in results.values()} == {PermissionMissing}


# away


WRONG = [Answer.of(None, 503), Answer.of(None, 401), Answer.of({"message": "You do not have permission"}, 403)]
WRONG += [
    Answer.of({"message": "wrong"}, 400),
    Answer.of(None, 404),
    Answer(200, b"[]", {"content-type": "application/json"}),
]


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: str(answer.status))
@pytest.mark.parametrize("step", ["GET .*/tags", "POST .*/contactTags", "POST .*/contactLists"])
def test_who_was_written_is_in_doubt_whatever_befalls_what_follows(
    ac: ActiveCampaignSandbox, connector: Connector, step: str, answer: Answer
) -> None:
    """Tags and lists are other calls, after the contact's own."""
    person = ac.put("contacts", {"email": "a@x.io", "lists": {ac.list: "1"}})
    ac.inject(FaultKind.ANSWER, step, answer=answer, times=99)
    results = pushed(
        connector,
        create("c", "new@x.io", firstName="N", tags__vip=True),
        update("u", person, firstName="New", tags__vip=True, consent="unsubscribed"),
    )
    assert ac.get("contacts", person)["firstName"] == "New"
    unread = answer.status == 200 and step != "GET .*/tags"  # a tag, a list: nothing of their answers is needed
    assert isinstance(results["u"].error, InDoubt) != unread
    assert isinstance(results["c"].error, InDoubt) == (not unread and step != "POST .*/contactLists")


@pytest.mark.parametrize("answer", WRONG[:5], ids=lambda answer: str(answer.status))
def test_who_was_written_and_is_not_put_on_a_list_is_in_doubt(
    ac: ActiveCampaignSandbox, connector: Connector, answer: Answer
) -> None:
    """Where it is all that was asked for, nothing was done: it is refused, or was never sent."""
    person = ac.put("contacts", {"email": "a@x.io"})
    ac.inject(FaultKind.ANSWER, "POST .*/import/bulk_import", answer=answer, times=99)
    results = pushed(
        connector, create("c", "new@x.io", joined__2=True), update("u", person, firstName="N", joined__2=True)
    )
    assert {type(result.error) for result in results.values()} == {InDoubt}
    alone = pushed(connector, update("a", person, joined__2=True))["a"].error
    assert alone is not None
    assert isinstance(alone, InDoubt) == (answer.status == 503)


def test_who_may_not_be_put_on_a_list_is_refused_before_anything_is_written(
    ac: ActiveCampaignSandbox, connector: Connector
) -> None:
    left = ac.put("contacts", {"email": "left@x.io", "lists": {ac.list: "2"}})
    results = pushed(connector, update("u", left, firstName="New", joined__2=True))
    assert codes(results) == {"u": "consent"}
    assert ac.get("contacts", left)["firstName"] != "New"


def test_contacts_are_deleted_for_good_and_once(ac: ActiveCampaignSandbox, connector: Connector) -> None:
    ids = [ac.put("contacts", {"email": f"p{number}@x.io"}) for number in range(3)]
    ac.inject(FaultKind.LOST_ANSWER, f"DELETE /api/3/contacts/{ids[0]}")
    operations = [
        Operation("a", Verb.ARCHIVE, "contacts", {}, id=ids[0]),
        Operation("e", Verb.ERASE, "contacts", {}, id=ids[1], match={"email": "p1@x.io"}),
        Operation("n", Verb.ERASE, "contacts", {}, id="99"),
    ]
    results = list(connector.push(operations, []))
    assert [(result.key, result.id, result.error) for result in results] == [
        ("a", ids[0], None), ("e", ids[1], None), ("n", "99", None),
    ]  # fmt: skip
    assert [row["id"] for row in ac.all("contacts")] == [ids[2]]
    ac.forbidden.add("contacts")
    [result] = connector.push([Operation("x", Verb.ERASE, "contacts", {}, id=ids[2])], [])
    assert isinstance(result.error, PermissionMissing)
