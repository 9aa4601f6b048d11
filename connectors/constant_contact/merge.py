"""What is written of a contact: the whole of it as it stands, with what is to change.

A PUT sets every property that it leaves out to nothing. So everything that was read goes back, what we do not know
included; lists (tags, numbers, custom fields) are left out unless something in them changes, and then go as wholes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.errors import RecordRejected
from connectors.constant_contact.client import Row
from connectors.constant_contact.objects import (
    ADDRESS,
    CORE,
    CUSTOM,
    EMAIL,
    KINDS,
    LISTS,
    PARTS,
    PHONE,
    PHONES,
    TAGS,
    Known,
    id_of,
    main,
)

OUT = "unsubscribed"
"""The only permission that is ever written to somebody who is there already."""
MOST = {"custom_fields": 25, "list_memberships": 50, "taggings": 50, "phone_numbers": 3, "street_addresses": 3}
_OURS = frozenset({"contact_id", "created_at", "updated_at", "deleted_at", "create_source", "update_source"})
"""Properties that Constant Contact sets itself, or that say who writes."""
_EMAIL_OURS = frozenset({"opt_in_source"})
_OUT_MEMBERS = ("opt_out_source", "opt_out_date", "opt_out_reason")


def whole(row: Row, values: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The body of a PUT: `row` as it was read, with `values` in it. RecordRejected where a value cannot be said."""
    body = {name: told for name, told in row.items() if name not in _OURS and not isinstance(told, dict | list)}
    if email := _email(row.get("email_address") or {}, values):
        body["email_address"] = email
    body |= parts(row, values, known)
    body |= {name: values[name] for name in CORE if name in values}
    return {**{name: told for name, told in body.items() if told is not None}, "update_source": "Account"}


def fresh(values: Mapping[str, Any], known: Known, lists: Sequence[str], permission: str) -> dict[str, Any]:
    """The body of a POST."""
    body: dict[str, Any] = {name: values[name] for name in CORE if values.get(name) is not None}
    body["email_address"] = {"address": values.get("email"), "permission_to_send": permission}
    body |= {name: told for name, told in parts({}, values, known).items() if told}
    if lists and permission != OUT:
        body["list_memberships"] = list(dict.fromkeys([*body.get("list_memberships", ()), *lists]))
    return {**body, "create_source": "Account"}


def _email(held: Row, values: Mapping[str, Any]) -> dict[str, Any]:
    """The address with its permission as it stands, or with an opt-out; never with more than there was."""
    email = {name: told for name, told in held.items() if name not in _EMAIL_OURS and told is not None}
    if values.get("email"):
        email["address"] = values["email"]
    if values.get("permission_to_send") == OUT and email.get("permission_to_send") != OUT:
        email = {name: told for name, told in email.items() if name not in _OUT_MEMBERS}
        email["permission_to_send"] = OUT
    reason = values.get("opt_out_reason")
    return {**email, **({"opt_out_reason": reason} if reason else {})}


