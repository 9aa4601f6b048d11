"""What the tests of planning plan with: fields, a target that holds what it is given, leads and records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mappings.model import CONSENT, LIFECYCLE, Field, FieldType, Rule, Values
from sync.core.plan import Fate, Outcome, Target, fingerprint, plan_lead
from sync.core.views import LeadView, Provenance, RecordView

FIELDS = {
    "email": Field("email", FieldType.EMAIL, "", key=True),
    "title": Field("title", FieldType.TEXT, ""),
    "tags": Field("tags", FieldType.LIST, "", Rule.UNION),
    "vip": Field("vip", FieldType.BOOLEAN, ""),
    "email_consent": Field("email_consent", FieldType.CHOICE, "", Rule.MOST_RESTRICTIVE, CONSENT),
    "lifecycle_stage": Field("lifecycle_stage", FieldType.CHOICE, "", Rule.FURTHEST, LIFECYCLE),
}

Express = Callable[[Values, bool], tuple[dict[str, Any], Values, Mapping[str, str]]]


def plainly(values: Values, creating: bool) -> tuple[dict[str, Any], Values, Mapping[str, str]]:
    """A platform that holds texts of eight letters, and has no word for the value `unsayable`."""
    wrong = {name: "has no such value" for name, value in values.items() if value == "unsayable"}
    back = {
        name: value[:8] if name == "title" and value else value for name, value in values.items() if name not in wrong
    }
    constants = {"Made": "yes"} if creating else {}
    return {**constants, **{f"R_{name}": value for name, value in back.items()}}, back, wrong


def target(
    connection: str = "crm",
    object: str = "contacts",
    *,
    pushed: frozenset[str] = frozenset(FIELDS),
    match: tuple[str, ...] = ("email",),
    creates: str = "create_when",
    express: Express = plainly,
    **more: Any,
) -> Target:
    remote = {name: f"R_{name}" for name in FIELDS}
    return Target(connection, object, pushed, match, remote, express, lambda lead: creates, **more)


def record(id: str = "1", connection: str = "crm", object: str = "contacts", **more: Any) -> RecordView:
    body = more.pop("body", {})
    return RecordView(connection, object, id, body, "1", **more)


def lead(values: Values, *records: RecordView, **reasons: Provenance) -> LeadView:
    why = {name: Provenance(f"alpha/contacts/{name}", "5", "most_recent") for name in values}
    return LeadView("ld_1", values, {**why, **reasons}, records)


def nothing_refused(*place: str) -> bool:
    return False


def refusing(*places: tuple[Any, ...]) -> Callable[..., bool]:
    """Quarantine that holds just these: (connection, object, record, lead, field, value)."""
    held = {(*place[:5], fingerprint(place[5])) for place in places}
    return lambda *place: place in held


def planned(
    of: LeadView,
    *targets: Target,
    refused: Callable[..., bool] = nothing_refused,
    fields: Any = FIELDS,
    fate: Fate | None = None,
) -> Outcome:
    return plan_lead(of, targets or (target(),), fields, refused, fate)
