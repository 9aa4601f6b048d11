"""Calendly held against what others recorded and what the vendor described: the replays and comparisons, as values.

`test_recorded.py` and `test_wire.py` judge them, and `measure` counts them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import orjson
import yaml

from config.clock import ManualClock
from config.secrets import Secret
from connectors.api import Connector, Operation, Verb
from connectors.calendly.client import uuid
from connectors.calendly.objects import answers
from connectors.calendly.sandbox import CalendlySandbox
from connectors.calendly.sandbox_login import PERSONAL
from connectors.sandbox import Answer, Call, Logged
from tests.connectors.recorded import differences, exchanges
from tests.connectors.surroundings import connect, pulled
from tests.connectors.truth import Truth
from tests.shared import shared

CLOCK = datetime(2026, 11, 23, 10, tzinfo=UTC)


@cache
def bodies() -> dict[str, Any]:
    """The recorded bodies by file name; none of them tells its request."""
    return {one["file"].rpartition("/")[2].rpartition(".")[0]: one["response_body"] for one in exchanges("calendly")}


@contextmanager
def world() -> Iterator[tuple[CalendlySandbox, Connector]]:
    clock = ManualClock(CLOCK)
    with CalendlySandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, CalendlySandbox)
        auth = {"mode": "token", "access_token": Secret(PERSONAL), "webhook_secret": Secret("x")}
        connector = connect(sandbox, clock, auth=auth)
        try:
            yield sandbox, connector
        finally:
            connector.close()


# the reading side


@dataclass(frozen=True, slots=True)
class Replay:
    """What the reading side made of recorded bodies: how many there were, the values in them that it told, and those
    that it lost (`file: member`)."""

    bodies: int
    values: int
    lost: tuple[str, ...]


USERS = ("user_001", "organization_memberships_001", "organization_memberships_002_page1",
         "organization_memberships_002_page2")  # fmt: skip
TYPES = ("event_types_001", "event_types_002_page1", "event_types_002_page1_user", "event_types_002_page2",
         "event_types_003", "event_type_001_user", "event_type_011_many_questions", "event_type_101_team",
         "event_type_201_no_profile")  # fmt: skip
EVENTS = ("scheduled_events_001", "scheduled_events_002_page1", "scheduled_events_002_page1_user",
          "scheduled_events_002_page2", "scheduled_event_001")  # fmt: skip
INVITEES = ("scheduled_event_invitees_101", "scheduled_event_invitees_201_page1", "scheduled_event_invitees_201_page2",
            "scheduled_event_invitee_301")  # fmt: skip
REFUSALS = ("error_400_invalid_grant", "error_404_not_found", "not_json")
LOGIN = ("refresh_token",)

_UNREAD = {
    "activity_log": "the audit log is not read",
    "cancel_event": "nothing is cancelled",
    "event_type_available_times": "free slots are not asked for",
    "no_show": "a no-show is read with its invitee; the mark's own body is held against the sandbox",
    "organization_invitation": "nobody is invited into the organization",
    "organization_membership_": "members come in lists",
    "routing_form": "routing forms are not read",
    "schedule_link": "no links are made",
    "schemas": "names of members, which the sandbox is held against",
    "webhook": "subscriptions are made by people; one is held against the sandbox",
}
"""Beginnings of recorded bodies that the reading side has no part in, and why."""


def unread() -> set[str]:
    return {file for file in bodies() if file.startswith(tuple(_UNREAD))}


def rows(body: Any) -> list[Any]:
    return body["collection"] if "collection" in body else [body["resource"]]


def alone(body: Any) -> dict[str, Any]:
    """The body as a whole list: what comes next was recorded apart."""
    return {"collection": rows(body), "pagination": {"count": len(rows(body)), "next_page": None}}


def told(sandbox: CalendlySandbox, path: str, body: Any) -> None:
    """Calendly answers the next call for `path` with a recorded body."""
    sandbox.inject("answer", f"GET {path}$", answer=Answer.of(body))


def replay() -> Replay:
    with world() as (sandbox, connector):
        lost: list[str] = []
        values: Counter[str] = Counter()
        for files, read in ((USERS, _users), (TYPES, _types), (EVENTS, _events), (INVITEES, _invitees)):
            for file in files:
                for name, kept in read(sandbox, connector, bodies()[file]):
                    values[file] += 1
                    lost += [] if kept else [f"{file}: {name}"]
        return Replay(len(values), values.total(), tuple(lost))


Kept = Iterator[tuple[str, bool]]
"""Each member of a recorded body, and whether it was told."""


def _whole(recorded: Any, raw: Any) -> Kept:
    for name, value in recorded.items():
        yield name, raw.get(name, ...) == value


def _users(sandbox: CalendlySandbox, connector: Connector, body: Any) -> Kept:
    if "resource" in body:
        told(sandbox, "/users/U001", body)
        found = connector.read("users", "id", ["U001"], [])
        yield from _whole(body["resource"], orjson.loads(found["U001"].raw))
        return
    told(sandbox, "/organization_memberships", alone(body))
    records, _ = pulled(connector, "users", None, [])
    yield "number", len(records) == len(rows(body))
    for record, row in zip(records, rows(body), strict=True):
        yield "id", record.id == uuid(row["user"]["uri"])
        yield from _whole(row["user"], orjson.loads(record.raw))


def _types(sandbox: CalendlySandbox, connector: Connector, body: Any) -> Kept:
    told(sandbox, "/event_types", alone(body))
    records, _ = pulled(connector, "event_types", None, [])
    yield "number", len(records) == len(rows(body))
    for record, row in zip(records, rows(body), strict=True):
        raw = orjson.loads(record.raw)
        yield from _whole(row, raw)
        yield "status", raw["status"] == ("active" if row["active"] else "off")


UNTOLD = {
    "uri": "is the record's id",
    "calendar_event": "the id in the host's own calendar",
    "event_guests": "guests booked nothing",
    "invitees_counter": "every person has a meeting of their own",
    "created_at": "the booking's own is told",
    "updated_at": "the booking's own is told",
    "location": "links and passwords for joining are for those who meet; its sort is told",
}
"""Members of an event that its meeting does not tell, and why."""


def _events(sandbox: CalendlySandbox, connector: Connector, body: Any) -> Kept:
    """Each with a recorded invitee; the events are told in the order of a sweep or not, which is all the same to it."""
    listed = alone(body)
    told(sandbox, "/scheduled_events", listed)
    [guest] = rows(bodies()["scheduled_event_invitees_101"])

    def invitees(call: Call) -> Answer:
        event = call.path.split("/")[2]
        mine = {**guest, "event": event, "uri": f"https://api.calendly.com/scheduled_events/{event}/invitees/INV001"}
        return Answer.of({"collection": [mine], "pagination": {"count": 1, "next_page": None}})

    sandbox.inject("answer", r"GET /scheduled_events/EV\w+/invitees$", times=len(rows(body)), answer=invitees)
    connector.pull("invitees", None, [])  # begins anew: nothing is kept of an event that was recorded twice
    records, _ = pulled(connector, "meetings", None, [])
    raws = {raw["event"]: raw for raw in (orjson.loads(record.raw) for record in records)}
    yield "number", set(raws) == {uuid(row["uri"]) for row in rows(body)}
    for row in rows(body):
        yield from _event(row, raws[uuid(row["uri"])])


def _event(row: Any, raw: Any) -> Kept:
    away = row.get("cancellation") or {}
    made = {
        "name": raw["name"] == row["name"],
        "start_time": raw["starts_at"] == row["start_time"],
        "end_time": raw["ends_at"] == row["end_time"],
        "status": (raw["state"] == "cancelled") == (row["status"] == "canceled"),
        "event_type": raw["event_type"] == uuid(row["event_type"]),
        "event_memberships": raw["host"] == uuid(row["event_memberships"][0]["user"]),
        "cancellation": (raw["cancelled_by"], raw["reason"]) == (away.get("canceler_type"), away.get("reason")),
    }
    for name in row:
        yield name, made.get(name, name in UNTOLD)


def _invitees(sandbox: CalendlySandbox, connector: Connector, body: Any) -> Kept:
    event = uuid(rows(body)[0]["event"])
    booked = {**rows(bodies()["scheduled_events_001"])[1], "uri": f"https://api.calendly.com/scheduled_events/{event}"}
    if "resource" in body:
        id = f"{event}:{uuid(body['resource']['uri'])}"
        told(sandbox, f"/scheduled_events/{event}/invitees/[^/]+", body)
        told(sandbox, f"/scheduled_events/{event}", {"resource": booked})
        records = list(connector.read("invitees", "id", [id], []).values())
    else:
        told(sandbox, "/scheduled_events", {"collection": [booked], "pagination": {"count": 1, "next_page": None}})
        told(sandbox, f"/scheduled_events/{event}/invitees", alone(body))
        records, _ = pulled(connector, "invitees", None, [])
    yield "number", len(records) == len(rows(body))
    for record, row in zip(records, rows(body), strict=True):
        yield from _invitee(row, record.id, orjson.loads(record.raw))


def _invitee(row: Any, id: str, raw: Any) -> Kept:
    whole = {name: value for name, value in row.items() if name not in ("uri", "event", "questions_and_answers")}
    yield from _whole(whole, raw)
    yield "uri", row["uri"].endswith(f"/scheduled_events/{id.replace(':', '/invitees/')}")
    yield "event", raw["event"] == uuid(row["event"])
    yield "questions_and_answers", raw["answers"] == dict(answers(row["questions_and_answers"]))


# the sandbox beside what was recorded, and beside the description


def ask(sandbox: CalendlySandbox, method: str, uri: str, body: Any = None, **query: str) -> Any:
    headers = {"authorization": f"Bearer {PERSONAL}"}
    sent = orjson.dumps(body) if body is not None else b""
    answer = sandbox.answer(Call(method, uri.removeprefix("https://api.calendly.com"), query, headers, sent))
    return orjson.loads(answer.body)


def ours(sandbox: CalendlySandbox) -> dict[str, Any]:
    """The sandbox's own answers, by the recorded body that each is to look like."""
    question = {"question": "Company name?", "answer": "Acme", "position": 0}
    start, form = "2026-12-01T15:00:00Z", "https://api.calendly.com/routing_form_submissions/F1"
    booked = sandbox.book("ana@x.example", start, questions_and_answers=[question], routing_form_submission=form)
    other = sandbox.book("bob@x.example", start, questions_and_answers=[question])
    sandbox.cancel(sandbox.move(booked, "2026-12-02T15:00:00Z"))
    events = sandbox.store.rows["events"]
    for event in events.values():
        told = {"email": "g@x.example", "created_at": sandbox.store.now(), "updated_at": sandbox.store.now()}
        event["event_guests"] = [told]
    invitee, away = (sandbox.get("invitees", id) for id in (other, booked))
    whose = {"organization": sandbox.get("users", sandbox.user)["current_organization"]}
    hook = sandbox.get("hooks", sandbox.hook("invitee.created"))["uri"]
    sandbox.oauth = True
    secrets = {name: str(value) for name, value in sandbox.account()["auth"].items()}
    form_of = "&".join(f"{name}={value}" for name, value in {**secrets, "grant_type": "refresh_token"}.items())
    login = [sandbox.answer(Call("POST", "/oauth/token", {}, {}, form_of.encode())) for _ in range(2)]
    return {
        "user_001": ask(sandbox, "GET", "/users/me"),
        "organization_memberships_001": ask(sandbox, "GET", "/organization_memberships", **whose),
        "event_types_001": ask(sandbox, "GET", "/event_types", **whose),
        "event_type_011_many_questions": ask(sandbox, "GET", f"/event_types/{sandbox.event_type}"),
        "scheduled_events_001": ask(sandbox, "GET", "/scheduled_events", **whose, status="canceled"),
        "scheduled_event_001": ask(sandbox, "GET", away["event"]),
        "scheduled_event_invitees_101": ask(sandbox, "GET", f"{invitee['event']}/invitees"),
        "scheduled_event_invitee_301": ask(sandbox, "GET", away["uri"]),
        "no_show_001": ask(sandbox, "POST", "/invitee_no_shows", {"invitee": invitee["uri"]}),
        "webhook_organization_001": ask(sandbox, "GET", hook),
        "webhooks_organization_001": ask(sandbox, "GET", "/webhook_subscriptions", **whose, scope="organization"),
        "error_404_not_found": ask(sandbox, "GET", "/scheduled_events/nosuch"),
        "refresh_token": orjson.loads(login[0].body),
        "error_400_invalid_grant": orjson.loads(login[1].body),
    }


