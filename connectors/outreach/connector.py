"""The port, in terms of Outreach's client."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson

from config.errors import AuthorizationLost, Misconfigured, RecordRejected
from config.secrets import Secret
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
    Record,
    Request,
    Result,
    Surroundings,
    Verb,
)
from connectors.outreach import platform
from connectors.outreach.client import Client, attribute
from connectors.outreach.objects import OBJECTS, SEQUENCES, Known, reader, wanted
from connectors.outreach.pull import Source, pages, prospect_reader, tie_records, ties
from connectors.outreach.push import find_briefs, push_away, push_briefs, push_prospects
from connectors.scopes import beyond

_NEEDED = ("client_id", "client_secret", "refresh_token", "redirect_uri")
_TYPES = {"boolean": "boolean", "integer": "integer", "number": "number", "array": "choices", "object": "object"}
_FORMATS = {"date-time": "datetime", "date": "date", "email": "email"}
_NOTICED = {facts.type: name for name, facts in OBJECTS.items() if name not in ("mailings", "opportunity_prospects")}
"""Resources of webhooks whose records can be read by their id."""


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    missing = [f"auth.{name}" for name in _NEEDED if not account.auth.get(name)]
    if missing:
        raise Misconfigured(f"Outreach needs {', '.join(missing)}.", connection=account.connection)
    return OutreachConnector(account, surroundings)


class OutreachConnector:
    """One Outreach org, as the user who installed the app sees it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self._client = Client(account, surroundings)
        self._known = self._unknown()
        self._schemas: Mapping[str, Any] | None = None
        self._described: set[str] = set()  # objects told since that was asked for

    @property
    def calls(self) -> int:
        return self._client.rest.calls

    def close(self) -> None:
        self._client.close()

    def _unknown(self) -> Known:
        return Known(self._client, str(self._account.settings.get("won_stages") or ""))

    # what is there

    def check(self) -> Health:
        """The org is told by its first user: no call says which org it is. Users are never deleted, only locked."""
        page = self._client.rows("users", {"page[size]": 1, "sort": "id", "fields[user]": "email"})
        first = next(iter(page.rows), {"id": "", "attributes": {}})
        name = str(attribute(first, "email") or "").rpartition("@")[2] or "Outreach"
        notes = () if self._client.scopes() else ("the log-in does not tell which scopes it has",)
        return Health(
            f"user-{first['id']}",
            name,
            self._missing_scopes(),
            self._client.quotas,
            notes,
            self._extra(),
            self._client.rest.clock.ahead,
        )

    def _extra(self) -> tuple[str, ...]:
        return beyond(manifest.load(platform.folder), self._client.scopes())

    def _missing_scopes(self) -> tuple[str, ...]:
        """Those of the manifest that the last grant has neither by name nor by its resource's `.all`."""
        granted = self._client.scopes()
        needed = manifest.load(platform.folder).auth["oauth"].scopes if granted else ()
        return tuple(scope for scope in needed if not granted & {scope, f"{scope.partition('.')[0]}.all"})

    def describe(self, object: str) -> ObjectSchema:
        facts = self._facts(object)
        if facts.fixed:
            return ObjectSchema(object, {})
        if object in self._described:  # all objects come with one call, and this one may have changed since
            self._schemas, self._described = None, set()
        self._described.add(object)
        if self._schemas is None:
            self._schemas = self._client.schema()
        told = self._schemas.get(facts.type) or {}
        fields = {name: _field(name, row) for name, row in (told.get("properties") or {}).items()}
        fields |= {name: FieldSchema(name, "reference") for name in facts.relations}
        fields |= {name: FieldSchema(name, made.type, writable=made.writable) for name, made in facts.made.items()}
        fields["id"] = FieldSchema("id", "text", writable=False)
        return ObjectSchema(object, fields, (SEQUENCES,) if object == "prospects" else ())

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self._facts(object)
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"since": since} if since else {}
        self._known = self._unknown()  # stages are looked up anew by every pull that meets one
        source = Source(self._client, self._known, fields, self._client.rest.clock.now())
        if object == "opportunity_prospects":
            return ties(source, state, int(self._account.settings.get("roles_every") or 86_400))
        return pages(source, object, state)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        facts = self._facts(object)
        if (object, key) == ("tasks", "reference"):
            return find_briefs(self._client, self._known, values, self._world.clock.now())
        if (object, key) == ("prospects", "email"):
            return self._by_email(values, fields)
        if key != "id":
            raise Misconfigured(
                f"Outreach cannot find {object} by {key}.",
                fix="Match by email.",
                connection=self._account.connection,
            )
        if object == "mailings":
            return {}  # a mailing is several records
        if object == "opportunity_prospects":
            return {record.id: record for record in tie_records(self._client, [id for id in values if id.isdigit()])}
        rows = list(self._client.by_ids(facts.path, facts.type, values, wanted(object, fields)))
        read = prospect_reader(self._client, self._known, fields) if object == "prospects" else None
        one = reader(object, fields, self._known)
        records = read(rows) if read else [one(row) for row in rows]
        return {record.id: record for record in records if record.gone is None}

    def _by_email(self, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        """By any of a prospect's addresses."""
        rows = {str(row["id"]): row for row in self._client.by_emails(values, [*wanted("prospects", fields), "emails"])}
        read = prospect_reader(self._client, self._known, fields)
        asked = {value.lower(): value for value in values}
        found: dict[str, Record] = {}
        for record in read(list(rows.values())):
            if record.gone is None:
                for email in attribute(rows[record.id], "emails") or ():
                    if str(email).lower() in asked:
                        found[asked[str(email).lower()]] = record
        return found

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        if not operations:
            return iter(())
        object = operations[0].object
        able = manifest.load(platform.folder).objects[object].push
        refused = [Result(op.key, error=_unwritable(op)) for op in operations if op.verb.value not in able]
        away = [op for op in operations if op.verb.value in able and op.verb is Verb.ARCHIVE]
        kept = [op for op in operations if op.verb.value in able and op.verb is not Verb.ARCHIVE]
        return chain(refused, push_away(self._client, away), self._pushed(object, kept, fields))

    def _pushed(self, object: str, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        settings = self._account.settings
        if object == "tasks":
            owner = str(settings.get("task_owner") or "")
            return push_briefs(self._client, operations, owner, self._world.clock.now())
        return push_prospects(self._client, self._known, operations, fields, str(settings.get("mailbox") or ""))

    # webhooks

    def verify(self, request: Request) -> list[Notice]:
        """There is no time in a delivery's signature, so no delivery is too old: a notice only says what to read."""
        secret = self._account.auth.get("webhook_secret")
        if not isinstance(secret, Secret):
            raise AuthorizationLost("Webhooks need auth.webhook_secret.", connection=self._account.connection)
        headers = {name.lower(): value for name, value in request.headers.items()}
        digest = hmac.new(secret.reveal().encode(), request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(digest.encode(), headers.get("outreach-webhook-signature", "").encode()):
            raise AuthorizationLost("The webhook's signature is wrong.", connection=self._account.connection)
        told = orjson.loads(request.body)
        data = told.get("data") if isinstance(told, dict) else None
        return list(_notices(data)) if isinstance(data, dict) else []

    def _facts(self, object: str) -> Any:
        if object not in OBJECTS:
            raise Misconfigured(
                f"Outreach has no object {object!r} here.",
                fix=f"It has: {', '.join(OBJECTS)}.",
                connection=self._account.connection,
            )
        return OBJECTS[object]


def _notices(data: Mapping[str, Any]) -> Iterator[Notice]:
    """What to read: the record itself; a prospect for its address; an opportunity's people for a role. A mailing is
    several records, which the next pull brings."""
    kind, id = str(data.get("type") or ""), str(data.get("id") or "")
    if kind in _NOTICED and id:
        yield Notice(_NOTICED[kind], id)
    for source, name, object in (
        ("emailAddress", "prospect", "prospects"),
        ("opportunityProspectRole", "opportunity", "opportunity_prospects"),
    ):
        told = ((data.get("relationships") or {}).get(name) or {}).get("data") or {}
        if kind == source and told.get("id"):
            yield Notice(object, str(told["id"]))


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )


def _field(name: str, row: Mapping[str, Any]) -> FieldSchema:
    """What may not be written is marked by a picture in the description."""
    kind = _FORMATS.get(str(row.get("format")), _TYPES.get(str(row.get("type")), "text"))
    read_only = re.search(r"readonly\.svg", str(row.get("description") or "")) is not None
    return FieldSchema(name, kind, writable=not read_only, length=int(row.get("maxLength") or 0))
