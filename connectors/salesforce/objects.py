"""The objects as the connector names them, and what the platform calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """`system` are the fields that every query asks for, whatever the mapping says; `made` are members of `raw` that
    the connector makes of `made_of`, so that a mapping need not know the platform's shape."""

    sobject: str
    bin: bool = True  # queryAll shows deleted rows
    merges: bool = False
    converts: bool = False
    made: tuple[str, ...] = ()
    made_of: tuple[str, ...] = ()

    @property
    def system(self) -> tuple[str, ...]:
        names = ["Id", "SystemModstamp"]
        names += ["IsDeleted"] * self.bin + ["MasterRecordId"] * self.merges
        return tuple(names + ["IsConverted", "ConvertedContactId"] * self.converts)


_PERSON = ("PersonId", "PersonObject")
_ROLE = ("from_object", "from_id", "to_object", "to_ids", "role", "primary")

OBJECTS: Mapping[str, ObjectFacts] = {
    "users": ObjectFacts("User", bin=False),
    "accounts": ObjectFacts("Account", merges=True),
    "campaigns": ObjectFacts("Campaign"),
    "leads": ObjectFacts("Lead", merges=True, converts=True),
    "contacts": ObjectFacts("Contact", merges=True),
    "opportunities": ObjectFacts("Opportunity"),
    "contact_roles": ObjectFacts(
        "OpportunityContactRole", made=_ROLE, made_of=("OpportunityId", "ContactId", "Role", "IsPrimary")
    ),
    "campaign_members": ObjectFacts("CampaignMember", made=_PERSON, made_of=("LeadId", "ContactId")),
    "tasks": ObjectFacts("Task", made=_PERSON, made_of=("WhoId",)),
    "events": ObjectFacts("Event", made=_PERSON, made_of=("WhoId",)),
}

BY_SOBJECT: Mapping[str, str] = {facts.sobject: name for name, facts in OBJECTS.items()}

PREFIXES: Mapping[str, str] = {"003": "contacts", "00Q": "leads"}
"""Key prefix of an id -> the object of a person."""
