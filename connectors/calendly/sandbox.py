"""Calendly's sandbox: an organization in memory with Calendly's own awkward habits.

Things are named by addresses of another host; lists know no time of change; a move is a new event and a new invitee; a
seat given back leaves a group event active; refresh tokens work once; the limit's reset tells seconds left; more than
a hundred rows are refused; page tokens belong to their query; erasures take days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from config.clock import unstamp
from connectors.calendly.sandbox_login import APP, PERSONAL, Login
from connectors.calendly.sandbox_store import HOST, Row, Store, instant, uuid
from connectors.sandbox import Answer, Call, Sandbox

HOOK_SECRET = "sandbox-webhook-secret"
_KINDS = {"meetings": "events", "scheduled_events": "events"}
_EVENTS = (
    "invitee.created", "invitee.canceled", "invitee_no_show.created", "invitee_no_show.deleted",
    "event_type.created", "event_type.updated", "event_type.deleted",
)  # fmt: skip


class Refused(Exception):
    """An answer that ends the call."""

    def __init__(self, status: int, title: str, message: str, parameter: str = "") -> None:
        details = [{"parameter": parameter, "message": message}] if parameter else None
        told = {"title": title, "message": message, **({"details": details} if details else {})}
        super().__init__(title)
        self.answer = Answer.of(told, status)


def _invalid(parameter: str, message: str) -> Refused:
    refused = Refused(400, "Invalid Argument", "The supplied parameters are invalid.", parameter)
    told = {"title": "Invalid Argument", "message": "The supplied parameters are invalid."}
    refused.answer = Answer.of({**told, "details": [{"parameter": parameter, "message": message}]}, 400)
    return refused


def _missing() -> Refused:
    return Refused(404, "Resource Not Found", "The server could not find the requested resource.")


def _forbidden(message: str) -> Refused:
    return Refused(403, "Permission Denied", message)


class CalendlySandbox(Sandbox):
    """An organization with one owner and one event type.

    Switches: `oauth` (log in by an app instead of a personal token), `role` of the token's user, `per_minute`, `plan`
    (erasure needs enterprise), `plain_pages` (older answers name the next page by a link only); `login.scopes`;
    `store.group_bumps`, `store.no_show_bumps`, `store.erasing`.
    """

    name = "calendly"

    def __init__(self, **options: Any) -> None:
        self.oauth = self.plain_pages = False
        self.role, self.plan = "owner", "enterprise"
        self.per_minute, self.used, self.window = 500, 0, 0
        self.age = 0  # of page tokens
        super().__init__(**options)
        self.store = Store(self.clock, self.random)
        self.store.organization = self.store.new_id()
        self.login = Login(self.clock, self.random)
        self.login.found()
        self.consents = self.login.consents
        self.user = self.put("users", {"name": "Rita Ortega", "email": "rita.ortega@example.com", "standing": "owner"})
        question = {"name": "Company name?", "type": "string", "position": 0, "enabled": True, "required": False}
        asked = {**question, "answer_choices": [], "include_other": False}
        number = {**asked, "name": "Your number", "type": "phone_number", "position": 1}
        self.event_type = self.put("event_types", {"name": "Demo", "custom_questions": [asked, number]})

    def account(self) -> dict[str, Any]:
        if self.oauth:
            auth = {"mode": "oauth", **APP, "refresh_token": self.login.first}
        else:
            auth = {"mode": "token", "access_token": PERSONAL}
        return {"auth": {**auth, "webhook_secret": HOOK_SECRET}, "settings": {}}

    def route(self) -> None:
        self.on("GET", "/oauth/authorize", lambda call: self.login.consents.page(call))
        self.on("POST", "/oauth/token", self._grant)
        self.on("GET", "/users/me", lambda call: self._one("users", self.user))
        self.on("GET", "/users/{id}", lambda call, id: self._one("users", id))
        self.on("GET", "/organization_memberships", self._refusing(self._memberships))
        self.on("GET", "/event_types", self._refusing(self._event_types))
        self.on("GET", "/event_types/{id}", lambda call, id: self._one("event_types", id))
        self.on("GET", "/scheduled_events", self._refusing(self._events))
        self.on("GET", "/scheduled_events/{id}", lambda call, id: self._one("events", id))
        self.on("GET", "/scheduled_events/{event}/invitees", self._refusing(self._invitees))
        self.on("GET", "/scheduled_events/{event}/invitees/{id}", self._invitee)
        self.on("POST", "/invitee_no_shows", self._refusing(self._mark))
        self.on("DELETE", "/invitee_no_shows/{id}", self._refusing(self._unmark))
        self.on("GET", "/webhook_subscriptions", self._refusing(self._hooks))
        self.on("POST", "/webhook_subscriptions", self._refusing(self._subscribe))
        self.on("GET", "/webhook_subscriptions/{id}", lambda call, id: self._one("hooks", id))
        self.on("DELETE", "/webhook_subscriptions/{id}", self._refusing(self._unsubscribe))
        self.on("POST", "/data_compliance/deletion/invitees", self._refusing(self._erase))

    # people

    def put(self, object: str, values: Mapping[str, Any]) -> str:
        """A member, an event type or a booking is made; its id."""
        with self.lock:
            if object == "invitees":
                return self.book(**values)
            if object == "users":
                return uuid(self.store.user(values)["uri"])
            owner = self.store.rows["users"][self.user]
            row = self.store.event_type(owner, values)
            self.store.notice("event_type.created", row)
            return uuid(row["uri"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            row = self._row(object, id)
            row |= {**values, "updated_at": self.store.now()}
            if object == "event_types":
                self.store.notice("event_type.deleted" if row["deleted_at"] else "event_type.updated", row)

    def _row(self, object: str, id: str) -> Row:
        return self.store.rows[_KINDS.get(object, object)][id.rpartition(":")[2]]

    def get(self, object: str, id: str) -> Row:
        """The thing itself; {} where there is none."""
        return dict(self.store.rows[_KINDS.get(object, object)].get(id.rpartition(":")[2], {}))

    def all(self, object: str) -> list[Row]:
        return [dict(row) for row in self.store.rows[_KINDS.get(object, object)].values()]

    def book(self, email: str, start: str = "", *, event: str = "", seats: int = 1, **values: Any) -> str:
        """Somebody books: an event of their own at `start`, or a seat in `event`; the booking's id `EVENT:INVITEE`.
        `kind` is an event type, `host` a member; the rest is the invitee's own."""
        with self.lock:
            kind = self.store.rows["event_types"][values.pop("kind", self.event_type)]
            host = self.store.rows["users"][values.pop("host", self.user)]
            place = values.pop("location", None)
            at = start or instant(self.clock.now())
            row = self.store.rows["events"].get(event)
            row = row or self.store.event(kind, host, at, seats=seats, location=place)
            name = values.pop("name", email.partition("@")[0].title())
            invitee = self.store.invitee(row, {"email": email, "name": name, **values})
            self.store.notice("invitee.created", invitee)
            return self._id(invitee)

    def _id(self, invitee: Row) -> str:
        return f"{uuid(invitee['event'])}:{uuid(invitee['uri'])}"

    def move(self, booking: str, start: str, *, by: str = "invitee") -> str:
        """A booking is moved: a new event with a new invitee, the old ones cancelled. The new booking's id. What the
        link told (tracking) is lost."""
        with self.lock:
            old = self._row("invitees", booking)
            event = self.store.rows["events"][uuid(old["event"])]
            kind = self.store.rows["event_types"][uuid(event["event_type"])]
            host = self.store.rows["users"][uuid(event["event_memberships"][0]["user"])]
            later = self.store.event(kind, host, start, seats=1, location=event["location"])
            same = {name: old[name] for name in ("email", "name", "first_name", "last_name", "questions_and_answers")}
            new = self.store.invitee(later, {**same, "old_invitee": old["uri"]})
            self.store.cancel(old, by, "", rescheduled=True, new_invitee=new["uri"])
            self.store.notice("invitee.created", new)
            self.store.notice("invitee.canceled", old)
            return self._id(new)

    def cancel(self, booking: str, *, by: str = "invitee", reason: str = "") -> None:
        with self.lock:
            invitee = self._row("invitees", booking)
            self.store.cancel(invitee, by, reason)
            self.store.notice("invitee.canceled", invitee)

    def miss(self, booking: str, *, missed: bool = True) -> None:
        """The host marks that the person did not come, or takes that back."""
        with self.lock:
            invitee = self._row("invitees", booking)
            self.store.no_show(invitee, missed)
            self.store.notice(f"invitee_no_show.{'created' if missed else 'deleted'}", invitee)

    def hook(
        self, *events: str, key: str | None = HOOK_SECRET, url: str = "https://closedloop.example/calendly"
    ) -> str:
        """Subscribe to notices."""
        with self.lock:
            return uuid(self._hooked({"url": url, "events": list(events or _EVENTS), "signing_key": key})["uri"])

    def deliver(self, receiver: Callable[[Mapping[str, str], bytes], int | None], *, backwards: bool = False) -> int:
        """Try once what waits, perhaps the last first; the number of attempts. See `Store.deliver`."""
        if backwards:
            self.store.deliveries.reverse()
        return self.store.deliver(receiver)

    def forget_pages(self) -> None:
        """Page tokens handed out until now are refused from now on."""
        self.age += 1

    # log-in and limits

    def _grant(self, call: Call) -> Answer:
        owner = self.store.rows["users"][self.user]
        return self.login.grant(call.form, owner["uri"], owner["current_organization"])

    def before(self, call: Call) -> Answer | None:
        self.store.erase()
        if call.path.startswith("/oauth/"):
            return None
        if not self.login.opens(call.headers.get("authorization", "").removeprefix("Bearer ")):
            return Refused(401, "Unauthenticated", "The access token is invalid").answer
        window = int(self.clock.now().timestamp()) // 60
        if window != self.window:
            self.window, self.used = window, 0
        self.used += 1
        if self.used > self.per_minute:
            return self.limited()
        if self.login.lacks(call.method, call.path):
            return _forbidden("You do not have permission to access this resource.").answer
        return None

    def limited(self) -> Answer:
        """The 429 of a full minute."""
        return Refused(429, "Too Many Requests", "You have exceeded your rate limit.").answer

    def after(self, call: Call, answer: Answer) -> Answer:
        if call.path.startswith("/oauth/"):
            return answer
        told = {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - self.used)),
            "X-RateLimit-Reset": str(60 - int(self.clock.now().timestamp()) % 60),
        }
        return Answer(answer.status, answer.body, {**answer.headers, **told})

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        if status == 400:
            return Refused(400, "Invalid Argument", "The supplied parameters are invalid.").answer
        return _missing().answer

    def _refusing(self, handler: Callable[..., Answer]) -> Callable[..., Answer]:
        def guarded(call: Call, **names: str) -> Answer:
            try:
                return handler(call, **names)
            except Refused as refused:
                return refused.answer

        return guarded

    # lists

    def _one(self, kind: str, id: str) -> Answer:
        row = self.store.rows[kind].get(id)
        return Answer.of({"resource": _shown(row)}) if row else _missing().answer

    def _whose(self, call: Call) -> str:
        """'' for the organization's things, else the user's address."""
        organization, user = call.query.get("organization", ""), call.query.get("user", "")
        if not organization and not user:
            raise _invalid("organization", "Must be present with either user or organization")
        mine = self.store.rows["users"][self.user]
        if organization and organization != mine["current_organization"]:
            raise _forbidden("This user is not in your organization")
        if (organization and not user and self.role == "user") or (
            self.role == "user" and user not in ("", mine["uri"])
        ):
            raise _forbidden("You do not have permission to access this resource.")
        return user

    def _memberships(self, call: Call) -> Answer:
        user = self._whose(call)
        rows = []
        for row in self.store.rows["users"].values():
            told = {
                "uri": f"{HOST}/organization_memberships/{row['membership']}",
                "role": row["standing"],
                "user": _shown(row),
                "organization": row["current_organization"],
                **{name: row[name] for name in ("created_at", "updated_at")},
            }
            if user in ("", row["uri"]):
                rows.append(told)
        return self._listed(call, rows)

    def _event_types(self, call: Call) -> Answer:
        user = self._whose(call)
        rows = [row for row in self.store.rows["event_types"].values() if user in ("", row["profile"]["owner"])]
        return self._listed(call, rows)

    def _events(self, call: Call) -> Answer:
        user, query = self._whose(call), call.query
        rows = list(self.store.rows["events"].values())
        if user:
            rows = [row for row in rows if user in {host["user"] for host in row["event_memberships"]}]
        if "status" in query:
            rows = [row for row in rows if row["status"] == query["status"]]
        if "invitee_email" in query:
            theirs = {i["event"] for i in self.store.rows["invitees"].values() if i["email"] == query["invitee_email"]}
            rows = [row for row in rows if row["uri"] in theirs]
        if start := _limit(query, "min_start_time"):
            rows = [row for row in rows if row["start_time"] >= start]
        if end := _limit(query, "max_start_time"):
            rows = [row for row in rows if row["start_time"] < end]
        return self._listed(call, _sorted(rows, query.get("sort", "start_time:asc"), "start_time"))

    def _invitees(self, call: Call, event: str) -> Answer:
        if event not in self.store.rows["events"]:
            raise _missing()
        rows: list[Row] = [row for row in self.store.rows["invitees"].values() if uuid(row["event"]) == event]
        for name in ("status", "email"):
            rows = [row for row in rows if call.query.get(name, row[name]) == row[name]]
        return self._listed(call, _sorted(rows, call.query.get("sort", "created_at:asc"), "created_at"))

    def _invitee(self, call: Call, event: str, id: str) -> Answer:
        row = self.store.rows["invitees"].get(id)
        return self._one("invitees", id if row and uuid(row["event"]) == event else "")

    def _listed(self, call: Call, rows: Iterable[Row]) -> Answer:
        """A page. Its token is a place in the list, and belongs to the query that it was given for."""
        count = call.query.get("count", "20")
        if not count.isdigit() or not 1 <= int(count) <= 100:
            raise _invalid("count", "must be an integer between 1 and 100")
        same = sorted((name, value) for name, value in call.query.items() if name != "page_token")
        mark = hashlib.sha256(orjson.dumps([call.path, same, self.age])).hexdigest()[:16]
        start, _, told = call.query.get("page_token", f"0-{mark}").partition("-")
        if told != mark or not start.isdigit():
            raise _invalid("page_token", "is invalid")
        shown, at = list(rows), int(start)
        following = at + int(count)
        next = f"{following}-{mark}" if following < len(shown) else None
        before = f"{max(0, at - int(count))}-{mark}" if at else None
        page = [_shown(row) for row in shown[at:following]]
        links = {"next_page": self._link(call, next), "previous_page": self._link(call, before)}
        tokens = {} if self.plain_pages else {"next_page_token": next, "previous_page_token": before}
        return Answer.of({"collection": page, "pagination": {"count": len(page), **links, **tokens}})

    def _link(self, call: Call, token: str | None) -> str | None:
        return f"{HOST}{call.path}?{urlencode({**call.query, 'page_token': token})}" if token else None

    # writes

    def _mark(self, call: Call) -> Answer:
        told = call.json or {}
        row = self.store.rows["invitees"].get(uuid(told.get("invitee")))
        if row is None:
            raise _missing()
        if row["no_show"]:
            raise Refused(409, "Already Exists", "The resource already exists")
        made = self.store.no_show(row, marked=True)
        self.store.notice("invitee_no_show.created", row)
        return Answer.of({"resource": _shown(made)}, 201)

    def _unmark(self, call: Call, id: str) -> Answer:
        found = self.store.rows["invitee_no_shows"].get(id)
        if found is None:
            raise _missing()
        invitee = self.store.rows["invitees"][uuid(found["invitee"])]
        self.store.no_show(invitee, marked=False)
        self.store.notice("invitee_no_show.deleted", invitee)
        return Answer(204)

    def _erase(self, call: Call) -> Answer:
        if self.plan != "enterprise":
            raise _forbidden("Please upgrade your Calendly account to Enterprise.")
        emails = (call.json or {}).get("emails")
        if not isinstance(emails, list) or not emails or any("@" not in str(email) for email in emails):
            raise _invalid("emails", "must be a list of addresses")
        due = instant(self.clock.now() + self.store.erasing)
        self.store.erasures += [[str(email).lower(), due] for email in emails]
        return Answer.of({}, 202)

    def _hooks(self, call: Call) -> Answer:
        self._whose(call)
        return self._listed(call, self.store.rows["hooks"].values())

    def _subscribe(self, call: Call) -> Answer:
        told = call.json or {}
        if set(told.get("events") or ("",)) - set(_EVENTS) or not str(told.get("url")).startswith("https://"):
            raise _invalid("events", "is not included in the list")
        if any(hook["callback_url"] == told["url"] for hook in self.store.rows["hooks"].values()):
            raise Refused(409, "Already Exists", "Hook with this url already exists")
        return Answer.of({"resource": _shown(self._hooked(told))}, 201)

    def _hooked(self, told: Mapping[str, Any]) -> Row:
        mine = self.store.rows["users"][self.user]
        values = {
            "callback_url": told["url"],
            "state": "active",
            "retry_started_at": None,
            "events": told["events"],
            "scope": "organization",
            "organization": mine["current_organization"],
            "user": None,
            "group": None,
            "creator": mine["uri"],
            "signing_key": told.get("signing_key"),
        }
        return self.store.new("hooks", "webhook_subscriptions", values)

    def _unsubscribe(self, call: Call, id: str) -> Answer:
        if self.store.rows["hooks"].pop(id, None) is None:
            raise _missing()
        return Answer(204)

    # snapshots

    _KEPT = ("oauth", "plain_pages", "role", "plan", "per_minute", "used", "window", "age", "user", "event_type")

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self._KEPT}
        login = {name: getattr(self.login, name) for name in ("scopes", "first", "access", "refresh", "granted")}
        store = {name: getattr(self.store, name) for name in ("organization", "rows", "erasures", "deliveries")}
        told = {**kept, "login": login, "store": store, "random": self.random.getstate()}
        copied: dict[str, Any] = orjson.loads(orjson.dumps(told))
        return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        state = orjson.loads(orjson.dumps(state))
        for name in self._KEPT:
            setattr(self, name, state[name])
        for whole, part in ((self.login, "login"), (self.store, "store")):
            for name, value in state[part].items():
                setattr(whole, name, value)
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))


_HIDDEN = ("standing", "membership", "signing_key")


def _shown(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name not in _HIDDEN}


def _limit(query: Mapping[str, str], name: str) -> str:
    if name not in query:
        return ""
    try:
        return instant(unstamp(query[name]))
    except ValueError:
        raise _invalid(name, "is not a valid time") from None


def _sorted(rows: list[Row], asked: str, known: str) -> list[Row]:
    """The order asked for; Calendly sorts a list by one member only."""
    name, _, way = asked.partition(":")
    if name != known or way not in ("", "asc", "desc"):
        raise _invalid("sort", "is not included in the list")
    return sorted(rows, key=lambda row: (row[known], row["uri"]), reverse=way == "desc")
