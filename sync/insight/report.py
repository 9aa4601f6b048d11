"""The funnel and its outcomes, by source, campaign, month or owner: figures that both sides can trace to leads."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, select

from config.cells import guarded
from mappings.model import Kind
from sync.state.schema import leads, records, streams

By = Literal["source", "campaign", "month", "owner"]
_STAGES = ("opportunity", "customer", "evangelist")


@dataclass(slots=True)
class Row:
    """One line of the funnel. Amounts are sums in `currency`; None where nothing is known."""

    name: str
    leads: int = 0
    qualified: int = 0
    handed_off: int = 0
    opportunities: int = 0
    customers: int = 0
    won_deals: int = 0
    lost: int = 0
    revenue: Decimal = Decimal(0)
    cost: Decimal | None = None
    visits: int | None = None
    lost_reasons: Counter[str] = field(default_factory=Counter)

    @property
    def conversion(self) -> float | None:
        """Customers per lead."""
        return self.customers / self.leads if self.leads else None

    @property
    def win_rate(self) -> float | None:
        """Customers per lead whose deals are decided."""
        decided = self.customers + self.lost
        return self.customers / decided if decided else None

    @property
    def deal_size(self) -> Decimal | None:
        """Revenue per won deal."""
        return (self.revenue / self.won_deals).quantize(Decimal("0.01")) if self.won_deals else None

    @property
    def acquisition_cost(self) -> Decimal | None:
        """Cost per customer."""
        if self.cost is None or not self.customers:
            return None
        return (self.cost / self.customers).quantize(Decimal("0.01"))

    def plain(self) -> dict[str, Any]:
        """The row as JSON."""
        return {
            "name": self.name,
            "leads": self.leads,
            "qualified": self.qualified,
            "handed_off": self.handed_off,
            "opportunities": self.opportunities,
            "customers": self.customers,
            "conversion": None if self.conversion is None else round(self.conversion, 4),
            "win_rate": None if self.win_rate is None else round(self.win_rate, 4),
            "won_deals": self.won_deals,
            "deal_size": _text(self.deal_size),
            "revenue": _text(self.revenue),
            "cost": _text(self.cost),
            "acquisition_cost": _text(self.acquisition_cost),
            "lost": self.lost,
            "visits": self.visits,
            "lost_reasons": dict(self.lost_reasons.most_common()),
        }


@dataclass(slots=True)
class Funnel:
    """The rows, most leads first, and their sum. `left_out` counts revenue in other currencies than `currency`; `idle`
    is what the total's cost holds of campaigns that brought nobody, where no row bears it."""

    by: By
    currency: str
    rows: list[Row]
    total: Row
    left_out: int = 0
    idle: Decimal = Decimal(0)

    def plain(self) -> dict[str, Any]:
        return {
            "by": self.by,
            "currency": self.currency,
            "rows": [row.plain() for row in self.rows],
            "total": self.total.plain(),
            "other_currencies_left_out": self.left_out,
            "cost_of_campaigns_without_leads": _text(self.idle),
        }

    def csv(self) -> str:
        """The rows as CSV; cells that a spreadsheet would take for a formula begin with an apostrophe."""
        buffer = io.StringIO()
        names = [name for name in self.total.plain() if name != "lost_reasons"]
        writer = csv.DictWriter(buffer, names, extrasaction="ignore", lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        for row in (*self.rows, self.total):
            writer.writerow({name: _cell(value) for name, value in row.plain().items()})
        return buffer.getvalue()


def _cell(value: Any) -> Any:
    return guarded(value) if isinstance(value, str) and not _is_number(value) else value


def _is_number(value: str) -> bool:
    try:
        Decimal(value)
    except ArithmeticError:
        return False
    return True


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


def funnel(
    tx: Connection, by: By = "source", currency: str = "USD", channels: Mapping[str, Sequence[str]] | None = None
) -> Funnel:
    """The funnel over all live leads, read as a stream: memory does not grow with their number.

    What platforms spell otherwise (`PAID_SEARCH`, `Paid Search`) is one source, and so is what `channels` (name ->
    what platforms call it) says is one.
    """
    rows = _Rows(_alike if by == "source" else str, channels or {})
    result = Funnel(by, currency, [], Row("total"))
    query = select(leads.c.body, leads.c.qualified_at, leads.c.handed_off_at).where(leads.c.state == "live")
    spread: dict[str, Counter[str]] = {}
    for lead in tx.execution_options(yield_per=1000).execute(query):
        values = orjson.loads(lead.body)
        group = _group(by, values)
        row = rows.of(group, spelled=1)
        spread.setdefault(_group("campaign", values), Counter())[group] += 1
        for one in (row, result.total):
            _count(one, values, lead)
        result.left_out += _add_revenue(row, result.total, values, currency)
    _add_costs(tx, rows, result, spread)
    _add_visits(tx, rows, result.total, by)
    by_time = by == "month"
    result.rows = sorted(rows.named(), key=lambda row: (row.name,) if by_time else (-row.leads, row.name))
    return result


def _alike(name: str) -> str:
    """The name without what platforms spell it differently by."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip() or name


class _Rows:
    """The rows by what their names come to; each is called as agreed, else as most of its leads spell it."""

    def __init__(self, key: Callable[[str], str], channels: Mapping[str, Sequence[str]]) -> None:
        self._key = key
        self._agreed = {key(word): name for name, words in channels.items() for word in (name, *words)}
        self._rows: dict[str, Row] = {}
        self._spelled: dict[str, Counter[str]] = {}

    def _place(self, name: str) -> str:
        key = self._key(name)
        return self._key(self._agreed[key]) if key in self._agreed else key

    def __contains__(self, name: str) -> bool:
        return self._place(name) in self._rows

    def of(self, name: str, spelled: int = 0) -> Row:
        """The row that `name` belongs to, made where there is none; so many more spell it so."""
        place = self._place(name)
        self._spelled.setdefault(place, Counter())[name] += spelled
        return self._rows.setdefault(place, Row(name))

    def named(self) -> list[Row]:
        for place, row in self._rows.items():
            usual = min(self._spelled[place].items(), key=lambda told: (-told[1], told[0]))[0]
            row.name = self._agreed.get(place, usual)
        return list(self._rows.values())


def _group(by: By, values: Mapping[str, Any]) -> str:
    match by:
        case "source":
            found = values.get("original_source") or values.get("utm_source")
        case "campaign":
            found = values.get("original_campaign") or values.get("utm_campaign")
        case "month":
            found = (values.get("first_contact_at") or values.get("created_at") or "")[:7]
        case "owner":
            found = values.get("owner")
    return str(found or "unknown")


def _count(row: Row, values: Mapping[str, Any], lead: Any) -> None:
    row.leads += 1
    row.qualified += lead.qualified_at is not None
    row.handed_off += lead.handed_off_at is not None
    in_a_deal = values.get("open_deals") is not None
    row.opportunities += in_a_deal or values.get("lifecycle_stage") in _STAGES
    row.customers += bool(values.get("is_customer"))
    row.won_deals += values.get("won_deals") or 0
    if in_a_deal and not values.get("is_customer") and not values.get("open_deals"):
        row.lost += 1
        row.lost_reasons[values.get("lost_reason") or "no reason given"] += 1


def _add_revenue(row: Row, total: Row, values: Mapping[str, Any], currency: str) -> int:
    """Add the lead's won amount; 1 when it is in another currency and so left out."""
    won = values.get("won_amount")
    if not won:
        return 0
    if won["currency"] != currency:
        return 1
    row.revenue += Decimal(won["amount"])
    total.revenue += Decimal(won["amount"])
    return 0


def _add_costs(tx: Connection, rows: _Rows, result: Funnel, spread: Mapping[str, Counter[str]]) -> None:
    """Each campaign's cost, shared by the rows its leads (`spread`: campaign -> row -> leads) are in.

    A campaign that brought nobody burdens only the total, and its own row where rows are campaigns. One that several
    connections know by the same name is one campaign: the connection that knows the highest cost is believed.
    """
    total = result.total
    for (name, ids), by_connection in _campaign_costs(tx, result.currency).items():
        amount = max(by_connection.values())
        total.cost = (total.cost or Decimal(0)) + amount
        brought = sum((spread[key] for key in (name, *ids) if key in spread), Counter[str]())
        if not brought and result.by == "campaign":
            brought[name] = 1
        elif not brought:
            result.idle += amount
        for group, share in _shared(amount, brought).items():
            row = rows.of(group)
            row.cost = (row.cost or Decimal(0)) + share


def _campaign_costs(tx: Connection, currency: str) -> dict[tuple[str, tuple[str, ...]], dict[str, Decimal]]:
    """(name, ids) of each campaign with a cost in `currency` -> connection -> cost."""
    ids: dict[str, list[str]] = {}
    costs: dict[str, dict[str, Decimal]] = {}
    for record, values in _told_of(tx, Kind.CAMPAIGN):
        name = values.get("name") or record.id
        ids.setdefault(name, []).append(record.id)
        _add_cost(costs.setdefault(name, {}), record.connection, values.get("cost"), currency)
    for record, values in _told_of(tx, Kind.FIGURE):
        if name := values.get("campaign"):
            ids.setdefault(name, []).extend([values["campaign_id"]] if values.get("campaign_id") else [])
            _add_cost(costs.setdefault(name, {}), record.connection, values.get("cost"), currency)
    return {(name, tuple({i for i in ids[name] if i != name})): found for name, found in costs.items() if found}


def _told_of(tx: Connection, kind: Kind) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The live records of a kind, with what they hold."""
    query = (
        select(records.c.id, records.c.body, streams.c.connection)
        .join(streams, streams.c.id == records.c.stream)
        .where(streams.c.kind == kind.value, records.c.gone.is_(None))
        .order_by(records.c.stream, records.c.id)
    )
    for record in tx.execution_options(yield_per=1000).execute(query):
        yield record, orjson.loads(record.body)


def _add_cost(costs: dict[str, Decimal], connection: str, cost: Any, currency: str) -> None:
    if cost and cost["currency"] == currency:
        costs[connection] = costs.get(connection, Decimal(0)) + Decimal(cost["amount"])


_VISITED: Mapping[By, tuple[str, ...]] = {
    "source": ("channel", "source"),
    "campaign": ("campaign", "campaign_id"),
    "month": ("day",),
}
"""The fields of a day's figures that may name a report's row, the likeliest first. Visits have no owner."""


def _add_visits(tx: Connection, rows: _Rows, total: Row, by: By) -> None:
    """Visits by row: that which leads are in, else one of its own, so that the rows add up to the total."""
    fields = _VISITED.get(by, ())
    for _, values in _told_of(tx, Kind.FIGURE) if fields else ():
        number = values.get("sessions")
        if number is None:
            continue
        names = [str(values[name])[: 7 if by == "month" else None] for name in fields if values.get(name)]
        name = next((name for name in names if name in rows), names[0] if names else "unknown")
        for row in (total, rows.of(name)):
            row.visits = (row.visits or 0) + int(number)


def _shared(amount: Decimal, heads: Mapping[str, int]) -> dict[str, Decimal]:
    """`amount` in parts by head, to the cent; the parts add up to it."""
    parts: dict[str, Decimal] = {}
    left, heads_left = amount, sum(heads.values())
    for name, number in heads.items():
        parts[name] = (left * number / heads_left).quantize(Decimal("0.01"))
        left, heads_left = left - parts[name], heads_left - number
    return parts
