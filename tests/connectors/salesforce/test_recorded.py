"""Against truth that we did not write: recorded answers through our reading side, and the sandbox's beside them."""

from __future__ import annotations

import csv
import importlib.util
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from config.errors import ClosedloopError
from connectors.api import Connector, Operation, Verb
from connectors.salesforce import connector as module
from connectors.salesforce import errors, push, read
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.objects import BY_SOBJECT
from connectors.salesforce.records import reader
from connectors.salesforce.sandbox import SalesforceSandbox
from connectors.sandbox import Answer
from tests.connectors.salesforce.conftest import Open
from tests.shared import shared

Exchange = dict[str, Any]

DIFFERENCES = {
    "error.fields": "some answers leave `fields` out, by version and status; the sandbox gives it on writes",
    "describe.aiPredictionField": "came with version 48",
    "describe.formulaTreatNullNumberAsZero": "came with version 48",
    "object.": "versions before 50 have fewer members",
    "job.externalIdFieldName": "only upserts have it",
    "job.errorMessage": "only failed jobs have it",
    "login.": "scope and token_type came after the recorded answers; the sandbox always gives them",
}
"""Where the sandbox's shape may differ from a recorded one, and why."""


@cache
def exchanges() -> tuple[Exchange, ...]:
    path = shared("recorded", "load.py")
    spec = importlib.util.spec_from_file_location("recorded_load", path)
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the loader leaves its files to the collector
        return tuple(loader.load("salesforce"))


def http(kind: str) -> list[Exchange]:
    return [one for one in exchanges() if one["method"] and re.search(kind, _path(one))]


def bare(name: str) -> list[Exchange]:
    return [one for one in exchanges() if not one["method"] and re.search(name, one["file"])]


def _path(one: Exchange) -> str:
    return f"{one['method']} {str(one['url']).partition('?')[0].partition('/services')[2].rstrip('/')}"


def queries() -> Iterator[Exchange]:
    for one in http(r"GET /data/v[\dx.]+/query$"):
        if isinstance(one["response_body"], dict):
            yield one
    for one in bare(r"amp-labs.*test/read|restforce.*sobject/query_(success|paginated|empty)"):
        if isinstance(one["response_body"], dict):
            yield one


def told(count: int, what: str, least: int) -> None:
    print(f"{count} recorded {what}")
    assert count >= least


def replay_queries(org: SalesforceSandbox, connector: Connector) -> tuple[int, Counter[str], list[str]]:
    """Every recorded query answer through the reading side: answers, records of ours by object, what was lost."""
    assert isinstance(connector, SalesforceConnector)
    records, lost, count = Counter[str](), [], 0
    for one in queries():
        body = {**one["response_body"], "done": True}
        org.inject("answer", "/query", answer=Answer.of(body))
        rows = read.rows(connector._client, "SELECT Id FROM Lead", "leads")
        lost += [] if rows == one["response_body"]["records"] else [f"{one['file']}: a row"]
        count += 1
        for row in rows:
            object = BY_SOBJECT.get(row["attributes"]["type"])
            if object is None or "Id" not in row or object in ("contact_roles", "campaign_members", "tasks", "events"):
                continue
            kept = {name: value for name, value in row.items() if name != "attributes"}
            record = reader(object, list(kept))(orjson.loads(orjson.dumps(row)))
            nested = any(isinstance(value, dict) for value in kept.values())
            if record.id != row["Id"] or (not nested and orjson.loads(record.raw) != kept):
                lost.append(f"{one['file']}: {row['Id']}")
            records[object] += 1
    return count, records, lost


def test_recorded_queries_are_read_without_loss(org: SalesforceSandbox, open_org: Open) -> None:
    count, records, lost = replay_queries(org, open_org())
    assert lost == []
    told(count, "query answers", 150)
    told(records.total(), f"records of ours {dict(records)}", 100)


def collections() -> Iterator[Exchange]:
    for one in http(r"(POST|PATCH|DELETE) /data/v[\dx.]+/composite/sobjects"):
        if isinstance(one["response_body"], list):
            yield one


def replay_collections(org: SalesforceSandbox, connector: Connector) -> tuple[int, Counter[str], list[str]]:
    """Every recorded answer to a collection of writes: answers, outcomes by code, those of which a row was lost."""
    outcomes, lost, count = Counter[str](), [], 0
    for one in collections():
        sent = (one["request_body"] or {}).get("records") if isinstance(one["request_body"], dict) else None
        if not sent or one["method"] == "DELETE":
            continue
        count += 1
        org.inject("answer", "composite/sobjects", answer=Answer.of(one["response_body"]))
        operations = [_operation(n, record) for n, record in enumerate(sent)]
        if one["method"] == "POST" or re.search(r"sobjects/\w+/\w+$", _path(one)):
            operations = [
                Operation(o.key, Verb.CREATE, "leads", {}, match={"Closedloop_Id__c": o.key}) for o in operations
            ]
        results = list(connector.push(operations, []))
        done = [item["id"] for item in one["response_body"] if item["success"]]
        whole = {r.key for r in results} == {o.key for o in operations}
        if not whole or [result.id for result in results if result.error is None] != done:
            lost.append(one["file"])
        outcomes.update("done" if result.error is None else result.error.code for result in results)
        org.faults.clear()
    return count, outcomes, lost


