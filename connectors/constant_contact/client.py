"""Constant Contact over HTTP: paths, payload shapes, limits, log-in and errors. Nobody else knows them.

The limits are the app's, over all accounts that it speaks for, and no header tells how much of them is left.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from config.clock import Clock
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Account, Surroundings
from connectors.oauth import RenewedToken
from connectors.rest import Answer, Lane, Platform, Rest
from connectors.retry import GATEWAYS, asked_wait, last_word

TITLE = "Constant Contact"
VERSION = "v3"
HOST = "https://api.cc.email"
LOGIN = "https://authz.constantcontact.com"
TOKEN = "/oauth2/default/v1/token"
BASE = f"/{VERSION}"
PAGE = 500
STATS = 150
"""Campaigns in one call for figures."""
SCOPE = "scope"
"""The name under which the scopes of the last grant are kept."""
DELETED = "deleted_at"

Row = Mapping[str, Any]
"""A member of a list, or a single resource."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list; `next` is path and query of the following one, '' on the last."""

    rows: Sequence[Row]
    next: str = ""
    total: int | None = None


class Client:
    """One account, as the user who connected the app sees it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        app = hashlib.sha256(self._auth("client_id").encode()).hexdigest()[:16]
        rate = 0.9 * float(account.settings.get("calls_per_second") or 4)
        sorted_out = partial(classify, clock=surroundings.clock)
        self.rest = Rest(
            Platform(TITLE, HOST, sorted_out, {"general": Lane(rate, 1, app)}),
            account,
            surroundings,
        )
        self._login = Rest(Platform(TITLE, LOGIN, sorted_out, {"token": Lane(0.9, 1, app)}), account, surroundings)
        self.rest.credentials = RenewedToken(account, surroundings, self._exchange)

    @property
    def calls(self) -> int:
        return self.rest.calls + self._login.calls

    @property
    def connection(self) -> str:
        return self._account.connection

    def close(self) -> None:
        self.rest.close()
        self._login.close()

    def scopes(self) -> set[str]:
        """The scopes of the last grant; empty where it did not tell."""
        return set((self._world.tokens.get(SCOPE) or "").split())

    def _auth(self, name: str) -> str:
        value = self._account.auth.get(name, "")
        return value.reveal() if isinstance(value, Secret) else str(value)

    def _exchange(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token call. An app with a secret shows it in the header; one without (PKCE) tells its id in the form."""
        given = {name: value for name, value in form.items() if name not in ("client_id", "client_secret")}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if self._auth("client_secret"):
            pair = f"{self._auth('client_id')}:{self._auth('client_secret')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            given["client_id"] = self._auth("client_id")
        try:
            told = self._login.call("POST", TOKEN, form=given, headers=headers, lane="token", credentials=False).told
        except InDoubt as error:
            raise RetryLater(error.what, after=2, connection=self.connection) from error
        except RecordRejected as error:
            raise AuthorizationLost(
                "Constant Contact refuses the refresh token.",
                fix="It ends after 180 idle days, or when a newer one was handed out: connect the account again, by "
                f"`closedloop connect {self.connection}`.",
                connection=self.connection,
            ) from error
        if not isinstance(told, dict):
            raise RetryLater("Constant Contact's log-in has an unknown shape.", connection=self.connection)
        if told.get("scope"):
            self._world.tokens.put(SCOPE, str(told["scope"]))
        return told

    # reading

    def one(self, path: str, query: Mapping[str, Any] | None = None) -> Row:
        """The resource at `path`. RecordRejected with the code "not_found" where there is none."""
        told = self.rest.get(f"{BASE}/{path}", query).told
        if not isinstance(told, dict):
            raise self._odd()
        return told

    def rows(self, path: str, name: str, query: Mapping[str, Any]) -> Rows:
        """A page of the list that the answer holds under `name`."""
        return self._rows(self.rest.get(f"{BASE}/{path}", {"limit": PAGE, **query}), name)

    def following(self, link: str, name: str) -> Rows:
        """The page that `next` named; everything of the first call is in the link."""
        return self._rows(self.rest.get(link), name)

    def all(self, path: str, name: str, query: Mapping[str, Any]) -> Iterator[Row]:
        """Every row of a list that is known to be short."""
        page = self.rows(path, name, query)
        yield from page.rows
        while page.next:
            page = self.following(page.next, name)
            yield from page.rows

    def contact(self, id: str, include: Sequence[str]) -> Row | None:
        """The contact, also a deleted one; None where there is none."""
        if not _ID.fullmatch(id):
            return None
        try:
            told = self.one(f"contacts/{id}", _included(include))
        except RecordRejected as error:
            if error.code != "not_found":
                raise
            return None
        return told if told.get("contact_id") else None

    def contact_of(self, email: str, include: Sequence[str]) -> Row | None:
        """The contact with this address, whatever its status; None where there is none."""
        query = {"email": email, "status": "all", **_included(include)}
        found = [row for row in self.rows("contacts", "contacts", query).rows if address_of(row) == email.lower()]
        return next(iter(found), None)

    def stats(self, campaigns: Sequence[str]) -> dict[str, Row]:
        """The figures of each campaign. One that is not known makes the whole call a 404: those are asked in halves."""
        if not campaigns:
            return {}
        path = f"reports/stats/email_campaigns/{','.join(campaigns)}"
        try:
            told = self.one(path)
        except RecordRejected as error:
            if error.code != "not_found":
                raise
            half = len(campaigns) // 2
            return {**self.stats(campaigns[:half]), **self.stats(campaigns[half:])} if half else {}
        return {str(row["campaign_id"]): row.get("stats") or {} for row in told.get("results") or ()}

    def _rows(self, answer: Answer, name: str) -> Rows:
        told = answer.told
        rows = told.get(name) if isinstance(told, dict) else None
        if not isinstance(told, dict) or not (rows is None or isinstance(rows, list)):
            raise self._odd()
        href = ((told.get("_links") or {}).get("next") or {}).get("href")
        total = told.get("contacts_count")
        return Rows(rows or [], _path(href), total if isinstance(total, int) else None)

    def _odd(self) -> RetryLater:
        return RetryLater("Constant Contact's answer has an unknown shape.", after=60, connection=self.connection)

    # writing

    def write(self, method: str, path: str, body: Mapping[str, Any]) -> Row:
        """What the platform answers to a write. Its loss is InDoubt."""
        told = self.rest.call(method, f"{BASE}/{path}", json=body).told
        if not isinstance(told, dict):
            raise InDoubt("Constant Contact's answer to a write has an unknown shape.", connection=self.connection)
        return told

    def delete(self, id: str) -> None:
        """In the list of the deleted afterwards, also where it was there already. Asked again where the answer is
        lost."""
        if not _ID.fullmatch(id):
            return
        try:
            self.rest.call("DELETE", f"{BASE}/contacts/{id}", repeatable=True, writes=True)
        except (RecordRejected, InDoubt) as error:
            if last_word(error).code != "not_found":
                raise


