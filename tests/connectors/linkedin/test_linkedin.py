"""The LinkedIn connector over its sandbox, over real sockets: leads in, log-in, limits, webhooks."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from config.clock import ManualClock, stamp
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors import registry
from connectors.api import Connector, Gone, Operation, Request, Verb
from connectors.linkedin import client as wire
from connectors.linkedin import pull as pulling
from connectors.linkedin.sandbox import AD_ACCOUNT, INSTANCE, PAGE, LinkedInSandbox
from connectors.linkedin.sandbox_leads import signed
from connectors.linkedin.sandbox_login import APP
from connectors.linkedin.webhook import challenge
from connectors.sandbox import Answer, Call, FaultKind
from connectors.sound import Sound
from tests.connectors.surroundings import connect, pulled
from tests.fuzz.test_answers import changed

FIELDS = ["id", "email", "predefined.FIRST_NAME", "submittedAt", "testLead"]
ANA = {"FIRST_NAME": "Ana", "LAST_NAME": "Ruiz", "EMAIL": "ana@x.example", "JOB_TITLE": "Chief"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def linkedin(clock: ManualClock) -> Iterator[LinkedInSandbox]:
    with LinkedInSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, LinkedInSandbox)
        yield sandbox


@pytest.fixture
def connector(linkedin: LinkedInSandbox, clock: ManualClock) -> Iterator[Connector]:
    made = opened(linkedin, clock)
    yield made
    made.close()


def opened(linkedin: LinkedInSandbox, clock: ManualClock, *, renewed: bool = False, **settings: Any) -> Connector:
    told = linkedin.renewed() if renewed else linkedin.account()["auth"]
    secret = ("access_token", "refresh_token", "client_secret")
    auth = {name: Secret(value) if name in secret else value for name, value in told.items()}
    return connect(linkedin, clock, auth=auth, **settings)


def person(number: int) -> dict[str, str]:
    return {"FIRST_NAME": f"P{number}", "LAST_NAME": "X", "EMAIL": f"p{number}@x.example"}


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]


# leads


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


# webhooks


def receiver(connector: Connector, got: list[tuple[str, str]]) -> Any:
    """Somebody's endpoint: answers challenges, verifies deliveries."""

    def receive(method: str, url: str, headers: Any, body: bytes) -> tuple[int, Any]:
        if method == "GET":
            query = dict(part.split("=") for part in url.partition("?")[2].split("&"))
            return 200, challenge(query, APP["client_secret"])
        got.extend((n.object, n.id) for n in connector.verify(Request(method, url, headers, body)))
        return 200, None

    return receive


def test_deliveries_point_at_responses_and_come_twice(linkedin: LinkedInSandbox, connector: Connector) -> None:
    linkedin.hook()
    got: list[tuple[str, str]] = []
    linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, got)) == 0  # not challenged yet
    assert linkedin.challenge_hooks(receiver(connector, got)) == [200]
    id = linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, got)) == 2
    assert got == [("leads", id), ("submissions", id)] * 2


def test_a_deletion_is_told_on_by_the_next_pull_and_once(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    linkedin.hook()
    linkedin.challenge_hooks(receiver(connector, []))
    kept, gone = linkedin.submit(ANA), linkedin.submit(person(1))
    clock.advance(3600)
    _, cursor = pulled(connector, "leads", None, FIELDS)
    _, activities = pulled(connector, "submissions", None, [])
    clock.advance(3600)
    linkedin.remove("leads", gone)
    linkedin.deliver(receiver(connector, []))
    assert connector.read("leads", "id", [gone, kept, "no"], FIELDS)[gone].gone is Gone.ERASED
    clock.advance(60)
    records, cursor = pulled(connector, "leads", cursor, FIELDS)
    assert [(record.id, record.gone) for record in records] == [(gone, Gone.ERASED)]
    assert [r.gone for r in pulled(connector, "submissions", activities, [])[0]] == [Gone.ERASED]
    clock.advance(3600)
    _, cursor = pulled(connector, "leads", cursor, FIELDS)
    clock.advance(3600)
    assert pulled(connector, "leads", cursor, FIELDS)[0] == []


def test_a_hook_that_misses_three_challenges_is_closed(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    linkedin.hook()
    linkedin.challenge_hooks(receiver(connector, []))
    for _ in range(2):
        assert linkedin.challenge_hooks(lambda *call: (0, None)) == []  # not due yet
        clock.advance(7200)
        linkedin.challenge_hooks(lambda *call: (0, None))
    linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, [])) == 2  # two misses are forgiven
    clock.advance(7200)
    linkedin.challenge_hooks(lambda *call: (500, None))
    linkedin.submit(ANA)
    assert linkedin.deliver(receiver(connector, [])) == 0


