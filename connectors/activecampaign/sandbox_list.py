"""How the sandbox lists: filters, orders, pages by offset, what stands beside. A filter it does not know it ignores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl

from connectors.activecampaign.sandbox_shapes import SHAPES, Row, shown
from connectors.activecampaign.sandbox_store import ZONE, Store
from connectors.sandbox import Call

MOST = 100
"""Rows of a page at most, whatever is asked for."""
SIDES = ("contactLists", "contactTags", "fieldValues", "accountContacts")

Test = Callable[[Row], bool]


def asked(call: Call) -> dict[str, list[str]]:
    """All values of every name in the query."""
    text = call.raw_path.partition("?")[2]
    pairs = parse_qsl(text, keep_blank_values=True) if text else list(call.query.items())
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def matching(store: Store, path: str, query: Mapping[str, list[str]], heeds_offset: bool) -> list[Row]:
    """The rows that pass the filters, in the order asked for."""
    tests = [test for name, values in query.items() if (test := _test(store, path, name, values, heeds_offset))]
    rows = [row for row in store.rows[path].values() if all(test(row) for test in tests)]
    for name, (way, *_) in query.items():
        if name.startswith("orders["):
            rows = _ordered(path, rows, name[7:-1], way.upper() == "DESC")
    return rows


def _ordered(path: str, rows: list[Row], name: str, descends: bool) -> list[Row]:
    """By a member that ActiveCampaign orders by: contacts know no order by change."""
    if path == "contacts" and name not in ("id", "cdate", "email"):
        return rows

    def key(row: Row) -> tuple[str, int]:
        return ("" if name == "id" else str(row.get(name) or ""), int(row["id"]))

    return sorted(rows, key=key, reverse=descends)


def _test(store: Store, path: str, name: str, values: Sequence[str], heeds: bool) -> Test | None:
    value = values[-1]
    if path == "contacts":
        return _contact_test(store, name, values) or _time_test(path, name, value, heeds)
    members = {
        "dealActivities": {"deal": "deal", "filters[data_type]": "dataType"},
        "dealCustomFieldData": {"filters[dealId]": "dealId"},
        "deals": {"filters[status]": "status", "filters[stage]": "stage", "filters[group]": "group"},
        "activities": {"contact": "subscriberid"},
    }.get(path, {})
    if name in members:
        return lambda row: str(row[members[name]]) == value
    return _time_test(path, name, value, heeds) if path == "deals" else None


def _contact_test(store: Store, name: str, values: Sequence[str]) -> Test | None:
    value = values[-1]
    match name:
        case "ids[]":
            return lambda row: row["id"] in values
        case "email":
            return lambda row: row["email"].lower() == value.lower()
        case "id_greater":
            return lambda row: int(row["id"]) > int(value)
        case "id_less":
            return lambda row: int(row["id"]) < int(value)
        case "listid":
            return lambda row: store.first("contactLists", contact=row["id"], list=value) is not None
        case "tagid":
            return lambda row: store.first("contactTags", contact=row["id"], tag=value) is not None
        case _:
            return None


def _time_test(path: str, name: str, value: str, heeds: bool) -> Test | None:
    """Whole seconds; contacts changed after the instant, deals at it or after."""
    member = {"updated": SHAPES[path].changed, "created": SHAPES[path].made}.get(name[8:15])
    if not name.startswith("filters[") or member is None:
        return None
    bound = _instant(value, heeds)
    if name.endswith("_before]"):
        return lambda row: bool(row[member]) and datetime.fromisoformat(row[member]) < bound
    if path == "deals":
        return lambda row: bool(row[member]) and datetime.fromisoformat(row[member]) >= bound
    return lambda row: bool(row[member]) and datetime.fromisoformat(row[member]) > bound


def _instant(text: str, heeds: bool) -> datetime:
    """What a filter means: with its offset, or, where offsets are not heeded, as local time."""
    told = datetime.fromisoformat(text)
    return told if heeds and told.tzinfo else told.replace(tzinfo=ZONE)


def page(store: Store, path: str, rows: Sequence[Row], query: Mapping[str, list[str]], includes: bool) -> Row:
    """One page, with what was to be included beside it."""
    limit = min(_number(query, "limit", 20), MOST)
    offset = _number(query, "offset", 0)
    some = [shown(path, row) for row in rows[offset : offset + limit]]
    told: Row = {path: some, "meta": {"total": len(rows) if SHAPES[path].number_total else str(len(rows))}}
    if path == "contacts":
        told = _contacts_page(store, told, query, limit, offset, includes)
    if path == "fields":
        names = {row["id"] for row in some}
        told["fieldOptions"] = [shown("fieldOptions", one) for one in store.rows["fieldOptions"].values()]
        told["fieldOptions"] = [one for one in told["fieldOptions"] if one["field"] in names]
        told["fieldRels"] = []
        told["meta"]["selected"] = None
    if path == "dealGroups":
        told["dealStages"] = [shown("dealStages", row) for row in store.rows["dealStages"].values()]
        for row in some:
            row["stages"] = [stage["id"] for stage in told["dealStages"] if stage["group"] == row["id"]]
    if path == "deals":
        told["meta"]["currencies"] = _currencies(rows)
    return told


def _currencies(deals: Sequence[Row]) -> Row | list[Row]:
    """How many deals there are, and of what value, by currency; a list where there are none."""
    found: Row = {}
    for deal in deals:
        name = str(deal["currency"]).upper()
        one = found.setdefault(name, {"total": "0", "value": "0", "currency": name, "isDisabled": False})
        one["total"] = str(int(one["total"]) + 1)
        one["value"] = str(int(one["value"]) + int(deal["value"]))
    return found or []


def _number(query: Mapping[str, list[str]], name: str, otherwise: int) -> int:
    text = query.get(name, [""])[-1]
    return int(text) if text.isdigit() else otherwise


def _contacts_page(
    store: Store, told: Row, query: Mapping[str, list[str]], limit: int, offset: int, includes: bool
) -> Row:
    wanted = [name for name in ",".join(query.get("include", [])).split(",") if name in SIDES] if includes else []
    for row in told["contacts"]:
        row["scoreValues"], row["accountContacts"] = [], []
    for side in wanted:
        rows = beside(store, side, (row["id"] for row in told["contacts"]))
        if rows:
            told[side] = rows
        for row in told["contacts"]:
            row[side] = [one["id"] for one in rows if one["contact"] == row["id"]]
    told["scoreValues"] = []
    ids = ("segmentid", "formid", "listid", "tagid", "seriesid", "waitid", "forceQuery")
    given = {name: _number(query, name, 0) for name in ids}
    more = {"limit": limit, "offset": offset, "search": None, "sort": None, "status": -1, "cacheid": "e70b7a35"}
    told["meta"] |= {"sortable": True, "page_input": {**given, **more}}
    return told


def beside(store: Store, side: str, contacts: Iterable[str]) -> list[Row]:
    wanted = set(contacts)
    return [shown(side, row) for row in store.rows[side].values() if row["contact"] in wanted]
