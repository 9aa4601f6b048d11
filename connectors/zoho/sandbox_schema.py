"""The sandbox's modules and their fields, as an org has them: what is told of them, and what is demanded of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
OFFSET = "+01:00"


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its type in Zoho's word; `to` is the module that a lookup points at."""

    type: str = "text"
    length: int = 255
    read_only: bool = False
    mandatory: bool = False
    unique: bool = False
    to: str = ""


_STAMP = Field("datetime", read_only=True)
_USER = Field("ownerlookup", 120, read_only=True, to="users")
_COMMON = {
    "Owner": Field("ownerlookup", 120, to="users"),
    "Created_Time": _STAMP,
    "Modified_Time": _STAMP,
    "Created_By": _USER,
    "Modified_By": _USER,
}
_TAG = {"Tag": Field("text", 2000)}
_PERSON = {
    "Closedloop_Id": Field(length=255, unique=True),
    "Salutation": Field("picklist", 120),
    "First_Name": Field(length=40),
    "Last_Name": Field(length=80, mandatory=True),
    "Full_Name": Field(length=80, read_only=True),
    "Email": Field("email", 100),
    "Secondary_Email": Field("email", 100),
    "Phone": Field("phone", 30),
    "Mobile": Field("phone", 30),
    "Lead_Source": Field("picklist", 120),
    "Email_Opt_Out": Field("boolean"),
    "Unsubscribed_Mode": Field("picklist", 120, read_only=True),
    "Description": Field("textarea", 32_000),
    "Interests": Field("multiselectpicklist", 2000),
    "Customer_Since": Field("date"),
    "Last_Seen": Field("datetime"),
}
_MONEY, _NUMBER, _TEXT = Field("currency", 16), Field("integer", 9), Field()

MODULES: Mapping[str, Mapping[str, Field]] = {
    "Leads": {
        **_COMMON,
        **_TAG,
        **_PERSON,
        "Company": Field(length=200, mandatory=True),
        "Designation": Field(length=100),
        "Website": Field("website", 255),
        "Industry": Field("picklist", 120),
        "No_of_Employees": _NUMBER,
        "Annual_Revenue": _MONEY,
        "Street": Field(length=250),
        "City": Field(length=100),
        "State": Field(length=100),
        "Zip_Code": Field(length=30),
        "Country": Field(length=100),
        "Lead_Status": Field("picklist", 120),
        "Converted__s": Field("boolean", read_only=True),
        "Converted_Contact": Field("lookup", 120, read_only=True, to="Contacts"),
    },
    "Contacts": {
        **_COMMON,
        **_TAG,
        **_PERSON,
        "Account_Name": Field("lookup", 100, to="Accounts"),
        "Title": Field(length=100),
        "Assistant": Field(length=50),
        "External": Field(length=50),
        **{f"Mailing_{name}": Field(length=250) for name in ("Street", "City", "State", "Zip", "Country")},
    },
    "Accounts": {
        **_COMMON,
        "Account_Name": Field(length=200, mandatory=True),
        "Website": Field("website", 450),
        "Industry": Field("picklist", 120),
        "Phone": Field("phone", 30),
        "Employees": _NUMBER,
        "Annual_Revenue": _MONEY,
        **{f"Billing_{name}": Field(length=250) for name in ("Street", "City", "State", "Code", "Country")},
    },
    "Deals": {
        **_COMMON,
        "Deal_Name": Field(length=120, mandatory=True),
        "Amount": _MONEY,
        "Stage": Field("picklist", 120, mandatory=True),
        "Pipeline": Field("picklist", 120),
        "Probability": Field("integer", 9),
        "Closing_Date": Field("date"),
        "Reason_For_Loss__s": Field("picklist", 120),
        "Type": Field("picklist", 120),
        "Lead_Source": Field("picklist", 120),
        "Account_Name": Field("lookup", 100, to="Accounts"),
        "Contact_Name": Field("lookup", 100, to="Contacts"),
        "Campaign_Source": Field("lookup", 100, to="Campaigns"),
    },
    "Campaigns": {
        **_COMMON,
        "Campaign_Name": Field(length=200, mandatory=True),
        "Type": Field("picklist", 120),
        "Status": Field("picklist", 120),
        "Start_Date": Field("date"),
        "End_Date": Field("date"),
        "Actual_Cost": _MONEY,
        "Budgeted_Cost": _MONEY,
        "Num_sent": _NUMBER,
    },
    "Tasks": {
        **_COMMON,
        "Subject": Field(length=300, mandatory=True),
        "Description": Field("textarea", 32_000),
        "Status": Field("picklist", 120),
        "Priority": Field("picklist", 120),
        "Due_Date": Field("date"),
        "Closed_Time": _STAMP,
        "Who_Id": Field("lookup", 100, to="Contacts"),
        "What_Id": Field("lookup", 100, to="$se_module"),
    },
    "Calls": {
        **_COMMON,
        "Subject": Field(length=300, mandatory=True),
        "Call_Start_Time": Field("datetime"),
        "Call_Type": Field("picklist", 120),
        "Call_Result": Field("picklist", 120),
        "Who_Id": Field("lookup", 100, to="Contacts"),
        "What_Id": Field("lookup", 100, to="$se_module"),
    },
    "Events": {
        **_COMMON,
        "Event_Title": Field(length=300, mandatory=True),
        "Start_DateTime": Field("datetime"),
        "End_DateTime": Field("datetime"),
        "Who_Id": Field("lookup", 100, to="Contacts"),
        "What_Id": Field("lookup", 100, to="$se_module"),
    },
    "Notes": {
        **_COMMON,
        "Note_Title": Field(length=120),
        "Note_Content": Field("textarea", 32_000),
        "Parent_Id": Field("lookup", 100, to="$se_module"),
    },
}
NAMES: Mapping[str, str] = {
    "Leads": "Full_Name",
    "Contacts": "Full_Name",
    "Accounts": "Account_Name",
    "Deals": "Deal_Name",
    "Campaigns": "Campaign_Name",
    "users": "full_name",
}
"""Module -> the field by which a lookup names one of its records."""