def test_recorded_collections_become_results(org: SalesforceSandbox, open_org: Open) -> None:
    count, outcomes, lost = replay_collections(org, open_org())
    assert lost == []
    told(count, f"collections {dict(outcomes)}", 35)


def _operation(n: int, record: dict[str, Any]) -> Operation:
    id = str(record.get("id") or record.get("Id") or "")
    return Operation(f"k{n}", Verb.UPDATE, "leads", {}, id=id)


def descriptions() -> Iterator[Exchange]:
    for one in http(r"GET .*/sobjects/\w+/describe$"):
        if isinstance(one["response_body"], dict) and "fields" in one["response_body"]:
            yield one


def replay_descriptions() -> tuple[int, Counter[str], list[str]]:
    """Every recorded description: how many, the fields in them by type, the fields that were lost."""
    fields, lost, count = Counter[str](), [], 0
    for one in descriptions():
        count += 1
        for raw in one["response_body"]["fields"]:
            schema = module._fields(raw)[0]
            if schema.name != raw["name"] or schema.writable != (raw["createable"] or raw["updateable"]):
                lost.append(f"{one['file']}: {raw['name']}")
            fields[schema.type] += 1
    return count, fields, lost


def test_recorded_descriptions_become_schemas() -> None:
    count, fields, lost = replay_descriptions()
    assert lost == []
    told(count, f"descriptions {dict(fields)}", 80)
    lead = next(o["response_body"] for o in descriptions() if o["response_body"]["name"] == "Lead")
    needed = [f.name for raw in lead["fields"] for f in module._fields(raw) if f.required]
    assert needed == ["LastName", "Company"]


def failures() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    for one in exchanges():
        body, status = one["response_body"], one["status"] or 400
        if "pardot" in one["file"] or "tooling" in str(one["url"]):
            continue
        if isinstance(body, list) and body and isinstance(body[0], dict) and "errorCode" in body[0]:
            yield status, body


def test_recorded_errors_have_a_class() -> None:
    kinds = Counter[str]()
    for status, body in failures():
        error = errors.of_call(status, body, connection="sf", object="leads", is_read=True)
        assert isinstance(error, ClosedloopError)
        assert error.code == body[0]["errorCode"]
        kinds[f"{error.code} -> {type(error).__name__}"] += 1
    told(kinds.total(), f"errors {dict(kinds)}", 10)


def test_recorded_bulk_results_are_read() -> None:
    rows = [row for one in bare(r"bulk/.*failure.*\.csv") for row in csv.DictReader(one["response_body"].splitlines())]
    refusals = [errors.bulk_refusal(row["sf__Error"]) for row in rows]
    told(len(refusals), "failed rows", 1)
    assert refusals[0].code == "INVALID_FIELD"
    assert refusals[0].fields == ("CloseDate",)
    jobs = bare(r"bulk/.*\.json")
    told(len(jobs), "bulk jobs", 5)


# the sandbox beside them


def shape(value: Any) -> Any:
    return {name: type(member).__name__ for name, member in value.items()}


def explained(place: str) -> bool:
    return any(place.startswith(known) for known in DIFFERENCES)


SEEN: set[str] = set()
"""Every difference met so far, explained or not: what `truth.py` counts."""


def compare(kind: str, ours: dict[str, Any], theirs: dict[str, Any], *, types: bool = True) -> None:
    apart = {f"{kind}.{name}" for name in ours.keys() ^ theirs.keys()}
    SEEN.update(apart)
    assert [place for place in sorted(apart) if not explained(place)] == []
    if types:
        for name in ours.keys() & theirs.keys():
            if ours[name] is not None and theirs[name] is not None:
                pair = {type(ours[name]).__name__, type(theirs[name]).__name__}
                assert len(pair) == 1 or pair == {"int", "float"}, f"{kind}.{name}"


@pytest.fixture
def sdk(open_org: Open) -> Any:
    connector = open_org()
    assert isinstance(connector, SalesforceConnector)
    return connector._client


def test_the_sandboxs_queries_look_like_the_recorded_ones(org: SalesforceSandbox, sdk: Any) -> None:
    for n in range(250):
        org.put("leads", {"LastName": "L", "Company": "C", "Email": f"p{n}@example.com", "AnnualRevenue": n})
    org.page_size = 200
    first = sdk.get("query", params={"q": "SELECT Id, Email, Owner.Name FROM Lead"})
    last = sdk.get(first["nextRecordsUrl"])
    count = 0
    for one in queries():
        body = one["response_body"]
        compare("query", first if "nextRecordsUrl" in body else last, body)
        for record in body["records"]:
            if "url" in record.get("attributes", {}):
                compare("attributes", first["records"][0]["attributes"], record["attributes"])
                count += 1
                form = re.compile(r"/services/data/v(\d+\.0|xx\.0)/sobjects/\w+/\w+")
                assert form.fullmatch(first["records"][0]["attributes"]["url"])
                assert form.fullmatch(record["attributes"]["url"])
    told(count, "records compared", 400)


