"""The sandbox's tags, which are segments too: by the member, and by the segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.mailchimp.client import subscriber_hash
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.mailchimp.sandbox import MailchimpSandbox

Row = dict[str, Any]


class Tags:
    """Every tag of the audience."""

    def __init__(self, account: MailchimpSandbox) -> None:
        self._account = account
        self._store = account.store

    def route(self, audience: str) -> None:
        on = self._account.on
        on("POST", f"{audience}/members/{{id}}/tags", self._tag)
        on("GET", f"{audience}/members/{{id}}/tags", self._tags)
        on("GET", f"{audience}/tag-search", self._tag_search)
        on("POST", f"{audience}/segments", self._new_segment)
        on("POST", f"{audience}/segments/{{segment}}", self._change_segment)

    def _tag(self, call: Call, audience: str, id: str) -> Answer:
        member = self._store.member(id)
        if member is None:
            return self._account.lost()
        self._store.set_tags(member, call.json["tags"])
        return Answer(204)

    def _tags(self, call: Call, audience: str, id: str) -> Answer:
        member = self._store.member(id)
        if member is None:
            return self._account.lost()
        tags = [{**tag, "date_added": member["last_changed"]} for tag in member["tags"]]
        return Answer.of({"tags": tags, "total_items": len(tags)})

    def _tag_search(self, call: Call, audience: str) -> Answer:
        name = call.query.get("name", "")
        rows = [{"id": s["id"], "name": s["name"]} for s in self._store.segments.values() if s["name"].startswith(name)]
        return Answer.of({"tags": rows, "total_items": len(rows)})

    def _new_segment(self, call: Call, audience: str) -> Answer:
        body = call.json
        if any(segment["name"] == body["name"] for segment in self._store.segments.values()):
            return self._account.problem(400, "Bad Request", "Sorry, that tag already exists.")
        segment = self._store.segment(body["name"])
        self._into(segment, body.get("static_segment") or [], "active")
        return Answer.of(segment)

    def _change_segment(self, call: Call, audience: str, segment: str) -> Answer:
        row = self._store.segments.get(int(segment))
        if row is None:
            return self._account.lost()
        body = call.json
        wanted = [*(body.get("members_to_add") or []), *(body.get("members_to_remove") or [])]
        added = self._into(row, body.get("members_to_add") or [], "active")
        removed = self._into(row, body.get("members_to_remove") or [], "inactive")
        lost = [email for email in wanted if self._store.member(subscriber_hash(email)) is None]
        errors = [{"email_addresses": lost, "error": "not a member of this audience"}] if lost else []
        told: Row = {"members_added": added, "members_removed": removed, "errors": errors}
        return Answer.of({**told, "total_added": len(added), "total_removed": len(removed), "error_count": len(lost)})

    def _into(self, segment: Row, emails: list[str], status: str) -> list[Row]:
        found = [m for m in (self._store.member(subscriber_hash(email)) for email in emails) if m is not None]
        for member in found:
            self._store.set_tags(member, [{"name": segment["name"], "status": status}])
        return [{"id": m["id"], "email_address": m["email_address"], "status": m["status"]} for m in found]
