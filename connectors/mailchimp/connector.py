"""The port, in terms of Mailchimp's client."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from config.clock import stamp, unstamp
from config.errors import AuthorizationLost, ClosedloopError, Misconfigured, RecordRejected
from config.secrets import Secret
from connectors.api import (
    Account,
    Connector,
    FieldSchema,
    Gone,
    Health,
    Notice,
    ObjectSchema,
    Operation,
    Page,
    Record,
    Request,
    Result,
    Surroundings,
)
from connectors.mailchimp.client import Client, subscriber_hash
from connectors.mailchimp.writes import Audience, push_members

PAGE = 1000
REPORT_PAGE = 500
"""1,000 rows of e-mail activity end in 504s."""
OVERLAP = timedelta(seconds=300)
SETTLING = timedelta(seconds=60)
"""The newest minute is left for the next pull: rows still move between offset pages there."""
_BASE = ("id", "contact_id", "email_address", "status", "last_changed")
_TYPES = {"number": "number", "date": "date", "phone": "phone", "dropdown": "choice", "radio": "choice"}


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`."""
    if not account.settings.get("audience"):
        raise Misconfigured(
            "Mailchimp needs settings.audience, the id of the audience to keep in step.",
            fix="Audience > Settings > Audience name and defaults shows it.",
            connection=account.connection,
        )
    if account.settings.get("status_if_new", "transactional") not in ("transactional", "pending"):
        raise Misconfigured(
            "settings.status_if_new is transactional or pending: nobody is subscribed without recorded consent.",
            connection=account.connection,
        )
    if not account.auth.get("api_key") and not account.auth.get("access_token"):
        raise Misconfigured("Mailchimp needs auth.api_key or auth.access_token.", connection=account.connection)
    return MailchimpConnector(account, surroundings)


