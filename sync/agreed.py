"""What a record agreed on with its lead when it was last decided, and since when that counts.

A value counts from when its record was last touched, where nobody saw it given: after a first look, or after a restored
state looked anew, often later than it was given. Whoever changes a value that the lead has too replaced what they saw:
that counts after it, however late the other record that says it was touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select

from mappings.model import Values
from sync.load import chunks
from sync.state.schema import leads

_LEADS = select(leads.c.id, leads.c.body, leads.c.reasons).where(leads.c.id.in_(bindparam("some", expanding=True)))


class Agreed:
    """The leads of some records, as last decided."""

    def __init__(self, tx: Connection, ids: Iterable[str]) -> None:
        self._rows: dict[str, Any] = {}
        for some in chunks(sorted(set(ids))):
            self._rows.update({row.id: row for row in tx.execute(_LEADS, {"some": some})})

    def of(self, lead: str | None, old: Values, new: Values) -> Mapping[str, str]:
        """Since when the values of `old` count that `lead` has, too, and that `new` replaces, by field."""
        row = self._rows.get(lead or "")
        if row is None:
            return {}
        names = [name for name, value in new.items() if value != old.get(name) and old.get(name) is not None]
        if not names:
            return {}
        values, reasons = orjson.loads(row.body), orjson.loads(row.reasons)
        return {name: reasons[name]["at"] for name in names if name in reasons and values.get(name) == old[name]}
