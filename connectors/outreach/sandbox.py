"""Outreach's sandbox: an org in memory with Outreach's own awkward habits.

Ids are numbers; the JSON:API media type is demanded; a refresh token works once; one access token a minute; the hour's
limit stands in headers as `9999, 19988`; addresses are unique; lists are replaced as wholes; microseconds in filters
are refused; counts are told on demand only; an answer to a webhook, whatever it is, counts as delivered.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.outreach.client import MEDIA
from connectors.outreach.objects import LISTS, OBJECTS
from connectors.outreach.sandbox_list import Refused, Row, matching, page, shown, sparse
from connectors.outreach.sandbox_schema import BY_PATH, SCHEMA, blank, openapi
from connectors.sandbox import Answer, Call, Sandbox

TOKEN_LIFE = timedelta(hours=2)
REFRESH_LIFE = timedelta(days=14)
HOUR = 3600
_CREATED = ("prospect", "account", "task", "call", "opportunity", "sequenceState", "opportunityProspectRole", "webhook")
_REQUIRED = {
    "task": ("owner", "subject"),
    "sequenceState": ("prospect", "sequence", "mailbox"),
    "opportunityProspectRole": ("opportunity", "prospect"),
}
_ALL = tuple(f"{kind.path}.all" for kind in SCHEMA.values())


class OutreachSandbox(Sandbox):
    """An org with one app and one user who installed it.

    Switches: `rotates` (a refresh token works once), `granular` (opting out of e-mail alone exists), `by_offset` (an
    app of before October 2024), `hides_trash` (lists leave trashed rows out), `unsubscribe_bumps` (the link in a mail
    moves the prospect's updatedAt), `scopes`, `hourly`, `excluded` (domains), `maintenance` (an instant until which
    all is closed), `bump_on_no_change`.
    """

    name = "outreach"

    def __init__(self, **options: Any) -> None:
        self.rows: dict[str, dict[int, Row]] = {type: {} for type in SCHEMA}
        self.next_id = 100
        self.rotates = self.granular = self.unsubscribe_bumps = self.bump_on_no_change = True
        self.by_offset = self.hides_trash = False
        self.hourly, self.used, self.window = 10_000, 0, 0
        self.scopes = " ".join(_ALL)
        self.excluded: set[str] = set()
        self.maintenance = ""
        self.age = 0  # of page cursors
        self.access: dict[str, str] = {}  # token -> end of its life
        self.refresh: dict[str, str] = {}
        self.minted = ""
        self.deliveries: list[Row] = []  # webhook calls that wait to be sent
        super().__init__(**options)
        self.first_refresh = self._token("refresh")
        self.refresh[self.first_refresh] = stamp(self.clock.now() + REFRESH_LIFE)
        self.user = self._new("user", {"email": "rita.ortega@example.com", "name": "Rita Ortega"})["id"]
        self.mailbox = self._new("mailbox", {"email": "rita.ortega@example.com"}, {"user": self.user})["id"]
        self.stages = {name: str(self._new("stage", {"name": name})["id"]) for name in ("New", "Engaged", "Bad fit")}
        closed = {"Discovery": False, "Proposal": False, "Closed Won": True, "Closed Lost": True}
        self.deal_stages = {
            name: str(self._new("opportunityStage", {"name": name, "isClosed": end})["id"])
            for name, end in closed.items()
        }

    def account(self) -> dict[str, Any]:
        auth = {
            "mode": "oauth",
            "client_id": "sandbox-app",
            "client_secret": "sandbox-app-secret",
            "redirect_uri": "https://127.0.0.1/callback",
            "refresh_token": self.first_refresh,
            "webhook_secret": "sandbox-webhook-secret",
        }
        return {"auth": auth, "settings": {"mailbox": str(self.mailbox), "task_owner": str(self.user)}}

    def route(self) -> None:
        self.on("POST", "/oauth/token", self._grant)
        base = "/api/v2"
        self.on("GET", f"{base}/schema/openapi.json", lambda call: Answer.of(openapi()))
        self.on("POST", f"{base}/batches/actions/prospectsDestroyAll", self._destroy_all)
        self.on("POST", f"{base}/sequenceStates/{{id}}/actions/finish", self._finish)
        self.on("GET", f"{base}/{{path}}", self._of(self._list))
        self.on("POST", f"{base}/{{path}}", self._of(self._create))
        self.on("GET", f"{base}/{{path}}/{{id}}", self._of(self._get))
        self.on("PATCH", f"{base}/{{path}}/{{id}}", self._of(self._patch))
        self.on("DELETE", f"{base}/{{path}}/{{id}}", self._of(self._delete))

    # people

    def put(self, object: str, values: Mapping[str, Any], *, at: str = "") -> str:
        """A person creates a record; its id. Relationships are given by their names and an id."""
        with self.lock:
            return str(self._new(_type(object), *self._split(_type(object), values), at)["id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            row = self.rows[_type(object)][int(id)]
            self._change(row, *self._split(row["type"], values))

    def remove(self, object: str, id: str) -> None:
        """Trash a prospect or an opportunity; destroy anything else."""
        with self.lock:
            row = self.rows[_type(object)][int(id)]
            if "trashedAt" in row["attributes"]:
                self._change(row, {"trashedAt": self._now()}, {})
            else:
                self._destroy(row)

    def get(self, object: str, id: str) -> dict[str, Any]:
        """Attributes, first addresses and numbers, and relationships by id; {} where there is none."""
        row = self.rows[_type(object)].get(int(id))
        return _flat(row) if row else {}

    def all(self, object: str) -> list[dict[str, Any]]:
        return [_flat(row) for row in self.rows[_type(object)].values() if not row["attributes"].get("trashedAt")]

    def merge(self, winner: str, loser: str) -> None:
        """Merge two prospects: the loser is destroyed, the winner gets its addresses and moves."""
        with self.lock:
            one, other = (self.rows["prospect"][int(id)] for id in (winner, loser))
            emails = [*one["attributes"]["emails"], *other["attributes"]["emails"]]
            self._destroy(other)
            self._change(one, {"emails": emails}, {})

    def mail(self, prospect: str, subject: str, *, sequence: str = "", at: str = "") -> str:
        """A mailing is delivered to a prospect; its id."""
        values = {
            "subject": subject,
            "state": "delivered",
            "deliveredAt": at or self._now(),
            "mailingType": "sequence" if sequence else "single",
        }
        return self.put("mailings", {**values, "prospect": prospect, "sequence": sequence or None}, at=at)

    def happen(self, mailing: str, what: str, at: str = "") -> None:
        """`what` is opened, clicked, replied, bounced or unsubscribed."""
        with self.lock:
            row, at = self.rows["mailing"][int(mailing)], at or self._now()
            counts = {"opened": "openCount", "clicked": "clickCount"}
            counted = {counts[what]: row["attributes"][counts[what]] + 1} if what in counts else {}
            self._change(row, {f"{what}At": at, "stateChangedAt": at, **counted}, {})
            self._event(f"mailing_{what}", row, at)
            if what == "unsubscribed":
                self._unsubscribe(row["relations"]["prospect"][1], at)

    def _unsubscribe(self, prospect: int, at: str) -> None:
        row = self.rows["prospect"][prospect]
        stood = row["attributes"]["updatedAt"]
        self._change(row, {"emailOptedOut": True} if self.granular else {"optedOut": True}, {})
        if not self.unsubscribe_bumps:
            row["attributes"]["updatedAt"] = stood
        for address in self.rows["emailAddress"].values():
            if address["relations"]["prospect"] == ["prospect", prospect]:
                self._change(address, {"unsubscribedAt": at}, {})

    def enrol(self, prospect: str, sequence: str) -> str:
        """A person adds a prospect to a sequence; the sequence state's id."""
        ties = {"prospect": prospect, "sequence": sequence, "mailbox": str(self.mailbox)}
        return self.put("sequence_states", {"state": "active", **ties})

    def deal(self, name: str, prospects: list[str], stage: str = "Discovery", **values: Any) -> str:
        """An opportunity with its people, the first of them its main one; its id."""
        tied = {"opportunityStage": self.deal_stages[stage], "primaryProspect": prospects[0] if prospects else None}
        deal = self.put("opportunities", {"name": name, "currencyType": "USD", **tied, **values})
        for prospect in prospects:
            self.put(
                "opportunity_prospects",
                {
                    "opportunity": deal,
                    "prospect": prospect,
                    "role": "Decision maker",
                    "primary": prospect == prospects[0],
                },
            )
        return deal

    def close(self, deal: str, *, won: bool, day: str, reason: str = "") -> None:
        """Win or lose an opportunity."""
        stage = self.deal_stages["Closed Won" if won else "Closed Lost"]
        values = {"opportunityStage": stage, "probability": 100 if won else 0, "closeDate": f"{day}T00:00:00.000Z"}
        self.edit("opportunities", deal, {**values, "lostReason": reason or None})

    def hook(self, resource: str = "*", action: str = "*", version: int = 1) -> str:
        """Subscribe to notices."""
        secret = self.account()["auth"]["webhook_secret"]
        told = {"resource": resource, "action": action, "secret": secret, "active": True, "payloadVersion": version}
        return str(self._new("webhook", {**told, "url": "https://closedloop.example/outreach"})["id"])

    def deliver(self, receiver: Callable[[Mapping[str, str], bytes], int | None]) -> int:
        """Send what waits; the number of attempts. No answer (None) is tried four times, any answer is enough."""
        attempts = 0
        for waiting in self.deliveries:
            for _ in range(4):
                attempts += 1
                if receiver(waiting["headers"], waiting["body"]) is not None:
                    break
        self.deliveries.clear()
        return attempts

    def forget_cursors(self) -> None:
        """Page cursors handed out until now are refused from now on."""
        self.age += 1

    # rows

    def _now(self) -> str:
        return stamp(self.clock.now())

    def _split(self, type: str, values: Mapping[str, Any]) -> tuple[Row, Row]:
        """Flat values as attributes and relationships; `email` and the like as the heads of their lists."""
        plain = {LISTS.get(name, name): [v] if name in LISTS else v for name, v in values.items()}
        one = SCHEMA[type].one
        return {n: v for n, v in plain.items() if n not in one}, {n: v for n, v in plain.items() if n in one}

    def _new(
        self, type: str, values: Mapping[str, Any], relations: Mapping[str, Any] | None = None, at: str = ""
    ) -> Row:
        self.next_id += 1
        now = at or self._now()
        row: Row = {"type": type, "id": self.next_id, "attributes": blank(type), "relations": {}}
        row["attributes"] |= {name: now for name in ("createdAt", "addedAt") if name in row["attributes"]}
        self.rows[type][row["id"]] = row
        self._set(row, values, relations or {}, now)
        self._notice(row, "created", {})
        return row

    def _change(self, row: Row, values: Mapping[str, Any], relations: Mapping[str, Any]) -> None:
        before = dict(row["attributes"])
        self._set(row, values, relations, self._now())
        changed = {n: v for n, v in before.items() if row["attributes"].get(n) != v and n != "updatedAt"}
        if not changed and not relations and not self.bump_on_no_change:
            row["attributes"]["updatedAt"] = before["updatedAt"]
            return
        self._notice(row, "updated", changed)

    def _set(self, row: Row, values: Mapping[str, Any], relations: Mapping[str, Any], now: str) -> None:
        kind, held = SCHEMA[row["type"]], row["attributes"]
        for name, id in relations.items():
            types = kind.one[name]
            type, _, number = str(id).rpartition("/") if id is not None else ("", "", "")
            row["relations"][name] = [type or types[0], int(number)] if id is not None else None
        held.update(values)
        if "updatedAt" in kind.attributes:
            held["updatedAt"] = now
        if row["type"] == "prospect":
            self._prospect(row, values, now)
        if row["type"] == "opportunity":
            row["relations"]["stage"] = row["relations"].get("opportunityStage")
        if row["type"] == "task":
            held.update({"taskType": "manual", "completed": held["state"] == "complete"})

    def _prospect(self, row: Row, values: Mapping[str, Any], now: str) -> None:
        """What Outreach makes of a prospect: addresses as resources, consents, computed attributes."""
        held = row["attributes"]
        held["emails"] = [str(email).lower() for email in held["emails"] or ()]
        held["name"] = " ".join(part for part in (held["firstName"], held["lastName"]) if part) or None
        if account := self._tied(row, "account"):
            held["company"] = account["attributes"]["name"]
        if "optedOut" in values:
            held["optedOutAt"] = now if held["optedOut"] else None
        for flag, status, told in (
            ("emailOptedOut", "emailsOptStatus", "emailsOptedAt"),
            ("callOptedOut", "callsOptStatus", "callsOptedAt"),
        ):
            if not self.granular:
                held[flag] = bool(held["optedOut"])  # what was written to it is forgotten
                continue
            if status in values:
                held[flag] = held[status] == "opted_out"
            if values.get(flag):
                held[status] = "opted_out"
            if flag in values or status in values:
                held[told] = now
            held[flag] = bool(held[flag] or held["optedOut"])
        self._addresses(row)

    def _addresses(self, row: Row) -> None:
        tied = ["prospect", row["id"]]
        mine = {
            a["attributes"]["email"]: a
            for a in self.rows["emailAddress"].values()
            if a["relations"]["prospect"] == tied
        }
        for order, email in enumerate(row["attributes"]["emails"]):
            if email not in mine:
                self._new("emailAddress", {"email": email, "order": order}, {"prospect": row["id"]})
        for email, address in mine.items():
            if email not in row["attributes"]["emails"]:
                del self.rows["emailAddress"][address["id"]]

    def _tied(self, row: Row, name: str) -> Row | None:
        tied = row["relations"].get(name)
        return self.rows[tied[0]].get(tied[1]) if tied and tied[0] in self.rows else None

    def _destroy(self, row: Row) -> None:
        del self.rows[row["type"]][row["id"]]
        if row["type"] == "prospect":
            row["attributes"]["emails"], held = [], row["attributes"]["emails"]
            self._addresses(row)
            row["attributes"]["emails"] = held
        self._notice(row, "destroyed", {})

    def _event(self, name: str, mailing: Row, at: str) -> None:
        ties = {"prospect": mailing["relations"]["prospect"][1], "mailing": mailing["id"]}
        self._new("event", {"name": name, "eventAt": at, "requestProxied": False}, ties, at)

    # webhooks

    def _notice(self, row: Row, action: str, before: Mapping[str, Any]) -> None:
        for hook in list(self.rows["webhook"].values()):
            told = hook["attributes"]
            if (
                row["type"] == "webhook"
                or told["resource"] not in ("*", row["type"])
                or told["action"] not in ("*", action)
            ):
                continue
            changed = {n: row["attributes"][n] for n in before} if action == "updated" else row["attributes"]
            data = {**shown(row, None, self.base_url), "attributes": changed}
            meta: Row = {"deliveredAt": self._now(), "eventName": f"{row['type']}.{action}"}
            body = {
                "data": data,
                "meta": meta,
                **({"beforeUpdate": dict(before)} if told["payloadVersion"] == 2 else {}),
            }
            sent = orjson.dumps(body)
            digest = hmac.new(told["secret"].encode(), sent, hashlib.sha256).hexdigest()
            self.deliveries.append({"headers": {"Outreach-Webhook-Signature": digest}, "body": sent})

    # log-in and limits

    def _token(self, what: str) -> str:
        return f"{what}-{self.random.getrandbits(64):016x}"

    def _grant(self, call: Call) -> Answer:
        """A new pair for a live refresh token; one a minute."""
        form, now = call.form, self._now()
        app = self.account()["auth"]
        if any(form.get(name) != app[name] for name in ("client_id", "client_secret", "redirect_uri")):
            return Answer.of({"error": "invalid_client", "error_description": "Client authentication failed."}, 401)
        told = form.get("refresh_token", "")
        if self.refresh.get(told, "") <= now:
            return Answer.of({"error": "invalid_grant", "error_description": "The refresh token is invalid."}, 400)
        if self.minted and now < stamp(unstamp(self.minted) + timedelta(seconds=60)):
            return self._error(429, "rateLimitExceeded", "One token per minute.", {"Retry-After": "60"})
        self.minted = now
        if self.rotates:
            del self.refresh[told]
        access, refresh = self._token("access"), self._token("refresh")
        self.access[access] = stamp(self.clock.now() + TOKEN_LIFE)
        self.refresh[refresh] = stamp(self.clock.now() + REFRESH_LIFE)
        self.refresh = dict(list(self.refresh.items())[-100:])
        pair = {"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": 7200}
        return Answer.of({**pair, "scope": self.scopes, "created_at": int(self.clock.now().timestamp())})

    def before(self, call: Call) -> Answer | None:
        if call.path == "/oauth/token":
            return None
        if self.maintenance > self._now():
            return self._error(503, "scheduledServerMaintenance", "Maintenance.", {"Retry-After": self.maintenance})
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self.access.get(token, "") <= self._now():
            return self._error(401, "unauthorized", "The access token is invalid or has expired.")
        if not call.headers.get("content-type", "").startswith(MEDIA):
            detail = f"Expected Content-Type header to be '{MEDIA}'."
            return self._error(415, "unsupportedMediaType", detail)
        return self._counted()

    def _counted(self) -> Answer | None:
        window = int(self.clock.now().timestamp()) // HOUR
        if window != self.window:
            self.window, self.used = window, 0
        self.used += 1
        return self.limited() if self.used > self.hourly else None

    def limited(self) -> Answer:
        """The 429 of a full hour."""
        return self._error(429, "rateLimitExceeded", f"You have exceeded your limit of {self.hourly} calls per hour.")

    def after(self, call: Call, answer: Answer) -> Answer:
        if call.path == "/oauth/token":
            return answer
        left = max(0, self.hourly - self.used)
        told = {
            "X-RateLimit-Limit": f"{self.hourly}, {2 * self.hourly}",
            "X-RateLimit-Remaining": f"{left}, {2 * self.hourly - self.used}",
            "X-RateLimit-Reset": str((self.window + 1) * HOUR),
        }
        kind = {"content-type": MEDIA} if answer.body else {}
        return Answer(answer.status, answer.body, {**answer.headers, **told, **kind})

    def _error(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, pointer: str = ""
    ) -> Answer:
        title = "".join(f" {c}" if c.isupper() else c for c in code).strip().title()
        told = {"id": code, "title": title, "detail": detail, **({"source": {"pointer": pointer}} if pointer else {})}
        return Answer.of({"errors": [told]}, status, headers)

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        if status == 400:
            return self._error(400, "badRequest", message)
        detail = "The request path does not match any known resource endpoints."
        return self._error(404, "routeNotFound", detail)

    # calls

    def _of(self, handler: Callable[..., Answer]) -> Callable[..., Answer]:
        """The handler with the resource's type, where the path has one and the scope is there."""

        def answer(call: Call, path: str, **named: str) -> Answer:
            if path not in BY_PATH:
                return self.refuse(call, 404, path)
            scope = f"{path}.{ {'GET': 'read', 'DELETE': 'delete'}.get(call.method, 'write') }"
            if not {scope, f"{path}.all"} & set(self.scopes.split()):
                detail = f"Your authorization does not include the required scope '{scope}'."
                return self._error(403, "unauthorizedOauthScope", detail)
            try:
                return handler(call, BY_PATH[path], **named)
            except Refused as error:
                return self._error(error.status, error.code, error.detail)

        return answer

    def _list(self, call: Call, type: str) -> Answer:
        names = sparse(type, call.query)
        hidden = self.hides_trash
        rows = [r for r in self.rows[type].values() if not (hidden and r["attributes"].get("trashedAt"))]
        found = matching(type, rows, call.query)
        told = page(type, found, call.query, self.base_url + call.path, self.age, self.by_offset)
        return Answer.of({**told, "data": [shown(row, names, self.base_url) for row in told["data"]]})

    def _get(self, call: Call, type: str, id: str) -> Answer:
        row = self._found(type, id)
        return Answer.of({"data": shown(row, sparse(type, call.query), self.base_url)})

    def _found(self, type: str, id: str) -> Row:
        row = self.rows[type].get(int(id)) if id.isdigit() else None
        if row is None:
            raise Refused(404, "resourceNotFound", f"Could not find '{type}' with ID '{id}'.")
        return row

    def _create(self, call: Call, type: str) -> Answer:
        if type not in _CREATED:
            return self.refuse(call, 404, type)
        attributes, relations = self._given(type, call)
        if missing := [name for name in _REQUIRED.get(type, ()) if not relations.get(name)]:
            return self._invalid(f"{missing[0].title()} can't be blank", f"/data/relationships/{missing[0]}")
        wrong = self._wrong(type, attributes, None) or (
            self._unenrollable(relations) if type == "sequenceState" else None
        )
        if wrong:
            return wrong
        if type == "task":
            attributes["state"] = "incomplete"
            subject = str(relations["subject"])
            relations |= {"prospect": subject.rpartition("/")[2]} if subject.startswith("prospect/") else {}
        if type == "sequenceState":
            attributes["state"] = "active"
        return Answer.of({"data": shown(self._new(type, attributes, relations), None, self.base_url)}, 201)

    def _patch(self, call: Call, type: str, id: str) -> Answer:
        row = self._found(type, id)
        if (call.json.get("data") or {}).get("id") != row["id"]:
            return self._error(400, "badRequest", "The id of the body does not match the id of the path.")
        attributes, relations = self._given(type, call)
        if wrong := self._wrong(type, attributes, row):
            return wrong
        self._change(row, attributes, relations)
        return Answer.of({"data": shown(row, None, self.base_url)})

    def _delete(self, call: Call, type: str, id: str) -> Answer:
        self._destroy(self._found(type, id))
        return Answer(204)

    def _given(self, type: str, call: Call) -> tuple[Row, Row]:
        """Attributes and relationships of a body; relationships as `type/id`."""
        data = call.json.get("data") if isinstance(call.json, dict) else None
        if not isinstance(data, dict) or data.get("type") != type:
            raise Refused(422, "validationError", "The body is no resource of this type.")
        kind, attributes = SCHEMA[type], dict(data.get("attributes") or {})
        for name in attributes:
            if name not in kind.attributes or kind.attributes[name].read_only:
                raise Refused(400, "permittedParams.unknownAttribute", f"Unknown attribute '{name}'.")
        relations: Row = {}
        for name, told in (data.get("relationships") or {}).items():
            if name not in kind.one:
                raise Refused(400, "permittedParams.unknownRelationship", f"Unknown relationship '{name}'.")
            relations[name] = self._pointed(kind.one[name], told.get("data"))
        return attributes, relations

    def _pointed(self, types: tuple[str, ...], data: Any) -> str | None:
        if data is None:
            return None
        if data.get("type") not in types or not isinstance(data.get("id"), int):
            raise Refused(400, "badRequest", "A relationship needs a type and an integer id.")
        if data["type"] in self.rows and data["id"] not in self.rows[data["type"]]:
            raise Refused(422, "validationError", f"{data['type'].title()} must exist")
        return f"{data['type']}/{data['id']}"

    def _invalid(self, detail: str, pointer: str = "/data") -> Answer:
        return self._error(422, "validationError", detail, pointer=pointer)

    def _wrong(self, type: str, attributes: Row, row: Row | None) -> Answer | None:
        for name, value in attributes.items():
            most = SCHEMA[type].attributes[name].length
            if isinstance(value, str) and len(value) > most:
                return self._invalid(f"{name} is too long (maximum is {most} characters)", f"/data/attributes/{name}")
        return self._taken(attributes.get("emails") or (), row) if type == "prospect" else None

    def _taken(self, emails: Any, row: Row | None) -> Answer | None:
        for email in emails:
            if email.partition("@")[2].lower() in self.excluded:
                return self._invalid("Contacts contact is using an excluded email address.")
            if "@" not in email:
                return self._invalid("Contacts email is invalid", "/data/attributes/emails")
            others = (r for r in self.rows["prospect"].values() if r is not row)
            if any(email.lower() in other["attributes"]["emails"] for other in others):
                known = "A Contact with this email_hash already exists."
                return self._invalid(known if row else "Contacts email hash has already been taken.")
        return None

    def _unenrollable(self, relations: Row) -> Answer | None:
        prospect, sequence = (int(relations[name].rpartition("/")[2]) for name in ("prospect", "sequence"))
        told = self.rows["sequence"][sequence]["attributes"]
        if told["locked"]:
            return self._invalid("Sequence is locked.")
        if self.rows["prospect"][prospect]["attributes"]["emailOptedOut"] and not told["transactional"]:
            return self._invalid("Prospect has opted out of emails.")
        pair = {"prospect": ["prospect", prospect], "sequence": ["sequence", sequence]}
        for state in self.rows["sequenceState"].values():
            if state["attributes"]["state"] == "active" and pair.items() <= state["relations"].items():
                return self._invalid("Prospect is already active in this sequence.")
        return None

    def _finish(self, call: Call, id: str) -> Answer:
        row = self.rows["sequenceState"].get(int(id))
        if row is None:
            return self._error(404, "resourceNotFound", "Could not find the sequence state.")
        self._change(row, {"state": "finished"}, {})
        return Answer.of({"data": shown(row, None, self.base_url)})

    def _destroy_all(self, call: Call) -> Answer:
        """Without ids it hits every prospect."""
        told = ((call.json or {}).get("data") or {}).get("attributes") or {}
        ids = told.get("ids") or list(self.rows["prospect"])
        for id in ids:
            self._destroy(self.rows["prospect"][int(id)])
        return Answer.of(
            {"data": {"type": "batch", "id": 1, "attributes": {"state": "finished", "total": len(ids)}}}, 201
        )

    # snapshots

    _KEPT = ("next_id", "used", "window", "access", "refresh", "minted", "age", "user", "mailbox")
    _KEPT_TOO = ("first_refresh", "stages", "deal_stages")

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in (*self._KEPT, *self._KEPT_TOO)}
        rows = {type: list(rows.values()) for type, rows in self.rows.items()}
        told: dict[str, Any] = orjson.loads(orjson.dumps({**kept, "rows": rows}))
        return told

    def restore(self, state: Mapping[str, Any]) -> None:
        for name in (*self._KEPT, *self._KEPT_TOO):
            setattr(self, name, state[name])
        self.rows = {type: {row["id"]: row for row in state["rows"].get(type, ())} for type in SCHEMA}


def _type(object: str) -> str:
    """The resource type of one of the connector's objects, or of a path."""
    return OBJECTS[object].type if object in OBJECTS else BY_PATH[object]


def _flat(row: Row) -> dict[str, Any]:
    tied = {name: str(told[1]) if told else None for name, told in row["relations"].items()}
    heads = {name: next(iter(row["attributes"].get(list) or ()), None) for name, list in LISTS.items()}
    return {"id": str(row["id"]), **row["attributes"], **tied, **(heads if row["type"] == "prospect" else {})}
