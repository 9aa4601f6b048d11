"""Pulling: contacts along their ids beside a filter by change, the rest by offset.

A cursor is one of
    {"since": s, "zone": z, "swept": w, "census": c}     all until s is known, all there is was looked at at w
    {..., "walk": {"began": b, "start": a, ...}}         in the middle of the walk that began at b
An incremental pull asks for what changed since a (s less the overlap). Nothing orders contacts by change, so pages go
along the ids: whoever changes meanwhile below the place reached is met by the next pull. Every so often all is looked
at (a sweep): for deletes, which nothing tells, and for what may not move the time of change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.log import Log
from connectors.activecampaign import client as wire
from connectors.activecampaign.census import BLOCK, Census
from connectors.activecampaign.client import Client, Row, Rows
from connectors.activecampaign.contacts import People
from connectors.activecampaign.objects import OBJECTS, Known, moment, reader, vanished
from connectors.api import Page, Record

OVERLAP = timedelta(hours=2)
"""One hour for a filter that takes our instant for local time on the night the clocks change, one for late rows."""
FARTHEST = timedelta(hours=14)
"""How far local time may be from ours, as long as no row told the account's zone."""
LIVELY = timedelta(days=90)
"""The figures of campaigns sent longer ago than this before the last pull do not move any more."""

State = dict[str, Any]

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """What a pull reads with: the account, what is known of it, the fields to tell, the present instant, and how many
    seconds may pass between two sweeps (0: none after the first)."""

    client: Client
    known: Known
    fields: Sequence[str]
    at: datetime
    sweep_every: int


def cursor_of(state: State) -> str:
    return orjson.dumps(state).decode()


def begin(source: Source, state: State) -> State:
    """The walk to take: the one under way, else a new one; without `start` it looks at everything."""
    if state.get("walk"):
        return dict(state["walk"])
    walk: State = {"began": stamp(source.at)}
    if state.get("since") and not _due(source, state):
        walk["start"] = stamp(unstamp(state["since"]) - OVERLAP)
    return walk


def _due(source: Source, state: State) -> bool:
    """Whether it is time to look at everything. After a pull that began in the middle of time it never is: what is
    older would be taken for deleted."""
    if not source.sweep_every or "swept" not in state:
        return False
    return source.at - unstamp(state["swept"]) >= timedelta(seconds=source.sweep_every)


def end(state: State, walk: State, census: Census) -> State:
    """The state after a walk."""
    done = {name: value for name, value in state.items() if name != "walk"} | {"since": walk["began"]}
    if "start" not in walk:
        done |= {"swept": walk["began"], "census": census.kept_as()}
    return done


def changed_since(walk: State, zone: str) -> dict[str, str]:
    """The filter of an incremental walk, in the account's own zone: the same instant whether the offset is heeded or
    the time is taken for local."""
    if not walk.get("start"):
        return {}
    start = walk["start"] if zone else stamp(unstamp(walk["start"]) - FARTHEST)
    return {"filters[updated_after]": local(start, zone)}


def local(at: str, zone: str) -> str:
    found = re.fullmatch(r"([+-])(\d\d):(\d\d)", zone)
    minutes = (int(found[2]) * 60 + int(found[3])) * (-1 if found[1] == "-" else 1) if found else 0
    return unstamp(at).astimezone(timezone(timedelta(minutes=minutes))).isoformat(timespec="seconds")


def zone_of(rows: Sequence[Row], stamped: str, zone: str) -> str:
    """The offset that the latest row's times have; `zone` where no row tells."""
    told = max((str(row.get(stamped) or "") for row in rows), default="")
    found = re.search(r"[+-]\d\d:\d\d$", told)
    return found[0] if found else zone


# contacts


