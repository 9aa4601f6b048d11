"""Is it sales-ready? The agreed definition of a qualified lead, as the project file states it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mappings.model import ACTIVITY_TYPES
from sync.core.views import ActivityView


class Condition(Protocol):
    """A compiled CEL condition."""

    def truth(self, context: Mapping[str, Any]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """`points` for a lead that meets `when`; `because` is the reason a person reads."""

    when: Condition
    points: int
    because: str


@dataclass(frozen=True, slots=True)
class Definition:
    """What marketing and sales agreed: the weighed signals, and the condition that makes a lead qualified."""

    signals: tuple[Signal, ...] = ()
    qualified_when: Condition | None = None
    text: str = ""

    @property
    def asks(self) -> bool:
        """Whether it looks at a lead at all."""
        return bool(self.signals) or self.qualified_when is not None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The score with the signals that made it, and whether the lead qualifies."""

    score: int
    qualified: bool
    why: tuple[tuple[int, str], ...]


def tally(activities: Iterable[ActivityView]) -> dict[str, Any]:
    """What `activity` is in a condition: a count per type, `total`, and `last_at` ('' when there is none)."""
    listed = list(activities)
    counts = Counter(activity.type for activity in listed)
    found: dict[str, Any] = {name: counts.get(name, 0) for name in ACTIVITY_TYPES}
    found["total"] = len(listed)
    found["last_at"] = max((activity.at for activity in listed), default="")
    return found


def judge(definition: Definition, lead: Mapping[str, Any], activity: Mapping[str, Any]) -> Verdict:
    """The verdict on a lead; `lead` is the context of `mappings.expressions.lead_context`, blanks filled."""
    context = {"lead": lead, "activity": activity}
    why = tuple((signal.points, signal.because) for signal in definition.signals if signal.when.truth(context))
    score = sum(points for points, _ in why)
    if definition.qualified_when is None:
        return Verdict(score, False, why)
    qualified = definition.qualified_when.truth({**context, "score": score})
    return Verdict(score, qualified, why)


def reasons(definition: Definition, verdict: Verdict) -> Sequence[str]:
    """The verdict in words, one line a reason."""
    lines = [f"{points:+d} {because}" for points, because in verdict.why]
    return [*lines, f"score {verdict.score}; qualified when {definition.text}"]
