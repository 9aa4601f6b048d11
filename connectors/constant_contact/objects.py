"""The objects as the connector names them, and how a contact becomes a record's raw.

A field of a contact's `raw` is one of its own properties, a member of its `email_address` (the address itself is
`email`), or one that is made here of its lists of ids, kinds and choices, so that a mapping can name it:
`custom_fields.<name>`, `tags.<name>`, `lists.<name>`, `phones.<kind>`, `address.<part>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import FieldSchema, Gone, Record
from connectors.constant_contact.client import DELETED, Client, Row

CONTACTS, CAMPAIGNS, ACTIVITY = "contacts", "campaigns", "email_activity"
OBJECTS = (CONTACTS, CAMPAIGNS, ACTIVITY)

CORE: Mapping[str, FieldSchema] = {
    field.name: field
    for field in (
        FieldSchema("first_name", "text", "First name", length=50),
        FieldSchema("last_name", "text", "Last name", length=50),
        FieldSchema("job_title", "text", "Job title", length=50),
        FieldSchema("company_name", "text", "Company", length=50),
        FieldSchema("birthday_month", "integer", "Month of the birthday"),
        FieldSchema("birthday_day", "integer", "Day of the birthday"),
        FieldSchema("anniversary", "date", "Anniversary", length=10),
    )
}
"""The properties that a PUT overwrites with nothing where it leaves them out."""
_PERMISSIONS = ("explicit", "implicit", "not_set", "pending_confirmation", "temp_hold", "unsubscribed")
EMAIL: Mapping[str, FieldSchema] = {
    field.name: field
    for field in (
        FieldSchema("email", "email", "E-mail address", unique=True, length=80),
        FieldSchema("permission_to_send", "choice", "Permission", options=_PERMISSIONS),
        FieldSchema("opt_out_reason", "text", "Reason of the opt-out", length=255),
        FieldSchema("confirm_status", "text", writable=False),
        FieldSchema("opt_in_source", "text", writable=False),
        FieldSchema("opt_in_date", "datetime", writable=False),
        FieldSchema("opt_out_source", "text", writable=False),
        FieldSchema("opt_out_date", "datetime", writable=False),
    )
}
"""Members of `email_address`; `email` is its `address`."""
_TOLD = {
    field.name: field
    for field in (
        FieldSchema("id", "text", writable=False),
        FieldSchema("create_source", "text", writable=False),
        FieldSchema("update_source", "text", writable=False),
        FieldSchema("created_at", "datetime", writable=False),
        FieldSchema("updated_at", "datetime", writable=False),
        FieldSchema("taggings", "choices", "Names of the tags", writable=False),
        FieldSchema("list_memberships", "choices", "Names of the lists", writable=False),
        FieldSchema("phone", "phone", "Main phone number", length=25),
    )
}
KINDS = ("work", "other", "home")
"""Of addresses and of phone numbers that are no mobile ones; the first that is there is the main one."""
PHONES = (*KINDS, "mobile")
PARTS: Mapping[str, int] = {"street": 255, "city": 50, "state": 50, "postal_code": 50, "country": 50}
"""Of an address, with their lengths."""

CUSTOM, TAGS, LISTS, PHONE, ADDRESS = "custom_fields.", "tags.", "lists.", "phones.", "address."
INCLUDED = {
    CUSTOM: "custom_fields",
    TAGS: "taggings",
    LISTS: "list_memberships",
    PHONE: "phone_numbers",
    ADDRESS: "street_addresses",
    "taggings": "taggings",
    "list_memberships": "list_memberships",
    "phone": "phone_numbers",
}
"""Fields, or what they begin with -> the part of a contact that must be asked for by `include`."""
WHOLE = ("custom_fields", "list_memberships", "phone_numbers", "street_addresses", "taggings")

_TYPES = {
    "number": "number", "currency": "number", "date": "date", "datetime": "date", "boolean": "boolean",
    "single_select": "choice", "multi_select": "choices",
}  # fmt: skip


class Known:
    """What rarely changes and is looked up once: custom fields, tags and lists."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._fields: dict[str, Row] | None = None
        self._tags: dict[str, str] | None = None
        self._lists: dict[str, str] | None = None

    @property
    def fields(self) -> Mapping[str, Row]:
        """Custom fields by id."""
        if self._fields is None:
            rows = self._client.all("contact_custom_fields", "custom_fields", {"limit": 100})
            self._fields = {str(row["custom_field_id"]): row for row in rows}
        return self._fields

    @property
    def tags(self) -> dict[str, str]:
        """Names of tags by id."""
        if self._tags is None:
            rows = self._client.all("contact_tags", "tags", {})
            self._tags = {str(row["tag_id"]): str(row["name"]) for row in rows}
        return self._tags

    @property
    def lists(self) -> Mapping[str, str]:
        """Names of lists by id."""
        if self._lists is None:
            rows = self._client.all("contact_lists", "lists", {})
            self._lists = {str(row["list_id"]): str(row["name"]) for row in rows}
        return self._lists

    def field(self, name: str) -> Row | None:
        return next((row for row in self.fields.values() if row.get("name") == name), None)

    def plain(self, name: str) -> bool:
        """Whether the custom field is one of text, numbers or dates: one without choices."""
        return (self.field(name) or {}).get("type") not in ("single_select", "multi_select")

    def list(self, told: str) -> str | None:
        """The id of the list of this name, or of this id."""
        return told if told in self.lists else id_of(self.lists, told)

    def tag(self, name: str) -> str | None:
        """The id of the tag; looked up anew where it is not known, for somebody else may have made it."""
        found = id_of(self.tags, name)
        if found is None:
            self._tags = None
            found = id_of(self.tags, name)
        return found


