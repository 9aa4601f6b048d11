"""The port, in terms of a tap's runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import orjson

from config.errors import AuthorizationLost, Misconfigured, RecordRejected
from connectors import manifest
from connectors.api import (
    Account,
    Connector,
    Health,
    Notice,
    ObjectSchema,
    Operation,
    Page,
    Record,
    Request,
    Result,
    Surroundings,
)
from connectors.singer import platform
from connectors.singer.catalog import find
from connectors.singer.choices import NO_CATALOG, StreamChoice
from connectors.singer.client import Client
from connectors.singer.pull import Cursor, Sweep
from connectors.singer.records import Rows, member
from connectors.singer.shape import fields as fields_of


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no tap is started yet."""
    return SingerConnector(account, surroundings)


class SingerConnector:
    """One configured tap. A pull that was left before its end goes on from its cursor, as long as this one is open."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._connection = account.connection
        self._client = Client(account, surroundings)
        self._sweeps: dict[str, Sweep] = {}
        self._objects = manifest.load(platform.folder).objects

    @property
    def calls(self) -> int:
        """Starts of the tap: its own calls are not told."""
        return self._client.calls

    def close(self) -> None:
        """No tap runs any more."""
        for object in list(self._sweeps):
            self._end(object)

    def _end(self, object: str) -> None:
        if sweep := self._sweeps.pop(object, None):
            sweep.close()

    # what is there

    def check(self) -> Health:
        """What the tap offers, asked anew. A tap has no identity: its name stands for it, or `settings.account`."""
        self._client.program()
        streams = self._client.catalog(anew=True)
        for object in self._client.choices.streams:
            self._choice(object)
        name = self._client.choices.name
        known = {choice.stream for choice in self._client.choices.streams.values()}
        notes = () if not streams else (f"offers {len(streams)} streams; {len(known)} are read",)
        return Health(self._client.choices.account or name, name, notes=notes)

    def describe(self, object: str) -> ObjectSchema:
        """By the catalog's schema; nothing where the object has no stream, or the tap no catalog."""
        choice = self._choice(object)
        entry = find(self._client.catalog(), choice.stream) if choice else None
        return ObjectSchema(object, fields_of(entry.get("schema")) if entry else {})

    def _choice(self, object: str) -> StreamChoice | None:
        """The stream chosen for the object, which the tap offers; None where none was chosen."""
        if object not in self._objects:
            raise Misconfigured(
                f"A tap has no object {object!r} here.",
                fix=f"There are: {', '.join(self._objects)}.",
                connection=self._connection,
            )
        choice = self._client.choices.streams.get(object)
        if choice is None or self._client.choices.catalog == NO_CATALOG:
            return choice
        for wanted in (choice.stream, *choice.beside):
            self._offered(object, wanted)
        return choice

    def _offered(self, object: str, stream: str) -> None:
        streams = self._client.catalog()
        if find(streams, stream) is None:
            names = [str(entry.get("stream") or entry.get("tap_stream_id")) for entry in streams]
            near = get_close_matches(stream, names, n=1) or names[:20]
            raise Misconfigured(
                f"The tap offers no stream {stream!r}.",
                fix=f"It offers: {', '.join(near)}.",
                connection=self._connection,
                object=object,
            )

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        """An object without a stream has no records, and starts no tap."""
        choice = self._choice(object)
        if choice is None:
            yield Page([], Cursor("").text(), more=False)
            return
        sweep = self._sweeps.get(object)
        if sweep is None or not cursor or sweep.cursor != cursor:
            self._end(object)
            sweep = self._sweeps[object] = self._sweep(object, choice, Cursor.of(cursor, choice.stream), since)
        try:
            for page in sweep.pages():
                if not page.more:
                    self._end(object)
                yield page
        except GeneratorExit:
            raise  # the tap waits for whoever goes on with the cursor
        except BaseException:
            self._end(object)
            raise

    def _sweep(self, object: str, choice: StreamChoice, start: Cursor, since: str = "") -> Sweep:
        kind = self._objects[object].kind
        rows = Rows(choice, object, kind, self._connection)
        run = self._client.run(choice, start.state, "" if start.state else since)
        return Sweep(run, choice, rows, kind, start, self._client.choices.page)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        """A tap has no look-up: all of the stream is told anew, and what was asked for is kept of it."""
        choice = self._choice(object)
        wanted, found = set(values), dict[str, Record]()
        if choice is None or not wanted:
            return found
        sweep = self._sweep(object, choice, Cursor(choice.stream))
        try:
            for page in sweep.pages():
                for record in page.records:
                    value = record.id if key == "id" else _text(record, key)
                    if value in wanted:
                        found[value] = record
        finally:
            sweep.close()
        return {value: record for value, record in found.items() if record.gone is None}

    # push and webhooks

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        """A tap only reads."""
        return (Result(operation.key, error=_unwritable(operation)) for operation in operations)

    def verify(self, request: Request) -> list[Notice]:
        raise AuthorizationLost("A tap has no webhooks.", connection=self._connection)


def _text(record: Record, key: str) -> str:
    row: Any = orjson.loads(record.raw) if record.fault is None else None
    value = member(row, key) if isinstance(row, Mapping) else None
    return str(value) if isinstance(value, str | int) else ""


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )
