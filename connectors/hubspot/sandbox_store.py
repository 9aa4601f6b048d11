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
        self.by_email: dict[str, str] = {}  # of contacts, by each of their addresses
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

    def holder(self, object: str, row: Row | None, values: Mapping[str, Any]) -> str:
        """The id of another contact that has the address in these values of `row`, as its main or a further one."""
        id = self.by_email.get(str(values.get("email") or "").lower(), "") if object == "contacts" else ""
        return "" if row is not None and id == row["id"] else id

    def new(self, object: str, values: Mapping[str, Any], at: str) -> Row:
        id, now = self.new_id(), at or self.now()
        moved = "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"
        properties = {**values, "hs_object_id": id, "createdate": now, moved: now}
        row = {"id": id, "properties": properties, "createdAt": now, "updatedAt": now, "archived": False}
        self.rows[object][id] = row
        if object == "contacts":
            self.by_email.update(dict.fromkeys(_addresses(properties), id))
        return row

    def change(self, object: str, row: Row, values: Mapping[str, Any]) -> None:
        held = row["properties"]
        same = all((held.get(name) or "") == (value or "") for name, value in values.items())
        if same and not self.bump_on_no_change:
            return
        before = _addresses(held) if object == "contacts" else []
        held.update({name: value if value != "" else None for name, value in values.items()})
        if object == "contacts" and values.get("email"):
            _keep_second(held, before)
            self.by_email.update(dict.fromkeys(_addresses(held), str(row["id"])))
        now = self.now()
        row["updatedAt"] = now
        held["lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"] = now

    def merge(self, object: str, winner: str, loser: str) -> str:
        """Merge two records; the id of the new one that both answer with from now on."""
        one, other = self.rows[object].pop(winner), self.rows[object].pop(loser)
        values = {**other["properties"], **{k: v for k, v in one["properties"].items() if v not in (None, "")}}
        olds = [winner, loser, *(values.get("hs_merged_object_ids") or "").split(";")]
        values["hs_merged_object_ids"] = ";".join(sorted({old for old in olds if old}))
        if object == "contacts":
            _keep_second(values, [*_addresses(one["properties"]), *_addresses(other["properties"])])
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
        self.by_email = {address: row["id"] for row in people for address in _addresses(row["properties"])}

    def forget(self, row: Row) -> None:
        """The addresses of a contact are nobody's any more."""
        for address in _addresses(row["properties"]):
            self.by_email.pop(address, None)


SECOND = "hs_additional_emails"
"""The further addresses of a contact. It is found by each of them, wherever one asks by `email`."""


def _addresses(held: Mapping[str, Any]) -> list[str]:
    """All addresses of a contact, the main one first."""
    every: list[Any] = [held.get("email"), *str(held.get(SECOND) or "").split(";")]
    return [str(address).lower() for address in every if address]


def _keep_second(held: Row, before: Iterable[str]) -> None:
    """What was an address of the contact before is a further one, if it is not the main one."""
    main = str(held.get("email") or "").lower()
    further = dict.fromkeys(address for address in before if address != main)
    if further or held.get(SECOND):
        held[SECOND] = ";".join(further) or None
