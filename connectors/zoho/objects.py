"""The objects as the connector names them, what Zoho calls them, and how a row becomes a record's raw.

A field of `raw` stands under its API name. A lookup is an object of which the mapping names the members that it wants
(`Owner.id`, `Account_Name.Account_Name`); tags are a list of names. Some fields are made here of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import Gone, Record
from connectors.zoho.client import Client, Row

WON, LOST = "closed won", "closed lost"
PEOPLE: Mapping[str, str] = {"Leads": "leads", "Contacts": "contacts"}
"""Module -> the object of a person."""


class Known:
    """What rarely changes and is looked up once: the fields of a module, and what the stages of deals mean."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._fields: dict[str, Sequence[Row]] = {}
        self._stages: dict[str, str] | None = None
        self._piped = False
        self.refused: dict[str, set[str]] = {}
        """Module -> columns that COQL does not take."""

    def fields(self, module: str) -> Sequence[Row]:
        if module not in self._fields:
            self._fields[module] = self._client.fields(module)
        return self._fields[module]

    def fields_anew(self, module: str) -> Sequence[Row]:
        """The fields as they are now: an admin may have changed them."""
        self._fields.pop(module, None)
        return self.fields(module)

    def forecast(self, stage: Any) -> str:
        """The forecast type of a stage in lower case ("open", "closed won", "closed lost"), whatever the stage is
        called; '' of a stage that neither the field nor a pipeline knows."""
        if self._stages is None:
            picks = (
                field.get("pick_list_values") or () for field in self.fields("Deals") if field["api_name"] == "Stage"
            )
            self._stages = _forecasts(pick for some in picks for pick in some)
        if str(stage) not in self._stages and not self._piped:
            self._piped = True
            self._stages |= _forecasts(pick for line in self._client.pipelines() for pick in line.get("maps") or ())
        return self._stages.get(str(stage), "")

    def forget_stages(self) -> None:
        self._stages, self._piped = None, False
        self._fields.pop("Deals", None)


def _forecasts(picks: Any) -> dict[str, str]:
    return {
        str(pick[name]): str(pick.get("forecast_type") or "").lower()
        for pick in picks
        for name in ("display_value", "actual_value")
        if pick.get(name)
    }


@dataclass(frozen=True, slots=True)
class Made:
    """A field that is made of others: those `of` which it is made, its type, and how."""

    of: tuple[str, ...]
    type: str
    make: Callable[[Row, Known], Any]


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """`phases` are the walks of a pull, in order (see pull.py); `quiet` are columns that are asked for where they can
    be had, and done without where not."""

    module: str
    phases: tuple[str, ...] = ("changed",)
    made: Mapping[str, Made] = field(default_factory=dict)
    quiet: tuple[str, ...] = ()
    fixed: bool = False


def _closed(row: Row, known: Known) -> bool | None:
    kind = known.forecast(row.get("Stage"))
    return kind.startswith("closed") if kind else None


def _won(row: Row, known: Known) -> bool | None:
    kind = known.forecast(row.get("Stage"))
    return kind == WON if kind else None


def _share(row: Row, known: Known) -> str | None:
    percent = row.get("Probability")
    return None if percent is None else format((Decimal(str(percent)) / 100).normalize(), "f")


def _person(row: Row) -> tuple[str | None, str | None]:
    """(id, object) of the person of an activity: its contact, else the lead that it is about."""
    contact = row.get("Who_Id")
    if isinstance(contact, dict) and contact.get("id"):
        return str(contact["id"]), "contacts"
    about = row.get("What_Id")
    object = PEOPLE.get(str(row.get("$se_module")))
    if object and isinstance(about, dict) and about.get("id"):
        return str(about["id"]), object
    return None, None


def _parent(row: Row) -> tuple[str | None, str | None]:
    """(id, object) of the person that a note stands at."""
    parent = row.get("Parent_Id")
    parent = parent if isinstance(parent, dict) else {}
    module = parent.get("module")
    name = module.get("api_name") if isinstance(module, dict) else module or row.get("$se_module")
    object = PEOPLE.get(str(name))
    return (str(parent["id"]), object) if object and parent.get("id") else (None, None)


def _of_person(of: tuple[str, ...], find: Callable[[Row], tuple[str | None, str | None]]) -> dict[str, Made]:
    return {
        "Person_Id": Made(of, "text", lambda row, known: find(row)[0]),
        "Person_Object": Made(of, "text", lambda row, known: find(row)[1]),
    }


