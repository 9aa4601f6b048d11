"""Salesforce behind the port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from config.errors import Misconfigured, PermissionMissing, RecordRejected
from connectors import manifest
from connectors.api import (
    Account,
    FieldSchema,
    Health,
    Notice,
    ObjectSchema,
    Operation,
    Page,
    Quota,
    Record,
    Request,
    Result,
    Surroundings,
)
from connectors.salesforce import platform
from connectors.salesforce.client import Client
from connectors.salesforce.objects import OBJECTS, ObjectFacts
from connectors.salesforce.pull import Pull
from connectors.salesforce.push import Push
from connectors.salesforce.read import REFERENCE, by_key, rows
from connectors.scopes import beyond

EXTERNAL_ID = "Closedloop_Id__c"
OVERLAP = 300
SETTLE = 5
_PERSON = ("create", "update", "archive", "erase")
PUSHED = {"leads": _PERSON, "contacts": _PERSON, "tasks": ("create", "archive")}
CONSENT = "HasOptedOutOfEmail"

_TYPES = {
    "email": "email",
    "phone": "phone",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
    "picklist": "choice",
    "multipicklist": "choices",
    "reference": "reference",
    "address": "object",
    "location": "object",
    "anyType": "object",
    "complexvalue": "object",
}


def open(account: Account, surroundings: Surroundings) -> SalesforceConnector:
    """The connector of an account; nothing is sent yet."""
    return SalesforceConnector(account, surroundings)


class SalesforceConnector:
    """One Salesforce org."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account = account
        self._client = Client(account, surroundings)
        self._schemas: dict[str, ObjectSchema] = {}

    @property
    def calls(self) -> int:
        return self._client.calls

    def check(self) -> Health:
        """Organisation, allowance and object permissions in three calls, and the descriptions of leads and contacts."""
        [org] = rows(self._client, "SELECT Id, Name, IsSandbox, OrganizationType FROM Organization", "")
        limits = self._client.get("limits")
        seen = {one["name"]: one for one in self._client.get("sobjects")["sobjects"]}
        daily = limits.get("DailyApiRequests") or {"Max": 0, "Remaining": 0}
        notes = [f"{org['OrganizationType']}{', a sandbox org' if org.get('IsSandbox') else ''}"]
        missing = [*_missing_objects(seen), *self._missing_fields(notes)]
        quota = Quota("day", daily["Max"] - daily["Remaining"], daily["Max"])
        return Health(
            org["Id"], org["Name"], tuple(missing), (quota,), tuple(notes), self._extra(), self._client.clock.ahead
        )

    def _extra(self) -> tuple[str, ...]:
        """`offline_access` is another word for `refresh_token`."""
        granted = self._client.login.scopes() - {"offline_access"}
        return beyond(manifest.load(platform.folder), granted)

    def _missing_fields(self, notes: list[str]) -> list[str]:
        missing = []
        for object in ("leads", "contacts"):
            try:
                fields = self._described(object).fields
            except PermissionMissing:
                continue  # told by the object permissions already
            if CONSENT not in fields:
                missing.append(f"{OBJECTS[object].sobject}.{CONSENT} (field-level security)")
            if self._external_id and self._external_id not in fields:
                notes.append(
                    f"{OBJECTS[object].sobject} has no field {self._external_id}: make it (text, external id, unique), "
                    "or set external_id_field to '' and match by e-mail"
                )
        return missing

    def describe(self, object: str) -> ObjectSchema:
        facts = self._facts(object)
        body = self._client.get(f"sobjects/{facts.sobject}/describe", object=object)
        fields = {field.name: field for told in body["fields"] for field in _fields(told)}
        made = {name: FieldSchema(name, "text", writable=False) for name in facts.made}
        self._schemas[object] = ObjectSchema(object, {**fields, **made})
        return self._schemas[object]

    def _described(self, object: str) -> ObjectSchema:
        """As it was told last: asking is a call."""
        return self._schemas.get(object) or self.describe(object)

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self._facts(object)
        pull = Pull(
            self._client,
            object,
            fields,
            overlap=float(self._setting("overlap", OVERLAP)),
            settle=float(self._setting("settle", SETTLE)),
            describe=self._described,
        )
        return pull.run(cursor, since, bulk)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        self._facts(object)
        return by_key(self._client, object, key, values, fields)

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        if not operations:
            return iter(())
        object = operations[0].object
        verbs = PUSHED.get(object, ())
        refused = {o.key: self._unwritable(o) for o in operations if o.verb.value not in verbs}
        todo = [_brief(o) if object == "tasks" else o for o in operations if o.key not in refused]
        return _chain(refused, Push(self._client, object, self._external_id).run(todo))

    def verify(self, request: Request) -> list[Notice]:
        """Salesforce sends no signed webhooks; its change streams are pulled."""
        fix = "Remove the webhook: Salesforce is polled."
        raise Misconfigured("Salesforce has no webhooks here.", fix=fix, connection=self._account.connection)

    def close(self) -> None:
        self._client.close()

    def _unwritable(self, operation: Operation) -> RecordRejected:
        what = f"{operation.object} are not written ({operation.verb.value})."
        place = {"connection": self._account.connection, "object": operation.object, "record": operation.id}
        return RecordRejected(what, fix="Map them with direction: pull.", code="read_only", **place)

    @property
    def _external_id(self) -> str:
        return str(self._setting("external_id_field", EXTERNAL_ID) or "")

    def _setting(self, name: str, default: Any) -> Any:
        value = self._account.settings.get(name)
        return default if value is None else value

    def _facts(self, object: str) -> ObjectFacts:
        if object not in OBJECTS:
            fix = f"It has: {', '.join(OBJECTS)}."
            raise Misconfigured(
                f"Salesforce has no object {object!r} here.", fix=fix, connection=self._account.connection
            )
        return OBJECTS[object]


