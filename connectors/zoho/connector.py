"""The port, in terms of Zoho's client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson

from config.errors import ClosedloopError, Misconfigured, RecordRejected
from connectors import manifest
from connectors.api import (
    Account,
    Connector,
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
    Verb,
)
from connectors.scopes import beyond
from connectors.zoho import platform
from connectors.zoho.brief import briefs, find_briefs
from connectors.zoho.bulk import bulk_pages
from connectors.zoho.bulk_write import Jobs, push_many
from connectors.zoho.client import Client, Row, region
from connectors.zoho.members import MEMBERS
from connectors.zoho.objects import OBJECTS, PEOPLE, Known, ObjectFacts
from connectors.zoho.pull import Source, pages, users
from connectors.zoho.push import checked, people, push, push_away
from connectors.zoho.read import by_field, by_id
from connectors.zoho.roles import ROLES
from connectors.zoho.sweeps import Sweeping, swept
from connectors.zoho.watch import Channel, notices

_NEEDED = ("client_id", "client_secret", "refresh_token")
_TIES = {"contact_roles": (ROLES, "roles"), "campaign_members": (MEMBERS, "members")}
"""What is told record by record, and the name of its settings."""
_AWAY = (Verb.ARCHIVE, Verb.ERASE)
_TYPES = {
    "email": "email",
    "phone": "phone",
    "integer": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "formula": "text",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
    "picklist": "choice",
    "multiselectpicklist": "choices",
    "lookup": "object",
    "ownerlookup": "object",
    "userlookup": "object",
    "subform": "object",
}
_CREDITS: Mapping[str, tuple[int, int]] = {
    "free": (5_000, 0),
    "standard": (50_000, 250),
    "crmplusstarter": (50_000, 250),
    "professional": (50_000, 500),
    "enterprise": (50_000, 1_000),
    "zohooneenterprise": (50_000, 1_000),
    "zohoonestandard": (50_000, 1_000),
    "ultimate": (50_000, 2_000),
    "crmplus": (50_000, 2_000),
}
"""Edition -> credits in 24 hours, and further ones for each user."""


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    missing = [f"auth.{name}" for name in _NEEDED if not account.auth.get(name)]
    if missing:
        raise Misconfigured(f"Zoho needs {', '.join(missing)}.", connection=account.connection)
    region(account)
    return ZohoConnector(account, surroundings)


class ZohoConnector:
    """One Zoho CRM org, as the user who connected it sees it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self._client = Client(account, surroundings)
        self._known = Known(self._client)
        self._channel = Channel(account, self._client, surroundings.tokens, surroundings.clock)
        self._jobs = Jobs(self._client, surroundings.tokens, surroundings.clock)

    @property
    def calls(self) -> int:
        return self._client.calls

    def close(self) -> None:
        self._client.close()

    # what is there

    def check(self) -> Health:
        """The org in one call; of the credits Zoho tells only when half of them are used."""
        org = self._client.org()
        edition = org.get("license_details") or {}
        base, each = _CREDITS.get(str(edition.get("paid_type")), (0, 0))
        limit = base + each * int(edition.get("users_license_purchased") or 0)
        notes = [f"{edition.get('paid_type') or 'unknown'} edition, {org.get('type') or 'production'}"]
        if not self._client.scopes():
            notes.append("the log-in does not tell which scopes it has")
        left = self._client.left
        quotas = (Quota("24 hours", max(0, limit - left), limit),) if limit and left is not None else ()
        id, name = str(org.get("zgid") or org.get("id") or ""), str(org.get("company_name") or "Zoho CRM")
        return Health(
            id, name, self._missing_scopes(), quotas, tuple(notes), self._extra(), self._client.rest.clock.ahead
        )

    def _extra(self) -> tuple[str, ...]:
        return beyond(manifest.load(platform.folder), self._client.scopes())

    def _missing_scopes(self) -> tuple[str, ...]:
        granted = self._client.scopes()
        needed = manifest.load(platform.folder).auth["oauth"].scopes if granted else ()
        return tuple(scope for scope in needed if not any(_covers(given, scope) for given in granted))

    def describe(self, object: str) -> ObjectSchema:
        facts = self._facts(object)
        if facts.fixed:
            return ObjectSchema(object, {})
        fields = {field.name: field for row in self._known.fields_anew(facts.module) for field in _fields(row)}
        fields |= {name: FieldSchema(name, made.type, writable=False) for name, made in facts.made.items()}
        fields["id"] = FieldSchema("id", "text", writable=False)
        return ObjectSchema(object, fields)

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self._facts(object)
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"from": since} if since else {}
        self._known.forget_stages()  # they are looked up anew by every pull that meets one
        self._channel.keep()
        source = self._source(fields)
        if object == "users":
            return users(source.client, source.at)
        if object in _TIES:
            ties, name = _TIES[object]
            return swept(source, ties, state, self._sweeping(name))
        if "job" in state or (bulk and not state and OBJECTS[object].phases[0] == "changed"):
            return bulk_pages(source, object, state)
        return pages(source, object, state)

    def _sweeping(self, name: str) -> Sweeping:
        settings = self._account.settings
        return Sweeping(int(settings.get(f"{name}_every") or 86_400), int(settings.get(f"{name}_days") or 90))

    def _source(self, fields: Sequence[str]) -> Source:
        return Source(self._client, self._known, fields, self._client.rest.clock.now(), self._world.clock.sleep)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        facts = self._facts(object)
        if (object, key) == ("tasks", "reference"):
            return find_briefs(self._client, self._known, values, self._world.clock.now())
        source = self._source(fields)
        if object in PEOPLE.values():
            self._jobs.settle(object)  # before what it may yet do is looked for
        if key == "id":
            return by_id(source, object, values)
        if facts.fixed or facts.phases[0] != "changed":
            raise Misconfigured(
                f"Zoho cannot find {object} by {key}.", fix="Match by id.", connection=self._account.connection
            )
        return by_field(source, object, key, values)

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        if not operations:
            return iter(())
        object = operations[0].object
        try:
            if object in PEOPLE.values():
                self._jobs.settle(object)  # before it meets what is sent now, or brings back who is erased
        except ClosedloopError as error:
            return iter([Result(operation.key, error=error) for operation in operations])
        able = manifest.load(platform.folder).objects[object].push
        refused = [Result(op.key, error=_unwritable(op)) for op in operations if op.verb.value not in able]
        away = [op for op in operations if op.verb.value in able and op.verb in _AWAY]
        kept = [op for op in operations if op.verb.value in able and op.verb not in _AWAY]
        return chain(
            refused,
            push_away(self._client, away, workflows=self._workflows),
            self._pushed(object, kept, fields) if kept else (),
        )

    def _pushed(self, object: str, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        try:
            if object == "tasks":
                now = self._world.clock.now()
                writer = briefs(self._client, self._known, operations, now, workflows=self._workflows)
            else:
                writer = people(self._client, self._known, object, fields, operations, workflows=self._workflows)
        except ClosedloopError as error:
            yield from (Result(operation.key, error=error) for operation in operations)
            return
        good = yield from checked(writer, operations)
        if object != "tasks" and self._bulk:
            good = yield from push_many(writer, self._jobs, good)
        yield from push(writer, good)

    @property
    def _bulk(self) -> bool:
        """Whether large pushes may go as jobs: nothing in a job says that no workflows are to run."""
        return self._workflows and bool(self._account.settings.get("bulk_write", True))

    @property
    def _workflows(self) -> bool:
        return bool(self._account.settings.get("workflows", True))

    # notices

    def verify(self, request: Request) -> list[Notice]:
        """A notice only says what to read, so that an old one which is sent again does no harm."""
        return notices(self._account, request)

    def _facts(self, object: str) -> ObjectFacts:
        if object not in OBJECTS:
            raise Misconfigured(
                f"Zoho has no object {object!r} here.",
                fix=f"It has: {', '.join(OBJECTS)}.",
                connection=self._account.connection,
            )
        return OBJECTS[object]


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )


def _covers(given: str, needed: str) -> bool:
    """Whether one scope contains another: `ZohoCRM.settings.ALL` all that starts so, `x.ALL` each operation of x."""
    group, _, operation = given.casefold().rpartition(".")
    wanted, _, deed = needed.casefold().rpartition(".")
    return operation in ("all", deed) and (wanted == group or wanted.startswith(f"{group}."))


def _fields(row: Row) -> Iterator[FieldSchema]:
    """The field; of a lookup also its id, which is what is written. A picklist takes any value unless the org enforces
    it, which nothing tells: so none are promised."""
    name, kind = str(row["api_name"]), _TYPES.get(str(row.get("data_type")), "text")
    deeds = row.get("operation_type") or {}
    writable = not row.get("read_only") and bool(deeds.get("api_create") or deeds.get("api_update"))
    lookup = kind == "object"
    yield FieldSchema(
        name,
        kind,
        label=str(row.get("field_label") or ""),
        writable=writable and not lookup,
        required=bool(row.get("system_mandatory")) and not lookup,
        unique=bool(row.get("unique")),
        length=int(row.get("length") or 0) if kind in ("text", "email", "phone") else 0,
    )
    if lookup:
        yield FieldSchema(f"{name}.id", "reference", writable=writable)
