"""ActiveCampaign over HTTP: paths, payload shapes, limits and errors. Nobody else knows them.

Ids and figures are text in lists, numbers in answers to writes: ids are text everywhere else here. A list stands under
its plural name, beside rows of whatever was asked to be included, all on the top level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Account, Quota, Surroundings
from connectors.rest import Answer, Lane, Platform, Rest
from connectors.retry import GATEWAYS, asked_wait, last_word

BASE = "/api/3"
PAGE = 100
IDS = 100
"""Ids in one filter, as many as a page has rows."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list: its rows, the whole answer (`beside`), how many rows there are in all where that is told."""

    rows: Sequence[Row]
    beside: Mapping[str, Any] = field(default_factory=dict)
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """`connectors.rest.Credentials` for a key that never changes."""

    secret: Secret

    def headers(self) -> dict[str, str]:
        return {"Api-Token": self.secret.reveal()}

    def renew(self) -> bool:
        return False


class Client:
    """One account, as the user whose key it is sees it."""

    def __init__(self, account: Account, surroundings: Surroundings, host: str, key: Secret) -> None:
        self._connection = account.connection
        rate = float(account.settings.get("calls_per_second") or 4)
        lanes = {"general": Lane(rate, 1), "import": Lane(1.0, 1)}
        platform = Platform("ActiveCampaign", host, classify, lanes)
        self.rest = Rest(platform, account, surroundings, Key(key))
        self.writes = 0
        """Writes to contacts and deals that were done."""

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What the last answer told of the second."""
        limit, left = (number(self.rest.told.get(f"ratelimit-{name}")) for name in ("limit", "remaining"))
        return () if limit is None or left is None else (Quota("second", max(0, limit - left), limit),)

    def close(self) -> None:
        self.rest.close()

    # reading

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Row:
        """The answer to a GET, a JSON object."""
        told = self._call("GET", path, query=query).told
        if not isinstance(told, dict):
            raise RetryLater("ActiveCampaign's answer has an unknown shape.", connection=self._connection)
        return told

    def found(self, path: str) -> Row | None:
        """The same; None where there is no such thing."""
        try:
            return self.get(path)
        except RecordRejected as error:
            if error.code != "404":
                raise
            return None

    def rows(self, path: str, name: str, query: Mapping[str, Any]) -> Rows:
        """A page of the list `name`, of PAGE rows where `query` does not say otherwise."""
        told = self.get(path, {"limit": PAGE, **query})
        rows = told.get(name)
        if not isinstance(rows, list):
            raise RetryLater("ActiveCampaign's answer has an unknown shape.", connection=self._connection)
        return Rows(rows, told, number((told.get("meta") or {}).get("total")))

    def pages(
        self, path: str, name: str, query: Mapping[str, Any] | None = None, offset: int = 0
    ) -> Iterator[tuple[Rows, int]]:
        """The pages of a list from `offset` on, each with the offset behind it, 0 behind the last.

        A row that is deleted meanwhile moves all later ones up: by as many as the total shrank, the walk steps back. A
        list beside a contact tells no total and may heed no offset: told once more, it was whole before.
        """
        before: int | None = None
        told: Sequence[Row] = ()
        while True:
            page = self.rows(path, name, {**(query or {}), "offset": offset})
            if page.total is None and page.rows and page.rows == told:
                yield Rows([], page.beside), 0
                return
            told = page.rows
            if before is not None and page.total is not None and page.total < before:
                offset, before = max(0, offset - (before - page.total)), page.total
                continue
            before, offset = page.total, offset + len(page.rows)
            last = not page.rows or (len(page.rows) < PAGE if page.total is None else offset >= page.total)
            yield page, 0 if last else offset
            if last:
                return

    def all(self, path: str, name: str, query: Mapping[str, Any] | None = None) -> Iterator[Row]:
        """Every row of a list that is known to be short."""
        for page, _ in self.pages(path, name, query):
            yield from page.rows

    # contacts

    def beyond(self, id: int, query: Mapping[str, Any], size: int = 0) -> Rows:
        """The contacts next after `id`, in the order of their ids."""
        asked = {"orders[id]": "ASC", "id_greater": id, "limit": size or PAGE, **query}
        page = self.rows("contacts", "contacts", asked)
        if any(int(row["id"]) <= id for row in page.rows):
            raise RetryLater("ActiveCampaign ignores a filter by id.", after=60, connection=self._connection)
        return page

    def by_ids(self, ids: Sequence[str], query: Mapping[str, Any]) -> Iterator[Rows]:
        """The contacts with these ids; those that are not there are left out."""
        known = [id for id in dict.fromkeys(ids) if id.isascii() and id.isdigit()]
        for start in range(0, len(known), IDS):
            some = known[start : start + IDS]
            page = self.rows("contacts", "contacts", {"ids[]": some, "limit": IDS, **query})
            yield Rows([row for row in page.rows if str(row["id"]) in some], page.beside)

    def by_email(self, email: str, query: Mapping[str, Any]) -> Rows:
        """The contact with this address; a page of one row, or none."""
        page = self.rows("contacts", "contacts", {"email": email, **query})
        return Rows([row for row in page.rows if same(row.get("email"), email)][:1], page.beside)

    def newest(self) -> int:
        """The highest id that any contact has."""
        page = self.rows("contacts", "contacts", {"orders[id]": "DESC", "limit": 1})
        return max((int(row["id"]) for row in page.rows), default=0)

    # writing

    def sync(self, values: Row) -> tuple[Row, bool]:
        """Create the contact with this address, or change it; what ActiveCampaign says of it, and whether it is new."""
        answer = self._write("POST", "contact/sync", {"contact": values})
        return self._member(answer, "contact"), answer.status == 201

    def change(self, id: str, values: Row) -> Row:
        """What ActiveCampaign says of the contact after the change."""
        return self._member(self._write("PUT", f"contacts/{id}", {"contact": values}), "contact")

    def unsubscribe(self, id: str, list: str) -> None:
        """Off the list. There is no way here to put anybody on one."""
        self._write("POST", "contactLists", {"contactList": {"list": list, "contact": id, "status": "2"}})

    def tag(self, id: str, tag: str) -> None:
        self._write("POST", "contactTags", {"contactTag": {"contact": int(id), "tag": int(tag)}})

    def new_tag(self, name: str) -> str:
        """The id of a tag that was not there. Of no contact anything is written yet."""
        values = {"tag": name, "tagType": "contact", "description": ""}
        answer = self._call("POST", "tags", json={"tag": values}, repeatable=True, writes=True)
        return str(self._member(answer, "tag")["id"])

    def note(self, contact: str, text: str) -> str:
        """The id of a new note. Its loss is InDoubt: asking twice would make two."""
        values = {"note": text, "reltype": "Subscriber", "relid": int(contact)}
        return str(self._member(self._call("POST", "notes", json={"note": values}, repeatable=False), "note")["id"])

    def new_deal(self, values: Row) -> Row:
        """A new deal. Its loss is InDoubt: asking twice would make two."""
        return self._member(self._call("POST", "deals", json={"deal": values}, repeatable=False), "deal")

    def change_deal(self, id: str, values: Row) -> Row:
        return self._member(self._write("PUT", f"deals/{id}", {"deal": values}), "deal")

    def delete(self, path: str) -> None:
        """Gone afterwards, also where it was gone already (which notes are told by 403)."""
        try:
            self._write("DELETE", path)
        except (RecordRejected, InDoubt) as error:
            if last_word(error).code != "404":
                raise

    def queue(self, contacts: Sequence[Row]) -> str:
        """Hand contacts over to be imported; the id to ask by. Handed over twice they come out the same."""
        answer = self._write("POST", "import/bulk_import", {"contacts": contacts}, lane="import")
        told = answer.told if isinstance(answer.told, dict) else {}
        if not told.get("batchId"):
            raise InDoubt("ActiveCampaign's answer to an import has no id.", connection=self._connection)
        return str(told["batchId"])

    def imported(self, batch: str) -> Row:
        """How an import stands: status, the ids of success, the addresses of failure."""
        return self.get("import/info", {"batchId": batch})

    # one call

    def _write(self, method: str, path: str, body: Row | None = None, lane: str = "general") -> Answer:
        """A write that may be repeated. Asked again where the answer is lost; InDoubt where it stays lost."""
        answer = self._call(method, path, json=body, repeatable=True, writes=True, lane=lane)
        self.writes += 1
        return answer

    def _call(self, method: str, path: str, **more: Any) -> Answer:
        try:
            return self.rest.call(method, f"{BASE}/{path}", **more)
        except RetryLater as error:
            if error.code != "forbidden":
                raise
            raise self._forbidden() from error

    def _forbidden(self) -> ClosedloopError:
        """403 stands for a bad key, for a right that is missing, and for a bad moment: those were waited for. Whether
        the key opens anything at all tells the other two apart."""
        try:
            self.rest.get(f"{BASE}/users/me")
        except RetryLater as error:
            if error.code != "forbidden":
                return error
            fix = "Copy the key anew from Settings > Developer."
            return AuthorizationLost("ActiveCampaign refuses the key.", fix=fix, connection=self._connection)
        what = "The user whose key this is may not do this."
        return PermissionMissing(what, fix="Ask an admin for the permission.", connection=self._connection)

    def _member(self, answer: Answer, name: str) -> Row:
        told = answer.told if isinstance(answer.told, dict) else {}
        row = told.get(name)
        if not isinstance(row, dict) or not row.get("id"):
            raise InDoubt("ActiveCampaign's answer to a write has an unknown shape.", connection=self._connection)
        return row


# values


def number(told: Any) -> int | None:
    """A figure that stands there as a number or as its digits; None for anything else."""
    text = str(told)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def same(told: Any, email: str) -> bool:
    return isinstance(told, str) and told.casefold() == email.casefold()


# errors

IMPORT = "import"
"""The code of an import that is refused."""

_WORDS = re.compile(
    r"(already exists|already associated|is required|is a required field|not found|No Result found|incorrect format"
    r"|is not valid|is invalid|must be|Missing attribute|did not pass validation)",
    re.IGNORECASE,
)
"""What of a refusal's text may be repeated: fixed words, never a value."""