def contacts(source: Source, people: People, state: State) -> Iterator[Page]:
    """What changed, or all there is with those who are there no more."""
    walk, zone = begin(source, state), str(state.get("zone") or "")
    census = Census.of(state, walk)
    total: int | None = None
    while "gone" not in walk:
        place = int(walk.get("id") or 0)
        page = source.client.beyond(place, {**people.query, **changed_since(walk, zone)})
        ids = [int(row["id"]) for row in page.rows]
        zone = zone_of(page.rows, "udate", zone)
        total = page.total if total is None and not place else None
        walk["id"] = max(ids, default=place)
        if "start" not in walk:
            census.count(ids)
            walk["census"] = census.kept_as()
        if not place:
            walk["total"] = page.total
        if len(page.rows) < wire.PAGE:
            walk["gone"], census = _lost(source.client, walk, census)
        yield _page(people.records(page), {**state, "zone": zone}, walk, census, total)
    while walk["gone"]:
        block, *walk["gone"] = walk["gone"]
        gone = [vanished(id) for id in census.missing(block, _standing(source.client, block))]
        yield _page(gone, {**state, "zone": zone}, walk, census, None)


def _lost(client: Client, walk: State, census: Census) -> tuple[list[int], Census]:
    """The blocks in which somebody was deleted, and the census to keep. A walk that met fewer contacts than there are,
    by a second look, was cut short over there: it says nothing of deletes, and the last census stays."""
    if "start" in walk:
        return [], census
    total, counted = walk.get("total"), sum(census.blocks.values())
    if total is not None and counted < total:
        total = client.rows("contacts", "contacts", {"limit": 1}).total
    if total is None or counted >= total:
        return census.shrunken(), census
    log.warning("pull.cut_short", object="contacts", counted=counted, total=total)
    return [], census.unchanged()


def _page(records: list[Record], state: State, walk: State, census: Census, total: int | None) -> Page:
    more = "gone" not in walk or bool(walk["gone"])
    after = {**state, "walk": dict(walk)} if more else end(state, walk, census)
    return Page(records, cursor_of(after), more, total)


def _standing(client: Client, block: int) -> Iterator[int]:
    """The ids of the contacts in a block, asked for once more."""
    place, last = block * BLOCK - 1, (block + 1) * BLOCK
    while True:
        page = client.beyond(max(place, 0), {"id_less": last})
        ids = [int(row["id"]) for row in page.rows]
        yield from ids
        place = max(ids, default=last)
        if len(ids) < wire.PAGE:
            return


# deals


def deals(source: Source, state: State, *, ties: bool) -> Iterator[Page]:
    """Deals, or with `ties` who is in them: what changed, or all there is with those that are there no more.

    They have no filter by id, so pages go by offset in the order of creation. Whether one is gone can only be told by
    a sweep that was not interrupted; after one that was, the next sweep tells.
    """
    walk, zone = begin(source, state), str(state.get("zone") or "")
    census = Census.of(state, {})
    whole = "start" not in walk and not walk.get("offset")
    read = Ties(source.client) if ties else Deals(source)
    seen: list[int] = []
    query = {"orders[cdate]": "ASC", **changed_since(walk, zone)}
    for page, following in source.client.pages("deals", "deals", query, int(walk.get("offset") or 0)):
        rows = {str(row["id"]): row for row in page.rows}
        seen += [int(id) for id in rows]
        zone = zone_of(page.rows, "mdate", zone)
        total, walk["offset"] = (None if walk.get("offset") else page.total), following
        found = read.records(list(rows.values()))
        if following:
            yield Page(found, cursor_of({**state, "zone": zone, "walk": dict(walk)}), True, total)
            continue
        if whole and len(set(seen)) >= (page.total or 0):
            census.count(set(seen))
            found += [vanished(id) for block in census.shrunken() for id in census.missing(block, seen)]
        elif "start" not in walk:  # it was interrupted, or cut short over there: it says nothing of deletes
            census = census.unchanged()
        yield Page(found, cursor_of(end({**state, "zone": zone}, walk, census)), False, total)


