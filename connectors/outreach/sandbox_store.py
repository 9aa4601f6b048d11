"""The sandbox's rows: ids, stamps, what Outreach makes of what is written, and the notices that go out."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from config.clock import Clock, stamp
from connectors.outreach.objects import LISTS, OBJECTS
from connectors.outreach.sandbox_list import Row, shown
from connectors.outreach.sandbox_schema import BY_PATH, SCHEMA, blank

HOST = "https://api.outreach.io"
"""Where the links inside a notice point, whatever host the sandbox has."""


@dataclass
class Store:
    """All resources by type and id. Switches: `granular` (opting out of e-mail alone exists), `bump_on_no_change`."""

    clock: Clock
    rows: dict[str, dict[int, Row]] = field(default_factory=lambda: {type: {} for type in SCHEMA})
    next_id: int = 100
    granular: bool = True
    bump_on_no_change: bool = True
    deliveries: list[Row] = field(default_factory=list)  # webhook calls that wait to be sent

    def now(self) -> str:
        return stamp(self.clock.now())

    def split(self, type: str, values: Mapping[str, Any]) -> tuple[Row, Row]:
        """Flat values as attributes and relationships; `email` and the like as the heads of their lists."""
        heads = LISTS if type == "prospect" else {}
        plain = {heads.get(name, name): [v] if name in heads else v for name, v in values.items()}
        one = SCHEMA[type].one
        return {n: v for n, v in plain.items() if n not in one}, {n: v for n, v in plain.items() if n in one}

    def new(
        self, type: str, values: Mapping[str, Any], relations: Mapping[str, Any] | None = None, at: str = ""
    ) -> Row:
        self.next_id += 1
        now = at or self.now()
        row: Row = {"type": type, "id": self.next_id, "attributes": blank(type), "relations": {}}
        row["attributes"] |= {name: now for name in ("createdAt", "addedAt") if name in row["attributes"]}
        self.rows[type][row["id"]] = row
        self._set(row, values, relations or {}, now)
        self._notice(row, "created", {})
        return row

    def change(self, row: Row, values: Mapping[str, Any], relations: Mapping[str, Any]) -> None:
        before = dict(row["attributes"])
        self._set(row, values, relations, self.now())
        changed = {n: v for n, v in before.items() if row["attributes"].get(n) != v and n != "updatedAt"}
        if not changed and not relations and not self.bump_on_no_change:
            row["attributes"]["updatedAt"] = before["updatedAt"]
            return
        self._notice(row, "updated", changed)

    def _set(self, row: Row, values: Mapping[str, Any], relations: Mapping[str, Any], now: str) -> None:
        kind, held = SCHEMA[row["type"]], row["attributes"]
        for name, id in relations.items():
            types = kind.one[name]
            type, _, number = str(id).rpartition("/") if id is not None else ("", "", "")
            row["relations"][name] = [type or types[0], int(number)] if id is not None else None
        held.update(values)
        if "updatedAt" in kind.attributes:
            held["updatedAt"] = now
        if row["type"] == "prospect":
            self._prospect(row, values, now)
        if row["type"] == "opportunity":
            row["relations"]["stage"] = row["relations"].get("opportunityStage")
        if row["type"] == "task":
            held.update({"taskType": "manual", "completed": held["state"] == "complete"})

    def _prospect(self, row: Row, values: Mapping[str, Any], now: str) -> None:
        """What Outreach makes of a prospect: addresses as resources, consents, computed attributes."""
        held = row["attributes"]
        held["emails"] = [str(email).lower() for email in held["emails"] or ()]
        held["name"] = " ".join(part for part in (held["firstName"], held["lastName"]) if part) or None
        if account := self._tied(row, "account"):
            held["company"] = account["attributes"]["name"]
        if "optedOut" in values:
            held["optedOutAt"] = now if held["optedOut"] else None
        for flag, status, told in (
            ("emailOptedOut", "emailsOptStatus", "emailsOptedAt"),
            ("callOptedOut", "callsOptStatus", "callsOptedAt"),
        ):
            if not self.granular:
                held[flag] = bool(held["optedOut"])  # what was written to it is forgotten
                continue
            if status in values:
                held[flag] = held[status] == "opted_out"
            if values.get(flag):
                held[status] = "opted_out"
            if flag in values or status in values:
                held[told] = now
            held[flag] = bool(held[flag] or held["optedOut"])
        self._addresses(row)

    def _addresses(self, row: Row) -> None:
        tied = ["prospect", row["id"]]
        mine = {
            a["attributes"]["email"]: a
            for a in self.rows["emailAddress"].values()
            if a["relations"]["prospect"] == tied
        }
        for order, email in enumerate(row["attributes"]["emails"]):
            if email not in mine:
                self.new("emailAddress", {"email": email, "order": order}, {"prospect": row["id"]})
        for email, address in mine.items():
            if email not in row["attributes"]["emails"]:
                del self.rows["emailAddress"][address["id"]]

    def _tied(self, row: Row, name: str) -> Row | None:
        tied = row["relations"].get(name)
        return self.rows[tied[0]].get(tied[1]) if tied and tied[0] in self.rows else None

    def destroy(self, row: Row) -> None:
        del self.rows[row["type"]][row["id"]]
        if row["type"] == "prospect":
            row["attributes"]["emails"], held = [], row["attributes"]["emails"]
            self._addresses(row)
            row["attributes"]["emails"] = held
        self._notice(row, "destroyed", {})

    def event(self, name: str, mailing: Row, at: str) -> None:
        ties = {"prospect": mailing["relations"]["prospect"][1], "mailing": mailing["id"]}
        self.new("event", {"name": name, "eventAt": at, "requestProxied": False}, ties, at)

    def _notice(self, row: Row, action: str, before: Mapping[str, Any]) -> None:
        for hook in list(self.rows["webhook"].values()):
            told = hook["attributes"]
            if (
                row["type"] == "webhook"
                or told["resource"] not in ("*", row["type"])
                or told["action"] not in ("*", action)
            ):
                continue
            changed = {n: row["attributes"][n] for n in before} if action == "updated" else row["attributes"]
            data = {**shown(row, None, HOST), "attributes": changed}
            meta: Row = {"deliveredAt": self.now(), "eventName": f"{row['type']}.{action}"}
            body = {
                "data": data,
                "meta": meta,
                **({"beforeUpdate": dict(before)} if told["payloadVersion"] == 2 else {}),
            }
            sent = orjson.dumps(body)
            digest = hmac.new(told["secret"].encode(), sent, hashlib.sha256).hexdigest()
            self.deliveries.append({"headers": {"Outreach-Webhook-Signature": digest}, "body": sent})


def type_of(object: str) -> str:
    """The resource type of one of the connector's objects, or of a path."""
    return OBJECTS[object].type if object in OBJECTS else BY_PATH[object]


def flat(row: Row) -> dict[str, Any]:
    """Attributes, heads of lists and relationships by id, side by side."""
    tied = {name: str(told[1]) if told else None for name, told in row["relations"].items()}
    heads = {name: next(iter(row["attributes"].get(list) or ()), None) for name, list in LISTS.items()}
    return {"id": str(row["id"]), **row["attributes"], **tied, **(heads if row["type"] == "prospect" else {})}
