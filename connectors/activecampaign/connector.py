"""The port, in terms of ActiveCampaign's client."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from config.errors import AuthorizationLost, Misconfigured, RecordRejected
from config.secrets import Secret
from connectors import manifest
from connectors.activecampaign import platform
from connectors.activecampaign.activities import activities
from connectors.activecampaign.briefs import find_briefs, push_briefs
from connectors.activecampaign.client import Client, Row
from connectors.activecampaign.contacts import JOINED, LISTS, STATUS, TAGS, People
from connectors.activecampaign.deals import WRITABLE, DealWriter, find_deals
from connectors.activecampaign.objects import FIELDS, OBJECTS, SEVERAL, CustomField, Known, reader
from connectors.activecampaign.pull import Deals, Source, Ties, campaigns, contacts, deals, listed
from connectors.activecampaign.push import Writer, away, push_away, push_contacts
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

HOSTS = re.compile(r"[a-z0-9-]+\.(api-[a-z]{2}\d{1,3}\.com|activehosted\.com)", re.IGNORECASE)
"""Where an account's API lives. The key goes nowhere else."""
_TYPES = {"date": "date", "datetime": "datetime", "dropdown": "choice", "radio": "choice"}
_CONTACT = (
    ("id", "text", False),
    ("email", "email", True),
    ("firstName", "text", True),
    ("lastName", "text", True),
    ("phone", "phone", True),
    ("consent", "choice", True),
    ("consentAt", "datetime", False),
    ("tagNames", "choices", False),
    ("accountName", "text", False),
    ("jobTitle", "text", False),
    ("cdate", "datetime", False),
    ("udate", "datetime", False),
    ("bounced_hard", "integer", False),
    ("bounced_soft", "integer", False),
    ("ip", "text", False),
    ("hash", "text", False),
)
_DEAL = (
    "id", "title", "description", "value", "currency", "status", "stage", "group", "owner", "contact",
    "customerAccount", "percent", "cdate", "mdate", "nextdate", "closedAt", *OBJECTS["deals"].made,
)  # fmt: skip


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    key = account.auth.get("api_key")
    if not key:
        raise Misconfigured("ActiveCampaign needs auth.api_key.", connection=account.connection)
    secret = key if isinstance(key, Secret) else Secret(key)
    return ActiveCampaignConnector(account, surroundings, address(account), secret)


def address(account: Account) -> str:
    """The account's address without a path; Misconfigured where the key must not be sent there."""
    parts = urlsplit(str(account.auth.get("url") or "").strip())
    if parts.scheme != "https" or parts.port or parts.username or not HOSTS.fullmatch(parts.hostname or ""):
        raise Misconfigured(
            "auth.url is not the address of an ActiveCampaign account.",
            fix="Copy the URL from Settings > Developer, like https://acme.api-us1.com.",
            connection=account.connection,
        )
    return f"https://{parts.hostname}"


