"""The port, in terms of Calendly's client."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson

from config.errors import AuthorizationLost, Misconfigured, PermissionMissing, RecordRejected
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
)
from connectors.calendly import platform
from connectors.calendly.client import Client, invitee_id, uuid
from connectors.calendly.objects import ANSWERS, FIELDS, Bookings, question_name
from connectors.calendly.pull import Source, event_types, invitees, meetings, members, read_by_email, read_by_ids
from connectors.calendly.push import push_erasures
from connectors.scopes import beyond

WINDOW = 180
"""Seconds that a delivery's signature is believed."""
_OAUTH = ("client_id", "client_secret", "refresh_token")
_PROBES = {"/organization_memberships": "organizations:read", "/event_types": "event_types:read"}


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    missing = [f"auth.{name}" for name in _OAUTH if not account.auth.get(name)]
    if missing and not account.auth.get("access_token"):
        oauth = len(missing) < len(_OAUTH)
        needed = ", ".join(missing) if oauth else "auth.access_token"
        raise Misconfigured(f"Calendly needs {needed}.", connection=account.connection)
    if account.settings.get("whose", "organization") not in ("organization", "user"):
        raise Misconfigured("settings.whose is organization or user.", connection=account.connection)
    return CalendlyConnector(account, surroundings)


class CalendlyConnector:
    """One Calendly organization, or one user of it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self._client = Client(account, surroundings)
        self._bookings = Bookings(self._client)

    @property
    def calls(self) -> int:
        return self._client.calls

    def close(self) -> None:
        self._client.close()

    # what is there

    def check(self) -> Health:
        """The organization is known by its id alone; its name is the domain of the token's user."""
        me = self._client.me(anew=True)
        name = str(me.get("email") or "").rpartition("@")[2] or "Calendly"
        missing = self._missing_scopes()
        notes = ("lists of the whole organization need an owner or admin, else whose: user",) if missing else ()
        return Health(
            uuid(next(iter(self._client.whose().values()))),
            name,
            missing,
            self._client.quotas,
            notes,
            self._extra(),
            self._client.rest.clock.ahead,
        )

    def _extra(self) -> tuple[str, ...]:
        return beyond(manifest.load(platform.folder), self._client.scopes())

    def _missing_scopes(self) -> tuple[str, ...]:
        """Those that the last grant has neither by name nor by its `:write`; where it tells none, those of the lists
        that are refused."""
        granted = self._client.scopes()
        if not granted:
            return tuple(self._refused())
        needed = manifest.load(platform.folder).auth["oauth"].scopes
        return tuple(scope for scope in needed if not granted & {scope, scope.replace(":read", ":write")})

    def _refused(self) -> Iterator[str]:
        lists = {**_PROBES, "/scheduled_events": "scheduled_events:read"}
        if "user" in self._client.whose():
            del lists["/organization_memberships"]
        for path, scope in lists.items():
            try:
                self._client.rows(path, {**self._client.whose(), "count": 1})
            except PermissionMissing:
                yield scope

    def describe(self, object: str) -> ObjectSchema:
        """What invitees can be asked differs by event type; further answers may stem from questions of old."""
        fields = dict(self._fields(object))
        if object != "invitees":
            return ObjectSchema(object, fields)
        for kind in self._client.event_types():
            for question in kind.get("custom_questions") or ():
                name = ANSWERS + question_name(str(question["name"]))
                fields[name] = FieldSchema(name, "text", str(question["name"]), writable=False)
        return ObjectSchema(object, fields, (ANSWERS,))

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self._fields(object)
        source = self._source()
        if object == "users":
            return members(source)
        if object == "event_types":
            return event_types(source)
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"since": since} if since else {}
        return invitees(source, state) if object == "invitees" else meetings(source, state)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        self._fields(object)
        if (object, key) == ("invitees", "email"):
            return read_by_email(self._source(), values)
        if key != "id":
            raise Misconfigured(
                f"Calendly cannot find {object} by {key}.",
                fix="Match by email.",
                connection=self._account.connection,
            )
        return read_by_ids(self._source(), object, values)

    def _source(self) -> Source:
        return Source(self._client, self._bookings, self._account.settings, self._client.rest.clock.now())

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        """Only erasures: see the manifest's exemptions for what else Calendly would take."""
        able = {name: facts.push for name, facts in manifest.load(platform.folder).objects.items()}
        refused = [op for op in operations if op.verb.value not in able.get(op.object, ())]
        wanted = [op for op in operations if op.verb.value in able.get(op.object, ())]
        return chain((Result(op.key, error=_unwritable(op)) for op in refused), push_erasures(self._client, wanted))

    # webhooks

    def verify(self, request: Request) -> list[Notice]:
        """Believed by a signature over the time and the body, for three minutes from that time."""
        secret = self._account.auth.get("webhook_secret")
        if not isinstance(secret, Secret):
            raise self._unbelieved("Webhooks need auth.webhook_secret.")
        headers = {name.lower(): value for name, value in request.headers.items()}
        told = _parts(headers.get("calendly-webhook-signature", ""))
        at = told.get("t", "")
        digest = hmac.new(secret.reveal().encode(), at.encode() + b"." + request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(digest.encode(), told.get("v1", "").encode()):
            raise self._unbelieved("The webhook's signature is wrong.")
        if not at.isdecimal() or abs(self._world.clock.now().timestamp() - int(at)) > WINDOW:
            raise self._unbelieved("The webhook's signature is too old, or of the future.")
        body = orjson.loads(request.body)
        return list(_notices(body)) if isinstance(body, dict) else []

    def _unbelieved(self, what: str) -> AuthorizationLost:
        return AuthorizationLost(what, connection=self._account.connection)

    def _fields(self, object: str) -> Mapping[str, FieldSchema]:
        if object not in FIELDS:
            raise Misconfigured(
                f"Calendly has no object {object!r} here.",
                fix=f"It has: {', '.join(FIELDS)}.",
                connection=self._account.connection,
            )
        return FIELDS[object]


def _parts(header: str) -> dict[str, str]:
    """`t=1700000000,v1=ab…` by name."""
    pairs = (part.strip().partition("=") for part in header.split(","))
    return {name: value for name, _, value in pairs}


def _notices(body: Mapping[str, Any]) -> Iterator[Notice]:
    """What to read: the person and the meeting of a booking, or the event type. A no-show names its invitee."""
    event, payload = str(body.get("event") or ""), body.get("payload")
    if not isinstance(payload, dict):
        return
    if event.startswith("event_type."):
        yield Notice("event_types", uuid(payload.get("uri")))
        return
    if event.startswith("invitee"):
        id = invitee_id(payload.get("uri")) or invitee_id(payload.get("invitee"))
        if id:
            yield Notice("invitees", id)
            yield Notice("meetings", id)


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )
