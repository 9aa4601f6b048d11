"""Calendly over HTTP: paths, payload shapes, limits, log-in and errors. Nobody else knows them.

Things are named by their full addresses (URIs), which always tell Calendly's own host, whatever host is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    PermissionMissing,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Account, Quota, Surroundings
from connectors.oauth import RenewedToken
from connectors.rest import Lane, Platform, Rest
from connectors.retry import GATEWAYS, asked_wait

HOST = "https://api.calendly.com"
LOGIN = "https://auth.calendly.com"
PAGE = 100
"""Rows of a page; more is refused."""
EMAILS = 100
"""Addresses in one request for erasure."""
SCOPE = "scope"
"""The name under which the scopes of the last grant are kept."""
GONE = "not_found"
BAD_PAGE = "page_token"

Resource = Mapping[str, Any]
"""A thing as Calendly tells it, its `uri` included."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list; `next` is the token of the following one, '' on the last."""

    rows: Sequence[Resource]
    next: str = ""


class _Standing:
    """`connectors.rest.Credentials` of a personal access token: there is no other."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token.reveal()}"}

    def renew(self) -> bool:
        return False


class Client:
    """One account, as the token's user sees it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        limit = float(account.settings.get("calls_per_minute") or 500)
        # minutes may be fixed windows: rate and burst together stay a twentieth below the limit in any of them
        lanes = {"general": Lane(0.7 * limit / 60, max(1, int(0.25 * limit)))}
        self.rest = Rest(Platform("Calendly", HOST, classify, lanes), account, surroundings)
        login = Platform("Calendly", LOGIN, classify, {"token": Lane(8 / 60, 1)})
        self._login = Rest(login, account, surroundings)
        token = account.auth.get("access_token")
        self.rest.credentials = (
            _Standing(token if isinstance(token, Secret) else Secret(token))
            if token
            else RenewedToken(account, surroundings, self._exchange)
        )
        self._me: Resource | None = None

    @property
    def calls(self) -> int:
        return self.rest.calls + self._login.calls

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What the last answer told of the minute."""
        limit, left = (self.rest.told.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining"))
        if not (limit.isdigit() and left.isdigit()):
            return ()
        return (Quota("minute", max(0, int(limit) - int(left)), int(limit)),)

    def scopes(self) -> set[str]:
        """The scopes of the last grant; empty where it did not tell, or told of the time before scopes (`default`)."""
        return set((self._world.tokens.get(SCOPE) or "").split()) - {"default"}

    def close(self) -> None:
        self.rest.close()
        self._login.close()

    def _exchange(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token call. Where its answer is lost, so may be the refresh token: the next try tells."""
        try:
            told: dict[str, Any] = self._login.call(
                "POST", "/oauth/token", form=form, lane="token", credentials=False
            ).told
        except InDoubt as error:
            raise RetryLater(error.what, after=10, connection=self._account.connection) from error
        except RecordRejected as error:
            raise AuthorizationLost(
                "Calendly refuses the refresh token.",
                fix="It works once, and ends with the user's consent: connect the account again, by "
                f"`closedloop connect {self._account.connection}`.",
                connection=self._account.connection,
            ) from error
        if told.get("scope"):
            self._world.tokens.put(SCOPE, str(told["scope"]))
        return told

    # reading

    def me(self, *, anew: bool = False) -> Resource:
        """The token's user, asked for once, or `anew`."""
        if self._me is None or anew:
            self._me = self.one("/users/me")
        return self._me

    def whose(self) -> dict[str, str]:
        """Whose things lists are asked for: the organization's, or the user's own."""
        if self._account.settings.get("whose") == "user":
            return {"user": str(self.me()["uri"])}
        return {"organization": str(self.me()["current_organization"])}

    def one(self, path: str) -> Resource:
        """The thing at `path`. Raises RecordRejected with code `not_found`."""
        told = self.rest.get(path).told
        if not isinstance(told, dict) or not isinstance(told.get("resource"), dict):
            raise self._odd()
        resource: Resource = told["resource"]
        return resource

    def found(self, path: str) -> Resource | None:
        """The thing at `path`; None where there is none, or none that this user may see."""
        try:
            return self.one(path)
        except RecordRejected as error:
            if error.code != GONE:
                raise
            return None

    def rows(self, path: str, query: Mapping[str, Any], token: str = "") -> Rows:
        """A page of the list at `path`."""
        asked = {"count": PAGE, **query, **({"page_token": token} if token else {})}
        told = self.rest.get(path, asked).told
        if not isinstance(told, dict) or not isinstance(told.get("collection"), list):
            raise self._odd()
        return Rows(told["collection"], _next(told.get("pagination") or {}))

    def all(self, path: str, query: Mapping[str, Any]) -> Iterator[Resource]:
        """Every row of a list."""
        page = self.rows(path, query)
        yield from page.rows
        while page.next:
            page = self.rows(path, query, page.next)
            yield from page.rows

    def members(self) -> Iterator[Resource]:
        """The users of the organization, or the token's user alone."""
        whose = self.whose()
        if "user" in whose:
            yield self.me()
            return
        for membership in self.all("/organization_memberships", whose):
            yield membership["user"]

    def event_types(self) -> Iterator[Resource]:
        return self.all("/event_types", self.whose())

    def events(self, start: str, end: str, token: str = "", count: int = PAGE) -> Rows:
        """Events by their start, active and cancelled ones, from `start` to `end` (stamps; '' for no limit)."""
        limits = {"min_start_time": start, "max_start_time": end}
        query = {"sort": "start_time:asc", "count": count, **{name: at for name, at in limits.items() if at}}
        return self.rows("/scheduled_events", {**self.whose(), **query}, token)

    def events_of(self, email: str) -> Iterator[Resource]:
        """Events that the address is invited to, the latest first."""
        query = {"invitee_email": email, "sort": "start_time:desc"}
        return self.all("/scheduled_events", {**self.whose(), **query})

    def invitees(self, event: str, **query: str) -> list[Resource]:
        """Everyone who booked the event with this uuid, those who cancelled included; nobody where it was erased."""
        try:
            return list(self.all(f"/scheduled_events/{event}/invitees", {"sort": "created_at:asc", **query}))
        except RecordRejected as error:
            if error.code != GONE:
                raise
            return []

    def _odd(self) -> RetryLater:
        return RetryLater("Calendly's answer has an unknown shape.", connection=self._account.connection)

    # erasing

    def erase(self, emails: Sequence[str]) -> None:
        """Ask for all data of these invitees to be deleted; it takes up to seven days. Asking again changes nothing."""
        path = "/data_compliance/deletion/invitees"
        self.rest.call("POST", path, json={"emails": list(emails)}, repeatable=True, writes=True)


