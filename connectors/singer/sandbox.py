"""A source behind a small tap of our own, which asks it over HTTP on loopback: `sandbox_tap.py`, run by this Python.

The tap prints what the source answers, message by message, so that a broken answer makes a broken tap; `behave` makes
it misbehave as processes do: `die_after`, `exit`, `garbage_after`, `hang_after`, `silent_after`, `shout`, `child`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from config.clock import stamp
from connectors.sandbox import Answer, Call, Sandbox

TOKEN = "singer-sandbox-token"
STREAMS = {
    "contacts": "people",
    "activities": "events",
    "companies": "companies",
    "deals": "deals",
    "deal_contacts": "deal_people",
    "campaigns": "campaigns",
    "owners": "owners",
}
_T, _N, _B = {"type": ["null", "string"]}, {"type": ["null", "number"]}, {"type": ["null", "boolean"]}
_AT = {"type": ["null", "string"], "format": "date-time"}
_CITY = {"type": ["null", "object"], "properties": {"city": _T, "country": _T}}
_OWN: Mapping[str, Mapping[str, Any]] = {
    "people": {
        **dict.fromkeys(("email", "first_name", "last_name", "company", "title", "phone"), _T),
        "address": _CITY,
        "_sdc_deleted_at": _AT,
    },
    "events": {**dict.fromkeys(("type", "email", "title", "url"), _T), "at": _AT},
    "companies": {"name": _T, "domain": _T},
    "deals": {"name": _T, "stage": _T, "amount": _N, "close_date": _T, "is_closed": _B, "is_won": _B},
    "deal_people": {"deal_id": _T, "person_id": _T},
    "campaigns": {"name": _T, "channel": _T, "started_at": _AT},
    "owners": {"email": _T, "name": _T},
}
FULL = ("owners",)
"""Streams told whole each time, as versions; the others go by `updated_at`."""


class SingerSandbox(Sandbox):
    """Rows by stream. `state_every` records a STATE comes; `behave` is how the tap misbehaves."""

    name = "singer"

    def __init__(self, **options: Any) -> None:
        self.rows: dict[str, dict[str, dict[str, Any]]] = {stream: {} for stream in STREAMS.values()}
        self.made = 0
        self.version = 1
        self.state_every = 2
        self.behave: dict[str, Any] = {}
        super().__init__(**options)

    def route(self) -> None:
        self.on("GET", "/catalog", self._catalog)
        self.on("POST", "/sync", self._sync)

    def account(self) -> dict[str, Any]:
        tap = [sys.executable, "-I", "-S", str(Path(__file__).with_name("sandbox_tap.py"))]
        return {
            "auth": {"mode": "tap", "access_token": TOKEN},
            "settings": {
                "tap": tap,
                "config": {"base_url": self.base_url},
                "streams": {object: {"stream": stream} for object, stream in STREAMS.items()},
                "page": 2,
            },
        }

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        return Answer.of({"error": message}, status)

    def before(self, call: Call) -> Answer | None:
        known = call.headers.get("authorization") == f"Bearer {TOKEN}"
        return None if known else self.refuse(call, 401, "Unauthorized")

    # what people do there

    def put(self, object: str, values: Mapping[str, Any]) -> str:
        """A new row of the object's stream; its id."""
        with self.lock:
            self.made += 1
            id = f"r{self.made}"
            at = stamp(self.clock.now())
            self.rows[STREAMS[object]][id] = {"id": id, "updated_at": at, **values}
            return id

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            self.rows[STREAMS[object]][id].update(values, updated_at=stamp(self.clock.now()))

    def remove(self, object: str, id: str) -> None:
        """Gone from a full stream, marked in the others."""
        with self.lock:
            if STREAMS[object] in FULL:
                del self.rows[STREAMS[object]][id]
            else:
                self.edit(object, id, {"_sdc_deleted_at": stamp(self.clock.now())})

    def get(self, object: str, id: str) -> dict[str, Any]:
        return deepcopy(self.rows[STREAMS[object]][id])

    def all(self, object: str) -> list[dict[str, Any]]:
        return deepcopy(list(self.rows[STREAMS[object]].values()))

    def snapshot(self) -> dict[str, Any]:
        return {"rows": deepcopy(self.rows), "made": self.made, "version": self.version}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows, self.made, self.version = deepcopy(state["rows"]), state["made"], state["version"]

    # what the tap asks for

    def _catalog(self, call: Call) -> Answer:
        return Answer.of({"streams": [_entry(stream) for stream in self.rows], "behave": self.behave})

    def _sync(self, call: Call) -> Answer:
        asked = call.json
        state = {"bookmarks": dict((asked.get("state") or {}).get("bookmarks") or {})}
        told: list[dict[str, Any]] = []
        for stream in asked.get("streams") or ():
            if stream in self.rows:
                told += self._full(stream) if stream in FULL else self._since(stream, state)
        return Answer.of({"messages": told, "behave": self.behave})

    def _since(self, stream: str, state: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """SCHEMA, the rows from the bookmark on in its order, a STATE after some and at the end."""
        yield _schema(stream)
        start = state["bookmarks"].get(stream, {}).get("updated_at", "")
        rows = sorted(self.rows[stream].values(), key=lambda row: (row["updated_at"], row["id"]))
        for number, row in enumerate((row for row in rows if row["updated_at"] >= start), 1):
            yield {"type": "RECORD", "stream": stream, "record": row}
            state["bookmarks"][stream] = {"updated_at": row["updated_at"]}
            if number % self.state_every == 0:
                yield {"type": "STATE", "value": deepcopy(state)}
        yield {"type": "STATE", "value": deepcopy(state)}

    def _full(self, stream: str) -> Iterator[dict[str, Any]]:
        self.version += 1
        yield _schema(stream)
        for row in self.rows[stream].values():
            yield {"type": "RECORD", "stream": stream, "record": row, "version": self.version}
        yield {"type": "ACTIVATE_VERSION", "stream": stream, "version": self.version}


def _properties(stream: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"id": {"type": "string"}, "updated_at": _AT, **_OWN[stream]}}


def _schema(stream: str) -> dict[str, Any]:
    told = {"type": "SCHEMA", "stream": stream, "schema": _properties(stream), "key_properties": ["id"]}
    return told if stream in FULL else {**told, "bookmark_properties": ["updated_at"]}


def _entry(stream: str) -> dict[str, Any]:
    facts = {"inclusion": "available", "table-key-properties": ["id"]}
    metadata = [{"breadcrumb": [], "metadata": facts}]
    return {"tap_stream_id": stream, "stream": stream, "schema": _properties(stream), "metadata": metadata}