class MailchimpConnector:
    """One audience of a Mailchimp account."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account = account
        self._world = surroundings
        self._client = Client(account, surroundings)
        self._audience = str(account.settings["audience"])
        self._groups: dict[str, str] | None = None
        self._looked_at: set[str] = set()

    @property
    def calls(self) -> int:
        return self._client.calls

    def close(self) -> None:
        self._client.close()

    # what is there

    def check(self) -> Health:
        told = self._client.call("GET", "/", {"fields": "account_id,account_name,total_subscribers"})
        try:
            self._client.call("GET", self._path(), {"fields": "id,name"})
        except RecordRejected as error:
            raise Misconfigured(
                f"The account has no audience {self._audience!r}.",
                fix="Audience > Settings > Audience name and defaults shows its id.",
                connection=self._account.connection,
            ) from error
        name = str(told.get("account_name") or told["account_id"])
        return Health(f"{told['account_id']}/{self._audience}", name, ahead=self._client.clock.ahead)

    def describe(self, object: str) -> ObjectSchema:
        if object != "members":
            return ObjectSchema(object, {})
        told = self._client.call("GET", self._path("merge-fields"), {"count": 100})
        fields = {name: FieldSchema(name, kind, writable=writable) for name, kind, writable in _MEMBER_FIELDS}
        for row in told["merge_fields"]:
            name = f"merge_fields.{row['tag']}"
            options = tuple((row.get("options") or {}).get("choices") or ())
            kind = _TYPES.get(row["type"], "object" if row["type"] == "address" else "text")
            fields[name] = FieldSchema(
                name, kind, row["name"], required=bool(row.get("required")), length=255, options=options
            )
        for name in self._group_names().values():
            fields[f"interests.{name}"] = FieldSchema(f"interests.{name}", "boolean", name)
        return ObjectSchema(object, fields, open_ended=("tags.", "merge_fields.ADDRESS."))

    def _path(self, rest: str = "") -> str:
        return f"/lists/{self._audience}/{rest}" if rest else f"/lists/{self._audience}"

    # pull

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"since": since} if since else {}
        match object:
            case "members":
                return self._members(state, fields)
            case "campaigns":
                return self._campaigns()
            case "email_activity":
                return self._activity(state)
            case _:
                raise Misconfigured(
                    f"Mailchimp has no object {object!r} here.",
                    fix="It has: members, campaigns, email_activity.",
                    connection=self._account.connection,
                )

    def _members(self, state: dict[str, Any], fields: Sequence[str]) -> Iterator[Page]:
        """Members by the time of their last change, between two fixed instants, then the archived ones.

        Pages go on from the last time seen, not by offset alone: a member who is edited meanwhile leaves the window,
        and by offsets the one after would be skipped.
        """
        now = self._client.clock.now()
        until = state.get("until") or stamp(now + timedelta(seconds=1))
        since, archived = state.get("since"), bool(state.get("archived"))
        start = stamp(unstamp(since) - OVERLAP) if since else ""
        place = str(state.get("from") or start)
        offset = int(state.get("offset", 0))
        while True:
            told = self._client.call("GET", self._path("members"), self._window(place, until, offset, archived, fields))
            members = told["members"]
            found = [self._record(member) for member in members]
            if len(members) == PAGE:
                place, offset = _beyond(place, offset, members)
                following = {"since": since, "until": until, "from": place, "offset": offset, "archived": archived}
                yield Page(found, _cursor(following), True, int(told["total_items"]))
            elif archived:
                yield Page(found, _cursor({"since": min(until, stamp(now - SETTLING))}), more=False)
                return
            else:
                archived, place, offset = True, start, 0
                yield Page(found, _cursor({"since": since, "until": until, "archived": True}), True)

    def _window(self, place: str, until: str, offset: int, archived: bool, fields: Sequence[str]) -> dict[str, Any]:
        query: dict[str, Any] = {"sort_field": "last_changed", "sort_dir": "ASC", "before_last_changed": _iso(until)}
        if place:
            query["since_last_changed"] = _iso(place)
        if archived:
            query["status"] = "archived"
        return {**query, **self._wanted(fields), "count": PAGE, "offset": offset}

    def _wanted(self, fields: Sequence[str]) -> dict[str, str]:
        tops = {name.split(".", 1)[0] for name in fields} | set(_BASE)
        names = sorted(f"members.{name}" for name in tops)
        return {"fields": ",".join([*names, "total_items"])}

    def _record(self, member: dict[str, Any]) -> Record:
        archived = member.get("status") == "archived"
        return Record(
            member_id(member),
            orjson.dumps(self._plain(member)),
            _stamp(member.get("last_changed") or ""),
            Gone.ARCHIVED if archived else None,
        )

    def _plain(self, member: dict[str, Any]) -> dict[str, Any]:
        """The member as mappings see it: tags and groups by name, no links, nothing that moves by itself."""
        plain = {name: value for name, value in member.items() if name not in ("_links", "last_changed", "stats")}
        if "tags" in plain:
            plain["tags"] = {tag["name"]: True for tag in plain["tags"]}
        if "interests" in plain:
            names = self._group_names()
            plain["interests"] = {names.get(id, id): chosen for id, chosen in plain["interests"].items()}
        return plain

    def _group_names(self) -> dict[str, str]:
        """Interest id -> "Category/Interest"."""
        if self._groups is None:
            groups: dict[str, str] = {}
            categories = self._client.call("GET", self._path("interest-categories"), {"count": 60})
            for category in categories["categories"]:
                path = self._path(f"interest-categories/{category['id']}/interests")
                for interest in self._client.call("GET", path, {"count": 60})["interests"]:
                    groups[interest["id"]] = f"{category['title']}/{interest['name']}"
            self._groups = groups  # all of them, or they are asked for again
        return self._groups

    def _campaigns(self) -> Iterator[Page]:
        """Every campaign that was sent to this audience, with the figures of its report."""
        offset = 0
        while True:
            query = {"count": REPORT_PAGE, "offset": offset}
            told = self._client.call("GET", "/reports", query)
            mine = [row for row in told["reports"] if row.get("list_id") == self._audience]
            found = [
                Record(row["id"], orjson.dumps(_campaign(row)), _stamp(row.get("send_time") or "")) for row in mine
            ]
            offset += len(told["reports"])
            more = bool(told["reports"]) and offset < int(told["total_items"])
            yield Page(found, "{}", more)
            if not more:
                return

    def _activity(self, state: dict[str, Any]) -> Iterator[Page]:
        """What members did with the campaigns since the last pull.

        The reports' figures tell which campaigns were touched at all (`seen`): the others cost no call.
        """
        began = state.get("began") or stamp(self._client.clock.now())
        since, seen = state.get("since"), dict(state.get("seen") or {})
        for campaign in self._reports_worth_reading(since):
            figures, known = _figures(campaign), seen.get(campaign["id"])
            if figures == known:
                continue
            for found in self._campaign_activity(campaign, known, figures, since if known else None):
                yield Page(found, _cursor({"since": since, "seen": seen, "began": began}), more=True)
            seen[campaign["id"]] = figures
        yield Page([], _cursor({"since": began, "seen": self._recent(seen)}), more=False)

    def _recent(self, seen: dict[str, list[int]]) -> dict[str, list[int]]:
        """Those of the campaigns that the next pull looks at."""
        return {id: figures for id, figures in seen.items() if id in self._looked_at}

    def _reports_worth_reading(self, since: str | None) -> list[dict[str, Any]]:
        """Campaigns sent in the last ninety days before `since`, or all: older ones see no more activity."""
        query: dict[str, Any] = {"count": REPORT_PAGE}
        if since:
            query["since_send_time"] = _iso(stamp(unstamp(since) - timedelta(days=90)))
        found = [row for rows in self._pages("/reports", "reports", query) for row in rows]
        self._looked_at = {row["id"] for row in found}
        return [row for row in found if row.get("list_id") == self._audience]

    def _campaign_activity(
        self, campaign: Mapping[str, Any], known: list[int] | None, figures: list[int], since: str | None
    ) -> Iterator[list[Record]]:
        path = f"/reports/{campaign['id']}"
        if known is None or known[0] != figures[0]:
            for rows in self._pages(f"{path}/sent-to", "sent_to", {"count": REPORT_PAGE}):
                yield [_sent(campaign, row) for row in rows]
        if known is None or known[1] != figures[1]:
            for rows in self._pages(f"{path}/unsubscribed", "unsubscribes", {"count": REPORT_PAGE}):
                yield [_left(campaign, row) for row in rows]
        if known is None or known[2:] != figures[2:]:
            query: dict[str, Any] = {"count": REPORT_PAGE}
            if since:
                query["since"] = _iso(stamp(unstamp(since) - OVERLAP))
            for rows in self._pages(f"{path}/email-activity", "emails", query):
                yield [record for email in rows for record in _events(campaign, email)]

    def _pages(self, path: str, name: str, query: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        offset = 0
        while True:
            told = self._client.call("GET", path, {**query, "offset": offset})
            rows: list[dict[str, Any]] = told[name]
            offset += len(rows)
            yield rows
            if not rows or offset >= int(told["total_items"]):
                return

    # read and push

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        for value in values if object == "members" else ():
            # an address is asked for by its hash; Mailchimp takes a contact id in its place
            name = subscriber_hash(value) if key == "email_address" or "@" in value else value
            try:
                member = self._client.call("GET", self._path(f"members/{name}"))
            except ClosedloopError as error:
                if error.code not in ("resource_not_found", "404"):
                    raise
                continue
            found[value] = self._record(member)
        return found

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        self._group_names()  # what answers are read with: asked for after a write, its loss would be the write's
        fallback = str(self._account.settings.get("status_if_new", "transactional"))
        audience = Audience(
            self._client,
            self._world.clock,
            self._audience,
            fallback,
            self._record,
            lambda: {name: id for id, name in self._group_names().items()},
        )
        return push_members(audience, operations)

    # webhooks

    def greet(self, request: Request) -> bytes:
        """Mailchimp looks whether the address answers 200 when a webhook is made, and asks nothing."""
        return b""

    def verify(self, request: Request) -> list[Notice]:
        """Believed by the signature, or by the token that the address ends in where webhooks are made without one."""
        secret, token = (self._account.auth.get(name) for name in ("signing_secret", "webhook_token"))
        if isinstance(secret, Secret):
            self._check_signature(request, secret.reveal())
        elif isinstance(token, Secret) and token.reveal():
            told = urlsplit(request.url).path.rpartition("/")[2]
            if not hmac.compare_digest(told.encode(), token.reveal().encode()):
                raise AuthorizationLost("The webhook's token is wrong.", connection=self._account.connection)
        else:
            what = "Webhooks need auth.signing_secret or auth.webhook_token."
            raise AuthorizationLost(what, connection=self._account.connection)
        form = parse_qs(request.body.decode())
        emails = [*form.get("data[email]", []), *form.get("data[new_email]", [])]
        return [Notice("members", email) for email in emails]

    def _check_signature(self, request: Request, secret: str) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        parts = dict(part.partition("=")[::2] for part in headers.get("x-mailchimp-signature", "").split(","))
        signed = parts.get("t", "").encode() + b"." + request.body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        sent = parts.get("t", "")
        age = self._world.clock.now().timestamp() - int(sent) if sent.isascii() and sent.isdigit() else float("inf")
        if not hmac.compare_digest(digest.encode(), parts.get("v1", "").encode()) or abs(age) > 300:
            raise AuthorizationLost("The webhook's signature is wrong or old.", connection=self._account.connection)


_MEMBER_FIELDS = (
    ("email_address", "email", True),
    ("status", "choice", True),
    ("language", "text", True),
    ("vip", "boolean", True),
    ("member_rating", "integer", False),
    ("timestamp_signup", "datetime", True),
    ("timestamp_opt", "datetime", True),
    ("ip_signup", "text", True),
    ("ip_opt", "text", True),
    ("source", "text", False),
    ("full_name", "text", False),
    ("email_type", "choice", True),
    ("unique_email_id", "text", False),
    ("contact_id", "text", False),
    ("web_id", "integer", False),
    ("email_client", "text", False),
    ("location", "object", False),
    ("tags_count", "integer", False),
)


def _beyond(place: str, offset: int, members: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """Where to read on after a full page: a second before its last time (times have whole seconds, and whether the
    filter includes its own is not documented), by offset only within that."""
    last = stamp(unstamp(str(members[-1]["last_changed"])) - timedelta(seconds=1))
    return (last, 0) if last > place else (place, offset + len(members))


def member_id(member: Mapping[str, Any]) -> str:
    """The contact id, which a change of address does not change; the address's hash on accounts without one."""
    return str(member.get("contact_id") or member["id"])


