"""From a platform's bytes to the values of a record, or to why it has no part in this: too large, unreadable, left out
by the mapping's filter, somebody's who was forgotten. Each is counted, and what is wrong is complained of."""

from __future__ import annotations

from sqlalchemy import Connection

from connectors.api import Record
from mappings.compiler import Mapped, ValueProblem
from mappings.model import Values
from sync.baseline import body_bytes
from sync.complaints import Complaints
from sync.state.suppression import Suppression
from sync.streams import StreamRow

LARGEST = 1_000_000
"""Bytes. A record beyond it is quarantined unread."""

Reading = tuple[Values, list[ValueProblem], bytes]
"""The values, the mistakes in them, and the values as text."""


class Reader:
    """Reads the records of one transaction. Whoever takes one in with mistakes in it counts it as `quarantined`."""

    def __init__(self, tx: Connection, stream: StreamRow, mapped: Mapped, run: str, at: str) -> None:
        self.stream, self.mapped = stream, mapped
        self.complaints = Complaints(tx, stream.connection, stream.object, run, at)
        self.forgotten: Suppression | None = None
        self.filtered = self.quarantined = self.suppressed = 0

    def is_hushed(self, object: str, id: str) -> bool:
        """Whether the record is of somebody forgotten; counted where it is."""
        found = self.forgotten is not None and self.forgotten.has_record(self.stream.connection, object, id)
        self.suppressed += found
        return found

    def read(self, record: Record) -> Reading | None:
        """The record's values, the mistakes in them and the values as text; None when it cannot be read or has no part
        in this."""
        values = self.mapped.quick(record.raw)
        problems: list[ValueProblem] = []
        if values is None:
            read = self._read_carefully(record)
            if read is None:
                return None
            values, problems = read
        if self.forgotten is not None and self.forgotten.has_person(values):
            self.suppressed += 1
            self.complaints.judge(record.id, [])
            return None
        body = body_bytes(values)
        if problems or self.complaints.any_open:
            self.complaints.judge(record.id, problems)
        return values, problems, body

    def _read_carefully(self, record: Record) -> tuple[Values, list[ValueProblem]] | None:
        if (fault := record.fault) is not None:
            self.refuse(record, fault.code, fault.reason, field=fault.field, fix=fault.fix)
            return None
        if len(record.raw) > LARGEST:
            self.refuse(record, "too_large", f"is larger than {LARGEST} bytes")
            return None
        try:
            decoded = self.mapped.decode(record.raw)
        except ValueError:
            self.refuse(record, "unreadable", "is no JSON object")
            return None
        if not self.mapped.accepts(decoded):
            self.filtered += 1
            self.complaints.judge(record.id, [])
            return None
        return self.mapped.read(decoded)

    def refuse(self, record: Record, code: str, reason: str, *, field: str = "", fix: str = "") -> None:
        """The whole record goes to quarantine; what was known of it stays."""
        name = record.id if record.id.isprintable() else ascii(record.id)
        self.complaints.judge(name, [ValueProblem(field, code, reason, fix)])
        self.quarantined += 1
