"""Outreach over HTTP (JSON:API): paths, payload shapes, limits, log-in and errors. Nobody else knows them.

Ids are numbers on the wire, text everywhere else here. Every call carries the JSON:API media type, or Outreach
answers 415.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from config.clock import Clock, unstamp
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from connectors import retry
from connectors.api import Account, Quota, Surroundings
from connectors.oauth import RenewedToken
from connectors.rest import Answer, Lane, Platform, Rest
from connectors.retry import GATEWAYS, asked_wait, last_word

VERSION = "v2"
HOST = "https://api.outreach.io"
BASE = f"/api/{VERSION}"
MEDIA = "application/vnd.api+json"
PAGE = 1000
IDS = 100
"""Ids or addresses in one filter, so that no address of a call grows too long."""
SCOPE = "scope"
"""The name under which the scopes of the last grant are kept."""

Resource = Mapping[str, Any]
"""A JSON:API resource: type, id, attributes, relationships."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list; `next` is path and query of the following one, '' on the last."""

    rows: Sequence[Resource]
    next: str = ""
    total: int | None = None


class Client:
    """One account, as the user who installed the app sees it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        hourly = float(account.settings.get("calls_per_hour") or 10_000)
        platform = Platform(
            "Outreach",
            HOST,
            lambda status, headers, told: classify(status, headers, told, surroundings.clock),
            # hours are fixed windows: rate and burst together stay a twentieth below the limit in any hour
            {"general": Lane(0.7 * hourly / 3600, max(1, int(0.25 * hourly))), "token": Lane(1 / 60, 1)},
            {"accept": MEDIA, "content-type": MEDIA},
        )
        self.rest = Rest(platform, account, surroundings)
        self.rest.credentials = RenewedToken(account, surroundings, self._exchange)

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What the last answer told of the hour. Two limits at once stand there as `9999, 19988`: the least counts."""
        limit, left = (_least(self.rest.told.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining"))
        return () if limit is None or left is None else (Quota("hour", max(0, limit - left), limit),)

    def scopes(self) -> set[str]:
        """The scopes of the last grant; empty where it did not tell."""
        return set((self._world.tokens.get(SCOPE) or "").split())

    def _exchange(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token call. A lost answer is asked for again after the minute in which there is no second token."""
        whole = {**form, "redirect_uri": str(self._account.auth.get("redirect_uri", ""))}
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        try:
            told: dict[str, Any] = self.rest.call(
                "POST", "/oauth/token", form=whole, headers=headers, lane="token", credentials=False
            ).told
        except InDoubt as error:
            raise RetryLater(error.what, after=60, connection=self._account.connection) from error
        except RecordRejected as error:
            raise AuthorizationLost(
                "Outreach refuses the refresh token.",
                fix="It ends after 14 idle days, and with the user's consent: connect the account again, by "
                f"`closedloop connect {self._account.connection}`.",
                connection=self._account.connection,
            ) from error
        if told.get("scope"):
            self._world.tokens.put(SCOPE, str(told["scope"]))
        return told

    # reading

    def rows(self, path: str, query: Mapping[str, Any]) -> Rows:
        """A page of `/prospects` and the like. `count=false` saves the platform the counting."""
        asked = {"page[size]": PAGE, "count": "false", **query}
        return self._rows(self.rest.get(f"{BASE}/{path}", asked), int(asked["page[size]"]))

    def following(self, link: str) -> Rows:
        """The page that `next` named."""
        return self._rows(self.rest.get(link), _size(link))

    def all(self, path: str, query: Mapping[str, Any]) -> Iterator[Resource]:
        """Every row of a list that is known to be short."""
        page = self.rows(path, query)
        yield from page.rows
        while page.next:
            page = self.following(page.next)
            yield from page.rows

    def by_ids(self, path: str, type: str, ids: Sequence[str], fields: Sequence[str]) -> Iterator[Resource]:
        """The records with these ids; those that are not there are left out."""
        known = [id for id in dict.fromkeys(ids) if id.isascii() and id.isdigit()]
        for start in range(0, len(known), IDS):
            some = ",".join(known[start : start + IDS])
            yield from self.all(path, {"filter[id]": some, f"fields[{type}]": ",".join(fields)})

    def by_emails(self, emails: Sequence[str], fields: Sequence[str]) -> Iterator[Resource]:
        """The prospects that have one of these addresses. A comma inside one is beyond the usual filter syntax."""
        sparse = {"fields[prospect]": ",".join(fields)}
        plain = [email for email in emails if "," not in email and ".." not in email]
        for start in range(0, len(plain), IDS):
            yield from self.all("prospects", {"filter[emails]": ",".join(plain[start : start + IDS]), **sparse})
        for email in emails:
            if email not in plain:
                yield from self.all("prospects", {"newFilterSyntax": "true", "filter[emails][]": email, **sparse})

    def related(self, path: str, type: str, filters: Mapping[str, Sequence[str]], fields: str) -> list[Resource]:
        """Rows whose relationships point at one of the ids; the first filter's ids are asked for in portions."""
        (name, ids), *others = filters.items()
        fixed = {f"filter[{other}][id]": ",".join(those) for other, those in others}
        found: list[Resource] = []
        for start in range(0, len(ids), IDS):
            some = {f"filter[{name}][id]": ",".join(ids[start : start + IDS])}
            found.extend(self.all(path, {**some, **fixed, f"fields[{type}]": fields}))
        return found

    def schema(self) -> Mapping[str, Any]:
        """The account's OpenAPI description (1.4 MB): the live attributes of every resource."""
        told = self.rest.get(f"{BASE}/schema/openapi.json", headers={"accept": "application/json"}).told
        schemas: Mapping[str, Any] = told["components"]["schemas"]
        return schemas

    def _rows(self, answer: Answer, size: int) -> Rows:
        told = answer.told
        if not isinstance(told, dict) or not isinstance(told.get("data"), list):
            raise RetryLater("Outreach's answer has an unknown shape.", connection=self._account.connection)
        meta, rows = told.get("meta") or {}, told["data"]
        total = meta.get("count") if not meta.get("count_truncated") else None
        return Rows(rows, _next((told.get("links") or {}).get("next"), rows, size), total)

    # writing

    def create(self, path: str, type: str, attributes: Mapping[str, Any], relations: Mapping[str, Any]) -> Resource:
        """The new resource. Its loss is InDoubt: asking twice would make two."""
        return self._written("POST", path, {"type": type, **_body(attributes, relations)}, repeatable=False)

    def update(
        self, path: str, type: str, id: str, attributes: Mapping[str, Any], relations: Mapping[str, Any]
    ) -> Resource:
        """The resource as it stands now. Asked again where the answer is lost; InDoubt where it stays lost."""
        data = {"type": type, "id": int(id), **_body(attributes, relations)}
        return self._written("PATCH", f"{path}/{id}", data, repeatable=True)

    def delete(self, path: str, id: str) -> None:
        """Gone afterwards, also where it was gone already. Asked again where the answer is lost."""
        try:
            self.rest.call("DELETE", f"{BASE}/{path}/{id}", repeatable=True, writes=True)
        except (RecordRejected, InDoubt) as error:
            if last_word(error).code != "resourceNotFound":
                raise

    def _written(self, method: str, path: str, data: Mapping[str, Any], *, repeatable: bool) -> Resource:
        body = orjson.dumps({"data": data})
        told = self.rest.call(method, f"{BASE}/{path}", content=body, repeatable=repeatable, writes=True).told
        if not isinstance(told, dict) or not isinstance(told.get("data"), dict):
            raise InDoubt("Outreach's answer to a write has an unknown shape.", connection=self._account.connection)
        resource: Resource = told["data"]
        return resource

    def close(self) -> None:
        self.rest.close()


def _body(attributes: Mapping[str, Any], relations: Mapping[str, Any]) -> dict[str, Any]:
    return {"attributes": dict(attributes), **({"relationships": dict(relations)} if relations else {})}


def _next(link: Any, rows: Sequence[Resource], size: int) -> str:
    """Path and query of the next page, whatever host the link names. Lists paged by offset (old apps) name a next
    page behind the last one, too: there, a page that is not full is the last."""
    if not link or not rows:
        return ""
    parts = urlsplit(str(link))
    if re.search(r"page(%5B|\[)offset", parts.query, re.IGNORECASE) and len(rows) < size:
        return ""
    return f"{parts.path}?{parts.query}"


def _size(link: str) -> int:
    """How many rows a page of this link may have; 50 where it does not say."""
    query = dict(parse_qsl(urlsplit(link).query))
    told = query.get("page[size]") or query.get("page[limit]") or ""
    return int(told) if told.isdigit() else 50


def _least(told: str | None) -> int | None:
    numbers = [int(word) for word in re.findall(r"\d+", told or "")]
    return min(numbers) if numbers else None


# what an answer says


def attribute(row: Resource, name: str) -> Any:
    return (row.get("attributes") or {}).get(name)


def related_id(row: Resource, name: str) -> str | None:
    """The id that a to-one relationship points at."""
    data = ((row.get("relationships") or {}).get(name) or {}).get("data")
    return str(data["id"]) if isinstance(data, dict) and data.get("id") is not None else None


def relation(type: str, id: Any) -> dict[str, Any]:
    """A relationship to write; None unties. RecordRejected where `id` is no number."""
    if id is None:
        return {"data": None}
    if not str(id).isascii() or not str(id).isdigit():
        raise RecordRejected("Outreach's ids are numbers.", fix="Correct the mapping.", field=type, code="invalid")
    return {"data": {"type": type, "id": int(id)}}


# errors

_RAILS = re.compile(
    r"(has already been taken|already exists|is too (?:long|short) \([^)]{0,60}\)|can't be blank|is invalid|must exist"
    r"|is not included in the list|is using an excluded email address|sequence is locked)",
    re.IGNORECASE,
)
"""What of a refusal's detail may be repeated: fixed words, never a value."""

_FIXES = {
    "duplicate": "Another prospect has this address: merge the two in Outreach.",
    "excluded": "The org's settings exclude this address or its domain.",
    "permittedParams.unknownAttribute": "This attribute cannot be written: correct the mapping.",
    "fieldsParameter.unknownResourceField": "There is no such attribute: correct the mapping.",
}


def classify(status: int, headers: Mapping[str, str], told: Any, clock: Clock) -> ClosedloopError:
    """A refusal as one of our errors."""
    first = _first(told)
    code, detail = str(first.get("id") or status), str(first.get("detail") or "")
    if status == 429:
        return _limited(headers, clock)
    if status == 503 and code == "scheduledServerMaintenance":
        return RetryLater("Outreach is under maintenance.", after=_until(headers, clock), code="maintenance")
    if status in GATEWAYS:
        return RetryLater(f"Outreach failed ({status}).", after=asked_wait(headers, 1.0), code="server_error")
    if status == 401:
        return AuthorizationLost("Outreach refuses the access token.", fix="Connect the account again.", code=code)
    if status == 403:
        scope = re.search(r"'([A-Za-z]+\.[a-z]+)'", detail)
        what = f"The connection lacks the scope {scope[1]}." if scope else "The user's profile does not allow this."
        fix = "Add the scope to the app and connect again." if scope else "Ask an admin of Outreach for the permission."
        return PermissionMissing(what, fix=fix, code=code)
    return _rejected(status, code, detail, _pointed(first))


def _first(told: Any) -> Mapping[str, Any]:
    errors = told.get("errors") if isinstance(told, dict) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return errors[0]
    return {"id": told["error"]} if isinstance(told, dict) and isinstance(told.get("error"), str) else {}


def _limited(headers: Mapping[str, str], clock: Clock) -> ClosedloopError:
    """The hour's limit opens at `X-RateLimit-Reset`. A short wait is waited for, a long one ends the run's calls."""
    reset = _least(headers.get("x-ratelimit-reset"))
    wait = asked_wait(headers, 0.0)
    if not wait and reset is not None:
        wait = min(max(0.0, reset - clock.now().timestamp()), 3600.0)
    if wait > retry.LONGEST_WAIT:
        until = clock.now() + timedelta(seconds=wait)
        return QuotaExhausted("The hour's calls to Outreach are used up.", until=until, code="rate_limit")
    return RetryLater("Outreach asks to slow down.", after=wait or 30.0, code="rate_limit")


def _until(headers: Mapping[str, str], clock: Clock) -> float:
    """Maintenance tells its end as an instant, not in seconds."""
    try:
        return max(1.0, (unstamp(str(headers.get("retry-after"))) - clock.now()).total_seconds())
    except ValueError:
        return asked_wait(headers, 300.0)


def _pointed(first: Mapping[str, Any]) -> str:
    pointer = str((first.get("source") or {}).get("pointer") or "")
    name = pointer.rpartition("/")[2] if "/attributes/" in pointer or "/relationships/" in pointer else ""
    return "email" if name == "emails" else name


def _rejected(status: int, code: str, detail: str, field: str) -> RecordRejected:
    words = _RAILS.search(detail)
    if code in _FIXES and "unknown" in code and (named := re.search(r"['\"`](\w{1,80})['\"`]", detail)):
        field = named[1]  # the name of a field, as the mapping has it
    taken = words is not None and words[1].lower() in ("has already been taken", "already exists")
    if code == "validationDuplicateValueError" or taken:
        code, field = "duplicate", field or "email"
    elif words and "excluded" in words[1]:
        code, field = "excluded", field or "email"
    said = f": {words[1]}" if words else ""
    return RecordRejected(
        f"Outreach refuses this ({status} {code}){said}.", fix=_FIXES.get(code, ""), field=field, code=code
    )