_FIXES = {
    "duplicate": "Another record has this value already: merge the two in ActiveCampaign.",
    "field_missing": "A required member is missing: correct the mapping.",
    "404": "It was deleted, or is hidden from the user whose key this is.",
}


def classify(status: int, headers: Mapping[str, str], told: Any) -> ClosedloopError:
    """A refusal as one of our errors."""
    if status == 429:
        return RetryLater("ActiveCampaign asks to slow down.", after=asked_wait(headers, 1.0), code="rate_limit")
    if status in GATEWAYS:
        return RetryLater(f"ActiveCampaign failed ({status}).", after=asked_wait(headers, 1.0), code="server_error")
    code, text, pointer = _told(told)
    if status == 400 and text.startswith("Rate limit exceeded"):
        return RetryLater("ActiveCampaign takes no more imports this minute.", after=30.0, code="rate_limit")
    if status == 403 and "No Result found" in text:
        status = 404
    if status == 403:
        return RetryLater("ActiveCampaign refuses the call (403).", after=2.0, code="forbidden")
    if status in (401, 402):
        what = "The account is suspended" if status == 402 else "ActiveCampaign refuses the key"
        return AuthorizationLost(f"{what} ({status}).", fix="Look at the account, copy the key anew.", code=str(status))
    if 300 <= status < 400:
        return Misconfigured("The address is not that of the API.", fix="Correct auth.url (Settings > Developer).")
    if isinstance(told, dict) and "failureReasons" in told:
        return _import_refused(told["failureReasons"])
    return _rejected(status, code, text, pointer)