def parts(row: Row, values: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """Those lists of a contact in which something changes, as wholes."""
    body: dict[str, Any] = {}
    for name, value in values.items():
        part, change = _change(name)
        if part:
            body[part] = change(body.get(part, list(row.get(part) or ())), name, value, known)
    for part, told in body.items():
        if len(told) > MOST[part]:
            raise RecordRejected(
                f"A contact has at most {MOST[part]} {part}.", fix="Take some away by hand.", field=part, code="full"
            )
    return {part: _plain(part, told) for part, told in body.items()}


def _change(name: str) -> tuple[str, Any]:
    """The list that the field `name` stands in, and how it changes there."""
    for start, (part, change) in _CHANGES.items():
        if name.startswith(start) if start.endswith(".") else name == start:
            return part, change
    return "", None


def _custom(held: list[Any], name: str, value: Any, known: Known) -> list[Any]:
    field = known.field(name.removeprefix(CUSTOM))
    if field is None:
        raise RecordRejected(
            "The account has no such custom field.",
            fix="Make it in Constant Contact.",
            field=name,
            code="unknown_field",
        )
    id = field["custom_field_id"]
    rest = [one for one in held if one.get("custom_field_id") != id]
    if value in (None, "", []):
        return rest
    if field.get("type") in ("single_select", "multi_select"):
        return [*rest, {"custom_field_id": id, "choice_ids": _choices(field, name, value)}]
    return [*rest, {"custom_field_id": id, "value": _text(value)}]


def _choices(field: Row, name: str, value: Any) -> list[str]:
    ids = {str(one.get("choice_label")).casefold(): str(one.get("choice_id")) for one in field.get("choices") or ()}
    wanted = [str(one).casefold() for one in (value if isinstance(value, list) else [value])]
    if unknown := [one for one in wanted if one not in ids]:
        raise RecordRejected(
            f"The custom field has no such choice ({len(unknown)} of {len(wanted)}).",
            fix="Add the choice in Constant Contact, or map it with `values`.",
            field=name,
            code="choice",
        )
    return [ids[one] for one in wanted]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tag(held: list[Any], name: str, value: Any, known: Known) -> list[Any]:
    """Tags are made before (`push.Contacts.tagged`): one that is not known here is to be taken off."""
    return _toggled(held, id_of(known.tags, name.removeprefix(TAGS)), value)


def _list(held: list[Any], name: str, value: Any, known: Known) -> list[Any]:
    id = known.list(name.removeprefix(LISTS))
    if id is None and value:
        raise RecordRejected(
            "The account has no such list.", fix="Make it in Constant Contact.", field=name, code="unknown_list"
        )
    return _toggled(held, id, value)


def _toggled(held: list[Any], id: str | None, value: Any) -> list[Any]:
    rest = [one for one in held if one != id]
    return [*rest, id] if value and id else rest


def _phone(held: list[Any], name: str, value: Any, known: Known) -> list[Any]:
    if name == "phone":
        kind = str((main(held, KINDS) or {"kind": KINDS[0]})["kind"])
    else:
        kind = name.removeprefix(PHONE)
    if kind not in PHONES:
        raise _misnamed(name, PHONES)
    rest = [one for one in held if one.get("kind") != kind]
    return [*rest, {"phone_number": str(value), "kind": kind}] if value else rest


def _address(held: list[Any], name: str, value: Any, known: Known) -> list[Any]:
    part = name.removeprefix(ADDRESS)
    if part not in PARTS:
        raise _misnamed(name, tuple(PARTS))
    there = main(held, KINDS) or {"kind": KINDS[0]}
    changed = {**{key: told for key, told in there.items() if key != part}, **({part: value} if value else {})}
    rest = [one for one in held if one is not there]
    return [*rest, changed] if any(changed.get(key) for key in PARTS) else rest


def _misnamed(name: str, known: Sequence[str]) -> RecordRejected:
    return RecordRejected(
        "There is no such field.", fix=f"There are: {', '.join(known)}.", field=name, code="unknown_field"
    )


_CHANGES = {
    CUSTOM: ("custom_fields", _custom),
    TAGS: ("taggings", _tag),
    LISTS: ("list_memberships", _list),
    "phone": ("phone_numbers", _phone),
    PHONE: ("phone_numbers", _phone),
    ADDRESS: ("street_addresses", _address),
}
_SAID = {"phone_numbers": ("phone_number", "kind"), "street_addresses": ("kind", *PARTS)}
"""Members that may be sent; the others are Constant Contact's own."""


def _plain(part: str, told: list[Any]) -> list[Any]:
    names = _SAID.get(part)
    return [{name: one[name] for name in names if one.get(name)} for one in told] if names else told


def writable(name: str) -> bool:
    """Whether a field can be written at all."""
    return name in CORE or (name in EMAIL and EMAIL[name].writable) or bool(_change(name)[0])
