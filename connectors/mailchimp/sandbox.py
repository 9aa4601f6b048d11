"""Mailchimp's sandbox: an account in memory with Mailchimp's own awkward habits.

Members are addressed by the MD5 of their address; who left or bounced cannot be subscribed again; who was erased cannot
come back; batches answer 200 with `errors`; a malformed `since_last_changed` is ignored; archived members are hidden
unless asked for; times have whole seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from connectors.mailchimp.client import VERSION, subscriber_hash
from connectors.mailchimp.sandbox_batches import Batches
from connectors.mailchimp.sandbox_campaigns import Campaigns
from connectors.mailchimp.sandbox_login import CENTRE, KEY, Login
from connectors.mailchimp.sandbox_members import Members, only
from connectors.mailchimp.sandbox_store import AUDIENCE, Store, merge_field
from connectors.mailchimp.sandbox_tags import Tags
from connectors.sandbox import Answer, Call, Sandbox

Row = dict[str, Any]

_DOCS = "https://mailchimp.com/developer/marketing/docs/errors/"


class MailchimpSandbox(Sandbox):
    """An account with one audience. Switches: `store.with_contact_ids`, `resubscribe_after_api` (whoever was
    unsubscribed by an API may be subscribed by it again), `forbidden` (so many calls answer 403 without a body, as at
    high volume), `crowded` (so many answer 429, as when ten connections are open)."""

    name = "mailchimp"

    def __init__(self, **options: Any) -> None:
        self.categories: dict[str, Row] = {}
        self.campaigns = Campaigns(self)
        self.batches = Batches(self)
        self.events: list[Row] = []
        self.resubscribe_after_api = False
        self.forbidden = 0
        self.crowded = 0
        super().__init__(**options)

    def account(self) -> dict[str, Any]:
        return {"auth": {"mode": "api_key", "api_key": KEY}, "settings": {"audience": AUDIENCE}}

    def route(self) -> None:
        self.store, self.login = Store(self.clock, self.random), Login(self.clock, self.random)
        self.consents = self.login.consents
        self.on("GET", "/oauth2/authorize", self.consents.page)
        self.on("POST", "/oauth2/token", lambda call: self.login.grant(call.form))
        self.on("GET", "/oauth2/metadata", self._metadata)
        base = f"/{VERSION}"
        audience = f"{base}/lists/{{audience}}"
        self.on("GET", f"{base}/", self._root)
        self.on("GET", f"{base}/ping", lambda call: Answer.of({"health_status": "Everything's Chimpy!"}))
        self.on("GET", f"{base}/lists", self._lists)
        self.on("GET", audience, self._audience)
        self.on("GET", f"{audience}/merge-fields", self._merge_fields)
        self.on("GET", f"{audience}/interest-categories", self._categories)
        self.on("GET", f"{audience}/interest-categories/{{category}}/interests", self._interests)
        Members(self).route(audience)
        Tags(self).route(audience)
        self.campaigns.route(base)
        self.batches.route(base)

    # people

    def put(self, object: str, values: Mapping[str, Any], *, status: str = "subscribed", at: str = "") -> str:
        """A person signs up (or an admin imports one); the member's id."""
        with self.lock:
            return str(self.store.new(dict(values), status, "Embed Form", at)["contact_id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            self.store.change(self.store.found(id), dict(values))

    def remove(self, object: str, id: str) -> None:
        """Archive a member."""
        with self.lock:
            self.store.set_status(self.store.found(id), "archived")

    def get(self, object: str, id: str) -> dict[str, Any]:
        return self.store.found(id)

    def all(self, object: str) -> list[dict[str, Any]]:
        return [member for member in self.store.members.values() if member["status"] != "archived"]

    def unsubscribe(self, email: str) -> None:
        """The person leaves, by the link in a mail."""
        with self.lock:
            member = self.store.members[subscriber_hash(email)]
            member["_left_by"] = "person"
            self.store.set_status(member, "unsubscribed")

    def bounce(self, email: str) -> None:
        """Mailchimp cleans the address after a hard bounce."""
        with self.lock:
            self.store.set_status(self.store.members[subscriber_hash(email)], "cleaned")

    def forget(self, email: str) -> None:
        """Erased for good: the address cannot be added by the API again."""
        with self.lock:
            self.store.members.pop(subscriber_hash(email), None)
            self.store.forgotten.add(subscriber_hash(email))

    def tag(self, id: str, name: str) -> None:
        with self.lock:
            self.store.set_tags(self.store.found(id), [{"name": name, "status": "active"}])

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

    def perform(self, call: Call) -> Answer:
        """The answer to one call of a batch operation."""
        return self._dispatch(call)

    # errors

    def before(self, call: Call) -> Answer | None:
        if call.path.startswith((f"/{VERSION}/batch-results/", "/oauth2/")):
            return None  # a link that opens by itself, at Mailchimp's store; the log-in's own host
        if not self.login.opens(call.headers.get("authorization", "")):
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

    def invalid(self, field: str, message: str) -> Answer:
        told = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
        return self.problem(400, "Invalid Resource", told, errors=[{"field": field, "message": message}])

    # handlers

    def _metadata(self, call: Call) -> Answer:
        return self.login.metadata(call.headers.get("authorization", ""), self.base_url)

    def _root(self, call: Call) -> Answer:
        told = {"account_id": "8d3a3db4d97663a9074efcc16", "login_id": "123", "account_name": "Sandbox", "dc": CENTRE}
        return Answer.of({**told, "total_subscribers": len(self.store.members), "email": "owner@example.com"})

    def _lists(self, call: Call) -> Answer:
        stats = {"member_count": len(self.store.members), "unsubscribe_count": 0, "cleaned_count": 0}
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
        return Answer.of(only({"id": AUDIENCE, "name": "Newsletter"}, call.query.get("fields", "")))

    def _merge_fields(self, call: Call, audience: str) -> Answer:
        return Answer.of(
            {"merge_fields": self.store.merge_fields, "list_id": audience, "total_items": len(self.store.merge_fields)}
        )

    def add_merge_field(self, tag: str, kind: str = "text") -> None:
        """An admin adds a merge field."""
        self.store.merge_fields.append(merge_field(len(self.store.merge_fields) + 1, tag, tag.title(), kind))

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

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            parts = {"campaigns": self.campaigns.snapshot(), "categories": self.categories, "tokens": self.login.tokens}
            copied: Row = orjson.loads(orjson.dumps({**self.store.snapshot(), **parts}))
            return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        with self.lock:
            self.store.restore(state)
            self.categories = state["categories"]
            self.campaigns.restore(state["campaigns"])
            self.login.tokens = list(state.get("tokens", ()))  # a state of before has none
