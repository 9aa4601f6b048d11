"""The sandbox's campaigns, their figures, and what people did with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from config.clock import stamp
from connectors.constant_contact.sandbox_store import Refused, Row, Store, after
from connectors.sandbox import Answer, Call

KINDS = {
    "sends": "em_sends", "opens": "em_opens", "clicks": "em_clicks", "bounces": "em_bounces",
    "optouts": "em_optouts", "forwards": "em_forwards",
}  # fmt: skip
ALL_OF = ("em_opens", "em_clicks")
"""Kinds that one person may do often: figures tell persons, and under `_all` every time."""


class Reports:
    """`lag`: seconds by which figures are behind the events."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lag = 0.0

    # campaigns

    def campaign(self, name: str, at: str = "") -> Row:
        """A campaign with its mail and the page that shows it."""
        row = self.store.new("campaigns", {"name": name, "type": "NEWSLETTER", "type_code": 10}, at)
        row["current_status"] = "Draft"
        roles = ("primary_email", "permalink")
        row["campaign_activities"] = [{"campaign_activity_id": self.store.id(), "role": role} for role in roles]
        return row

    def listed(self, call: Call) -> Answer:
        test = after(self.store.query(call.query), "after_date", lambda row: row["updated_at"])
        rows = self.store.rows["campaigns"].values()
        told = self.store.page("campaigns", rows, call.query, "/v3/emails", 500, test=test)
        told["campaigns"] = [self._told(row) for row in told["campaigns"]]
        return Answer.of(told)

    def _told(self, row: Row) -> Row:
        return {name: told for name, told in row.items() if name not in ("campaign_activities", "sent_at")}

    def get(self, call: Call, id: str) -> Answer:
        row = self.store.rows["campaigns"].get(id)
        if row is None or row["current_status"] == "Removed":
            raise Refused(404, "not_found", "Campaign not found.", flat=True)
        return Answer.of({name: told for name, told in row.items() if name != "sent_at"})

    # figures

    def summaries(self, call: Call) -> Answer:
        """Last sent first."""
        sent = [row for row in self.store.rows["campaigns"].values() if row.get("sent_at")]
        sent.sort(key=lambda row: str(row["sent_at"]), reverse=True)
        path = "/v3/reports/summary_reports/email_campaign_summaries"
        told = self.store.page("bulk_email_campaign_summaries", sent, call.query, path, 500)
        told["bulk_email_campaign_summaries"] = [self._summary(row) for row in told["bulk_email_campaign_summaries"]]
        return Answer.of({**told, "aggregate_percents": {"click": 0.0, "open": 0.0, "bounce": 0.0}})

    def _summary(self, row: Row) -> Row:
        counts = {short: self._figure(row, kind) for short, kind in KINDS.items()}
        counts |= {"abuse": 0, "not_opened": max(0, counts["sends"] - counts["opens"])}
        return {
            "campaign_id": row["campaign_id"],
            "campaign_type": row["type"],
            "last_sent_date": row["sent_at"],
            "unique_counts": counts,
        }

    def _events(self, row: Row, kind: str) -> list[Row]:
        until = stamp(self.store.clock.now())
        ids = {one["campaign_activity_id"] for one in row["campaign_activities"]}
        return [
            event
            for event in self.store.events
            if event["campaign_activity_id"] in ids
            and event["tracking_activity_type"] == kind
            and event["counted_at"] <= until
        ]

    def _figure(self, row: Row, kind: str) -> int:
        return len({event["contact_id"] for event in self._events(row, kind)})

    def stats(self, call: Call, ids: str) -> Answer:
        """One campaign that is not known, and nothing is told of any."""
        rows = [self.store.rows["campaigns"].get(id) for id in ids.split(",")]
        if len(rows) > 150 or any(row is None or row["current_status"] == "Removed" for row in rows):
            key = "reportingsvc.not_found.invalid_path_param.campaign_ids."
            raise Refused(404, key, "Could not find any campaign stats for all requested campaigns.", flat=True)
        return Answer.of({"results": [self._stats(row) for row in rows if row], "errors": []})

    def _stats(self, row: Row) -> Row:
        told: Row = {kind: self._figure(row, kind) for kind in KINDS.values()}
        told |= {f"{kind}_all": len(self._events(row, kind)) for kind in ALL_OF}
        told["em_not_opened"] = max(0, told["em_sends"] - told["em_opens"])
        percents = {"open": 0.0, "click": 0.0, "bounce": 0.0, "did_not_open": 0.0, "unsubscribe": 0.0}
        refreshed = stamp(self.store.clock.now())
        return {"campaign_id": row["campaign_id"], "stats": told, "percents": percents, "last_refresh_time": refreshed}

    # events

    def tracking(self, call: Call, activity: str, kind: str) -> Answer:
        """The newest first; none of what was never sent."""
        known = {
            one["campaign_activity_id"]
            for row in self.store.rows["campaigns"].values()
            for one in row["campaign_activities"]
        }
        if activity not in known or kind not in KINDS:
            raise Refused(404, "reportingsvc.not_found", "Could not find the campaign activity.", flat=True)
        rows = [
            event
            for event in self.store.events
            if event["campaign_activity_id"] == activity and event["tracking_activity_type"] == KINDS[kind]
        ]
        rows.sort(key=lambda event: str(event["created_time"]), reverse=True)
        path = f"/v3/reports/email_reports/{activity}/tracking/{kind}"
        told = self.store.page("tracking_activities", rows, call.query, path, 500, usual=500)
        told["tracking_activities"] = [
            {name: value for name, value in event.items() if name != "counted_at"}
            for event in told["tracking_activities"]
        ]
        return Answer.of(told)

    def happen(self, campaign: Row, contact: Row, kind: str, at: str, more: dict[str, Any]) -> None:
        """`kind` is one of KINDS. A click has a link, a bounce a code, an opt-out perhaps a reason."""
        told: Row = {
            "contact_id": contact["contact_id"],
            "campaign_activity_id": campaign["campaign_activities"][0]["campaign_activity_id"],
            "tracking_activity_type": KINDS[kind],
            "email_address": contact["email_address"]["address"],
            "created_time": at,
            "counted_at": self.counted_at(),
            **{name: contact[name] for name in ("first_name", "last_name") if contact.get(name)},
        }
        if kind in ("opens", "clicks"):
            told["device_type"] = "computer"
        if kind == "clicks":
            told |= {"url_id": "1100407204171", "link_url": "https://shop.example/offer"}
        if kind == "bounces":
            told["bounce_code"] = "B"
        self.store.events.append({**told, **more})

    def counted_at(self) -> str:
        """When the figures show what happens now."""
        return stamp(self.store.clock.now() + timedelta(seconds=self.lag))
