"""What marketing and sales promised each other, and how it stands: figures of a period against a goal.

Every figure can be traced to leads and deals. A day belongs to a period in the project's time zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Connection, and_, exists, func, literal, or_, select

from config.clock import stamp, unstamp
from config.project import Goal
from mappings.expressions import Expression, lead_context
from mappings.model import Kind
from sync.state.schema import activities, deal_people, handoffs, identities, leads, records, streams
from sync.workspace import Workspace

TOUCHES = ("call", "meeting", "task", "note")
"""Activities by which sales takes up a lead, wherever they are told; at the CRM a mail that was sent is one too."""


@dataclass(frozen=True, slots=True)
class Period:
    """A week (from Monday), month, quarter or year: from `first` up to, and without, `after`."""

    name: str
    first: date
    after: date
    starts: str  # the same, as stamps
    ends: str

    def holds(self, when: str) -> bool:
        """Whether a day or a stamp lies in it."""
        if len(when) == 10:
            return self.first.isoformat() <= when < self.after.isoformat()
        return self.starts <= when < self.ends

    def elapsed(self, now: str) -> float:
        """How much of it is over, 0 to 1."""
        begin, end = unstamp(self.starts), unstamp(self.ends)
        return min(max((unstamp(now) - begin) / (end - begin), 0.0), 1.0)


def period(every: str, day: date, zone: ZoneInfo) -> Period:
    """The period of a length (`week`, `month`, `quarter`, `year`) that `day` lies in."""
    match every:
        case "week":
            first = day - timedelta(days=day.weekday())
            after, name = first + timedelta(days=7), f"{first:%G-W%V}"
        case "month":
            first = day.replace(day=1)
            after, name = _months_on(first, 1), f"{first:%Y-%m}"
        case "quarter":
            first = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
            after, name = _months_on(first, 3), f"{first:%Y}-Q{first.month // 3 + 1}"
        case _:
            first = day.replace(month=1, day=1)
            after, name = _months_on(first, 12), f"{first:%Y}"
    starts, ends = (stamp(datetime.combine(one, time(), zone)) for one in (first, after))
    return Period(name, first, after, starts, ends)


def _months_on(first: date, number: int) -> date:
    months = first.year * 12 + first.month - 1 + number
    return date(months // 12, months % 12 + 1, 1)


@dataclass(slots=True)
class Standing:
    """A goal in a period. `value` is None where there is nothing to go by yet; rates are shares of 1."""

    goal: Goal
    period: Period
    value: Decimal | None
    of: int | None  # what a rate is a share of
    state: str = ""

    def plain(self) -> dict[str, Any]:
        """The standing as JSON."""
        goal = self.goal
        return {
            "goal": goal.title,
            "count": goal.count,
            "period": self.period.name,
            "from": self.period.first.isoformat(),
            "until": self.period.after.isoformat(),
            "at_least": goal.at_least,
            "at_most": goal.at_most,
            "value": None if self.value is None else float(self.value),
            "of": self.of,
            "state": self.state,
        }


@dataclass(slots=True)
class _Tally:
    hits: int = 0
    of: int = 0
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Event:
    """Something that counts: what, when, whose; `amount` of a deal in the project's currency."""

    what: str
    when: str
    lead: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    amount: Decimal = Decimal(0)


_COUNTED = {
    "leads": ("leads",),
    "qualified": ("qualified",),
    "handed_off": ("handed_off",),
    "followed_up": ("handed_off",),
    "customers": ("customers",),
    "opportunities": ("opened",),
    "revenue": ("won",),
    "win_rate": ("won", "lost"),
}


_OURS = ("qualified", "handed_off", "followed_up")
"""What only we know: of a period that was over before we came there is nothing to say."""


def standings(tx: Connection, workspace: Workspace) -> list[Standing]:
    """Each goal of the project: how it came out in the last period, and how it stands in this one."""
    goals = workspace.project.goals
    if not goals:
        return []
    now = workspace.now()
    zone = ZoneInfo(workspace.project.time_zone)
    today = unstamp(now).astimezone(zone).date()
    asked = []
    for goal in goals:
        this = period(goal.every, today, zone)
        last = period(goal.every, this.first - timedelta(days=1), zone)
        asked += [(goal, last), (goal, this)]
    tallies = _tallies(tx, workspace, asked, now)
    begun = tx.execute(select(func.min(leads.c.created_at))).scalar() or now
    found = [_standing(goal, when, tally, now) for (goal, when), tally in zip(asked, tallies, strict=True)]
    for one in found:
        if one.goal.count in _OURS and one.period.ends <= begun:
            one.value, one.state = None, "no figures"
    return found


def _tallies(tx: Connection, workspace: Workspace, asked: list[tuple[Goal, Period]], now: str) -> list[_Tally]:
    """What each goal comes to in its period; leads and deals are read as a stream, once."""
    tallies = [_Tally() for _ in asked]
    conditions = [Expression(goal.where) if goal.where else None for goal, _ in asked]
    touched = _first_touches(tx, workspace, asked)
    for event in (*_of_leads(tx), *_of_deals(tx, workspace)):
        context: dict[str, Any] = {}
        for (goal, when), tally, condition in zip(asked, tallies, conditions, strict=True):
            if event.what not in _COUNTED[goal.count] or not when.holds(event.when):
                continue
            if condition is not None:
                context = context or {"lead": lead_context(event.values, workspace.fields)}
                if not condition.truth(context):
                    continue
            _count(goal, tally, event, touched.get(event.lead, ""), now)
    return tallies


