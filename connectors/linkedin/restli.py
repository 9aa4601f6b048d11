"""Rest.li 2.0 in addresses: `(name:value)`, `List(a,b)`.

The brackets, commas and colons of the structure stay as they are, everything inside a value is percent-encoded: a
client that encodes the whole query, as clients do, is answered 400. So addresses are put together here, by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote


def encoded(value: Any) -> str:
    """A value, a record (mapping) or a list as Rest.li writes it in an address."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"({','.join(f'{encoded(name)}:{encoded(inner)}' for name, inner in value.items())})"
    if isinstance(value, list | tuple):
        return f"List({','.join(encoded(inner) for inner in value)})"
    return quote(str(value), safe="") or "''"


def query(members: Mapping[str, Any], fields: str = "") -> str:
    """A query, without its question mark; `fields` is a projection, which is structure alone: `id,form:(name)`."""
    parts = [f"{name}={encoded(value)}" for name, value in members.items()]
    return "&".join([*parts, f"fields={fields}"] if fields else parts)


def urn(kind: str, id: Any) -> str:
    return f"urn:li:{kind}:{id}"


def urn_id(told: Any) -> str:
    """What a URN names: `7` of `urn:li:leadGenForm:7`, `(a,b)` of a compound one; '' of what is none."""
    parts = str(told or "").split(":", 3)
    return parts[3] if len(parts) == 4 and parts[0] == "urn" else ""


def key_member(key: str, name: str, place: int) -> str:
    """A member of a complex key as answers tell it, `(instanceId:a,recordId:b)`, or by its place in `(a,b)`, which
    LinkedIn's collections show as well; '' where it has none."""
    parts = key.strip("()").split(",")
    if ":" not in key:
        return unquote(parts[place]) if place < len(parts) else ""
    told = (part.partition(":") for part in parts)
    return next((unquote(value) for member, _, value in told if member == name), "")


def crm_instance(told: str) -> tuple[str, str]:
    """Partner and id of `urn:li:crmInstance:(SFDC,00D...)`; ('', id) of a plain one."""
    partner, _, id = urn_id(told).strip("()").rpartition(",")
    return partner, id


def form_version(told: Any) -> tuple[str, str]:
    """Form and version of `urn:li:versionedLeadGenForm:(urn:li:leadGenForm:7,1)`; ('', '') of anything else."""
    inner = urn_id(unquote(str(told or "")))
    form, _, version = inner.strip("()").rpartition(",")
    return urn_id(form), version.strip()
