"""Hand-off briefs as notes on the contact. A note is found again by the reference in its last line."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import orjson

from config.clock import stamp
from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.activecampaign.client import Client
from connectors.activecampaign.newest import newest
from connectors.activecampaign.objects import moment
from connectors.api import Operation, Record, Result

LOOK_BACK = timedelta(days=30)
"""How far back a note is looked for: notes are one list for the whole account."""
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
    for row in newest(client, "notes", "cdate", stamp(now - LOOK_BACK)):
        last = html.unescape(str(row.get("note") or "")).rstrip().rpartition("\n")[2].strip()
        if last in waiting:
            waiting.discard(last)
            id = str(row["id"])
            found[last] = Record(id, orjson.dumps({"reference": last}), moment(row.get("mdate")))
        if not waiting:
            break
    return found
