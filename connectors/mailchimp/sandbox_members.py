"""The sandbox's calls on members: lists, single writes, batches of them, and what the law forbids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from config.clock import unstamp
from connectors.mailchimp.client import subscriber_hash
from connectors.mailchimp.sandbox_store import instant
from connectors.sandbox import Answer, Call

if TYPE_CHECKING:
    from connectors.mailchimp.sandbox import MailchimpSandbox

Row = dict[str, Any]

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]{2,}")
_STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")


class Members:
    """Who left or bounced cannot be subscribed again; who was erased cannot come back."""

    def __init__(self, account: MailchimpSandbox) -> None:
        self._account = account
        self._store = account.store

    def route(self, audience: str) -> None:
        on = self._account.on
        on("POST", audience, self._batch)
        on("GET", f"{audience}/members", self._list)
        on("POST", f"{audience}/members", self._add)
        on("GET", f"{audience}/members/{{id}}", self._get)
        on("PUT", f"{audience}/members/{{id}}", self._put)
        on("PATCH", f"{audience}/members/{{id}}", self._patch)
        on("DELETE", f"{audience}/members/{{id}}", self._archive)
        on("POST", f"{audience}/members/{{id}}/actions/delete-permanent", self._forget)
        on("POST", f"{audience}/members/{{id}}/events", self._event)

    def _list(self, call: Call, audience: str) -> Answer:
        count, offset = int(call.query.get("count", "10")), int(call.query.get("offset", "0"))
        if count > 1000:
            return self._account.invalid("count", "Schema describes number, 1000 is the maximum")
        rows = self._selected(call)
        page = rows[offset : offset + count]
        told = {
            "members": [self._store.shown(member) for member in page],
            "list_id": audience,
            "total_items": len(rows),
        }
        return Answer.of(only(told, call.query.get("fields", "")))

    def _selected(self, call: Call) -> list[Row]:
        status = call.query.get("status", "")
        rows = [
            m for m in self._store.members.values() if (m["status"] == status if status else m["status"] != "archived")
        ]
        for name, keep in (("since_last_changed", 1), ("before_last_changed", -1)):
            limit = instant(call.query.get(name, ""))
            if limit is not None:  # a malformed filter is ignored, as Mailchimp does
                rows = [m for m in rows if (unstamp(m["last_changed"]) - limit).total_seconds() * keep >= 0]
        if call.query.get("sort_field") == "last_changed":
            rows.sort(key=lambda m: (m["last_changed"], m["id"]), reverse=call.query.get("sort_dir") == "DESC")
        return rows

    def _get(self, call: Call, audience: str, id: str) -> Answer:
        member = self._store.member(id)
        return (
            Answer.of(only(self._store.shown(member), call.query.get("fields", ""))) if member else self._account.lost()
        )

    def _add(self, call: Call, audience: str) -> Answer:
        body = call.json
        if self._store.member(subscriber_hash(str(body.get("email_address")))):
            told = f"{body['email_address']} is already a list member. Use PUT to insert or update list members."
            return self._account.problem(400, "Member Exists", told)
        return self._upsert(body, body.get("status"), subscriber_hash(str(body.get("email_address"))))

    def _put(self, call: Call, audience: str, id: str) -> Answer:
        body = call.json
        member = self._store.member(id)
        if member is None and not body.get("status_if_new") and not body.get("status"):
            return self._account.invalid("status_if_new", "This value should not be blank.")
        status = body.get("status") or (
            None if member and member["status"] != "archived" else body.get("status_if_new")
        )
        return self._upsert(body, status, id)

    def _upsert(self, body: Row, status: str | None, key: str) -> Answer:
        member = self._store.member(key)
        wrong = self._check(body, member, status, key)
        if wrong is not None:
            return wrong
        if member is None:
            return Answer.of(self._store.shown(self._store.new(_values(body), status or "subscribed", "API - Generic")))
        self._store.change(member, _values(body))
        if status:
            self._store.set_status(member, status)
        return Answer.of(self._store.shown(member))

    def _check(self, body: Row, member: Row | None, status: str | None, key: str) -> Answer | None:
        email = body.get("email_address")
        if (member is None or email) and not _EMAIL.fullmatch(str(email or "")):
            return self._account.invalid("email_address", "This value should be a valid email.")
        if status and status not in _STATUSES:
            return self._account.invalid(
                "status", "Value must be one of: subscribed, unsubscribed, cleaned, pending, transactional"
            )
        twin = self._store.member(subscriber_hash(str(email))) if email and member is not None else None
        if twin is not None and twin is not member:
            return self._account.problem(400, "Member Exists", f"{email} is already a list member.")
        unlawful = self._unlawful(key, member, status)
        if unlawful:
            return self._account.problem(400, unlawful[0], f"{email or 'the address'} {unlawful[1]}")
        bad = self._bad_fields(body.get("merge_fields") or {})
        return self._account.invalid(*bad) if bad else None

    def _unlawful(self, key: str, member: Row | None, status: str | None) -> tuple[str, str] | None:
        """Why this status may not be given to this address: (title, detail)."""
        if key in self._store.forgotten:
            return ("Forgotten Email Not Subscribed", "was permanently deleted and cannot be re-imported.")
        if member is None or status not in ("subscribed", "pending"):
            return None
        left = member["status"] == "unsubscribed" and not (
            self._account.resubscribe_after_api and member.get("_left_by") != "person"
        )
        if member["status"] == "cleaned" or (left and status == "subscribed"):
            told = "is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
            return ("Member In Compliance State", told)
        return None

    def _bad_fields(self, fields: Mapping[str, Any]) -> tuple[str, str] | None:
        known = {row["tag"]: row for row in self._store.merge_fields}
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

    def _patch(self, call: Call, audience: str, id: str) -> Answer:
        return self._upsert(call.json, call.json.get("status"), id) if self._store.member(id) else self._account.lost()

    def _archive(self, call: Call, audience: str, id: str) -> Answer:
        member = self._store.member(id)
        if member is None:
            return self._account.lost()
        self._store.set_status(member, "archived")
        return Answer(204)

    def _forget(self, call: Call, audience: str, id: str) -> Answer:
        member = self._store.member(id)
        if member is None:
            return self._account.lost()
        self._account.forget(member["email_address"])
        return Answer(204)

    def _batch(self, call: Call, audience: str) -> Answer:
        body = call.json
        members = body.get("members") or []
        if len(members) > 500:
            return self._account.invalid("members", "Schema describes array, 500 items at most")
        new: list[Row] = []
        updated: list[Row] = []
        errors: list[Row] = []
        for row in members:
            key = subscriber_hash(str(row.get("email_address")))
            member = self._store.member(key)
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

    def _event(self, call: Call, audience: str, id: str) -> Answer:
        if self._store.member(id) is None:
            return self._account.lost()
        self._account.events.append({"member": id, **call.json})
        return Answer(204)


def _values(body: Row) -> Row:
    return {name: value for name, value in body.items() if name not in ("status", "status_if_new", "tags")}


def _batch_error(row: Row, error: str, code: str, fields: Any = None) -> Row:
    first = (fields or [{}])[0]
    told = {"email_address": row.get("email_address"), "error": error, "error_code": code}
    return {**told, "field": first.get("field", ""), "field_message": first.get("message", "")}


def only(told: Row, fields: str) -> Row:
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
