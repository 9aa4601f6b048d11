"""What sales people do with deals, and marketing people with the copies of them. Amounts, names, days and reasons are
given once only, so that each tells who said it and when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from connectors.api import Gone
from tests.simulation.desk import Desk

STAGES = ("Talking", "Offer", "Waiting")
OPEN: dict[str, Any] = {"closed": False, "won": False, "first": None}


@dataclass
class Trade:
    """The people of a world with deals: of `crm`, whose deals are homes, of `mail`, which shows copies, and of others.

    They act as `rng` has it. `listed`: a tie names everybody in a deal, where otherwise each has a tie.
    """

    sides: Mapping[str, Desk]
    rng: Random
    say: Callable[[str], None]
    number: int = 3
    listed: bool = True
    cents: str = ""  # behind every amount
    acts: int = 0
    given: int = 0
    decided: dict[tuple[str, str], str | None] = field(default_factory=dict)  # as `People`
    merged: list[tuple[str, str]] = field(default_factory=list)  # e-mails of one person
    linked: Callable[[], Collection[tuple[str, str]]] = tuple  # the records of which it is stored whose they are

    def __post_init__(self) -> None:
        self.mail, self.crm = self.sides["alpha"], self.sides["beta"]

    def one(self, email: str) -> str:
        """As `People`: who became whom, the judge of these worlds knows."""
        return email

    def begin(self) -> None:
        """Somebody is known, and in a deal."""
        for _ in range(self.rng.choice((1, 2, 3))):
            self._join(self.crm)
        self._open(self.crm)
        if self.rng.random() < 0.5:
            self._join(self.mail)

    def act(self) -> None:
        """Somebody, somewhere, does something."""
        self.acts += 1
        what = self.rng.random()
        deals = sorted(self.crm.standing("deals"))
        if what < 0.10 or not self.crm.standing("contacts"):
            self._join(self.rng.choice(list(self.sides.values())))
        elif what < 0.22 or not deals:
            self._open(self.crm)
        elif what < 0.60:
            self._work(self.rng.choice(deals))
        elif what < 0.70:
            self._retie(self.rng.choice(deals))
        elif what < 0.79:
            self._rearrange(deals)
        elif what < 0.91:
            self._market()
        elif what < 0.95:
            self._employ()
        else:
            self._people()

    def day(self) -> str:
        """A day of its own."""
        self.given += 1
        return (date(2026, 1, 1) + timedelta(days=self.given)).isoformat()

    def amount(self) -> str:
        """An amount of its own, of what was given last."""
        return f"{100 + self.given}{self.cents}"

    # people

    def _join(self, side: Desk) -> None:
        email = f"p{self.rng.randrange(self.number)}@x.example"
        if any(side.whose[id] == email for id in side.every("contacts")):
            return
        id = side.put({"email": email, "consent": "subscribed"}, "contacts")
        self.say(f"{side.name}/{id} joins as {email}")

    def _people(self) -> None:
        """Somebody is put away, brought back, deleted, or found to be the same as somebody else."""
        side = self.rng.choice(list(self.sides.values()))
        live = sorted(side.standing("contacts"))
        away = sorted(id for id, row in side.every("contacts").items() if row.gone is Gone.ARCHIVED)
        what = self.rng.random()
        if away and what < 0.5:
            side.restore(self._chosen(side, away, "is brought back"))
        elif len(live) > 1 and what < 0.7 and side is self.crm:
            keep, lose = self.rng.sample(live, 2)
            self.merged.append((side.whose[keep], side.whose[lose]))
            self.say(f"{side.name}/{lose} is merged into {keep}")
            if _address(side, keep) == _address(side, lose) and (side.name, keep) not in self.linked():
                side.mistaken.update(self.merged[-1])
            side.remove(lose, Gone.MERGED, keep, "contacts")
        elif live and what < 0.85:
            side.remove(self._chosen(side, live, "is put away"), Gone.ARCHIVED)
        elif live:
            side.remove(self._chosen(side, live, "is deleted"))

    def _chosen(self, side: Desk, ids: list[str], what: str) -> str:
        id = self.rng.choice(ids)
        self.say(f"{side.name}/{id} {what}")
        return id

    def _employ(self) -> None:
        """Companies, and who works there: no part in a deal."""
        live = sorted(self.crm.standing("contacts"))
        works = sorted(self.crm.standing("works"))
        if works and self.rng.random() < 0.4:
            Desk.remove(self.crm, self._chosen(self.crm, works, "is no tie any more"))
        elif live:
            company = self.crm.put({"title": f"Company {self.acts}"}, "companies")
            person = self._chosen(self.crm, live, f"works for {company}")
            tied = {"from_object": "contacts", "from_id": person, "to_object": "companies", "to_ids": [company]}
            self.crm.put(tied, "works")

    # deals

    def _open(self, side: Desk) -> None:
        live = sorted(side.standing("contacts"))
        if not live:
            return
        people = self.rng.sample(live, min(len(live), self.rng.choice((1, 1, 1, 2))))
        self.given += 1
        worth = self.amount() if self.rng.random() < 0.85 else None
        facts = {"title": f"Deal {self.given}", "worth": worth, "stage": self.rng.choice(STAGES), "until": self.day()}
        id = side.put({**facts, **OPEN}, "deals")
        self.say(f"{side.name}/{id} is opened: {facts} with {people}")
        self._tie(side, id, people)

    def _tie(self, side: Desk, deal: str, people: list[str]) -> None:
        if self.listed:
            side.tie(deal, people)
        else:
            for person in people:
                side.tie(deal, [person])

    def _work(self, id: str) -> None:
        what = self.rng.random()
        if what < 0.35:
            self._edit(self.crm, id, self._amended())
        elif what < 0.60:
            self._edit(self.crm, id, {"closed": True, "won": True, "stage": "Won", "until": self.day(), "first": None})
        elif what < 0.80:
            self.given += 1
            reason = f"Reason {self.given}" if self.rng.random() < 0.8 else None
            lost = {"closed": True, "won": False, "stage": "Lost", "until": self.day(), "first": reason}
            self._edit(self.crm, id, lost)
        else:
            self._edit(self.crm, id, {**OPEN, "stage": self.rng.choice(STAGES)})

    def amend(self, deal: str) -> None:
        """Somebody changes what an open deal is called, worth, or when it ends."""
        self._edit(self.crm, deal, self._amended())

    def _amended(self) -> dict[str, str | None]:
        self.given += 1
        name = self.rng.choice(("worth", "worth", "title", "until"))
        if name == "until":
            return {"until": self.day()}
        if name == "title":
            return {"title": f"Deal {self.given}"}
        return {"worth": None if self.rng.random() < 0.15 else self.amount()}

    def _edit(self, side: Desk, id: str, values: Mapping[str, Any]) -> None:
        side.edit(id, dict(values))
        self.say(f"{side.name}/{id} is {dict(values)}")

    def _retie(self, deal: str) -> None:
        """The deal is somebody else's, or of one more, or of one less. Its own time does not move for it."""
        people = sorted(self.crm.standing("contacts"))
        inside = sorted(self.crm.people_of(deal) & set(people))
        outside = [id for id in people if id not in inside]
        what = self.rng.random()
        if outside and (what < 0.6 or not inside):
            self._leave(deal, self.crm.people_of(deal) if what < 0.35 else set())
            self._enter(deal, self.rng.choice(outside))
        elif inside:
            self._leave(deal, {self.rng.choice(inside)})

    def _leave(self, deal: str, who: set[str]) -> None:
        for id, row in sorted(self.crm.standing("ties").items()):
            if row.values["from_id"] == deal and who & set(row.values["to_ids"]):
                left = sorted(set(row.values["to_ids"]) - who)
                self.say(f"beta/{deal} is of {sorted(who)} no more")
                if left:
                    self.crm.edit(id, {"to_ids": left})
                else:
                    self.crm.remove(id)

    def _enter(self, deal: str, person: str) -> None:
        self.say(f"beta/{deal} is {person}'s, too")
        mine = [id for id, row in sorted(self.crm.standing("ties").items()) if row.values["from_id"] == deal]
        if mine and self.listed:
            self.crm.edit(mine[0], {"to_ids": sorted({*self.crm.live()[mine[0]].values["to_ids"], person})})
        else:
            self.crm.tie(deal, [person])

    def _rearrange(self, live: list[str]) -> None:
        """Deals are deleted, put away, brought back, or merged into another."""
        away = sorted(id for id, row in self.crm.every("deals").items() if row.gone is Gone.ARCHIVED)
        what = self.rng.random()
        if away and what < 0.5:
            self.crm.restore(self._chosen(self.crm, away, "is brought back"))
        elif len(live) > 1 and what < 0.55:
            keep, lose = self.rng.sample(live, 2)
            self.say(f"beta/{lose} is merged into {keep}")
            self.crm.remove(lose, Gone.MERGED, keep, "deals")
        elif what < 0.8:
            self.crm.remove(self._chosen(self.crm, live, "is put away"), Gone.ARCHIVED)
        else:
            self.crm.remove(self._chosen(self.crm, live, "is deleted"))

    # marketing

    def _market(self) -> None:
        """Somebody changes or removes a copy, what a person is said to be worth, or has a deal of marketing's own."""
        deals = self.mail.standing("deals")
        copies = sorted(id for id, row in deals.items() if row.values.get("home"))
        own = sorted(set(deals) - set(copies))
        away = sorted(id for id, row in self.mail.every("deals").items() if row.gone is Gone.ARCHIVED)
        what = self.rng.random()
        if what < 0.12:
            self._open(self.mail)
        elif what < 0.24 and own:
            won: dict[str, Any] = {"closed": True, "won": True, "stage": "Won", "until": self.day(), "first": None}
            self._edit(self.mail, self.rng.choice(own), won)
        elif what < 0.5 and copies:
            self._edit(self.mail, self.rng.choice(copies), self._amended())
        elif what < 0.7 and copies:
            self.mail.remove(self._chosen(self.mail, copies, "is deleted"))
        elif what < 0.8 and copies:
            self.mail.remove(self._chosen(self.mail, copies, "is put away"), Gone.ARCHIVED)
        elif what < 0.9 and away:
            self.mail.restore(self._chosen(self.mail, away, "is brought back"))
        else:
            self._claim()

    def _claim(self) -> None:
        """Somebody writes over what a person is said to be worth."""
        people = sorted(self.mail.standing("contacts"))
        if people:
            self.given += 1
            self._edit(self.mail, self._chosen(self.mail, people, "is claimed"), {"earned": self.amount()})


def _address(side: Desk, id: str) -> str:
    return str(side.live()[id].values["email"]).casefold()
