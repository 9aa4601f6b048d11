"""Zoho CRM held against what others recorded and what the vendor described: replays and comparisons, as values.

`test_recorded.py` and `test_wire.py` judge them, and `measure` counts them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jsonschema
import orjson
import pytest

from config.clock import ManualClock, stamp, unstamp
from config.errors import RecordRejected
from connectors.api import Connector, Operation, Verb
from connectors.sandbox import Answer, Call, FaultKind, Logged
from connectors.zoho import bulk_file
from connectors.zoho.errors import classify
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.recorded import differences, exchanges
from tests.connectors.surroundings import pulled
from tests.connectors.truth import Truth
from tests.connectors.zoho import tour
from tests.connectors.zoho.kit import lead, opened
from tests.shared import shared

Body = Any
Lost = Iterator[str]
"""What the reading side lost of a recorded body, in words."""

OTHER_PRODUCT = "Zoho Mail, another product with an API of its own"
LATEST = datetime(2026, 11, 23, 10, tzinfo=UTC)


@cache
def bodies() -> dict[str, Body]:
    """The recorded bodies by file name; none of them tells its request."""
    return {
        one["file"].partition("/")[2].partition("/")[2].removesuffix(".json"): one["response_body"]
        for one in exchanges("zoho")
    }


def unread() -> dict[str, str]:
    """Recorded bodies that the reading side has no part in, and why."""
    return {file: OTHER_PRODUCT for file in bodies() if file.startswith("internal/mail/")}


@contextmanager
def org() -> Iterator[tuple[ZohoSandbox, Connector, ManualClock]]:
    clock = ManualClock(LATEST)
    with ZohoSandbox(seed=1, clock=clock) as zoho:
        assert isinstance(zoho, ZohoSandbox)
        with closing(opened(zoho, clock)) as made:
            made.check()
            yield zoho, made, clock


def told(zoho: ZohoSandbox, line: str, body: Body, status: int = 200) -> None:
    """Zoho answers the next such call with a recorded body."""
    zoho.inject(FaultKind.ANSWER, line, answer=Answer.of(body, status))


# the reading side


@dataclass(frozen=True, slots=True)
class Replay:
    """What the reading side made of recorded bodies: how many, and what of them it lost (`file: what`)."""

    bodies: int
    lost: tuple[str, ...]


def replay() -> Replay:
    lost: list[str] = []
    for file, read in READERS.items():
        with org() as (zoho, made, clock):
            lost += [f"{file}: {what}" for what in read(zoho, made, clock, bodies()[file])]
    return Replay(len(READERS), tuple(lost))


def _contacts(zoho: ZohoSandbox, made: Connector, clock: ManualClock, body: Body) -> Lost:
    """By list, and as the rows of a query."""
    fields = [
        "id",
        "Full_Name",
        "Assistant",
        "Created_Time",
        *(f"Created_By.{name}" for name in ("id", "name", "email")),
    ]
    ids = [row["id"] for row in body["data"]]
    told(zoho, "GET /crm/v8/Contacts$", body)
    told(zoho, "POST /crm/v8/coql", body)
    by_id = made.read("contacts", "id", ids, fields)
    listed = {record.id: record for record in pulled(made, "contacts", None, fields)[0]}
    for row in body["data"]:
        for found in (by_id, listed):
            raw = orjson.loads(found[row["id"]].raw)
            yield from (name for name, value in row.items() if raw.get(name, ...) != value)


def _nothing(zoho: ZohoSandbox, made: Connector, clock: ManualClock, body: Body) -> Lost:
    told(zoho, "POST /crm/v8/coql", body)
    if pulled(made, "calls", None, ["Subject"])[0]:
        yield "a call that is not there"


def _fields(zoho: ZohoSandbox, made: Connector, clock: ManualClock, body: Body) -> Lost:
    """The live fields, and what the stages mean."""
    told(zoho, "GET /crm/v8/settings/fields", body)
    fields = made.describe("deals").fields
    yield from (row["api_name"] for row in body["fields"] if row["api_name"] not in fields)
    if fields["Owner.id"].type != "reference" or fields["Stage"].type != "choice":
        yield "types"
    [stage] = [row for row in body["fields"] if row["api_name"] == "Stage"]
    picks = {pick["display_value"]: pick["forecast_type"] for pick in stage["pick_list_values"]}
    rows = [{"id": str(n), "Stage": name, "Modified_Time": zoho.store.now()} for n, name in enumerate(picks, 1)]
    told(zoho, "GET /crm/v8/settings/fields", body)
    told(zoho, "POST /crm/v8/coql", {"data": rows, "info": {"count": len(rows), "more_records": False}})
    for record in pulled(made, "deals", None, ["Stage", "Stage_Closed", "Stage_Won"])[0]:
        raw = orjson.loads(record.raw)
        kind = picks[raw["Stage"]]
        if (raw["Stage_Closed"], raw["Stage_Won"]) != (kind.startswith("Closed"), kind == "Closed Won"):
            yield f"the stage of forecast type {kind}"


def _written(object: str, verb: Verb) -> Callable[[ZohoSandbox, Connector, ManualClock, Body], Lost]:
    def read(zoho: ZohoSandbox, made: Connector, clock: ManualClock, body: Body) -> Lost:
        details = body["data"][0]["details"]
        module = {"leads": "Leads", "contacts": "Contacts"}[object]
        row = zoho.store.new(module, {"Last_Name": "R", "Email": "a@x.io"})
        kept = zoho.store.rows[module].pop(row["id"])
        zoho.store.rows[module][details["id"]] = {
            **kept,
            "id": details["id"],
            "Modified_Time": details["Modified_Time"],
        }
        told(zoho, f"P(OST|UT) /crm/v8/{module}", body, 201 if verb is Verb.CREATE else 200)
        id = details["id"] if verb is Verb.UPDATE else ""
        match = {"Email": "a@x.io"} if verb is Verb.CREATE else {}
        [result] = made.push([Operation("k", verb, object, {"Last_Name": "R"}, id=id, match=match)], ["Email"])
        if result.error is not None or result.id != details["id"]:
            yield "id"
        if result.record is None or result.record.version != stamp(unstamp(details["Modified_Time"])):
            yield "Modified_Time"

    return read


def _refusal(zoho: ZohoSandbox, made: Connector, clock: ManualClock, body: Body) -> Lost:
    error = classify(400, {}, body, None, clock)
    if not isinstance(error, RecordRejected) or error.code != body["code"]:
        yield "code"


READERS: Mapping[str, Callable[[ZohoSandbox, Connector, ManualClock, Body], Lost]] = {
    "test/contacts": _contacts,
    "test/calls": _nothing,
    "test/deals": _fields,
    "test/leads-write": _written("leads", Verb.CREATE),
    "test/updatecontact": _written("contacts", Verb.UPDATE),
    "test/arsenal": _refusal,
    "test/unsupportedread": _refusal,
}


# the sandbox's answers beside the recorded ones


def compared() -> dict[str, set[str]]:
    """The members in which the sandbox's answers differ from the recorded ones, by file."""
    with org() as (zoho, _, _):
        account = zoho.put("accounts", {"Account_Name": "A"})
        contact = zoho.put("contacts", {"Last_Name": "C", "Account_Name": account, "Assistant": "B"})
        row = {"Last_Name": "N", "Company": "C"}
        ours = {
            "test/contacts": _ask(zoho, "GET", "Contacts", fields="Full_Name,Assistant,Created_Time,Created_By"),
            "test/calls": _ask(zoho, "GET", "Calls", fields="Subject"),
            "test/deals": _ask(zoho, "GET", "settings/fields", module="Deals"),
            "test/leads-write": _ask(zoho, "POST", "Leads", {"data": [row]}),
            "test/updatecontact": _ask(zoho, "PUT", "Contacts", {"data": [{"id": contact, "Title": "T"}]}),
            "test/arsenal": _ask(zoho, "GET", "Arsenal", fields="id"),
            "test/unsupportedread": _ask(zoho, "GET", "Nosuch", fields="id"),
        }
    return {file: _unlike(bodies()[file], told) for file, told in ours.items()}


