"""The sandbox's records: ids, stamps, indexes, the rules that a write must pass, and what a write sets in motion."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from config.clock import Clock, stamp
from connectors.salesforce.sandbox_schema import INDEXED, STAGES, FieldFacts, ObjectFacts, objects
from connectors.salesforce.sandbox_soql import Query, Row, Unknown, folded, reach, stamp_text

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+")

Rule = Callable[[Row], str | None]
"""A validation rule: the message when the row must not be saved so, else None."""


def id18(short: str) -> str:
    """The 18-character form of an id; what is none comes back as it is."""
    if len(short) != 15:
        return short
    tail = ""
    for start in (0, 5, 10):
        bits = sum(1 << n for n, c in enumerate(short[start : start + 5]) if c.isupper())
        tail += _CHECK[bits]
    return short + tail


class Refused(Exception):
    """A write that does not pass: one error of the platform's kind."""

    def __init__(self, code: str, message: str, fields: list[str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.fields, self.more = code, message, fields or [], more


@dataclass(slots=True)
class Store:
    """All objects' rows by id. The switches are documented where the sandbox sets them."""

    clock: Clock
    facts: dict[str, ObjectFacts] = field(default_factory=objects)
    rows: dict[str, dict[str, Row]] = field(default_factory=lambda: defaultdict(dict))
    hidden: dict[tuple[str, str], tuple[str, Row | None]] = field(default_factory=dict)
    rules: dict[str, list[Rule]] = field(default_factory=lambda: defaultdict(list))
    serial: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    late_commits: float = 0.0
    duplicate_rule: bool = False
    user: str = ""
    index: dict[tuple[str, str], dict[Any, set[str]]] = field(default_factory=lambda: defaultdict(dict))

    # reading

    def now(self) -> str:
        """The present with the platform's resolution of one second."""
        return stamp(self.clock.now())[:19] + ".000+0000"

    def find(self, object: str, id: str) -> Row | None:
        """The row by its 15 or 18 character id, deleted or not."""
        return self.rows[object].get(id18(id))

    def object_of(self, id: str) -> str:
        """The object an id belongs to, by its prefix; '' when to none."""
        return next((name for name, facts in self.facts.items() if facts.prefix == id[:3]), "")

    def select(self, query: Query, *, deleted: bool) -> list[Row]:
        """The rows that `query` finds, in its order, without projection."""
        candidates = self._candidates(query)
        now = stamp(self.clock.now())
        seen = [row for row in (self._visible(query.object, row, now) for row in candidates) if row is not None]
        if not deleted:
            seen = [row for row in seen if not row.get("IsDeleted")]
        if query.test is not None:
            dotted = any("." in name for name in query.filtered)
            seen = [row for row in seen if query.test(self.with_parents(query.object, row) if dotted else row)]
        for name, down in reversed(query.order):
            seen.sort(key=lambda row: _sort_key(reach(row, name)), reverse=down)
        return seen[query.offset : None if query.limit is None else query.offset + query.limit]

    def _candidates(self, query: Query) -> list[Row]:
        for name, values in query.lookups.items():
            if name == "Id":
                return [row for row in (self._by_short(query.object, str(v)) for v in dict.fromkeys(values)) if row]
            if name in INDEXED:
                table = self.index[query.object, name]
                ids = {id for value in values for id in table.get(value, ())}
                return [self.rows[query.object][id] for id in sorted(ids)]
        return list(self.rows[query.object].values())

    def _by_short(self, object: str, value: str) -> Row | None:
        return self.rows[object].get(id18(value[:15]))

    def _visible(self, object: str, row: Row, now: str) -> Row | None:
        """The row as a reader sees it: a transaction that is not through yet shows what was before."""
        if not self.hidden:
            return row
        until, before = self.hidden.get((object, row["Id"]), ("", None))
        return before if until > now else row

    def with_parents(self, object: str, row: Row) -> Row:
        """The row with its referenced rows under the relationship's names."""
        parents: Row = {}
        for name, facts in self.facts[object].fields.items():
            if facts.refers and name.endswith("Id") and row.get(name):
                target = self.object_of(row[name])
                parents[name.removesuffix("Id")] = self.find(target, row[name]) if target else None
        return {**row, **parents}

    def check_names(self, query: Query) -> None:
        """Raises Unknown when the query names what the user cannot see."""
        if query.object not in self.facts:
            raise Unknown("INVALID_TYPE", f"sObject type '{query.object}' is not supported.")
        if query.counts:
            return
        for name in query.used:
            self._check_name(query.object, name, name in query.filtered)

    def _check_name(self, object: str, name: str, filtered: bool) -> None:
        known = self.facts[object].fields
        head, dot, rest = name.partition(".")
        if dot:
            facts = known.get(head + "Id")
            if facts is None or not facts.refers:
                raise Unknown("INVALID_FIELD", f"Didn't understand relationship '{head}' in field path.")
            return self._check_name(facts.refers, rest, filtered)
        facts = known.get(name)
        if facts is None or facts.hidden:
            raise Unknown(
                "INVALID_FIELD",
                f"\nSELECT {name} FROM {object}\n       ^\nERROR at Row:1:Column:8\nNo such column '{name}' on entity "
                f"'{object}'. If you are attempting to use a custom field, be sure to append the '__c' after the "
                "custom field name. Please reference your WSDL or the describe call for the appropriate names.",
            )
        if filtered and not facts.filterable:
            raise Unknown("INVALID_FIELD", f"field '{name}' can not be filtered in a query call")
        return None

    # writing

    def insert(
        self, object: str, values: Mapping[str, Any], *, allow_duplicates: bool = True, admin: bool = False
    ) -> Row:
        """A new row. `admin` may set read-only fields (the sandbox's own people do). Raises Refused."""
        cleaned = self._cleaned(object, values, creating=True, admin=admin)
        row: Row = {name: (False if f.type == "boolean" else None) for name, f in self.facts[object].fields.items()}
        row.update(self._defaults(object))
        row.update(cleaned)
        self._derive(object, row)
        self._require(object, row)
        self._pass_rules(object, row)
        self._unique(object, row, "")
        if not allow_duplicates:
            self._no_duplicate(object, row)
        now = self.now()
        row["Id"] = cleaned.get("Id") or self._new_id(object)
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            row[name] = cleaned.get(name) or now
        row["CreatedById"] = self.user or None
        self._hide(object, row["Id"], None)
        self.rows[object][row["Id"]] = row
        self._enter(object, row)
        return row

    def update(self, object: str, id: str, values: Mapping[str, Any], *, admin: bool = False) -> Row:
        """Change a row; its stamp moves even when nothing else does. Raises Refused."""
        row = self.find(object, id)
        if row is None or row.get("IsDeleted"):
            if row is None:
                raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            raise Refused("ENTITY_IS_DELETED", "entity is deleted")
        if row.get("IsConverted") and not admin:
            raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        changed = {**row, **self._cleaned(object, values, creating=False, admin=admin)}
        self._derive(object, changed)
        self._require(object, changed)
        self._pass_rules(object, changed)
        self._unique(object, changed, row["Id"])
        self._hide(object, row["Id"], dict(row))
        self._leave(object, row)
        row.update(changed)
        row["LastModifiedDate"] = row["SystemModstamp"] = self.now()
        self._enter(object, row)
        return row

    def delete(self, object: str, id: str, *, into: str | None = None) -> Row:
        """Into the bin: the row stays with IsDeleted, and MasterRecordId when it was merged away. Raises Refused."""
        row = self.find(object, id)
        if row is None:
            raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if row.get("IsDeleted"):
            raise Refused("ENTITY_IS_DELETED", "entity is deleted")
        row["IsDeleted"] = True
        if into is not None:
            row["MasterRecordId"] = into
        row["SystemModstamp"] = self.now()
        return row

    def touch(self, object: str, id: str) -> None:
        """Move the stamp and nothing else, as automation does."""
        self.rows[object][id18(id)]["SystemModstamp"] = self.now()

    def _new_id(self, object: str) -> str:
        self.serial[object] += 1
        number, digits = self.serial[object], ""
        while number:
            number, digit = divmod(number, 62)
            digits = _BASE62[digit] + digits
        return id18(self.facts[object].prefix + "5g" + digits.rjust(10, "0"))

    def _defaults(self, object: str) -> Row:
        given: Row = {}
        if "OwnerId" in self.facts[object].fields and self.user:
            given["OwnerId"] = self.user
        if object == "Lead":
            given["Status"] = "Open - Not Contacted"
        if object == "Task":
            given.update(Status="Not Started", Priority="Normal")
        if object == "CampaignMember":
            given["Status"] = "Sent"
        if object == "User":
            given.update(IsActive=True, UserType="Standard")
        return given

    def _hide(self, object: str, id: str, before: Row | None) -> None:
        if self.late_commits > 0:
            from datetime import timedelta

            until = stamp(self.clock.now() + timedelta(seconds=self.late_commits))
            self.hidden[object, id] = (until, before)

    def _enter(self, object: str, row: Row) -> None:
        for name in INDEXED:
            if row.get(name) is not None:
                self.index[object, name].setdefault(folded(name, row[name]), set()).add(row["Id"])

    def _leave(self, object: str, row: Row) -> None:
        for name in INDEXED:
            if row.get(name) is not None:
                self.index[object, name].get(folded(name, row[name]), set()).discard(row["Id"])

    def reindex(self) -> None:
        """Build the indexes anew from the rows."""
        self.index.clear()
        for object, rows in self.rows.items():
            for row in rows.values():
                self._enter(object, row)

    # what a write must pass

    def _cleaned(self, object: str, values: Mapping[str, Any], *, creating: bool, admin: bool) -> Row:
        known = self.facts[object].fields
        cleaned: Row = {}
        for name, value in values.items():
            facts = known.get(name)
            if facts is None or facts.hidden:
                raise Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {object}", [name])
            if not admin and not (facts.create if creating else facts.update):
                verb = "create" if creating else "update"
                raise Refused(
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    f"Unable to {verb} fields: {name}. Please check the security settings of this field and verify "
                    "that it is read/write for your profile or permission set.",
                    [name],
                )
            cleaned[name] = self._value(facts, value)
        return cleaned

    def _value(self, facts: FieldFacts, value: Any) -> Any:
        if isinstance(value, str):
            value = value.strip() or None
        if value is None:
            return False if facts.type == "boolean" else None
        form: Callable[[Store, FieldFacts, Any], Any] = _FORMS.get(facts.type, _text)
        return form(self, facts, value)

    def _derive(self, object: str, row: Row) -> None:
        if object in ("Lead", "Contact", "User"):
            row["Name"] = " ".join(part for part in (row.get("FirstName"), row.get("LastName")) if part) or None
        if object == "Opportunity":
            stage = next((stage for stage in STAGES if stage[0] == row.get("StageName")), None)
            if stage is not None:
                row["IsClosed"], row["IsWon"], row["ForecastCategoryName"] = stage[1], stage[2], stage[4]
                row["Probability"] = float(stage[3])
        if object == "CampaignMember":
            row["HasResponded"] = row.get("Status") == "Responded"
            if row["HasResponded"] and not row.get("FirstRespondedDate"):
                row["FirstRespondedDate"] = self.now()[:10]

    def _require(self, object: str, row: Row) -> None:
        missing = [f.name for f in self.facts[object].fields.values() if f.required and row.get(f.name) is None]
        if missing:
            raise Refused(
                "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", list(missing)
            )

    def _pass_rules(self, object: str, row: Row) -> None:
        for rule in self.rules[object]:
            message = rule(row)
            if message:
                raise Refused("FIELD_CUSTOM_VALIDATION_EXCEPTION", message)

    def _unique(self, object: str, row: Row, own: str) -> None:
        for facts in self.facts[object].fields.values():
            if not facts.unique or row.get(facts.name) is None:
                continue
            held = self.index[object, facts.name].get(folded(facts.name, row[facts.name]), set())
            for other in held - {own}:
                if not self.rows[object][other]["IsDeleted"]:
                    message = f"duplicate value found: {facts.name} duplicates value on record with id: {other[:15]}"
                    raise Refused("DUPLICATE_VALUE", message)

    def _no_duplicate(self, object: str, row: Row) -> None:
        if not self.duplicate_rule or object not in ("Lead", "Contact") or not row.get("Email"):
            return
        held = self.index[object, "Email"].get(folded("Email", row["Email"]), set())
        for other in sorted(held):
            if not self.rows[object][other]["IsDeleted"] and not self.rows[object][other].get("IsConverted"):
                raise Refused("DUPLICATES_DETECTED", "Use one of these records?", more_id=other, object=object)

    def live(self, object: str) -> Iterator[Row]:
        return (row for row in self.rows[object].values() if not row.get("IsDeleted"))


def _sort_key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else "")


def _text(_: Store, facts: FieldFacts, value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(
            "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{facts.name}: value not of required type: {value}", [facts.name]
        )
    if facts.length and len(value) > facts.length:
        message = f"{facts.name}: data value too large: {value[:80]} (max length={facts.length})"
        raise Refused("STRING_TOO_LONG", message, [facts.name])
    return value


def _email(store: Store, facts: FieldFacts, value: Any) -> str:
    text = _text(store, facts, value)
    if not _EMAIL.fullmatch(text):
        raise Refused("INVALID_EMAIL_ADDRESS", f"{facts.name}: invalid email address: {text}", [facts.name])
    return text.lower()


def _picklist(store: Store, facts: FieldFacts, value: Any) -> str:
    text = _text(store, facts, value)
    if facts.restricted and text not in facts.options:
        message = f"{facts.name}: bad value for restricted picklist field: {text}"
        raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [facts.name])
    return text


def _boolean(_: Store, facts: FieldFacts, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{facts.name}: value not of required type: {value}", [facts.name])


def _number(_: Store, facts: FieldFacts, value: Any) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        message = f"{facts.name}: value not of required type: {value}"
        raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", message, [facts.name]) from error
    if abs(number) >= 1e16:
        message = f"{facts.name}: value outside of valid range on numeric field: {value}"
        raise Refused("NUMBER_OUTSIDE_VALID_RANGE", message, [facts.name])
    return int(number) if facts.type == "int" else number


def _day(_: Store, facts: FieldFacts, value: Any) -> str:
    if re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", str(value)):
        return str(value)[:10]
    raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{facts.name}: value not of required type: {value}", [facts.name])


def _instant(_: Store, facts: FieldFacts, value: Any) -> str:
    try:
        return stamp_text(str(value))[:19] + ".000+0000"
    except Exception as error:
        message = f"{facts.name}: value not of required type: {value}"
        raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", message, [facts.name]) from error


def _reference(store: Store, facts: FieldFacts, value: Any) -> str:
    text = id18(str(value))
    if not re.fullmatch(r"[0-9A-Za-z]{18}", text):
        raise Refused("MALFORMED_ID", f"{facts.name}: id value of incorrect type: {value}", [facts.name])
    target = store.object_of(text)
    row = store.find(target, text) if target else None
    if row is None:
        raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [facts.name])
    if row.get("IsDeleted"):
        raise Refused("ENTITY_IS_DELETED", "entity is deleted", [facts.name])
    return text


_FORMS: Mapping[str, Callable[[Store, FieldFacts, Any], Any]] = {
    "email": _email,
    "picklist": _picklist,
    "boolean": _boolean,
    "int": _number,
    "double": _number,
    "currency": _number,
    "percent": _number,
    "date": _day,
    "datetime": _instant,
    "reference": _reference,
    "id": lambda store, facts, value: id18(str(value)),
}
