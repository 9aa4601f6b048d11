"""Pulling: a walk over SystemModstamp, by key, with an overlap; or a bulk query for most of an account.

A cursor is one of
    {"walk": {"since": s, "until": u, "at": t, "id": i, "deleted": b}}   in the middle of a listing
    {"job": {"id": j, "locator": l, "since": s, "until": u}}             in the middle of a bulk query
    {"done": u}                                                          all until u is known
An incremental pull reads again what changed in the last seconds before `u` (the overlap): transactions stamp their
rows early and commit late, so a row may appear below the newest stamp already seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import PermissionMissing, RecordRejected
from connectors.api import ObjectSchema, Page, Record
from connectors.salesforce import bulk, soql
from connectors.salesforce.client import Client
from connectors.salesforce.objects import OBJECTS
from connectors.salesforce.records import columns, reader

PAGE = {"Sforce-Query-Options": "batchSize=2000"}
BULK_FROM = 10_000
"""Records from which a bulk query is cheaper than pages of 2,000."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A listing of what changed in [since, until], behind the key (at, id) where one is set."""

    since: str
    until: str
    at: str = ""
    id: str = ""
    deleted: bool = False


class Pull:
    """One call of the port's pull."""

    def __init__(
        self,
        client: Client,
        object: str,
        fields: Sequence[str],
        *,
        overlap: float,
        settle: float,
        describe: Callable[[str], ObjectSchema],
    ) -> None:
        self.client = client
        self.object = object
        self.facts = OBJECTS[object]
        self.columns = soql.names(columns(object, fields))
        self.fields = fields
        self.overlap = overlap
        self.settle = settle
        self.describe = describe
        self.read = reader(object, fields)

    def run(self, cursor: str | None, since: str, is_bulk: bool) -> Iterator[Page]:
        state: Mapping[str, Any] = orjson.loads(cursor) if cursor else {}
        if "job" in state:
            return self._resumed(state["job"])
        if "walk" in state:
            return self._walk(Walk(**state["walk"]), is_bulk=False)
        until = stamp(self.client.clock.now() - timedelta(seconds=self.settle))
        if "done" in state:
            begin = stamp(unstamp(state["done"]) - timedelta(seconds=self.overlap))
            return self._walk(Walk(begin, until, deleted=self.facts.bin), is_bulk=False)
        return self._walk(Walk(since, until), is_bulk=is_bulk)

    # pages of 2,000

    def _walk(self, walk: Walk, *, is_bulk: bool) -> Iterator[Page]:
        answer = self._first(walk)
        if is_bulk and answer["totalSize"] > BULK_FROM:
            yield from self._bulk(walk, answer["totalSize"])
            return
        total: int | None = answer["totalSize"] if not walk.at else None
        while True:
            rows = answer["records"]
            if answer["done"]:
                yield Page(self._records(rows), _cursor(done=walk.until), more=False, total=total)
                return
            walk = _behind(walk, rows)
            yield Page(self._records(rows), _cursor(walk=asdict(walk)), more=True, total=total)
            answer = self._next(walk, answer["nextRecordsUrl"])

    def _first(self, walk: Walk) -> Any:
        after = (walk.at, walk.id) if walk.at else None
        text = soql.select(
            self.columns,
            self.facts.sobject,
            soql.window(after, walk.since, walk.until),
            "SystemModstamp, Id",
        )
        path = "queryAll" if walk.deleted else "query"
        return self.client.call("GET", path, object=self.object, params={"q": text}, headers=PAGE, repeatable=True)

    def _next(self, walk: Walk, url: str) -> Any:
        """The next page by the platform's locator; by key when the locator is no more."""
        try:
            return self.client.call("GET", url, object=self.object, headers=PAGE, repeatable=True)
        except (PermissionMissing, RecordRejected) as error:
            if error.code not in ("INVALID_QUERY_LOCATOR", "NOT_FOUND"):
                raise
            return self._first(walk)

    def _records(self, rows: list[dict[str, Any]]) -> list[Record]:
        return [self.read(row) for row in rows]

    # bulk

    def _bulk(self, walk: Walk, total: int) -> Iterator[Page]:
        where = soql.window(None, walk.since, walk.until)
        job = bulk.start_query(self.client, self.object, soql.select(self.columns, self.facts.sobject, where))
        try:
            bulk.wait(self.client, "query", job, self.object)
        except bulk.NothingDone:
            yield from self._walk(walk, is_bulk=False)
            return
        yield from self._chunks({"id": job, "locator": "", "since": walk.since, "until": walk.until}, total)

    def _resumed(self, job: Mapping[str, str]) -> Iterator[Page]:
        """Go on with a bulk query where it was left; anew when the platform has dropped it (after seven days)."""
        if bulk.job_state(self.client, "query", job["id"], self.object) == "JobComplete":
            return self._chunks(dict(job), None)
        return self._walk(Walk(job["since"], job["until"]), is_bulk=True)

    def _chunks(self, job: dict[str, str], total: int | None) -> Iterator[Page]:
        forms = self._forms()
        while True:
            rows, locator = bulk.results(self.client, job["id"], job["locator"], self.object, forms)
            if not locator:
                yield Page(self._records(rows), _cursor(done=job["until"]), more=False, total=total)
                return
            job = {**job, "locator": locator}
            yield Page(self._records(rows), _cursor(job=job), more=True, total=total)

    def _forms(self) -> dict[str, Callable[[str], Any]]:
        schema = self.describe(self.object).fields
        types = {name: schema[name].type for name in self.columns if name in schema}
        types |= {"IsDeleted": "boolean", "IsConverted": "boolean", "IsPrimary": "boolean"}
        return {name: bulk.FORMS[kind] for name, kind in types.items() if kind in bulk.FORMS}


def _behind(walk: Walk, rows: list[dict[str, Any]]) -> Walk:
    """The walk after `rows`. A row that changed while we walk may show its new stamp: such a one is no place to go on
    from, and it is read again anyhow, for it lies behind `until`."""
    for row in reversed(rows):
        if row["SystemModstamp"][:19] <= walk.until[:19]:
            return replace(walk, at=row["SystemModstamp"], id=row["Id"])
    return walk


def _cursor(**state: Any) -> str:
    return orjson.dumps(state).decode()