class ActiveCampaignConnector:
    """One ActiveCampaign account, as the user whose key it is sees it."""

    def __init__(self, account: Account, surroundings: Surroundings, host: str, key: Secret) -> None:
        self._account, self._world, self._host = account, surroundings, host
        self._client = Client(account, surroundings, host, key)
        self._known = Known(self._client)
        lists = str(account.settings.get("lists") or "")
        self._counted = frozenset(id.strip() for id in lists.split(",") if id.strip())

    @property
    def calls(self) -> int:
        return self._client.rest.calls

    def close(self) -> None:
        self._client.close()

    def _number(self, name: str) -> int:
        facts = manifest.load(platform.folder).settings[name]
        return int(self._account.settings.get(name, facts.default) or 0)

    def _people(self, fields: Sequence[str]) -> People:
        return People(self._client, self._known, fields, self._counted)

    # what is there

    def check(self) -> Health:
        """The user and the account's host, the lists that are visible, and whether lists and tags come along."""
        user = self._client.get("users/me").get("user") or {}
        links = user.get("links")
        told = next((str(link) for link in links.values()), "") if isinstance(links, dict) else ""
        host = urlsplit(told).hostname or urlsplit(self._host).hostname or ""
        self._known = Known(self._client)
        unseen = sorted(self._counted - set(self._known.lists))
        notes = [f"settings.lists names {id}, which is not there or which the user may not see" for id in unseen]
        people = self._people((*(f"{side}x" for side in (TAGS, LISTS)), FIELDS, "jobTitle"))
        page = self._client.rows("contacts", "contacts", {"limit": 1, **people.query})
        if page.rows and not all(side in page.beside or page.rows[0].get(side) == [] for side in people.sides):
            notes.append("lists, tags and custom fields do not come along with contacts: each contact takes calls more")
        return Health(
            host, host.partition(".")[0], (), self._client.quotas, tuple(notes), ahead=self._client.rest.clock.ahead
        )

    def describe(self, object: str) -> ObjectSchema:
        self._facts(object)
        self._known = Known(self._client)
        if object == "contacts":
            fields = {name: FieldSchema(name, kind, writable=free) for name, kind, free in _CONTACT}
            fields["email"] = FieldSchema("email", "email", unique=True)
            fields["consent"] = FieldSchema("consent", "choice", options=(*STATUS.values(), "none"))
            fields |= {f"{FIELDS}{tag}": _custom(one) for tag, one in self._known.fields.items()}
            return ObjectSchema(object, fields, (TAGS, LISTS, JOINED))
        if object == "deals":
            fields = {name: FieldSchema(name, "text", writable=name in WRITABLE) for name in _DEAL}
            custom = self._known.deal_fields.items()
            fields |= {f"{FIELDS}{tag}": FieldSchema(f"{FIELDS}{tag}", "text", one.label) for tag, one in custom}
            return ObjectSchema(object, fields)
        return ObjectSchema(object, {})

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self._facts(object)
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"since": since} if since else {}
        self._known = Known(self._client)  # names are looked up anew by every pull that meets one
        source = Source(self._client, self._known, fields, self._client.rest.clock.now(), self._number("sweep_every"))
        match object:
            case "contacts":
                return contacts(source, self._people(fields), state)
            case "deals" | "deal_contacts":
                return deals(source, state, ties=object == "deal_contacts")
            case "campaigns":
                return campaigns(source, state)
            case "activities":
                tracking = self._account.settings.get("site_tracking") in (True, "true")
                days, turn = self._number("activity_days"), self._number("activity_turn")
                return activities(source, state, days, min(turn, 100), tracking=tracking)
            case _:
                return listed(source, object, state, self._number("accounts_every") if object == "accounts" else 0)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        facts = self._facts(object)
        if (object, key) == ("notes", "reference"):
            return find_briefs(self._client, values, self._world.clock.now())
        if (object, key) == ("contacts", "email"):
            return self._by_email(values, fields)
        if object == "deals" and key.startswith(FIELDS):
            read = Deals(self._source([*fields, key]))
            return dict(find_deals(self._client, self._known, read, key, values, self._world.clock.now()))
        if key != "id":
            raise Misconfigured(
                f"ActiveCampaign cannot find {object} by {key}.",
                fix="Match by email.",
                connection=self._account.connection,
            )
        if object == "activities":
            return {}  # they are told per contact
        if object == "contacts":
            people = self._people(fields)
            pages = list(self._client.by_ids(values, people.query))
            return {record.id: record for page in pages for record in people.records(page) if record.gone is None}
        ids = [id for id in dict.fromkeys(values) if id.isascii() and id.isdigit()]
        told = (self._client.found(f"{facts.path}/{id}") for id in ids)
        rows = [row for row in ((answer or {}).get(facts.one) for answer in told) if isinstance(row, dict)]
        return {record.id: record for record in self._records(object, rows, fields)}

    def _source(self, fields: Sequence[str]) -> Source:
        return Source(self._client, self._known, fields, self._client.rest.clock.now(), 0)

    def _records(self, object: str, rows: Sequence[Row], fields: Sequence[str]) -> list[Record]:
        source = self._source(fields)
        if object == "deals":
            return Deals(source).records(rows)
        if object == "deal_contacts":
            return Ties(self._client).records(rows)
        return [reader(object, fields, self._known)(row) for row in rows]

    def _by_email(self, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        """One call for each address: there is no filter for several."""
        people = self._people(fields)
        found: dict[str, Record] = {}
        for value in values:
            for record in people.records(self._client.by_email(value, people.query)):
                if record.gone is None:
                    found[value] = record
        return found

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        if not operations:
            return iter(())
        object = operations[0].object
        able = manifest.load(platform.folder).objects[object].push
        refused = [Result(op.key, op.id, error=_unwritable(op)) for op in operations if op.verb.value not in able]
        gone = [op for op in operations if op.verb.value in able and away(op)]
        kept = [op for op in operations if op.verb.value in able and not away(op)]
        return chain(refused, push_away(self._client, gone), self._pushed(object, kept, fields))

    def _pushed(self, object: str, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        if object == "notes":
            return push_briefs(self._client, operations)
        self._known = Known(self._client)
        if object == "deals":
            return DealWriter(self._client, self._known, Deals(self._source(fields))).push(operations)
        writer = Writer(self._people(fields), self._world.clock, self._number("bulk_from"))
        return push_contacts(writer, operations)

    # webhooks

    def verify(self, request: Request) -> list[Notice]:
        """Deliveries are not signed and tell the time of the event only: whoever knows the address may send one, so a
        notice says no more than what to read."""
        secret = self._account.auth.get("webhook_token")
        if not isinstance(secret, Secret) or not secret.reveal():
            raise AuthorizationLost("Webhooks need auth.webhook_token.", connection=self._account.connection)
        parts = urlsplit(request.url)
        told = [*parse_qs(parts.query).get("token", []), parts.path.rpartition("/")[2]]
        if not any(hmac.compare_digest(word.encode(), secret.reveal().encode()) for word in told):
            raise AuthorizationLost("The webhook's token is wrong.", connection=self._account.connection)
        form = parse_qs(request.body.decode("utf-8", "replace"))
        return list(dict.fromkeys(_notices(form)))

    def _facts(self, object: str) -> Any:
        if object not in OBJECTS:
            raise Misconfigured(
                f"ActiveCampaign has no object {object!r} here.",
                fix=f"It has: {', '.join(OBJECTS)}.",
                connection=self._account.connection,
            )
        return OBJECTS[object]


_NOTICED = {
    "contact[id]": ("contacts",),
    "accountContact[contact]": ("contacts",),
    "deal[id]": ("deals", "deal_contacts"),
    "account[id]": ("accounts",),
}
"""Members of a delivery that name what to read."""


def _notices(form: Mapping[str, Sequence[str]]) -> Iterator[Notice]:
    for name, objects in _NOTICED.items():
        for id in form.get(name, ()):
            if id.isascii() and id.isdigit() and id != "0":
                yield from (Notice(object, id) for object in objects)


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )


def _custom(one: CustomField) -> FieldSchema:
    kind = "choices" if one.type in SEVERAL else _TYPES.get(one.type, "text")
    return FieldSchema(f"{FIELDS}{one.tag}", kind, one.label, options=one.options)
