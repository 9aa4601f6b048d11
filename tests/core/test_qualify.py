"""Is it sales-ready: the score, the condition, and the reasons in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mappings.model import ACTIVITY_TYPES
from sync.core.qualify import Definition, Signal, Verdict, judge, reasons, tally
from sync.core.views import ActivityView


@dataclass(frozen=True)
class Says:
    """A condition that holds where the context has this value at this place."""

    place: str
    key: str
    least: int

    def truth(self, context: Mapping[str, Any]) -> bool:
        found = context[self.place]
        return bool((found[self.key] if self.key else found) >= self.least)


FORM = Signal(Says("activity", "form", 1), 40, "asked for contact")
STAFF = Signal(Says("lead", "employees", 100), 20, "is large")
TINY = Signal(Says("lead", "employees", 0), -5, "is known")


def activity(type: str, at: str) -> ActivityView:
    return ActivityView("alpha", type, at)


def test_activities_are_counted_by_type() -> None:
    found = tally(iter([activity("form", "2"), activity("form", "3"), activity("page", "1")]))
    assert found == {**dict.fromkeys(ACTIVITY_TYPES, 0), "form": 2, "page": 1, "total": 3, "last_at": "3"}


def test_nothing_done_is_told_as_nothing() -> None:
    assert tally([]) == {**dict.fromkeys(ACTIVITY_TYPES, 0), "total": 0, "last_at": ""}


def test_the_score_is_the_sum_of_what_holds() -> None:
    definition = Definition((FORM, STAFF, TINY), Says("score", "", 40), "score >= 40")
    verdict = judge(definition, {"employees": 5}, {"form": 1})
    assert verdict == Verdict(35, False, ((40, "asked for contact"), (-5, "is known")))
    assert judge(definition, {"employees": 100}, {"form": 1}) == Verdict(
        55, True, ((40, "asked for contact"), (20, "is large"), (-5, "is known"))
    )


def test_the_condition_sees_the_lead_and_what_was_done() -> None:
    for place, key in (("lead", "employees"), ("activity", "form")):
        definition = Definition((), Says(place, key, 1))
        assert judge(definition, {"employees": 1}, {"form": 1}).qualified
        assert not judge(definition, {"employees": 0}, {"form": 0}).qualified


def test_without_a_condition_nobody_qualifies() -> None:
    assert judge(Definition((FORM,)), {}, {"form": 3}) == Verdict(40, False, ((40, "asked for contact"),))
    assert Definition().text == ""


def test_the_reasons_are_told_one_a_line() -> None:
    definition = Definition((FORM, TINY), Says("score", "", 1), "score >= 1")
    verdict = judge(definition, {"employees": 1}, {"form": 1})
    assert list(reasons(definition, verdict)) == [
        "+40 asked for contact",
        "-5 is known",
        "score 35; qualified when score >= 1",
    ]
