"""What people do to the sides, and the truth that the oracle judges by: of each value that was ever given, by whom,
where, and which values were in sight then. Every value is given once only, but for those that return (`returns.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from connectors.api import Gone
from tests.simulation.moments import number_of
from tests.simulation.side import Side, email_of

if TYPE_CHECKING:
    from tests.simulation.dates import Dated

FIELDS = ("first", "title")
STAGES = ("subscriber", "lead", "marketing_qualified", "opportunity", "customer")


@dataclass(slots=True)
class Edit:
    """A value that a person gave a field, and all values that were in sight, or replaced by those in sight. Of a blank
    `mute`: the engine never knew the field of this record to be filled, so that a blank there tells it nothing."""

    field: str
    value: str | None
    replaced: frozenset[int]
    side: str
    row: str
    email: str
    mute: bool = False


@dataclass(frozen=True, slots=True)
class Union:
    """Two people who turned out to be one (`joining.py`), by the names that they had until then; by then so many writes
    had been done on each side."""

    keep: str
    lose: str
    writes: Mapping[str, int]


@dataclass
class People:
    """The people behind the sides, who act as `rng` has it. `say` is told each thing that was done."""

    sides: dict[str, Side]
    rng: Random
    say: Callable[[str], None]
    number: int = 3
    edits: list[Edit] = field(default_factory=list)
    opted_out: list[tuple[str, str, str]] = field(default_factory=list)  # (side, row, e-mail)
    maybe_out: set[str] = field(default_factory=set)  # e-mails of people whose opt-out need not have been heard
    staged: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (side, row) -> what people said
    decided: dict[tuple[str, str], str | None] = field(default_factory=dict)  # (e-mail, field) -> an answer of theirs
    moves: dict[tuple[str, str], int] = field(default_factory=dict)  # (person, address they changed to) -> the edit
    shared: dict[str, set[str]] = field(default_factory=dict)  # address of several people -> all who came by it
    joined: Counter[str] = field(default_factory=Counter)  # how often people were entered under their first address
    anew: dict[int, int] = field(default_factory=dict)  # edit -> the one by which its value was given again
    late: set[int] = field(default_factory=set)  # edits that look as if they were given when they are told
    given: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)  # (side, row, field) -> edit, when
    first: dict[str, int] = field(default_factory=dict)  # value that returned -> the edit that gave it first
    linked: Callable[[str], str | None] = lambda name: None  # of the engine's name of a lead, the person on its records
    mutes: Callable[[Side, str], bool] = lambda side, name: False  # whether a blank made there now tells nothing
    owned: Callable[[Side, str], bool] = lambda side, name: False  # whether what is said of a field is no word there
    unions: list[Union] = field(default_factory=list)
    blanked: set[tuple[str, str]] = field(default_factory=set)  # (record, field) shown blank before it was blanked
    carried: dict[int, str] = field(default_factory=dict)  # edit -> whose record a merge carried its value to, too
    roots: dict[int, str] = field(default_factory=dict)  # edit of a main address -> the first one that it goes back to
    main: Callable[[Side, str], bool] = lambda side, id: True  # whether a record has the main address, as all know
    tail: str = ""  # what is behind every value that is given
    dated: Dated | None = None  # what titles are instead of texts
    acts: int = 0

    def one(self, email: str, at: tuple[str, int] | None = None) -> str:
        """The one name of all who are this person: in the end, or as of the nth write (from 0) to a side."""
        for union in self.unions:
            if email == union.lose and (at is None or at[1] >= union.writes[at[0]]):
                email = union.keep
        return email

    def act(self) -> None:
        """Somebody, somewhere, does something."""
        self.acts += 1
        side = self.sides[self.rng.choice(tuple(self.sides))]
        live = sorted(side.live())
        what = self.rng.random()
        if what < 0.25 or not live:
            self._join(side)
        elif what < 0.76:
            self._edit(side, self.rng.choice(live))
        elif what < 0.82:
            self._stage(side, self.rng.choice(live))
        elif what < 0.88:
            self._opt_out(side, self.rng.choice(live))
        elif what < 0.92:
            side.remove(self._chosen(side, live, "deletes"))
        else:
            self._rearrange(side, live)

    def _chosen(self, side: Side, live: list[str], what: str) -> str:
        id = self.rng.choice(live)
        self.say(f"{side.name}/{id} {what}")
        return id

    def _join(self, side: Side) -> None:
        email = f"p{self.rng.randrange(self.number)}@x.example"
        here = [row for row in side.rows().values() if side.whose[row.id] == email]
        if here and (here[-1].gone is not None or len(here) > 1 or self.rng.random() < 0.7):
            return
        typed = email.title() if self.rng.random() < 0.2 else email
        self.joined[email] += 1
        id = side.put({"email": typed, "consent": "subscribed"})
        self._give(side, id, self.rng.choice(FIELDS))

    def _edit(self, side: Side, id: str) -> None:
        name = self.rng.choice(FIELDS)
        self._give(side, id, name, blank=name == "title" and self.rng.random() < 0.1)

    def _give(self, side: Side, id: str, name: str, *, blank: bool = False) -> None:
        value = None if blank else self._word(side, name)
        tells = not (blank and ((id, name) not in side.filled or self.mutes(side, name)))
        self._enter(side, id, name, value, mute=not tells or self.owned(side, name))

    def _word(self, side: Side, name: str) -> Any:
        """The next value, as it comes to stand on this side."""
        if self.dated is not None and name == "title":
            return self.dated.given(side.name, len(self.edits))
        return f"Value {len(self.edits)}{self.tail}"[: side.cuts or None]

    def give_again(self, side: Side, id: str, name: str, value: str) -> None:
        """Somebody gives a record a value that the person has had before; that it was shown then tells nobody of it."""
        self.first.setdefault(value, int(value.split()[1]))
        side.shown -= {(id, name, value), (id, name, value.upper())}
        self._enter(side, id, name, value, mute=self.owned(side, name))

    def _enter(self, side: Side, id: str, name: str, value: str | None, *, mute: bool = False) -> None:
        if name == side.lacking:
            return
        seen = self._seen(side, id, name)
        replaced = frozenset() if seen is None else self._over(seen, told=(id, name) not in side.untold)
        if seen is not None and not self._waits(seen, id):
            replaced |= {seen}
        self.given[(side.name, id, name)] = (len(self.edits), len(side.history[id]))
        if value is None and (id, name, None) in side.shown:
            self.blanked.add((id, name))
        self.edits.append(Edit(name, value, replaced, side.name, id, side.whose[id], mute))
        side.edit(id, {name: value})
        self.say(f"{side.name}/{id}.{name}={value}")

    def _seen(self, side: Side, id: str, name: str) -> int | None:
        """The edit whose value stands there. Of a value that was given more than once, and written there by the engine
        perhaps, only the first is certain."""
        value = side.history[id][-1].values.get(name)
        known = next((first for again, first in self.first.items() if again.casefold() == str(value).casefold()), None)
        if known is None:
            return self.edit_of(value)
        number, since = self.given.get((side.name, id, name), (known, 0))
        stood = {str(row.values.get(name)).casefold() for row in side.history[id][since:]}
        return number if stood == {str(value).casefold()} and _plain(self.edits[number]) in stood else known

    def move(self, rng: Random, linked: Collection[tuple[str, str]]) -> bool:
        """Somebody whom the engine knows by their address, on one of these (side, row), gets another, which nobody else
        has or had. Whether there is anybody."""
        side = self.sides[rng.choice(tuple(self.sides))]
        here = sorted(id for id in side.live() if (side.name, id) in linked)
        if not here:
            return False
        id = rng.choice(here)
        self._readdress(side, id, side.whose[id].replace("@", f"+{len(self.edits)}@"))
        return True

    def share(self, rng: Random, owned: Mapping[tuple[str, str], Collection[str]]) -> bool:
        """Somebody whom the engine knows gets an address that it knows as somebody else's: a shared inbox, or one that
        was given to the next. `owned` has the addresses of the leads of these (side, row). Whether there is anybody."""
        side = self.sides[rng.choice(tuple(self.sides))]
        here = sorted(id for id in side.live() if (side.name, id) in owned)
        if not here:
            return False
        id = rng.choice(here)
        person, has = side.whose[id], str(side.history[id][-1].values["email"]).casefold()
        theirs = {address: self.sides[name].whose[row] for (name, row), found in owned.items() for address in found}
        hidden = {has, *(self._returns(side, id) if self.unions else ())}
        others = sorted(address for address, owner in theirs.items() if owner != person and address not in hidden)
        if not others:
            return False
        address = rng.choice(others)
        self.shared.setdefault(address, {theirs[address]}).add(person)
        self._readdress(side, id, address)
        return True

    def _returns(self, side: Side, id: str) -> set[str]:
        """The addresses that a record had before, and those of records that live on as it: nothing tells yet that they
        are given again."""
        rows = [*side.history[id], *(row for row in side.rows().values() if row.into == id)]
        return {str(row.values["email"]).casefold() for row in rows}

    def _readdress(self, side: Side, id: str, address: str) -> None:
        person, had = side.whose[id], str(side.history[id][-1].values["email"]).casefold()
        stands, replaced, number = self._moved(person, had), frozenset[int](), len(self.edits)
        if self.main(side, id):
            self.roots[number] = had if stands is None else self.roots.get(stands, had)
            replaced = frozenset() if stands is None else self.edits[stands].replaced | {stands}
        self.moves[(person, address)] = number
        self.edits.append(Edit("email", address, replaced, side.name, id, person))
        side.edit(id, {"email": address})
        self.say(f"{side.name}/{id}.email={address}")

    def _moved(self, person: str, address: str) -> int | None:
        """The last edit that gave this address to the person, or to whoever is one with them; whose first one it is may
        have it from the first."""
        theirs = [n for (who, at), n in self.moves.items() if at == address and self.one(who) == self.one(person)]
        return self.moves.get((person, address)) if address in self.joined else max(theirs, default=None)

    def of(self, values: Mapping[str, Any]) -> str:
        """Of whom a record speaks: of whoever gave its values, whatever its address. Each value is one person's; of one
        that came over with a merge the address tells whose. One without any speaks of whom another speaks that the
        engine gave the same name, or has meant to give it."""
        numbers = [number for name in FIELDS if (number := self.edit_of(values.get(name))) is not None]
        number = min(numbers, key=lambda number: number in self.carried, default=None)
        if number is None:
            return self._named(values)
        other = self.carried.get(number)
        return other if other is not None and other == email_of(values) else self.edits[number].email

    def _named(self, values: Mapping[str, Any]) -> str:
        key, every = values.get("key"), [(side, row) for side in self.sides.values() for row in side.rows().values()]
        named = (side.whose[row.id] for side, row in every if key and row.values.get("key") == key)
        return next(named, None) or self.linked(str(key)) or email_of(values)

    def edit_of(self, value: Any) -> int | None:
        """The number of the edit that gave this value last; None for a blank."""
        number = self.dated.nth(value) if self.dated and not str(value)[:1].isalpha() else number_of(value)
        return None if number is None else self.anew.get(number, number)

    def again(self, edit: Edit) -> None:
        """A value that stood before is given again."""
        if edit.value:
            self.anew[int(edit.value.split()[1])] = len(self.edits)
        self.edits.append(edit)

    def _over(self, seen: int, *, told: bool) -> frozenset[int]:
        """What the value of an edit replaced. What looks as if it was given when it is told does so only once it is."""
        edit = self.edits[seen]
        if told or seen not in self.late or not edit.value:
            return edit.replaced
        before = int(edit.value.split()[1])
        return self.edits[before].replaced | {before}

    def _waits(self, seen: int, id: str) -> bool:
        """Whether a value in sight on this row looks as if it was given when it is told, and stands on another one that
        tells nobody of it yet: it will be told, whatever comes over it here."""
        edit = self.edits[seen]
        elsewhere = edit.row != id and (edit.row, edit.field) in self.sides[edit.side].untold
        return seen in self.late and elsewhere

    def _stage(self, side: Side, id: str) -> None:
        stage = self.rng.choice(STAGES)
        self.staged.setdefault((side.name, id), []).append(stage)
        side.edit(id, {"stage": stage})
        self.say(f"{side.name}/{id}.stage={stage}")

    def _opt_out(self, side: Side, id: str) -> None:
        side.edit(id, {"consent": "unsubscribed"})
        self.opted_out.append((side.name, id, side.whose[id]))
        self.say(f"{side.name}/{id} opts out")

    def _rearrange(self, side: Side, live: list[str]) -> None:
        """Records are put away, brought back, merged or converted."""
        away = sorted(id for id, row in side.rows().items() if row.gone is Gone.ARCHIVED)
        twins = self._twins(side)
        if len(side.objects) > 1 and self.rng.random() < 0.6:
            leads = [id for id in live if side.history[id][-1].object == side.objects[0]]
            if leads:
                side.convert(self._chosen(side, leads, "is converted"))
        elif twins:
            keep, lose = twins
            self.say(f"{side.name}/{lose} is merged into {keep}")
            side.remove(lose, Gone.MERGED, keep, side.history[keep][-1].object)
        elif away:
            side.restore(self._chosen(side, away, "is brought back"))
        else:
            side.remove(self._chosen(side, live, "is put away"), Gone.ARCHIVED)

    def _twins(self, side: Side) -> tuple[str, str] | None:
        found: dict[str, str] = {}
        for id, row in sorted(side.live().items()):
            other = found.setdefault(side.whose[row.id], id)
            if other != id:
                return (other, id) if self.rng.random() < 0.5 else (id, other)
        return None


def _plain(edit: Edit) -> str:
    return str(edit.value).casefold()