def names_recorded() -> dict[str, set[str]]:
    """Members of the live lists, as another integration captured them in August 2026."""
    objects = bodies()["schemas"]["modules"]["root"]["objects"]
    return {name: set(told["fields"]) for name, told in objects.items()}


def unlike(told: dict[str, Any]) -> set[str]:
    """Members in which our answers differ from recorded ones, or that live lists have and ours have not."""
    found = {f"{file}{where}" for file, body in told.items() for where in differences(bodies()[file], body)}
    live = {
        "users/me": told["user_001"]["resource"],
        "organization_memberships": told["organization_memberships_001"]["collection"][0],
        "event_types": told["event_types_001"]["collection"][0],
        "scheduled_events": told["scheduled_events_001"]["collection"][0],
        "webhook_subscriptions": told["webhooks_organization_001"]["collection"][0],
    }
    captured = names_recorded()
    return found | {f"{name}.{member} is missing" for name in live for member in captured[name] - set(live[name])}


@cache
def spec() -> Any:
    """The vendor's description of April 2024."""
    text = shared("specs", "calendly", "openapi-speakeasy-2024-04.yaml").read_text(encoding="utf-8")
    return _nulled(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _nulled(schema: Any) -> Any:
    """`nullable` of OpenAPI 3.0 in the words of JSON Schema, and the description's own slips: an `enum` of one text,
    and times that YAML takes for times."""
    if isinstance(schema, list):
        return [_nulled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _nulled(value) for name, value in schema.items() if name != "nullable" and "example" not in str(name)}
    if isinstance(made.get("enum"), str):
        made["enum"] = [made["enum"]]
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") is True else made


DESCRIBED = {
    "user_001": "User",
    "organization_memberships_001": "OrganizationMembership",
    "event_types_001": "EventType",
    "scheduled_events_001": "Event",
    "scheduled_event_001": "Event",
    "scheduled_event_invitees_101": "Invitee",
    "scheduled_event_invitee_301": "Invitee",
    "no_show_001": "InviteeNoShow",
    "webhook_organization_001": "WebhookSubscription",
}
"""The description's name for what an answer holds."""


def undescribed(told: dict[str, Any]) -> set[str]:
    """Where our answers are not what the description says."""
    found = set()
    for file, name in DESCRIBED.items():
        check = jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **components()})
        for row in rows(told[file]):
            found |= {f"{name}.{'.'.join(map(str, e.path))}: {e.validator}" for e in check.iter_errors(row)}
    return found