def id_of(names: Mapping[str, str], name: str) -> str | None:
    """The id of the first thing called `name`, case apart."""
    return next((id for id, told in names.items() if told.casefold() == name.casefold()), None)


def included(fields: Sequence[str]) -> list[str]:
    """What of a contact must be asked for, so that `fields` can be told."""
    found = [part for name, part in INCLUDED.items() for field in fields if _names(name, field)]
    return list(dict.fromkeys(found))


def _names(name: str, field: str) -> bool:
    return field.startswith(name) if name.endswith(".") else field == name


def schema(known: Known) -> dict[str, FieldSchema]:
    """The fields of contacts, the account's own among them."""
    found = {**CORE, **EMAIL, **_TOLD}
    for row in known.fields.values():
        name, choices = f"{CUSTOM}{row.get('name')}", row.get("choices") or ()
        kind = _TYPES.get(str(row.get("type")), "text")
        options = tuple(str(choice.get("choice_label")) for choice in choices)
        found[name] = FieldSchema(name, kind, str(row.get("label") or ""), length=255, options=options)
    for kind in PHONES:
        found[f"{PHONE}{kind}"] = FieldSchema(f"{PHONE}{kind}", "phone", f"Phone ({kind})", length=25)
    for part, length in PARTS.items():
        found[f"{ADDRESS}{part}"] = FieldSchema(f"{ADDRESS}{part}", "text", f"Address: {part}", length=length)
    return found


def reader(fields: Sequence[str], known: Known) -> Callable[[Row], Record]:
    """What turns a contact into a record with just `fields`; a deleted one is gone. Names are looked up once, when the
    first contact comes."""
    getters = cache(lambda: [(*field.partition(".")[::2], _getter(field, known)) for field in fields])

    def read(row: Row) -> Record:
        id, version = str(row["contact_id"]), version_of(row)
        if row.get(DELETED):
            return Record(id, b"{}", version, Gone.DELETED)
        raw: dict[str, Any] = {}
        for top, rest, get in getters():
            if rest:
                raw.setdefault(top, {})[rest] = get(row)
            else:
                raw[top] = get(row)
        return Record(id, orjson.dumps(raw), version)

    return read


def stands(row: Row, fields: Iterable[str], known: Known) -> dict[str, Any]:
    """What a contact holds of `fields`."""
    return {field: _getter(field, known)(row) for field in fields}


def look_up(fields: Sequence[str], known: Known) -> None:
    """Look up the names that `fields` are read with. Asked for after a write, their loss would be the write's."""
    for field in fields:
        _getter(field, known)


def _getter(field: str, known: Known) -> Callable[[Row], Any]:
    """What tells the field of a contact."""
    start, dot, name = field.partition(".")
    match start + dot:
        case "id":
            return lambda row: row["contact_id"]
        case "email":
            return lambda row: (row.get("email_address") or {}).get("address")
        case "taggings":
            return _names_of("taggings", known.tags)
        case "list_memberships":
            return _names_of("list_memberships", known.lists)
        case "tags.":
            return _membership("taggings", id_of(known.tags, name))
        case "lists.":
            return _membership("list_memberships", known.list(name))
        case "phone":
            return lambda row: (main(row.get("phone_numbers"), KINDS) or {}).get("phone_number")
        case "phones.":
            return lambda row: (main(row.get("phone_numbers"), (name,)) or {}).get("phone_number")
        case "address.":
            return lambda row: (main(row.get("street_addresses"), KINDS) or {}).get(name)
        case "custom_fields.":
            return _custom(known.field(name))
    if field in EMAIL:
        return lambda row: (row.get("email_address") or {}).get(field)
    return lambda row: row.get(field)


def _names_of(part: str, names: Mapping[str, str]) -> Callable[[Row], list[str]]:
    return lambda row: sorted(names[id] for id in row.get(part) or () if id in names)


def _membership(part: str, id: str | None) -> Callable[[Row], bool]:
    return lambda row: id is not None and id in (row.get(part) or ())


def _custom(field: Row | None) -> Callable[[Row], Any]:
    """The value of a custom field; of one with choices their labels."""
    if field is None:
        return lambda row: None
    id, several = field["custom_field_id"], field.get("type") == "multi_select"
    labels = {str(choice.get("choice_id")): choice.get("choice_label") for choice in field.get("choices") or ()}

    def value(row: Row) -> Any:
        rows = row.get("custom_fields") or ()
        held: Row = next((one for one in rows if one.get("custom_field_id") == id), {})
        if not held.get("choice_ids"):
            return held.get("value")
        chosen = [labels.get(str(one), str(one)) for one in held["choice_ids"]]
        return chosen if several else chosen[0]

    return value


def main(rows: Any, kinds: Sequence[str]) -> Row | None:
    """The first of `rows` by the order of `kinds`."""
    return next((row for kind in kinds for row in rows or () if row.get("kind") == kind), None)


def version_of(row: Row) -> str:
    """The later of the contact's own time and its address's: an opt-out moves the second one only."""
    email = row.get("email_address") or {}
    return max(moment(row.get("updated_at")), moment(email.get("updated_at")), moment(email.get("opt_out_date")))


def moment(told: Any) -> str:
    """An instant as a stamp; '' where there is none. They come with an offset, or with Z."""
    return stamp(unstamp(str(told))) if told else ""