def _campaign(row: Mapping[str, Any]) -> dict[str, Any]:
    bounces = row.get("bounces") or {}
    return {
        "title": row.get("campaign_title") or row.get("subject_line"),
        "status": "sent",
        "send_time": row.get("send_time"),
        "emails_sent": row.get("emails_sent"),
        "unique_opens": (row.get("opens") or {}).get("unique_opens"),
        "unique_clicks": (row.get("clicks") or {}).get("unique_subscriber_clicks"),
        "bounces": sum(int(bounces.get(name) or 0) for name in ("hard_bounces", "soft_bounces", "syntax_errors")),
        "unsubscribed": row.get("unsubscribed"),
    }


def _figures(row: Mapping[str, Any]) -> list[int]:
    """What moves whenever somebody does something with a campaign: sent, left, opened, clicked, bounced."""
    opens, clicks, bounces = row.get("opens") or {}, row.get("clicks") or {}, row.get("bounces") or {}
    bounced = sum(int(bounces.get(name) or 0) for name in ("hard_bounces", "soft_bounces", "syntax_errors"))
    told = (row.get("emails_sent"), row.get("unsubscribed"), opens.get("opens_total"), clicks.get("clicks_total"))
    return [*(int(figure or 0) for figure in told), bounced]


def _sent(campaign: Mapping[str, Any], row: Mapping[str, Any]) -> Record:
    return _event(campaign, row, "email_sent", "sent", str(campaign["send_time"]))


