"""The sandbox's schema: the properties that every portal has, and HubSpot's complaints about values for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]

STAGES = ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist")
TYPES = ("contacts", "companies", "deals", "notes", "meetings", "calls", "tasks", "emails")
_STRING = (
    "salutation firstname lastname jobtitle company website industry address city state zip country hs_language phone "
    "mobilephone hs_additional_emails hs_analytics_source hs_analytics_source_data_1 hs_analytics_source_data_2 "
    "hs_latest_source hs_latest_source_data_1 hs_analytics_first_url hs_lead_status hs_merged_object_ids"
)
DEFAULT_PROPERTIES: Mapping[str, str] = {
    "contacts": f"email {_STRING} hubspot_owner_id",
    "companies": "name domain website industry phone address city state zip country hubspot_owner_id",
    "deals": (
        "dealname dealtype pipeline dealstage closed_won_reason closed_lost_reason deal_currency_code hubspot_owner_id"
    ),
    "notes": "hs_note_body",
    "meetings": "hs_meeting_title",
    "calls": "hs_call_title",
    "tasks": "hs_task_subject hs_task_body",
    "emails": "hs_email_subject",
}
_READ_ONLY = {"hs_object_id", "createdate", "lastmodifieddate", "hs_lastmodifieddate", "hs_email_optout"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]{2,}")


def property_row(name: str, kind: str = "string", options: tuple[str, ...] = ()) -> Row:
    """A property's definition, as HubSpot tells it."""
    shown = [
        {"label": value.title(), "value": value, "displayOrder": n, "hidden": False} for n, value in enumerate(options)
    ]
    meta = {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": name in _READ_ONLY}
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "type": "enumeration" if options else kind,
        "fieldType": "select" if options else "text",
        "description": "",
        "groupName": "information",
        "options": shown,
        "calculated": False,
        "hasUniqueValue": name == "email",
        "modificationMetadata": meta,
    }


def standard(object: str) -> dict[str, Row]:
    """The definitions of the properties that an object has in every portal, by name."""
    found = {name: property_row(name) for name in DEFAULT_PROPERTIES[object].split()}
    moved = "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"
    for name in ("createdate", moved, "closedate" if object == "deals" else "hs_timestamp"):
        found[name] = property_row(name, "datetime")
    found["hs_object_id"] = property_row("hs_object_id", "number")
    if object == "contacts":
        found["lifecyclestage"] = property_row("lifecyclestage", options=(*STAGES, "other"))
        found["hs_email_optout"] = property_row("hs_email_optout", "bool")
    if object == "deals":
        for name in ("amount", "hs_deal_stage_probability"):
            found[name] = property_row(name, "number")
        found["closedloop_home"] = property_row("closedloop_home") | {"hasUniqueValue": True}
    if object == "companies":
        for name in ("numberofemployees", "annualrevenue"):
            found[name] = property_row(name, "number")
    return found


def complaints(properties: Mapping[str, Row], row: Row | None, values: Mapping[str, Any]) -> list[Row]:
    """HubSpot's complaints about some property values."""
    found = []
    for name, value in values.items():
        known = properties.get(name)
        if known is None:
            found.append(complaint(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
        elif known["modificationMetadata"]["readOnlyValue"]:
            found.append(complaint(name, "READ_ONLY_VALUE", f'"{name}" is a read only property'))
        elif value and known["options"] and value not in [option["value"] for option in known["options"]]:
            found.append(complaint(name, "INVALID_OPTION", f"{value} was not one of the allowed options"))
        elif name == "email" and value and not _EMAIL.fullmatch(str(value)):
            found.append(complaint(name, "INVALID_EMAIL", f"Email address {value} is invalid"))
        elif len(str(value or "")) > 65_536:
            found.append(complaint(name, "INVALID_LONG", "too long"))
    return found


def forward(row: Row | None, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values without a stage that goes back: HubSpot answers as if it had taken it, and leaves it as it is. Only a
    cleared stage can be set to any."""
    new = values.get("lifecyclestage")
    old = row["properties"].get("lifecyclestage") if row else None
    if new in STAGES and old in STAGES and STAGES.index(str(new)) < STAGES.index(str(old)):
        return {name: value for name, value in values.items() if name != "lifecyclestage"}
    return values


def complaint(name: str, code: str, message: str) -> Row:
    return {"message": message, "code": code, "in": name, "context": {"propertyName": [name]}}
