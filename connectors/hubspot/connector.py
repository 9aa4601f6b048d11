"""The port, in terms of HubSpot's client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import AuthorizationLost, Misconfigured
from config.secrets import Secret
from connectors import manifest
from connectors.api import (
    Account,
    Connector,
    FieldSchema,
    Gone,
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
from connectors.hubspot import platform
from connectors.hubspot.client import SEARCH_PAGE, VERSION, Client, Item
from connectors.hubspot.deals import PIPELINE, STAGE, push_deals
from connectors.hubspot.streams import associations, campaigns, engagements, events, owners, ties_of
from connectors.hubspot.webhook import is_genuine, notices
from connectors.hubspot.writes import AWAY, CONSENT, SECOND, push_away, push_briefs, push_records
from connectors.scopes import beyond

# the property that moves with every change: contacts have one of their own, and the other's filter finds nothing
STAMP = {"contacts": "lastmodifieddate"}
OVERLAP = timedelta(seconds=300)
_TYPES = {
    "bool": "boolean",
    "date": "date",
    "datetime": "datetime",
    "enumeration": "choice",
    "number": "number",
    "phone_number": "phone",
    "string": "text",
}
ENGAGEMENTS = ("meetings", "calls")
TIES = {"deal_contacts": ("deals", "contacts"), "contact_companies": ("contacts", "companies")}
"""Objects that are ties: from what to what."""


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    if not any(name in account.auth for name in ("token", "refresh_token")):
        raise Misconfigured(
            "HubSpot needs auth.token, or auth.refresh_token with client_id and client_secret.",
            connection=account.connection,
        )
    return HubSpotConnector(account, surroundings)


class HubSpotConnector:
    """One HubSpot account."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account = account
        self._world = surroundings
        self._client = Client(account, surroundings)
        self._stages: dict[str, dict[str, Any]] | None = None

    @property
    def calls(self) -> int:
        return self._client.calls

    def close(self) -> None:
        self._client.close()

    # what is there

    def check(self) -> Health:
        told = orjson.loads(self._client.get("/account-info/v3/details"))
        granted = self._client.scopes
        missing = [name for name in manifest.load(platform.folder).auth["oauth"].scopes if name not in granted]
        return Health(
            str(told["portalId"]),
            str(told.get("uiDomain") or told["portalId"]),
            missing_scopes=tuple(missing) if granted else (),
            quotas=self._client.quotas,
            notes=() if granted else (_UNTOLD,),
            extra_scopes=beyond(manifest.load(platform.folder), granted),
            ahead=self._client.clock.ahead,
        )

    def describe(self, object: str) -> ObjectSchema:
        facts = manifest.load(platform.folder).objects.get(object)
        if facts is None or object in ("owners", "events", "campaigns", "deal_contacts", "contact_companies"):
            return ObjectSchema(object, {})
        told = orjson.loads(self._client.get(f"/crm/properties/{VERSION}/{object}"))
        fields = {row["name"]: _field(row) for row in told["results"]}
        made = {"deals": _DEAL_EXTRAS, **dict.fromkeys(ENGAGEMENTS, ("contact",))}
        labels = (STAGE, PIPELINE)
        fields.update({name: FieldSchema(name, "text", writable=name in labels) for name in made.get(object, ())})
        if CONSENT in fields:  # the property is calculated; what is written to it goes to the communication preferences
            fields[CONSENT] = replace(fields[CONSENT], writable=True)
        return ObjectSchema(object, fields)

    # pull

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        at = self._client.clock.now()
        self._facts(object)
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"since": since} if since else {}
        match object:
            case "owners":
                return owners(self._client, state, stamp(at))
            case "campaigns":
                return campaigns(self._client, state, stamp(at))
            case "events":
                return events(self._client, state, at)
            case "deal_contacts" | "contact_companies":
                every = int(self._account.settings.get("associations_every", 21600))
                source, target = TIES[object]
                moved = STAMP.get(source, "hs_lastmodifieddate")
                return associations(self._client, source, target, moved, state, at, every)
            case _ if object in ENGAGEMENTS:
                return engagements(self._client, object, self._records(object, state, ("hs_timestamp", *fields)))
            case _:
                return self._records(object, state, fields)

    def _facts(self, object: str) -> manifest.RemoteObject:
        known = manifest.load(platform.folder).objects
        if object not in known:
            raise Misconfigured(
                f"HubSpot has no object {object!r} here.",
                fix=f"It has: {', '.join(known)}.",
                connection=self._account.connection,
            )
        return known[object]

    def _records(self, object: str, state: dict[str, Any], fields: Sequence[str]) -> Iterator[Page]:
        properties = _properties(object, fields)
        if "since" in state:
            return self._changed(object, state, properties)
        return self._everything(object, state, properties)

    def _everything(self, object: str, state: dict[str, Any], properties: Sequence[str]) -> Iterator[Page]:
        """The plain list, then the archived: no index that lags, no cap."""
        began = state.get("began") or stamp(self._client.clock.now())
        after, archived = state.get("after", ""), bool(state.get("archived"))
        while True:
            query = {"archived": "true"} if archived else {}
            page = self._client.listing(object, properties, after, **query)
            found = self._records_of(object, page.results)
            after = page.after
            if not after and archived:
                yield Page(found, _cursor({"since": began}), more=False)
                return
            archived = archived or not after
            yield Page(found, _cursor({"began": began, "after": after, "archived": archived}), more=True)

    def _changed(self, object: str, state: dict[str, Any], properties: Sequence[str]) -> Iterator[Page]:
        """What changed since, by windows of ids (search ends at 10,000 results, ids have no end), then the archived."""
        began = state.get("began") or stamp(self._client.clock.now())
        start = unstamp(state["since"]) - OVERLAP
        last = str(state.get("last", "0"))
        since = {"propertyName": STAMP.get(object, "hs_lastmodifieddate"), "operator": "GTE"}
        since["value"] = str(int(start.timestamp() * 1000))
        while True:
            beyond = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
            page = self._client.search(object, [since, beyond], properties)
            found = self._records_of(object, page.results)
            if len(page.results) < SEARCH_PAGE or page.total == len(page.results):
                found.extend(self._archived_since(object, stamp(start)))
                yield Page(found, _cursor({"since": began}), more=False)
                return
            last = page.results[-1].id
            yield Page(found, _cursor({"since": state["since"], "began": began, "last": last}), True, page.total)

    def _archived_since(self, object: str, start: str) -> Iterator[Record]:
        """Search never answers with what is archived; its list does, in no order of time."""
        after = ""
        while True:
            page = self._client.listing(object, ("hs_object_id",), after, archived="true")
            for item in page.results:
                if (item.archivedAt or item.updatedAt) >= start:
                    yield Record(item.id, b"{}", _stamp(item.archivedAt or item.updatedAt), Gone.ARCHIVED)
            after = page.after
            if not after:
                return

    def _records_of(self, object: str, items: Sequence[Item]) -> list[Record]:
        """Every item as its records. Nearly all are live and were never merged: for them there is little to do."""
        found: list[Record] = []
        for item in items:
            raw, at = bytes(item.properties), item.updatedAt
            if item.archived or object == "deals" or raw.find(_MERGED) >= 0:
                found.extend(self._told(object, item))
            else:
                found.append(Record(item.id, raw, at if len(at) == 24 else _stamp(at)))
        return found

    def _told(self, object: str, item: Item) -> Iterator[Record]:
        """The record, and one for each record that was merged into it."""
        raw = bytes(item.properties)
        if object == "deals":
            raw = self._with_stage(raw)
        version = _stamp(item.updatedAt)
        if item.archived:
            yield Record(item.id, raw, _stamp(item.archivedAt or item.updatedAt), Gone.ARCHIVED)
            return
        yield Record(item.id, raw, version)
        if _MERGED in raw:
            merged = orjson.loads(raw).get("hs_merged_object_ids") or ""
            for loser in str(merged).split(";"):
                if loser and loser != item.id:
                    yield Record(loser, b"{}", version, Gone.MERGED, into=item.id)

    def _with_stage(self, raw: bytes) -> bytes:
        """Deals tell only the id of their stage; the pipeline tells its label and whether it is won or lost."""
        values = orjson.loads(raw)
        stages = self._known_stages()
        stage = stages.get(f"{values.get('pipeline')}/{values.get('dealstage')}", {})
        values.update({name: stage.get(name) for name in _DEAL_EXTRAS})
        return orjson.dumps(values)

    def _known_stages(self) -> dict[str, dict[str, Any]]:
        if self._stages is None:
            told = orjson.loads(self._client.get(f"/crm/pipelines/{VERSION}/deals"))
            self._stages = {
                f"{pipeline['id']}/{stage['id']}": {
                    "stage_label": stage["label"],
                    "pipeline_label": pipeline["label"],
                    "stage_closed": stage["metadata"].get("isClosed") == "true",
                    "stage_won": stage["metadata"].get("isClosed") == "true"
                    and float(stage["metadata"].get("probability") or 0) >= 1.0,
                }
                for pipeline in told["results"]
                for stage in pipeline["stages"]
            }
        return self._stages

    # read and push

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        if key == "reference":
            return self._read_references(object, values)
        if object in TIES:
            return self._read_ties(object, values)
        properties = _properties(object, [*fields, *({"id": (), "email": ("email", SECOND)}.get(key, (key,)))])
        items = self._client.read(object, list(values), properties, "" if key == "id" else key)
        found: dict[str, Record] = {}
        wanted: dict[str, list[str]] = {}
        for value in values:
            wanted.setdefault(value if key == "id" else value.lower(), []).append(value)
        for item in items.values():
            [record, *losers] = self._told(object, item)
            if key != "id":
                for value in _found_by(key, orjson.loads(record.raw)):
                    found.update(dict.fromkeys(wanted.get(value, ()), record))
                continue
            for id in (item.id, *(loser.id for loser in losers)):
                if id in wanted:
                    found[id] = record
        return found

    def _read_ties(self, object: str, values: Sequence[str]) -> dict[str, Record]:
        """By their own id, or by that of the record that is tied."""
        source, target = TIES[object]
        ids = {value: value.split("/")[1] if "/" in value else value for value in values}
        known = [id for id in dict.fromkeys(ids.values()) if id.isascii() and id.isdigit()]
        found = {record.id.split("/")[1]: record for record in ties_of(self._client, source, target, known)}
        return {value: found[id] for value, id in ids.items() if id in found}

    def _read_references(self, object: str, values: Sequence[str]) -> dict[str, Record]:
        """Briefs by the reference written into them. The index lags: what is not found may still appear."""
        found = {}
        for value in values:
            told = {"propertyName": "hs_note_body", "operator": "CONTAINS_TOKEN", "value": value}
            for item in self._client.search(object, [told], ("hs_note_body",)).results:
                found[value] = Record(item.id, bytes(item.properties), _stamp(item.updatedAt))
        return found

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        if not operations:
            return iter(())
        away = [operation for operation in operations if operation.verb in AWAY]
        kept = [operation for operation in operations if operation.verb not in AWAY]
        if operations[0].object == "notes":
            written = push_briefs(self._client, kept, stamp(self._world.clock.now()))
        elif operations[0].object == "deals":
            self._stages = None  # a stage may have been made since they were looked up
            stages = self._known_stages() if kept else {}
            written = push_deals(self._client, kept, stages, lambda ids: self._deals(ids, fields))
        else:
            written = push_records(self._client, kept)
        return chain(push_away(self._client, away), written)

    def _deals(self, ids: Sequence[str], fields: Sequence[str]) -> list[Record]:
        items = self._client.read("deals", ids, _properties("deals", fields)).values()
        return [next(self._told("deals", item)) for item in items]

    # webhooks

    def verify(self, request: Request) -> list[Notice]:
        secret = self._account.auth.get("client_secret")
        if not isinstance(secret, Secret):
            raise AuthorizationLost("Webhooks need auth.client_secret.", connection=self._account.connection)
        if not is_genuine(request, secret.reveal(), self._world.clock.now()):
            raise AuthorizationLost("The webhook's signature is wrong or old.", connection=self._account.connection)
        return list(dict.fromkeys(notices(orjson.loads(request.body))))