def _ask(zoho: ZohoSandbox, method: str, path: str, body: Body = None, **query: str) -> Body:
    token = next(reversed(zoho.login.access))
    headers = {"authorization": f"Zoho-oauthtoken {token}"}
    base = path if path.startswith("/") else f"/crm/v8/{path}"
    call = Call(method, base, query, headers, orjson.dumps(body) if body is not None else b"")
    answer = zoho.answer(call)
    return orjson.loads(answer.body) if answer.body else None


def _unlike(recorded: Body, ours: Body) -> set[str]:
    """Fields are compared by their names, anything else by its place."""
    if not isinstance(recorded, dict) or not isinstance(ours, dict):
        return {f"{type(recorded).__name__}, ours {type(ours).__name__}"}
    if "fields" not in recorded:
        return differences(recorded, ours)
    mine = {row["api_name"]: row for row in ours["fields"]}
    return set().union(
        *(differences(row, mine.get(row["api_name"], {}), row["api_name"]) for row in recorded["fields"])
    )


EXPLAINED = {
    (
        "test/calls",
        "dict, ours NoneType",
    ): "an empty list is 204 without a body by the description; the body is read, too",
}


# the vendor's description


@dataclass(frozen=True, slots=True)
class Checked:
    """What was held against the description, by operation, and what does not fit it."""

    checked: Counter[str]
    invalid: tuple[str, ...]


