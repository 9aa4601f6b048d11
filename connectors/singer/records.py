"""From the tap's rows to records: their ids, their versions, and which of them are gone or not as promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
import xxhash

from config.clock import stamp
from config.errors import Misconfigured, RetryLater
from connectors.api import Fault, Gone, Record
from connectors.singer.choices import StreamChoice
from connectors.singer.messages import Message
from connectors.singer.shape import wrong
from mappings.model import Kind

DELETED = "_sdc_deleted_at"


class Rows:
    """The rows of one stream. A SCHEMA comes before them, and may come anew."""

    def __init__(self, choice: StreamChoice, object: str, kind: Kind, connection: str) -> None:
        self._choice, self._object, self._kind, self._connection = choice, object, kind, connection
        self._schema: Mapping[str, Any] | None = None
        self._id: Sequence[str] = choice.id
        self._changed = choice.changed

    def learn(self, message: Message) -> None:
        """Raises Misconfigured where the stream has nothing to tell its records apart by."""
        self._schema = message.schema
        self._id = self._choice.id or tuple(message.key_properties or ())
        self._changed = self._choice.changed or next(iter(message.bookmark_properties or ()), "")
        if not self._id and self._kind is not Kind.ACTIVITY:
            raise Misconfigured(
                f"The stream {self._choice.stream} has no key properties.",
                fix=f"Name the fields that tell its records apart: settings.streams.{self._object}.id.",
                connection=self._connection,
                object=self._object,
            )

    def record(self, message: Message) -> Record:
        """The row as a record; one that its schema does not allow, or that has no key, has a fault and goes to
        quarantine with it. Raises RetryLater where no schema came before."""
        if self._schema is None:
            raise RetryLater(
                f"The tap told records of {message.stream} before their SCHEMA.",
                after=60,
                fix="Report it to the tap's authors.",
                connection=self._connection,
                object=self._object,
                code="no_schema",
            )
        raw = bytes(message.record)
        try:
            row = orjson.loads(raw)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            return _faulty("", raw, Fault("", "unreadable", "is no JSON object", _TAP))
        id, odd = self._key(row, raw), wrong(row, self._schema)
        if odd is not None:
            return _faulty(id, raw, Fault(odd.place, "type", odd.reason, _TYPE))
        if not id:
            return _faulty(id, raw, Fault(" + ".join(self._id), "key", "is no key", self._other_key))
        gone = Gone.DELETED if row.get(DELETED) else None
        return Record(id, raw, version(member(row, self._changed)), gone, revised=self._choice.revised)

    def _key(self, row: Mapping[str, Any], raw: bytes) -> str:
        """The record's id, parts apart by `/`; "" where one is missing. Activities without a key: what they say."""
        if not self._id:
            return xxhash.xxh3_128_hexdigest(raw)
        parts = [_key_part(member(row, name)) for name in self._id]
        if not all(parts):
            return ""
        return parts[0] if len(parts) == 1 else "/".join(quote(part, safe="") for part in parts)

    @property
    def _other_key(self) -> str:
        return f"Correct it in the source, or name other fields in settings.streams.{self._object}.id."


_TAP = "Run the tap by hand, and report it to its authors."
_TYPE = "Correct it in the source, or the type in a catalog of your own (settings.catalog)."


def _faulty(id: str, raw: bytes, fault: Fault) -> Record:
    """One without a key is known by what it says, so that it is the same one each time it comes."""
    return Record(id or f"?{xxhash.xxh3_64_hexdigest(raw)}", b"", fault=fault)


def member(row: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; a member whose own name has the dots goes first."""
    if path in row:
        return row[path]
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _key_part(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def version(value: Any) -> str:
    """A bookmark's value as a stamp; "" where it is no time. One without a zone is in UTC."""
    if not isinstance(value, str):
        return ""
    try:
        at = datetime.fromisoformat(value.strip())
        return stamp(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return ""
