"""The sandbox's records: ids, stamps, what is demanded of values, and the notices that go out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from config.clock import Clock, stamp, unstamp
from connectors.zoho.objects import BY_MODULE
from connectors.zoho.sandbox_schema import MODULES, NAMES, STAGES, Field, Row

ZONE = timezone(timedelta(hours=1))
"""Of the user who connected: every instant is told with its offset."""
HIDDEN = ("converted", "detail")


class Invalid(Exception):
    """Why a row is refused: code, message, details."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(code)
        self.code, self.message, self.details = code, message, details


@dataclass
class Store:
    """Live records by module and id; a converted lead stays among them, marked. Switches: `unique` (module, field) of
    an org that made more fields unique, `locked` ids, `conversion_bumps` (converting moves Modified_Time)."""

    clock: Clock
    rows: dict[str, dict[str, Row]] = field(default_factory=lambda: {module: {} for module in (*MODULES, "users")})
    gone: list[Row] = field(default_factory=list)  # the deleted feed: module, id, type, at, name, by
    roles: dict[str, dict[str, str]] = field(default_factory=dict)  # deal -> contact -> role
    members: dict[str, dict[str, str]] = field(default_factory=dict)  # campaign -> "Leads/1" -> status
    channels: dict[str, Row] = field(default_factory=dict)
    deliveries: list[Row] = field(default_factory=list)
    triggered: list[str] = field(default_factory=list)
    unique: list[tuple[str, str]] = field(default_factory=list)
    locked: set[str] = field(default_factory=set)
    conversion_bumps: bool = True
    user: str = ""
    last_id: int = 6100000000000050000

    def now(self) -> str:
        return shown_time(self.clock.now())

    def id(self) -> str:
        self.last_id += 7
        return str(self.last_id)

    def new(self, module: str, values: Mapping[str, Any], at: str = "") -> Row:
        now = at or self.now()
        row: Row = dict.fromkeys(MODULES[module])
        row |= {"Owner": self.user, "Created_By": self.user, "Created_Time": now, "Email_Opt_Out": False}
        row = {name: value for name, value in row.items() if name in MODULES[module]}
        row["id"] = self.id()
        self.rows[module][row["id"]] = row
        self._set(module, row, values, now)
        self._notice(module, "insert", [row["id"]], [])
        return row

    def change(self, module: str, id: str, values: Mapping[str, Any]) -> Row:
        row = self.rows[module][id]
        self._set(module, row, values, self.now())
        self._notice(module, "update", [id], sorted(values))
        return row

    def _set(self, module: str, row: Row, values: Mapping[str, Any], now: str) -> None:
        row.update(values)
        row |= {"Modified_Time": now, "Modified_By": self.user}
        if module in ("Leads", "Contacts"):
            row["Full_Name"] = " ".join(row[name] for name in ("First_Name", "Last_Name") if row.get(name)) or None
        if module == "Deals" and "Stage" in values:
            row["Probability"] = values.get("Probability", STAGES[row["Stage"]][1])
            row["Pipeline"] = row["Pipeline"] or "Sales"
        if module == "Tasks" and row["Status"] == "Completed" and not row["Closed_Time"]:
            row["Closed_Time"] = now

    def remove(self, module: str, id: str, *, kind: str = "recycle", by: str | None = "") -> None:
        """Out of the module, into the deleted feed. `by` None: the system did it."""
        row = self.rows[module].pop(id)
        name = row.get(NAMES.get(module, "Subject"))
        who = self.user if by == "" else by
        self.gone.append({"module": module, "id": id, "type": kind, "at": self.now(), "name": name, "by": who})
        self._notice(module, "delete", [id], [])

    def destroy(self, id: str) -> bool:
        """Out of the bin for good; whether it was there."""
        for row in self.gone:
            if row["id"] == id and row["type"] == "recycle":
                row |= {"type": "permanent", "at": self.now()}
                return True
        return False

    def convert(self, lead: str, account: str, contact: str, deal: str) -> None:
        row = self.rows["Leads"][lead]
        row |= {"converted": True, "Converted__s": True, "Converted_Contact": contact}
        row["detail"] = {"contact": contact, "account": account, "deal": deal or None}
        if self.conversion_bumps:
            row["Modified_Time"] = self.now()
        for held in self.members.values():
            if f"Leads/{lead}" in held:
                held[f"Contacts/{contact}"] = held.pop(f"Leads/{lead}")
        self._notice("Leads", "delete", [lead], [])

    def _notice(self, module: str, operation: str, ids: list[str], fields: Sequence[str]) -> None:
        for channel in self.channels.values():
            kinds = {"insert": "create", "update": "edit", "delete": "delete"}
            wanted = {f"{module}.all", f"{module}.{kinds[operation]}"}
            if unstamp(channel["channel_expiry"]) <= self.clock.now() or not wanted & set(channel["events"]):
                continue
            body = {
                "server_time": int(self.clock.now().timestamp() * 1000),
                "module": module,
                "resource_uri": f"https://www.zohoapis.eu/crm/v8/{module}",
                "ids": ids,
                "operation": operation,
                "channel_id": channel["channel_id"],
                "token": channel.get("token"),
                "affected_fields": [{id: list(fields)} for id in ids] if fields else [],
                "query_params": {},
            }
            self.deliveries.append({"url": channel["notify_url"], "body": orjson.dumps(body).decode()})

    # what is demanded

    def checked(self, module: str, values: Mapping[str, Any], number: int, id: str = "") -> Row:
        """The values as they are kept. Raises Invalid. What the module does not have is dropped without a word."""
        kept: Row = {}
        for name, value in values.items():
            known = MODULES[module].get(name)
            if name == "$se_module":
                kept[name] = value
            elif known is not None and not known.read_only and name != "Tag":
                kept[name] = self._checked(known, name, value, f"$.data[{number}].{name}", values)
        held = self.rows[module].get(id, {})
        for name, known in MODULES[module].items():
            path = f"$.data[{number}].{name}"
            if known.mandatory and not {**held, **kept}.get(name):
                raise Invalid("MANDATORY_NOT_FOUND", "required field not found", api_name=name, json_path=path)
            if (known.unique or (module, name) in self.unique) and kept.get(name):
                self._alone(module, name, kept[name], id, path)
        return kept

    def _checked(self, known: Field, name: str, value: Any, path: str, values: Mapping[str, Any]) -> Any:
        place = {"api_name": name, "json_path": path}
        if value is None:
            return None
        if known.to:
            return self._tied(known, value, place, values)
        if known.type == "boolean" and not isinstance(value, bool):
            raise Invalid("INVALID_DATA", "invalid data", expected_data_type="boolean", **place)
        if known.type in ("integer", "currency"):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Invalid("INVALID_DATA", "invalid data", expected_data_type=known.type, **place)
            return value
        if known.type == "multiselectpicklist" and not isinstance(value, list):
            raise Invalid("INVALID_DATA", "invalid data", expected_data_type="jsonarray", **place)
        if known.type == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(value)):
            raise Invalid("INVALID_DATA", "invalid data", expected_data_type="email", **place)
        if name == "Stage" and value not in STAGES:
            raise Invalid("INVALID_DATA", "the stage is not in the pipeline", **place)
        if isinstance(value, str) and len(value) > known.length:
            raise Invalid("INVALID_DATA", "invalid data", maximum_length=known.length, **place)
        return value

    def _tied(self, known: Field, value: Any, place: Row, values: Mapping[str, Any]) -> str:
        """The id that a lookup points at."""
        module = str(values.get("$se_module") or "Deals") if known.to == "$se_module" else known.to
        id = value.get("id") if isinstance(value, dict) else None
        if not isinstance(id, str):
            raise Invalid("INVALID_DATA", "invalid data", expected_data_type="jsonobject", **place)
        if id not in self.rows.get(module, {}):
            raise Invalid("INVALID_DATA", "the id given seems to be invalid", **place)
        return id

    def _alone(self, module: str, name: str, value: Any, id: str, path: str) -> None:
        for other in self.rows[module].values():
            if other["id"] != id and not other.get("converted") and same(other.get(name), value):
                place = {"api_name": name, "json_path": path, "id": other["id"]}
                raise Invalid("DUPLICATE_DATA", "duplicate data", **place)

    # what is told

    def shown(self, module: str, row: Row, names: Sequence[str] | None = None) -> Row:
        """A record with the named fields, or all that it has; lookups with the name of what they point at."""
        asked = names if names is not None else [*MODULES[module], "$se_module"]
        told: Row = {}
        for name in asked:
            known = MODULES[module].get(name)
            if known is not None:
                told[name] = self._lookup(module, name, row) if known.to else row.get(name)
            elif name == "$se_module" and module in ("Tasks", "Calls", "Events", "Notes"):
                told[name] = row.get(name)
        return {**told, "id": row["id"]}

    def _lookup(self, module: str, name: str, row: Row) -> Row | None:
        id, to = row.get(name), MODULES[module][name].to
        to = str(row.get("$se_module")) if to == "$se_module" else to
        if not id:
            return None
        there = self.rows.get(to, {}).get(id, {})
        told = {"name": there.get(NAMES.get(to, "")), "id": id}
        if name == "Parent_Id":
            return {**told, "module": {"api_name": to, "id": "61000000000000021"}}
        return {**told, "email": there.get("email")} if to == "users" else told


def same(one: Any, other: Any) -> bool:
    return one is not None and str(one).casefold() == str(other).casefold()


def shown_time(at: datetime) -> str:
    """An instant in whole seconds, with the user's offset."""
    return at.astimezone(ZONE).replace(microsecond=0).isoformat()


def module_of(object: str) -> str:
    """The module of one of the connector's objects."""
    return next((module for module, name in BY_MODULE.items() if name == object), object)


def newer(row: Row, since: str) -> bool:
    return not since or stamp(unstamp(row["Modified_Time"])) >= stamp(unstamp(since))
