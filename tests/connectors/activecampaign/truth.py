"""ActiveCampaign against truth that we did not write: recorded exchanges replayed, answers and requests compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jsonschema
import orjson

from config.clock import ManualClock
from config.errors import ClosedloopError
from config.secrets import Secret
from connectors.activecampaign.client import BASE, Client, Rows
from connectors.activecampaign.contacts import People
from connectors.activecampaign.objects import OBJECTS, Known, blank, moment, reader
from connectors.activecampaign.sandbox import KEY, ActiveCampaignSandbox
from connectors.api import Account, Surroundings
from connectors.sandbox import Answer, Call, FaultKind, Logged
from tests.connectors.recorded import Exchange, differences, exchanges
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.truth import Truth
from tests.shared import shared

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
HOST = "https://sandbox.api-us1.com"
RECORDS = ("accounts", "contacts", "deals", "users")
"""Objects of ours whose rows were recorded."""
LOOKED_UP = {
    "tags": ("tags", "tag"),
    "lists": ("lists", "name"),
    "dealStages": ("stages", "title"),
    "dealGroups": ("pipelines", "title"),
}
"""Lists behind names: path -> what of `Known` reads it, and the member that names."""
UNUSED = {
    "addresses": "postal addresses of senders",
    "accountContacts": "who belongs to which account comes along with contacts",
    "dealCustomFieldMeta/": "a deal's custom field alone; the list is read",
    "dealCustomFieldData/": "a value alone, and writing them: deals are read only",
    "dealGroups/": "a pipeline alone; the list is read",
    "dealStages/": "a stage alone; the list is read",
    "fieldOption": "choices of custom fields are not made here",
    "fieldRels": "which lists a custom field belongs to",
    "fieldValues": "values come along with contacts",
    "fields/": "a custom field alone; the list is read",
    "groups": "groups of users",
    "lists/": "a list alone; the list of them is read",
    "tags/": "a tag alone; the list of them is read",
}
"""Recorded paths that the connector never calls: only their answers' classes are checked."""


@contextmanager
def client() -> Iterator[tuple[ActiveCampaignSandbox, Client]]:
    """An empty account and a client of it."""
    clock = ManualClock(START)
    with ActiveCampaignSandbox(seed=1, clock=clock) as sandbox:
        assert isinstance(sandbox, ActiveCampaignSandbox)
        account = Account("activecampaign", "activecampaign", {}, {"calls_per_second": 1000}, sandbox.base_url)
        made = Client(account, Surroundings(clock, Budget(), Tokens()), HOST, Secret(KEY))
        try:
            yield sandbox, made
        finally:
            made.close()


def path_of(exchange: Exchange) -> str:
    return str(exchange["url"]).partition("?")[0].removeprefix("<API_ENDPOINT>").strip("/")


def recorded() -> list[Exchange]:
    return [one for one in exchanges("active_campaign") if one["method"]]


def unused(exchange: Exchange) -> bool:
    """Whether the connector never makes this call. Rows are deleted by one function, whatever they are."""
    path = path_of(exchange)
    written = exchange["method"] in ("POST", "PUT", "PATCH")
    made_here = ("contacts", "contact/sync", "contactTags", "tags", "deals")
    if written and not path.startswith(made_here):
        return True
    return exchange["method"] != "DELETE" and path.startswith(tuple(UNUSED)) and not _lists(exchange)


def _lists(exchange: Exchange) -> bool:
    return path_of(exchange) in (*LOOKED_UP, "fields", "dealCustomFieldMeta", "dealCustomFieldData")


# replaying


def replay(exchange: Exchange, sandbox: ActiveCampaignSandbox, made: Client) -> set[str]:
    """Put one recorded answer through what reads it; members that were lost or read as something else."""
    path, method, body = path_of(exchange), exchange["method"], exchange["response_body"]
    sandbox.faults.clear()

    def answer(call: Call) -> Answer:
        """The recorded one; behind its page there is no further row."""
        if not isinstance(body, dict):
            return Answer(exchange["status"])
        behind = call.query.get("offset", "0") != "0"
        empty: dict[str, Any] = {path: [], "meta": body.get("meta")} if behind else {}
        return Answer.of({**body, **empty}, exchange["status"])

    def told(line: str) -> None:
        sandbox.inject(FaultKind.ANSWER, f"^{line}$", times=9, answer=answer)

    if method == "DELETE":
        told(f"DELETE {BASE}/{path or 'x'}")
        made.delete(path or "x")
        return set()
    if method != "GET":
        return _replay_write(path, method, body, exchange["status"], told, made)
    told(f"GET {BASE}/{path}")
    if exchange["status"] == 404:
        return set() if made.found(path) is None else {f"{path} is found"}
    return _replay_read(path, body, made)


