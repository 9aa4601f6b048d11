"""Pulling what people did with campaigns: sends, opens, clicks, bounces, opt-outs.

There is no stream of events and no filter by time. The figures of a campaign tell that something happened; then the
newest events of that kind are read, back to what was read before. Figures may run ahead of events or behind them: a
campaign whose figures moved is read once more by the next pull, also when they rest again.

A cursor is {"since": s, "seen": {campaign: {"sent": when, kind: [read at, figures, once more]}}}, and in the middle of
a pull also
    "began"     when it began
    "back"      back to when the first pull reads
    "summaries" the link to the campaigns that are still to be looked at; absent when all were
    "jobs"      [campaign, name, its activity, kind of event, back to when], in order
    "next"      the link to go on with in the first job
    "again"     how often a link was refused, so that its list was begun anew
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import Misconfigured, RecordRejected
from connectors.api import Page, Record
from connectors.constant_contact.client import Row, Rows
from connectors.constant_contact.objects import moment
from connectors.constant_contact.pull import AGAIN, SUMMARIES, Source, State, cursor_of, followed

LATE = timedelta(hours=1)
"""How much of what was read before is read again."""
LOOKED_AT = 100
"""Campaigns per look: their jobs stand in the cursor."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "sends": ("em_sends",),
    "opens": ("em_opens", "em_opens_all"),
    "clicks": ("em_clicks", "em_clicks_all"),
    "bounces": ("em_bounces",),
    "optouts": ("em_optouts",),
}
"""Kinds of events -> the figures that move with them."""
TYPES = {
    "sends": "email_sent",
    "opens": "email_open",
    "clicks": "email_click",
    "bounces": "email_bounce",
    "optouts": "email_unsubscribe",
}
BOUNCES = {
    "B": "address does not exist", "D": "undeliverable", "F": "mailbox full", "S": "suspended", "X": "other",
    "Z": "blocked",
}  # fmt: skip
EVENTS = "tracking_activities"
DELIVERED = "V"
"""The bounce code of an answer by a machine on holiday: the mail arrived."""


def activity(source: Source, state: State) -> Iterator[Page]:
    """The events of all campaigns on the first pull (or of those sent since), later of those that moved."""
    if "began" not in state:
        back = "" if "seen" in state else state.get("since") or ""
        state = {**state, "began": stamp(source.at), "back": back, "summaries": ""}
    while state.get("jobs") or "summaries" in state:
        try:
            records, state = _job(source, state) if state.get("jobs") else ([], _look(source, state))
        except RecordRejected:
            if state.get("again", 0) >= AGAIN:  # this pull ends; the next one may begin anew as often again
                yield Page([], cursor_of({name: told for name, told in state.items() if name != "again"}), more=True)
            raise
        yield Page(records, cursor_of(state), more=True)
    yield Page([], cursor_of({"since": state["began"], "seen": _young(source, state)}), more=False)


def kinds(source: Source) -> list[str]:
    """The kinds of events that the settings ask for."""
    told = source.settings.get("tracking")
    wanted = list(KINDS) if told is None else [name.strip() for name in str(told).split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in KINDS]:
        raise Misconfigured(
            f"settings.tracking: there is no {unknown[0]!r}.",
            fix=f"There are: {', '.join(KINDS)}.",
            connection=source.client.connection,
        )
    return wanted


# which campaigns, which kinds


def _look(source: Source, state: State) -> State:
    """The state after one page of summaries, the last sent first: what is to be read, and what the figures showed."""
    link = str(state["summaries"])
    page, again = _page(source, state, link, SUMMARIES[1], lambda: source.client.rows(*SUMMARIES, {"limit": LOOKED_AT}))
    first = _horizon(source, state.get("since"))
    sent = {str(row["campaign_id"]): moment(row.get("last_sent_date")) for row in page.rows}
    young = {id: at for id, at in sent.items() if at >= first}
    figures = source.client.stats(list(young))
    seen = dict(state.get("seen") or {})
    jobs: list[list[str]] = []
    for id, at in young.items():
        if id in figures:  # else it was removed meanwhile, or there are none yet
            seen[id], moved = _compared(seen.get(id) or {}, figures[id], at, state, kinds(source))
            jobs += _jobs(source, id, moved)
    left = {"summaries": page.next} if page.next and len(young) == len(sent) else {}
    kept: State = {name: state[name] for name in ("since", "began", "back") if name in state}
    return {**kept, **left, **again, "seen": seen, "jobs": jobs}


