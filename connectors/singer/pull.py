"""One run of the tap, page by page, with a cursor after each that never stands for records not yet told.

A STATE says that all before it was told. A page's cursor is the last STATE before the page's end: whoever takes it up
again may get records twice, and misses none. The process that was told a page can go on where it stopped, for the tap
waits meanwhile: the cursor's `mark` says which run of which process, and which page of it.

A version of a stream (ACTIVATE_VERSION) takes the place of the one before: what was in that, and is not in the new, is
gone. That is only said of a version seen from its beginning to its end by one run.
"""

from __future__ import annotations

import base64
import secrets
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from config.errors import Misconfigured
from config.log import Log
from connectors.api import Gone, Page, Record
from connectors.singer.choices import StreamChoice
from connectors.singer.client import Run
from connectors.singer.messages import KNOWN, Message
from connectors.singer.records import Rows
from mappings.model import Kind

log = Log(__name__)

MOST = 100_000
"""Ids of a stream kept to tell what its next version lacks; of larger ones nothing is told gone by a version."""
BYTES = 4_000_000
"""Of a page, about."""
RIPE = 100
"""Records after which a STATE ends a page."""
PATIENCE = 5.0
"""Seconds after which a page ends, so that a slow tap's records are stored while it goes on."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a pull stands: the tap's own state, the ids of the version that was active, and the mark of the page."""

    stream: str
    state: Any = None
    version: float | None = None
    ids: frozenset[str] = frozenset()
    mark: str = ""

    @classmethod
    def of(cls, text: str | None, stream: str) -> Cursor:
        """Empty where there is none, or where it is another stream's."""
        told = orjson.loads(text) if text else {}
        if told.get("stream") != stream:
            return cls(stream)
        packed = told.get("ids")
        ids = orjson.loads(zlib.decompress(base64.b64decode(packed))) if packed else ()
        return cls(stream, told.get("state"), told.get("version"), frozenset(ids), told.get("mark", ""))

    def text(self) -> str:
        told: dict[str, Any] = {"stream": self.stream, "state": self.state}
        if self.version is not None:
            told |= {"version": self.version, "ids": _packed(self.ids)}
        if self.mark:
            told["mark"] = self.mark
        return orjson.dumps(told).decode()


@lru_cache(maxsize=4)  # the same on all pages of a pull
def _packed(ids: frozenset[str]) -> str:
    return base64.b64encode(zlib.compress(orjson.dumps(sorted(ids)))).decode()


@dataclass
class _Held:
    """A page as it fills."""

    most: int
    records: list[Record] = field(default_factory=list)
    size: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.size += len(record.raw)

    @property
    def full(self) -> bool:
        return len(self.records) >= self.most or self.size >= BYTES or self.late

    @property
    def late(self) -> bool:
        return bool(self.records) and time.monotonic() - self.began >= PATIENCE


class Sweep:
    """A run for one object. `cursor` is the text of the last page's cursor, by which the run can be gone on with."""

    def __init__(self, run: Run, choice: StreamChoice, rows: Rows, kind: Kind, start: Cursor, most: int) -> None:
        self._run, self._choice, self._rows, self._most = run, choice, rows, most
        self._messages = run.messages()
        self._state = start.state
        self._versioned = kind is not Kind.ACTIVITY
        self._known: tuple[float | None, frozenset[str]] = (start.version, start.ids)
        self._whole = not start.mark  # begun where another run had ended well
        self._seen: set[str] = set()
        self._seen_version: float | None = None
        self._next: tuple[float | None, frozenset[str]] | None = None
        self._farewells: deque[str] = deque()
        self._token, self._number = secrets.token_hex(4), 0
        self._strange: set[str] = set()
        self.cursor = ""

    def pages(self) -> Iterator[Page]:
        """The rest of its pages."""
        while True:
            page = self._page()
            self.cursor = page.cursor
            yield page
            if not page.more:
                return

    def close(self) -> None:
        self._run.close()

    def _page(self) -> Page:
        held = _Held(self._most)
        while not held.full:
            if self._farewells:
                self._part(held)
                continue
            message = next(self._messages, None)
            if message is None:
                self._end()
                return Page(held.records, self._cursor("").text(), more=False)
            self._take(message, held)
            if message.type == "STATE" and len(held.records) >= RIPE:
                break
        self._number += 1
        return Page(held.records, self._cursor(f"{self._token}.{self._number}").text(), more=True)

    def _cursor(self, mark: str) -> Cursor:
        version, ids = self._known
        return Cursor(self._choice.stream, self._state, version, ids, mark)

    def _take(self, message: Message, held: _Held) -> None:
        mine = message.stream == self._choice.stream
        if message.type == "RECORD" and mine:
            record = self._rows.record(message)
            self._note(message.version, record)
            held.add(record)
        elif message.type == "STATE":
            self._state = message.value or self._state
        elif message.type == "SCHEMA" and mine:
            self._rows.learn(message)
        elif message.type == "ACTIVATE_VERSION" and mine:
            self._activate(message.version)
        elif message.type == "BATCH":
            raise Misconfigured("The tap writes batch files.", fix="Take batch_config out of its configuration.")
        elif message.type not in KNOWN and message.type not in self._strange:
            self._strange.add(message.type)
            log.warning("tap.message_unknown", type=message.type[:40])

    # versions

    def _note(self, version: float | None, record: Record) -> None:
        if version is None or not self._versioned:
            return
        if version != self._seen_version:
            self._seen, self._seen_version = set(), version
        if len(self._seen) <= MOST and record.gone is None:
            self._seen.add(record.id)

    def _activate(self, version: float | None) -> None:
        """What the version before had, and this one has not, is gone, where this one was seen whole."""
        if version is None or version != self._seen_version:
            return
        before, ids = self._known
        lost: frozenset[str] = frozenset()
        if self._whole and before not in (None, version) and len(self._seen) <= MOST:
            lost = ids - self._seen
        self._farewells.extend(sorted(lost))
        self._next = (version, frozenset(self._seen) | (ids if before == version or not self._whole else frozenset()))
        if not self._farewells:
            self._settle()

    def _part(self, held: _Held) -> None:
        """Say of what is gone that it is; only when all of it was said the new version is the known one."""
        for _ in range(min(len(self._farewells), self._most - len(held.records))):
            held.add(Record(self._farewells.popleft(), b"{}", gone=Gone.DELETED))
        if not self._farewells:
            self._settle()

    def _settle(self) -> None:
        if self._next is not None:
            version, ids = self._next
            self._known = (version, ids) if len(ids) <= MOST else (None, frozenset())
            self._next = None

    def _end(self) -> None:
        """What came without its version being activated adds to what is known."""
        version, ids = self._known
        if self._seen_version is not None and (version is None or version == self._seen_version):
            self._next = (self._seen_version, ids | self._seen)
            self._settle()
