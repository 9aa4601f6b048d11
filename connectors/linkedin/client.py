"""LinkedIn over HTTP (Rest.li): paths, payload shapes, limits, log-in and errors. Nobody else knows them.

Marketing calls go to `/rest` and name a monthly version; the closed Sales Navigator interfaces are `/v2` and name
none. Times are milliseconds. Daily quotas stand in no header: a 429 that stays closes its endpoint until midnight UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import orjson

from config.clock import Clock, stamp
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
from connectors.linkedin.errors import NOT_FOUND, classify
from connectors.linkedin.restli import encoded, key_member, query, urn
from connectors.oauth import RenewedToken
from connectors.rest import Answer, Lane, Platform, Rest

VERSION = "202607"
"""The monthly version of every /rest call. A newer one: change it here, with the day it ends."""
SUNSET = date(2027, 7, 15)
"""The day from which LinkedIn answers 426 to every call of VERSION."""
HOST = "https://api.linkedin.com"
LOGIN = "https://www.linkedin.com"
FILES = "https://media.licdn.com"
PAGE = 100
EVENTS = 5000
"""Conversion events in one call."""
LEAD_ENDS = "lead_ends"
"""The name under which the end of the year-long refresh token is kept."""

_LEAD = "id,submittedAt,testLead,leadType,owner,submitter,versionedLeadGenFormUrn,leadMetadata,associatedEntity"
LEAD_FIELDS = f"{_LEAD},formResponse,form:(hiddenFields,creationLocale,name,id,versionId,content)"
SUBMISSION_FIELDS = f"{_LEAD},form:(name,id,versionId)"
VALIDATION, PROFILES = "crmDataValidationExportJobs", "salesNavigatorProfileAssociations"
_ADMITTED = (
    "an app of an existing partner of the Sales Navigator Application Platform (LinkedIn admits no new ones)",
    "CRM Sync switched on for settings.crm_instance",
)
NEEDS = {
    VALIDATION: (*_ADMITTED, "the scope r_sales_nav_validation"),
    PROFILES: (*_ADMITTED, "the scope r_sales_nav_profiles"),
}
"""What LinkedIn asks for before it opens one of Sales Navigator's interfaces."""
CAMPAIGN_STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED", "COMPLETED", "CANCELED", "DRAFT")

Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stream:
    """A list of form responses: those of one owner and lead type."""

    owner: str  # the URN of an ad account or an organization
    lead_type: str

    @property
    def key(self) -> str:
        return f"{self.lead_type}/{self.owner}"


class _Static:
    """`connectors.rest.Credentials` for an access token that a person renews every sixty days."""

    def __init__(self, token: str) -> None:
        self._token = token

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        return False


