"""HubSpot's other streams: owners, campaigns, associations, events and engagements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import Page, Record
from connectors.hubspot.client import BATCH, VERSION, Client

OVERLAP = timedelta(seconds=300)

# HubSpot's own event types as activities; names from the event-types endpoint of ordinary accounts
EVENT_TYPES = {
    "e_form_submission_v2": "form",
    "e_submitted_form": "form",
    "e_visited_page": "page",
    "e_email_sent": "email_sent",
    "e_mta_delivered_email_v2": "email_sent",
    "e_mta_opened_email_v2": "email_open",
    "e_email_open": "email_open",
    "e_mta_clicked_link_email_v2": "email_click",
    "e_email_click": "email_click",
    "e_mta_bounced_email_v2": "email_bounce",
    "e_email_bounce": "email_bounce",
    "e_email_unsubscribe": "email_unsubscribe",
}


def _cursor(state: dict[str, Any]) -> str:
    return orjson.dumps(state).decode()


def owners(client: Client, state: dict[str, Any], now: str) -> Iterator[Page]:
    """Every owner, each time: they are few, and have no changed-since."""
    after = state.get("after", "")
    while True:
        query = {"limit": 500, "archived": "false", **({"after": after} if after else {})}
        told = orjson.loads(client.get(f"/crm/owners/{VERSION}", query))
        found = []
        for row in told["results"]:
            name = " ".join(part for part in (row.get("firstName"), row.get("lastName")) if part)
            raw = {"id": str(row["id"]), "email": row.get("email"), "name": name, "active": not row["archived"]}
            found.append(Record(str(row["id"]), orjson.dumps(raw), row.get("updatedAt") or now))
        after = _next(told)
        yield Page(found, _cursor({"after": after} if after else {}), more=bool(after))
        if not after:
            return


def campaigns(client: Client, state: dict[str, Any], now: str) -> Iterator[Page]:
    """Every campaign, each time."""
    after = state.get("after", "")
    names = "hs_name,hs_start_date,hs_end_date,hs_campaign_status,hs_budget_items_sum_amount,hs_spend_items_sum_amount"
    while True:
        query = {"limit": 100, "properties": names, **({"after": after} if after else {})}
        told = orjson.loads(client.get(f"/marketing/campaigns/{VERSION}", query))
        found = [
            Record(str(row["id"]), orjson.dumps(row.get("properties") or {}), row.get("updatedAt") or now)
            for row in told["results"]
        ]
        after = _next(told)
        yield Page(found, _cursor({"after": after} if after else {}), more=bool(after))
        if not after:
            return


def _next(told: dict[str, Any]) -> str:
    return str(((told.get("paging") or {}).get("next") or {}).get("after") or "")


def associations(
    client: Client, source: str, target: str, moved: str, state: dict[str, Any], at: datetime, every: int
) -> Iterator[Page]:
    """Which records of `target` each of `source` is tied to, as one record per source.

    Tying two records moves the modified time of neither for sure. So all are swept every `every` seconds; in between,
    those of the source records that changed (by their property `moved`) are read.
    """
    swept = state.get("swept")
    if swept is None or state.get("after") or at - unstamp(swept) >= timedelta(seconds=every):
        yield from _sweep(client, source, target, state, stamp(at))
        return
    start = unstamp(state["since"]) - OVERLAP
    last = "0"
    changed = {"propertyName": moved, "operator": "GTE", "value": str(int(start.timestamp() * 1000))}
    while True:
        beyond = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
        page = client.search(source, [changed, beyond], ("hs_object_id",))
        ids = [item.id for item in page.results]
        found = ties_of(client, source, target, ids) if ids else []
        done = len(ids) < 200 or page.total == len(ids)
        following = {"since": stamp(at), "swept": swept} if done else {"since": state["since"], "swept": swept}
        yield Page(found, _cursor(following), more=not done)
        if done:
            return
        last = ids[-1]


def _sweep(client: Client, source: str, target: str, state: dict[str, Any], now: str) -> Iterator[Page]:
    after, began = state.get("after", ""), state.get("began") or now
    while True:
        page = client.listing(source, ("hs_object_id",), after, associations=target)
        ids = [item.id for item in page.results if not item.archived]
        found, more_of = [], []
        for item in page.results:
            told = (orjson.loads(bytes(item.associations)) or {}).get(target) or {}
            if (told.get("paging") or {}).get("next"):
                more_of.append(item.id)
            elif item.id in ids:
                found.append(_tie(source, target, item.id, [str(row["id"]) for row in told.get("results") or []]))
        found.extend(ties_of(client, source, target, more_of) if more_of else [])
        after = page.after
        if not after:
            yield Page(found, _cursor({"since": began, "swept": began}), more=False)
            return
        yield Page(found, _cursor({"after": after, "began": began}), more=True)


def ties_of(client: Client, source: str, target: str, ids: list[str]) -> list[Record]:
    """What these records of `source` are tied to in `target`, one record for each."""
    tied = client.associated(source, target, ids)
    return [_tie(source, target, id, [str(row["toObjectId"]) for row in rows]) for id, rows in tied.items()]


def _tie(source: str, target: str, id: str, others: list[str]) -> Record:
    raw = {"from_object": source, "from_id": id, "to_object": target, "to_ids": sorted(set(others)), "role": None}
    return Record(f"{source}/{id}/{target}", orjson.dumps(raw))


def events(client: Client, state: dict[str, Any], at: datetime) -> Iterator[Page]:
    """What contacts did, oldest first, from a little before where the last pull ended."""
    since = state.get("since")
    after, began = state.get("after", ""), state.get("began") or stamp(at)
    while True:
        query: dict[str, Any] = {"objectType": "contact", "limit": 1000, "sort": "occurredAt"}
        if since:
            query["occurredAfter"] = stamp(unstamp(since) - OVERLAP)
        if after:
            query["after"] = after
        told = orjson.loads(client.get(f"/events/event-occurrences/{VERSION}", query))
        found = [_event(row) for row in told["results"] if row["eventType"] in EVENT_TYPES]
        after = _next(told)
        if not after:
            yield Page(found, _cursor({"since": began}), more=False)
            return
        yield Page(found, _cursor({"since": since, "after": after, "began": began}), more=True)


def _event(row: dict[str, Any]) -> Record:
    told = row.get("properties") or {}
    raw = {
        "type": EVENT_TYPES[row["eventType"]],
        "occurredAt": row["occurredAt"],
        "contact": str(row["objectId"]),
        "campaign": told.get("hs_campaign_id") or told.get("hs_email_campaign_id"),
        "title": told.get("hs_form_name")
        or told.get("hs_title")
        or told.get("hs_subject")
        or told.get("hs_email_subject"),
        "url": told.get("hs_url") or told.get("hs_click_url"),
    }
    return Record(str(row["id"]), orjson.dumps(raw), row["occurredAt"])


def engagements(client: Client, object: str, pages: Iterator[Page]) -> Iterator[Page]:
    """Meetings and calls with the contact they are with (the first, where there are several)."""
    for page in pages:
        live = [record for record in page.records if record.gone is None]
        tied = client.associated(object, "contacts", [record.id for record in live]) if live else {}
        found = []
        for start in range(0, len(live), BATCH):
            for record in live[start : start + BATCH]:
                values = orjson.loads(record.raw)
                others = tied.get(record.id) or []
                values["contact"] = str(others[0]["toObjectId"]) if others else None
                found.append(Record(record.id, orjson.dumps(values), record.version))
        yield Page(found, page.cursor, page.more, page.total)
