"""What each kind of row holds in the sandbox, and how ActiveCampaign shows it: after recorded answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

HOST = "https://sandbox.api-us1.com"
"""Where the links of answers point, whatever address the sandbox has."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of row: its singular, what a new one holds, its stamps (made, changed), the names of its links."""

    one: str
    blank: Mapping[str, Any]
    made: str = "cdate"
    changed: str = ""
    links: tuple[str, ...] = ()
    number_total: bool = False  # meta.total is a number, not its digits


_CONTACT = {
    "cdate": None, "email": "", "phone": "", "firstName": "", "lastName": "", "orgid": "0", "orgname": "",
    "segmentio_id": "", "bounced_hard": "0", "bounced_soft": "0", "bounced_date": None, "ip": "0", "ua": None,
    "hash": "",
    "socialdata_lastcheck": None, "email_local": "", "email_domain": "", "sentcnt": "0", "rating_tstamp": None,
    "gravatar": "0", "deleted": "0", "anonymized": "0", "adate": None, "udate": None, "edate": None,
    "deleted_at": None,
    "created_utc_timestamp": None, "updated_utc_timestamp": None, "created_timestamp": None,
    "updated_timestamp": None,
    "created_by": None, "updated_by": None, "organization": None,
}  # fmt: skip
_DEAL = {
    "hash": "", "owner": "1", "contact": None, "organization": None, "group": "1", "stage": "1", "title": "",
    "description": "", "percent": None, "cdate": None, "mdate": None, "nextdate": None, "nexttaskid": None,
    "value": "0",
    "currency": "usd", "winProbability": None, "winProbabilityMdate": None, "status": "0", "activitycount": "1",
    "nextdealid": None, "edate": None, "isDisabled": False, "account": None, "customerAccount": None,
}  # fmt: skip
_LIST = {
    "stringid": "", "userid": "0", "name": "", "cdate": None, "p_use_tracking": "1", "p_use_analytics_read": "0",
    "p_use_analytics_link": "0", "p_use_twitter": "0", "p_use_facebook": "0", "p_embed_image": "1",
    "p_use_captcha": "1",
    "send_last_broadcast": "0", "private": "0", "analytics_domains": None, "analytics_source": "", "analytics_ua": "",
    "twitter_token": "", "twitter_token_secret": "", "facebook_session": None, "carboncopy": None,
    "subscription_notify": None, "unsubscription_notify": None, "require_name": "0", "get_unsubscribe_reason": "0",
    "to_name": "Subscriber", "optinoptout": "1", "sender_name": "", "sender_addr1": "", "sender_addr2": "",
    "sender_city": "", "sender_state": "", "sender_zip": "", "sender_country": "", "sender_phone": "",
    "sender_url": "",
    "sender_reminder": "", "fulladdress": None, "optinmessageid": "0", "optoutconf": "0", "deletestamp": None,
    "udate": None, "created_timestamp": None, "updated_timestamp": None, "created_by": None, "updated_by": None,
    "user": None,
}  # fmt: skip
_STAMPS = {"created_timestamp": None, "updated_timestamp": None, "created_by": None, "updated_by": None}
CONTACT_LINKS = (
    "bounceLogs", "contactAutomations", "contactData", "contactGoals", "contactLists", "contactLogs", "contactTags",
    "contactDeals", "deals", "fieldValues", "geoIps", "notes", "organization", "plusAppend", "trackingLogs",
    "scoreValues",
    "accountContacts", "automationEntryCounts",
)  # fmt: skip
_DEAL_LINKS = (
    "dealActivities", "contact", "contactDeals", "group", "nextTask", "notes", "account", "customerAccount",
    "organization", "owner", "scoreValues", "stage", "tasks", "dealCustomFieldData",
)  # fmt: skip
_USER_LINKS = (
    "lists", "userGroup", "dealGroupTotals", "dealGroupUsers", "configs", "dealConnection",
    "userConversationsPermission",
    "seatUser",
)  # fmt: skip
_CAMPAIGN = {
    "type": "single", "name": "", "cdate": None, "mdate": None, "sdate": None, "ldate": None, "send_amt": "0",
    "total_amt": "0", "opens": "0", "uniqueopens": "0", "linkclicks": "0", "uniquelinkclicks": "0",
    "subscriberclicks": "0",
    "forwards": "0", "hardbounces": "0", "softbounces": "0", "unsubscribes": "0", "replies": "0", "status": "0",
}  # fmt: skip
_STAGE = {
    "group": "1", "title": "", "color": "18D499", "order": "1", "width": "280", "dealOrder": "next-action DESC",
    "cardRegion1": "title", "cardRegion2": "next-action", "cardRegion3": "show-avatar",
    "cardRegion4": "contact-fullname-acctname", "cardRegion5": "value", "cdate": None, "udate": None,
}  # fmt: skip