FILES = (
    "record", "coql", "notifications", "bulk-read", "users", "org", "fields", "layouts", "pipeline",
    "deal-contact-roles", "record-count", "recycle-bin", "upload", "bulk-write", "related-records",
)  # fmt: skip


@cache
def described() -> dict[str, tuple[Body, Body]]:
    """`METHOD /path` -> the operation, and the description that it stands in."""
    found: dict[str, tuple[Body, Body]] = {}
    for file in FILES:
        spec = orjson.loads(shared("specs", "zoho_crm", "harvested-v8", f"{file}.json").read_bytes())
        for path, deeds in spec["paths"].items():
            for method, operation in deeds.items():
                if method in ("get", "post", "put", "delete"):
                    found.setdefault(f"{method.upper()} {path}", (operation, spec))
    return found


@cache
def own() -> dict[str, tuple[Body, Body]]:
    """Of the bulk write the other description, which Zoho publishes: the one above knows of no key but the id, no
    lookup and no form of dates, and demands a callback. What it leaves to further files is not looked at."""
    text = shared("specs", "zoho_crm", "official-v8.0", "bulk_write.json").read_bytes()
    spec = orjson.loads(re.sub(rb'"\$ref":\s*"https://[^"]*"', b'"description": "elsewhere"', text))
    paths = spec["paths"]
    return {
        "POST /write": (paths["/crm/bulk/v8/write"]["post"], spec),
        "GET /write/{jobId}": (paths["/crm/bulk/v8/write/{job_id}"]["get"], spec),
    }


def _template(method: str, path: str) -> str:
    """The described operation of a call: of those that fit, the one with the fewest places left open."""
    path = re.sub(r"^/crm/(bulk/)?v8", "", path)
    fitting = [operation for operation in described() if _fits(operation, f"{method} {path}")]
    return min(fitting, key=lambda operation: operation.count("{"), default=f"{method} {path}")


def _fits(operation: str, line: str) -> bool:
    parts, open_ = line.split("/"), operation.split("/")
    return len(parts) == len(open_) and all(
        here == there or there.startswith("{") for here, there in zip(parts, open_, strict=True)
    )


@cache
def log() -> tuple[Logged, ...]:
    """All calls of the tour."""
    zoho, clock = tour.world()
    with zoho, pytest.MonkeyPatch.context() as patch:
        tour.small(patch)
        with closing(tour.connector(zoho, clock, zoho.base_url)) as made:
            tour.tour(made, zoho, clock)
        return tuple(line for line in zoho.log if line.path.startswith("/crm/"))


