"""The sandbox's Bulk API 2.0: jobs that pass through their states, one state a look."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox_login import refuse
from connectors.salesforce.sandbox_soql import Malformed, Query, Row, Unknown, folded, reach
from connectors.salesforce.sandbox_store import Refused
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.salesforce.sandbox import SalesforceSandbox


@dataclass(slots=True)
class Job:
    """One job; `rows` are a query's results, `done` and `failed` an ingest's."""

    id: str
    kind: str
    facts: dict[str, Any]
    query: Query | None = None
    rows: list[Row] = field(default_factory=list)
    data: str = ""
    header: list[str] = field(default_factory=list)
    done: list[list[str]] = field(default_factory=list)
    failed: list[list[str]] = field(default_factory=list)


class Bulk:
    """`fail_next` makes the next job end as Failed; `looks` is how often a job is found working before it is done."""

    def __init__(self, sandbox: SalesforceSandbox) -> None:
        self.sandbox = sandbox
        self.jobs: dict[str, Job] = {}
        self.fail_next = False
        self.looks = 1

    def route(self) -> None:
        on = self.sandbox.both
        on("POST", "/jobs/query", self.create_query)
        on("GET", "/jobs/query/{id}/results", self.query_results)
        on("POST", "/jobs/ingest", self.create_ingest)
        on("PUT", "/jobs/ingest/{id}/batches", self.upload)
        for kind in ("query", "ingest"):
            on("GET", f"/jobs/{kind}/{{id}}", self.look)
            on("PATCH", f"/jobs/{kind}/{{id}}", self.close)
            on("DELETE", f"/jobs/{kind}/{{id}}", self.forget)
        on("GET", "/jobs/ingest/{id}/successfulResults", self.successful)
        on("GET", "/jobs/ingest/{id}/failedResults", self.failed)
        on("GET", "/jobs/ingest/{id}/unprocessedrecords", self.unprocessed)

    def _open(self, kind: str, state: str, version: str, **facts: Any) -> Job:
        id = f"750{len(self.jobs) + 1:012d}AAA"
        now = self.sandbox.store.now()
        common = {"id": id, "createdById": self.sandbox.store.user, "createdDate": now, "systemModstamp": now}
        more = {
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version[-4:].strip("v")),
        }
        line = {"lineEnding": "LF", "columnDelimiter": "COMMA"}
        self.jobs[id] = Job(id, kind, {**common, **more, **line, **facts})
        return self.jobs[id]

    def create_query(self, call: Call, version: str) -> Answer:
        asked = call.json
        try:
            query = self.sandbox.rest.parsed(asked["query"])
        except Malformed as error:
            return refuse(400, "API_ERROR", f"MALFORMED_QUERY: {error}")
        except Unknown as error:
            return refuse(400, "API_ERROR", f"{error.code}: {error}")
        job = self._open("query", "UploadComplete", version, operation=asked["operation"], object=query.object)
        job.query = query
        return Answer.of(job.facts)

    def create_ingest(self, call: Call, version: str) -> Answer:
        asked = call.json
        if asked["operation"] == "upsert" and not asked.get("externalIdFieldName"):
            return refuse(400, "INVALIDJOB", "InvalidJob : ExternalIdFieldName required for upsert")
        known = {"object", "operation", "externalIdFieldName"}
        job = self._open("ingest", "Open", version, **{name: asked[name] for name in asked if name in known})
        job.facts["contentUrl"] = f"services/data/{version}/jobs/ingest/{job.id}/batches"
        return Answer.of(job.facts)

    def upload(self, call: Call, version: str, id: str) -> Answer:
        job = self.jobs.get(id)
        if job is None:
            return self.sandbox.refuse(call, 404, "")
        if job.facts["state"] != "Open" or job.data:
            return refuse(400, "INVALIDJOBSTATE", "Found multiple contents for job: batches allow one upload")
        job.data = call.body.decode("utf-8")
        return Answer(201)

    def close(self, call: Call, version: str, id: str) -> Answer:
        job = self.jobs.get(id)
        if job is None:
            return self.sandbox.refuse(call, 404, "")
        wanted = call.json["state"]
        if job.facts["state"] not in ("Open", "UploadComplete", "InProgress"):
            return refuse(400, "INVALIDJOBSTATE", f"Job is in state {job.facts['state']}")
        job.facts["state"] = wanted
        left_out = ("contentUrl", "lineEnding", "columnDelimiter", "looks")
        return Answer.of({name: value for name, value in job.facts.items() if name not in left_out})

    def forget(self, call: Call, version: str, id: str) -> Answer:
        return Answer(204) if self.jobs.pop(id, None) else self.sandbox.refuse(call, 404, "")

    def look(self, call: Call, version: str, id: str) -> Answer:
        """The job's state; each look moves it on."""
        job = self.jobs.get(id)
        if job is None:
            return self.sandbox.refuse(call, 404, "")
        state = job.facts["state"]
        if state == "UploadComplete":
            job.facts["state"], job.facts["looks"] = "InProgress", 0
        elif state == "InProgress":
            job.facts["looks"] += 1
        if job.facts["state"] == "InProgress" and job.facts["looks"] >= self.looks:
            self._work(job)
        shown = {name: value for name, value in job.facts.items() if name not in ("looks", "contentUrl")}
        told = {"jobType": "V2Query", "retries": 0, "totalProcessingTime": 100, "numberRecordsProcessed": 0}
        if job.kind == "ingest":
            told |= {"jobType": "V2Ingest", "numberRecordsFailed": 0}
            told |= {"apiActiveProcessingTime": 90, "apexProcessingTime": 0}
        return Answer.of({**told, **shown})

    def _work(self, job: Job) -> None:
        if self.fail_next:
            self.fail_next = False
            job.facts.update(state="Failed", errorMessage="InvalidBatch : Field name not found")
            return
        if job.query is not None:
            job.rows = self.sandbox.store.select(job.query, deleted=job.facts["operation"] == "queryAll")
            job.facts["numberRecordsProcessed"] = len(job.rows)
        else:
            self._ingest(job)
        job.facts["state"] = "JobComplete"

    def query_results(self, call: Call, version: str, id: str) -> Answer:
        job = self.jobs.get(id)
        if job is None or job.query is None:
            return self.sandbox.refuse(call, 404, "")
        start = int(base64.b64decode(call.query["locator"])) if call.query.get("locator") else 0
        size = int(call.query.get("maxRecords") or 10_000)
        part = job.rows[start : start + size]
        left = start + size < len(job.rows)
        locator = base64.b64encode(str(start + size).encode()).decode() if left else "null"
        headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(len(part))}
        dotted = any("." in name for name in job.query.fields)
        parents = self.sandbox.store.with_parents
        rows = [parents(job.query.object, row) if dotted else row for row in part]
        lines = [[_cell(reach(row, name)) for name in job.query.fields] for row in rows]
        return Answer(200, _csv(job.query.fields, lines), {"content-type": "text/csv", **headers})

    def _ingest(self, job: Job) -> None:
        reader = csv.reader(io.StringIO(job.data))
        job.header = next(reader, [])
        for cells in reader:
            values = {
                name: (None if cell == "#N/A" else cell)
                for name, cell in zip(job.header, cells, strict=True)
                if cell != ""
            }
            id, created, error = self._row(job, values)
            if error is not None:
                text = f"{error.code}:{error.message}:{' '.join(error.fields)} --"
                job.failed.append([id, text, *cells])
            else:
                job.done.append([id, "true" if created else "false", *cells])
        job.facts["numberRecordsProcessed"] = len(job.done) + len(job.failed)
        job.facts["numberRecordsFailed"] = len(job.failed)

    def _row(self, job: Job, values: Row) -> tuple[str, bool, Refused | None]:
        object, operation = job.facts["object"], job.facts["operation"]
        id = str(values.pop("Id", "") or "")
        if operation == "upsert":
            name = job.facts["externalIdFieldName"]
            held = self.sandbox.store.index.get((object, name), {}).get(folded(name, values.get(name)), set())
            id = next((one for one in sorted(held) if not self.sandbox.store.rows[object][one]["IsDeleted"]), "")
        saved = self.sandbox.rest.save(object, id, values, allow_duplicates=False)
        if isinstance(saved, Refused):
            return id, False, saved
        return saved["Id"], not id, None

    def successful(self, call: Call, version: str, id: str) -> Answer:
        job = self.jobs[id]
        return self._results(["sf__Id", "sf__Created", *job.header], job.done)

    def failed(self, call: Call, version: str, id: str) -> Answer:
        job = self.jobs[id]
        return self._results(["sf__Id", "sf__Error", *job.header], job.failed)

    def unprocessed(self, call: Call, version: str, id: str) -> Answer:
        job = self.jobs[id]
        left = [] if job.facts["state"] == "JobComplete" else list(csv.reader(io.StringIO(job.data)))[1:]
        return self._results(job.header or next(csv.reader(io.StringIO(job.data)), []), left)

    def _results(self, header: list[str], rows: list[list[str]]) -> Answer:
        return Answer(200, _csv(header, rows), {"content-type": "text/csv"})


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _csv(header: list[str], rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()
