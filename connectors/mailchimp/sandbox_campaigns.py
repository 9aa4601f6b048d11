"""The sandbox's campaigns: reports with their figures, who was sent them, who did what, who left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from config.clock import unstamp
from connectors.mailchimp.client import subscriber_hash
from connectors.mailchimp.sandbox_store import AUDIENCE, instant, seconds
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.mailchimp.sandbox import MailchimpSandbox

Row = dict[str, Any]

_FIGURES = {"open": ("opens", "opens_total", "unique_opens"), "click": ("clicks", "clicks_total", "unique_clicks")}


class Campaigns:
    """Every campaign of the account, by id."""

    def __init__(self, account: MailchimpSandbox) -> None:
        self._account = account
        self._reports: dict[str, Row] = {}
        self._sent: dict[str, list[Row]] = {}
        self._left: dict[str, list[Row]] = {}
        self._activity: dict[str, dict[str, Row]] = {}

    def route(self, base: str) -> None:
        on = self._account.on
        on("GET", f"{base}/reports", self._list)
        on("GET", f"{base}/reports/{{id}}/email-activity", self._acts)
        on("GET", f"{base}/reports/{{id}}/sent-to", lambda call, id: self._rows(call, id, self._sent, "sent_to"))
        on(
            "GET",
            f"{base}/reports/{{id}}/unsubscribed",
            lambda call, id: self._rows(call, id, self._left, "unsubscribes"),
        )

    def add(self, title: str, at: str, sent: int, to: Sequence[str]) -> str:
        id = self._account.store.hex(10)
        self._reports[id] = {
            "id": id,
            "campaign_title": title,
            "type": "regular",
            "list_id": AUDIENCE,
            "list_is_active": True,
            "list_name": "Newsletter",
            "subject_line": title,
            "preview_text": "",
            "emails_sent": sent,
            "abuse_reports": 0,
            "unsubscribed": 0,
            "send_time": seconds(at),
            "bounces": {"hard_bounces": 0, "soft_bounces": 0, "syntax_errors": 0},
            "opens": {"opens_total": 0, "unique_opens": 0, "open_rate": 0, "last_open": ""},
            "clicks": {"clicks_total": 0, "unique_clicks": 0, "unique_subscriber_clicks": 0, "click_rate": 0},
        }
        self._sent[id] = [self._who(id, email) | {"status": "sent", "open_count": 0} for email in to]
        self._left[id], self._activity[id] = [], {}
        return id

    def record(self, campaign: str, email: str, action: str, at: str, url: str) -> None:
        report, key = self._reports[campaign], subscriber_hash(email)
        if action == "unsub":
            report["unsubscribed"] += 1
            self._left[campaign].append(self._who(campaign, email) | {"timestamp": seconds(at), "reason": ""})
            self._account.unsubscribe(email)
            return
        row = self._activity[campaign].setdefault(key, {**self._who(campaign, email), "activity": []})
        told = {"action": action, "timestamp": seconds(at), "ip": "127.0.0.1"}
        if action == "bounce":
            report["bounces"]["hard_bounces"] += 1
        else:
            group, total, unique = _FIGURES[action]
            report[group][total] += 1
            if not any(act["action"] == action for act in row["activity"]):
                report[group][unique] += 1
                report["clicks"]["unique_subscriber_clicks"] += action == "click"
        row["activity"].append({**told, **({"url": url} if url else {})})

    def _who(self, campaign: str, email: str) -> Row:
        list_id = self._reports[campaign]["list_id"]
        base = {"campaign_id": campaign, "list_id": list_id, "list_is_active": True}
        return {**base, "email_id": subscriber_hash(email), "email_address": email}

    def snapshot(self) -> Row:
        copied: Row = orjson.loads(orjson.dumps([self._reports, self._sent, self._left, self._activity]))
        return {"all": copied}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._reports, self._sent, self._left, self._activity = state["all"]

    # handlers

    def _list(self, call: Call) -> Answer:
        since = instant(call.query.get("since_send_time", ""))
        rows = [row for row in self._reports.values() if since is None or unstamp(row["send_time"]) >= since]
        return Answer.of({"reports": _page(call, rows), "total_items": len(rows)})

    def _rows(self, call: Call, id: str, table: Mapping[str, list[Row]], name: str) -> Answer:
        if id not in self._reports:
            return self._account.lost()
        return Answer.of({name: _page(call, table[id]), "campaign_id": id, "total_items": len(table[id])})

    def _acts(self, call: Call, id: str) -> Answer:
        if id not in self._reports:
            return self._account.lost()
        if int(call.query.get("count", "10")) > 500:
            return Answer(504, b"", {"content-type": "text/html"})
        since = instant(call.query.get("since", ""))
        rows = []
        for row in self._activity[id].values():
            acts = [act for act in row["activity"] if since is None or unstamp(act["timestamp"]) >= since]
            if acts:
                rows.append({**row, "activity": acts})
        return Answer.of({"emails": _page(call, rows), "campaign_id": id, "total_items": len(rows)})


def _page(call: Call, rows: list[Row]) -> list[Row]:
    start, count = int(call.query.get("offset", "0")), int(call.query.get("count", "10"))
    return rows[start : start + count]
