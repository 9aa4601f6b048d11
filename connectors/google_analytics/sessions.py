"""Sessions of known leads: whose form told a client id, and whose property keeps it in a custom dimension.

Only ids that the project knows are asked for (`Surroundings.known`): nobody becomes a lead by having visited the site,
and nothing but ids of Google's own form goes out. An id that is new is read from the first day on; the known ones over
the latest days, as often as figures are. A record is what a client's sessions say: the first touch, as Google keeps it
for its users, and the last one. A cursor is one of
    {"done": d, "at": t, "asked": names, "most": {...}}   these ids were read until day d, at t
    {..., "began": t, "after": id}                        in the middle of reading the known ids anew
where names are digests of ids, one after another, `NAME` letters each, and `most` what remained of each quota at most.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import Misconfigured, RetryLater
from connectors.api import FieldSchema, Page, Record
from connectors.google_analytics.client import Client, Report
from connectors.google_analytics.events import CLIENT_ID
from connectors.google_analytics.figures import NO_CAMPAIGN

HOUR = "dateHour"
TOUCHES = {
    "first": ("firstUserSourceMedium", "firstUserCampaignName", "firstUserDefaultChannelGroup"),
    "last": ("sessionSourceMedium", "sessionCampaignName", "sessionDefaultChannelGroup"),
}
PAGE_SEEN = "landingPage"
CHUNK = 500
"""Ids in one report."""
ROWS = 50_000
LARGEST = 100_000
"""Ids. Their names stand in the cursor."""
BEGINNINGS = 3
NAME = 8
"""Letters of an id's name: 48 bits of a digest."""
FIELDS = {
    name: FieldSchema(name, kind, writable=False)
    for kind, names in {
        "text": "client_id first.source first.medium first.campaign first.channel first.landing_page first.evidence"
        " last.source last.medium last.campaign last.channel last.landing_page last.evidence last.hour",
        "integer": "sessions",
        "boolean": "sampled thresholded incomplete",
    }.items()
    for name in names.split()
}

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Visits:
    """What a pull reads with. `today` is the property's own; `ids` are sorted."""

    client: Client
    dimension: str
    ids: Sequence[str]
    at: datetime
    today: date
    first: date
    trailing: int
    every: int


def known_ids(told: Sequence[str]) -> list[str]:
    """Those that have the form of Google's client ids, in order; nothing else may be asked for."""
    good = sorted({id for id in told if re.fullmatch(CLIENT_ID, id, re.ASCII)})
    if len(good) > LARGEST:
        raise Misconfigured(
            f"More than {LARGEST} leads have a client id.",
            fix="Leave lead_sessions out of the connection's objects.",
            object="lead_sessions",
        )
    return good


def pages(visits: Visits, state: State) -> Iterator[Page]:
    """The known ids anew where that is due, then the new ones; a page for each report."""
    asked = set(_split(str(state.get("asked") or "")))
    old = [id for id in visits.ids if _name(id) in asked]
    state = {**state, "asked": "".join(sorted(asked & {_name(id) for id in visits.ids}))}
    if old and (state.get("began") or _due(visits, state)):
        state = {"began": stamp(visits.at), "after": "", **state}
        rest = [id for id in old if id > state["after"]]
        since = max(visits.first, date.fromisoformat(state["done"]) - timedelta(days=visits.trailing))
        for chunk in _chunks(rest):
            reports = _reports(visits, chunk, since)
            state = {**_noted(state, reports), "after": chunk[-1]}
            yield Page(_records(visits, chunk, reports, whole=False), _cursor(state), True)
            visits.client.spare(reports[-1].quota, state["most"])
        kept = {"asked": state["asked"], "most": state.get("most") or {}}
        state = {"done": visits.today.isoformat(), "at": state["began"], **kept}
    for chunk in _chunks([id for id in visits.ids if _name(id) not in asked]):
        reports = _reports(visits, chunk, visits.first)
        names = "".join(sorted([*_split(state["asked"]), *map(_name, chunk)]))
        state = {"done": visits.today.isoformat(), "at": stamp(visits.at), **_noted(state, reports), "asked": names}
        yield Page(_records(visits, chunk, reports, whole=True), _cursor(state), True)
        visits.client.spare(reports[-1].quota, state["most"])
    yield Page([], _cursor(state), False)


