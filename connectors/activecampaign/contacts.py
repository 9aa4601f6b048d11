"""Contacts as records: the row, and what stands beside it (lists, tags, custom fields, the account).

What stands beside is asked for by `include`, which ActiveCampaign does not document: where an answer leaves it out,
each contact is asked for alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors.activecampaign.client import Client, Row, Rows
from connectors.activecampaign.objects import FIELDS, Known, blank, moment
from connectors.api import Gone, Record

TAGS, LISTS, JOINED = "tags.", "lists.", "joined."
"""`tags.customer`: has the tag. `lists.7`: the status on list 7, in words. `joined.7`: is on list 7, or ever was."""
ACTIVE, UNSUBSCRIBED = "active", "unsubscribed"
STATUS = {"0": "unconfirmed", "1": ACTIVE, "2": UNSUBSCRIBED, "3": "bounced"}
NO_LIST = "none"
MADE = ("consent", "consentAt", "tagNames", "accountName", "jobTitle")
_SIDES = {
    "contactLists": ("consent", "consentAt", LISTS, JOINED),
    "contactTags": ("tagNames", TAGS),
    "fieldValues": (FIELDS,),
    "accountContacts": ("accountName", "jobTitle"),
}

Beside = Mapping[str, list[Row]]
"""Name of what stands beside -> the rows of one contact."""


@dataclass(frozen=True, slots=True)
class People:
    """How contacts are read: with which `fields`, and with which lists counting for their consent (all where empty)."""

    client: Client
    known: Known
    fields: Sequence[str]
    counted: frozenset[str] = frozenset()
    extra: tuple[str, ...] = ()  # what is to stand beside whatever the fields

    @property
    def sides(self) -> tuple[str, ...]:
        """The names of what has to stand beside each contact."""
        return tuple(
            side
            for side, names in _SIDES.items()
            if side in self.extra or any(name.startswith(names) for name in self.fields)
        )

    @property
    def query(self) -> dict[str, str]:
        return {"include": ",".join(self.sides)} if self.sides else {}

    def records(self, page: Rows) -> list[Record]:
        return [self.record(row, beside) for row, beside in self.beside(page)]

    def beside(self, page: Rows) -> list[tuple[Row, Beside]]:
        """Each contact with its rows of all `sides`."""
        grouped = {side: _grouped(page.beside.get(side)) for side in self.sides}
        found: list[tuple[Row, Beside]] = []
        for row in page.rows:
            id = str(row["id"])
            told = {side: rows.get(id, []) for side, rows in grouped.items() if included(page, row, side)}
            missing = [side for side in self.sides if side not in told]
            found.append((row, {**told, **self._asked(id, missing)} if missing else told))
        return found

    def _asked(self, id: str, sides: Sequence[str]) -> dict[str, list[Row]]:
        """The same by calls for this contact alone."""
        found: dict[str, list[Row]] = {}
        if set(sides) - {"contactTags"}:
            whole = self.client.found(f"contacts/{id}") or {}
            found = {side: list(whole.get(side) or ()) for side in sides}
        if "contactTags" in sides:
            found["contactTags"] = list(self.client.all(f"contacts/{id}/contactTags", "contactTags"))
        return found

    def record(self, row: Row, beside: Beside) -> Record:
        id, version = str(row["id"]), moment(row.get("udate"))
        if str(row.get("deleted")) == "1":
            return Record(id, b"{}", version, Gone.DELETED)
        if str(row.get("anonymized")) == "1":
            return Record(id, b"{}", version, Gone.ERASED)
        raw = {name: blank(row[name]) for name in self.fields if name in row and name not in MADE}
        raw |= self._made(beside)
        return Record(id, orjson.dumps(raw), version)

    def _made(self, beside: Beside) -> dict[str, Any]:
        standing = Standing.of(beside.get("contactLists") or (), self.counted)
        tags = {self.known.tag_name(str(row.get("tag"))) for row in beside.get("contactTags") or ()}
        job = next(iter(beside.get("accountContacts") or ()), {})
        made: dict[str, Any] = {
            "consent": standing.word,
            "consentAt": standing.at or None,
            "tagNames": sorted(tags - {""}),
            "jobTitle": job.get("jobTitle"),
        }
        if "accountName" in self.fields:
            made["accountName"] = self.known.accounts.get(str(job.get("account"))) if job else None
        raw = {name: made[name] for name in self.fields if name in made}
        for prefix, member in (
            (TAGS, lambda name: name in tags),
            (LISTS, lambda name: standing.words.get(name)),
            (JOINED, lambda name: name in standing.words),
        ):
            if names := _after(prefix, self.fields):
                raw[prefix[:-1]] = {name: member(name) for name in names}
        if names := _after(FIELDS, self.fields):
            raw["fields"] = self._custom(names, beside.get("fieldValues") or ())
        return raw

    def _custom(self, names: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
        held = {str(row.get("field")): blank(row.get("value")) for row in rows}
        known = self.known.fields
        return {name: held.get(known[name].id) or None for name in names if name in known}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a contact stands: the status on every list in `words`, and what the counted ones come to.

    On one counted list at least: active. On none, but taken off one: unsubscribed. Then bounced, unconfirmed, none.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    word: str = NO_LIST
    at: str = ""

    @classmethod
    def of(cls, rows: Sequence[Row], counted: frozenset[str]) -> Standing:
        words = {str(row.get("list")): STATUS.get(str(row.get("status")), NO_LIST) for row in rows}
        count = {list: word for list, word in words.items() if not counted or list in counted}
        order = (ACTIVE, UNSUBSCRIBED, STATUS["3"], STATUS["0"])
        word = next((word for word in order if word in count.values()), NO_LIST)
        times = [
            moment(row.get("udate") or row.get("sdate")) for row in rows if count.get(str(row.get("list"))) == word
        ]
        return cls(words, word, max(times, default=""))


def included(page: Rows, row: Row, side: str) -> bool:
    """Whether the answer tells what stands beside the contact. One without any has an empty list of ids."""
    return isinstance(page.beside.get(side), list) or row.get(side) == []


def _grouped(rows: Any) -> dict[str, list[Row]]:
    """Rows by their contact's id."""
    found: dict[str, list[Row]] = {}
    for row in rows or ():
        found.setdefault(str(row.get("contact")), []).append(row)
    return found


def _after(prefix: str, names: Sequence[str]) -> list[str]:
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