def _import_refused(reasons: Any) -> RecordRejected:
    """An import is refused as a whole; `record` has the numbers of the contacts that are to blame, as they stood in
    it, where they are told."""
    rows = [reason.get("contact") for reason in reasons or () if isinstance(reason, dict)]
    blamed = ",".join(str(row) for row in rows if isinstance(row, int))
    return RecordRejected("ActiveCampaign does not take this import.", record=blamed, code=IMPORT)


def _told(told: Any) -> tuple[str, str, str]:
    """Code, text and pointer of a refusal, whichever of the shapes it has."""
    if not isinstance(told, dict):
        return "", "", ""
    errors = told.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        first = errors[0]
        source = first.get("source")
        pointer = str(source.get("pointer") or "") if isinstance(source, dict) else ""
        return str(first.get("code") or ""), f"{first.get('title') or ''} {first.get('detail') or ''}", pointer
    return "", str(told.get("message") or told.get("error") or ""), ""


def _rejected(status: int, code: str, text: str, pointer: str) -> RecordRejected:
    words, code = _WORDS.search(text), code or str(status)
    name = pointer.rpartition("/")[2]
    field = name if re.fullmatch(r"[A-Za-z_]{1,40}", name) else ""
    said = f": {words[1]}" if words else ""
    return RecordRejected(
        f"ActiveCampaign refuses this ({status} {code[:40]}){said}.",
        fix=_FIXES.get(code, ""),
        field=field,
        code=code[:40],
    )
