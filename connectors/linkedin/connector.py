"""The port, in terms of LinkedIn's client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from config.clock import stamp, unstamp
from config.errors import AuthorizationLost, ClosedloopError, Misconfigured, PermissionMissing, RecordRejected
from connectors import manifest
from connectors.api import (
    Account,
    Connector,
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
    Verb,
)
from connectors.linkedin import platform
from connectors.linkedin.client import (
    LEAD_FIELDS,
    NEEDS,
    PROFILES,
    SUBMISSION_FIELDS,
    SUNSET,
    VERSION,
    Client,
    Row,
    Stream,
)
from connectors.linkedin.objects import FIELDS, OPEN_ENDED, Consent, campaign, lead_reader, submission
from connectors.linkedin.partner import profiles, validations
from connectors.linkedin.pull import Source, campaigns, responses
from connectors.linkedin.push import push_conversions, rules_of
from connectors.linkedin.restli import urn
from connectors.linkedin.webhook import challenge, delivered, erased, note_erased
from connectors.scopes import beyond

WARN = timedelta(days=7)
"""How long before a token ends a check says so."""
WARN_VERSION = timedelta(days=60)
MANAGERS = frozenset({"ACCOUNT_BILLING_ADMIN", "ACCOUNT_MANAGER", "CAMPAIGN_MANAGER", "CREATIVE_MANAGER"})
"""Roles on an ad account that may tell it conversions."""
LEAD_TYPES = ("SPONSORED", "EVENT", "COMPANY", "ORGANIZATION_PRODUCT")
_TWINS = ("leads", "submissions")
NO_LIST = {
    "conversions": "They cannot be read back.",
    "crm_profiles": "They are looked up by the CRM's record ids: closedloop linkedin profiles.",
    **dict.fromkeys(("csv_leads", "csv_accounts"), "They come out of files: closedloop linkedin import."),
}
"""Objects that nothing can be pulled of, and why."""


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    auth, settings = account.auth, account.settings
    if not auth.get("access_token") and not all(auth.get(n) for n in ("refresh_token", "client_id", "client_secret")):
        raise Misconfigured(
            "LinkedIn needs auth.access_token, or auth.refresh_token with client_id and client_secret.",
            connection=account.connection,
        )
    if not settings.get("ad_accounts") and not settings.get("organizations"):
        raise Misconfigured(
            "LinkedIn needs settings.ad_accounts or settings.organizations.",
            fix="Name the ids, with commas between them.",
            connection=account.connection,
        )
    if settings.get("sales_navigator_partner") is True and not settings.get("crm_instance"):
        raise Misconfigured(
            "Sales Navigator's interfaces need settings.crm_instance.",
            fix="Name the URN of the CRM, or switch sales_navigator_partner off.",
            connection=account.connection,
        )
    _check_lead_types(_types(settings.get("lead_types")), account)
    return LinkedInConnector(account, surroundings)


def _check_lead_types(types: Sequence[str], account: Account) -> None:
    """Misconfigured for a lead type that is none, or that nothing would be read of."""
    unknown = [kind for kind in types if kind not in LEAD_TYPES]
    if unknown:
        raise Misconfigured(
            f"LinkedIn has no lead type {unknown[0]}.",
            fix=f"There are: {', '.join(LEAD_TYPES)}.",
            connection=account.connection,
        )
    for kind in types:
        owner = "ad_accounts" if kind == "SPONSORED" else "organizations"
        if not account.settings.get(owner):
            raise Misconfigured(
                f"Leads of the type {kind} need settings.{owner}.",
                fix="Name the ids, or leave the type out of settings.lead_types.",
                connection=account.connection,
            )


def _types(setting: Any) -> list[str]:
    return [word.upper() for word in _ids(setting or "SPONSORED")]


def _ids(setting: Any) -> list[str]:
    return [word.strip() for word in str(setting or "").split(",") if word.strip()]


class LinkedInConnector:
    """One member's grant, for the ad accounts and pages that the settings name."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account, self._world = account, surroundings
        self._client = Client(account, surroundings)
        settings = account.settings
        self._ad_accounts = _ids(settings.get("ad_accounts"))
        self._organizations = _ids(settings.get("organizations"))
        self._lead_types = _types(settings.get("lead_types"))
        self._consent = Consent.of(settings.get("email_consent"))
        self._rules = rules_of(settings.get("conversion_rules"))
        self._forms: dict[str, dict[tuple[str, str], Row]] = {}
        self._names: dict[str, str] | None = None

    @property
    def calls(self) -> int:
        return self._client.calls

    def close(self) -> None:
        self._client.close()

    # what is there

    def check(self) -> Health:
        """Identity is the first ad account, or else the first page. Misconfigured for a conversion rule that is not
        there: every outcome would be refused."""
        token = self._token()
        id, name = self._identity()
        self._check_rules()
        notes = (*self._ends(token), *self._roles(), *self._capabilities(token))
        extra = beyond(manifest.load(platform.folder), _scopes(token) if token else ())
        return Health(id, name, self._missing_scopes(token), (), notes, extra, self._client.api.clock.ahead)

    def _identity(self) -> tuple[str, str]:
        if not self._ad_accounts:
            return urn("organization", self._organizations[0]), f"LinkedIn page {self._organizations[0]}"
        id = self._ad_accounts[0]
        try:
            told = self._client.ad_account(id)
        except RecordRejected as error:
            raise Misconfigured(
                f"There is no ad account {id}, or the member has no role on it.",
                fix="Correct settings.ad_accounts, or give the member a role in Campaign Manager.",
                connection=self._account.connection,
            ) from error
        return urn("sponsoredAccount", id), str(told.get("name") or "LinkedIn")

    def _token(self) -> Row | None:
        """What LinkedIn says of the token; None where the app's id and secret are not at hand to ask."""
        if not self._account.auth.get("client_id") or not self._account.auth.get("client_secret"):
            return None
        token = self._client.introspected()
        if token.get("active") is False and self._client.renew():
            token = self._client.introspected()
        if token.get("active") is False:
            raise AuthorizationLost(
                "The access token has ended or was revoked.",
                fix=f"Connect the account again, by `closedloop connect {self._account.connection}`.",
                connection=self._account.connection,
            )
        return token

    def _missing_scopes(self, token: Row | None) -> tuple[str, ...]:
        if token is None or not token.get("scope"):
            return ()
        granted = _scopes(token)
        needed = ["r_marketing_leadgen_automation", "r_ads"]
        needed += ["r_organization_admin"] if self._organizations else []
        needed += ["r_events"] if "EVENT" in self._lead_types else []
        needed += ["rw_conversions"] if self._rules else []
        needed += ["r_sales_nav_validation"] if self._partner else []
        return tuple(scope for scope in needed if scope not in granted)

    def _ends(self, token: Row | None) -> Iterator[str]:
        """What ends soon: the token, its renewal, the version of the interface."""
        now = self._client.clock.now()
        renews = bool(self._account.auth.get("refresh_token"))
        if token is None:
            yield "auth.client_id and auth.client_secret are needed to tell when the token ends and which scopes it has"
        elif isinstance(ends := token.get("expires_at"), int) and not renews:
            yield from _ending("the access token", datetime.fromtimestamp(ends, UTC), now, WARN)
        if renews and (told := self._client.refresh_ends()):
            yield from _ending("the refresh token", unstamp(told), now, WARN)
        sunset = datetime(SUNSET.year, SUNSET.month, SUNSET.day, tzinfo=UTC)
        yield from _ending(f"LinkedIn's version {VERSION}", sunset, now, WARN_VERSION, "install a newer Closedloop")

    def _roles(self) -> Iterator[str]:
        """Roles that are missing: leads need any on the ad account, and one on its page; outcomes need a manager's."""
        if self._ad_accounts:
            roles = self._client.ad_roles()
            for id in self._ad_accounts:
                role = roles.get(urn("sponsoredAccount", id))
                if role is None:
                    yield f"no role on ad account {id}: its leads cannot be read"
                elif self._rules and role not in MANAGERS:
                    yield f"role {role} on ad account {id} may not tell conversions"
        pages = self._client.page_roles() if self._organizations else {}
        for id in self._organizations:
            if not pages.get(urn("organization", id)):
                yield f"no approved role on page {id}: its leads cannot be read"

    @property
    def _partner(self) -> bool:
        return self._account.settings.get("sales_navigator_partner") is True

    def _capabilities(self, token: Row | None) -> Iterator[str]:
        if not self._partner:
            return
        yield "Sales Navigator's interfaces are on: they answer existing SNAP partners with CRM Sync only"
        if token is not None and token.get("scope") and "r_sales_nav_profiles" not in _scopes(token):
            yield "the token has no scope r_sales_nav_profiles: `closedloop linkedin profiles` will be refused"

    def _check_rules(self) -> None:
        if not self._rules:
            return
        there = {
            f"urn:lla:llaPartnerConversion:{row.get('id')}": row
            for account in self._ad_accounts
            for row in self._client.rules(account)
        }
        for event, rule in self._rules.items():
            told = there.get(rule)
            fault = "is in none of the ad accounts" if told is None else _fault(told)
            if fault:
                raise Misconfigured(
                    f"The conversion rule of {event} {fault}.",
                    fix="Correct settings.conversion_rules, or the rule in Campaign Manager.",
                    connection=self._account.connection,
                    field=event,
                )

    def describe(self, object: str) -> ObjectSchema:
        self._known(object)
        return ObjectSchema(object, FIELDS[object], OPEN_ENDED.get(object, ()))

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        self._known(object)
        state: dict[str, Any] = orjson.loads(cursor) if cursor else {"since": since} if since else {}
        if object == "campaigns":
            return campaigns(self._client, self._ad_accounts, state, self._client.clock.now())
        if object == "crm_flags":
            return validations(self._client, self._instance, state) if self._partner else iter([_nothing(cursor)])
        if object in NO_LIST:
            what = f"LinkedIn has no list of {object}."
            raise Misconfigured(what, fix=NO_LIST[object], connection=self._account.connection, object=object)
        source = Source(
            self._client,
            self._streams(),
            LEAD_FIELDS if object == "leads" else SUBMISSION_FIELDS,
            self._lead_reader(fields) if object == "leads" else submission,
            lambda from_: erased(self._world.tokens, from_),
            self._client.api.clock.now(),
        )
        return responses(source, state)

    def _streams(self) -> list[Stream]:
        """The lists to read: of ad accounts the sponsored leads, of pages all other lead types."""
        owned = [Stream(urn("sponsoredAccount", id), "SPONSORED") for id in self._ad_accounts]
        organic = [kind for kind in self._lead_types if kind != "SPONSORED"]
        of_pages = [Stream(urn("organization", id), kind) for id in self._organizations for kind in organic]
        return [*(owned if "SPONSORED" in self._lead_types else []), *of_pages]

    def _lead_reader(self, fields: Sequence[str]) -> Any:
        """Forms and names are looked up anew by every pull that meets one it needs."""
        self._forms.clear()
        self._names = None
        return lead_reader(self._form, self._consent, self._name if "campaignName" in fields else lambda id: None)

    def _name(self, campaign: str) -> str | None:
        if self._names is None:
            pages = (rows for account in self._ad_accounts for rows in self._client.campaigns(account))
            self._names = {str(row.get("id")): str(row.get("name") or "") for rows in pages for row in rows}
        return self._names.get(campaign)

    def _form(self, owner: str, form: str, version: str) -> Row | None:
        """A form in just this version, from its owner's list."""
        if owner and owner not in self._forms:
            rows = self._client.forms(owner)
            self._forms[owner] = {(str(row.get("id")), str(row.get("versionId"))): row for row in rows}
        return self._forms.get(owner, {}).get((form, version))

    @property
    def _instance(self) -> str:
        """The CRM that Sales Navigator syncs with."""
        return str(self._account.settings["crm_instance"])

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        """By id. A response that LinkedIn said was deleted, and that is not there, is erased; conversions, flags of a
        closed export and rows of files are never found."""
        self._known(object)
        if object in ("conversions", "crm_flags", "csv_leads", "csv_accounts"):
            return {}
        if object == "crm_profiles" and key == "id":
            return self._profiles(list(dict.fromkeys(values)))
        if key != "id":
            raise Misconfigured(
                f"LinkedIn cannot find {object} by {key}.",
                fix="They are found by id.",
                connection=self._account.connection,
            )
        if object == "campaigns":
            return self._campaigns_by_id(values)
        read = self._lead_reader(fields) if object == "leads" else submission
        wanted, gone = LEAD_FIELDS if object == "leads" else SUBMISSION_FIELDS, set(erased(self._world.tokens, ""))
        found: dict[str, Record] = {}
        for id in dict.fromkeys(values):
            row = self._client.response(id, wanted)
            if row is not None:
                found[id] = read(row)
            elif id in gone:
                found[id] = Record(id, b"{}", stamp(self._client.clock.now()), Gone.ERASED)
        return found

    def _profiles(self, records: Sequence[str]) -> dict[str, Record]:
        """By the CRM's record ids. PermissionMissing where this is no partner's connection, saying what it takes."""
        if not self._partner:
            raise PermissionMissing(
                "Profile associations are not switched on.",
                fix=f"They need: {'; '.join(NEEDS[PROFILES])}. With these set sales_navigator_partner.",
                connection=self._account.connection,
                object="crm_profiles",
            )
        return profiles(self._client, self._instance, str(self._account.settings.get("crm_partner") or ""), records)

    def _campaigns_by_id(self, values: Sequence[str]) -> dict[str, Record]:
        asked = set(values)
        pages = (rows for account in self._ad_accounts for rows in self._client.campaigns(account))
        return {str(row["id"]): campaign(row) for rows in pages for row in rows if str(row.get("id")) in asked}

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        told = [op for op in operations if op.object == "conversions" and op.verb is Verb.CREATE]
        refused = [op for op in operations if op.object != "conversions" or op.verb is not Verb.CREATE]
        yield from (Result(operation.key, error=_unwritable(operation)) for operation in refused)
        yield from push_conversions(self._client, told, fields, self._rules)

    # webhooks

    def greet(self, request: Request) -> bytes:
        """LinkedIn challenges the address when it is registered, and every two hours from then on."""
        asked = dict(parse_qsl(urlsplit(request.url).query))
        return orjson.dumps(challenge(asked, self._client.secret("client_secret")))

    def verify(self, request: Request) -> list[Notice]:
        """There is no time in a delivery's signature, and deliveries are repeated: a notice only says what to read. A
        deletion is remembered too, so that the next pull tells it on."""
        secret = self._client.secret("client_secret")
        if not secret:
            raise AuthorizationLost("Webhooks need auth.client_secret.", connection=self._account.connection)
        try:
            leads = {lead.id: lead for lead in delivered(request, secret)}
        except ClosedloopError as error:
            error.connection = self._account.connection
            raise
        deleted = [id for id, lead in leads.items() if lead.deleted]
        if deleted:
            note_erased(self._world.tokens, deleted, stamp(self._client.clock.now()))
        return [Notice(object, id) for id in leads for object in _TWINS]

    def _known(self, object: str) -> None:
        if object not in FIELDS:
            raise Misconfigured(
                f"LinkedIn has no object {object!r} here.",
                fix=f"It has: {', '.join(FIELDS)}.",
                connection=self._account.connection,
            )


def _ending(
    what: str, ends: datetime, now: datetime, warning: timedelta, fix: str = "connect the account again"
) -> Iterator[str]:
    """A warning, from `warning` before the end on."""
    if ends - now <= warning:
        yield f"{what} ends on {ends:%Y-%m-%d}: {fix} before that"


def _scopes(token: Row) -> set[str]:
    return set(str(token.get("scope") or "").replace(",", " ").split())


def _fault(rule: Row) -> str:
    """Why a rule takes no conversions from here; '' where it does."""
    if rule.get("conversionMethod") != "CONVERSIONS_API":
        return "has another method than CONVERSIONS_API"
    return "" if rule.get("enabled") is not False else "is switched off"


def _nothing(cursor: str | None) -> Page:
    """What there is to read of an interface that is switched off."""
    return Page([], cursor or "{}", False)


def _unwritable(operation: Operation) -> RecordRejected:
    return RecordRejected(
        f"{operation.object} are not written ({operation.verb.value}).",
        fix="Map them with direction: pull.",
        object=operation.object,
        record=operation.id,
        code="read_only",
    )
