"""Mailchimp's sandbox: an account in memory with Mailchimp's own awkward habits.

Members are addressed by the MD5 of their address; who left or bounced cannot be subscribed again; who was erased cannot
come back; batches answer 200 with `errors`; a malformed `since_last_changed` is ignored; archived members are hidden
unless asked for; times have whole seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from config.clock import stamp, unstamp
from connectors.mailchimp.client import VERSION, subscriber_hash
from connectors.mailchimp.sandbox_batches import Batches
from connectors.mailchimp.sandbox_campaigns import Campaigns, instant, seconds
from connectors.sandbox import Answer, Call, Sandbox

Row = dict[str, Any]

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]{2,}")
_DOCS = "https://mailchimp.com/developer/marketing/docs/errors/"
_STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
AUDIENCE = "a6b5da1054"
KEY = "0123456789abcdef0123456789abcdef-us19"


class MailchimpSandbox(Sandbox):
    """An account with one audience. Switches: `with_contact_ids` (older accounts have none), `resubscribe_after_api`
    (whoever was unsubscribed by an API may be subscribed by it again), `forbidden` (so many calls answer 403 without a
    body, as at high volume), `crowded` (so many answer 429, as when ten connections are open)."""

    name = "mailchimp"

    def __init__(self, **options: Any) -> None:
        self.members: dict[str, Row] = {}  # by hash
        self.forgotten: set[str] = set()
        self.merge_fields = [_merge_field(n, *row) for n, row in enumerate(_MERGE_FIELDS, 1)]
        self.segments: dict[int, Row] = {}
        self.categories: dict[str, Row] = {}
        self.campaigns = Campaigns(self)
        self.batches = Batches(self)
        self.events: list[Row] = []
        self.with_contact_ids = True
        self.resubscribe_after_api = False
        self.next_id = 100
        self.forbidden = 0
        self.crowded = 0
        super().__init__(**options)

    def account(self) -> dict[str, Any]:
        return {"auth": {"mode": "api_key", "api_key": KEY}, "settings": {"audience": AUDIENCE}}

    def route(self) -> None:
        base = f"/{VERSION}"
        audience = f"{base}/lists/{{audience}}"
        self.on("GET", f"{base}/", self._root)
        self.on("GET", f"{base}/ping", lambda call: Answer.of({"health_status": "Everything's Chimpy!"}))
        self.on("GET", f"{base}/lists", self._lists)
        self.on("GET", audience, self._audience)
        self.on("POST", audience, self._batch)
        self.on("GET", f"{audience}/members", self._list)
        self.on("POST", f"{audience}/members", self._add)
        self.on("GET", f"{audience}/members/{{id}}", self._get)
        self.on("PUT", f"{audience}/members/{{id}}", self._put)
        self.on("PATCH", f"{audience}/members/{{id}}", self._patch)
        self.on("DELETE", f"{audience}/members/{{id}}", self._archive)
        self.on("POST", f"{audience}/members/{{id}}/actions/delete-permanent", self._forget)
        self.on("POST", f"{audience}/members/{{id}}/tags", self._tag)
        self.on("GET", f"{audience}/members/{{id}}/tags", self._tags)
        self.on("POST", f"{audience}/members/{{id}}/events", self._event)
        self.on("GET", f"{audience}/merge-fields", self._merge_fields)
        self.on("GET", f"{audience}/tag-search", self._tag_search)
        self.on("POST", f"{audience}/segments", self._new_segment)
        self.on("POST", f"{audience}/segments/{{segment}}", self._change_segment)
        self.on("GET", f"{audience}/interest-categories", self._categories)
        self.on("GET", f"{audience}/interest-categories/{{category}}/interests", self._interests)
        self.campaigns.route(base)
        self.batches.route(base)

    # people

    def put(self, object: str, values: Mapping[str, Any], *, status: str = "subscribed", at: str = "") -> str:
        """A person signs up (or an admin imports one); the member's id."""
        with self.lock:
            return str(self._new(dict(values), status, "Embed Form", at)["contact_id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            self._change(self._found(id), dict(values))

    def remove(self, object: str, id: str) -> None:
        """Archive a member."""
        with self.lock:
            self._set_status(self._found(id), "archived")

    def get(self, object: str, id: str) -> dict[str, Any]:
        return self._found(id)

    def all(self, object: str) -> list[dict[str, Any]]:
        return [member for member in self.members.values() if member["status"] != "archived"]

    def unsubscribe(self, email: str) -> None:
        """The person leaves, by the link in a mail."""
        with self.lock:
            member = self.members[subscriber_hash(email)]
            member["_left_by"] = "person"
            self._set_status(member, "unsubscribed")

    def bounce(self, email: str) -> None:
        """Mailchimp cleans the address after a hard bounce."""
        with self.lock:
            self._set_status(self.members[subscriber_hash(email)], "cleaned")

    def forget(self, email: str) -> None:
        """Erased for good: the address cannot be added by the API again."""
        with self.lock:
            self.members.pop(subscriber_hash(email), None)
            self.forgotten.add(subscriber_hash(email))

    def tag(self, id: str, name: str) -> None:
        with self.lock:
            self._set_tags(self._found(id), [{"name": name, "status": "active"}])

    def add_campaign(self, title: str, at: str, *, sent: int = 0, to: Sequence[str] = ()) -> str:
        """A campaign was sent at `at`, to the addresses `to` (and, in its figures, to `sent` in all)."""
        with self.lock:
            return self.campaigns.add(title, at, max(sent, len(to)), to)

    def record_activity(self, campaign: str, email: str, action: str, at: str, url: str = "") -> None:
        """A member opened, clicked, bounced, or left (`unsub`) by a campaign."""
        with self.lock:
            self.campaigns.record(campaign, email, action, at, url)

    def delivery(self, kind: str, email: str, secret: str, **data: str) -> tuple[dict[str, str], bytes]:
        """A webhook as Mailchimp would post it now: its headers and its body."""
        fired = self.clock.now()
        form = {"type": kind, "fired_at": f"{fired:%Y-%m-%d %H:%M:%S}", "data[list_id]": AUDIENCE, "data[email]": email}
        body = urlencode({**form, **{f"data[{name}]": value for name, value in data.items()}}).encode()
        at = str(int(fired.timestamp()))
        digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Mailchimp-Signature": f"t={at},v1={digest}"}
        return headers, body

    # members

    def stamped(self) -> str:
        return seconds(stamp(self.clock.now()))

    def hex(self, length: int) -> str:
        return f"{self.random.getrandbits(length * 4):0{length}x}"

    def _found(self, id: str) -> Row:
        if id in self.members:
            return self.members[id]
        return next(member for member in self.members.values() if member["contact_id"] == id)

    def _member(self, id: str) -> Row | None:
        if id in self.members:
            return self.members[id]
        if "@" in id:
            return self.members.get(subscriber_hash(id))
        return next((member for member in self.members.values() if member["contact_id"] == id), None)

    def _new(self, values: Row, status: str, source: str, at: str = "") -> Row:
        email = values.pop("email_address")
        now = seconds(at) if at else self.stamped()
        self.next_id += 1
        fields = {row["tag"]: "" for row in self.merge_fields}
        member: Row = {
            "id": subscriber_hash(email),
            "email_address": email,
            "unique_email_id": self.hex(10),
            "contact_id": self.hex(32),
            "full_name": "",
            "web_id": self.next_id,
            "email_type": "html",
            "status": status,
            "consents_to_one_to_one_messaging": True,
            "merge_fields": fields,
            "interests": {},
            "stats": {"avg_open_rate": 0, "avg_click_rate": 0},
            "ip_signup": "",
            "timestamp_signup": now if source != "API - Generic" else "",
            "ip_opt": "127.0.0.1" if status == "subscribed" else "",
            "timestamp_opt": now if status == "subscribed" else "",
            "member_rating": 2,
            "last_changed": now,
            "language": "",
            "vip": False,
            "email_client": "",
            "location": {
                "latitude": 0,
                "longitude": 0,
                "gmtoff": 0,
                "dstoff": 0,
                "country_code": "",
                "timezone": "",
                "region": "",
            },
            "source": source,
            "tags_count": 0,
            "tags": [],
            "list_id": AUDIENCE,
        }
        self.members[member["id"]] = member
        self._change(member, values, now)
        return member

    def _change(self, member: Row, values: Row, at: str = "") -> None:
        fields = values.pop("merge_fields", None) or {}
        member["merge_fields"].update(fields)
        names = (member["merge_fields"].get("FNAME"), member["merge_fields"].get("LNAME"))
        member["full_name"] = " ".join(str(name) for name in names if name)
        member["interests"].update(values.pop("interests", None) or {})
        email = values.pop("email_address", None)
        if email and email.lower() != member["email_address"].lower():
            del self.members[member["id"]]
            member["id"], member["email_address"] = subscriber_hash(email), email
            self.members[member["id"]] = member
        for name in (
            "language",
            "vip",
            "location",
            "ip_opt",
            "timestamp_opt",
            "ip_signup",
            "timestamp_signup",
            "email_type",
        ):
            if name in values:
                member[name] = values[name]
        member["last_changed"] = at or self.stamped()

    def _set_status(self, member: Row, status: str) -> None:
        member["status"], member["last_changed"] = status, self.stamped()

    def _shown(self, member: Row) -> Row:
        shown = {name: value for name, value in member.items() if not name.startswith("_")}
        if not self.with_contact_ids:
            del shown["contact_id"]
        shown["tags"] = shown["tags"][:50]
        shown["_links"] = [
            {
                "rel": "self",
                "href": f"https://us19.api.mailchimp.com/3.0/lists/{AUDIENCE}/members/{member['id']}",
                "method": "GET",
            }
        ]
        return shown

    def perform(self, call: Call) -> Answer:
        """The answer to one call of a batch operation."""
        return self._dispatch(call)

    # errors

    def before(self, call: Call) -> Answer | None:
        import base64

        expected = "Basic " + base64.b64encode(f"closedloop:{KEY}".encode()).decode()
        if call.path.startswith(f"/{VERSION}/batch-results/"):
            return None  # a link that opens by itself, at Mailchimp's store
        if call.headers.get("authorization") not in (expected, f"Bearer {KEY}"):
            told = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
            return self.problem(401, "API Key Invalid", told)
        if self.forbidden > 0:
            self.forbidden -= 1
            return Answer(403)
        if self.crowded > 0:
            self.crowded -= 1
            return self.problem(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")
        return None

    def problem(self, status: int, title: str, detail: str, **more: Any) -> Answer:
        """Mailchimp's error document."""
        instance = str(uuid.UUID(int=self.random.getrandbits(128)))
        told = {"type": _DOCS, "title": title, "status": status, "detail": detail, "instance": instance, **more}
        return Answer(status, orjson.dumps(told), {"content-type": "application/problem+json; charset=utf-8"})

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        title = {404: "Resource Not Found", 405: "Method Not Allowed"}.get(status, "JSON Parse Error")
        return self.problem(status, title, "The requested resource could not be found." if status == 404 else message)

    def lost(self) -> Answer:
        return self.problem(404, "Resource Not Found", "The requested resource could not be found.")

    def _invalid(self, field: str, message: str) -> Answer:
        told = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
        return self.problem(400, "Invalid Resource", told, errors=[{"field": field, "message": message}])

    def _unlawful(self, key: str, member: Row | None, status: str | None) -> tuple[str, str] | None:
        """Why this status may not be given to this address: (title, detail)."""
        if key in self.forgotten:
            return ("Forgotten Email Not Subscribed", "was permanently deleted and cannot be re-imported.")
        if member is None or status not in ("subscribed", "pending"):
            return None
        left = member["status"] == "unsubscribed" and not (
            self.resubscribe_after_api and member.get("_left_by") != "person"
        )
        if member["status"] == "cleaned" or (left and status == "subscribed"):
            told = "is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
            return ("Member In Compliance State", told)
        return None

    def _bad_fields(self, fields: Mapping[str, Any]) -> tuple[str, str] | None:
        known = {row["tag"]: row for row in self.merge_fields}
        for tag, value in fields.items():
            if tag in known and isinstance(value, str) and len(value) > 255:
                return (tag, "This value is too long. It should have 255 characters or less.")
            if (
                tag in known
                and known[tag]["type"] == "number"
                and value
                and not re.fullmatch(r"-?\d+(\.\d+)?", str(value))
            ):
                return (tag, "Please enter a number")
        return None

    # handlers: members

    def _root(self, call: Call) -> Answer:
        told = {"account_id": "8d3a3db4d97663a9074efcc16", "login_id": "123", "account_name": "Sandbox", "dc": "us19"}
        return Answer.of({**told, "total_subscribers": len(self.members), "email": "owner@example.com"})

    def _lists(self, call: Call) -> Answer:
        stats = {"member_count": len(self.members), "unsubscribe_count": 0, "cleaned_count": 0}
        row = {
            "id": AUDIENCE,
            "name": "Newsletter",
            "double_optin": False,
            "marketing_permissions": False,
            "stats": stats,
        }
        return Answer.of({"lists": [row], "total_items": 1})

    def _audience(self, call: Call, audience: str) -> Answer:
        if audience != AUDIENCE:
            return self.lost()
        return Answer.of(_only({"id": AUDIENCE, "name": "Newsletter"}, call.query.get("fields", "")))

    def _list(self, call: Call, audience: str) -> Answer:
        count, offset = int(call.query.get("count", "10")), int(call.query.get("offset", "0"))
        if count > 1000:
            return self._invalid("count", "Schema describes number, 1000 is the maximum")
        rows = self._selected(call)
        page = rows[offset : offset + count]
        told = {"members": [self._shown(member) for member in page], "list_id": audience, "total_items": len(rows)}
        return Answer.of(_only(told, call.query.get("fields", "")))

    def _selected(self, call: Call) -> list[Row]:
        status = call.query.get("status", "")
        rows = [m for m in self.members.values() if (m["status"] == status if status else m["status"] != "archived")]
        for name, keep in (("since_last_changed", 1), ("before_last_changed", -1)):
            limit = instant(call.query.get(name, ""))
            if limit is not None:  # a malformed filter is ignored, as Mailchimp does
                rows = [m for m in rows if (unstamp(m["last_changed"]) - limit).total_seconds() * keep >= 0]
        if call.query.get("sort_field") == "last_changed":
            rows.sort(key=lambda m: (m["last_changed"], m["id"]), reverse=call.query.get("sort_dir") == "DESC")
        return rows

    def _get(self, call: Call, audience: str, id: str) -> Answer:
        member = self._member(id)
        return Answer.of(_only(self._shown(member), call.query.get("fields", ""))) if member else self.lost()

    def _add(self, call: Call, audience: str) -> Answer:
        body = call.json
        if self._member(subscriber_hash(str(body.get("email_address")))):
            told = f"{body['email_address']} is already a list member. Use PUT to insert or update list members."
            return self.problem(400, "Member Exists", told)
        return self._upsert(body, body.get("status"), subscriber_hash(str(body.get("email_address"))))

    def _put(self, call: Call, audience: str, id: str) -> Answer:
        body = call.json
        member = self._member(id)
        if member is None and not body.get("status_if_new") and not body.get("status"):
            return self._invalid("status_if_new", "This value should not be blank.")
        status = body.get("status") or (
            None if member and member["status"] != "archived" else body.get("status_if_new")
        )
        return self._upsert(body, status, id)

    def _upsert(self, body: Row, status: str | None, key: str) -> Answer:
        member = self._member(key)
        wrong = self._check(body, member, status, key)
        if wrong is not None:
            return wrong
        if member is None:
            return Answer.of(self._shown(self._new(_values(body), status or "subscribed", "API - Generic")))
        self._change(member, _values(body))
        if status:
            self._set_status(member, status)
        return Answer.of(self._shown(member))

    def _check(self, body: Row, member: Row | None, status: str | None, key: str) -> Answer | None:
        email = body.get("email_address")
        if (member is None or email) and not _EMAIL.fullmatch(str(email or "")):
            return self._invalid("email_address", "This value should be a valid email.")
        if status and status not in _STATUSES:
            return self._invalid(
                "status", "Value must be one of: subscribed, unsubscribed, cleaned, pending, transactional"
            )
        unlawful = self._unlawful(key, member, status)
        if unlawful:
            return self.problem(400, unlawful[0], f"{email or 'the address'} {unlawful[1]}")
        bad = self._bad_fields(body.get("merge_fields") or {})
        return self._invalid(*bad) if bad else None

    def _patch(self, call: Call, audience: str, id: str) -> Answer:
        return self._upsert(call.json, call.json.get("status"), id) if self._member(id) else self.lost()

    def _archive(self, call: Call, audience: str, id: str) -> Answer:
        member = self._member(id)
        if member is None:
            return self.lost()
        self._set_status(member, "archived")
        return Answer(204)

    def _forget(self, call: Call, audience: str, id: str) -> Answer:
        member = self._member(id)
        if member is None:
            return self.lost()
        self.forget(member["email_address"])
        return Answer(204)

    def _batch(self, call: Call, audience: str) -> Answer:
        body = call.json
        members = body.get("members") or []
        if len(members) > 500:
            return self._invalid("members", "Schema describes array, 500 items at most")
        new: list[Row] = []
        updated: list[Row] = []
        errors: list[Row] = []
        for row in members:
            key = subscriber_hash(str(row.get("email_address")))
            member = self._member(key)
            if member is not None and member["status"] != "archived" and not body.get("update_existing"):
                told = f"{row['email_address']} is already a list member, do you want to update?"
                errors.append(_batch_error(row, told, "ERROR_CONTACT_EXISTS"))
                continue
            answer = self._upsert(dict(row), row.get("status"), key)
            told_row = orjson.loads(answer.body)
            if answer.status == 200:
                (updated if member else new).append(told_row)
            else:
                errors.append(_batch_error(row, told_row["detail"], "ERROR_GENERIC", told_row.get("errors")))
        lists: Row = {"new_members": new, "updated_members": updated, "errors": errors}
        counts = {"total_created": len(new), "total_updated": len(updated), "error_count": len(errors)}
        return Answer.of({**lists, **counts})

    # tags, groups

    def _set_tags(self, member: Row, tags: list[Row]) -> None:
        for tag in tags:
            segment = self._segment(tag["name"])
            held = [row for row in member["tags"] if row["name"] != tag["name"]]
            if tag["status"] == "active":
                held.append({"id": segment["id"], "name": tag["name"]})
            member["tags"], member["tags_count"] = held, len(held)
            member["last_changed"] = self.stamped()

    def _segment(self, name: str) -> Row:
        for segment in self.segments.values():
            if segment["name"] == name:
                return segment
        self.next_id += 1
        row = {"id": self.next_id, "name": name, "member_count": 0, "type": "static", "list_id": AUDIENCE}
        self.segments[self.next_id] = row
        return row

    def _tag(self, call: Call, audience: str, id: str) -> Answer:
        member = self._member(id)
        if member is None:
            return self.lost()
        self._set_tags(member, call.json["tags"])
        return Answer(204)

    def _tags(self, call: Call, audience: str, id: str) -> Answer:
        member = self._member(id)
        if member is None:
            return self.lost()
        tags = [{**tag, "date_added": member["last_changed"]} for tag in member["tags"]]
        return Answer.of({"tags": tags, "total_items": len(tags)})

    def _tag_search(self, call: Call, audience: str) -> Answer:
        name = call.query.get("name", "")
        rows = [{"id": s["id"], "name": s["name"]} for s in self.segments.values() if s["name"].startswith(name)]
        return Answer.of({"tags": rows, "total_items": len(rows)})

    def _new_segment(self, call: Call, audience: str) -> Answer:
        body = call.json
        if any(segment["name"] == body["name"] for segment in self.segments.values()):
            return self.problem(400, "Bad Request", "Sorry, that tag already exists.")
        segment = self._segment(body["name"])
        self._into(segment, body.get("static_segment") or [], "active")
        return Answer.of(segment)

    def _change_segment(self, call: Call, audience: str, segment: str) -> Answer:
        row = self.segments.get(int(segment))
        if row is None:
            return self.lost()
        body = call.json
        wanted = [*(body.get("members_to_add") or []), *(body.get("members_to_remove") or [])]
        added = self._into(row, body.get("members_to_add") or [], "active")
        removed = self._into(row, body.get("members_to_remove") or [], "inactive")
        lost = [email for email in wanted if self._member(subscriber_hash(email)) is None]
        errors = [{"email_addresses": lost, "error": "not a member of this audience"}] if lost else []
        told: Row = {"members_added": added, "members_removed": removed, "errors": errors}
        return Answer.of({**told, "total_added": len(added), "total_removed": len(removed), "error_count": len(lost)})

    def _into(self, segment: Row, emails: list[str], status: str) -> list[Row]:
        found = [m for m in (self._member(subscriber_hash(email)) for email in emails) if m is not None]
        for member in found:
            self._set_tags(member, [{"name": segment["name"], "status": status}])
        return [{"id": m["id"], "email_address": m["email_address"], "status": m["status"]} for m in found]

    def _event(self, call: Call, audience: str, id: str) -> Answer:
        if self._member(id) is None:
            return self.lost()
        self.events.append({"member": id, **call.json})
        return Answer(204)

    def _merge_fields(self, call: Call, audience: str) -> Answer:
        return Answer.of(
            {"merge_fields": self.merge_fields, "list_id": audience, "total_items": len(self.merge_fields)}
        )

    def add_merge_field(self, tag: str, kind: str = "text") -> None:
        """An admin adds a merge field."""
        self.merge_fields.append(_merge_field(len(self.merge_fields) + 1, tag, tag.title(), kind))

    def _categories(self, call: Call, audience: str) -> Answer:
        rows = [
            {"list_id": audience, "id": id, "title": row["title"], "type": "checkboxes"}
            for id, row in self.categories.items()
        ]
        return Answer.of({"list_id": audience, "categories": rows, "total_items": len(rows)})

    def _interests(self, call: Call, audience: str, category: str) -> Answer:
        rows = [
            {"category_id": category, "list_id": audience, "id": id, "name": name, "subscriber_count": "0"}
            for id, name in self.categories[category]["interests"].items()
        ]
        return Answer.of({"interests": rows, "list_id": audience, "category_id": category, "total_items": len(rows)})

    # snapshot

    _KEPT = ("members", "merge_fields", "categories", "next_id")

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            kept: Row = {name: getattr(self, name) for name in self._KEPT}
            kept["forgotten"] = sorted(self.forgotten)
            kept["campaigns"] = self.campaigns.snapshot()
            kept["segments"] = list(self.segments.values())
            copied: Row = orjson.loads(orjson.dumps(kept))
            return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        with self.lock:
            for name in self._KEPT:
                setattr(self, name, state[name])
            self.campaigns.restore(state["campaigns"])
            self.forgotten = set(state["forgotten"])
            self.segments = {row["id"]: row for row in state["segments"]}


_MERGE_FIELDS = (
    ("FNAME", "First Name", "text"),
    ("LNAME", "Last Name", "text"),
    ("ADDRESS", "Address", "address"),
    ("PHONE", "Phone Number", "phone"),
    ("BIRTHDAY", "Birthday", "birthday"),
)


def _merge_field(number: int, tag: str, name: str, kind: str) -> Row:
    told = {"merge_id": number, "tag": tag, "name": name, "type": kind, "required": False, "default_value": ""}
    return {
        **told,
        "public": False,
        "display_order": number,
        "options": {"size": 25},
        "help_text": "",
        "list_id": AUDIENCE,
    }


def _values(body: Row) -> Row:
    return {name: value for name, value in body.items() if name not in ("status", "status_if_new", "tags")}


def _batch_error(row: Row, error: str, code: str, fields: Any = None) -> Row:
    first = (fields or [{}])[0]
    told = {"email_address": row.get("email_address"), "error": error, "error_code": code}
    return {**told, "field": first.get("field", ""), "field_message": first.get("message", "")}


def _only(told: Row, fields: str) -> Row:
    """The answer cut down to `fields` (dotted, comma-separated), as Mailchimp does."""
    if not fields:
        return told
    wanted: dict[str, set[str]] = {}
    for name in fields.split(","):
        top, _, rest = name.partition(".")
        wanted.setdefault(top, set()).add(rest)
    found: Row = {}
    for top, rests in wanted.items():
        if top not in told:
            continue
        value = told[top]
        if isinstance(value, list) and "" not in rests:
            value = [{k: v for k, v in row.items() if k in {r.split(".")[0] for r in rests}} for row in value]
        found[top] = value
    return found
