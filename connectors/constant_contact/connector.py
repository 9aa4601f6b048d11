"""The port, in terms of Constant Contact's client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import orjson

from config.errors import Misconfigured, RecordRejected
from connectors import manifest
from connectors.api import (
    Account,
    Connector,
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
from connectors.constant_contact import platform
from connectors.constant_contact.bulk import create_many, delete_many
from connectors.constant_contact.client import DELETED, TITLE, Client
from connectors.constant_contact.objects import (
    CAMPAIGNS,
    CONTACTS,
    LISTS,
    OBJECTS,
    TAGS,
    Known,
    included,
    look_up,
    reader,
    schema,
)
from connectors.constant_contact.pull import SUMMARIES, Source, campaign, campaigns, contacts
from connectors.constant_contact.push import Contacts
from connectors.constant_contact.tracking import activity, kinds
from connectors.scopes import beyond

_NEEDED = ("client_id", "refresh_token")
_PULLS = {"contacts": contacts, "campaigns": campaigns, "email_activity": activity}
PRIVILEGES = ("contacts:read", "contacts:write", "contacts:lists:read", "campaign:read", "ui:campaign:metrics")
"""What the user who connected the app must be allowed, beside the app's scopes."""


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    missing = [f"auth.{name}" for name in _NEEDED if not account.auth.get(name)]
    if account.auth.get("mode", "oauth") == "oauth" and not account.auth.get("client_secret"):
        missing.append("auth.client_secret")
    if missing:
        raise Misconfigured(f"{TITLE} needs {', '.join(missing)}.", connection=account.connection)
    if account.settings.get("permission_if_new", "not_set") not in ("not_set", "implicit"):
        raise Misconfigured(
            "settings.permission_if_new is not_set or implicit: nobody agreed whose consent is not recorded.",
            connection=account.connection,
        )
    made = ConstantContactConnector(account, surroundings)
    kinds(made.source(()))
    return made


class ConstantContactConnector:
    """One Constant Contact account, as the user who connected the app sees it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self._client = Client(account, surroundings)
        self._known = Known(self._client)

    @property
    def calls(self) -> int:
        return self._client.calls

    def close(self) -> None:
        self._client.close()

    def source(self, fields: Sequence[str]) -> Source:
        return Source(self._client, self._known, fields, self._client.rest.clock.now(), self._account.settings)

    # what is there

    def check(self) -> Health:
        """No answer tells how many calls are left."""
        told = self._client.one("account/summary")
        notes = ["Constant Contact does not tell how many of the app's calls are left"]
        if not self._client.scopes():
            notes.append("the log-in does not tell which scopes it has")
        id = str(told["encoded_account_id"])
        return Health(
            id,
            str(told.get("organization_name") or id),
            self._missing(),
            (),
            tuple(notes),
            self._extra(),
            self._client.rest.clock.ahead,
        )

    def _extra(self) -> tuple[str, ...]:
        return beyond(manifest.load(platform.folder), self._client.scopes())

    def _missing(self) -> tuple[str, ...]:
        """Scopes that the grant lacks, and privileges that the user lacks."""
        granted = self._client.scopes()
        needed = manifest.load(platform.folder).auth["oauth"].scopes if granted else ()
        scopes = [scope for scope in needed if scope not in granted]
        told = self._client.rest.get("/v3/account/user/privileges").told
        held = {str(row["privilege_name"]) for row in told}
        return (*scopes, *(f"privilege {name}" for name in PRIVILEGES if name not in held))

    def describe(self, object: str) -> ObjectSchema:
        self._checked(object)
        if object != CONTACTS:
            return ObjectSchema(object, {})
        self._known = Known(self._client)
        return ObjectSchema(object, schema(self._known), (TAGS, LISTS))

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self._checked(object)
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"since": since} if since else {}
        self._known = Known(self._client)  # tags, lists and fields are looked up anew by every pull that needs them
        return _PULLS[object](self.source(fields), state)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        self._checked(object)
        if (object, key) == (CAMPAIGNS, "id"):
            return self._campaigns(values)
        if object != CONTACTS:
            return {}  # an event has no id of its own
        if key not in ("id", "email"):
            raise Misconfigured(
                f"{TITLE} cannot find contacts by {key}.", fix="Match by email.", connection=self._account.connection
            )
        read, include = reader(fields, self._known), included(fields)
        find = self._client.contact if key == "id" else self._client.contact_of
        rows = {value: find(value, include) for value in values}
        return {value: read(row) for value, row in rows.items() if row is not None and not row.get(DELETED)}

    def _campaigns(self, ids: Sequence[str]) -> dict[str, Record]:
        wanted = set(ids)
        figures = {str(row["campaign_id"]): row for row in self._client.all(*SUMMARIES, {})}
        rows = (row for row in self._client.all("emails", "campaigns", {}) if row["campaign_id"] in wanted)
        found = [campaign(row, figures.get(str(row["campaign_id"]), {})) for row in rows]
        return {record.id: record for record in found if record.gone is None}

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        if not operations:
            return iter(())
        able = manifest.load(platform.folder).objects[operations[0].object].push
        refused = [Result(op.key, error=_unwritable(op)) for op in operations if op.verb.value not in able]
        good = [op for op in operations if op.verb.value in able]
        away = [op for op in good if op.verb is Verb.ARCHIVE]
        kept = [op for op in good if op.verb is not Verb.ARCHIVE]
        if kept:
            look_up(fields, self._known)
        writer = Contacts(self._client, self._known, reader(fields, self._known), self._account.settings)
        clock = self._world.clock
        return chain(refused, delete_many(self._client, away, clock), create_many(writer, kept, clock))

    # webhooks

    def verify(self, request: Request) -> list[Notice]:
        """Constant Contact sends no webhooks about contacts or campaigns."""
        fix = f"Remove the webhook: {TITLE} is polled."
        raise Misconfigured(f"{TITLE} has no webhooks here.", fix=fix, connection=self._account.connection)

    def _checked(self, object: str) -> None:
        if object not in OBJECTS:
            raise Misconfigured(
                f"{TITLE} has no object {object!r} here.",
                fix=f"It has: {', '.join(OBJECTS)}.",
                connection=self._account.connection,
            )


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )
