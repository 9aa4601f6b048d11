"""Acme in memory, over HTTP on loopback: what its documentation says, and the habits that it does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from config.clock import stamp
from connectors.sandbox import Answer, Call, Sandbox

KEY = "sandbox-key"
WRITABLE = ("email", "first_name", "last_name", "company", "phone", "subscription")
SUBSCRIPTIONS = ("subscribed", "unsubscribed", "unknown")
LENGTH = 100


class AcmeSandbox(Sandbox):
    """Contacts by id. `page` is the most that a list gives."""

    name = "acme"

    def __init__(self, **options: Any) -> None:
        self.contacts: dict[str, dict[str, Any]] = {}
        self.page = 100
        self.next_id = 1000
        super().__init__(**options)

    def account(self) -> dict[str, Any]:
        return {"auth": {"mode": "key", "key": KEY}, "settings": {}}

    def route(self) -> None:
        self.on("GET", "/v1/me", lambda call: Answer.of({"id": "acc_1", "name": "Sandbox"}))
        self.on("GET", "/v1/fields", lambda call: Answer.of({"fields": _fields()}))
        self.on("GET", "/v1/contacts", self._list)
        self.on("POST", "/v1/contacts", lambda call: self._save(None, call.json, 201))
        self.on("PUT", "/v1/contacts", self._upsert)
        self.on("PATCH", "/v1/contacts/{id}", self._update)
        self.on("DELETE", "/v1/contacts/{id}", self._remove)

    def before(self, call: Call) -> Answer | None:
        good = call.headers.get("authorization") == f"Bearer {KEY}"
        return None if good else self.refuse(call, 401, "unauthorized")

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        return _no(status, message)

    # calls

    def _list(self, call: Call) -> Answer:
        """By ids or addresses, or all that changed after an instant, in pages."""
        for name in ("id", "email"):
            if f"{name}s" in call.query:
                wanted = set(call.query[f"{name}s"].lower().split(","))
                found = [row for row in self.contacts.values() if str(row[name]).lower() in wanted]
                return Answer.of({"contacts": found, "next": None})
        rows = sorted(self.contacts.values(), key=_place)
        after, page = call.query.get("updated_after", ""), call.query.get("page", "")
        left = [row for row in rows if (_place(row) > page if page else row["updated_at"] > after)]
        shown = left[: min(self.page, int(call.query.get("limit", 100)))]
        following = _place(shown[-1]) if len(shown) < len(left) else None
        return Answer.of({"contacts": shown, "next": following})

    def _upsert(self, call: Call) -> Answer:
        email = call.query.get("email", "").lower()
        live = (row for row in self.contacts.values() if not row["archived"])
        known = next((row for row in live if str(row["email"]).lower() == email), None)
        return self._save(known, {"email": email, **call.json}, 200 if known else 201)

    def _update(self, call: Call, id: str) -> Answer:
        row = self.contacts.get(id)
        return self._save(row, call.json, 200) if row and not row["archived"] else _no(404, "not_found")

    def _remove(self, call: Call, id: str) -> Answer:
        row = self.contacts.get(id)
        if row is None or (row["archived"] and "erase" not in call.query):
            return _no(404, "not_found")
        if "erase" in call.query:
            del self.contacts[id]
        else:
            self.remove("contacts", id)
        return Answer(204)

    def _save(self, row: dict[str, Any] | None, values: Mapping[str, Any], status: int) -> Answer:
        wrong = next((name for name, value in values.items() if not _takes(name, value)), None)
        if wrong is not None:
            return _no(422, "invalid", wrong)
        made = row if row is not None else self._new()
        made.update(values, updated_at=self._now())
        return Answer.of(made, status)

    def _new(self) -> dict[str, Any]:
        self.next_id += 1
        id = str(self.next_id)
        blank: dict[str, Any] = dict.fromkeys(WRITABLE)
        row = {"id": id, **blank, "subscription": "unknown", "archived": False, "created_at": self._now()}
        self.contacts[id] = row
        return row

    def _now(self) -> str:
        return stamp(self.clock.now())

    # what a test does behind the connector's back, as a person in the platform's own pages

    def put(self, object: str, values: Mapping[str, Any]) -> str:
        """A new contact; its id."""
        with self.lock:
            row = self._new()
            row.update(values, updated_at=self._now())
            return str(row["id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            self.contacts[id].update(values, updated_at=self._now())

    def remove(self, object: str, id: str) -> None:
        with self.lock:
            self.contacts[id].update(archived=True, updated_at=self._now())

    def all(self, object: str) -> list[dict[str, Any]]:
        """The living."""
        return [row for row in self.contacts.values() if not row["archived"]]

    def snapshot(self) -> dict[str, Any]:
        state: dict[str, Any] = orjson.loads(orjson.dumps({"contacts": self.contacts, "next_id": self.next_id}))
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        self.contacts = {id: dict(row) for id, row in state["contacts"].items()}
        self.next_id = int(state["next_id"])


def _place(row: Mapping[str, Any]) -> str:
    return f"{row['updated_at']}|{row['id']}"


def _takes(name: str, value: Any) -> bool:
    if name not in WRITABLE or not isinstance(value, str | None) or len(value or "") > LENGTH:
        return False
    return {"email": value is None or "@" in value, "subscription": value in SUBSCRIPTIONS}.get(name, True)


def _no(status: int, code: str, field: str = "") -> Answer:
    return Answer.of({"error": {"code": code, "field": field}}, status)


def _fields() -> list[dict[str, Any]]:
    """What the platform tells of its fields."""
    types = {"email": "email", "phone": "phone", "subscription": "choice", "created_at": "datetime"}
    return [
        {
            "name": name,
            "label": name.replace("_", " ").capitalize(),
            "type": types.get(name, "text"),
            "writable": name in WRITABLE,
            "unique": name == "email",
            "length": LENGTH if name in WRITABLE else 0,
            "options": list(SUBSCRIPTIONS) if name == "subscription" else [],
        }
        for name in (*WRITABLE, "created_at")
    ]