def _chain(refused: dict[str, RecordRejected], results: Iterator[Result]) -> Iterator[Result]:
    for key, error in refused.items():
        yield Result(key, error=error)
    yield from results


def _missing_objects(seen: dict[str, Any]) -> list[str]:
    missing = []
    for object, facts in OBJECTS.items():
        told = seen.get(facts.sobject)
        if told is None or not told.get("queryable"):
            missing.append(f"{facts.sobject}: read")
            continue
        flags = {"create": "createable", "update": "updateable"}
        verbs = [verb for verb in PUSHED.get(object, ()) if verb in flags]  # deleting is asked for by few
        missing += [f"{facts.sobject}: {verb}" for verb in verbs if not told.get(flags[verb])]
    return missing


def _fields(told: dict[str, Any]) -> list[FieldSchema]:
    """The field, and the relationship through which its parent's fields are reached."""
    writable = bool(told["createable"] or told["updateable"])
    picks = told.get("picklistValues") or ()
    field = FieldSchema(
        name=told["name"],
        type=_TYPES.get(told["type"], "text"),
        label=told.get("label") or "",
        writable=writable,
        required=bool(told["createable"] and not told["nillable"] and not told["defaultedOnCreate"]),
        unique=bool(told.get("unique") or told.get("externalId")),
        length=int(told.get("length") or 0) if told["type"] not in ("id", "reference") else 0,
        # an open picklist takes any value, so it promises none
        options=tuple(str(p["value"]) for p in picks if p.get("active")) if told.get("restrictedPicklist") else (),
    )
    parent = told.get("relationshipName")
    return [field, FieldSchema(parent, "object", writable=False)] if parent else [field]


def _brief(operation: Operation) -> Operation:
    """A hand-off brief as an open task about the person, its reference as the last line of the text."""
    if "person" not in operation.values:
        return operation
    object, _, person = str(operation.values["person"]).partition("/")
    values: dict[str, Any] = {
        "Subject": str(operation.values.get("subject") or "Hand-off")[:255],
        "Description": _text_of(operation),
        "WhoId": person,
        "Status": "Not Started",
        "Priority": "High",
    }
    if object not in ("leads", "contacts"):
        values["WhatId"] = values.pop("WhoId")
    return Operation(operation.key, operation.verb, operation.object, values)


def _text_of(operation: Operation) -> str:
    line = f"\n\n{REFERENCE}{operation.values.get('reference', '')}"
    return str(operation.values.get("body") or "")[: 32_000 - len(line)] + line