def test_deliveries_are_believed_by_their_signature_only(linkedin: LinkedInSandbox, connector: Connector) -> None:
    body = orjson.dumps({"type": "LEAD_ACTION", "leadGenFormResponse": "urn:li:leadGenFormResponse:a-1"})
    good = signed(body, APP["client_secret"])
    assert [n.id for n in connector.verify(Request("POST", "u", {"x-li-signature": good}, body))] == ["a-1", "a-1"]
    plain = hmac.new(APP["client_secret"].encode(), body, "sha256").hexdigest()
    for headers in ({}, {"X-LI-Signature": plain}, {"X-LI-Signature": f"hmacsha256={good}"}, {"X-LI-Signature": "ä"}):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", "u", headers, body))
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", {"X-LI-Signature": good}, body + b" "))
    other = orjson.dumps([{"type": "ORGANIZATION_SOCIAL_ACTION"}, 7])
    told = {"X-LI-Signature": signed(other, APP["client_secret"])}
    assert connector.verify(Request("POST", "u", told, other)) == []


def test_a_challenge_is_answered_by_the_secret(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    told = challenge({"challengeCode": "890e4665-4dfe-4ab1-b689-ed553bceeed0", "applicationId": "1"}, "secret")
    assert told["challengeCode"] == "890e4665-4dfe-4ab1-b689-ed553bceeed0"
    assert len(told["challengeResponse"]) == 64
    assert told["challengeResponse"] == told["challengeResponse"].lower()
    with pytest.raises(AuthorizationLost):
        challenge({}, "secret")
    bare = connect(linkedin, clock, auth={"access_token": Secret(linkedin.login.first)})
    with pytest.raises(AuthorizationLost, match="client_secret"):
        bare.verify(Request("POST", "u", {}, b"{}"))
    bare.close()


# log-in, limits, errors


def test_check_tells_the_account_and_what_is_missing(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    connector = opened(linkedin, clock, organizations=PAGE)
    health = connector.check()
    assert (health.account_id, health.account_name) == (f"urn:li:sponsoredAccount:{AD_ACCOUNT}", "Cranberries")
    assert (health.missing_scopes, health.notes) == ((), ())
    linkedin.login.scopes = "r_ads,rw_conversions,r_organization_admin,w_organization_social"
    linkedin.roles[linkedin.owner] = "VIEWER"
    linkedin.page_roles = {}
    health = connector.check()
    assert health.missing_scopes == ("r_marketing_leadgen_automation",)
    assert health.extra_scopes == ("w_organization_social",)
    assert health.notes == (
        f"role VIEWER on ad account {AD_ACCOUNT} may not tell conversions",
        f"no approved role on page {PAGE}: its leads cannot be read",
    )
    with pytest.raises(PermissionMissing, match="products and scopes"):
        pulled(connector, "leads", None, FIELDS)
    assert len(pulled(connector, "campaigns", None, [])[0]) == 1  # only its object stops
    connector.close()


def test_the_end_of_a_token_is_told_a_week_ahead(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    connector = opened(linkedin, clock)
    clock.advance(52 * 86_400)
    assert connector.check().notes == ()
    clock.advance(2 * 86_400)
    assert connector.check().notes == ("the access token ends on 2027-01-22: connect the account again before that",)
    clock.advance(7 * 86_400)
    with pytest.raises(AuthorizationLost):
        connector.check()
    connector.close()
    bare = connect(linkedin, clock, auth={"access_token": Secret(linkedin.login.mint())})
    assert "auth.client_id" in bare.check().notes[0]
    bare.close()


def test_a_refresh_token_renews_for_a_year_and_no_longer(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    connector = opened(linkedin, clock, renewed=True)
    assert connector.check().notes == ()
    clock.advance(61 * 86_400)
    linkedin.submit(ANA)
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    linkedin.login.access.clear()  # revoked before its time
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    wrong = connect(linkedin, clock, auth={**linkedin.renewed(), "client_secret": Secret("wrong")})
    with pytest.raises(AuthorizationLost, match="client_secret"):
        wrong.check()
    wrong.close()
    clock.advance(300 * 86_400)
    assert "the refresh token ends on 2027-11-23" in connector.check().notes[0]
    assert "version" in connector.check().notes[1]
    clock.advance(61 * 86_400)
    with pytest.raises(AuthorizationLost, match="log-in"):
        connector.check()
    connector.close()


def test_a_refused_token_says_why(linkedin: LinkedInSandbox, connector: Connector) -> None:
    linkedin.login.revoked.append(linkedin.login.first)
    with pytest.raises(AuthorizationLost, match="revoked"):
        pulled(connector, "leads", None, FIELDS)
    linkedin.login.revoked.clear()
    linkedin.roles = {}
    with pytest.raises(Misconfigured, match=f"no ad account {AD_ACCOUNT}"):
        connector.check()
    with pytest.raises(PermissionMissing, match="roles on the ad account"):  # told as a 401, too
        pulled(connector, "leads", None, FIELDS)


def test_the_version_stands_in_one_place_and_its_end_is_an_error_with_a_fix(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    pulled(connector, "leads", None, FIELDS)
    assert registry.facts("linkedin").api == wire.VERSION
    linkedin.sunset.append(wire.VERSION)
    with pytest.raises(Misconfigured, match="Install a newer Closedloop"):
        pulled(connector, "leads", None, FIELDS)
    assert clock.now().date() < wire.SUNSET


def test_the_version_goes_to_marketing_calls_and_to_no_other(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    seen: dict[str, tuple[str | None, str | None]] = {}

    def look(call: Call) -> Answer:
        told = call.headers.get("linkedin-version"), call.headers.get("x-restli-protocol-version")
        seen[call.path.split("/")[1]] = told
        return linkedin.answer(call)

    linkedin.inject(FaultKind.ANSWER, times=9, answer=look)
    pulled(partner, "submissions", None, [])
    pulled(partner, "crm_flags", None, [])
    assert seen == {"rest": (wire.VERSION, "2.0.0"), "v2": (None, "2.0.0")}
    partner.close()


def test_the_token_is_asked_about_with_the_app_s_secret(linkedin: LinkedInSandbox, connector: Connector) -> None:
    connector.check()
    [line] = [line for line in linkedin.log if line.path == "/oauth/v2/introspectToken"]
    assert dict(parse_qsl(line.body.decode())) == {**APP, "token": linkedin.login.first}


def test_a_missing_version_is_refused_as_by_linkedin(linkedin: LinkedInSandbox) -> None:
    headers = {"authorization": f"Bearer {linkedin.login.first}", "x-restli-protocol-version": "2.0.0"}
    answer = linkedin.answer(Call("GET", "/rest/leadForms", {}, headers, b""))
    assert (answer.status, orjson.loads(answer.body)["code"]) == (400, "VERSION_MISSING")


def test_the_day_s_quota_closes_its_endpoint_until_midnight(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    linkedin.submit(ANA)
    linkedin.daily["leadFormResponses"] = 1
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1
    with pytest.raises(QuotaExhausted) as told:
        pulled(connector, "leads", None, FIELDS)
    assert told.value.until == datetime(2026, 11, 24, tzinfo=UTC)
    assert clock.now() < datetime(2026, 11, 23, 10, 1, tzinfo=UTC)  # short retries
    before = connector.calls
    with pytest.raises(QuotaExhausted):
        pulled(connector, "submissions", None, [])
    assert connector.calls == before  # known to be closed
    assert len(pulled(connector, "campaigns", None, [])[0]) == 1  # others are open
    clock.advance(14 * 3600)
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1


def test_broken_answers_are_asked_again(linkedin: LinkedInSandbox, connector: Connector) -> None:
    linkedin.submit(ANA)
    for kind in (FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.NO_ANSWER, FaultKind.LOST_ANSWER):
        linkedin.inject(kind, "GET /rest/leadFormResponses")
    linkedin.inject(FaultKind.ANSWER, "GET /rest/leadFormResponses", answer=Answer(502, b"<html>"))
    assert len(pulled(connector, "leads", None, FIELDS)[0]) == 1


def test_what_is_missing_is_named(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.access_token"):
        connect(linkedin, clock, auth={"client_id": "x", "refresh_token": Secret("y")})
    with pytest.raises(Misconfigured, match=r"settings\.ad_accounts"):
        opened(linkedin, clock, ad_accounts="")
    with pytest.raises(Misconfigured, match="no lead type WEBINAR"):
        opened(linkedin, clock, lead_types="sponsored, webinar")
    with pytest.raises(Misconfigured, match=r"EVENT need settings\.organizations"):
        opened(linkedin, clock, lead_types="EVENT")
    pages = opened(linkedin, clock, ad_accounts="", organizations=PAGE, lead_types="EVENT")
    assert pages.pull("campaigns", None, []) is not None
    pages.close()


def test_other_objects_are_not_written(connector: Connector) -> None:
    [result] = connector.push([Operation("k", Verb.UPDATE, "leads", {"email": "x"}, id="1")], [])
    assert isinstance(result.error, RecordRejected)
    assert result.error.code == "read_only"


# Sales Navigator's closed interfaces


def test_validation_of_crm_data_is_for_partners_and_takes_its_time(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    before = connector.calls
    assert pulled(connector, "crm_flags", None, [])[0] == []  # switched off
    assert connector.calls == before
    with pytest.raises(Misconfigured, match="crm_instance"):
        opened(linkedin, clock, sales_navigator_partner=True)
    linkedin.flag("003A")
    clock.advance(60)
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    assert "SNAP partners" in partner.check().notes[0]
    records, cursor = pulled(partner, "crm_flags", None, [])
    assert records == []
    clock.advance(600)
    linkedin.flag("003B", "Lead")
    records, cursor = pulled(partner, "crm_flags", cursor, [])
    assert records == []
    clock.advance(1800)
    records, cursor = pulled(partner, "crm_flags", cursor, [])
    assert [raw["salesforceId"] for raw in raws(records)] == ["003A"]
    assert raws(records)[0]["flag"] == "not at company (LinkedIn)"
    _, cursor = pulled(partner, "crm_flags", cursor, [])
    clock.advance(1801)
    assert [record.id for record in pulled(partner, "crm_flags", cursor, [])[0]] == ["003B"]
    _, cursor = pulled(partner, "crm_flags", cursor, [])
    clock.advance(1801)
    _, cursor = pulled(partner, "crm_flags", cursor, [])
    clock.advance(1801)
    assert pulled(partner, "crm_flags", cursor, [])[0] == []  # a file of its head alone
    linkedin.partner = False
    with pytest.raises(PermissionMissing):
        pulled(partner, "crm_flags", None, [])
    partner.close()


def test_an_export_that_fails_or_grows_old_is_made_anew(
    linkedin: LinkedInSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    for number in range(3):
        linkedin.flag(f"003{number}")
    clock.advance(60)
    linkedin.exports.fails, linkedin.exports.per_file = True, 2
    _, cursor = pulled(partner, "crm_flags", None, [])
    clock.advance(3600)
    _, cursor = pulled(partner, "crm_flags", cursor, [])  # failed: another is asked for
    clock.advance(26 * 3600)
    _, cursor = pulled(partner, "crm_flags", cursor, [])  # its addresses have ended
    clock.advance(3600)
    pages = list(partner.pull("crm_flags", cursor, []))
    assert [[record.id for record in page.records] for page in pages] == [["0030", "0031"], ["0032"]]
    assert [record.id for record in pulled(partner, "crm_flags", pages[0].cursor, [])[0]] == ["0032"]
    assert not [line for line in linkedin.log if line.path.startswith("/ambry") and line.status != 200]
    partner.close()


def test_profiles_are_looked_up_by_the_crm_s_records_for_partners_only(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    with pytest.raises(PermissionMissing) as told:
        connector.read("crm_profiles", "id", ["003A"], [])
    for word in ("existing partner", "r_sales_nav_profiles", "CRM Sync", "sales_navigator_partner"):
        assert word in str(told.value.fix)
    linkedin.match("003A", "ACoAna")
    linkedin.match("003 B,(x)", "ACoBob")
    many = [f"00Q{number:03}" for number in range(60)]
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    before = partner.calls
    found = partner.read("crm_profiles", "id", ["003A", *many, "003 B,(x)", "003A"], [])
    assert partner.calls - before == 2
    assert [(id, orjson.loads(one.raw)["profile"]) for id, one in found.items()] == [
        ("003A", "https://www.linkedin.com/sales/people/ACoAna"),
        ("003 B,(x)", "https://www.linkedin.com/sales/people/ACoBob"),
    ]
    assert orjson.loads(found["003A"].raw)["salesforceId"] == "003A"
    assert "Photo" not in found["003A"].raw.decode()
    with pytest.raises(Misconfigured, match="linkedin profiles"):
        partner.pull("crm_profiles", None, [])
    linkedin.login.scopes = linkedin.login.scopes.replace(",r_sales_nav_profiles", "")
    assert any("r_sales_nav_profiles" in note for note in partner.check().notes)
    assert partner.check().missing_scopes == ()
    with pytest.raises(PermissionMissing) as told:
        partner.read("crm_profiles", "id", ["003A"], [])
    assert "salesNavigatorProfileAssociations" in str(told.value)
    assert "r_sales_nav_profiles" in str(told.value.fix)
    partner.close()
    other = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE, crm_partner="salesforce")
    linkedin.login.scopes += ",r_sales_nav_profiles"
    assert other.read("crm_profiles", "id", ["003A"], []) == {}  # the partner's word is another here
    other.close()


# the sandbox itself


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> LinkedInSandbox:
        sandbox = LinkedInSandbox(seed=4, clock=clock)
        sandbox.put("leads", ANA)
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.submit(person(1))
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state


def test_no_answer_about_a_lead_or_an_outcome_is_a_traceback(linkedin: LinkedInSandbox, clock: ManualClock) -> None:
    """As tests/fuzz does for every platform, with responses, an export and events at hand."""
    form = linkedin.ask("Big", [{"name": "Choice", "options": ["a", "b"]}])
    id = linkedin.submit({**ANA, "Choice": [1]}, form=form, consents=(True,))
    linkedin.flag("003A")
    linkedin.match("003A", "ACoAna")
    clock.advance(60)
    job = orjson.dumps({"since": 0, "job": linkedin.exports.start(0)}).decode()
    clock.advance(3600)
    event = {"event": "won", "event_id": "e", "at": "2026-11-20T10:00:00.000Z", "email": "a@x.example"}
    uses: list[Callable[[Connector], Any]] = [
        lambda made: list(made.pull("leads", None, FIELDS)),
        lambda made: list(made.pull("submissions", None, [])),
        lambda made: list(made.pull("crm_flags", job, [])),
        lambda made: made.read("crm_profiles", "id", ["003A", "003B"], []),
        lambda made: made.read("leads", "id", [id], [*FIELDS, "campaignName"]),
        lambda made: list(made.push([Operation("k", Verb.CREATE, "conversions", event)], ["consent"])),
    ]
    whole, honest, refused = linkedin.snapshot(), linkedin.after, 0
    made = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    for number in range(100):
        linkedin.restore(whole)
        random = Random(number)
        linkedin.after = lambda call, answer, random=random: changed(honest(call, answer), random)  # type: ignore[method-assign, misc]
        try:
            uses[number % len(uses)](Sound(made, "linkedin", "LinkedIn"))
        except ClosedloopError:
            refused += 1
    linkedin.after = honest  # type: ignore[method-assign]
    assert 0 < refused < 100
    made.close()


@pytest.mark.parametrize("code", ["", "hmacsha256=[]", "a=b", "x" * 65])
def test_nothing_that_a_delivery_could_be_signed_with_is_signed_for_a_challenge(code: str) -> None:
    """Anybody may ask: a challenge whose code is the signed text of a delivery would forge one."""
    with pytest.raises(AuthorizationLost):
        challenge({"challengeCode": code}, APP["client_secret"])
