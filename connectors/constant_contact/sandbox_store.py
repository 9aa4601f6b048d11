"""What the sandbox holds: contacts, lists, tags, custom fields, campaigns and their events; and how it pages."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from config.clock import Clock, unstamp
from connectors.sandbox import Answer

Row = dict[str, Any]

PARTS = ("custom_fields", "list_memberships", "phone_numbers", "street_addresses", "taggings", "notes")
TABLES = {
    "contacts": "contact_id",
    "contact_lists": "list_id",
    "contact_tags": "tag_id",
    "contact_custom_fields": "custom_field_id",
    "campaigns": "campaign_id",
}
"""Tables -> the name of their id."""
BOSTON = timezone(timedelta(hours=-5))


class Refused(Exception):
    """The call is refused with this status, key and message; as a list of errors, or as one (`flat`)."""

    def __init__(self, status: int, key: str, message: str, *, flat: bool = False) -> None:
        super().__init__(message)
        self.status, self.key, self.message, self.flat = status, key, message, flat


def invalid(message: str) -> Refused:
    return Refused(400, "contacts.api.validation.error", message)


def error(status: int, key: str, message: str, *, flat: bool = False) -> Answer:
    """Most refusals are a list of errors; those of the gateway and of reports are one error alone."""
    told = {"error_key": key, "error_message": message}
    return Answer.of(told if flat else [told], status)


@dataclass
class Store:
    """`rows` by table and id, in the order of their making; `events` of campaigns, oldest first; `jobs` in bulk."""

    clock: Clock
    random: random.Random
    rows: dict[str, dict[str, Row]] = field(default_factory=lambda: {name: {} for name in TABLES})
    events: list[Row] = field(default_factory=list)
    jobs: dict[str, Row] = field(default_factory=dict)
    age: int = 0  # of page cursors

    def id(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def now(self) -> str:
        """Contacts are stamped in whole seconds."""
        return whole(self.clock.now())

    def new(self, table: str, values: Mapping[str, Any], at: str = "") -> Row:
        now = at or self.now()
        row = {TABLES[table]: self.id(), **values, "created_at": now, "updated_at": now}
        self.rows[table][row[TABLES[table]]] = row
        return row

    def contact_of(self, email: str) -> Row | None:
        """Addresses are unique, deleted contacts' among them."""
        rows = self.rows["contacts"].values()
        return next(
            (r for r in rows if (r.get("email_address") or {}).get("address", "").lower() == email.lower()), None
        )

    def named(self, table: str, name: str) -> str:
        """The id of the list, tag or field of this name, made where there is none."""
        for id, row in self.rows[table].items():
            if row["name"] == name:
                return id
        made = {"name": name, **({"label": name, "type": "string"} if table == "contact_custom_fields" else {})}
        return str(self.new(table, made)[TABLES[table]])

    # pages

    def page(
        self,
        name: str,
        rows: Iterable[Row],
        query: Mapping[str, str],
        path: str,
        most: int,
        *,
        usual: int = 50,
        test: Callable[[Row], bool] = lambda row: True,
    ) -> Row:
        """A page of those of `rows` that pass the test, with a path-relative link to the next one, in which all of the
        query stands. Rows keep their place, so that one that passes no more makes none slip through."""
        given = self.query(query)
        limit = given.get("limit", str(usual))
        if not limit.isdigit() or not 1 <= int(limit) <= most:
            raise invalid(f"limit must be between 1 and {most}.")
        start = int(given.get("start", "0"))
        left = [(place, row) for place, row in enumerate(rows) if place >= start and test(row)]
        some, rest = left[: int(limit)], left[int(limit) :]
        told: Row = {name: [row for _, row in some], "_links": {}}
        if rest:
            sealed = self._sealed({**given, "start": str(rest[0][0]), "age": str(self.age)})
            told["_links"] = {"next": {"href": f"{path}?cursor={sealed}"}}
        return told

    def query(self, query: Mapping[str, str]) -> Mapping[str, str]:
        """The filters of a call: those of its first page stand in the cursor."""
        return self._unsealed(query["cursor"]) if "cursor" in query else query

    def _sealed(self, value: Mapping[str, str]) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).decode()

    def _unsealed(self, cursor: str) -> dict[str, str]:
        try:
            told: dict[str, str] = orjson.loads(base64.urlsafe_b64decode(cursor))
        except ValueError:
            raise Refused(400, "contacts.api.validation.error", "cursor is not valid") from None
        if told.get("age") != str(self.age):
            raise Refused(400, "contacts.api.validation.error", "cursor has expired")
        return told


def whole(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def local(at: datetime) -> str:
    """Some times are told in the account's own zone."""
    return at.astimezone(BOSTON).isoformat(timespec="seconds")


def after(query: Mapping[str, str], name: str, told: Callable[[Row], Any]) -> Callable[[Row], bool]:
    """Rows whose time is later than the filter `name`; all where it is not given."""
    if name not in query:
        return lambda row: True
    try:
        first = unstamp(query[name])
    except ValueError:
        raise invalid(f"{name} is not valid") from None
    return lambda row: bool(told(row)) and unstamp(told(row)) > first
