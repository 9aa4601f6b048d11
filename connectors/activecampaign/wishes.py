"""What an operation asks of a contact, sorted by the calls that it takes; what may never be asked is refused here.

An opt-out travels, an opt-in never: no status that has mails sent is ever written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.errors import RecordRejected
from connectors.activecampaign.contacts import JOINED, LISTS, TAGS, UNSUBSCRIBED
from connectors.activecampaign.objects import FIELDS, SEVERAL, CustomField, Known
from connectors.api import Operation, Verb

PLAIN: Mapping[str, str] = {
    "email": "email",
    "firstName": "first_name",
    "lastName": "last_name",
    "phone": "phone",
}
"""A contact's own members that can be written, and what an import calls them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One operation: members, custom fields by id, tags on or off, lists to take off (`out` is all of them that count),
    lists to put on who was never there."""

    operation: Operation
    values: Mapping[str, Any]
    custom: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, bool] = field(default_factory=dict)
    off: Sequence[str] = ()
    out: bool = False
    joins: Sequence[str] = ()

    @property
    def email(self) -> str:
        """The address the contact has, or will have."""
        return str(self.operation.match.get("email") or self.values.get("email") or "")

    @property
    def creates(self) -> bool:
        return self.operation.verb is Verb.CREATE

    @property
    def looks(self) -> bool:
        """Whether it depends on where the contact stands."""
        return bool(self.off or self.out or self.joins or not all(self.tags.values()))

    @property
    def importable(self) -> bool:
        """Whether an import can say it: it clears nothing, takes no tag off, and moves no address."""
        held = (*self.values.values(), *self.custom.values())
        if any(value in (None, "") for value in held) or not all(self.tags.values()):
            return False
        return not self.looks and bool(self.email) if self.creates else "email" not in self.values

    @property
    def body(self) -> dict[str, Any]:
        """The contact as the calls for one contact take it."""
        told = {name: "" if value is None else value for name, value in self.values.items()}
        if self.custom:
            told["fieldValues"] = [{"field": id, "value": value} for id, value in self.custom.items()]
        return told

    def imported(self, email: str, off: Sequence[str], joins: Sequence[str]) -> dict[str, Any]:
        """The contact as an import takes it."""
        told: dict[str, Any] = {PLAIN[name]: value for name, value in self.values.items()} | {"email": email}
        if self.custom:
            told["fields"] = [{"id": int(id), "value": str(value)} for id, value in self.custom.items()]
        if self.tags:
            told["tags"] = list(self.tags)
        if off:
            told["unsubscribe"] = [{"listid": list} for list in off]
        if joins:
            told["subscribe"] = [{"listid": list} for list in joins]
        return told


def wish(operation: Operation, known: Known) -> Wish:
    """The operation, sorted. RecordRejected for what can or may not be written."""
    values: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    tags: dict[str, bool] = {}
    off: list[str] = []
    joins: list[str] = []
    out = False
    for name, value in operation.values.items():
        if name in PLAIN:
            values[name] = value
        elif name.startswith(FIELDS):
            one = _custom(name, known)
            custom[one.id] = _held(one, value)
        elif name.startswith(TAGS):
            tags[name.removeprefix(TAGS)] = bool(value)
        elif name.startswith(JOINED):
            joins += [_list(name, known)] if value else []
        elif name == "consent":
            out = _opt_out(operation, name, value)
        elif name.startswith(LISTS):
            off += [_list(name, known)] if _opt_out(operation, name, value) else []
        else:
            raise _refused(f"{name} of a contact cannot be written.", "Map it with direction: pull.", name, "read_only")
    return Wish(operation, values, custom, tags, off, out, joins)


def _opt_out(operation: Operation, name: str, value: Any) -> bool:
    """Whether it is an opt-out. Anything else says nothing of somebody new, and is refused for somebody known."""
    if value == UNSUBSCRIBED:
        return True
    if operation.verb is Verb.UPDATE:
        fix = "The person must opt in by what they do."
        raise _refused("Only an opt-out can be written to ActiveCampaign.", fix, name, "consent")
    return False


def _custom(name: str, known: Known) -> CustomField:
    found = known.fields.get(name.removeprefix(FIELDS))
    if found is None:
        fix = "Write fields.<TAG>, as Contacts > Manage fields shows it without the percent signs."
        raise _refused("There is no such custom field.", fix, name, "unknown_field")
    return found


def _held(one: CustomField, value: Any) -> Any:
    """The value in the form that ActiveCampaign holds: several values stand between double bars."""
    if value is None:
        return ""
    if one.type in SEVERAL and str(value):
        return "||" + "||".join(part for part in str(value).split("||") if part) + "||"
    return value


def _list(name: str, known: Known) -> str:
    id = name.rpartition(".")[2]
    if id not in known.lists:
        raise _refused("There is no such list, or the user may not see it.", "Correct the list's id.", name, "list")
    return id


def _refused(what: str, fix: str, field: str, code: str) -> RecordRejected:
    return RecordRejected(what, fix=fix, field=field, code=code)


def gone() -> RecordRejected:
    return RecordRejected("The contact is there no more.", fix="The next sync notices it.", code="gone")