class Deals:
    """Deals as records. When one was closed, and its custom fields, take a call for each deal where they are mapped."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read = reader("deals", [name for name in source.fields if name != "closedAt"], source.known)

    def records(self, rows: Sequence[Row]) -> list[Record]:
        return [self._record(row) for row in rows]

    def _record(self, row: Row) -> Record:
        record = self._read(row)
        if row.get("isDisabled"):  # the user may see that there is one, and its title
            return record
        more: dict[str, Any] = {}
        if "closedAt" in self._source.fields:
            more["closedAt"] = self._closed(row) if str(row.get("status")) in ("1", "2") else None
        if names := [name[7:] for name in self._source.fields if name.startswith("fields.")]:
            more["fields"] = self._custom(str(row["id"]), names)
        raw = orjson.loads(record.raw) | more
        return Record(record.id, orjson.dumps(raw), record.version) if more else record

    def _closed(self, row: Row) -> str | None:
        """When the status changed last. A deal that tells no such change counts from its own last change."""
        query = {"deal": str(row["id"]), "filters[data_type]": "status"}
        rows = self._source.client.all("dealActivities", "dealActivities", query)
        mine = [one for one in rows if one.get("dataType") == "status" and str(one.get("deal")) == str(row["id"])]
        return max((moment(one.get("cdate")) for one in mine), default="") or moment(row.get("mdate")) or None

    def _custom(self, id: str, names: Sequence[str]) -> dict[str, Any]:
        query = {"filters[dealId]": id}
        rows = self._source.client.all("dealCustomFieldData", "dealCustomFieldData", query)
        held = {str(row.get("customFieldId")): row.get("fieldValue") for row in rows if str(row.get("dealId")) == id}
        known = self._source.known.deal_fields
        return {name: held.get(known[name].id) for name in names if name in known}


class Ties:
    """Who is in a deal, as one record per deal: its contact first, then those whom a person added."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._added: dict[str, list[str]] | None = None

    def records(self, rows: Sequence[Row]) -> list[Record]:
        return [self._record(row) for row in rows if not row.get("isDisabled")]

    def _record(self, row: Row) -> Record:
        id = str(row["id"])
        people = [str(row["contact"])] if row.get("contact") not in (None, "", "0") else []
        raw = {
            "from_object": "deals",
            "from_id": id,
            "to_object": "contacts",
            "to_ids": list(dict.fromkeys([*people, *self._others().get(id, [])])),
            "role": None,
            "primary": bool(people),
        }
        return Record(id, orjson.dumps(raw), moment(row.get("mdate")))

    def _others(self) -> dict[str, list[str]]:
        """The contacts added to deals, by deal: one list for the whole account, read once where any deal changed."""
        if self._added is None:
            self._added = {}
            for row in self._client.all("contactDeals", "contactDeals"):
                self._added.setdefault(str(row.get("deal")), []).append(str(row.get("contact")))
        return self._added


# what is read as a whole


def listed(source: Source, object: str, state: State, every: int = 0) -> Iterator[Page]:
    """All rows of a list without a filter by change, at most every `every` seconds."""
    since = state.get("since")
    if since and "offset" not in state and source.at - unstamp(since) < timedelta(seconds=every):
        yield Page([], cursor_of(state), False)
        return
    facts, read = OBJECTS[object], reader(object, source.fields, source.known)
    began = str(state.get("began") or stamp(source.at))
    for page, following in source.client.pages(facts.path, facts.path, {}, int(state.get("offset") or 0)):
        after: State = {"began": began, "offset": following} if following else {"since": began}
        yield Page([read(row) for row in page.rows], cursor_of(after), bool(following), page.total)


def campaigns(source: Source, state: State) -> Iterator[Page]:
    """Campaigns, those sent last first; of an incremental pull down to those whose figures do not move any more."""
    read, since = reader("campaigns", source.fields, source.known), state.get("since")
    oldest = stamp(unstamp(since) - LIVELY) if since else ""
    began, offset = str(state.get("began") or stamp(source.at)), int(state.get("offset") or 0)
    query = {"orders[sdate]": "DESC"}
    for page, following in source.client.pages("campaigns", "campaigns", query, offset):
        more = bool(following) and not (oldest and _all_before(page, oldest))
        after: State = {"since": since, "began": began, "offset": following} if more else {"since": began}
        yield Page([read(row) for row in page.rows], cursor_of(after), more, page.total)
        if not more:
            return


def _all_before(page: Rows, oldest: str) -> bool:
    return all("" < moment(row.get("sdate")) < oldest for row in page.rows)
