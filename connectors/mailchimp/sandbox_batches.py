"""The sandbox's batch operations: pending, started, finished, a step each time somebody looks."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import orjson

from connectors.mailchimp.client import VERSION
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.mailchimp.sandbox import MailchimpSandbox

Row = dict[str, Any]

_STATES = ("pending", "preprocessing", "started", "finalizing", "finished")


class Batches:
    """Jobs of up to a thousand calls. `forgetful` leaves so many of the next results out of their file."""

    def __init__(self, account: MailchimpSandbox) -> None:
        self._account = account
        self._jobs: dict[str, Row] = {}
        self.forgetful = 0

    def route(self, base: str) -> None:
        on = self._account.on
        on("POST", f"{base}/batches", self._start)
        on("GET", f"{base}/batches/{{id}}", self._look)
        on("GET", f"{base}/batch-results/{{id}}", self._file)

    def _start(self, call: Call) -> Answer:
        operations = call.json["operations"]
        if len(operations) > 1000:
            return self._account.problem(400, "Bad Request", "A batch takes 1000 operations.")
        id = self._account.store.hex(10)
        submitted = self._account.store.stamped()
        self._jobs[id] = {"operations": operations, "looks": 0, "submitted_at": submitted, "results": None}
        return Answer.of(self._row(id))

    def _row(self, id: str) -> Row:
        job = self._jobs[id]
        state = _STATES[min(job["looks"], len(_STATES) - 1)]
        results, finished = job["results"] or [], state == "finished"
        return {
            "id": id,
            "status": state,
            "total_operations": len(job["operations"]),
            "finished_operations": len(results),
            "errored_operations": sum(1 for row in results if row["status_code"] >= 400),
            "submitted_at": job["submitted_at"],
            "completed_at": self._account.store.stamped() if finished else "",
            "response_body_url": f"{self._account.base_url}/{VERSION}/batch-results/{id}" if finished else "",
        }

    def _look(self, call: Call, id: str) -> Answer:
        if id not in self._jobs:
            return self._account.lost()
        job = self._jobs[id]
        job["looks"] += 1
        if job["looks"] >= 2 and job["results"] is None:
            job["results"] = [self._perform(call, operation) for operation in job["operations"]]
        return Answer.of(self._row(id))

    def _perform(self, call: Call, operation: Row) -> Row:
        body = str(operation.get("body") or "").encode()
        path = f"/{VERSION}{operation['path']}"
        answer = self._account.perform(
            Call(operation["method"], path, operation.get("params") or {}, call.headers, body)
        )
        told = {"status_code": answer.status, "operation_id": operation.get("operation_id", "")}
        return {**told, "response": answer.body.decode()}

    def _file(self, call: Call, id: str) -> Answer:
        results = self._jobs[id]["results"]
        kept = results[min(self.forgetful, len(results)) :]
        self.forgetful = 0
        content = orjson.dumps(kept)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            entry = tarfile.TarInfo(f"{id}/0.json")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        return Answer(200, buffer.getvalue(), {"content-type": "application/gzip"})
