"""Pulling: form responses along the time they were submitted, one list per owner and lead type.

A cursor is one of
    {"since": s, "streams": [k, ...]}                        all of these lists until s is known
    {"since": s?, "streams": [...], "began": b, "stream": k, "at": n, "last": id}   in the middle of list k
A list not known yet, of an owner added later, is read from a year back. Lists are paged by place: each page takes the
last row seen along, and where that is not in its place any more (a response was deleted) the list begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import RetryLater
from connectors.api import Gone, Page, Record
from connectors.linkedin.client import PAGE, Client, Row, Stream
from connectors.linkedin.objects import campaign

OVERLAP = timedelta(minutes=10)
YEAR = timedelta(days=365)
"""How long LinkedIn keeps a response."""
RESTARTS = 3
"""How often a list may begin anew within one pull."""

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What a pull reads with: the account, its lists, the projection, how a row is read, what was erased since."""

    client: Client
    streams: Sequence[Stream]
    fields: str
    read: Callable[[Row], Record]
    erased: Callable[[str], Sequence[str]]
    at: datetime


def cursor(state: State) -> str:
    return orjson.dumps(state).decode()


def responses(source: Source, state: State) -> Iterator[Page]:
    """All lists one after the other; with the last page, the responses that LinkedIn said were deleted."""
    began = str(state.get("began") or stamp(source.at))
    known, since = list(state.get("streams") or ()), str(state.get("since") or "")
    names = [stream.key for stream in source.streams]
    first, place = 0, (0, "")
    if state.get("stream") in names:
        first, place = names.index(state["stream"]), (int(state["at"]), str(state["last"]))
    for stream in source.streams[first:]:
        start = _start(since if stream.key in known or not known else "", source.at)
        for rows, at, last in _list(source, stream, (_ms(start), _ms(unstamp(began))), place):
            following = {"since": since, "streams": known, "began": began, "stream": stream.key, "at": at, "last": last}
            yield Page([source.read(row) for row in rows], cursor(following), True)
        place = (0, "")
    gone = [Record(id, b"{}", began, Gone.ERASED) for id in source.erased(_back(since))]
    yield Page(gone, cursor({"since": began, "streams": names}), False)


def _list(
    source: Source, stream: Stream, window: tuple[int, int], place: tuple[int, str]
) -> Iterator[tuple[list[Row], int, str]]:
    """The pages of one list from `place` on: the new rows, the next place, the last row's id."""
    (at, last), restarts, full = place, 0, True
    while full:
        before = 1 if at and last else 0
        rows = source.client.responses(stream, *window, at - before, source.fields)
        full = len(rows) >= PAGE
        if before and (not rows or str(rows[0].get("id")) != last):
            at, last, restarts, full = 0, "", restarts + 1, True
            if restarts > RESTARTS:
                raise RetryLater("LinkedIn's list of responses changes while it is read.", after=60)
            continue
        fresh = rows[before:]
        if fresh:
            at, last = at + len(fresh), str(fresh[-1].get("id"))
            yield fresh, at, last


def _start(since: str, at: datetime) -> datetime:
    """Where a list starts: the overlap before `since`, and never more than a year back."""
    oldest = at - YEAR
    return max(unstamp(since) - OVERLAP, oldest) if since else oldest


def _back(since: str) -> str:
    return stamp(unstamp(since) - OVERLAP) if since else ""


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def campaigns(client: Client, accounts: Sequence[str], state: State, at: datetime) -> Iterator[Page]:
    """All campaigns, each time: the list is short and tells no changes apart. The cursor names the account to go on
    with."""
    first = accounts.index(state["account"]) if state.get("account") in accounts else 0
    for account in accounts[first:]:
        for rows in client.campaigns(account):
            yield Page([campaign(row) for row in rows], cursor({"account": account}), True)
    yield Page([], cursor({"since": stamp(at)}), False)
