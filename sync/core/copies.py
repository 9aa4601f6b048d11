"""A deal of one platform shown on another: what its copy there should hold, so which operation follows.

A deal has one home: the connection whose record it is. Its home alone says how it stands, so a copy is planned from the
home's values against what the copy is known to hold, by the same rules as a person's record. A copy is made once, for
one of the deal's people, who stands there already: nobody is made for a deal's sake. One that somebody deleted there is
not made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mappings.model import DEAL_FIELDS, Values
from sync.core.plan import Outcome, Refused, Target, creation, revision
from sync.core.views import DealView, LeadView, Provenance, RecordView


@dataclass(frozen=True, slots=True)
class DealTarget:
    """An object of a connection that takes copies of deals. `wants(deal, lead)` says of which, by their values."""

    target: Target
    wants: Callable[[Values, Values], bool]

    @property
    def place(self) -> tuple[str, str]:
        return (self.target.connection, self.target.object)


def plan_copy(
    deal: DealView,
    lead: LeadView,
    into: DealTarget,
    person: RecordView | None,
    copy: RecordView | None,
    refused: Refused,
) -> Outcome:
    """What brings the `copy` of `deal` (None: there is none yet) in line with it.

    `lead` is the one of the deal's people that the operation is on account of, `person` that lead's record there.
    """
    outcome = Outcome()
    told = _told(deal, lead)
    target = into.target
    if copy is not None:
        if not copy.gone and target.can_update:
            revision(told, copy, target, DEAL_FIELDS, refused, outcome)
            why = f"{deal.name} changed"
            outcome.operations = [replace(operation, why=why) for operation in outcome.operations]
    elif person is not None and target.can_create and into.wants(told.values, lead.values):
        why = f"copy of {deal.name}, for a person who stands here"
        beside = {"person": f"{person.object}/{person.id}"}
        made = creation(told, target, why, refused, outcome.problems, about=deal.name, beside=beside)
        outcome.operations.extend(made)
    return outcome


def _told(deal: DealView, lead: LeadView) -> LeadView:
    """The deal's values in the shape of a lead's, each with its home as the reason. What is blank at home was cleared
    there, as far as a copy is concerned."""
    values = {**deal.body, "home": deal.name}
    at = deal.at
    reasons = {
        name: Provenance(deal.name, at, "the deal's home", cleared=value is None) for name, value in values.items()
    }
    return LeadView(lead.id, values, reasons)


def on_account_of(
    parties: list[str], standing: Callable[[str], RecordView | None], copied: bool
) -> tuple[str, RecordView | None]:
    """Which of a deal's people (lead ids, in a fixed order) its copy is planned for, and that lead's record there: the
    first who stands there where a copy is to be made, else the first of all. ("", None) for nobody."""
    if copied:
        return (parties[0], None) if parties else ("", None)
    return next(((lead, record) for lead in parties if (record := standing(lead)) is not None), ("", None))