_DEAL_EXTRAS = ("stage_label", "pipeline_label", "stage_closed", "stage_won")


def _properties(object: str, fields: Sequence[str]) -> list[str]:
    """What to ask for: the mapped properties, and those the connector needs itself."""
    skipped = _DEAL_EXTRAS if object == "deals" else ()
    names = [name.split(".", 1)[0] for name in fields]
    wanted = [name for name in names if name not in skipped]
    if object in ("contacts", "companies", "deals"):
        wanted.append("hs_merged_object_ids")
    if object == "deals":
        wanted += ["pipeline", "dealstage"]
    return list(dict.fromkeys(wanted))


def _found_by(key: str, held: dict[str, Any]) -> list[str]:
    """What a record was asked for by: HubSpot finds a contact by each of its addresses."""
    further = str(held.get(SECOND) or "").split(";") if key == "email" else ()
    return [str(value).lower() for value in (held.get(key) or "", *further)]


def _field(row: dict[str, Any]) -> FieldSchema:
    read_only = (row.get("modificationMetadata") or {}).get("readOnlyValue", False) or row.get("calculated", False)
    options = tuple(str(option["value"]) for option in row.get("options") or [])
    kind = _TYPES.get(row["type"], "text")
    if row.get("fieldType") == "checkbox":
        kind = "choices"
    unique = bool(row.get("hasUniqueValue")) or row["name"] == "email"
    return FieldSchema(row["name"], kind, row.get("label", ""), not read_only, False, unique, 65_536, options)


def _cursor(state: dict[str, Any]) -> str:
    return orjson.dumps(state).decode()


_UNTOLD = "HubSpot does not tell which scopes this token has; a missing one is named by the first call it stops."

_MERGED = b'"hs_merged_object_ids":"'


def _stamp(text: str) -> str:
    """HubSpot's instants are stamps already (24 characters, in UTC), save that some leave out the milliseconds."""
    if len(text) == 24 and text.endswith("Z"):
        return text
    return stamp(unstamp(text)) if text else ""