def _page(source: Source, state: State, link: str, name: str, first: Callable[[], Rows]) -> tuple[Rows, dict[str, int]]:
    """The page behind the link, and how often links were refused in this pull; the first page anew for a refused one,
    as long as that is not for ever."""
    again = int(state.get("again") or 0)
    told = {"again": again} if again else {}
    if not link:
        return first(), told
    if again >= AGAIN:
        return source.client.following(link, name), told
    page = followed(source.client, link, name)
    return (first(), {"again": again + 1}) if page is None else (page, told)


def _compared(
    before: Mapping[str, Any], figures: Row, sent: str, state: State, wanted: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What is known of a campaign now, and which kinds of events to read, each back to when."""
    after: dict[str, Any] = {"sent": sent}
    moved: dict[str, str] = {}
    for kind in wanted:
        now = [int(figures.get(name) or 0) for name in KINDS[kind]]
        read_at, known, once_more = before.get(kind) or ("", [], False)
        changed = now != known and any(now)
        if changed or once_more:
            moved[kind] = stamp(unstamp(read_at) - LATE) if read_at else str(state["back"])
            read_at = state["began"]
        after[kind] = [read_at, now, changed]
    return after, moved


def _jobs(source: Source, campaign: str, moved: Mapping[str, str]) -> list[list[str]]:
    """What is to be read of a campaign; of its activities those that are sent. None where it was removed meanwhile."""
    if not moved:
        return []
    try:
        told = source.client.one(f"emails/{campaign}")
    except RecordRejected as error:
        if error.code != "not_found":
            raise
        return []
    sent = [
        str(one["campaign_activity_id"])
        for one in told.get("campaign_activities") or ()
        if one.get("role") in ("primary_email", "resend")
    ]
    return [[campaign, str(told.get("name") or ""), id, kind, back] for id in sent for kind, back in moved.items()]


def _horizon(source: Source, since: Any) -> str:
    """Campaigns that were last sent before are not looked at any more; '' for all."""
    days = int(source.settings.get("follow_days") or 30)
    return stamp(unstamp(str(since)) - timedelta(days=days)) if since else ""


def _young(source: Source, state: State) -> dict[str, Any]:
    """What the next pull needs to know of campaigns."""
    first = _horizon(source, state["began"])
    return {id: told for id, told in (state.get("seen") or {}).items() if told["sent"] >= first}


# their events


def _job(source: Source, state: State) -> tuple[list[Record], State]:
    """One page of the first job, and the state after it."""
    campaign, name, activity, kind, back = state["jobs"][0]
    link = str(state.get("next") or "")
    page, again = _page(source, state, link, EVENTS, lambda: _events(source, activity, kind))
    new = [row for row in page.rows if moment(row.get("created_time")) >= back]
    records = [event(row, kind, campaign, name) for row in new if row.get("bounce_code") != DELIVERED]
    rest = {**{name: told for name, told in state.items() if name != "next"}, **again}
    if page.next and len(new) == len(page.rows):
        return records, {**rest, "next": page.next}
    return records, {**rest, "jobs": state["jobs"][1:]}


def _events(source: Source, activity: str, kind: str) -> Rows:
    """The first page of a kind of events; none of a campaign that was removed meanwhile."""
    try:
        return source.client.rows(f"reports/email_reports/{activity}/tracking/{kind}", EVENTS, {})
    except RecordRejected as error:
        if error.code != "not_found":
            raise
        return Rows(())


def event(row: Row, kind: str, campaign: str, name: str) -> Record:
    """An event as a record. It has no id of its own: what, who, when and which link make one."""
    at = moment(row.get("created_time"))
    raw = {
        "type": TYPES[kind],
        "created_time": at,
        "contact_id": row["contact_id"],
        "email_address": row.get("email_address"),
        "campaign_id": campaign,
        "campaign_name": name,
        "link_url": row.get("link_url"),
        "detail": _detail(row),
    }
    key = [row["campaign_activity_id"], kind, row["contact_id"], at, row.get("url_id")]
    return Record(":".join(str(part) for part in key if part), orjson.dumps(raw), at)


def _detail(row: Row) -> Any:
    bounced = row.get("bounce_code")
    return BOUNCES.get(str(bounced), str(bounced)) if bounced else row.get("opt_out_reason") or row.get("device_type")
