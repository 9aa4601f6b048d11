"""Zoho CRM over HTTP: data centres, paths, payload shapes, limits, log-in. Nobody else knows them.

An account lives in one data centre. Its log-in is at that centre's accounts host, and the answer to a token call names
the host of everything else (`api_domain`). Lists answer 204 without a body where they have nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from config.clock import stamp, unstamp
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RecordRejected,
    RetryLater,
)
from connectors.api import Account, Surroundings
from connectors.oauth import RenewedToken
from connectors.rest import Answer, Lane, Platform, Rest
from connectors.retry import last_word
from connectors.zoho import coql
from connectors.zoho.errors import PAUSE, RowsRefused, classify, credits_left, row_error, used_up

VERSION = "v8"
BASE = f"/crm/{VERSION}"
BULK = f"/crm/bulk/{VERSION}"
REGIONS: Mapping[str, tuple[str, str]] = {
    "us": ("https://accounts.zoho.com", "https://www.zohoapis.com"),
    "eu": ("https://accounts.zoho.eu", "https://www.zohoapis.eu"),
    "in": ("https://accounts.zoho.in", "https://www.zohoapis.in"),
    "au": ("https://accounts.zoho.com.au", "https://www.zohoapis.com.au"),
    "jp": ("https://accounts.zoho.jp", "https://www.zohoapis.jp"),
    "cn": ("https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn"),
    "sa": ("https://accounts.zoho.sa", "https://www.zohoapis.sa"),
    "ca": ("https://accounts.zohocloud.ca", "https://www.zohoapis.ca"),
    "uk": ("https://accounts.zoho.uk", "https://www.zohoapis.uk"),
}
"""Data centre -> the host of the log-in, and the host of the API until a token answer names one."""
_API_HOST = re.compile(
    r"https://(?:www|sandbox|developer)\.(?:zohoapis\.(?:com|eu|in|com\.au|jp|com\.cn|sa|ca|uk)|zohocloud\.ca)"
)
_FILE_HOST = re.compile(
    r"https://(?:content|download|download-accl)\."
    r"(?:zoho(?:apis)?\.(?:com|eu|in|com\.au|jp|com\.cn|sa|ca|uk)|zohocloud\.ca)"
)
PAGE = 200
FIELDS = 50
IDS = 50
"""Ids in one call: the description allows 1,024 characters, and an id has up to 19."""
THROTTLED = 600.0
"""Seconds after which a refresh token that was used too often works again."""
SCOPE, DOMAIN = "scope", "api_domain"
"""The names under which the scopes and the API host of the last grant are kept."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list. `token` is what the next page is asked for by, '' where only its number is."""

    rows: Sequence[Row]
    more: bool = False
    token: str = ""


