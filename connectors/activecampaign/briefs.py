"""Hand-off briefs as notes on the contact. A note is found again by the reference in its last line."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import orjson

from config.clock import stamp
from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.activecampaign import client as wire
from connectors.activecampaign.client import Client, Row
from connectors.activecampaign.objects import moment
from connectors.api import Operation, Record, Result

LOOK_BACK = timedelta(days=30)
PAGES = 20
"""How far back a note is looked for: notes are one list for the whole account, in an order that is not documented."""
LONGEST = 60_000


def push_briefs(client: Client, operations: Sequence[Operation]) -> Iterator[Result]:
    """One note for each. Creating is not repeatable: a lost answer leaves it in doubt."""
    stop: ClosedloopError | None = None
    for operation in operations:
        if stop is not None:
            yield Result(operation.key, error=stop)
            continue
        try:
            person = str(operation.values["person"]).partition("/")[2]
            yield Result(operation.key, client.note(person, _text(operation)), True)
        except ClosedloopError as error:
            stop = None if isinstance(error, RecordRejected | InDoubt) else error
            yield Result(operation.key, error=error)


def _text(operation: Operation) -> str:
    """A note is shown as HTML."""
    values = operation.values
    ending = f"\n\n{values['reference']}"
    whole = f"{values['subject']}\n\n{values['body']}"[: LONGEST - len(ending)] + ending
    return html.escape(whole, quote=False).replace("\n", "<br>\n")


def find_briefs(client: Client, references: Sequence[str], now: datetime) -> dict[str, Record]:
    """The notes of the last thirty days that end with these references."""
    waiting, found = set(references), {}
    for row in _latest(client, stamp(now - LOOK_BACK)):
        last = html.unescape(str(row.get("note") or "")).rstrip().rpartition("\n")[2].strip()
        if last in waiting:
            waiting.discard(last)
            id = str(row["id"])
            found[last] = Record(id, orjson.dumps({"reference": last}), moment(row.get("mdate")))
        if not waiting:
            break
    return found


def _latest(client: Client, oldest: str) -> Iterator[Row]:
    """Notes from the new end of the list, whichever end that is."""
    first = client.rows("notes", "notes", {"offset": 0})
    total = first.total if first.total is not None else len(first.rows)
    starts = list(range(0, max(total, 1), wire.PAGE))
    if len(starts) > 1:
        last = client.rows("notes", "notes", {"offset": starts[-1]})
        if _newest(last.rows) >= _newest(first.rows):
            starts.reverse()
    for start in starts[:PAGES]:
        rows = client.rows("notes", "notes", {"offset": start}).rows if start else first.rows
        yield from rows
        if _newest(rows) < oldest:
            return


def _newest(rows: Sequence[Row]) -> str:
    return max((moment(row.get("cdate")) for row in rows), default="")
