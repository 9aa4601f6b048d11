"""The sandbox's lists: which rows, in what order, which page of them, and when a page is refused."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.zoho.sandbox_coql import Refused
from connectors.zoho.sandbox_store import newer, shown_time

Row = dict[str, Any]
BY_PAGE = 2000
"""Rows that page numbers reach."""
BY_TOKEN = 100_000
TOKEN_LIFE = timedelta(hours=24)
BOUND = ("fields", "sort_by", "sort_order", "converted", "per_page", "ids")
"""Parameters that a page token is bound to."""


def chosen(rows: list[Row], query: Mapping[str, str], since: str) -> list[Row]:
    """The rows that the query asks for, in its order."""
    ids = set(query["ids"].split(",")) if query.get("ids") else None
    wanted = {"true": (True,), "both": (True, False)}.get(query.get("converted", "false"), (False,))
    found = [
        row
        for row in rows
        if (ids is None or row["id"] in ids) and bool(row.get("converted")) in wanted and newer(row, since)
    ]
    name = query.get("sort_by") or "id"
    if name not in ("id", "Created_Time", "Modified_Time"):
        raise Refused("INVALID_DATA", param_name="sort_by")

    def key(row: Row) -> Any:
        return int(row["id"]) if name == "id" else unstamp(row[name]), int(row["id"])

    return sorted(found, key=key, reverse=query.get("sort_order", "desc") == "desc")


def names(query: Mapping[str, str]) -> list[str]:
    """The fields asked for: lists tell none unasked."""
    asked = [name for name in query.get("fields", "").split(",") if name]
    if not asked:
        raise Refused("REQUIRED_PARAM_MISSING", param_name="fields")
    if len(asked) > 50:
        raise Refused("LIMIT_EXCEEDED", param_name="fields", limit=50)
    return asked


def page(rows: list[Row], query: Mapping[str, str], now: datetime, age: int) -> tuple[list[Row], Row]:
    """The rows of the page, and its `info`. Tokens of another `age` have expired."""
    size = int(query.get("per_page") or 200)
    if not 1 <= size <= 200:
        raise Refused("INVALID_DATA", param_name="per_page")
    start, number = _start(query, size, now, age)
    some = rows[start : start + size]
    more = start + size < len(rows)
    bound = {name: query.get(name) for name in BOUND}
    token = (
        _sealed({"start": start + size, "age": age, "until": stamp(now + TOKEN_LIFE), "bound": bound}) if more else None
    )
    info = {
        "per_page": size,
        "count": len(some),
        "page": number,
        "sort_by": query.get("sort_by") or "id",
        "sort_order": query.get("sort_order") or "desc",
        "more_records": more,
        "next_page_token": token,
        "previous_page_token": None,
        "page_token_expiry": shown_time(now + TOKEN_LIFE) if more else None,
    }
    return some, info


def _start(query: Mapping[str, str], size: int, now: datetime, age: int) -> tuple[int, int]:
    number = int(query.get("page") or 1)
    token = query.get("page_token")
    if token and "page" in query:
        raise Refused("AMBIGUITY_DURING_PROCESSING", param_name="page_token")
    if not token:
        if number * size > BY_PAGE:
            raise Refused("DISCRETE_PAGINATION_LIMIT_EXCEEDED", param_name="page")
        return (number - 1) * size, number
    try:
        told = orjson.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise Refused("INVALID_DATA", param_name="page_token") from None
    if told["age"] != age or told["until"] <= stamp(now):
        raise Refused("EXPIRED_VALUE", param_name="page_token")
    if told["bound"] != {name: query.get(name) for name in BOUND}:
        raise Refused("TOKEN_BOUND_DATA_MISMATCH", param_name="page_token")
    if told["start"] >= BY_TOKEN:
        raise Refused("PAGINATION_LIMIT_EXCEEDED", param_name="page_token")
    return int(told["start"]), int(told["start"]) // size + 1


def _sealed(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode()
