"""What stands on people's records and is nobody's to write: lists they are on, tags, notes, addresses beside the first,
fields of the account's own. A person put it there, beside the story of a seed, and no update may take it away (S23):
neither one that sends a record as a whole, nor one that replaces a list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.oracle import Violation

if TYPE_CHECKING:
    from tests.simulation.platforms import PairScenario

KEPT = "something to keep"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something can stand on a record: how it is put there, and whether it still is. Where there is room for
    `one` thing it replaces what was there."""

    put: Callable[[Any, str, str], None]
    stands: Callable[[Any, str, str], bool]
    one: bool = False


def _member(sandbox: Any, id: str) -> Row:
    row: Row = sandbox.store.found(id)
    return row


def _tag_member(sandbox: Any, id: str, word: str) -> None:
    sandbox.store.set_tags(_member(sandbox, id), [{"name": word, "status": "active"}])


def _interest(sandbox: Any, id: str, word: str) -> None:
    sandbox.store.change(_member(sandbox, id), {"interests": {word: True}})


def _merge_field(sandbox: Any, id: str, word: str) -> None:
    sandbox.store.change(_member(sandbox, id), {"merge_fields": {"BIRTHDAY": word}})


MAILCHIMP = (
    Place(_tag_member, lambda box, id, word: word in {tag["name"] for tag in _member(box, id)["tags"]}),
    Place(_interest, lambda box, id, word: _member(box, id)["interests"].get(word) is True),
    Place(_merge_field, lambda box, id, word: _member(box, id)["merge_fields"]["BIRTHDAY"] == word, one=True),
)


def _contact(sandbox: Any, id: str) -> Row:
    row: Row = sandbox.store.rows["contacts"][int(id)]
    return row


def _list(sandbox: Any, word: str) -> str:
    store = sandbox.store
    return str((store.first("lists", name=word) or store.new("lists", {"name": word}))["id"])


def _join(sandbox: Any, id: str, word: str) -> None:
    sandbox.store.list_status(_contact(sandbox, id), _list(sandbox, word), "1")


def _joined(sandbox: Any, id: str, word: str) -> bool:
    found = sandbox.store.first("contactLists", contact=id, list=_list(sandbox, word))
    return found is not None and found["status"] == "1"


def _tag_contact(sandbox: Any, id: str, word: str) -> None:
    sandbox.store.tag(_contact(sandbox, id), sandbox.store.tag_named(word))


def _tagged(sandbox: Any, id: str, word: str) -> bool:
    return sandbox.store.first("contactTags", contact=id, tag=sandbox.store.tag_named(word)) is not None


def _field(sandbox: Any) -> str:
    store = sandbox.store
    return str((store.first("fields", perstag="KEPT") or store.new("fields", {"perstag": "KEPT"}))["id"])


def _noted(sandbox: Any, id: str, word: str) -> bool:
    return sandbox.store.first("fieldValues", contact=id, field=_field(sandbox), value=word) is not None


ACTIVECAMPAIGN = (
    Place(_join, _joined),
    Place(_tag_contact, _tagged),
    Place(lambda box, id, word: box.store.set_field(_contact(box, id), _field(box), word), _noted, one=True),
)


def _part(name: str, made: Callable[[Any, str], Any]) -> Place:
    """One of the lists of a Constant Contact contact."""

    def put(sandbox: Any, id: str, word: str) -> None:
        row = sandbox.store.rows["contacts"][id]
        row[name] = [*row.get(name, ()), made(sandbox, word)]
        row["updated_at"] = sandbox.store.now()

    def stands(sandbox: Any, id: str, word: str) -> bool:
        return made(sandbox, word) in sandbox.store.rows["contacts"][id].get(name, ())

    return Place(put, stands)


def _celebrates(sandbox: Any, id: str, word: str) -> None:
    row = sandbox.store.rows["contacts"][id]
    row.update({"anniversary": word, "updated_at": sandbox.store.now()})


def _custom(sandbox: Any, word: str) -> Row:
    return {"custom_field_id": sandbox.store.named("contact_custom_fields", word), "value": word}


CONSTANT_CONTACT = (
    _part("list_memberships", lambda box, word: box.store.named("contact_lists", word)),
    _part("taggings", lambda box, word: box.store.named("contact_tags", word)),
    _part("custom_fields", _custom),
    _part("notes", lambda box, word: {"note_id": word, "content": word}),
    Place(_celebrates, lambda box, id, word: box.store.rows["contacts"][id].get("anniversary") == word, one=True),
)


def _prospect(sandbox: Any, id: str) -> Row:
    row: Row = sandbox.store.rows["prospect"][int(id)]
    return row


def _listed(name: str, made: Callable[[str], str]) -> Place:
    """One of the lists of a prospect, whose first item is mapped."""

    def put(sandbox: Any, id: str, word: str) -> None:
        row = _prospect(sandbox, id)
        sandbox.store.change(row, {name: [*(row["attributes"].get(name) or ()), made(word)]}, {})

    return Place(put, lambda box, id, word: made(word) in (_prospect(box, id)["attributes"].get(name) or ()))


OUTREACH = (_listed("emails", lambda word: f"{word}@y.example".lower()), _listed("tags", str))


def _of_hubspot(sandbox: Any, id: str) -> Row:
    row: Row = sandbox.store.find("contacts", id)
    return row