def components() -> dict[str, Any]:
    return {"components": spec()["components"]}


EXPLAINED: dict[str, str] = {}
"""Differences between the sandbox and what was recorded or described, with their reasons."""


def compared() -> set[str]:
    with world() as (sandbox, _):
        told = ours(sandbox)
    return unlike(told) | undescribed(told)


# what is sent


def template(line: Logged) -> str:
    """The description's path of a call; '' where it has none."""
    for path in spec()["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), line.path) and ("{" not in path or "/me" not in line.path):
            return str(path)
    return ""


def toured() -> list[Logged]:
    """The calls of every sort of use."""
    with world() as (sandbox, connector):
        ids = [sandbox.book(f"p{n}@x.example", "2026-12-01T15:00:00Z", seats=n + 1) for n in range(2)]
        moved = sandbox.move(ids[0], "2026-12-02T15:00:00Z")
        connector.check()
        connector.describe("invitees")
        for object in ("users", "event_types", "invitees", "meetings"):
            _, cursor = pulled(connector, object, None, [])
            pulled(connector, object, cursor, [])
        for object, id in (("users", sandbox.user), ("event_types", sandbox.event_type), ("meetings", moved)):
            connector.read(object, "id", [id], [])
        connector.read("invitees", "email", ["p1@x.example"], [])
        list(connector.push([Operation("e", Verb.ERASE, "invitees", {}, id=ids[1])], []))
        return list(sandbox.log)


@dataclass(frozen=True, slots=True)
class Sent:
    """The kinds of calls that are made (`GET /users/me`), and what of them the description does not allow."""

    kinds: frozenset[str]
    invalid: tuple[str, ...]


def sent() -> Sent:
    kinds, invalid = set(), []
    for line in toured():
        path = template(line)
        kind = f"{line.method} {path or line.path}"
        kinds.add(kind)
        place = spec()["paths"].get(path, {}).get(line.method.lower())
        invalid += [f"{kind}: {what}" for what in (_wrong(line, place, path) if place else ["unknown"])]
    return Sent(frozenset(kinds), tuple(sorted(set(invalid))))


def _wrong(line: Logged, place: Any, path: str) -> Iterator[str]:
    """Query parameters by name and value, bodies by schema."""
    listed = [*place.get("parameters", ()), *spec()["paths"][path].get("parameters", ())]
    known = {row["name"]: row["schema"] for row in map(_resolved, listed)}
    for name, value in line.query.items():
        typed = float(value) if known.get(name, {}).get("type") in ("number", "integer") else value
        if name not in known or list(_check(known[name]).iter_errors(typed)):
            yield name
    if line.body:
        schema = place["requestBody"]["content"]["application/json"]["schema"]
        yield from (f"body: {error.validator}" for error in _check(schema).iter_errors(orjson.loads(line.body)))


def _resolved(parameter: Any) -> Any:
    reference = str(parameter.get("$ref", "")).rpartition("/")[2]
    return spec()["components"]["parameters"][reference] if reference else parameter


def _check(schema: Any) -> Any:
    return jsonschema.Draft202012Validator({**schema, **components()})


def page_tokens() -> list[str]:
    """Page tokens of recorded links, none of which has a member of its own."""
    links = [body["pagination"].get("next_page") for body in bodies().values() if "pagination" in body]
    return [parse_qs(urlsplit(link).query)["page_token"][0] for link in links if link]


def measure() -> Truth:
    read, calls, found = replay(), sent(), compared()
    return Truth(
        bodies=read.bodies,
        unread=len(read.lost),
        operations=len(calls.kinds),
        invalid=len(calls.invalid),
        differences=len(found),
        explained=len(found & set(EXPLAINED)),
    )