class Client:
    """One member's grant: the ad accounts and pages that this member has a role on."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self._shut: dict[str, datetime] = {}
        daily = float(account.settings.get("calls_per_day") or 20_000)
        # a day is a fixed window: rate and burst together stay a twentieth below the quota in any day
        lanes = {"general": Lane(0.7 * daily / 86_400, max(1, int(0.25 * daily))), "events": Lane(5.0, 10)}
        self.api = self._rest(HOST, lanes)
        self._others: dict[str, Rest] = {}
        self.api.credentials = self._credentials()

    def _rest(self, host: str, lanes: Mapping[str, Lane]) -> Rest:
        def refused(status: int, headers: Mapping[str, str], told: Any) -> ClosedloopError:
            return classify(status, headers, told, VERSION)

        return Rest(Platform("LinkedIn", host, refused, lanes), self._account, self._world)

    def _credentials(self) -> RenewedToken | _Static:
        if self._account.auth.get("refresh_token"):
            return RenewedToken(self._account, self._world, self._exchange)
        return _Static(self.secret("access_token"))

    @property
    def calls(self) -> int:
        return sum(rest.calls for rest in (self.api, *self._others.values()))

    @property
    def clock(self) -> Clock:
        return self._world.clock

    def secret(self, name: str) -> str:
        value = self._account.auth.get(name, "")
        return value.reveal() if isinstance(value, Secret) else str(value)

    def close(self) -> None:
        for rest in (self.api, *self._others.values()):
            rest.close()

    def _other(self, host: str) -> Rest:
        """Another of LinkedIn's hosts, where the api's credential is not sent."""
        if host not in self._others:
            self._others[host] = self._rest(host, {})
        return self._others[host]

    # log-in

    def _exchange(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token call. It hands out the same refresh token each time, with less of its year left."""
        told = self._login("accessToken", form)
        left = told.get("refresh_token_expires_in")
        if isinstance(left, int):
            self._world.tokens.put(LEAD_ENDS, stamp(self.clock.now() + timedelta(seconds=left)))
        return told

    def introspected(self) -> Row:
        """What LinkedIn says of the access token in use: `active`, `scope`, `expires_at` (seconds)."""
        assert self.api.credentials is not None
        token = self.api.credentials.headers()["authorization"].partition(" ")[2]
        app = {"client_id": self.secret("client_id"), "client_secret": self.secret("client_secret")}
        return self._login("introspectToken", {**app, "token": token})

    def renew(self) -> bool:
        """Get a new access token; False where the one in use is all there is. Raises AuthorizationLost."""
        assert self.api.credentials is not None
        return self.api.credentials.renew()

    def _login(self, path: str, form: Mapping[str, str]) -> dict[str, Any]:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        try:
            told = (
                self._other(LOGIN)
                .call("POST", f"/oauth/v2/{path}", form=form, headers=headers, repeatable=True, credentials=False)
                .told
            )
        except PermissionMissing as error:
            raise AuthorizationLost(
                "LinkedIn refuses the app.",
                fix="Check auth.client_id and auth.client_secret.",
                connection=self._account.connection,
                code=error.code,
            ) from error
        except RecordRejected as error:
            raise AuthorizationLost(
                "LinkedIn refuses the log-in.",
                fix="The grant ended (a year after the first consent), or was revoked: connect the account again, by "
                f"`closedloop connect {self._account.connection}`.",
                connection=self._account.connection,
                code=error.code,
            ) from error
        return self._object(told)

    def refresh_ends(self) -> str:
        """When the year of the refresh token ends, as a stamp; '' where that was not told."""
        return self._world.tokens.get(LEAD_ENDS) or ""

    # calls

    def _call(self, method: str, path: str, *, lane: str = "general", **more: Any) -> Answer:
        """One call to the interface; QuotaExhausted until midnight UTC where its 429 stays after short retries."""
        endpoint = path.partition("?")[0].split("/")[2]
        shut = self._shut.get(endpoint)
        if shut is not None and shut > self.clock.now():
            raise self._exhausted(endpoint, shut)
        versioned = {"LinkedIn-Version": VERSION} if path.startswith("/rest/") else {}
        headers = {"X-Restli-Protocol-Version": "2.0.0", **versioned, **more.pop("headers", {})}
        try:
            return self.api.call(method, path, headers=headers, lane=lane, **more)
        except RetryLater as error:
            if error.code != "rate_limit":
                raise
            self._shut[endpoint] = _midnight(self.clock.now())
            raise self._exhausted(endpoint, self._shut[endpoint]) from error

    def _exhausted(self, endpoint: str, until: datetime) -> QuotaExhausted:
        return QuotaExhausted(
            f"The day's calls of LinkedIn's {endpoint} are used up.",
            until=until,
            connection=self._account.connection,
            code="rate_limit",
        )

    def _object(self, told: Any) -> dict[str, Any]:
        if not isinstance(told, dict):
            raise RetryLater("LinkedIn's answer has an unknown shape.", connection=self._account.connection)
        return told

    def _get(self, path: str) -> dict[str, Any]:
        return self._object(self._call("GET", path).told)

    def _rows(self, told: Any) -> list[Row]:
        rows = self._object(told).get("elements")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise RetryLater("LinkedIn's answer has an unknown shape.", connection=self._account.connection)
        return rows

    def _all(self, path: str, members: Mapping[str, Any], fields: str = "") -> Iterator[Row]:
        """Every row of a list that is paged by `start` and ends with a page that is not full."""
        start = 0
        while True:
            rows = self._rows(self._get(f"{path}?{query({**members, 'start': start, 'count': PAGE}, fields)}"))
            yield from rows
            if len(rows) < PAGE:
                return
            start += PAGE

    # leads

    def responses(self, stream: Stream, since: int, until: int, start: int, fields: str) -> list[Row]:
        """A page of the form responses that were submitted from `since` to `until` (milliseconds)."""
        kind = "sponsoredAccount" if ":sponsoredAccount:" in stream.owner else "organization"
        members = {
            "q": "owner",
            "owner": {kind: stream.owner},
            "leadType": {"leadType": stream.lead_type},
            "limitedToTestLeads": False,
            "submittedAtTimeRange": {"start": since, "end": until},
            "start": start,
            "count": PAGE,
        }
        return self._rows(self._get(f"/rest/leadFormResponses?{query(members, fields)}"))

    def response(self, id: str, fields: str) -> Row | None:
        """One form response; None where it was deleted or its year is over."""
        try:
            return self._get(f"/rest/leadFormResponses/{quote(id, safe='')}?fields={fields}")
        except RecordRejected as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def forms(self, owner: str) -> Iterator[Row]:
        """The forms of an owner, in their present version."""
        kind = "sponsoredAccount" if ":sponsoredAccount:" in owner else "organization"
        return self._all("/rest/leadForms", {"q": "owner", "owner": {kind: owner}})

    # the ad account

    def ad_account(self, id: str) -> Row:
        return self._get(f"/rest/adAccounts/{quote(id, safe='')}")

    def ad_roles(self) -> dict[str, str]:
        """The member's role by the ad account's URN."""
        told = self._get(f"/rest/adAccountUsers?{query({'q': 'authenticatedUser'}, 'role,account,user')}")
        return {str(row.get("account")): str(row.get("role")) for row in self._rows(told)}

    def page_roles(self) -> dict[str, set[str]]:
        """The member's approved roles by the organization's URN."""
        found: dict[str, set[str]] = {}
        for row in self._all("/rest/organizationAcls", {"q": "roleAssignee", "state": "APPROVED"}):
            found.setdefault(str(row.get("organization")), set()).add(str(row.get("role")))
        return found

    def campaigns(self, account: str) -> Iterator[list[Row]]:
        """Pages of an ad account's campaigns."""
        search = {"status": {"values": list(CAMPAIGN_STATUSES)}}
        members: dict[str, Any] = {"q": "search", "search": search, "pageSize": PAGE}
        while True:
            told = self._get(f"/rest/adAccounts/{quote(account, safe='')}/adCampaigns?{query(members)}")
            yield self._rows(told)
            token = (told.get("metadata") or {}).get("nextPageToken")
            if not token or token == members.get("pageToken"):
                return
            members["pageToken"] = token

    # outcomes

    def rules(self, account: str) -> Iterator[Row]:
        """The conversion rules of an ad account."""
        members = {"q": "account", "account": urn("sponsoredAccount", account)}
        return self._all("/rest/conversions", members, "id,name,conversionMethod,type,enabled")

    def tell(self, events: Sequence[Row]) -> list[int]:
        """Send conversion events; the status of each, in no order that can be relied on.

        Asked again where the answer is lost (LinkedIn knows an event by its id); InDoubt where it stays lost. One bad
        element has them all refused: `errors.BatchRejected` says which.
        """
        headers = {"X-RestLi-Method": "BATCH_CREATE", "content-type": "application/json"}
        body = orjson.dumps({"elements": list(events)})
        told = self._call(
            "POST",
            "/rest/conversionEvents",
            content=body,
            headers=headers,
            lane="events",
            repeatable=True,
            writes=True,
        ).told
        try:
            return [int(row.get("status") or 0) for row in self._rows(told)]
        except RetryLater as error:
            raise InDoubt(error.what, connection=self._account.connection) from error

    # Sales Navigator, for partners

    def start_validation(self, instance: str, since: int) -> str:
        """Ask for the records whose person left the company; the job's id. Asking twice makes two jobs, no harm."""
        path = f"/v2/{VALIDATION}?crmInstanceId={encoded(instance)}"
        body, headers = orjson.dumps({"exportStartAt": since}), {"content-type": "application/json"}
        answer = self._partners_only(
            VALIDATION, lambda: self._call("POST", path, content=body, headers=headers, repeatable=True)
        )
        job = answer.headers.get("x-restli-id") or (answer.told or {}).get("jobId")
        if not job:
            raise RetryLater("LinkedIn did not name the export it started.", connection=self._account.connection)
        return str(job)

    def validation(self, instance: str, job: str) -> Row | None:
        """How an export stands; None where LinkedIn knows it no more."""
        path = f"/v2/{VALIDATION}/{quote(job, safe='')}?crmInstanceId={encoded(instance)}"
        try:
            return self._partners_only(VALIDATION, lambda: self._get(path))
        except RecordRejected as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def associations(self, partner: str, instance: str, records: Sequence[str]) -> dict[str, Row]:
        """The profiles that Sales Navigator matched with these records of the CRM, by record; no match, no entry."""
        keys = [{"instanceId": instance, "partner": partner, "recordId": record} for record in records]
        told = self._partners_only(PROFILES, lambda: self._get(f"/v2/{PROFILES}?{query({'ids': keys})}"))
        results = told.get("results")
        if not isinstance(results, dict) or not all(isinstance(row, dict) for row in results.values()):
            raise RetryLater("LinkedIn's answer has an unknown shape.", connection=self._account.connection)
        return {key_member(key, "recordId", 2): row for key, row in results.items()}

    def _partners_only(self, endpoint: str, call: Callable[[], T]) -> T:
        """Its answer. A refusal says which access the interface needs."""
        try:
            return call()
        except PermissionMissing as error:
            raise PermissionMissing(
                f"LinkedIn does not open {endpoint} to this app and this member.",
                fix=f"It needs: {'; '.join(NEEDS[endpoint])}. Without them switch sales_navigator_partner off.",
                connection=self._account.connection,
                code=error.code,
            ) from error

    def download(self, address: str) -> bytes:
        """A finished export's file, from LinkedIn's own hosts only; no credential goes along."""
        for rest in (self._other(LOGIN), self._other(FILES), self.api):
            if address.startswith(f"{rest.host}/"):
                return rest.get(address, credentials=False, parse=False).body
        raise RetryLater("LinkedIn's export lies on a host that is not its own.", connection=self._account.connection)


def _midnight(now: datetime) -> datetime:
    """The next midnight UTC, when all daily quotas open."""
    return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
