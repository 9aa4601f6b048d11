"""Field by field over all records of a lead: which value survives, and why.

Every rule is a function of the set of voices, not of the order in which they arrived: ties fall to the record that
won before if it still says the same, then to the record's name. So merging the same records always gives the same
lead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from mappings.model import Field, FieldType, Rule, Values
from sync.core import addresses
from sync.core.views import UNDECIDED, Provenance, RecordView

PERSON = "a person"
"""Stands for the source of a value that a person decided."""

# Voices of records that are gone still count under these rules: an opt-out, a first source and a stage once reached
# are facts about the person, not about the record.
_LASTING = {Rule.MOST_RESTRICTIVE, Rule.FIRST_SEEN, Rule.FURTHEST}


@dataclass(frozen=True, slots=True)
class Voice:
    """One record's say on one field."""

    source: str
    connection: str
    value: Any
    at: str
    since: str  # when the record itself began, for first_seen
    cleared: bool = False
    lost: bool = False  # said before the record was told older than it had been known


@dataclass(frozen=True, slots=True)
class Undecided:
    """Two or more different values and no rule that decides: for a person."""

    field: str
    options: tuple[Voice, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's answer where no rule decides: a value, or with `source` that record's word.

    It holds while the records say nothing new (`heard` is what they said when it was given, as (source, value)), or
    for good with `always`: then a named source is listened to whatever it says. `whatever`: it was
    asked whatever the field's rule is, and holds so. `once`: what is said later is new, also where it was heard.
    The value counts from `since`, where that is not when it was answered.
    """

    value: Any
    at: str
    source: str = ""
    always: bool = False
    heard: tuple[tuple[str, Any], ...] = ()
    whatever: bool = False
    once: bool = False
    since: str = ""

    def voice(self, voices: Sequence[Voice]) -> Voice | None:
        """The voice that the decision makes win; None when it does not hold any more."""
        if self.always and self.source:
            return next((voice for voice in voices if voice.source == self.source), None)
        told = all(v.value == self.value or self._was_heard(v) for v in voices)
        cleared = self.value is None or self.value == []
        at = self.since or self.at
        return Voice(PERSON, "", self.value, at, at, cleared) if self.always or told else None

    def _was_heard(self, voice: Voice) -> bool:
        return (voice.source, voice.value) in self.heard and not (self.once and voice.at > self.at)


Expressed = Callable[[str, str, Any], Any]
"""(record, field, value) -> what the record's mapping reads of the value once it has written it; None where it does not
write it."""


@dataclass(frozen=True, slots=True)
class Merged:
    values: Values
    reasons: dict[str, Provenance]
    undecided: tuple[Undecided, ...]


def merge(
    records: Sequence[RecordView],
    fields: Mapping[str, Field],
    order: Mapping[str, Sequence[str]],
    before: Values,
    why_before: Mapping[str, Provenance],
    own: Sequence[Voice] = (),
    own_field: str = "lifecycle_stage",
    decisions: Mapping[str, Decision] | None = None,
    contested: Mapping[str, Sequence[Voice]] | None = None,
    expressed: Expressed | None = None,
) -> Merged:
    """The lead that `records` make.

    `order` names connections by field, for the `prefer` rules. `before` and `why_before` are the lead as last merged:
    a field on which no record has a say any more keeps its value. `own` are the engine's own voices on `own_field`.
    `decisions` are a person's answers to earlier conflicts, by field. `contested` fields are a person's to decide too,
    whatever their rule, with the voices that were lost there and may count still. `expressed` tells what a record can
    hold of a value.
    """
    values: Values = {}
    reasons: dict[str, Provenance] = {}
    undecided: list[Undecided] = []
    decided, doubtful = decisions or {}, contested or {}
    known = addresses.read(records, before, why_before.get(addresses.MAIN))
    spoken = {name for record in records for name in record.body}  # few of all the fields that there are
    for field in _ruled(fields, doubtful):
        if field.derived:
            continue
        voices = speaking(field, records) if field.name in spoken else []
        if field.name == addresses.MAIN and known.silent:
            voices = _but_silent(voices, known.silent, decided.get(field.name))
        if field.name == own_field:
            voices.extend(own)
        if field.name in doubtful:
            voices.extend(_unsaid(doubtful[field.name], voices))
        if not voices:
            _keep(field.name, before, why_before, values, reasons)
            if (last := _last_word(field, decided.get(field.name), before.get(field.name))) is not None:
                values[field.name] = last.value
                reasons[field.name] = replace(_provenance(field, last, last.value, ()), rule="decided")
            continue
        if field.name in decided and (field.rule is Rule.ASK or decided[field.name].whatever):
            chosen = decided[field.name].voice(_weighty(field, decided[field.name], voices))
            if chosen is not None:
                values[field.name] = chosen.value
                reasons[field.name] = replace(_provenance(field, chosen, chosen.value, voices), rule="decided")
                continue
        previous = why_before.get(field.name)
        raw, voices = voices, _whole(field, voices, before.get(field.name), expressed)
        winner = _winner(field, voices, order.get(field.name, ()), previous.source if previous else "")
        if winner is None:
            undecided.append(Undecided(field.name, tuple(raw)))
            _keep(field.name, before, why_before, values, reasons)
            if field.name in reasons:
                reasons[field.name] = replace(reasons[field.name], rule=UNDECIDED)
            continue
        if previous is not None and _fell_silent(field, previous, winner, records):
            _keep(field.name, before, why_before, values, reasons)
            continue
        value = _union(voices) if field.rule is Rule.UNION else winner.value
        values[field.name] = value
        reasons[field.name] = _provenance(field, winner, value, voices)
    addresses.note(known, values, reasons, fields)
    return Merged(values, reasons, tuple(undecided))


def _but_silent(voices: Sequence[Voice], silent: Collection[str], answer: Decision | None) -> list[Voice]:
    """`voices` but those of records that say another address beside the main one. One that a person takes at its word
    for good is heard."""
    heard = answer.source if answer is not None and answer.always else ""
    return [voice for voice in voices if voice.source not in silent or voice.source == heard]


def _unsaid(lost: Sequence[Voice], voices: Sequence[Voice]) -> list[Voice]:
    """Those of the lost voices whose value nobody says any more."""
    told = [voice.value for voice in voices]
    return [voice for voice in lost if voice.value not in told]


def _weighty(field: Field, answer: Decision, voices: Sequence[Voice]) -> Sequence[Voice]:
    """The voices that may overturn an answer of one moment. Where a field only tightens or goes forward, a record that
    was not heard then and says less, such as one made since, takes nothing back; where the latest counts, nor does what
    is older than the value."""
    if answer.once and answer.since and field.rule is Rule.MOST_RECENT:
        return [voice for voice in voices if voice.at > answer.since]
    if not answer.once or field.rule not in (Rule.MOST_RESTRICTIVE, Rule.FURTHEST):
        return voices
    rank: dict[Any, int] = {option: number for number, option in enumerate(field.options)}
    known = {source for source, _ in answer.heard}
    reached = rank.get(answer.value, -1)
    return [voice for voice in voices if voice.source in known or rank.get(voice.value, -1) > reached]


def _last_word(field: Field, answer: Decision | None, before: Any) -> Voice | None:
    """What was kept of a field that only tightens or goes forward, when the only record that said it lost it: no record
    says anything of the field any more, and the lead may have been made before it was said."""
    if answer is None or not answer.once or field.rule not in (Rule.MOST_RESTRICTIVE, Rule.FURTHEST):
        return None
    rank: dict[Any, int] = {option: number for number, option in enumerate(field.options)}
    return answer.voice(()) if rank.get(answer.value, -1) > rank.get(before, -1) else None


def _ruled(fields: Mapping[str, Field], contested: Collection[str]) -> Iterable[Field]:
    if not contested:
        return fields.values()
    return [replace(field, rule=Rule.ASK) if name in contested else field for name, field in fields.items()]


def _keep(
    name: str,
    before: Values,
    why_before: Mapping[str, Provenance],
    values: Values,
    reasons: dict[str, Provenance],
) -> None:
    if name in before:
        values[name] = before[name]
        if name in why_before:
            reasons[name] = why_before[name]


def _provenance(field: Field, winner: Voice, value: Any, voices: Iterable[Voice]) -> Provenance:
    over = tuple((voice.source, voice.value, voice.at) for voice in voices if voice.value != value)
    if field.rule is Rule.UNION:
        over = ()
    return Provenance(winner.source, winner.at, field.rule.value, over, winner.cleared)


_ORDERED = (Rule.FURTHEST, Rule.MOST_RESTRICTIVE, Rule.UNION)
"""Rules under which a record that answers with another value than was sent has said something of its own."""


def speaking(field: Field, records: Iterable[RecordView]) -> list[Voice]:
    """Who has a say on `field`. A blank speaks only where `on_blank` lets it."""
    found = []
    for record in records:
        if field.name not in record.body or field.name not in record.pulled:
            continue
        if record.gone and field.rule not in _LASTING:
            continue
        value = record.body[field.name]
        blank = value is None or value == []
        if blank and not _blank_speaks(field.name, record):
            continue
        held = record.held.get(field.name)
        if held is not None and held[1] == value and field.rule not in _ORDERED:
            value = held[0]  # what a platform made of a word of ours is no other word
        since = record.body.get("created_at") or record.first_at
        found.append(Voice(record.name, record.connection, value, record.at(field.name), since, cleared=blank))
    return found


def _whole(field: Field, voices: list[Voice], before: Any, expressed: Expressed | None) -> list[Voice]:
    """`voices`, but a record that holds just what its mapping makes of the lead's value, or of one that counts from the
    same moment, says that value: it cannot hold the rest of it, and says nothing against it."""
    if expressed is None or field.rule in _ORDERED or all(voice.value == before for voice in voices):
        return voices
    found = []
    for voice in voices:
        told = [before, *(other.value for other in voices if other.at == voice.at)]
        may = [value for value in told if value not in (None, [], voice.value)] if not voice.cleared else []
        whole = (value for value in may if expressed(voice.source, field.name, value) == voice.value)
        found.append(replace(voice, value=next(whole, voice.value)))
    return found


def _blank_speaks(name: str, record: RecordView) -> bool:
    policy = record.on_blank.get(name, "ignore")
    return policy == "known" or (policy == "clear" and name in record.changed)


def _winner(field: Field, voices: Sequence[Voice], order: Sequence[str], incumbent: str) -> Voice | None:
    """The voice that decides, None when the rule leaves it to a person."""
    match field.rule:
        case Rule.MOST_RECENT | Rule.UNION:
            return _latest(voices, incumbent)
        case Rule.PREFER:
            return _preferred(voices, order, incumbent)
        case Rule.PREFER_UNLESS_BLANK:
            spoken = [voice for voice in voices if not voice.cleared]
            return _preferred(spoken or voices, order, incumbent)
        case Rule.FURTHEST | Rule.MOST_RESTRICTIVE:
            return _furthest(field, voices, incumbent)
        case Rule.FIRST_SEEN:
            return _first(field, voices)
        case Rule.ASK:
            same = all(voice.value == voices[0].value for voice in voices)
            return _latest(voices, incumbent) if same else None
        case _:  # pragma: no cover
            assert_never(field.rule)


def _fell_silent(field: Field, previous: Provenance, winner: Voice, records: Iterable[RecordView]) -> bool:
    """Whether the record that the lead's value came from lives and is blank by now, which says nothing, and all others
    say what is older than that value: it replaced them, and they are not listened to again."""
    if field.rule is not Rule.MOST_RECENT or winner.at >= previous.at:
        return False
    source = next((record for record in records if record.name == previous.source and not record.gone), None)
    if source is None or field.name not in source.pulled or field.name not in source.body:
        return False
    return source.body[field.name] in (None, []) and not _blank_speaks(field.name, source)


def _latest(voices: Sequence[Voice], incumbent: str) -> Voice:
    return max(voices, key=lambda voice: (voice.at, voice.source == incumbent, voice.source))


def _preferred(voices: Sequence[Voice], order: Sequence[str], incumbent: str) -> Voice:
    for connection in order:
        theirs = [voice for voice in voices if voice.connection == connection]
        if theirs:
            return _latest(theirs, incumbent)
    return _latest(voices, incumbent)


def _furthest(field: Field, voices: Sequence[Voice], incumbent: str) -> Voice:
    rank = {option: number for number, option in enumerate(field.options)}
    # the earliest of those that reached it: it said so first
    best = max(rank.get(voice.value, -1) for voice in voices)
    reached = [voice for voice in voices if rank.get(voice.value, -1) == best]
    return min(reached, key=lambda voice: (voice.at, voice.source != incumbent, voice.source))


def _first(field: Field, voices: Sequence[Voice]) -> Voice:
    spoken = [voice for voice in voices if not voice.cleared] or list(voices)
    if field.type in (FieldType.DATE, FieldType.DATETIME):
        return min(spoken, key=lambda voice: (str(voice.value or "9"), voice.source))
    return min(spoken, key=lambda voice: (voice.since, voice.at, voice.source))


def _union(voices: Iterable[Voice]) -> list[str]:
    return sorted({item for voice in voices for item in voice.value or ()})
