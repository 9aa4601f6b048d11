"""The sandbox's bulk write: a zipped CSV at the host of files, a job that takes a while, a result told as a file.

What is not mapped is not written; an empty cell clears unless empty ones are ignored; dates are read as MM/dd/yyyy
unless their form is told; an upsert by a field that is not unique inserts every row; a choice that a list does not have
is added to it; no workflow is set off. A job is told by nobody but the answer that makes it.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from config.clock import stamp, unstamp
from connectors.sandbox import Answer, Call
from connectors.zoho.sandbox_schema import MODULES, Field
from connectors.zoho.sandbox_store import Invalid, Store, same

Row = dict[str, Any]
MOST = 25_000
LARGEST = 25 * 1024 * 1024
ORG = "20070000001"


@dataclass
class Jobs:
    """The handlers of one sandbox, its files and jobs. Switches: `takes` seconds a job, `refuses` (the error of the
    next jobs), `fails` (the next jobs come to nothing), `stops_after` (rows, of a job that breaks off), `links_die`
    (results are gone), `added` choices so far."""

    sandbox: Any
    files: dict[str, str] = field(default_factory=dict)
    made: dict[str, Row] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    takes: float = 0.5
    refuses: str = ""
    fails: bool = False
    stops_after: int | None = None
    links_die: bool = False

    @property
    def _store(self) -> Store:
        store: Store = self.sandbox.store
        return store

    # the file

    def upload(self, call: Call) -> Answer:
        if call.headers.get("feature") != "bulk-write" or call.headers.get("x-crm-org") != ORG:
            why = "check if headers [feature, X-CRM-ORG] are present and valid"
            return Answer.of({"code": "INVALID_DATA", "details": {}, "x-error": why, "status": "error"}, 400)
        archive = _part(call)
        if len(archive) > LARGEST:
            return self._refused("FILE_TOO_LARGE", "File size too large to process", 413)
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as files:
                [name] = files.namelist()
                text = files.read(name).decode("utf-8")
        except (zipfile.BadZipFile, ValueError):
            return self._refused("INVALID_FILE_FORMAT", "invalid file format. only zip format is supported")
        id = self._store.id()
        self.files[id] = text
        details = {"file_id": id, "created_time": self._store.now()}
        told = {"status": "success", "code": "FILE_UPLOAD_SUCCESS", "message": "file uploaded.", "details": details}
        return Answer.of(told)

    def _refused(self, code: str, message: str, status: int = 400) -> Answer:
        answer: Answer = self.sandbox.error(status, code, message)
        return answer

    # the job

    def create(self, call: Call) -> Answer:
        asked: Row = call.json
        resource = asked["resource"][0]
        wrong = self.refuses or self._wrong(asked, resource)
        if wrong:
            return self._refused(wrong, "invalid bulk write")
        id = self._store.id()
        self.made[id] = {
            "id": id,
            "asked": asked,
            "at": self._store.now(),
            "due": stamp(self.sandbox.clock.now() + timedelta(seconds=self.takes)),
            "status": "ADDED",
            "fails": self.fails,
            "lines": [],
        }
        by = {"id": self._store.user, "name": "Rita Ortega"}
        details = {"id": id, "created_by": by}
        return Answer.of({"status": "success", "code": "SUCCESS", "message": "success", "details": details}, 201)

    def _wrong(self, asked: Row, resource: Row) -> str:
        """The code of what is wrong with a job; '' of a good one."""
        module, mappings = resource["module"]["api_name"], resource.get("field_mappings") or []
        if module not in MODULES:
            return "MODULE_NOT_AVAILABLE"
        if resource.get("file_id") not in self.files:
            return "INVALID_FILE_ID"
        if asked.get("operation") not in ("insert", "update", "upsert"):
            return "INVALID_DATA"
        fields: Mapping[str, Field] = {"id": Field(), **MODULES[module]}
        if asked["operation"] != "insert" and resource.get("find_by") not in fields:
            return "MANDATORY_NOT_FOUND"
        head = next(csv.reader(io.StringIO(self.files[resource["file_id"]])), [])
        if len(mappings) > 200:
            return "HEADER_LIMIT_EXCEEDED"
        for one in mappings:
            if one["api_name"] not in fields:
                return "INVALID_FIELD"
            if not 0 <= one["index"] < len(head):
                return "COLUMN_INDEX_NOT_FOUND"
            if fields[one["api_name"]].to and not one.get("find_by"):
                return "MANDATORY_NOT_FOUND"
        mapped = {one["api_name"] for one in mappings}
        demanded = {name for name, known in MODULES[module].items() if known.mandatory}
        return "MANDATORY_FIELDS_NOT_MAPPED" if asked["operation"] != "update" and demanded - mapped else ""

    def work(self) -> None:
        """Carry out what is due by now."""
        for job in self.made.values():
            if job["status"] == "ADDED" and unstamp(job["due"]) <= self.sandbox.clock.now():
                job["status"] = "COMPLETED"
                rows = list(csv.reader(io.StringIO(self.files[job["asked"]["resource"][0]["file_id"]])))
                if job["fails"] or len(rows) > MOST + 1:
                    job["status"] = "FAILED"
                    continue
                self._carry_out(job, rows)

    def _carry_out(self, job: Row, rows: list[list[str]]) -> None:
        resource, operation = job["asked"]["resource"][0], job["asked"]["operation"]
        ignores = job["asked"].get("ignore_empty") or resource.get("ignore_empty")
        shown = [one["index"] for one in resource["field_mappings"]][:3]
        for number, cells in enumerate(rows[1:]):
            first = [cells[index] for index in shown]
            if self.stops_after is not None and number >= self.stops_after:
                job["status"] = "FAILED"
                job["lines"].append([*first, "UNPROCESSED", "", ""])
                continue
            try:
                values = dict(self._values(resource, cells, ignores=bool(ignores)))
                status, id = self._written(operation, resource, values)
                job["lines"].append([*first, status, id, ""])
            except Invalid as error:
                name = error.details.get("api_name", "id")
                column = next((rows[0][o["index"]] for o in resource["field_mappings"] if o["api_name"] == name), name)
                code = error.code if error.code != "RECORD_LOCKED" else "CANNOT_PROCESS"
                job["lines"].append([*first, "SKIPPED", "", f"{code}-{column}"])

    def _values(self, resource: Row, cells: list[str], *, ignores: bool) -> Iterator[tuple[str, Any]]:
        for one in resource["field_mappings"]:
            cell, name = cells[one["index"]], one["api_name"]
            if cell == "" and ignores:
                continue
            known = MODULES[resource["module"]["api_name"]].get(name, Field())
            yield name, self._value(known, name, cell, one.get("format") or "") if cell else None

    def _value(self, known: Field, name: str, cell: str, form: str) -> Any:
        try:
            if known.to:
                return {"id": cell}
            if known.type == "boolean":
                return {"true": True, "false": False}[cell.lower()]
            if known.type in ("integer", "currency"):
                return float(cell) if "." in cell else int(cell)
            if known.type == "date":
                return date.fromisoformat(_day(cell, form)).isoformat()
        except (ValueError, KeyError):
            raise Invalid("INVALID_DATA", "invalid data", api_name=name) from None
        if known.type == "picklist":
            self.added.append(cell)
        return cell.split(";") if known.type == "multiselectpicklist" else cell

    def _written(self, operation: str, resource: Row, values: Row) -> tuple[str, str]:
        """What became of a row, and its record's id."""
        module, key = resource["module"]["api_name"], resource.get("find_by")
        id = self._found(module, str(key), values) if operation != "insert" or key else ""
        values = {name: value for name, value in values.items() if name != "id"}
        if operation == "insert" and id:
            return "SKIPPED", ""
        if operation == "update" and not id:
            raise Invalid("RESOURCE_NOT_FOUND", "not there", api_name="id")
        if not id:
            return "ADDED", str(self._store.new(module, self._store.checked(module, values, 0))["id"])
        if id in self._store.locked:
            raise Invalid("RECORD_LOCKED", "record is locked", api_name="id")
        self._store.change(module, id, self._store.checked(module, values, 0, id))
        return "UPDATED", id

    def _found(self, module: str, key: str, values: Row) -> str:
        rows = self._store.rows[module]
        if key == "id":
            found = rows.get(str(values.get("id")))
            return str(found["id"]) if found and not found.get("converted") else ""
        if not MODULES[module][key].unique and (module, key) not in self._store.unique:
            return ""
        held = (r for r in rows.values() if same(r.get(key), values.get(key)) and not r.get("converted"))
        return next((str(row["id"]) for row in held), "")

    def look(self, call: Call, id: str) -> Answer:
        job = self.made.get(id)
        if job is None:
            return self._refused("RESOURCE_NOT_FOUND", "The requested resource doesn't exist.", 404)
        states = [line[-3] for line in job["lines"]]
        counts = {
            "added_count": states.count("ADDED"),
            "updated_count": states.count("UPDATED"),
            "skipped_count": states.count("SKIPPED"),
            "total_count": len(states),
        }
        resource = job["asked"]["resource"][0]
        file = {"status": job["status"], "name": resource["file_names"][0], **counts}
        told = {
            "status": job["status"],
            "character_encoding": "UTF-8",
            "id": id,
            "operation": job["asked"]["operation"],
            "created_by": {"id": self._store.user, "name": "Rita Ortega"},
            "created_time": job["at"],
            "resource": [
                {
                    "status": job["status"],
                    "type": "data",
                    "module": resource["module"],
                    "field_mappings": resource["field_mappings"],
                    "file": file,
                }
            ],
        }
        if job["lines"]:
            told["result"] = {"download_url": f"{self.sandbox.base_url}/v2/crm/{ORG}/bulk-write/{id}/{id}.zip"}
        return Answer.of(told)

    def result(self, call: Call, id: str) -> Answer:
        job = self.made.get(id)
        if job is None or not job["lines"] or self.links_die:
            return Answer.of({"info": "Forbidden", "x-info": "Link not valid", "http_status": "400"}, 400)
        resource = job["asked"]["resource"][0]
        head = next(csv.reader(io.StringIO(self.files[resource["file_id"]])))
        names = [head[one["index"]] for one in resource["field_mappings"]][:3]
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([[*names, "STATUS", "RECORD_ID", "ERRORS"], *job["lines"]])
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(f"{resource['module']['api_name']}-rows.csv"), out.getvalue())
        return Answer(200, body.getvalue(), {"content-type": "application/zip"})


def _day(cell: str, form: str) -> str:
    """A date of the form `form` as ISO writes it."""
    if form == "yyyy-MM-dd":
        return cell
    month, day, year = cell.split("/")
    return f"{year}-{month}-{day}"


def _part(call: Call) -> bytes:
    """The one file of a form."""
    mark = re.search(r"boundary=(\S+)", call.headers.get("content-type", ""))
    if mark is None:
        return b""
    [part] = call.body.split(f"--{mark[1]}".encode())[1:-1]
    head, _, body = part.partition(b"\r\n\r\n")
    return body.removesuffix(b"\r\n") if b'name="file"' in head else b""