def _left(campaign: Mapping[str, Any], row: Mapping[str, Any]) -> Record:
    return _event(campaign, row, "email_unsubscribe", "unsub", str(row["timestamp"]))


def _event(
    campaign: Mapping[str, Any], row: Mapping[str, Any], type: str, action: str, at: str, url: str | None = None
) -> Record:
    raw = {
        "type": type,
        "timestamp": at,
        "email_address": row["email_address"],
        "campaign_id": campaign["id"],
        "title": campaign.get("campaign_title") or campaign.get("subject_line"),
        "url": url,
    }
    # somebody is sent a campaign, or leaves by it, once; what they open and click counts by its time
    key = f"{campaign['id']}:{row['email_id']}:{action}"
    if action not in ("sent", "unsub"):
        key = f"{key}:{at}:{url or ''}"
    return Record(key, orjson.dumps(raw), _stamp(at))


_ACTIONS = {"open": "email_open", "click": "email_click", "bounce": "email_bounce"}


def _events(campaign: Mapping[str, Any], email: Mapping[str, Any]) -> Iterator[Record]:
    for act in email.get("activity") or ():
        kind = _ACTIONS.get(act["action"])
        if kind is not None:
            yield _event(campaign, email, kind, act["action"], act["timestamp"], act.get("url"))


def _iso(text: str) -> str:
    """Mailchimp's own form; it ignores a filter in any other, and answers with everything."""
    return unstamp(text).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _stamp(text: str) -> str:
    return stamp(unstamp(text)) if text else ""


def _cursor(state: dict[str, Any]) -> str:
    return orjson.dumps(state).decode()