def _next(pagination: Mapping[str, Any]) -> str:
    """The next page's token, which older answers tell within a link only."""
    if "next_page_token" in pagination:
        return str(pagination["next_page_token"] or "")
    query = parse_qs(urlsplit(str(pagination.get("next_page") or "")).query)
    return query.get("page_token", [""])[0]


# names of things


def uuid(uri: Any) -> str:
    """The last part of an address; '' where there is none."""
    return str(uri or "").rstrip("/").rpartition("/")[2]


_INVITEE = re.compile(r"/scheduled_events/([^/]+)/invitees/([^/?]+)")


def invitee_id(uri: Any) -> str:
    """`EVENT:INVITEE` of an invitee's address; '' where it is none."""
    found = _INVITEE.search(str(uri or ""))
    return f"{found[1]}:{found[2]}" if found else ""


def invitee_path(id: str) -> str:
    """The path of the invitee with the id `EVENT:INVITEE`; '' where it is none."""
    found = re.fullmatch(r"([\w-]+):([\w-]+)", id)
    return f"/scheduled_events/{found[1]}/invitees/{found[2]}" if found else ""


# errors

_PLAN = re.compile(r"\bupgrade\b", re.IGNORECASE)
_SCOPE = re.compile(r"\b([a-z_]+:(?:read|write))\b")
_ROLE = "Give the token the scope; lists of the whole organization also need an owner or admin (or whose: user)."
_CODES = {404: GONE, 409: "already_exists"}


def classify(status: int, headers: Mapping[str, str], told: Any) -> ClosedloopError:
    """A refusal as one of our errors. Of its words only fixed ones and names of parameters are repeated."""
    body = told if isinstance(told, dict) else {}
    if status == 429:
        return RetryLater("Calendly asks to slow down.", after=_reset(headers), code="rate_limit")
    if status in GATEWAYS or status == 424:
        return RetryLater(f"Calendly failed ({status}).", after=asked_wait(headers, 1.0), code="server_error")
    if status == 401:
        fix = "Make a new token, or connect the account again."
        return AuthorizationLost("Calendly refuses the access token.", fix=fix, code="unauthenticated")
    if status == 403:
        return _forbidden(str(body.get("message") or ""))
    return _rejected(status, body)


def _reset(headers: Mapping[str, str]) -> float:
    """Seconds until the minute is over. `X-RateLimit-Reset` tells seconds left, not an instant."""
    told = str(headers.get("x-ratelimit-reset") or "").strip()
    wait = float(told) if told.isascii() and told.isdigit() else asked_wait(headers, 30.0)
    return min(max(wait, 1.0), 60.0)


def _forbidden(message: str) -> PermissionMissing:
    if _PLAN.search(message):
        return PermissionMissing("Calendly's plan does not include this.", fix="Upgrade the plan.", code="plan")
    scope = _SCOPE.search(message)
    what = f"The connection lacks the scope {scope[1]}." if scope else "Calendly does not allow this."
    return PermissionMissing(what, fix=_ROLE, code="permission_denied")


def _rejected(status: int, body: Mapping[str, Any]) -> RecordRejected:
    details = body.get("details")
    named = [str(row.get("parameter") or "") for row in details or () if isinstance(row, dict)] if details else []
    field = next((name for name in named if re.fullmatch(r"[\w.]{1,60}", name)), "")
    code = _CODES.get(status, BAD_PAGE if field == BAD_PAGE else "invalid")
    said = f": {field}" if field else ""
    return RecordRejected(f"Calendly refuses this ({status}){said}.", field=field, code=code)
