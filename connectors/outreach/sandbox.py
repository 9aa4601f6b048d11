"""Outreach's sandbox: an org in memory with Outreach's own awkward habits.

Ids are numbers; the JSON:API media type is demanded; a refresh token works once; one access token a minute; the hour's
limit stands in headers as `9999, 19988`; addresses are unique; lists are replaced as wholes; microseconds in filters
are refused; counts are told on demand only; an answer to a webhook, whatever it is, counts as delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from connectors.outreach.client import MEDIA
from connectors.outreach.sandbox_list import Refused, Row, matching, page, shown, sparse
from connectors.outreach.sandbox_login import APP, Login
from connectors.outreach.sandbox_schema import BY_PATH, SCHEMA, openapi
from connectors.outreach.sandbox_store import Store, flat, type_of
from connectors.sandbox import Answer, Call, Sandbox

HOUR = 3600
HOOK_SECRET = "sandbox-webhook-secret"
_CREATED = ("prospect", "account", "task", "call", "opportunity", "sequenceState", "opportunityProspectRole", "webhook")
_REQUIRED = {
    "task": ("owner", "subject"),
    "sequenceState": ("prospect", "sequence", "mailbox"),
    "opportunityProspectRole": ("opportunity", "prospect"),
}
_ALL = tuple(f"{kind.path}.all" for kind in SCHEMA.values())


class OutreachSandbox(Sandbox):
    """An org with one app and one user who installed it.

    Switches: `by_offset` (an app of before October 2024), `hides_trash` (lists leave trashed rows out),
    `unsubscribe_bumps` (the link in a mail moves the prospect's updatedAt), `hourly`, `excluded` (domains),
    `maintenance` (an instant until which all is closed); `login.rotates`, `login.scopes`; `store.granular`,
    `store.bump_on_no_change`.
    """

    name = "outreach"

    def __init__(self, **options: Any) -> None:
        self.by_offset = self.hides_trash = False
        self.unsubscribe_bumps = True
        self.hourly, self.used, self.window = 10_000, 0, 0
        self.excluded: set[str] = set()
        self.maintenance = ""
        self.age = 0  # of page cursors
        super().__init__(**options)
        self.store = Store(self.clock)
        self.login = Login(self.clock, self.random, scopes=" ".join(_ALL))
        self.login.found()
        self.consents = self.login.consents
        self.user = self.put("users", {"email": "rita.ortega@example.com", "name": "Rita Ortega"})
        self.mailbox = self.put("mailboxes", {"email": "rita.ortega@example.com", "user": self.user})
        self.stages = {name: self.put("stages", {"name": name}) for name in ("New", "Engaged", "Bad fit")}
        closed = {"Discovery": False, "Proposal": False, "Closed Won": True, "Closed Lost": True}
        self.deal_stages = {
            name: self.put("opportunityStages", {"name": name, "isClosed": end}) for name, end in closed.items()
        }

    def account(self) -> dict[str, Any]:
        secrets = {"refresh_token": self.login.first, "webhook_secret": HOOK_SECRET}
        return {
            "auth": {"mode": "oauth", **APP, **secrets},
            "settings": {"mailbox": self.mailbox, "task_owner": self.user},
        }

    def route(self) -> None:
        self.on("GET", "/oauth/authorize", lambda call: self.login.consents.page(call))
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
            return str(self.store.new(type_of(object), *self.store.split(type_of(object), values), at)["id"])

    def edit(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        with self.lock:
            row = self.store.rows[type_of(object)][int(id)]
            self.store.change(row, *self.store.split(row["type"], values))

    def remove(self, object: str, id: str) -> None:
        """Trash a prospect or an opportunity; destroy anything else."""
        with self.lock:
            row = self.store.rows[type_of(object)][int(id)]
            if "trashedAt" in row["attributes"]:
                self.store.change(row, {"trashedAt": self.store.now()}, {})
            else:
                self.store.destroy(row)

    def get(self, object: str, id: str) -> dict[str, Any]:
        """Attributes, first addresses and numbers, and relationships by id; {} where there is none."""
        row = self.store.rows[type_of(object)].get(int(id))
        return flat(row) if row else {}

    def all(self, object: str) -> list[dict[str, Any]]:
        return [
            flat(row) for row in self.store.rows[type_of(object)].values() if not row["attributes"].get("trashedAt")
        ]

    def merge(self, winner: str, loser: str) -> None:
        """Merge two prospects: the loser is destroyed, the winner gets its addresses and moves."""
        with self.lock:
            one, other = (self.store.rows["prospect"][int(id)] for id in (winner, loser))
            emails = [*one["attributes"]["emails"], *other["attributes"]["emails"]]
            self.store.destroy(other)
            self.store.change(one, {"emails": emails}, {})

    def mail(self, prospect: str, subject: str, *, sequence: str = "", at: str = "") -> str:
        """A mailing is delivered to a prospect; its id."""
        values = {
            "subject": subject,
            "state": "delivered",
            "deliveredAt": at or self.store.now(),
            "mailingType": "sequence" if sequence else "single",
        }
        return self.put("mailings", {**values, "prospect": prospect, "sequence": sequence or None}, at=at)

    def happen(self, mailing: str, what: str, at: str = "") -> None:
        """`what` is opened, clicked, replied, bounced or unsubscribed."""
        with self.lock:
            row, at = self.store.rows["mailing"][int(mailing)], at or self.store.now()
            counts = {"opened": "openCount", "clicked": "clickCount"}
            counted = {counts[what]: row["attributes"][counts[what]] + 1} if what in counts else {}
            self.store.change(row, {f"{what}At": at, "stateChangedAt": at, **counted}, {})
            self.store.event(f"mailing_{what}", row, at)
            if what == "unsubscribed":
                self._unsubscribe(row["relations"]["prospect"][1], at)

    def _unsubscribe(self, prospect: int, at: str) -> None:
        row = self.store.rows["prospect"][prospect]
        stood = row["attributes"]["updatedAt"]
        self.store.change(row, {"emailOptedOut": True} if self.store.granular else {"optedOut": True}, {})
        if not self.unsubscribe_bumps:
            row["attributes"]["updatedAt"] = stood
        for address in self.store.rows["emailAddress"].values():
            if address["relations"]["prospect"] == ["prospect", prospect]:
                self.store.change(address, {"unsubscribedAt": at}, {})

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
        told = {
            "resource": resource,
            "action": action,
            "secret": HOOK_SECRET,
            "active": True,
            "payloadVersion": version,
        }
        return str(self.store.new("webhook", {**told, "url": "https://closedloop.example/outreach"})["id"])

    def deliver(self, receiver: Callable[[Mapping[str, str], bytes], int | None]) -> int:
        """Send what waits; the number of attempts. No answer (None) is tried four times, any answer is enough."""
        attempts = 0
        for waiting in self.store.deliveries:
            for _ in range(4):
                attempts += 1
                if receiver(waiting["headers"], waiting["body"]) is not None:
                    break
        self.store.deliveries.clear()
        return attempts

    def forget_cursors(self) -> None:
        """Page cursors handed out until now are refused from now on."""
        self.age += 1

    # log-in and limits

    def _grant(self, call: Call) -> Answer:
        told = self.login.grant(call.form)
        return told or self._error(429, "rateLimitExceeded", "One token per minute.", {"Retry-After": "60"})

    def before(self, call: Call) -> Answer | None:
        if call.path.startswith("/oauth/"):
            return None
        if self.maintenance > self.store.now():
            return self._error(503, "scheduledServerMaintenance", "Maintenance.", {"Retry-After": self.maintenance})
        if not self.login.opens(call.headers.get("authorization", "").removeprefix("Bearer ")):
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
        if call.path.startswith("/oauth/"):
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
            if not {scope, f"{path}.all"} & set(self.login.scopes.split()):
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
        rows = [r for r in self.store.rows[type].values() if not (hidden and r["attributes"].get("trashedAt"))]
        found = matching(type, rows, call.query)
        told = page(type, found, call.query, self.base_url + call.path, self.age, self.by_offset)
        return Answer.of({**told, "data": [shown(row, names, self.base_url) for row in told["data"]]})

    def _get(self, call: Call, type: str, id: str) -> Answer:
        row = self._found(type, id)
        return Answer.of({"data": shown(row, sparse(type, call.query), self.base_url)})

    def _found(self, type: str, id: str) -> Row:
        row = self.store.rows[type].get(int(id)) if id.isdigit() else None
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
        return Answer.of({"data": shown(self.store.new(type, attributes, relations), None, self.base_url)}, 201)

    def _patch(self, call: Call, type: str, id: str) -> Answer:
        row = self._found(type, id)
        if (call.json.get("data") or {}).get("id") != row["id"]:
            return self._error(400, "badRequest", "The id of the body does not match the id of the path.")
        attributes, relations = self._given(type, call)
        if wrong := self._wrong(type, attributes, row):
            return wrong
        self.store.change(row, attributes, relations)
        return Answer.of({"data": shown(row, None, self.base_url)})

    def _delete(self, call: Call, type: str, id: str) -> Answer:
        self.store.destroy(self._found(type, id))
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
        if data["type"] in self.store.rows and data["id"] not in self.store.rows[data["type"]]:
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
            others = (r for r in self.store.rows["prospect"].values() if r is not row)
            if any(email.lower() in other["attributes"]["emails"] for other in others):
                known = "A Contact with this email_hash already exists."
                return self._invalid(known if row else "Contacts email hash has already been taken.")
        return None

    def _unenrollable(self, relations: Row) -> Answer | None:
        prospect, sequence = (int(relations[name].rpartition("/")[2]) for name in ("prospect", "sequence"))
        told = self.store.rows["sequence"][sequence]["attributes"]
        if told["locked"]:
            return self._invalid("Sequence is locked.")
        if self.store.rows["prospect"][prospect]["attributes"]["emailOptedOut"] and not told["transactional"]:
            return self._invalid("Prospect has opted out of emails.")
        pair = {"prospect": ["prospect", prospect], "sequence": ["sequence", sequence]}
        for state in self.store.rows["sequenceState"].values():
            if state["attributes"]["state"] == "active" and pair.items() <= state["relations"].items():
                return self._invalid("Prospect is already active in this sequence.")
        return None

    def _finish(self, call: Call, id: str) -> Answer:
        row = self.store.rows["sequenceState"].get(int(id))
        if row is None:
            return self._error(404, "resourceNotFound", "Could not find the sequence state.")
        self.store.change(row, {"state": "finished"}, {})
        return Answer.of({"data": shown(row, None, self.base_url)})

    def _destroy_all(self, call: Call) -> Answer:
        """Without ids it hits every prospect."""
        told = ((call.json or {}).get("data") or {}).get("attributes") or {}
        ids = told.get("ids") or list(self.store.rows["prospect"])
        for id in ids:
            self.store.destroy(self.store.rows["prospect"][int(id)])
        return Answer.of(
            {"data": {"type": "batch", "id": 1, "attributes": {"state": "finished", "total": len(ids)}}}, 201
        )

    # snapshots

    _KEPT = ("used", "window", "age", "user", "mailbox", "stages", "deal_stages")

    def snapshot(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self._KEPT}
        login = {name: getattr(self.login, name) for name in ("first", "access", "refresh", "minted", "scopes")}
        rows = {type: list(rows.values()) for type, rows in self.store.rows.items()}
        told = {**kept, "login": login, "rows": rows, "next_id": self.store.next_id, "random": self.random.getstate()}
        copied: dict[str, Any] = orjson.loads(orjson.dumps(told))
        return copied

    def restore(self, state: Mapping[str, Any]) -> None:
        state = orjson.loads(orjson.dumps(state))
        for name in self._KEPT:
            setattr(self, name, state[name])
        for name, value in state["login"].items():
            setattr(self.login, name, value)
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))
        self.store.rows = {type: {row["id"]: row for row in state["rows"].get(type, ())} for type in SCHEMA}
        self.store.next_id = state["next_id"]