HUBSPOT = (
    Place(
        lambda box, id, word: box.store.change("contacts", _of_hubspot(box, id), {"hobbies": word}),
        lambda box, id, word: _of_hubspot(box, id)["properties"].get("hobbies") == word,
        one=True,
    ),
)

WHOLE = ("constant_contact",)
"""Platforms that take whole records only: what somebody puts there between the engine's look and its write is written
over, and nobody can see it."""
REPLACED = (("outreach", 0),)
"""Places of lists that an update replaces as a whole: the same."""
LEFT = (("activecampaign", 0),)
"""Places that whoever opts out leaves, wherever they do."""
PLACES: Mapping[str, tuple[Place, ...]] = {
    "activecampaign": ACTIVECAMPAIGN,
    "constant_contact": CONSTANT_CONTACT,
    "hubspot": HUBSPOT,
    "mailchimp": MAILCHIMP,
    "outreach": OUTREACH,
}


RATES = (0.0, 0.0, 0.4, 0.8)
MARKED = 0.05
"""Of the scenarios in which something is kept, those in which the engine puts marks of its own beside it."""


def marks(seed: int, names: Collection[str]) -> bool:
    """Whether this scenario is one where the engine marks people itself, by tags and lists that its updates write."""
    rng = Random(f"{seed}-keepsakes")
    keeps = rng.choice(RATES) > 0
    return keeps and Random(f"{seed}-marks").random() < MARKED and bool(MARKS.keys() & set(names))


_YES = "field: closedloop_id, transform: [{values: {map: {nobody: nobody}, write_default: true}}]"
MARKS: Mapping[str, tuple[str, ...]] = {
    "activecampaign": ("tags.Marked, field: qualified",),
    "constant_contact": ("tags.Marked, field: qualified", f"lists.Marked, {_YES}"),
    "mailchimp": ("tags.Marked, field: qualified", f"interests.Topics/Marked, {_YES}"),
}
"""What a mapping writes of everybody, where the engine marks people."""


def marked(name: str, mapping: str) -> str:
    """A mapping that marks everybody."""
    lines = "".join(f"      - {{remote: {mark}, direction: push}}\n" for mark in MARKS.get(name, ()))
    at = "      - {remote: tags.customer,"
    return mapping.replace(at, f"{lines}{at}", 1)


def prepare(sandbox: Any) -> None:
    """The account has the lists and groups that are written to."""
    if sandbox.name == "mailchimp":
        sandbox.categories = {"topics": {"title": "Topics", "interests": {"marked": "Marked"}}}
    elif sandbox.name == "constant_contact":
        sandbox.store.named("contact_lists", "Marked")


@dataclass
class Keepsakes:
    """Those of one scenario. `put` has what stands where: (platform, record, place) -> words, `whose` the e-mail."""

    seed: int
    allowed: bool
    put: dict[tuple[str, str, int], list[str]] = field(default_factory=dict)
    whose: dict[tuple[str, str], str] = field(default_factory=dict)
    words: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}-keepsakes")
        drawn = self.rng.choice(RATES)
        self.rate = drawn if self.allowed else 0.0

    def act(self, scenario: PairScenario) -> None:
        """Perhaps somebody puts something on a record."""
        if not self.rate or self.rng.random() >= self.rate:
            return
        name = self.rng.choice(sorted(scenario.objects))
        people = scenario._people(name) if name in PLACES and not (scenario.acting and name in WHOLE) else ()
        here = sorted((id, scenario.beside.addresses.person(values)) for _, id, values in people if values.get("email"))
        if not here:
            return
        (id, email), number = self.rng.choice(here), self.rng.randrange(len(PLACES[name]))
        if name == "mailchimp":  # on accounts that tell no contact id a record's id goes with its address
            id = str(_member(scenario.pair.sandboxes[name], id)["contact_id"])
        if (name, number) in LEFT and email in scenario.optouts.said:
            return
        if (name, number) in REPLACED and scenario.acting:
            return
        self.whose[(name, id)] = email
        self.words += 1
        word = f"Kept{self.words}"
        PLACES[name][number].put(scenario.pair.sandboxes[name], id, word)
        before = [] if PLACES[name][number].one else self.put.get((name, id, number), [])
        self.put[(name, id, number)] = [*before, word]
        scenario.wire.met[f"beside/{KEPT}"] += 1
        scenario.told.append(f"{name}: {word} is put on {id}, place {number}")

    def merged(self, name: str, id: str, into: str) -> None:
        """What stood on a record stands on the one that it became."""
        for place in [place for place in self.put if place[:2] == (name, id)]:
            self.put[(name, into, place[2])] = self.put.pop(place)
        self.whose[(name, into)] = self.whose.get((name, id), "")

    def check(self, scenario: PairScenario) -> None:
        """Nothing of it is gone."""
        for (name, id, number), words in self.put.items():
            if (name, number) in LEFT and self.whose[(name, id)] in scenario.optouts.said:
                continue
            place, sandbox = PLACES[name][number], scenario.pair.sandboxes[name]
            if lost := [word for word in words if not place.stands(sandbox, id, word)]:
                raise Violation(f"P16b: {lost} was taken from {id} on {name}, and nobody asked for it (place {number})")