def sent() -> Checked:
    """The bodies that are sent, against the description of each."""
    checked: Counter[str] = Counter()
    invalid = []
    for line in log():
        name = _template(line.method, line.path)
        if not line.body or name == "POST /upload":  # a file
            continue
        operation, spec = own().get(name) or described()[name]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        checked[name] += 1
        invalid += _faults(name, orjson.loads(line.body), schema, spec)
    return Checked(checked, tuple(sorted(set(invalid))))


def _faults(name: str, body: Body, schema: Body, spec: Body) -> list[str]:
    whole = {**schema, "components": spec.get("components", {})}
    checker = jsonschema.Draft202012Validator(whole)
    return [f"{name}: {error.json_path} {error.validator}" for error in checker.iter_errors(body)]


def asked() -> Checked:
    """The calls and their query parameters, against the description's."""
    checked: Counter[str] = Counter()
    invalid = []
    for line in log():
        name = _template(line.method, line.path)
        checked[name] += 1
        if name not in described():
            invalid.append(name)
            continue
        operation, spec = described()[name]
        known = {_parameter(one, spec) for one in operation.get("parameters", ())}
        invalid += [f"{name}: {query}" for query in line.query if query not in known]
    return Checked(checked, tuple(sorted(set(invalid))))


def _parameter(one: Body, spec: Body) -> str:
    place = spec
    for part in one["$ref"].split("/")[1:] if "$ref" in one else ():
        place = place[part]
    return str((place if "$ref" in one else one)["name"])


# the sandbox's answers beside the described ones


def answered() -> Checked:
    """The sandbox's answers against the description's."""
    with org() as (zoho, _, _):
        ids = [lead(zoho, f"p{n}@x.io") for n in range(3)]
        contact = zoho.put("contacts", {"Last_Name": "C"})
        deal = zoho.deal("D", [contact])
        zoho.remove("leads", ids[2])
        row = {"Last_Name": "N", "Company": "C", "Email": "n@x.io"}
        channel = {"channel_id": "1", "notify_url": "https://x.example", "events": ["Leads.all"]}
        query = {"module": {"api_name": "Leads"}, "fields": ["id"], "page": 1}
        job = _ask(zoho, "POST", "/crm/bulk/v8/read", {"query": query})
        id = job["data"][0]["details"]["id"]
        zoho.queued = 0
        campaign = zoho.put("campaigns", {"Campaign_Name": "Fair"})
        zoho.member(campaign, f"leads/{ids[0]}")
        upload, write, written = _bulk_written(zoho)
        ours = {
            ("GET /{module}", "200"): _ask(zoho, "GET", "Leads", fields="Email,Owner"),
            ("POST /{module}", "201"): _ask(zoho, "POST", "Leads", {"data": [row]}),
            ("POST /{module}/upsert", "200"): _ask(zoho, "POST", "Leads/upsert", {"data": [row]}),
            ("PUT /{module}", "200"): _ask(zoho, "PUT", "Leads", {"data": [{"id": ids[0], "City": "x"}]}),
            ("PUT /{module}", "400"): _ask(zoho, "PUT", "Leads", {"data": [{"id": ids[0], "Last_Name": None}]}),
            ("GET /{module}/deleted", "200"): _ask(zoho, "GET", "Leads/deleted"),
            ("POST /coql", "200"): _ask(zoho, "POST", "coql", {"select_query": "select id from Leads where (id > 1)"}),
            ("POST /coql", "400"): _ask(
                zoho, "POST", "coql", {"select_query": "select Nosuch from Leads where (id > 1)"}
            ),
            ("GET /{module}/{dealId}/Contact_Roles", "200"): _ask(
                zoho, "GET", f"Deals/{deal}/Contact_Roles", fields="id"
            ),
            ("GET /{parentRecordModule}/{parentRecord}/{relatedList}", "200"): _ask(
                zoho, "GET", f"Campaigns/{campaign}/Leads", fields="Member_Status"
            ),
            ("POST /upload", "200"): upload,
            ("POST /write", "201"): write,
            ("GET /write/{jobId}", "200"): written,
            ("POST /actions/watch", "201"): _ask(zoho, "POST", "actions/watch", {"watch": [channel]}),
            ("POST /read", "201"): job,
            ("GET /read/{jobId}", "200"): _ask(zoho, "GET", f"/crm/bulk/v8/read/{id}"),
            ("DELETE /{module}", "200"): _ask(zoho, "DELETE", "Leads", ids=ids[1]),
            ("DELETE /settings/recycle_bin/{recordId}", "200"): _ask(zoho, "DELETE", f"settings/recycle_bin/{ids[1]}"),
            ("GET /settings/pipeline", "200"): _ask(zoho, "GET", "settings/pipeline", layout_id="61001"),
        }
    checked: Counter[str] = Counter()
    invalid = []
    for (name, status), body in ours.items():
        operation, spec = own().get(name) or described()[name]
        answer = _resolved(operation["responses"][status], spec)
        [media] = answer["content"].values()
        checked[f"{name} {status}"] += 1
        invalid += _faults(f"{name} {status}", body, media["schema"], spec)
    return Checked(checked, tuple(sorted(set(invalid))))


