"""Rows of a list from its new end: ActiveCampaign documents no order of notes and of values of custom fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.activecampaign import client as wire
from connectors.activecampaign.client import Client, Row
from connectors.activecampaign.objects import moment

PAGES = 20
"""How far back is looked at most."""


def newest(client: Client, path: str, made: str, oldest: str) -> Iterator[Row]:
    """Rows of `path` from the new end of the list, whichever end that is, back to those made (member `made`) before the
    stamp `oldest`."""
    first = client.rows(path, path, {"offset": 0})
    total = first.total if first.total is not None else len(first.rows)
    starts = list(range(0, max(total, 1), wire.PAGE))
    if len(starts) > 1:
        last = client.rows(path, path, {"offset": starts[-1]})
        if _latest(last.rows, made) >= _latest(first.rows, made):
            starts.reverse()
    for start in starts[:PAGES]:
        rows = client.rows(path, path, {"offset": start}).rows if start else first.rows
        yield from rows
        if _latest(rows, made) < oldest:
            return


def _latest(rows: Sequence[Row], made: str) -> str:
    return max((moment(row.get(made)) for row in rows), default="")