def _count(goal: Goal, tally: _Tally, event: _Event, touched: str, now: str) -> None:
    if goal.count == "followed_up":
        until = stamp(unstamp(event.when) + timedelta(seconds=goal.within))
        in_time = bool(touched) and touched <= until
        tally.hits += in_time
        tally.of += in_time or until <= now  # whoever may still be taken up in time is no miss
        return
    tally.hits += event.what != "lost"
    tally.of += 1
    tally.amount += event.amount


def _standing(goal: Goal, when: Period, tally: _Tally, now: str) -> Standing:
    if goal.is_rate:
        value = Decimal(tally.hits) / tally.of if tally.of else None
        found = Standing(goal, when, value, tally.of)
    else:
        found = Standing(goal, when, tally.amount if goal.count == "revenue" else Decimal(tally.hits), None)
    found.state = _state(goal, found.value, when.elapsed(now))
    return found


def _state(goal: Goal, value: Decimal | None, elapsed: float) -> str:
    """`reached`, `on track`, `behind` (there is time left), `missed`, or `no figures`."""
    if value is None:
        return "no figures"
    over = elapsed >= 1
    if goal.at_most is not None:
        within = float(value) <= goal.at_most
        return ("reached" if over else "on track") if within else "missed" if over or not goal.is_rate else "behind"
    target = goal.at_least or 0.0
    if float(value) >= target and (over or not goal.is_rate):
        return "reached"
    if over:
        return "missed"
    return "on track" if float(value) >= (target if goal.is_rate else target * elapsed) else "behind"


def _of_leads(tx: Connection) -> Iterator[_Event]:
    """What happened to live leads. Where no platform tells since when one is known, it is since we know of it."""
    told = (leads.c.id, leads.c.body, leads.c.qualified_at, leads.c.handed_off_at, leads.c.created_at)
    query = select(*told).where(leads.c.state == "live")
    for lead in tx.execution_options(yield_per=1000).execute(query):
        values = orjson.loads(lead.body)
        since = values.get("first_contact_at") or values.get("created_at") or lead.created_at
        for what, when in (
            ("leads", since),
            ("qualified", lead.qualified_at),
            ("handed_off", lead.handed_off_at),
            ("customers", values.get("customer_since")),
        ):
            if when:
                yield _Event(what, when, lead.id, values)


def _of_deals(tx: Connection, workspace: Workspace) -> Iterator[_Event]:
    """Deals that count as outcomes, of people: opened, won and lost. A copy is no deal of its own."""
    sources, currency = workspace.deal_sources, workspace.project.currency
    peopled = exists().where(
        deal_people.c.connection == streams.c.connection,
        deal_people.c.deal_object == streams.c.object,
        deal_people.c.deal == records.c.id,
    )
    query = (
        select(records.c.body)
        .join(streams, streams.c.id == records.c.stream)
        .where(streams.c.kind == Kind.DEAL.value, records.c.gone.is_(None), peopled)
    )
    if sources:
        query = query.where(streams.c.connection.in_(sources))
    for deal in tx.execution_options(yield_per=1000).execute(query):
        values = orjson.loads(deal.body)
        if values.get("home"):
            continue
        if values.get("created_at"):
            yield _Event("opened", values["created_at"])
        if values.get("is_closed") and values.get("close_date"):
            money = values.get("amount") or {}
            won = values.get("is_won")
            counts = won and money.get("currency") == currency
            amount = Decimal(money["amount"]) if counts else Decimal(0)
            yield _Event("won" if won else "lost", values["close_date"], amount=amount)


def _first_touches(tx: Connection, workspace: Workspace, asked: Iterable[tuple[Goal, Period]]) -> dict[str, str]:
    """Lead -> when sales first did something about it after the hand-off; only where a goal asks."""
    starts = [when.starts for goal, when in asked if goal.count == "followed_up"]
    if not starts:
        return {}
    crm = workspace.project.handoff.to if workspace.project.handoff else ""
    ours, theirs = streams.alias(), streams.alias()
    sold = or_(
        activities.c.type.in_(TOUCHES), and_(activities.c.type == "email_sent", theirs.c.connection == literal(crm))
    )
    after = and_(activities.c.at >= handoffs.c.at, handoffs.c.at >= min(starts), sold)
    first = (handoffs.c.lead, func.min(activities.c.at).label("at"))
    by_record = (
        select(*first)
        .join(records, records.c.lead == handoffs.c.lead)
        .join(ours, ours.c.id == records.c.stream)
        .join(activities, activities.c.person == ours.c.object + "/" + records.c.id)
        .join(theirs, and_(theirs.c.id == activities.c.stream, theirs.c.connection == ours.c.connection))
    )
    by_address = (
        select(*first)
        .join(identities, and_(identities.c.lead == handoffs.c.lead, identities.c.kind == "email"))
        .join(activities, and_(activities.c.email == identities.c.value, activities.c.person.is_(None)))
        .join(theirs, theirs.c.id == activities.c.stream)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for query in (by_record, by_address):
        for lead, at in tx.execute(query.where(after).group_by(handoffs.c.lead)):
            found[lead].append(at)
    return {lead: min(times) for lead, times in found.items()}