_ACTIVITY = _of_person(("Who_Id", "What_Id", "$se_module"), _person)
_KEPT = ("changed", "deleted")

OBJECTS: Mapping[str, ObjectFacts] = {
    "users": ObjectFacts("users", fixed=True),
    "accounts": ObjectFacts("Accounts", _KEPT),
    "campaigns": ObjectFacts("Campaigns"),
    "leads": ObjectFacts("Leads", ("changed", "converted", "deleted"), quiet=("Converted__s",)),
    "contacts": ObjectFacts("Contacts", _KEPT),
    "deals": ObjectFacts(
        "Deals",
        _KEPT,
        {
            "Stage_Closed": Made(("Stage",), "boolean", _closed),
            "Stage_Won": Made(("Stage",), "boolean", _won),
            "Win_Probability": Made(("Probability",), "number", _share),
        },
    ),
    "contact_roles": ObjectFacts("Deals", fixed=True),
    "campaign_members": ObjectFacts("Campaigns", fixed=True),
    "tasks": ObjectFacts("Tasks", made=_ACTIVITY),
    "calls": ObjectFacts("Calls", made=_ACTIVITY),
    "meetings": ObjectFacts("Events", made=_ACTIVITY),
    "notes": ObjectFacts("Notes", ("listed",), _of_person(("Parent_Id", "$se_module"), _parent)),
}
BY_MODULE: Mapping[str, str] = {facts.module: name for name, facts in OBJECTS.items() if not facts.fixed}
CONVERTED = ("Modified_Time", "Converted_Contact")
"""What is asked of a converted lead."""


def wanted(object: str, fields: Sequence[str]) -> list[str]:
    """The fields to ask for, so that `fields` can be told; Modified_Time always. Every row tells its id unasked."""
    facts = OBJECTS[object]
    names = ["Modified_Time"]
    for name in fields:
        if name != "id":
            names.extend(facts.made[name].of if name in facts.made else (name.partition(".")[0],))
    return list(dict.fromkeys(names))


def further(fields: Sequence[str]) -> list[str]:
    """What a query asks for beside the lookups themselves: members that are neither their id nor their name."""
    return list(dict.fromkeys(name for name in fields if "." in name and name.partition(".")[2] not in ("id", "name")))


def reader(object: str, fields: Sequence[str], known: Known) -> Callable[[Row], Record]:
    """What turns a row into a record with just `fields`."""
    made = {name: OBJECTS[object].made[name].make for name in fields if name in OBJECTS[object].made}
    members: dict[str, list[str]] = {}
    for name in fields:
        if "." in name:
            members.setdefault(name.partition(".")[0], []).append(name.partition(".")[2])
    plain = [name for name in fields if name not in made and name not in members and "." not in name]

    def read(row: Row) -> Record:
        raw = {name: _plain(row[name]) for name in plain if name in row}
        for name, wanted in members.items():
            if name in row or any(f"{name}.{member}" in row for member in wanted):
                raw[name] = {member: _member(row, name, member) for member in wanted}
        raw |= {name: make(row, known) for name, make in made.items()}
        return Record(str(row["id"]), orjson.dumps(raw), moment(row.get("Modified_Time")))

    return read


def _plain(value: Any) -> Any:
    """A value as the mapping takes it: of tags (and other lists of named things) the names."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return [item["name"] for item in value]
    return value


def _member(row: Row, name: str, member: str) -> Any:
    """A member of a lookup. A query tells it under the whole path, a list only ever tells id and name."""
    if f"{name}.{member}" in row:
        return row[f"{name}.{member}"]
    held = row.get(name)
    if isinstance(held, dict):
        return held.get(member, held.get("name"))
    return held if member == "id" else None


def gone(id: str, at: str, why: Gone, contact: str = "") -> Record:
    """A record that is no more; a converted lead lives on as a contact."""
    return Record(id, b"{}", moment(at), why, contact, "contacts" if contact else "")


def moment(told: Any) -> str:
    """An instant, told with the offset of the user's time zone, as a stamp."""
    return stamp(unstamp(str(told))) if told else ""


def contact_of(row: Row) -> str:
    """The contact that a converted lead became; '' where the row does not tell."""
    told = row.get("Converted_Contact") or (row.get("$converted_detail") or {}).get("contact")
    id = told.get("id") if isinstance(told, dict) else told
    return str(id) if id else ""
