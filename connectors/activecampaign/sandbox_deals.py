"""What the sandbox's deals may be, and what becomes of them when they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.activecampaign.sandbox_shapes import Row
from connectors.activecampaign.sandbox_store import Store

WRITABLE = ("title", "description", "contact", "value", "currency", "group", "stage", "owner", "percent", "status")
_NEEDED = ("title", "value", "currency")
Wrong = tuple[str, str, str]
"""Title, code and pointer of an error."""


def wrong_deal(store: Store, given: Mapping[str, Any], row: Row | None) -> Wrong | None:
    """What ActiveCampaign has against it; None for nothing."""
    if row is None and not given.get("contact") and not given.get("account"):
        return ("A deal must have a contact or an account", "field_missing", "contact")
    missing = [name for name in _NEEDED if row is None and given.get(name) in (None, "")]
    if missing:
        return (f"{missing[0]} is required", "field_missing", missing[0])
    if row is None and not given.get("group") and not given.get("stage"):
        return ("A pipeline or a stage is required", "field_missing", "group")
    return _wrong_values(store, given) or _wrong_place(store, given, row)


def _wrong_values(store: Store, given: Mapping[str, Any]) -> Wrong | None:
    value = given.get("value", 0)
    if not isinstance(value, int) or value < 0:
        return ("The value must be a whole number of cents", "field_invalid", "value")
    if not re.fullmatch("[a-z]{3}", str(given.get("currency", "usd"))):
        return ("The currency is invalid", "field_invalid", "currency")
    if str(given.get("status", "0")) not in ("0", "1", "2"):
        return ("The status is invalid", "field_invalid", "status")
    known = {"contact": "contacts", "owner": "users", "group": "dealGroups", "stage": "dealStages"}
    for name, path in known.items():
        if given.get(name) is not None and not store.first(path, id=given[name]):
            return (f"{name} not found", "field_invalid", name)
    metas = store.rows["dealCustomFieldMeta"]
    if any(one.get("customFieldId") not in metas for one in given.get("fields") or ()):
        return ("A custom field is invalid", "field_invalid", "fields")
    return None


def _wrong_place(store: Store, given: Mapping[str, Any], row: Row | None) -> Wrong | None:
    stage, group = given.get("stage"), given.get("group") or (row or {}).get("group")
    where = store.first("dealStages", id=stage) if stage else None
    if where is not None and group and str(where["group"]) != str(group):
        return ("The stage is invalid: it belongs to another pipeline", "field_invalid", "stage")
    pipeline = store.first("dealGroups", id=group) if group else None
    if row is None and not given.get("owner") and pipeline is not None and pipeline["autoassign"] == "0":
        return ("An owner is required", "field_missing", "owner")
    return None


def write_deal(store: Store, given: Mapping[str, Any], row: Row | None) -> Row:
    """A deal that is made (`row` is None) or changed; unknown members are passed over in silence."""
    held = {name: None if given[name] is None else str(given[name]) for name in WRITABLE if name in given}
    before = row["status"] if row is not None else "0"
    if row is None:
        row = store.new("deals", {"owner": next(iter(store.rows["users"].values()))["id"], **_placed(store, held)})
        store.notice("deal_add", row, kind="deal")
    else:
        store.change("deals", row, held)
        store.notice("deal_update", row, kind="deal")
    if row["status"] != before:
        told = {"d_id": row["id"], "deal": row["id"], "dataType": "status", "dataAction": row["status"]}
        store.new("dealActivities", told)
    for one in given.get("fields") or ():
        _fill(store, row, one["customFieldId"], one["fieldValue"])
    return row


def _placed(store: Store, held: Row) -> Row:
    """A new deal's place: the pipeline of its stage, or the first stage of its pipeline."""
    if "stage" in held:
        return {**held, "group": store.rows["dealStages"][int(held["stage"])]["group"]}
    stages = sorted(store.where("dealStages", group=held["group"]), key=lambda stage: int(stage["order"]))
    return {**held, "stage": stages[0]["id"]}


def _fill(store: Store, row: Row, field: int, value: Any) -> None:
    place = {"dealId": int(row["id"]), "customFieldId": field}
    there = store.first("dealCustomFieldData", **place)
    if there is None:
        store.new("dealCustomFieldData", {**place, "dealCustomFieldMetumId": field, "fieldValue": value})
    else:
        store.change("dealCustomFieldData", there, {"fieldValue": value})
