"""The unified model: which kinds of things there are, which fields they have, of which types.

Inside the engine a unified thing is a plain dict, field name -> canonical value (see `FieldType`), so that it can be
hashed, compared and stored as JSON at full speed. At the edges (`explain --json`, plans, the library's callers) it is
one of the pydantic models at the end of this file.

Absent, None and a value are three things everywhere: absent = the platform did not say, None = it said "blank".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model


class Kind(StrEnum):
    """What a remote object is to us."""

    LEAD = "lead"
    COMPANY = "company"
    DEAL = "deal"
    ACTIVITY = "activity"
    CAMPAIGN = "campaign"
    OWNER = "owner"
    ASSOCIATION = "association"
    FIGURE = "figure"  # what a web or ad platform counted on one day, without persons
    CONVERSION = "conversion"  # an outcome told to an ad or analytics platform, once; written, never pulled


class FieldType(StrEnum):
    """How a value of a field looks in canonical form (always JSON)."""

    TEXT = "text"  # str, NFC, trimmed
    EMAIL = "email"  # str, trimmed, domain IDNA and lower, local part ASCII-lowered
    PHONE = "phone"  # str, E.164
    INTEGER = "integer"  # int
    DECIMAL = "decimal"  # str, plain decimal notation without needless zeros
    MONEY = "money"  # {"amount": decimal str, "currency": "EUR"}
    BOOLEAN = "boolean"  # bool
    DATE = "date"  # str, YYYY-MM-DD
    DATETIME = "datetime"  # str, as config.clock.stamp writes it
    CHOICE = "choice"  # str, one of the field's options
    COUNTRY = "country"  # str, ISO 3166-1 alpha-2
    LIST = "list"  # list of str, sorted, no repeats


class Rule(StrEnum):
    """Survivorship: which of several records' values becomes the lead's."""

    PREFER = "prefer"  # the first connection of `order` that has a say, blank or not
    PREFER_UNLESS_BLANK = "prefer_unless_blank"  # the first connection of `order` that has a value
    MOST_RECENT = "most_recent"  # the value that changed last
    FURTHEST = "furthest"  # the value furthest along the field's options
    MOST_RESTRICTIVE = "most_restrictive"  # the same, named for consent: options run from open to closed
    FIRST_SEEN = "first_seen"  # the earliest value; later ones never replace it
    UNION = "union"  # all values of all records
    ASK = "ask"  # no rule decides: two different values are a conflict for a person


@dataclass(frozen=True, slots=True)
class Field:
    """One unified field. `options` of a choice are in order, least to furthest. `key` marks identity keys."""

    name: str
    type: FieldType
    about: str
    rule: Rule = Rule.MOST_RECENT
    options: tuple[str, ...] = ()
    key: bool = False
    derived: bool = False  # computed by the engine (outcomes, score); a mapping may push it, never pull it


LIFECYCLE = (
    "other",
    "subscriber",
    "lead",
    "marketing_qualified",
    "sales_qualified",
    "opportunity",
    "customer",
    "evangelist",
)
CONSENT = ("subscribed", "pending", "unknown", "unsubscribed", "bounced", "complained", "erased")
ACTIVITY_TYPES = (
    "form",
    "email_sent",
    "email_open",
    "email_click",
    "email_bounce",
    "email_unsubscribe",
    "page",
    "meeting",
    "call",
    "event",
    "note",
    "campaign_response",
    "task",
)

OUTCOMES = ("new", "qualified", "working", "opportunity", "won", "lost")
"""What a conversion tells: the lead came in, met the definition, reached sales, got a deal, a deal was won or lost."""

_T, _E, _P = FieldType.TEXT, FieldType.EMAIL, FieldType.PHONE
_B, _D, _DT, _C, _L = (
    FieldType.BOOLEAN,
    FieldType.DATE,
    FieldType.DATETIME,
    FieldType.CHOICE,
    FieldType.LIST,
)


def _table(*fields: Field) -> Mapping[str, Field]:
    return {field.name: field for field in fields}


LEAD_FIELDS = _table(
    Field("email", _E, "the main e-mail address", key=True),
    Field("emails", _L, "further e-mail addresses", Rule.UNION, key=True),
    Field("hubspot_id", _T, "id of the HubSpot contact, as kept on another platform", key=True),
    Field("salesforce_id", _T, "id of the Salesforce lead or contact, as kept on another platform", key=True),
    Field("mailchimp_id", _T, "contact id of the Mailchimp member, as kept on another platform", key=True),
    Field("zoho_id", _T, "id of the Zoho CRM lead or contact, as kept on another platform", key=True),
    Field("outreach_id", _T, "id of the Outreach prospect, as kept on another platform", key=True),
    Field("activecampaign_id", _T, "id of the ActiveCampaign contact, as kept on another platform", key=True),
    Field("constant_contact_id", _T, "id of the Constant Contact contact, as kept on another platform", key=True),
    Field("linkedin_id", _T, "id of the LinkedIn lead-form response, as kept on another platform", key=True),
    Field("google_client_id", _T, "Google Analytics' client id, as captured on a form", key=True),
    Field("closedloop_id", _T, "our own id of the lead, as kept on a platform", key=True),
    Field("phone", _P, "the main phone number"),
    Field("mobile_phone", _P, "the mobile phone number"),
    Field("salutation", _T, "Ms, Mr, Dr ..."),
    Field("first_name", _T, "given name"),
    Field("last_name", _T, "family name"),
    Field("title", _T, "job title"),
    Field("company", _T, "name of the company"),
    Field("website", _T, "the company's web address"),
    Field("linkedin_url", _T, "address of the LinkedIn profile"),
    Field("industry", _T, "the company's industry"),
    Field("employees", FieldType.INTEGER, "number of employees of the company"),
    Field("annual_revenue", FieldType.MONEY, "yearly revenue of the company"),
    Field("street", _T, "street and number"),
    Field("city", _T, "city"),
    Field("state", _T, "state or province, as its code where the country has codes"),
    Field("postal_code", _T, "postal code"),
    Field("country", FieldType.COUNTRY, "country"),
    Field("language", _T, "preferred language, BCP 47"),
    Field("time_zone", _T, "IANA time zone"),
    Field("owner", _E, "e-mail address of the person who owns the lead"),
    Field("created_at", _DT, "when the person first became known", Rule.FIRST_SEEN),
    Field("first_contact_at", _D, "day of the first contact", Rule.FIRST_SEEN),
    Field("original_source", _T, "channel that first brought the person", Rule.FIRST_SEEN),
    Field("original_source_detail", _T, "detail of the first channel", Rule.FIRST_SEEN),
    Field("original_campaign", _T, "campaign that first brought the person", Rule.FIRST_SEEN),
    Field("latest_source", _T, "channel of the latest visit"),
    Field("latest_source_detail", _T, "detail of the latest channel"),
    Field("latest_campaign", _T, "campaign of the latest visit"),
    Field("utm_source", _T, "utm_source of the first touch", Rule.FIRST_SEEN),
    Field("utm_medium", _T, "utm_medium of the first touch", Rule.FIRST_SEEN),
    Field("utm_campaign", _T, "utm_campaign of the first touch", Rule.FIRST_SEEN),
    Field("utm_term", _T, "utm_term of the first touch", Rule.FIRST_SEEN),
    Field("utm_content", _T, "utm_content of the first touch", Rule.FIRST_SEEN),
    Field("landing_page", _T, "first page seen", Rule.FIRST_SEEN),
    Field("email_consent", _C, "may we e-mail this person?", Rule.MOST_RESTRICTIVE, CONSENT),
    Field("email_consent_at", _DT, "when the e-mail consent was given or withdrawn"),
    Field("email_consent_source", _T, "where it was given or withdrawn"),
    Field("phone_consent", _C, "may we call this person?", Rule.MOST_RESTRICTIVE, CONSENT),
    Field("sms_consent", _C, "may we text this person?", Rule.MOST_RESTRICTIVE, CONSENT),
    Field("lifecycle_stage", _C, "how far the person has come", Rule.FURTHEST, LIFECYCLE),
    Field("lead_status", _T, "sales' own status of the lead"),
    Field("unqualified_reason", _T, "why sales sent the lead back"),
    Field("tags", _L, "labels", Rule.UNION),
    Field("interests", _L, "interest groups the person chose", Rule.UNION),
    Field("vip", _B, "marked as important"),
    Field("engagement", FieldType.INTEGER, "a platform's own engagement rating"),
    Field("description", _T, "notes about the person"),
    # computed by the engine
    Field("score", FieldType.INTEGER, "points by the project's scoring rules", derived=True),
    Field("qualified", _B, "meets the agreed definition of a qualified lead", derived=True),
    Field("qualified_at", _DT, "when the lead first qualified", derived=True),
    Field("handed_off_at", _DT, "when the lead reached sales", derived=True),
    Field("is_customer", _B, "has a won deal", derived=True),
    Field("customer_since", _D, "close date of the first won deal", derived=True),
    Field("won_amount", FieldType.MONEY, "sum of the won deals", derived=True),
    Field("won_deals", FieldType.INTEGER, "number of won deals", derived=True),
    Field("open_deals", FieldType.INTEGER, "number of open deals", derived=True),
    Field("open_amount", FieldType.MONEY, "sum of the open deals", derived=True),
    Field("deal_stage", _T, "stage of the deal that moved last", derived=True),
    Field("lost_reason", _T, "reason of the deal lost last", derived=True),
    Field("last_activity_at", _DT, "when the person was last seen doing something", derived=True),
)

COMPANY_FIELDS = _table(
    Field("name", _T, "name"),
    Field("domain", _T, "web domain, lower case", key=True),
    Field("website", _T, "web address"),
    Field("linkedin_url", _T, "address of the LinkedIn page"),
    Field("industry", _T, "industry"),
    Field("phone", _P, "phone number"),
    Field("employees", FieldType.INTEGER, "number of employees"),
    Field("annual_revenue", FieldType.MONEY, "yearly revenue"),
    Field("street", _T, "street and number"),
    Field("city", _T, "city"),
    Field("state", _T, "state or province"),
    Field("postal_code", _T, "postal code"),
    Field("country", FieldType.COUNTRY, "country"),
    Field("owner", _E, "e-mail address of the owner"),
    Field("created_at", _DT, "when it was created"),
)

DEAL_FIELDS = _table(
    Field("name", _T, "name"),
    Field("amount", FieldType.MONEY, "amount in the deal's currency"),
    Field("stage", _T, "stage, by its label"),
    Field("pipeline", _T, "pipeline, by its label"),
    Field("probability", FieldType.DECIMAL, "probability of winning, 0 to 1"),
    Field("close_date", _D, "planned, or once closed the real, close date"),
    Field("is_closed", _B, "closed, won or lost"),
    Field("is_won", _B, "won"),
    Field("won_reason", _T, "why it was won"),
    Field("lost_reason", _T, "why it was lost"),
    Field("type", _T, "new business, renewal ..."),
    Field("source", _T, "channel"),
    Field("campaign", _T, "id of the campaign that gets the credit"),
    Field("company_id", _T, "id of the company's record on the same platform"),
    Field("owner", _E, "e-mail address of the owner"),
    Field("created_at", _DT, "when it was created"),
)

ACTIVITY_FIELDS = _table(
    Field("type", _C, "what happened", options=ACTIVITY_TYPES),
    Field("at", _DT, "when it happened"),
    Field("person", _T, "id of the person's record on the same platform"),
    Field("person_object", _T, "object of that record"),
    Field("email", _E, "e-mail address of the person, where the platform tells no id"),
    Field("campaign", _T, "id of the campaign"),
    Field("title", _T, "subject, form name, page title"),
    Field("url", _T, "address of the page or link"),
    Field("detail", _T, "anything else worth a line"),
)

CAMPAIGN_FIELDS = _table(
    Field("name", _T, "name"),
    Field("channel", _T, "e-mail, paid search, webinar ..."),
    Field("status", _T, "planned, sent, completed ..."),
    Field("started_at", _DT, "start, or when it was sent"),
    Field("ended_at", _DT, "end"),
    Field("cost", FieldType.MONEY, "what it cost"),
    Field("budget", FieldType.MONEY, "what it may cost"),
    Field("sent", FieldType.INTEGER, "e-mails sent"),
    Field("opens", FieldType.INTEGER, "unique opens"),
    Field("clicks", FieldType.INTEGER, "unique clicks"),
    Field("bounces", FieldType.INTEGER, "hard and soft bounces"),
    Field("unsubscribes", FieldType.INTEGER, "unsubscribes"),
)

OWNER_FIELDS = _table(
    Field("email", _E, "e-mail address", key=True),
    Field("name", _T, "name"),
    Field("active", _B, "can own records"),
)

ASSOCIATION_FIELDS = _table(
    Field("from_object", _T, "object of the record that points (deals)"),
    Field("from_id", _T, "its id"),
    Field("to_object", _T, "object of the records pointed at (contacts)"),
    Field("to_ids", _L, "their ids"),
    Field("role", _T, "role of the person in the deal"),
    Field("primary", _B, "the main one of its kind"),
)

FIGURE_FIELDS = _table(
    Field("day", _D, "the day, in the account's time zone"),
    Field("campaign", _T, "name of the campaign"),
    Field("campaign_id", _T, "id of the campaign"),
    Field("source", _T, "where the visits came from"),
    Field("medium", _T, "kind of traffic: cpc, email, organic ..."),
    Field("channel", _T, "channel, as the platform groups them"),
    Field("landing_page", _T, "first page of the visits"),
    Field("sessions", FieldType.INTEGER, "visits"),
    Field("engaged_sessions", FieldType.INTEGER, "visits that the platform counts as engaged"),
    Field("users", FieldType.INTEGER, "users; not to be added over days"),
    Field("new_users", FieldType.INTEGER, "users seen for the first time"),
    Field("conversions", FieldType.DECIMAL, "key events"),
    Field("revenue", FieldType.MONEY, "revenue as the platform attributes it"),
    Field("impressions", FieldType.INTEGER, "times shown"),
    Field("clicks", FieldType.INTEGER, "clicks"),
    Field("cost", FieldType.MONEY, "what it cost"),
    Field("sampled", _B, "scaled up from a sample"),
    Field("thresholded", _B, "rows with few users were left out"),
    Field("incomplete", _B, "some rows were folded into one called (other)"),
)

CONVERSION_FIELDS = _table(
    Field("event", _C, "which outcome", options=OUTCOMES, derived=True),
    Field("event_id", _T, "the same for every try: what a platform tells repeats by", derived=True),
    Field("event_at", _DT, "when it happened", derived=True),
    Field("event_value", FieldType.MONEY, "what it is worth: the amount of the deal", derived=True),
    Field("event_reason", _T, "why a deal was lost", derived=True),
)
"""Beside all fields of the lead, which a conversion may carry as well."""

FIELDS: Mapping[Kind, Mapping[str, Field]] = {
    Kind.LEAD: LEAD_FIELDS,
    Kind.COMPANY: COMPANY_FIELDS,
    Kind.DEAL: DEAL_FIELDS,
    Kind.ACTIVITY: ACTIVITY_FIELDS,
    Kind.CAMPAIGN: CAMPAIGN_FIELDS,
    Kind.OWNER: OWNER_FIELDS,
    Kind.ASSOCIATION: ASSOCIATION_FIELDS,
    Kind.FIGURE: FIGURE_FIELDS,
    Kind.CONVERSION: CONVERSION_FIELDS,
}

Values = dict[str, Any]
"""Field name -> canonical value; None where known blank; absent where unknown."""


class Money(BaseModel):
    """An amount and its currency; never one without the other."""

    model_config = ConfigDict(frozen=True)
    amount: str
    currency: str


_PYTHON: Mapping[FieldType, Any] = {
    FieldType.INTEGER: int,
    FieldType.BOOLEAN: bool,
    FieldType.MONEY: Money,
    FieldType.LIST: list[str],
}


def _model(name: str, fields: Mapping[str, Field]) -> type[BaseModel]:
    members: dict[str, Any] = {field.name: (_PYTHON.get(field.type, str) | None, None) for field in fields.values()}
    return create_model(name, __config__=ConfigDict(extra="allow"), **members)


Lead = _model("Lead", LEAD_FIELDS)
"""The unified lead as others see it; custom fields of the project are further members."""
Company = _model("Company", COMPANY_FIELDS)
Deal = _model("Deal", DEAL_FIELDS)
Activity = _model("Activity", ACTIVITY_FIELDS)
Campaign = _model("Campaign", CAMPAIGN_FIELDS)
