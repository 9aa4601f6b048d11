"""Which leads are probably one person: pairs with the evidence for each, for a person to judge. Nothing is decided.

Comparing everybody with everybody is hopeless, so people are compared within blocks: those with one phone number, one
mailbox, one company or one e-mail domain of a company. In a block of very many the neighbours by name are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Similarity = Callable[[str, str], float]
"""Two names -> how alike they are, 0 to 100."""

ALIKE = 90.0
"""From here on two different names are called similar."""
SHARED = 6
"""So many with one phone number share an office, not a person."""
WIDE = 50
"""In a block of more than this, each is compared with its NEAREST by name alone."""
NEAREST = 8

_FREE = frozenset(
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com icloud.com me.com aol.com gmx.de "
    "gmx.net web.de t-online.de mail.ru yandex.ru qq.com 163.com proton.me protonmail.com orange.fr free.fr".split()
)
_POINTS = {"mailbox": 50, "name_company": 40, "name_domain": 40, "phone": 30, "similar_name": 20}


@dataclass(frozen=True, slots=True)
class Person:
    """A lead as it is compared: normalised, "" where unknown."""

    lead: str
    name: str
    phones: tuple[str, ...]
    mailbox: str
    company: str
    domain: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two leads, the smaller id first, with the evidence: kinds of it, the strongest first, and what is the same."""

    one: str
    other: str
    evidence: tuple[tuple[str, str], ...]

    @property
    def score(self) -> int:
        return sum(_POINTS[kind] for kind, _ in self.evidence)


def person(lead: str, values: Mapping[str, Any]) -> Person:
    """The lead as it is compared."""
    local, _, domain = (values.get("email") or "").partition("@")
    box = re.sub(r"\+.*|\.", "", local)
    return Person(
        lead=lead,
        name=plain(f"{values.get('first_name') or ''} {values.get('last_name') or ''}"),
        phones=tuple(dict.fromkeys(filter(None, (values.get("phone"), values.get("mobile_phone"))))),
        mailbox=f"{box}@{domain}" if box and domain else "",
        company=plain(values.get("company") or ""),
        domain="" if domain in _FREE else domain,
    )


def plain(name: str) -> str:
    """A name without case, accents and punctuation."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(letter for letter in letters if letter.isalnum() or letter == " ")
    return " ".join(bare.split())


def pairs(people: Iterable[Person], alike: Similarity | None) -> list[Pair]:
    """The probable duplicates, the most probable first. Without `alike` only names that are the same count."""
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for kind, block in _blocks(people):
        for one, other in _couples(block):
            for evidence, what in _evidence(kind, one, other, alike):
                first, second = sorted((one.lead, other.lead))
                found[(first, second)].setdefault(evidence, what)
    made = [Pair(one, other, _sorted(evidence)) for (one, other), evidence in found.items()]
    return sorted(made, key=lambda pair: (-pair.score, pair.one, pair.other))


def _sorted(evidence: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(evidence.items(), key=lambda item: (-_POINTS[item[0]], item[0])))


def _blocks(people: Iterable[Person]) -> Iterator[tuple[str, list[Person]]]:
    """Those who have something in common, by what it is: (kind, people)."""
    blocks: dict[tuple[str, str], list[Person]] = defaultdict(list)
    for one in people:
        shared = [("phone", phone) for phone in one.phones]
        shared += [("mailbox", one.mailbox), ("company", one.company), ("domain", one.domain)]
        for kind, value in shared:
            if value and (one.name or kind in ("phone", "mailbox")):
                blocks[(kind, value)].append(one)
    for (kind, _), block in blocks.items():
        if len(block) > 1 and not (kind == "phone" and len(block) >= SHARED):
            yield kind, block


def _couples(block: Sequence[Person]) -> Iterator[tuple[Person, Person]]:
    ordered = sorted(block, key=lambda one: (one.name, one.lead))
    reach = len(ordered) if len(ordered) <= WIDE else NEAREST
    for number, one in enumerate(ordered):
        for other in ordered[number + 1 : number + 1 + reach]:
            yield one, other


def _evidence(kind: str, one: Person, other: Person, alike: Similarity | None) -> Iterator[tuple[str, str]]:
    same = bool(one.name) and one.name == other.name
    if kind == "phone":
        yield "phone", next(phone for phone in one.phones if phone in other.phones)
    elif kind == "mailbox":
        yield "mailbox", one.mailbox
    elif same:
        yield f"name_{kind}", f"{one.name}, {getattr(one, kind)}"
    if alike and one.name and other.name and not same and alike(one.name, other.name) >= ALIKE:
        yield "similar_name", f"{one.name} / {other.name}"
