"""The sandbox's calls on records, one at a time or a page of them: lists, searches, single writes, merges."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from config.clock import stamp, unstamp
from connectors.hubspot.sandbox_deals import tie
from connectors.hubspot.sandbox_schema import forward
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.hubspot.sandbox import HubSpotSandbox

Row = dict[str, Any]


CAP = 10_000
"""Results at which a search ends."""


class Objects:
    """Search sees what the index has, ends at 10,000 and never shows the archived; lists show one or the other."""

    def __init__(self, portal: HubSpotSandbox) -> None:
        self._portal = portal
        self._store = portal.store

    def route(self, base: str) -> None:
        on = self._portal.on
        on("GET", base, self._list)
        on("POST", base, self._create)
        on("POST", f"{base}/search", self._search)
        on("POST", f"{base}/merge", self._merge)
        on("POST", f"{base}/gdpr-delete", self._erase)
        on("GET", f"{base}/{{id}}", self._get)
        on("PATCH", f"{base}/{{id}}", self._patch)
        on("DELETE", f"{base}/{{id}}", self._archive)

    def _list(self, call: Call, object: str) -> Answer:
        limit = int(call.query.get("limit", "10"))
        if limit > 100:
            return self._portal.error(400, "VALIDATION_ERROR", "Limit must be less than or equal to 100")
        archived = call.query.get("archived") == "true"
        after = int(call.query.get("after") or 0)
        wanted = call.query.get("properties", "").split(",")
        target = call.query.get("associations", "")
        found: list[Row] = []
        more = False
        for id, row in self._store.rows.get(object, {}).items():
            if row["archived"] != archived or int(id) <= after:
                continue
            if len(found) == limit:
                more = True
                break
            found.append(self._with_ties(object, self._store.shown(row, wanted), target))
        told: Row = {"results": found}
        if more:
            told["paging"] = {"next": {"after": found[-1]["id"], "link": call.path}}
        return Answer.of(told)

    def _with_ties(self, object: str, shown: Row, target: str) -> Row:
        ids = self._store.ties.get(f"{object}/{shown['id']}", {}).get(target, []) if target else []
        if ids:
            shown["associations"] = {target: {"results": [{"id": id, "type": f"{object}_to_{target}"} for id in ids]}}
        return shown

    def _search(self, call: Call, object: str) -> Answer:
        body = call.json
        limit, after = int(body.get("limit") or 10), int(body.get("after") or 0)
        if limit > 200 or len(body.get("sorts") or []) > 1:
            return self._portal.error(400, "VALIDATION_ERROR", "limit must be at most 200, with one sort")
        if after + limit > CAP:
            return self._portal.error(
                400, "VALIDATION_ERROR", f"There was a problem with the request: paging ends at {CAP}"
            )
        tests = [_test(f) for group in body.get("filterGroups") or [] for f in group["filters"]]
        lag = self._portal.index_lag
        seen_until = stamp(self._portal.clock.now() - timedelta(seconds=lag))
        rows = [
            row
            for row in self._store.rows.get(object, {}).values()
            if not row["archived"] and (not lag or row["updatedAt"] <= seen_until)
        ]
        rows = [row for row in rows if all(test(row["properties"]) for test in tests)]
        rows.sort(key=lambda row: int(row["id"]))
        page = rows[after : after + limit]
        told: Row = {
            "total": len(rows),
            "results": [self._store.shown(row, body.get("properties") or []) for row in page],
        }
        if after + limit < len(rows):
            told["paging"] = {"next": {"after": str(after + limit)}}
        return Answer.of(told)

    def _get(self, call: Call, object: str, id: str) -> Answer:
        name = call.query.get("idProperty", "")
        row = self._store.by_property(object, name, id) if name else self._store.find(object, id)
        if row is None:
            return self._portal.error(404, "OBJECT_NOT_FOUND", "resource not found")
        return Answer.of(self._store.shown(row, call.query.get("properties", "").split(",")))

    def _create(self, call: Call, object: str) -> Answer:
        body = call.json
        values = body.get("properties") or {}
        wrong = self._portal.wrong(object, None, values)
        if wrong:
            return self._portal.error(400, "VALIDATION_ERROR", "Property values were not valid", errors=wrong)
        if twin := self._store.holder(object, None, values):
            return self._portal.error(409, "CONFLICT", f"Contact already exists. Existing ID: {twin}")
        row = self._store.new(object, values, "")
        tie(self._store, object, row["id"], body)
        return Answer.of(self._store.shown(row, values), 201)

    def _patch(self, call: Call, object: str, id: str) -> Answer:
        row = self._store.find(object, id)
        if row is None:
            return self._portal.error(404, "OBJECT_NOT_FOUND", "resource not found")
        values = call.json["properties"]
        wrong = self._portal.wrong(object, row, values)
        if wrong:
            return self._portal.error(400, "VALIDATION_ERROR", "Property values were not valid", errors=wrong)
        if twin := self._store.holder(object, row, values):
            return self._portal.error(409, "CONFLICT", f"Contact already exists. Existing ID: {twin}")
        self._store.change(object, row, forward(row, values))
        return Answer.of(self._store.shown(row, values))

    def _archive(self, call: Call, object: str, id: str) -> Answer:
        if id in self._store.rows[object]:
            self._portal.remove(object, id)
        return Answer(204)

    def _erase(self, call: Call, object: str) -> Answer:
        """Nothing is left, and no list tells of it."""
        row = self._store.rows[object].pop(str(call.json["objectId"]), None)
        if row is not None:
            self._store.forget(row)
        return Answer(204)

    def _merge(self, call: Call, object: str) -> Answer:
        body = call.json
        new = self._portal.merge(object, str(body["primaryObjectId"]), str(body["objectIdToMerge"]))
        return Answer.of(self._store.shown(self._store.rows[object][new], []))


def _test(filter: Row) -> Any:
    """One search filter as a function of a record's properties."""
    name, operator, value = filter["propertyName"], filter["operator"], str(filter.get("value") or "")
    if name == "hs_object_id" and operator == "GT":
        return lambda held: int(held["hs_object_id"]) > int(value)
    if operator == "GTE" and name.endswith("modifieddate"):
        limit = _of_epoch(value)
        return lambda held: (held.get(name) or "") >= limit
    if operator == "CONTAINS_TOKEN":
        return lambda held: value in (held.get(name) or "")
    if operator == "HAS_PROPERTY":
        return lambda held: bool(held.get(name))
    return lambda held: (held.get(name) or "") == value


def _of_epoch(value: str) -> str:
    return stamp(unstamp("1970-01-01T00:00:00Z") + timedelta(milliseconds=int(value)))
