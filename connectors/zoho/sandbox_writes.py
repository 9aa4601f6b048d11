"""The sandbox's writes: a row for each row sent, in order, each with its own fate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from config.clock import unstamp
from connectors.sandbox import Answer, Call
from connectors.zoho.sandbox_schema import MODULES
from connectors.zoho.sandbox_store import Invalid, Store, same, shown_time

Row = dict[str, Any]
LONGEST_CHANNEL = timedelta(days=7)


class Writes:
    """The handlers of one sandbox (whose store is looked up anew at every call)."""

    def __init__(self, sandbox: Any) -> None:
        self._sandbox = sandbox

    @property
    def _store(self) -> Store:
        store: Store = self._sandbox.store
        return store

    def insert(self, call: Call, module: str) -> Answer:
        def one(values: Mapping[str, Any], number: int) -> Row:
            row = self._store.new(module, self._store.checked(module, values, number))
            return self._done(module, row, "record added")

        return self._each(call, module, one, 201)

    def update(self, call: Call, module: str) -> Answer:
        return self._each(call, module, lambda values, number: self._updated(module, values, number), 200)

    def _updated(self, module: str, values: Mapping[str, Any], number: int) -> Row:
        id = str(values.get("id"))
        row = self._store.rows[module].get(id)
        if row is None:
            path = f"$.data[{number}].id"
            raise Invalid("INVALID_DATA", "the id given seems to be invalid", api_name="id", json_path=path)
        if row.get("converted"):
            raise Invalid("INVALID_DATA", "can't update the converted record", id=id)
        if id in self._store.locked:
            raise Invalid("RECORD_LOCKED", "record is locked", id=id)
        given = {name: value for name, value in values.items() if name != "id"}
        return self._done(
            module, self._store.change(module, id, self._store.checked(module, given, number, id)), "record updated"
        )

    def upsert(self, call: Call, module: str) -> Answer:
        checks = call.json.get("duplicate_check_fields") or ["Email"]

        def one(values: Mapping[str, Any], number: int) -> Row:
            found = next(self._duplicates(module, checks, values), None)
            if found is None:
                row = self._store.new(module, self._store.checked(module, values, number))
                return {**self._done(module, row, "record added"), "duplicate_field": None, "action": "insert"}
            field, row = found
            told = self._updated(module, {**values, "id": row["id"]}, number)
            return {**told, "duplicate_field": field, "action": "update"}

        return self._each(call, module, one, 200)

    def _duplicates(self, module: str, checks: list[str], values: Mapping[str, Any]) -> Iterator[tuple[str, Row]]:
        for name in checks:
            for row in self._store.rows[module].values():
                if values.get(name) and same(row.get(name), values[name]) and not row.get("converted"):
                    yield name, row

    def _each(self, call: Call, module: str, one: Callable[[Mapping[str, Any], int], Row], good: int) -> Answer:
        """Every row by itself: all well, some (207), none (400)."""
        data = call.json.get("data") if isinstance(call.json, dict) else None
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            return self._refused("INVALID_DATA", api_name="data", expected_data_type="jsonarray", json_path="$.data")
        if len(data) > 100:
            return self._refused("LIMIT_EXCEEDED", limit=100)
        rows = []
        for number, values in enumerate(data):
            try:
                rows.append(one(values, number))
                if call.json.get("trigger") != []:
                    self._store.triggered.append(f"{module}/{rows[-1]['details']['id']}")
            except Invalid as error:
                told = {"code": error.code, "details": error.details, "message": error.message, "status": "error"}
                rows.append(told)
        return Answer.of({"data": rows}, self._status(rows, good))

    @staticmethod
    def _status(rows: list[Row], good: int) -> int:
        failed = sum(row["status"] == "error" for row in rows)
        return good if not failed else 400 if failed == len(rows) else 207

    def _refused(self, code: str, **details: Any) -> Answer:
        answer: Answer = self._sandbox.error(400, code, **details)
        return answer

    def _done(self, module: str, row: Row, message: str) -> Row:
        who = {"name": "Rita Ortega", "id": self._store.user}
        times = {"Modified_Time": row["Modified_Time"], "Created_Time": row["Created_Time"]}
        details = {**times, "Modified_By": who, "Created_By": who, "id": row["id"], "$approval_state": "approved"}
        return {"code": "SUCCESS", "details": details, "message": message, "status": "success"}

    def delete(self, call: Call, module: str) -> Answer:
        ids = [id for id in call.query.get("ids", "").split(",") if id]
        if not ids or len(ids) > 100:
            return self._refused("REQUIRED_PARAM_MISSING", param_name="ids")
        rows: list[Row] = []
        for id in ids:
            if id in self._store.rows[module]:
                self._store.remove(module, id)
                told = {"code": "SUCCESS", "message": "record deleted", "status": "success", "details": {"id": id}}
            else:
                why = {"message": "the id given seems to be invalid", "status": "error"}
                told = {"code": "INVALID_DATA", **why, "details": {"id": id}}
            rows.append(told)
        return Answer.of({"data": rows}, self._status(rows, 200))

    def destroy(self, call: Call, id: str) -> Answer:
        if not self._store.destroy(id):
            return self._refused("INVALID_DATA", api_name="id")
        row = {"code": "SUCCESS", "message": "record deleted permanently", "status": "success", "details": {"id": id}}
        return Answer.of({"recycle_bin": [row]})

    def convert(self, call: Call, id: str) -> Answer:
        row = self._store.rows["Leads"].get(id)
        if row is None or row.get("converted"):
            return self._refused("INVALID_DATA" if row is None else "ID_ALREADY_CONVERTED")
        wanted = (call.json.get("data") or [{}])[0].get("Deals") or {}
        account, contact, deal = self._sandbox.convert(
            id, deal=wanted.get("Deal_Name", ""), stage=wanted.get("Stage", "")
        )
        ids = {"Accounts": account, "Contacts": contact, "Deals": deal}
        told = {name: {"name": name, "id": made} if made else None for name, made in ids.items()}
        message = "The record has been converted successfully"
        return Answer.of({"data": [{"code": "SUCCESS", "details": told, "message": message, "status": "success"}]})

    def watch(self, call: Call) -> Answer:
        """Open a channel (POST), or give one that is open a longer life. A life that is too long becomes one hour."""
        rows = [self._watched(call.method, told) for told in call.json["watch"]]
        return Answer.of({"watch": rows}, self._status(rows, 201 if call.method == "POST" else 200))

    def _watched(self, method: str, told: Row) -> Row:
        now = self._sandbox.clock.now()
        held = self._store.channels.get(str(told.get("channel_id")))
        if method != "POST" and (held is None or unstamp(held["channel_expiry"]) <= now):
            return {"code": "NOT_SUBSCRIBED", "details": {}, "message": "not subscribed", "status": "error"}
        until = unstamp(told["channel_expiry"]) if told.get("channel_expiry") else now
        if not now < until <= now + LONGEST_CHANNEL:
            until = now + timedelta(hours=1)
        expiry = shown_time(until)
        self._store.channels[str(told["channel_id"])] = {**(held or {}), **told, "channel_expiry": expiry}
        events = [
            {
                "channel_expiry": expiry,
                "resource_uri": f"https://www.zohoapis.eu/crm/v8/{event.partition('.')[0]}",
                "resource_id": f"61{sorted(MODULES).index(event.partition('.')[0]):04d}",
                "resource_name": event.partition(".")[0],
                "channel_id": told["channel_id"],
            }
            for event in told["events"]
        ]
        message = "Successfully subscribed for actions-watch of the given module"
        return {"code": "SUCCESS", "details": {"events": events}, "message": message, "status": "success"}
