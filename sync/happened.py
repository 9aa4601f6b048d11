"""Activities on their way into the state: facts, written once."""

from __future__ import annotations

from sqlalchemy import Connection

from connectors.api import Record
from sync import retold
from sync.reader import Reader
from sync.state import rows
from sync.state.schema import activities


class Happened:
    """The activities of one transaction and stream."""

    def __init__(self, tx: Connection, stream: int, reader: Reader) -> None:
        self.tx, self.stream, self.reader = tx, stream, reader
        self.happened: list[rows.Row] = []
        self.retold = retold.Retold()
        self.new = self.changed = 0

    def take(self, by_id: dict[str, Record]) -> None:
        """Activities are facts: written once, by their key, never changed and never taken back, unless their platform
        says of one that it was revised."""
        found = rows.find(self.tx, activities, self.stream, ("key",), "key", list(by_id))
        known = {key for (key,) in found}
        fresh = [record for id, record in by_id.items() if id not in known and record.gone is None]
        again = [record for id, record in by_id.items() if id in known and record.gone is None and record.revised]
        if not fresh and not again:
            return
        self.reader.complaints.recall([record.id for record in (*fresh, *again)])
        for record in fresh:
            row = self._activity(record)
            if row is not None:
                self.happened.append((self.stream, *row))
                self.new += 1
        for record in again:
            self._take_again(record)

    def _take_again(self, record: Record) -> None:
        """An activity that is here already, as it is told now; one that the filter leaves out now takes no part."""
        filtered = self.reader.filtered
        row = self._activity(record)
        if row is not None:
            self.retold.told.append(row)
        elif self.reader.filtered > filtered:
            self.retold.left_out.append(record.id)

    def _activity(self, record: Record) -> rows.Row | None:
        """The activity as a row; None where it has no part in this, or is not whole, which is counted then."""
        read = self.reader.read(record)
        if read is None:
            return None
        values, problems, _ = read
        if values.get("person") and self.reader.is_hushed(str(values.get("person_object")), str(values["person"])):
            return None
        if problems:
            self.reader.quarantined += 1
        elif not values.get("type") or not values.get("at"):
            self.reader.refuse(record, "incomplete", "has no type or no time")
        elif values.get("person") and not values.get("person_object"):
            self.reader.refuse(record, "incomplete", "names a person without the object that the person's record is of")
        else:
            return retold.row(record.id, values)
        return None

    def store(self) -> None:
        """Write it all."""
        rows.insert(self.tx, activities, ("stream", *retold.COLUMNS), self.happened, quietly=True)
        self.changed += retold.store(self.tx, self.stream, self.retold)