def _replay_write(
    path: str, method: str, body: Any, status: int, told: Callable[[str], None], made: Client
) -> set[str]:
    """Answers to writes: the row's id, and whether it is new."""
    if path.startswith("contactTags"):
        told(f"POST {BASE}/contactTags")
        made.tag("1", "1")
        return set()
    if path == "tags":
        told(f"POST {BASE}/tags")
        return _same(f"POST {path}", made.new_tag("x"), body["tag"]["id"])
    if path.endswith("notes") or "/notes/" in path:
        told(f"POST {BASE}/notes")
        return _same(f"POST {path}", made.note("1", "x"), body["note"]["id"])
    if path.startswith("deals"):  # not written; its figures are numbers there
        return rows_of("deals", [body["deal"]], [body["deal"]], made)
    if method == "PUT":
        told(f"PUT {BASE}/{path}")
        return _same(f"PUT {path}", dict(made.change(path.rpartition("/")[2], {})), body["contact"])
    told(f"POST {BASE}/contact/sync")
    row, created = made.sync({"email": "x@x.io"})
    return _same(f"POST {path}", (dict(row), created), (body["contact"], status == 201))


def _replay_read(path: str, body: Any, made: Client) -> set[str]:
    if path in RECORDS:
        rows = [row for page, _ in made.pages(path, path) for row in page.rows]
        return rows_of(path, rows, body[path], made)
    if path in LOOKED_UP:
        known, name = LOOKED_UP[path]
        return _same(path, getattr(Known(made), known), {row["id"]: row[name] for row in body[path]})
    if path == "fields":
        told = {tag: (one.id, one.type, one.label) for tag, one in Known(made).fields.items()}
        return _same(path, told, {row["perstag"]: (row["id"], row["type"], row["title"]) for row in body["fields"]})
    if path == "dealCustomFieldMeta":
        told = {tag: (one.id, one.type, one.label) for tag, one in Known(made).deal_fields.items()}
        rows = body[path]
        wanted = {row["personalization"]: (row["id"], row["fieldType"], row["fieldLabel"]) for row in rows}
        return _same(path, told, wanted)
    if path == "dealCustomFieldData" or path.endswith("contactTags"):
        name = path.rpartition("/")[2]
        return _same(path, list(made.all(path, name)), body[name])
    object = path.partition("/")[0]
    if object == "contactTags":
        return _same(path, (made.found(path) or {}).get("contactTag"), body["contactTag"])
    one = OBJECTS[object].one
    answer = made.found(path) or {}
    if object == "contacts":
        people = People(made, Known(made), ("id", *body["contact"]), extra=("contactLists", "accountContacts"))
        [record] = people.records(Rows([answer["contact"]], answer))
        return _lost(path, orjson.loads(record.raw), body["contact"], record.version, "udate")
    return rows_of(object, [answer[one]], [body[one]], made)


def rows_of(object: str, rows: list[Any], wanted: list[Any], made: Client) -> set[str]:
    """Every member of every row, through the reader of the object."""
    lost = _same(f"{object} ids", [row["id"] for row in rows], [row["id"] for row in wanted])
    for row, told in zip(rows, wanted, strict=False):
        record = reader(object, list(told), Known(made))(row)
        lost |= _lost(object, orjson.loads(record.raw), told, record.version, OBJECTS[object].stamped)
    return lost


def _lost(place: str, raw: Mapping[str, Any], row: Mapping[str, Any], version: str, stamped: str) -> set[str]:
    lost = {f"{place}.{name}" for name, value in row.items() if raw.get(name) != blank(value)}
    return lost | _same(f"{place} version", version, moment(row.get(stamped)))


def _same(place: str, told: Any, wanted: Any) -> set[str]:
    return set() if told == wanted else {place}


def replay_all() -> tuple[int, set[str]]:
    """How many recorded answers were replayed, and what was lost on the way."""
    lost: set[str] = set()
    bodies = 0
    with client() as (sandbox, made):
        for one in recorded():
            if not one["url"].startswith("http") and not unused(one):
                bodies += 1
                try:
                    lost |= replay(one, sandbox, made)
                except ClosedloopError as error:
                    lost.add(f"{one['method']} {path_of(one)}: {type(error).__name__}")
    return bodies, lost


# shapes

EXPLAINED = {
    ".meta.currencies is list, ours dict": "an empty map is shown as []: no deal stood there when that was recorded"
}
"""Members in which the sandbox's answers differ from recorded ones, with the reason."""


