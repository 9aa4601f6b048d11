"""Which lead is this record? Links first, then identity keys; never a guess.

A key is (kind, value). E-mail addresses share one kind whichever field they stand in, and a platform's id of its own
record is the same kind as that id kept on another platform, so that a HubSpot id on a Salesforce lead finds the
HubSpot contact's lead. Of a platform with several accounts such ids are no keys: two accounts may give the same one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from mappings.model import LEAD_FIELDS, Values

Key = tuple[str, str]

_FOREIGN_IDS = tuple(name for name, field in LEAD_FIELDS.items() if field.key and name.endswith("_id"))

_CERTAIN = ("record", "closedloop_id")
"""Kinds that decide alone: a platform's own word that a record lives on as another, and our own id."""


def record_key(connection: str, object: str, record_id: str) -> Key:
    """The key of a record as such: what a merge or a conversion points at."""
    return ("record", f"{connection}/{object}/{record_id}")


def keys(platform: str, record_id: str, values: Values, vague: Collection[str] = ()) -> tuple[Key, ...]:
    """The identity keys of a record, strongest first, without repeats.

    `vague` are platforms with several accounts: an id kept elsewhere does not say of which, so it is nobody's key.
    """
    found: list[Key] = []
    usable = _usable(frozenset(vague))
    own = f"{platform}_id"
    if own in usable:
        found.append((own, record_id))
    for name in usable:
        if values.get(name):
            found.append((name, str(values[name])))
    for address in (values.get("email"), *(values.get("emails") or ())):
        if address:
            found.append(("email", address))
    return tuple(dict.fromkeys(found))


@cache
def _usable(vague: frozenset[str]) -> list[str]:
    """The fields that hold an id kept on another platform."""
    return [name for name in _FOREIGN_IDS if name.removesuffix("_id") not in vague]


@dataclass(frozen=True, slots=True)
class Match:
    """The decision for one record: `lead` when exactly one fits, `rivals` when several do, neither when none does.

    `by` is the key that decided, for the record's story.
    """

    lead: str = ""
    by: Key | None = None
    rivals: tuple[tuple[str, Key], ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether a platform's own word decided, or our own id."""
        return self.by is not None and self.by[0] in _CERTAIN


def match(record_keys: Iterable[Key], owners: Mapping[Key, str], linked: str | None) -> Match:
    """Decide from the record's keys, the leads that own them, and the lead it is linked to already (which stays)."""
    if linked:
        return Match(lead=linked)
    claims: dict[str, Key] = {}
    for key in record_keys:
        if key in owners:
            claims.setdefault(owners[key], key)
    if not claims:
        return Match()
    for lead, by in claims.items():
        if by[0] in _CERTAIN:
            return Match(lead=lead, by=by)
    if len(claims) == 1:
        [(lead, by)] = claims.items()
        return Match(lead=lead, by=by)
    return Match(rivals=tuple(claims.items()))