def _included(include: Sequence[str]) -> dict[str, str]:
    return {"include": ",".join(include)} if include else {}


def _path(href: Any) -> str:
    """Path and query of a link, whatever host it names."""
    if not href:
        return ""
    parts = urlsplit(str(href))
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def address_of(row: Row) -> str:
    """The contact's address in lower case; '' where it has none."""
    return str((row.get("email_address") or {}).get("address") or "").lower()


# errors

_WORDS = re.compile(
    r"(is not unique|already exists|expected maxLength: \d{1,6}|expected type: \w{1,20}|expected maxItems: \d{1,6}"
    r"|is required|must not be blank|is invalid|is not valid)",
    re.IGNORECASE,
)
"""What of a refusal's text may be repeated: fixed words, never a value."""
_FIELD = re.compile(
    r"\b(email_address|first_name|last_name|job_title|company_name|birthday_month|birthday_day|anniversary"
    r"|custom_fields|phone_numbers|street_addresses|list_memberships|taggings|permission_to_send|update_source)\b"
)
_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
"""All ids are UUIDs."""


_REFUSED = "Check the app's id and secret, or connect the account again, by `closedloop connect`."


def classify(status: int, headers: Mapping[str, str], told: Any, *, clock: Clock) -> ClosedloopError:
    """A refusal as one of our errors. Bodies are a list of errors, or one error alone (log-in, reports)."""
    first = _first(told)
    code = str(first.get("error_key") or first.get("error") or status)
    text = str(first.get("error_message") or first.get("error_description") or "")
    if status == 429:
        return _limited(code, text, headers, clock)
    if status in GATEWAYS:
        return RetryLater(f"Constant Contact failed ({status}).", after=asked_wait(headers, 1.0), code="server_error")
    if status == 401:
        return AuthorizationLost("Constant Contact refuses the log-in.", fix=_REFUSED, code=code)
    if status == 403:
        return PermissionMissing(
            "The app lacks a scope, the user a privilege, or the account is closed.",
            fix="`closedloop check --online` names what is missing; ask the account's owner.",
            code=code,
        )
    return _rejected(status, code, text)


def _first(told: Any) -> Mapping[str, Any]:
    found = told[0] if isinstance(told, list) and told else told
    return found if isinstance(found, dict) else {}


def _limited(code: str, text: str, headers: Mapping[str, str], clock: Clock) -> ClosedloopError:
    """Neither says how long: a second for the one, until the day ends (UTC) for the other."""
    if "quota" in code.lower() or "limit exceeded" in text.lower():
        tomorrow = datetime.combine(clock.now().astimezone(UTC).date() + timedelta(days=1), time(), UTC)
        what = "The day's calls of the app to Constant Contact are used up."
        return QuotaExhausted(what, until=tomorrow, code="quota")
    return RetryLater("Constant Contact asks to slow down.", after=asked_wait(headers, 1.0), code="rate_limit")


def _rejected(status: int, code: str, text: str) -> RecordRejected:
    words, field = _WORDS.search(text), _FIELD.search(text)
    name = field[1] if field else ""
    fix = ""
    if status == 404:
        code = "not_found"
    if status == 409:
        taken = words is not None and words[1].lower() in ("is not unique", "already exists")
        code, name = ("duplicate", "email") if taken or "already exists" in text.lower() else ("conflict", name)
        fix = "Another contact has this address: merge the two by hand." if taken else ""
    there = _ID.search(text) if code == "duplicate" else None
    said = f": {words[1]}" if words else ""
    return RecordRejected(
        f"Constant Contact refuses this ({status} {code}){said}.",
        fix=fix,
        field="email" if name == "email_address" else name,
        record=there[0] if there else "",
        code=code,
    )