STAGES: Mapping[str, tuple[str, int]] = {
    "Qualification": ("Open", 10),
    "Fast gewonnen (90 %)": ("Open", 90),
    "Abgeschlossen (gewonnen)": ("Closed Won", 100),
    "Closed Lost": ("Closed Lost", 0),
    "Partner gewonnen": ("Closed Won", 100),
}
"""Stage -> its forecast type and probability. What a stage is called says nothing."""
OTHER_LAYOUT = ("Partner gewonnen",)
"""Stages of a second layout's pipeline: the field of the usual layout does not list them."""


def stage_picks(names: list[str]) -> list[Row]:
    """The stages as the field lists them."""
    return [
        {**row, "reference_value": name, "deal_category": STAGES[name][0].split()[0], "probability": STAGES[name][1]}
        for name, row in zip(names, stage_rows(names), strict=True)
    ]


def stage_rows(names: list[str]) -> list[Row]:
    """The stages as a pipeline has them."""
    return [
        {
            "display_value": name,
            "actual_value": name,
            "sequence_number": number,
            "colour_code": "#63C57E",
            "forecast_category": {"name": "Closed" if "Closed" in STAGES[name][0] else "Pipeline", "id": f"67{number}"},
            "forecast_type": STAGES[name][0],
            "id": f"680{number}",
        }
        for number, name in enumerate(names, 1)
    ]


_JSON = {"boolean": "boolean", "integer": "integer", "currency": "double", "multiselectpicklist": "jsonarray"}


def told_field(module: str, name: str) -> Row:
    """A field as the metadata tells it."""
    field = MODULES[module][name]
    written = not field.read_only
    picks = stage_picks([stage for stage in STAGES if stage not in OTHER_LAYOUT]) if name == "Stage" else []
    array = "jsonarray" if name == "Tag" else _JSON.get(field.type, "string")
    nothing = dict.fromkeys(
        ("associated_module", "tooltip", "display_format_properties", "association_details", "created_time", "external")
    ) | dict.fromkeys(("parent_field", "child_fields", "crypt", "range", "modified_time", "address", "global_picklist"))
    nothing |= dict.fromkeys(("display_format", "history_tracking", "decimal_place", "customizable_properties"))
    names = (
        "multi_module_lookup",
        "currency",
        "lookup",
        "rollup_summary",
        "formula",
        "multiselectlookup",
        "auto_number",
    )
    empty: Row = {key: dict[str, Any]() for key in names}
    no = dict.fromkeys(
        ("colour_code_enabled_by_system", "separator", "enable_colour_code", "virtual_field", "custom_field"), False
    )
    no |= dict.fromkeys(("display_field", "pick_list_values_sorted_lexically", "mass_update"), False)
    yes = dict.fromkeys(("webhook", "businesscard_supported", "filterable", "visible", "searchable", "sortable"), True)
    return {
        **nothing,
        **empty,
        **no,
        **yes,
        "api_name": name,
        "field_label": name.replace("_", " "),
        "display_label": name.replace("_", " "),
        "data_type": field.type,
        "json_type": "jsonobject" if "lookup" in field.type else array,
        "length": field.length,
        "read_only": field.read_only,
        "field_read_only": field.read_only,
        "system_mandatory": field.mandatory,
        "unique": {"case_sensitive": False} if field.unique else {},
        "pick_list_values": picks,
        **({"blueprint_supported": True, "quick_sequence_number": None} if field.type == "picklist" else {}),
        "operation_type": dict.fromkeys(("web_update", "api_create", "web_create", "api_update"), written),
        "email_parser": {"fields_update_supported": False, "record_operations_supported": False},
        "view_type": {"view": True, "edit": written, "quick_create": False, "create": written},
        "profiles": [{"permission_type": "read_write", "name": "Administrator", "id": "6100000000000026011"}],
        "type": "used",
        "id": f"6100000000000{sum(map(ord, module + name)):06d}",
        "created_source": "default",
        "display_type": -1,
        "ui_type": 1,
    }