def test_the_sandboxs_collections_look_like_the_recorded_ones(org: SalesforceSandbox, sdk: Any) -> None:
    good, bad = {"attributes": {"type": "Lead"}, "LastName": "L", "Company": "C"}, {"attributes": {"type": "Lead"}}
    body = {"allOrNone": False, "records": [good, bad]}
    created, refused = sdk.call("POST", "composite/sobjects", body=body, repeatable=False)
    keyed = {"allOrNone": False, "records": [{**good, "Closedloop_Id__c": "1"}]}
    [upserted] = sdk.call("PATCH", "composite/sobjects/Lead/Closedloop_Id__c", body=keyed, repeatable=True)
    count = 0
    for one in collections():
        ours = upserted if re.search(r"sobjects/\w+/\w+$", _path(one)) else created
        for item in one["response_body"]:
            compare("item", ours if item["success"] else refused, item)
            for error in item["errors"]:
                compare("row error", refused["errors"][0], error)
            count += 1
    told(count, "collection rows compared", 100)


def test_the_sandboxs_descriptions_look_like_the_recorded_ones(sdk: Any) -> None:
    count = 0
    for one in descriptions():
        theirs = one["response_body"]
        if theirs["name"] not in ("Lead", "Contact", "Account", "Opportunity", "OpportunityContactRole", "Campaign"):
            continue
        ours = sdk.get(f"sobjects/{theirs['name']}/describe")
        compare("object", ours, theirs, types=False)
        held = {field["name"]: field for field in ours["fields"]}
        for field in theirs["fields"]:
            if field["name"] in held:
                compare("describe", held[field["name"]], field, types=False)
                count += 1
    told(count, "described fields compared", 500)


def test_the_sandboxs_errors_look_like_the_recorded_ones(org: SalesforceSandbox, open_org: Open) -> None:
    import requests

    token = {"Authorization": f"Bearer {org.login.new_session()}"}
    base = f"{org.base_url}/services/data/v66.0"

    def get(path: str, **more: Any) -> tuple[int, Any]:
        answer = requests.get(base + path, headers=more.get("headers", token), verify=org.ca_file, timeout=10)
        return answer.status_code, answer.json()

    ours = {
        "NOT_FOUND": get("/sobjects/Lead/00Q000000000001AAA"),
        "INVALID_SESSION_ID": get("/limits", headers={"Authorization": "Bearer x"}),
        "INVALID_FIELD": get("/query?q=SELECT+Nope+FROM+Lead"),
        "INVALID_TYPE": get("/query?q=SELECT+Id+FROM+Accout"),
    }
    compared = Counter[str]()
    for status, body in failures():
        code = body[0]["errorCode"]
        if code in ours:
            assert ours[code][1][0]["errorCode"] == code
            compare("error", ours[code][1][0], body[0])
            if status in (401, 404):
                assert ours[code][0] == status
            compared[code] += 1
    told(compared.total(), f"errors compared {dict(compared)}", 5)


def test_the_sandboxs_jobs_look_like_the_recorded_ones(org: SalesforceSandbox, sdk: Any) -> None:
    asked = {"object": "Lead", "operation": "insert", "contentType": "CSV", "lineEnding": "LF"}
    opened = sdk.call("POST", "jobs/ingest", body=asked, repeatable=True)
    sdk.send("PUT", f"jobs/ingest/{opened['id']}/batches", data=b"LastName,Company\nL,C\n", kind="text/csv")
    closed = sdk.call("PATCH", f"jobs/ingest/{opened['id']}", body={"state": "UploadComplete"}, repeatable=True)
    working = sdk.get(f"jobs/ingest/{opened['id']}")
    done = sdk.get(f"jobs/ingest/{opened['id']}")
    ours = {"Open": opened, "UploadComplete": closed, "InProgress": working, "JobComplete": done, "Failed": done}
    count = 0
    for one in bare(r"bulk/(write|delete|info)/.*\.json"):
        body = one["response_body"]
        if isinstance(body, dict) and body.get("state") in ours:
            compare("job", ours[body["state"]], body)
            count += 1
    told(count, "jobs compared", 5)


def test_the_sandboxs_log_in_looks_like_the_recorded_one(org: SalesforceSandbox) -> None:
    import requests

    auth = org.login.auth("client_credentials")
    form = {"grant_type": auth.pop("mode"), **auth}
    url = f"{org.base_url}/services/oauth2/token"
    good = requests.post(url, data=form, verify=org.ca_file, timeout=10).json()
    bad = requests.post(url, data={**form, "client_secret": "x"}, verify=org.ca_file, timeout=10).json()
    for one in bare(r"restforce.*(auth|refresh)_(success|error)_response"):
        compare("login", bad if "error" in one["response_body"] else good, one["response_body"])


def test_every_difference_is_in_the_readme() -> None:
    text = (Path(module.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert all(reason in text for reason in DIFFERENCES.values())
    assert push.BATCH == 200