def _bulk_written(zoho: ZohoSandbox) -> tuple[Body, Body, Body]:
    """The sandbox's answers to the calls of a bulk write."""
    kinds = [{"api_name": "Closedloop_Id", "data_type": "text", "unique": {"case_sensitive": False}}]
    kinds += [{"api_name": name, "data_type": "text"} for name in ("Email", "Phone", "Last_Name", "Company")]
    kinds += [{"api_name": "Customer_Since", "data_type": "date"}]
    [load] = bulk_file.loads(kinds, [tour.keyed(n) for n in range(3)])
    mark, archive = b"boundary", bulk_file.packed(load)
    part = b'content-disposition: form-data; name="file"; filename="x.zip"\r\n\r\n' + archive
    headers = {"authorization": f"Zoho-oauthtoken {next(reversed(zoho.login.access))}", "feature": "bulk-write"}
    headers |= {"x-crm-org": "20070000001", "content-type": "multipart/form-data; boundary=boundary"}
    body = b"--" + mark + b"\r\n" + part + b"\r\n--" + mark + b"--\r\n"
    upload = orjson.loads(zoho.answer(Call("POST", "/crm/v8/upload", {}, headers, body)).body)
    job = bulk_file.asked(load, "Leads", upload["details"]["file_id"], kinds)
    made = _ask(zoho, "POST", "/crm/bulk/v8/write", job)
    zoho.clock.sleep(zoho.writes.takes)
    return upload, made, _ask(zoho, "GET", f"/crm/bulk/v8/write/{made['details']['id']}")


def _resolved(node: Body, spec: Body) -> Body:
    if "$ref" not in node:
        return node
    place = spec
    for part in node["$ref"].split("/")[1:]:
        place = place[part]
    return place


UNLIKE: Mapping[str, str] = {
    **{
        f"GET /{{module}} 200: $.info.{name} type": "recorded answers tell null there"
        for name in ("next_page_token", "page_token_expiry", "previous_page_token")
    },
    "POST /{module}/upsert 200: $.data[0] additionalProperties": "its own client reads these two",
}
"""Where the sandbox answers otherwise than described, and why."""


def measure() -> Truth:
    replayed, found, requests, answers = replay(), compared(), sent(), answered()
    recorded = [(file, difference) for file, some in found.items() for difference in some]
    explained = sum(pair in EXPLAINED for pair in recorded) + sum(fault in UNLIKE for fault in answers.invalid)
    return Truth(
        bodies=replayed.bodies,
        unread=len(replayed.lost),
        operations=len(requests.checked),
        invalid=len(requests.invalid),
        differences=len(recorded) + len(answers.invalid),
        explained=explained,
    )
