"""The sandbox's REST calls: queries, single records, collections, describe, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from config.clock import stamp, unstamp
from connectors.salesforce.sandbox_login import refuse
from connectors.salesforce.sandbox_schema import describe
from connectors.salesforce.sandbox_soql import Malformed, Query, Row, Unknown, folded, parse, reach
from connectors.salesforce.sandbox_store import Refused, id18
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.salesforce.sandbox import SalesforceSandbox

LARGEST_COLLECTION = 200


class Rest:
    """`locators` maps an open query to its version, query and the rows yet to come."""

    def __init__(self, sandbox: SalesforceSandbox) -> None:
        self.sandbox = sandbox
        self.locators: dict[str, tuple[str, Query, list[Row]]] = {}
        self.opened = 0

    def route(self) -> None:
        on = self.sandbox.both
        on("GET", "/query", self.query)
        on("GET", "/queryAll", self.query_all)
        on("GET", "/query/{locator}", self.query_more)
        on("GET", "/queryAll/{locator}", self.query_more)
        on("GET", "/limits", self.limits)
        on("GET", "/limits/recordCount", self.record_count)
        on("GET", "/sobjects", self.describe_all)
        on("GET", "/sobjects/{object}/describe", self.describe)
        on("GET", "/sobjects/{object}/deleted", self.deleted)
        on("GET", "/sobjects/{object}/updated", self.updated)
        on("POST", "/sobjects/{object}", self.create)
        on("GET", "/sobjects/{object}/{id}", self.read)
        on("PATCH", "/sobjects/{object}/{id}", self.update)
        on("DELETE", "/sobjects/{object}/{id}", self.delete)
        on("GET", "/sobjects/{object}/{name}/{value}", self.read_by)
        on("PATCH", "/sobjects/{object}/{name}/{value}", self.upsert)
        on("POST", "/composite/sobjects", self.create_many)
        on("PATCH", "/composite/sobjects", self.update_many)
        on("DELETE", "/composite/sobjects", self.delete_many)
        on("PATCH", "/composite/sobjects/{object}/{name}", self.upsert_many)

    # queries

    def query(self, call: Call, version: str) -> Answer:
        return self._query(call, version, deleted=False)

    def query_all(self, call: Call, version: str) -> Answer:
        return self._query(call, version, deleted=True)

    def _query(self, call: Call, version: str, *, deleted: bool) -> Answer:
        try:
            query = self.parsed(call.query.get("q", ""))
        except Malformed as error:
            return refuse(400, "MALFORMED_QUERY", str(error))
        except Unknown as error:
            return refuse(400, error.code, str(error))
        rows = self.sandbox.store.select(query, deleted=deleted)
        if query.counts:
            return Answer.of({"totalSize": len(rows), "done": True, "records": []})
        return self._batch(call, version, query, rows, len(rows), 0)

    def parsed(self, text: str) -> Query:
        """The query, its names checked. Raises Malformed or Unknown."""
        query = parse(text)
        self.sandbox.store.check_names(query)
        return query

    def query_more(self, call: Call, version: str, locator: str) -> Answer:
        name, _, offset = locator.rpartition("-")
        if name not in self.locators:
            return refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        _, query, rows = self.locators[name]
        return self._batch(call, version, query, rows, len(rows), int(offset))

    def _batch(self, call: Call, version: str, query: Query, rows: list[Row], total: int, offset: int) -> Answer:
        size = min(self.sandbox.page_size, _batch_size(call))
        part = rows[offset : offset + size]
        body: dict[str, Any] = {"totalSize": total, "done": offset + size >= total}
        if not body["done"]:
            if offset == 0:
                self.opened += 1
                # what a locator walks is fixed when the query runs
                self.locators[f"0r8{self.opened:012d}"] = (version, query, [dict(row) for row in rows])
                while len(self.locators) > 10:
                    self.locators.pop(next(iter(self.locators)))
                name = f"0r8{self.opened:012d}"
            else:
                name = call.path.rstrip("/").rpartition("/")[2].rpartition("-")[0]
            body["nextRecordsUrl"] = f"/services/data/v{version.removeprefix('v')}/query/{name}-{offset + size}"
        body["records"] = [self.projected(query, row, version) for row in part]
        return Answer.of(body)

    def projected(self, query: Query, row: Row, version: str) -> Row:
        """The row as the query asked for it."""
        shown: Row = {"attributes": _attributes(query.object, row["Id"], version)}
        dotted = [name for name in query.fields if "." in name]
        full = self.sandbox.store.with_parents(query.object, row) if dotted else row
        for name in query.fields:
            if "." not in name:
                shown[name] = row.get(name)
                continue
            head, _, rest = name.partition(".")
            parent = full.get(head)
            if parent is None:
                shown.setdefault(head, None)
                continue
            kind = self.sandbox.store.object_of(parent["Id"])
            shown.setdefault(head, {"attributes": _attributes(kind, parent["Id"], version)})
            shown[head][rest] = reach(parent, rest)
        return shown

    # single records

    def read(self, call: Call, version: str, object: str, id: str) -> Answer:
        if object not in self.sandbox.store.facts:
            return self.sandbox.refuse(call, 404, "")
        row = self.sandbox.store.find(object, id)
        if row is None or row.get("IsDeleted"):
            return self.sandbox.refuse(call, 404, "")
        return self._shown(call, version, object, row)

    def _shown(self, call: Call, version: str, object: str, row: Row) -> Answer:
        facts = self.sandbox.store.facts[object].fields
        wanted = call.query["fields"].split(",") if "fields" in call.query else list(facts)
        missing = [name for name in wanted if name not in facts or facts[name].hidden]
        if missing:
            if "fields" in call.query:
                return refuse(400, "INVALID_FIELD", f"No such column '{missing[0]}' on entity '{object}'")
            wanted = [name for name in wanted if name not in missing]
        named = {name: row.get(name) for name in wanted}
        return Answer.of({"attributes": _attributes(object, row["Id"], version), **named})

    def read_by(self, call: Call, version: str, object: str, name: str, value: str) -> Answer:
        found = self._by(object, name, value)
        if len(found) > 1:
            return Answer.of([_url(object, row["Id"], version) for row in found], 300)
        return self._shown(call, version, object, found[0]) if found else self.sandbox.refuse(call, 404, "")

    def create(self, call: Call, version: str, object: str) -> Answer:
        saved = self._save(call, object, "", call.json or {})
        if isinstance(saved, Refused):
            return _single(saved)
        return Answer.of({"id": saved["Id"], "success": True, "errors": []}, 201)

    def update(self, call: Call, version: str, object: str, id: str) -> Answer:
        saved = self._save(call, object, id, call.json or {})
        if isinstance(saved, Refused):
            return _single(saved, 404 if saved.code in ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY") else 400)
        return Answer(204)

    def delete(self, call: Call, version: str, object: str, id: str) -> Answer:
        try:
            self.sandbox.store.delete(object, id)
        except Refused as error:
            return _single(error, 404)
        return Answer(204)

    def upsert(self, call: Call, version: str, object: str, name: str, value: str) -> Answer:
        if name not in self.sandbox.store.facts[object].fields:
            return refuse(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: " + name)
        found = self._by(object, name, value)
        if len(found) > 1:
            return Answer.of([_url(object, row["Id"], version) for row in found], 300)
        values = dict(call.json or {})
        if not found:
            values[name] = value
        saved = self._save(call, object, found[0]["Id"] if found else "", values)
        if isinstance(saved, Refused):
            return _single(saved)
        if found and self.sandbox.upsert_status == 204:
            return Answer(204)
        body = {"id": saved["Id"], "success": True, "errors": [], "created": not found}
        return Answer.of(body, 200 if found else 201)

    def _by(self, object: str, name: str, value: Any) -> list[Row]:
        held = self.sandbox.store.index.get((object, name))
        if held is not None or name in ("Email", "Closedloop_Id__c"):
            ids = sorted((held or {}).get(folded(name, value), ()))
            rows = [self.sandbox.store.rows[object][id] for id in ids]
            return [row for row in rows if not row.get("IsDeleted")]
        return [row for row in self.sandbox.store.live(object) if folded(name, row.get(name)) == folded(name, value)]

    # collections

    def create_many(self, call: Call, version: str) -> Answer:
        return self._many(call, lambda record: self._save(call, record["attributes"]["type"], "", _values(record)))

    def update_many(self, call: Call, version: str) -> Answer:
        def save(record: Row) -> Row | Refused:
            id = record.get("id") or record.get("Id") or ""
            if not id:
                return Refused("MISSING_ARGUMENT", "Id not specified in an update call")
            return self._save(call, record["attributes"]["type"], id, _values(record))

        return self._many(call, save)

    def upsert_many(self, call: Call, version: str, object: str, name: str) -> Answer:
        facts = self.sandbox.store.facts.get(object)
        if facts is None or name not in facts.fields or not (facts.fields[name].unique or name in ("Id", "Email")):
            return refuse(404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}")

        def save(record: Row) -> Row | Refused:
            values = _values(record)
            key = record.get("Id") if name == "Id" else values.get(name)
            if key is None and name != "Id":
                return Refused("MISSING_ARGUMENT", f"{name} not specified", [name])
            found = [] if key is None else self._by(object, name, key)
            if len(found) > 1:
                return Refused("DUPLICATE_EXTERNAL_ID", f"{name}: more than one record found for external id", [name])
            saved = self._save(call, object, found[0]["Id"] if found else "", values)
            return saved if isinstance(saved, Refused) else {"Id": saved["Id"], "created": not found}

        return self._many(call, save, upsert=True)

    def delete_many(self, call: Call, version: str) -> Answer:
        answers = []
        for id in call.query.get("ids", "").split(","):
            try:
                self.sandbox.store.delete(self.sandbox.store.object_of(id), id)
                answers.append({"id": id18(id), "success": True, "errors": []})
            except Refused as error:
                answers.append(_item(error))
        return Answer.of(answers)

    def _many(self, call: Call, save: Callable[[Row], Row | Refused], *, upsert: bool = False) -> Answer:
        body = call.json or {}
        records = body.get("records") or []
        if len(records) > LARGEST_COLLECTION:
            message = "INVALID_BATCH_SIZE: Size of request batch exceeding maximum batch size of 200"
            return refuse(400, "INVALID_BATCH_SIZE", message)
        if any("type" not in (record.get("attributes") or {}) for record in records):
            return refuse(400, "INVALID_INPUT", "All objects must have a type attribute")
        if body.get("allOrNone"):
            return self._all_or_none(records, save)
        seen: set[str] = set()
        answers = []
        for record in records:
            id = id18(str(record.get("id") or record.get("Id") or ""))
            if id and id in seen:
                answers.append(_item(Refused("DUPLICATE_VALUE", f"duplicate id in list: {id}", ["Id"])))
                continue
            seen.add(id)
            answers.append(_saved(save(record), upsert))
        return Answer.of(answers)

    def _all_or_none(self, records: list[Row], save: Callable[[Row], Row | Refused]) -> Answer:
        before = self.sandbox.snapshot()
        outcomes = [save(record) for record in records]
        if not any(isinstance(outcome, Refused) for outcome in outcomes):
            return Answer.of([_saved(outcome, False) for outcome in outcomes])
        self.sandbox.restore(before)
        rolled = Refused(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone header",
        )
        return Answer.of([_item(o if isinstance(o, Refused) else rolled) for o in outcomes])

    def _save(self, call: Call, object: str, id: str, values: Mapping[str, Any]) -> Row | Refused:
        """Insert or update; the refusal as a value. The row locks strike here."""
        return self.save(object, id, values, allow_duplicates=_allows_duplicates(call))

    def save(self, object: str, id: str, values: Mapping[str, Any], *, allow_duplicates: bool) -> Row | Refused:
        sandbox = self.sandbox
        if object not in sandbox.store.facts:
            return Refused("INVALID_TYPE", f"sObject type '{object}' is not supported.")
        if sandbox.lock_rows > 0:
            sandbox.lock_rows -= 1
            return Refused(
                "UNABLE_TO_LOCK_ROW",
                f"unable to obtain exclusive access to this record or 1 records: {id or '001000000000000'}",
            )
        try:
            if id:
                return sandbox.store.update(object, id, values)
            return sandbox.store.insert(object, values, allow_duplicates=allow_duplicates)
        except Refused as error:
            return error

    # the rest

    def describe_all(self, call: Call, version: str) -> Answer:
        keep = ("name", "label", "keyPrefix", "custom", "createable", "updateable", "deletable", "queryable", "urls")
        full = [describe(facts, version.removeprefix("v")) for facts in self.sandbox.store.facts.values()]
        return Answer.of(
            {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [{name: one[name] for name in keep} for one in full]}
        )

    def describe(self, call: Call, version: str, object: str) -> Answer:
        facts = self.sandbox.store.facts.get(object)
        if facts is None:
            return self.sandbox.refuse(call, 404, "")
        return Answer.of(describe(facts, version.removeprefix("v")))

    def limits(self, call: Call, version: str) -> Answer:
        left = max(0, self.sandbox.daily_limit - self.sandbox.used)
        return Answer.of(
            {
                "DailyApiRequests": {"Max": self.sandbox.daily_limit, "Remaining": left},
                "DailyBulkApiBatches": {"Max": 15000, "Remaining": 15000},
                "DailyBulkV2QueryJobs": {"Max": 10000, "Remaining": 10000},
                "DataStorageMB": {"Max": 5, "Remaining": 5},
            }
        )

    def record_count(self, call: Call, version: str) -> Answer:
        names = [name for name in call.query.get("sObjects", "").split(",") if name in self.sandbox.store.facts]
        counts = [{"count": sum(1 for _ in self.sandbox.store.live(name)), "name": name} for name in names]
        return Answer.of({"sObjects": counts})

    def deleted(self, call: Call, version: str, object: str) -> Answer:
        found = [row for row in self._between(call, object) if row.get("IsDeleted")]
        records = [{"deletedDate": row["SystemModstamp"], "id": row["Id"]} for row in found]
        covered = stamp(unstamp(call.query["end"]))[:16] + ":00.000+0000"
        return Answer.of(
            {
                "deletedRecords": records,
                "earliestDateAvailable": "2026-01-01T00:00:00.000+0000",
                "latestDateCovered": covered,
            }
        )

    def updated(self, call: Call, version: str, object: str) -> Answer:
        ids = [row["Id"] for row in self._between(call, object) if not row.get("IsDeleted")]
        return Answer.of({"ids": ids, "latestDateCovered": stamp(unstamp(call.query["end"]))[:16] + ":00.000+0000"})

    def _between(self, call: Call, object: str) -> list[Row]:
        start, end = (stamp(unstamp(call.query[name]))[:16] for name in ("start", "end"))
        rows = self.sandbox.store.rows[object].values()
        return [row for row in rows if start <= row["SystemModstamp"][:16] < end]


def _attributes(object: str, id: str, version: str) -> dict[str, str]:
    return {"type": object, "url": _url(object, id, version)}


def _url(object: str, id: str, version: str) -> str:
    return f"/services/data/v{version.removeprefix('v')}/sobjects/{quote(object)}/{id}"


def _batch_size(call: Call) -> int:
    """`Sforce-Query-Options: batchSize=200`, between 200 and 2,000."""
    option = call.headers.get("sforce-query-options", "").partition("batchSize=")[2]
    return min(2000, max(200, int(option))) if option.isdigit() else 2000


def _allows_duplicates(call: Call) -> bool:
    return "allowsave=true" in call.headers.get("sforce-duplicate-rule-header", "").lower().replace(" ", "")


def _values(record: Row) -> Row:
    return {name: value for name, value in record.items() if name not in ("attributes", "id", "Id")}


def _extra(error: Refused) -> dict[str, Any]:
    """What a duplicate rule tells besides."""
    if error.code != "DUPLICATES_DETECTED":
        return {}
    object = error.more["object"]
    record = {"attributes": {"type": object}, "Id": error.more["more_id"]}
    match = {
        "entityType": object,
        "errors": [],
        "matchEngine": "FuzzyMatchEngine",
        "matchRecords": [{"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": record}],
        "rule": f"Standard_{object}_Match_Rule_v1_0",
        "size": 1,
        "success": True,
    }
    return {
        "duplicateResult": {
            "allowSave": True,
            "duplicateRule": f"Standard_{object}_Duplicate_Rule",
            "duplicateRuleEntityType": object,
            "errorMessage": error.message,
            "matchResults": [match],
        }
    }


def _single(error: Refused, status: int = 400) -> Answer:
    return refuse(status, error.code, error.message, fields=error.fields, **_extra(error))


def _item(error: Refused) -> dict[str, Any]:
    told = {"statusCode": error.code, "message": error.message, "fields": error.fields, **_extra(error)}
    return {"success": False, "errors": [told]}


def _saved(outcome: Row | Refused, upsert: bool) -> dict[str, Any]:
    if isinstance(outcome, Refused):
        return _item(outcome)
    item = {"id": outcome["Id"], "success": True, "errors": []}
    return {**item, "created": outcome["created"]} if upsert else item
