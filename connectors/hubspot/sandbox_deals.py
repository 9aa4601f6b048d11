"""What the sandbox's deals may be: their pipelines and currencies, values kept unique, and whom they are tied to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.hubspot.sandbox_schema import complaint
from connectors.hubspot.sandbox_store import Store

Row = dict[str, Any]

STAGES_OF_DEALS = {
    "default/appointmentscheduled": ("Sales Pipeline", "Appointment scheduled", "false", "0.2"),
    "default/contractsent": ("Sales Pipeline", "Contract sent", "false", "0.9"),
    "default/closedwon": ("Sales Pipeline", "Closed won", "true", "1.0"),
    "default/closedlost": ("Sales Pipeline", "Closed lost", "true", "0.0"),
}
"""pipeline/stage -> labels of both, whether it is closed, its probability."""
TIED = {202: "contacts", 190: "companies", 214: "deals", 3: "contacts", 341: "companies"}
"""What an association type of notes and deals leads to."""
Stages = Mapping[str, tuple[str, str, str, str]]


def pipelines(stages: Stages, now: str) -> list[Row]:
    """The pipelines as they are told."""
    made: dict[str, Row] = {}
    for order, (key, (group, label, closed, probability)) in enumerate(stages.items()):
        id, _, stage = key.partition("/")
        pipeline = made.setdefault(id, {"id": id, "label": group, "displayOrder": len(made), "stages": []})
        shown: Row = {"id": stage, "label": label, "displayOrder": order, "archived": False}
        metadata = {"isClosed": closed, "probability": probability}
        rights = {"writePermissions": "CRM_PERMISSIONS_ENFORCEMENT"}
        pipeline["stages"].append({**shown, "metadata": metadata, "createdAt": now, "updatedAt": now, **rights})
    more = {"archived": False, "createdAt": now, "updatedAt": now}
    return [{**pipeline, **more} for pipeline in made.values()]


def misplaced(stages: Stages, currencies: set[str], row: Row | None, values: Mapping[str, Any]) -> list[Row]:
    """A deal's pipeline, stage and currency have to be set up."""
    held = {**(row["properties"] if row else {}), **values}
    if "dealstage" in values or "pipeline" in values:
        pipeline = held.get("pipeline") or "default"
        if f"{pipeline}/{held.get('dealstage')}" not in stages:
            return [complaint("dealstage", "INVALID_OPTION", "the stage is not one of the pipeline")]
    if (currency := values.get("deal_currency_code")) and currency not in currencies:
        return [complaint("deal_currency_code", "INVALID_OPTION", f"{currency} is not an enabled currency")]
    return []


def taken(
    store: Store, object: str, properties: Mapping[str, Row], row: Row | None, values: Mapping[str, Any]
) -> list[Row]:
    """Values of unique properties that another record has."""
    found = []
    for name, value in values.items():
        if name != "email" and value and properties.get(name, {}).get("hasUniqueValue"):
            other = store.by_property(object, name, str(value))
            if other is not None and other is not row:
                found.append(complaint(name, "CONFLICTING_UNIQUE_VALUE", "another record has this value"))
    return found


def tie(store: Store, object: str, id: str, body: Row) -> None:
    """Tie a new record to those that its body names."""
    for one in body.get("associations") or []:
        for kind in one["types"]:
            store.associate(object, id, TIED[kind["associationTypeId"]], str(one["to"]["id"]))


def loose(store: Store, body: Row) -> list[Row]:
    """Ties to records that are not there."""
    ends = [
        (TIED.get(kind["associationTypeId"], ""), str(one["to"]["id"]))
        for one in body.get("associations") or []
        for kind in one["types"]
    ]
    if all(object in store.rows and store.find(object, id) for object, id in ends):
        return []
    return [complaint("associations", "INVALID_OBJECT_IDS", "a record to associate with is not there")]
