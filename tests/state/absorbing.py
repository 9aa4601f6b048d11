"""A program that pulls pages into a state until it has them all: made to be killed.

Arguments: the state's address, pages in all, pages per transaction. A page's cursor is its number; page n holds the
records n*10 to n*10+9, and every third page tells the first record of the page before anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import orjson

from config.clock import SystemClock
from connectors.api import Page, Record
from mappings.compiler import LeadFields, compile_mapping
from mappings.language import MappingFile
from mappings.transforms import Context, Defaults
from sync.absorb import absorb_pages
from sync.state.database import State
from sync.streams import stream_for

MAPPING = {"objects": {"contacts": {"kind": "lead", "fields": [{"remote": "first", "field": "first_name"}]}}}


def page(number: int, total: int) -> Page:
    told = [(str(number * 10 + n), f"name {number * 10 + n}") for n in range(10)]
    if number % 3 == 0 and number:
        told.append((str((number - 1) * 10), f"changed by {number}"))
    records = [Record(id=id, raw=orjson.dumps({"first": first})) for id, first in told]
    return Page(records, str(number + 1), number + 1 < total)


def expected(pages: int) -> dict[str, str]:
    """What the first `pages` pages amount to."""
    found: dict[str, str] = {}
    for number in range(pages):
        found.update({r.id: orjson.loads(r.raw)["first"] for r in page(number, pages).records})
    return found


def groups(start: int, total: int, size: int) -> Iterator[list[Page]]:
    for number in range(start, total, size):
        yield [page(n, total) for n in range(number, min(number + size, total))]


def main(url: str, total: int, size: int) -> None:
    mapped = compile_mapping(MappingFile.model_validate(MAPPING), lead=LeadFields(), context=Context(Defaults()))
    state = State.open(url, clock=SystemClock())
    with state.begin() as tx:
        stream = stream_for(tx, "crm", "contacts", "lead")
    print("ready", flush=True)
    for group in groups(int(stream.cursor or 0), total, size):
        with state.begin() as tx:
            absorb_pages(tx, stream, group, mapped["contacts"], run="r", at="2026-03-01T09:00:00.000Z")
    state.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