class Client:
    """One account, as the user who connected it sees it."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        accounts, api = REGIONS[region(account)]
        rate = float(account.settings.get("calls_per_second") or 8)
        self.rest = self._rest(account, api, {"general": Lane(rate, max(1, int(rate)))})
        # ten token calls in ten minutes, from all processes together
        self._accounts = self._rest(account, accounts, {"token": Lane(7 / 600, 3)})
        self._files = self._rest(account, api, {"general": Lane(rate, max(1, int(rate)))})
        self.rest.credentials = RenewedToken(account, surroundings, self._exchange, scheme="Zoho-oauthtoken")
        self._files.credentials = self.rest.credentials
        self._located = False
        self._org_id = ""
        self.left: int | None = None
        """Credits left, where the last good answer told."""
        self._reserve = int(account.settings.get("credits_reserve") or 0)
        self._closed = ""

    def _rest(self, account: Account, host: str, lanes: Mapping[str, Lane]) -> Rest:
        platform = Platform("Zoho", host, self._classify, lanes)
        return Rest(platform, account, self._world)

    @property
    def calls(self) -> int:
        return self.rest.calls + self._accounts.calls + self._files.calls

    def close(self) -> None:
        self.rest.close()
        self._accounts.close()
        self._files.close()

    def _classify(self, status: int, headers: Mapping[str, str], told: Any) -> ClosedloopError:
        return classify(status, headers, told, self.left, self._world.clock)

    # log-in

    def scopes(self) -> set[str]:
        """The scopes of the last grant; empty where it did not tell."""
        return set(re.split(r"[\s,]+", self._world.tokens.get(SCOPE) or "")) - {""}

    def _exchange(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token call. Its refusals come with status 200, too."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        try:
            told = self._accounts.call(
                "POST", "/oauth/v2/token", form=form, headers=headers, lane="token", repeatable=True, credentials=False
            ).told
        except (RecordRejected, PermissionMissing) as error:
            raise self._no_token(error.code) from error
        if not isinstance(told, dict) or told.get("error"):
            raise self._no_token(str(told.get("error")) if isinstance(told, dict) else "")
        self._world.tokens.put(SCOPE, str(told.get("scope") or ""))
        if told.get("api_domain"):
            self._world.tokens.put(DOMAIN, str(told["api_domain"]))
            self.rest.host = self._host()
        return told

    def _no_token(self, code: str) -> ClosedloopError:
        connection = self._account.connection
        if code == "Access Denied":
            return RetryLater(
                "Zoho gives no more tokens for now: ten in ten minutes.",
                after=THROTTLED,
                connection=connection,
                code="token_limit",
            )
        wrong = code in ("invalid_client", "invalid_client_secret")
        return AuthorizationLost(
            "Zoho refuses the client." if wrong else "Zoho refuses the refresh token.",
            fix="Check client_id, client_secret and settings.region: a client belongs to one data centre."
            if wrong
            else "It was revoked, or is of another data centre: connect the account again, by "
            f"`closedloop connect {connection}`.",
            connection=connection,
            code=code[:40],
        )

    def _host(self) -> str:
        """The host of the API: where the account stands (a sandbox of ours), or what the last token answer named."""
        _, usual = REGIONS[region(self._account)]
        return self._account.base_url.rstrip("/") or api_host(self._world.tokens.get(DOMAIN) or usual)

    def _locate(self) -> None:
        """Know the API's host before anything is sent there."""
        if not self._located:
            if self.rest.credentials is not None:
                self.rest.credentials.headers()
            self.rest.host = self._host()
            self._located = True

    def _open(self) -> None:
        """Raises QuotaExhausted while nobody may call."""
        if self._closed and self._world.clock.now() < unstamp(self._closed):
            raise self._exhausted()
        self._locate()

    @property
    def spare(self) -> int | None:
        """Credits that we may still use; None where that is not told, because there are many."""
        return None if self.left is None else self.left - self._reserve

    def call(self, method: str, path: str, **more: Any) -> Answer:
        """The good answer to one call of the API; the credits that it tells are heeded."""
        self._open()
        answer = self.rest.call(method, path, **more)
        self.left = credits_left(answer.headers)
        if self.left is not None and self._reserve and self.left <= self._reserve:
            self._closed = stamp(self._world.clock.now() + PAUSE)
        return answer

    def _exhausted(self) -> QuotaExhausted:
        error = used_up(self._world.clock)
        error.until, error.connection = unstamp(self._closed), self._account.connection
        return error

    # reading

    def page(self, module: str, fields: Sequence[str], query: Mapping[str, Any], since: str = "") -> Rows:
        """A page of a module, or no rows. `since` asks for what changed from then on."""
        asked = {"fields": ",".join(fields), "per_page": PAGE, **query}
        return self._rows(f"{BASE}/{module}", asked, "data", since)

    def deleted(self, module: str, page: int, since: str) -> Rows:
        """A page of what was deleted, in the bin or for good."""
        return self._rows(f"{BASE}/{module}/deleted", {"type": "all", "per_page": PAGE, "page": page}, "data", since)

    def by_ids(self, module: str, ids: Sequence[str], fields: Sequence[str], *, converted: str = "") -> Iterator[Row]:
        """The records with these ids, with all `fields` however many; those that are not there are left out."""
        known = [id for id in dict.fromkeys(ids) if is_id(id)]
        for start in range(0, len(known), IDS):
            some = {"ids": ",".join(known[start : start + IDS]), **({"converted": converted} if converted else {})}
            found: dict[str, Row] = {}
            for names in portions(fields):
                for row in self.page(module, names, some).rows:
                    found.setdefault(str(row["id"]), {}).update(row)
            yield from found.values()

    def whole(self, module: str, id: str) -> Row:
        """A record with all that it has; {} where it is not there."""
        answer = self.call("GET", f"{BASE}/{module}/{id}")
        rows = self._told(answer, "data") if answer.told is not None else []
        return rows[0] if rows else {}

    def query(self, text: str) -> Rows:
        """The rows of a COQL query."""
        answer = self.call("POST", f"{BASE}/coql", json={"select_query": text}, repeatable=True)
        return self._paged(answer, "data")

    def found(self, module: str, columns: Sequence[str], where: str) -> Iterator[Row]:
        """All rows of a query, by id."""
        last = ""
        while True:
            behind = coql.both(where, f"id > {last}") if last else where
            page = self.query(coql.select(columns, module, behind, "id", coql.MOST))
            yield from page.rows
            if not page.more or not page.rows:
                return
            last = self.id_of(page.rows[-1])

    def count(self, module: str) -> int | None:
        """How many records the module has, where that is told."""
        told = self.call("GET", f"{BASE}/{module}/actions/count").told
        number = told.get("count") if isinstance(told, dict) else None
        return int(number) if isinstance(number, int | str) and str(number).isdigit() else None

    def contact_roles(self, deal: str) -> Iterator[Row]:
        """The contacts of a deal with their roles; none where the deal is no more."""
        for rows in self.related("Deals", deal, "Contact_Roles", {"fields": "id,Contact_Role"}):
            yield from rows

    def related(self, module: str, id: str, name: str, query: Mapping[str, Any]) -> Iterator[Sequence[Row]]:
        """The pages of a related list, by number until a token is told; none where the record is no more."""
        place: dict[str, Any] = {}
        number = 1
        while True:
            try:
                page = self._rows(f"{BASE}/{module}/{id}/{name}", {**query, **place}, "data", "")
            except RecordRejected as error:
                of_record = error.code in ("INVALID_DATA", "merged_away", "RECORD_NOT_FOUND")
                if of_record and not error.field:  # one that names a field is about what was asked
                    return
                raise
            if page.rows:
                yield page.rows
            if not page.more or not page.rows:
                return
            number += 1
            place = {"page_token": page.token} if page.token else {"page": number}

    def users(self) -> Iterator[Row]:
        number = 1
        while True:
            page = self._rows(f"{BASE}/users", {"type": "AllUsers", "per_page": PAGE, "page": number}, "users", "")
            yield from page.rows
            if not page.more or not page.rows:
                return
            number += 1

    def org(self) -> Row:
        return next(iter(self._listed(f"{BASE}/org", {}, "org")), {})

    def fields(self, module: str) -> Sequence[Row]:
        """The fields of a module, as the account has them."""
        return self._listed(f"{BASE}/settings/fields", {"module": module}, "fields")

    def pipelines(self) -> Iterator[Row]:
        """The pipelines of all layouts of deals."""
        for layout in self._listed(f"{BASE}/settings/layouts", {"module": "Deals"}, "layouts"):
            yield from self._listed(f"{BASE}/settings/pipeline", {"layout_id": layout["id"]}, "pipeline")

    def _listed(self, path: str, query: Mapping[str, Any], name: str) -> Sequence[Row]:
        return self._rows(path, query, name, "").rows

    def id_of(self, row: Row) -> str:
        """The id of a row, which is to stand in an address or a query. Raises RetryLater where it is no id."""
        id = str(row["id"])
        if not is_id(id):
            raise RetryLater("Zoho's answer has an id of an unknown shape.", connection=self._account.connection)
        return id

    def _rows(self, path: str, query: Mapping[str, Any], name: str, since: str) -> Rows:
        headers = {"if-modified-since": f"{unstamp(since):%Y-%m-%dT%H:%M:%S}+00:00"} if since else {}
        try:
            answer = self.call("GET", path, query=query, headers=headers)
        except RecordRejected as error:
            if error.code == "not_modified":
                return Rows(())
            raise
        return self._paged(answer, name)

    def _paged(self, answer: Answer, name: str) -> Rows:
        if answer.told is None:
            return Rows(())
        rows = self._told(answer, name)
        info = answer.told.get("info") or {}
        return Rows(rows, bool(info.get("more_records")), str(info.get("next_page_token") or ""))

    def _told(self, answer: Answer, name: str) -> list[Row]:
        rows = answer.told.get(name) if isinstance(answer.told, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise RetryLater("Zoho's answer has an unknown shape.", connection=self._account.connection)
        return rows

    # files of bulk writes: they are taken, and given, by hosts of their own

    def upload(self, name: str, archive: bytes) -> str:
        """The id of the file, which lies there unused until a job names it."""
        self._open()
        if not self._org_id:
            org = self.org()
            self._org_id = str(org.get("zgid") or org.get("id") or "")
        self._files.host = content_host(self.rest.host)
        mark = sha256(archive).hexdigest()[:32]
        head = f'--{mark}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
        body = f"{head}content-type: application/zip\r\n\r\n".encode() + archive + f"\r\n--{mark}--\r\n".encode()
        kind = f"multipart/form-data; boundary={mark}"
        headers = {"feature": "bulk-write", "x-crm-org": self._org_id, "content-type": kind}
        return self._made(
            self._files.call("POST", f"{BASE}/upload", content=body, headers=headers, repeatable=True), "file_id"
        )

    def start(self, job: Mapping[str, Any]) -> str:
        """The id of a bulk write that was asked for. InDoubt where the answer is lost: there may be one."""
        return self._made(self.call("POST", f"{BULK}/write", json=job, repeatable=False), "id")

    def _made(self, answer: Answer, name: str) -> str:
        """The id of what a call made. Raises RecordRejected for a refusal, which may come with a good status."""
        told: Row = answer.told if isinstance(answer.told, dict) else {}
        details = told.get("details")
        id = str(details.get(name) or "") if isinstance(details, dict) else ""
        if told.get("status") == "error":
            raise row_error(told)
        if not is_id(id):
            raise InDoubt("Zoho's answer to a bulk write has an unknown shape.", connection=self._account.connection)
        return id

    def job(self, id: str) -> Row:
        """How a bulk write stands."""
        told = self.call("GET", f"{BULK}/write/{id}").told
        if not isinstance(told, dict) or not isinstance(told.get("status"), str):
            raise RetryLater("Zoho's answer has an unknown shape.", connection=self._account.connection)
        return told

    def download(self, link: str) -> bytes:
        """The file that a job names as its result. Raises RetryLater for a link to a host that is not Zoho's."""
        self._open()
        if link.startswith("/"):
            link = self.rest.host + link
        parts = urlsplit(link)
        host = f"{parts.scheme}://{parts.netloc}"
        if host != self.rest.host and not _FILE_HOST.fullmatch(host):
            what = "Zoho's answer names a host of files that is not Zoho's."
            raise RetryLater(what, connection=self._account.connection)
        self._files.host = host
        return self._files.call("GET", link, headers={"accept": "*/*"}, parse=False).body

    # writing

    def save(
        self,
        method: str,
        path: str,
        rows: Sequence[Row],
        *,
        repeatable: bool,
        checks: Sequence[str] = (),
        workflows: bool = True,
    ) -> list[Row]:
        """What became of each row, in the order sent; InDoubt where the answer is lost."""
        body: Row = {"data": list(rows)}
        if checks:
            body["duplicate_check_fields"] = list(checks)
        if not workflows:
            body["trigger"] = []
        return self._written(method, f"{BASE}/{path}", json=body, repeatable=repeatable)

    def delete(self, module: str, ids: Sequence[str], *, workflows: bool = True) -> list[Row]:
        """Into the bin; what became of each. A second try is refused what the first, unheard, has put away."""
        query = {"ids": ",".join(ids), **({} if workflows else {"wf_trigger": "false"})}
        try:
            return self._written("DELETE", f"{BASE}/{module}", query=query, repeatable=True)
        except InDoubt as error:
            last = last_word(error)
            if not isinstance(last, RowsRefused):
                raise
            return [dict(row) for row in last.rows]

    def destroy(self, id: str) -> Row:
        """Out of the bin for good; what became of it. InDoubt where the answer is lost."""
        told = self.call("DELETE", f"{BASE}/settings/recycle_bin/{id}", repeatable=True, writes=True).told
        rows = told.get("recycle_bin") if isinstance(told, dict) else None
        row = rows[0] if isinstance(rows, list) and rows else None
        return row if isinstance(row, dict) else {}

    def watch(self, method: str, channel: Row) -> Row:
        """Subscribe, or subscribe anew, to notices; what became of it."""
        told = self.call(method, f"{BASE}/actions/watch", json={"watch": [channel]}, repeatable=True).told
        rows = told.get("watch") if isinstance(told, dict) else None
        row = rows[0] if isinstance(rows, list) and rows else None
        return row if isinstance(row, dict) else {}

    def _written(self, method: str, path: str, *, repeatable: bool, **more: Any) -> list[Row]:
        try:
            told = self.call(method, path, repeatable=repeatable, writes=True, **more).told
        except RowsRefused as error:
            return [dict(row) for row in error.rows]
        rows = told.get("data") if isinstance(told, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InDoubt("Zoho's answer to a write has an unknown shape.", connection=self._account.connection)
        return rows


def region(account: Account) -> str:
    """The account's data centre. Raises Misconfigured for one that there is not."""
    told = str(account.settings.get("region") or "us").lower()
    if told not in REGIONS:
        raise Misconfigured(
            f"Zoho has no data centre {told!r}.",
            fix=f"settings.region is one of {', '.join(REGIONS)}.",
            connection=account.connection,
        )
    return told


def api_host(told: str) -> str:
    """The API's host as a token answer names it. Raises AuthorizationLost for a host that is not Zoho's."""
    host = told.rstrip("/")
    if not _API_HOST.fullmatch(host):
        raise AuthorizationLost("Zoho's log-in names a host that is not Zoho's.", fix="Check for a proxy in between.")
    return host


def content_host(api: str) -> str:
    """The host that takes files, beside the API's own. One that is not Zoho's (a sandbox of ours) takes them itself."""
    return re.sub(r"^https://(?:www|sandbox|developer)\.", "https://content.", api) if _API_HOST.fullmatch(api) else api


def is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def portions(fields: Sequence[str]) -> Iterator[list[str]]:
    """The fields in portions that one call takes: at most 50, and 1,000 characters."""
    some: list[str] = []
    for name in fields:
        if some and (len(some) == FIELDS or len(",".join(some)) + len(name) >= 1000):
            yield some
            some = []
        some.append(name)
    if some:
        yield some
