"""The sandbox's batches: up to a hundred records a call, and partial failure told as HubSpot tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from connectors.hubspot.client import VERSION
from connectors.hubspot.sandbox_deals import loose, tie
from connectors.hubspot.sandbox_schema import forward
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.hubspot.sandbox import HubSpotSandbox

Row = dict[str, Any]


class Batches:
    """Each verb of a batch, on any object; and what is tied to the records of a batch."""

    def __init__(self, portal: HubSpotSandbox) -> None:
        self._portal = portal
        self._store = portal.store

    def route(self, base: str) -> None:
        on = self._portal.on
        on("POST", f"{base}/batch/read", self._batch_read)
        on("POST", f"{base}/batch/create", self._batch_create)
        on("POST", f"{base}/batch/update", self._batch_update)
        on("POST", f"{base}/batch/upsert", self._batch_upsert)
        on("POST", f"{base}/batch/archive", self._batch_archive)
        on("POST", f"/crm/associations/{VERSION}/{{source}}/{{target}}/batch/read", self._associated)

    def _too_many(self, inputs: list[Any]) -> Answer | None:
        if len(inputs) > 100:
            return self._portal.error(
                400, "VALIDATION_ERROR", "The maximum number of inputs supported in a batch is 100"
            )
        return None

    def _batch_read(self, call: Call, object: str) -> Answer:
        body = call.json
        name = body.get("idProperty") or ""
        found: list[Row] = []
        lost: list[str] = []
        for item in body["inputs"]:
            row = (
                self._store.by_property(object, name, str(item["id"]))
                if name
                else self._store.find(object, str(item["id"]))
            )
            if row is None or row["archived"]:
                lost.append(str(item["id"]))
            elif row["id"] not in [shown["id"] for shown in found[-100:]]:
                found.append(self._store.shown(row, body.get("properties") or []))
        errors: list[Row] = []
        if lost:
            told: Row = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some records"}
            errors.append({**told, "context": {"ids": lost}})
        return self._too_many(body["inputs"]) or completed(self._portal, found, errors)

    def _batch_create(self, call: Call, object: str) -> Answer:
        inputs = call.json["inputs"]
        if answer := self._too_many(inputs):
            return answer
        return self._write(call, object, inputs, lambda item: None, 201)

    def _batch_update(self, call: Call, object: str) -> Answer:
        inputs = [item for item in call.json["inputs"] if str(item["id"]) not in self._store.aliases]
        unknown = [item for item in inputs if self._store.find(object, str(item["id"])) is None]
        known = [item for item in inputs if item not in unknown]
        answer = self._too_many(call.json["inputs"])
        return answer or self._write(
            call, object, known, lambda item: self._store.find(object, str(item["id"])), 200, unknown
        )

    def _batch_upsert(self, call: Call, object: str) -> Answer:
        inputs = call.json["inputs"]
        ids = [str(item["id"]).lower() for item in inputs]
        if len(set(ids)) < len(ids):
            return self._portal.error(409, "CONFLICT", "Two inputs resolve to one record")
        answer = self._too_many(inputs)
        return answer or self._write(
            call,
            object,
            inputs,
            lambda item: self._store.by_property(object, item.get("idProperty") or "", str(item["id"])),
            200,
        )

    def _batch_archive(self, call: Call, object: str) -> Answer:
        inputs = call.json["inputs"]
        for item in inputs:
            if str(item["id"]) in self._store.rows[object]:
                self._portal.remove(object, str(item["id"]))
        return self._too_many(inputs) or Answer(204)

    def _write(
        self, call: Call, object: str, inputs: list[Row], find: Any, status: int, unknown: Iterable[Row] = ()
    ) -> Answer:
        """Rows with a trace id fail alone; without, one bad row refuses the whole batch, as an address that another
        contact has always does."""
        for item in inputs:
            if twin := self._store.holder(object, find(item), item["properties"]):
                return self._portal.error(409, "CONFLICT", f"Contact already exists. Existing ID: {twin}")
        results: list[Row] = []
        errors: list[Row] = []
        for item in unknown:
            told: Row = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "not found"}
            errors.append({**told, "context": {"ids": [str(item["id"])]}})
        for item in inputs:
            values, row = item["properties"], find(item)
            wrong = self._portal.wrong(object, row, values) or loose(self._store, item)
            if wrong and not item.get("objectWriteTraceId"):
                return self._portal.error(400, "VALIDATION_ERROR", "Property values were not valid", errors=wrong)
            if wrong:
                told = {"status": "error", "category": "VALIDATION_ERROR", "message": "Property values were not valid"}
                context = {"objectWriteTraceId": [item["objectWriteTraceId"]]}
                errors.append({**told, "context": context, "errors": wrong, "links": {}})
                continue
            created = row is None
            if row is None:
                row = self._store.new(object, values, "")
                tie(self._store, object, row["id"], item)
            else:
                self._store.change(object, row, forward(row, values))
            shown = self._store.shown(row, values)
            if "upsert" in call.path:
                shown["new"] = created
            if item.get("objectWriteTraceId"):
                shown["objectWriteTraceId"] = item["objectWriteTraceId"]
            results.append(shown)
        return completed(self._portal, results, errors, status)

    def _associated(self, call: Call, source: str, target: str) -> Answer:
        results = []
        for item in call.json["inputs"]:
            ids = self._store.ties.get(f"{source}/{item['id']}", {}).get(target, [])
            kind = [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}]
            if ids:
                to = [{"toObjectId": int(id), "associationTypes": kind} for id in ids]
                results.append({"from": {"id": str(item["id"])}, "to": to})
        return completed(self._portal, results, [])


def completed(portal: HubSpotSandbox, results: list[Row], errors: list[Row], status: int = 200) -> Answer:
    """The answer to a batch: 207 or the usual status where some of it failed."""
    now = portal.store.now()
    body: Row = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if errors:
        body.update(numErrors=len(errors), errors=errors)
    return Answer.of(body, 207 if errors and portal.status_207 else status)