SHAPES: Mapping[str, Shape] = {
    "users": Shape(
        "user",
        {"username": "", "firstName": "", "lastName": "", "email": "", "phone": "", "signature": None,
         "localZoneid": "America/Chicago", "password_updated_utc_timestamp": "0000-00-00 00:00:00", "cdate": None,
         "udate": None, "mfaEnabled": "0"},
        changed="udate",
        links=_USER_LINKS,
    ),
    "accounts": Shape(
        "account",
        {"name": "", "accountUrl": None, "createdTimestamp": None, "updatedTimestamp": None, "contactCount": "0",
         "dealCount": "0"},
        "createdTimestamp",
        "updatedTimestamp",
        ("notes", "accountCustomFieldData", "accountContacts", "emailActivities", "contactEmails"),
    ),
    "accountContacts": Shape(
        "accountContact",
        {"account": "", "contact": "", "jobTitle": "", "createdTimestamp": None, "updatedTimestamp": None},
        "createdTimestamp",
        "updatedTimestamp",
        ("account", "contact"),
    ),
    "campaigns": Shape("campaign", _CAMPAIGN, changed="mdate"),
    "contacts": Shape("contact", _CONTACT, changed="udate", links=CONTACT_LINKS),
    "lists": Shape("list", _LIST, changed="udate", links=("contactGoalLists", "user", "addressLists")),
    "contactLists": Shape(
        "contactList",
        {"contact": "", "list": "", "form": None, "seriesid": "0", "sdate": None, "udate": None, "status": "1",
         "responder": "1", "sync": "0", "unsubreason": "", "campaign": None, "message": None, "sourceid": "0",
         **_STAMPS},
        "sdate",
        "udate",
    ),
    "tags": Shape(
        "tag",
        {"tagType": "contact", "tag": "", "description": "", "subscriber_count": "0", "cdate": None, **_STAMPS},
        links=("contactGoalTags",),
    ),
    "contactTags": Shape("contactTag", {"contact": "", "tag": "", "cdate": None, **_STAMPS}, links=("tag",
    "contact")),
    "fields": Shape(
        "field",
        {"title": "", "descript": "", "type": "text", "isrequired": "0", "perstag": "", "defval": "",
         "show_in_list": "0",
         "rows": "0", "cols": "0", "visible": "1", "service": "", "ordernum": "1", "cdate": None, "udate": None,
         **_STAMPS,
         "options": [], "relations": []},
        changed="udate",
        links=("options", "relations"),
    ),
    "fieldOptions": Shape("fieldOption", {"field": "", "value": "", "orderid": "0", "cdate": None, "udate": None}),
    "fieldValues": Shape(
        "fieldValue",
        {"contact": "", "field": "", "value": "", "cdate": None, "udate": None, "created_by": None,
         "updated_by": None,
         "owner": ""},
        changed="udate",
        links=("owner", "field"),
    ),
    "deals": Shape("deal", _DEAL, changed="mdate", links=_DEAL_LINKS, number_total=True),
    "dealStages": Shape("dealStage", _STAGE, links=("group",)),
    "dealGroups": Shape(
        "dealGroup",
        {"title": "", "currency": "usd", "autoassign": "1", "allusers": "1", "allgroups": "1",
         "win_probability_initialize_date": None, "cdate": None, "udate": None},
        changed="udate",
        links=("dealGroupGroups", "dealGroupUsers", "stages", "winProbabilityFeatures"),
    ),
    "contactDeals": Shape("contactDeal", {"deal": "", "contact": "", "cdate": None}, links=("deal", "contact")),
    "dealActivities": Shape(
        "dealActivity",
        {"d_id": "", "d_stageid": "0", "userid": "1", "dataId": "0", "dataType": "", "dataAction": "",
         "dataOldval": "",
         "cdate": None, "sortdate": None, "isAddtask": "0", "deleted": "0", "seriesid": "0", "deal": "",
         "stage": None,
         "user": "1", "automation": None},
        links=("deal", "stage", "user", "automation", "activity"),
    ),
    "dealCustomFieldMeta": Shape(
        "dealCustomFieldMetum",
        {"fieldLabel": "", "fieldType": "text", "fieldOptions": None, "fieldDefault": None,
         "fieldDefaultCurrency": None,
         "isFormVisible": 0, "isRequired": 0, "displayOrder": 1, "personalization": "", "knownFieldId": None,
         "hideFieldFlag": 0, "createdTimestamp": None, "updatedTimestamp": None},
        "createdTimestamp",
        "updatedTimestamp",
        ("dealCustomFieldData",),
    ),
    "dealCustomFieldData": Shape(
        "dealCustomFieldDatum",
        {"dealCustomFieldMetumId": 0, "dealId": 0, "customFieldId": 0, "createdTimestamp": None,
         "updatedTimestamp": None,
         "fieldValue": None},
        "createdTimestamp",
        "updatedTimestamp",
        ("deal", "dealCustomFieldMetum"),
        True,
    ),
    "notes": Shape(
        "note",
        {"relid": "", "reltype": "Subscriber", "userid": "1", "is_draft": "0", "cdate": None, "mdate": None,
         "note": "",
         "user": "1", "owner": None},
        changed="mdate",
        links=("activities", "user", "mentions", "notes", "owner"),
    ),
    "forms": Shape("form", {"name": "", "cdate": None, "udate": None}),
    "activities": Shape(
        "activity",
        {"tstamp": None, "subscriberid": "", "reference_type": "", "reference_id": "", "reference_action": "",
         "jsonData": None, "userid": "1", "permission": "", "referenceModelName": "", "notes": [], "recipients": [],
         "user": "1"},
        "tstamp",
    ),
    "logs": Shape("log", {"contact": "", "campaign": "", "message": "0", "tstamp": None}, "tstamp"),
    "linkData": Shape(
        "linkDatum", {"contact": "", "campaign": "", "linkid": "", "link": "", "tstamp": None, "times": "1"}, "tstamp"
    ),
    "links": Shape("link", {"campaignid": "", "link": "", "name": "", "tracked": "1"}, "cdate"),
    "bounceLogs": Shape(
        "bounceLog",
        {"tstamp": None, "bounceid": "1", "subscriberid": "", "campaignid": "", "messageid": "0", "codeid": "1",
         "email": "",
         "error": "", "source": "", **_STAMPS, "bounce": "1", "contact": "", "campaign": "", "message": "0",
         "code": "1"},
        "tstamp",
        links=("bounce", "contact", "campaign", "message", "code"),
    ),
    "trackingLogs": Shape(
        "trackingLog",
        {"subscriberid": "", "type": "", "value": "", "tstamp": None, "hash": "", "contact": ""},
        "tstamp",
        links=("contact",),
    ),
    "webhooks": Shape("webhook", {"name": "", "url": "", "events": [], "sources": [], "cdate": None, "listid": "0"}),
}  # fmt: skip


def shown(path: str, row: Row) -> Row:
    """A row as an answer has it: with its links, its id last."""
    shape = SHAPES[path]
    links = {name: f"{HOST}/api/3/{path}/{row['id']}/{name}" for name in shape.links}
    told = {name: value for name, value in row.items() if name != "id"}
    return {**told, **({"links": links} if links else {}), "id": row["id"]}
