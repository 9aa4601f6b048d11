"""The sandbox's rows: ids, stamps, merges and what is tied to what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from config.clock import Clock, stamp
from connectors.hubspot.sandbox_schema import TYPES

Row = dict[str, Any]


class Store:
    """All records by object and id. Switch: `bump_on_no_change` (a write that changes nothing moves the time)."""

    def __init__(self, clock: Clock, portal: int) -> None:
        self.clock = clock
        self.portal = portal
        self.rows: dict[str, dict[str, Row]] = {object: {} for object in TYPES}
        self.aliases: dict[str, str] = {}  # an id that was merged -> the one after it
        self.ties: dict[str, dict[str, list[str]]] = {}  # object/id -> object -> ids
        self.by_email: dict[str, str] = {}  # of contacts
        self.bump_on_no_change = True
        self.next_id = 10_000
        self.hidden: dict[str, Row] = {}  # properties of contacts that the portal has not just now, as they were

    def new_id(self) -> str:
        self.next_id += 1
        return str(self.next_id)

    def now(self) -> str:
        return stamp(self.clock.now())

    def find(self, object: str, id: str) -> Row | None:
        seen = id
        while seen in self.aliases:
            seen = self.aliases[seen]
        return self.rows[object].get(seen)

    def by_property(self, object: str, name: str, value: str) -> Row | None:
        if name == "email":
            id = self.by_email.get(value.lower())
            return self.rows["contacts"].get(id) if id else None
        return next((row for row in self.rows[object].values() if row["properties"].get(name) == value), None)

    def new(self, object: str, values: Mapping[str, Any], at: str) -> Row:
        id, now = self.new_id(), at or self.now()
        moved = "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"
        properties = {**values, "hs_object_id": id, "createdate": now, moved: now}
        row = {"id": id, "properties": properties, "createdAt": now, "updatedAt": now, "archived": False}
        self.rows[object][id] = row
        if object == "contacts" and values.get("email"):
            self.by_email[str(values["email"]).lower()] = id
        return row

    def change(self, object: str, row: Row, values: Mapping[str, Any]) -> None:
        held = row["properties"]
        same = all((held.get(name) or "") == (value or "") for name, value in values.items())
        if same and not self.bump_on_no_change:
            return
        if object == "contacts" and values.get("email"):
            self.by_email.pop(str(held.get("email") or "").lower(), None)
            self.by_email[str(values["email"]).lower()] = row["id"]
        held.update({name: value if value != "" else None for name, value in values.items()})
        now = self.now()
        row["updatedAt"] = now
        held["lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"] = now

    def merge(self, object: str, winner: str, loser: str) -> str:
        """Merge two records; the id of the new one that both answer with from now on."""
        one, other = self.rows[object].pop(winner), self.rows[object].pop(loser)
        values = {**other["properties"], **{k: v for k, v in one["properties"].items() if v not in (None, "")}}
        olds = [winner, loser, *(values.get("hs_merged_object_ids") or "").split(";")]
        values["hs_merged_object_ids"] = ";".join(sorted({old for old in olds if old}))
        row = self.new(object, values, "")
        for old in (winner, loser):
            self.aliases[old] = row["id"]
        for targets in self.ties.values():
            for target in list(targets):
                targets[target] = sorted({row["id"] if id in (winner, loser) else id for id in targets[target]})
        return str(row["id"])

    def associate(self, source: str, id: str, target: str, other: str) -> None:
        """Tie two records; no modified time moves."""
        for one, its, two, the in ((source, id, target, other), (target, other, source, id)):
            ids = self.ties.setdefault(f"{one}/{its}", {}).setdefault(two, [])
            if the not in ids:
                ids.append(the)

    def shown(self, row: Row, wanted: Iterable[str]) -> Row:
        base = ["createdate", "hs_object_id"]
        base.append("lastmodifieddate" if "lastmodifieddate" in row["properties"] else "hs_lastmodifieddate")
        names = [*base, *(name for name in wanted if name and name not in base)]
        held = row["properties"]
        hidden = self.hidden if "lastmodifieddate" in held else ()
        names = [name for name in names if name not in hidden]
        shown = {key: row[key] for key in ("id", "createdAt", "updatedAt", "archived")}
        shown["properties"] = {name: held.get(name) for name in names}
        if row["archived"]:
            shown["archivedAt"] = row["archivedAt"]
        shown["url"] = f"https://app.hubspot.com/contacts/{self.portal}/record/{row['id']}"
        return shown

    # snapshot

    _KEPT = ("rows", "aliases", "ties", "next_id")

    def snapshot(self) -> Row:
        return {name: getattr(self, name) for name in self._KEPT}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name in self._KEPT:
            setattr(self, name, state[name])
        people = self.rows["contacts"].values()
        self.by_email = {str(row["properties"].get("email")).lower(): row["id"] for row in people}