def _noted(state: State, reports: Sequence[Report]) -> State:
    """The state, with what remained of the quotas at most."""
    most = dict(state.get("most") or {})
    for name, left in (pair for report in reports for pair in report.quota.items()):
        most[name] = max(most.get(name, 0), left)
    return {**state, "most": most}


def whole(visits: Visits) -> Iterator[Record]:
    """All sessions of the ids, from the first day on."""
    for chunk in _chunks(visits.ids):
        yield from _records(visits, chunk, _reports(visits, chunk, visits.first), whole=True)


def _due(visits: Visits, state: State) -> bool:
    if state.get("done") != visits.today.isoformat():
        return True
    return (visits.at - unstamp(state["at"])).total_seconds() >= visits.every


def _records(visits: Visits, ids: Sequence[str], reports: Sequence[Report], *, whole: bool) -> list[Record]:
    """One record for each of the ids that had a session; the first page seen only of whole histories."""
    rows: dict[str, list[Mapping[str, str]]] = {}
    for row in (row for report in reports for row in report.rows):
        rows.setdefault(row[visits.dimension], []).append(row)
    flags = {name: any(getattr(one, name) for one in reports) for name in ("sampled", "thresholded", "incomplete")}
    return [Record(id, orjson.dumps(_client(id, rows[id], flags, whole=whole))) for id in ids if id in rows]


def _reports(visits: Visits, ids: Sequence[str], since: date) -> list[Report]:
    """The pages of one report, at least one. It is begun anew when it changes meanwhile."""
    dimensions = (visits.dimension, HOUR, *TOUCHES["first"], *TOUCHES["last"], PAGE_SEEN)
    for _ in range(BEGINNINGS):
        found, rows = list[Report](), 0
        while not found or (rows < found[0].total == found[-1].total):
            found.append(visits.client.sessions((since, visits.today), dimensions, ids, rows, ROWS))
            rows += len(found[-1].rows)
        if found[0].total == found[-1].total:
            return found
    raise RetryLater("The sessions of leads do not stand still.", after=300, object="lead_sessions")


def _client(id: str, rows: Sequence[Mapping[str, str]], flags: Mapping[str, bool], *, whole: bool) -> dict[str, Any]:
    """What a client's rows say, the earliest and the latest first of all."""
    ordered = sorted(rows, key=lambda row: (row[HOUR], *(row[name] for name in sorted(row))))
    first, last = ordered[0], ordered[-1]
    noted = ", ".join(name for name, told in flags.items() if told)
    told: dict[str, Any] = {
        "client_id": id,
        "first": _touch(first, "first", "", noted),
        "last": {**_touch(last, "last", last[HOUR], noted), **_seen(last), "hour": last[HOUR]},
        "sessions": sum(int(row["sessions"]) for row in rows),
        **flags,
    }
    if whole:
        told["first"] |= _seen(first)
    return told


def _touch(row: Mapping[str, str], which: str, hour: str, noted: str) -> dict[str, Any]:
    """Source, medium, campaign and channel of a touch; `evidence` is it in words, with what was noted of the report."""
    pair, campaign, channel = (row[name] for name in TOUCHES[which])
    source, _, medium = pair.partition(" / ")
    day = f"{hour[:4]}-{hour[4:6]}-{hour[6:8]}" if hour else ""
    words = [pair, *(word for word in (day, noted) if word)]
    return {
        "source": _known(source),
        "medium": _known(medium),
        "campaign": _known(campaign),
        "channel": _known(channel),
        "evidence": f"Google Analytics: {', '.join(words)}" if _known(source) else None,
    }


def _seen(row: Mapping[str, str]) -> dict[str, Any]:
    return {"landing_page": _known(row[PAGE_SEEN])}


def _known(value: str) -> str | None:
    """Null for what only stands where nothing is known: (not set), (other) ... A direct visit is one."""
    return None if value in NO_CAMPAIGN and value != "(direct)" else value


def _name(id: str) -> str:
    digest = hashlib.blake2b(id.encode(), digest_size=NAME * 3 // 4).digest()
    return urlsafe_b64encode(digest).decode()


def _split(packed: str) -> list[str]:
    return [packed[start : start + NAME] for start in range(0, len(packed), NAME)]


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def _cursor(state: State) -> str:
    return orjson.dumps(state, option=orjson.OPT_SORT_KEYS).decode()
