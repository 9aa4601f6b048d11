"""Pulling figures: day by day, each day's reports page by page; the latest days again and again.

Figures of a day change for days: they are attributed anew, and late hits come in. A day is therefore replaced as a
whole: the rows it had are kept by name in the cursor, and those that came no more are gone. A cursor is one of
    {"done": d, "deep": d, "at": t, "held": {day: names}, "most": {...}}              all days until d were read at t
    {..., "day": d, "to": d, "report": n, "offset": n, "total": n, "now": names}      in the middle of day d
where names are the ids of rows within a day, one after another, `figures.ID` letters each. The first pull of a day goes
back `nightly_days`, every other `trailing_days`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from config.clock import stamp, unstamp
from config.errors import Misconfigured, RetryLater
from connectors.api import Gone, Page, Record
from connectors.google_analytics.client import Client, Report
from connectors.google_analytics.figures import ID, Query, records

PAGE = 10_000
LARGEST = 50_000
"""Rows of a day. Their names stand in the cursor; Google itself folds about so many into (other)."""
FIRST = date(2015, 8, 14)
"""The first day that the Data API takes."""
BEGINNINGS = 3
"""Times that a day is begun anew because its figures changed between two pages."""

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What a pull reads with. `today` is the property's own."""

    client: Client
    queries: Sequence[Query]
    at: datetime
    today: date
    first: date
    trailing: int
    nightly: int
    every: int


def local_day(at: datetime, zone: str) -> date:
    """The day it is at `at` in the property's time zone; in UTC where that is unknown here."""
    try:
        return at.astimezone(ZoneInfo(zone)).date()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return at.date()


def pages(source: Source, state: State) -> Iterator[Page]:
    """The days since `state`, ending with the present one. Raises QuotaExhausted, after what came, at a tenth left."""
    if not source.queries or _fresh(source, state):
        yield Page((), _cursor(state or {"held": {}}), False)
        return
    state = state if "day" in state else _begun(source, state)
    while True:
        page, state, quota = _step(source, state)
        yield page
        if not page.more:
            return
        source.client.spare(quota, state["most"])


def whole_day(source: Source, day: str) -> Iterator[Record]:
    """Every row of a day as it stands now."""
    for query in source.queries:
        offset, total = 0, 1
        while offset < total:
            report = source.client.report(day, query.dimensions, query.metrics, offset, PAGE)
            yield from records(query, day, report)
            offset, total = offset + len(report.rows), report.total


def _fresh(source: Source, state: State) -> bool:
    """Whether the latest days were read so short a time ago that nothing new is to be had."""
    if "day" in state or state.get("done") != source.today.isoformat():
        return False
    return (source.at - unstamp(state["at"])).total_seconds() < source.every


def _begun(source: Source, state: State) -> State:
    """The state at the beginning of a pull: from the window before what is done, to today."""
    deep = state.get("deep") != source.today.isoformat()
    start = source.first
    if state.get("done"):
        back = timedelta(days=source.nightly if deep else source.trailing)
        start = max(source.first, min(date.fromisoformat(state["done"]), source.today) - back)
    kept = {"held": state.get("held") or {}, "most": state.get("most") or {}}
    begun = {"at": stamp(source.at), "deep": source.today.isoformat(), "to": source.today.isoformat()}
    return {**kept, **begun, **_day(min(start, source.today).isoformat())}


def _day(day: str, again: int = 0) -> State:
    """The members of a state that stands before a day."""
    return {"day": day, "report": 0, "offset": 0, "total": 0, "now": "", "again": again}


def _step(source: Source, state: State) -> tuple[Page, State, Mapping[str, int]]:
    """One call, its records, and the state after it."""
    query = source.queries[min(state["report"], len(source.queries) - 1)]
    report = source.client.report(state["day"], query.dimensions, query.metrics, state["offset"], PAGE)
    state = {**state, "most": _most(state["most"], report.quota)}
    if state["offset"] and report.total != state["total"]:
        state = {**state, **_day(state["day"], state["again"] + 1)}
        if state["again"] > BEGINNINGS:
            raise RetryLater(
                "The figures of a day do not stand still.", after=300, object="figures", record=state["day"]
            )
        return Page((), _cursor(state), True), state, report.quota
    found = records(query, state["day"], report)
    state = _counted(state, report, found)
    if state["offset"] < report.total:
        return Page(found, _cursor(state), True), state, report.quota
    if state["report"] + 1 < len(source.queries):
        state = {**state, "report": state["report"] + 1, "offset": 0, "total": 0}
        return Page(found, _cursor(state), True), state, report.quota
    gone = _vanished(state)
    state = _closed(source, state)
    return Page([*found, *gone], _cursor(state), "day" in state), state, report.quota


def _counted(state: State, report: Report, found: Sequence[Record]) -> State:
    if report.total > LARGEST:
        raise Misconfigured(
            f"A day has more than {LARGEST} rows.",
            fix="Map fewer dimensions, the landing page first: Google folds what is beyond into (other).",
            object="figures",
            record=state["day"],
        )
    now = state["now"] + "".join(record.id.rpartition(":")[2] for record in found)
    return {**state, "now": now, "offset": state["offset"] + len(report.rows), "total": report.total}


def _vanished(state: State) -> list[Record]:
    """The rows that the day had when it was last read, and has no more."""
    here = set(_names(state["now"]))
    gone = [name for name in _names(state["held"].get(state["day"], "")) if name not in here]
    return [Record(f"{state['day']}:{name}", b"{}", gone=Gone.DELETED) for name in gone]


def _names(packed: str) -> list[str]:
    return [packed[start : start + ID] for start in range(0, len(packed), ID)]


def _closed(source: Source, state: State) -> State:
    """The state after a day: before the next one, or done. Only days that will be read again are kept by name."""
    oldest = (date.fromisoformat(state["to"]) - timedelta(days=max(source.nightly, source.trailing))).isoformat()
    held = {
        day: names for day, names in {**state["held"], state["day"]: state["now"]}.items() if day >= oldest and names
    }
    kept = {"held": held, "most": state["most"], "at": state["at"], "deep": state["deep"]}
    if state["day"] >= state["to"]:
        return {**kept, "done": state["to"]}
    following = date.fromisoformat(state["day"]) + timedelta(days=1)
    return {**kept, "to": state["to"], **_day(following.isoformat())}


def _most(most: Mapping[str, int], quota: Mapping[str, int]) -> dict[str, int]:
    return {name: max(most.get(name, 0), quota.get(name, 0)) for name in {*most, *quota}}


def _cursor(state: State) -> str:
    return orjson.dumps(state, option=orjson.OPT_SORT_KEYS).decode()