def asked(sandbox: ActiveCampaignSandbox, method: str, path: str, body: Any = None) -> Any:
    headers = {"api-token": KEY}
    content = orjson.dumps(body) if body is not None else b""
    path, _, query = path.partition("?")
    call = Call(method, f"{BASE}/{path}", {}, headers, content, f"{BASE}/{path}?{query}")
    return orjson.loads(sandbox.answer(call).body)


@cache
def shapes() -> Mapping[str, frozenset[str]]:
    """By call: where the sandbox's answer differs in shape from the recorded one."""
    with client() as (sandbox, _):
        ours = _answers(sandbox)
    found: dict[str, frozenset[str]] = {}
    for one in recorded():
        name = f"{one['method']} {re.sub(r'[0-9]+', '1', path_of(one))} {one['status']}"
        if name in ours:
            found[name] = frozenset(differences(one["response_body"], ours[name])) | found.get(name, frozenset())
    return found


def _answers(sandbox: ActiveCampaignSandbox) -> dict[str, Any]:
    """The sandbox's answers to the calls that were recorded, by method, path and status."""
    person = sandbox.put("contacts", {"email": "a@x.io", "tags": ["t"]})
    sandbox.put("accounts", {"name": "A"})
    sandbox.hidden.add(sandbox.deal("d", [person], currency="eur"))
    field = sandbox.put("dealCustomFieldMeta", {"fieldLabel": "f", "personalization": "DEAL_F"})
    sandbox.put("dealCustomFieldData", {"dealId": 1, "customFieldId": int(field), "fieldValue": "x"})
    contact = {"contact": {"email": "b@x.io", "firstName": "B"}}
    gets = (
        "contacts",
        "contacts/1",
        "accounts",
        "accounts/1",
        "deals",
        "deals/1",
        "users",
        "users/1",
        "users/me",
        "tags",
    )
    lists = ("lists", "fields", "dealStages", "dealGroups", "dealCustomFieldMeta", "dealCustomFieldData", "contactTags")
    found = {f"GET {path} 200": asked(sandbox, "GET", path) for path in (*gets, *lists, "contacts/1/contactTags")}
    found["POST contacts 201"] = asked(sandbox, "POST", "contacts", contact)
    found["POST contact/sync 200"] = asked(sandbox, "POST", "contact/sync", contact)
    found["PUT contacts/1 200"] = asked(sandbox, "PUT", "contacts/1", {"contact": {"firstName": "C"}})
    found["POST contactTags 201"] = asked(sandbox, "POST", "contactTags", {"contactTag": {"contact": 1, "tag": 1}})
    found["POST tags 201"] = asked(sandbox, "POST", "tags", {"tag": {"tag": "new", "tagType": "contact"}})
    found["DELETE contactTags/1 200"] = asked(sandbox, "DELETE", "contactTags/1")
    found["DELETE contactTags/1 404"] = asked(sandbox, "DELETE", "contactTags/1")
    found["DELETE contacts/1 200"] = asked(sandbox, "DELETE", "contacts/1")
    found["GET tags/1 404"] = asked(sandbox, "GET", "tags/99")
    return found


# requests against the description


@cache
def spec() -> Any:
    """The published description, save that a new deal needs an account and a contact there, while it says of each of
    them that it is required where the other is not given."""
    told = orjson.loads(shared("specs", "activecampaign", "v3-original.json").read_bytes())
    body = told["paths"]["/deals"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body["properties"]["deal"]["required"].remove("account")
    return told


def template(line: Logged) -> str | None:
    """The described path that a call is of."""
    path = line.path.removeprefix(BASE)
    if path in spec()["paths"]:
        return path
    for known in spec()["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", known), path):
            return str(known)
    return None


def sent(log: list[Logged]) -> tuple[Counter[str], set[str]]:
    """Kinds of bodies that were sent and checked against their description, and those that do not fit it."""
    checked: Counter[str] = Counter()
    invalid: set[str] = set()
    for line in log:
        path = template(line)
        place = spec()["paths"].get(path, {}).get(line.method.lower(), {}).get("requestBody") if line.body else None
        if place is None:
            continue
        schema = place["content"]["application/json"]["schema"]
        checked[f"{line.method} {path}"] += 1
        try:
            jsonschema.validate(orjson.loads(line.body), schema)
        except jsonschema.ValidationError as error:
            invalid.add(f"{line.method} {path}: {error.json_path}")
    return checked, invalid


def measure() -> Truth:
    """How far ActiveCampaign was held against what others recorded and described."""
    from tests.connectors.activecampaign.test_wire import toured

    bodies, lost = replay_all()
    checked, invalid = sent(toured().log)
    differing = {difference for some in shapes().values() for difference in some}
    return Truth(bodies, len(lost), len(checked), len(invalid), len(differing), len(differing & set(EXPLAINED)))
