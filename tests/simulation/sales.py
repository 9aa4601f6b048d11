"""What sales is handed, and what sales does with it: in some worlds with deals people who qualify are handed to the
CRM, each with a story, and come back with what sales says of them.

Somebody qualifies by a title that marketing gives, or by a form that they send; both may be over before anybody looked.
In half of these worlds the CRM tells leads from contacts: sales converts a lead into a contact, with a company and a
deal made by the same step. All of it is drawn from a source of its own, beside the story of a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from config.clock import stamp
from connectors.api import Gone
from tests.simulation.desk import Desk
from tests.simulation.trade import OPEN, STAGES, Trade

KIND = "hand-offs"
"""What is left out by this name in `without`."""
TOLD_APART = "leads"
"""The object that qualified people are made as, in worlds that tell leads from contacts."""
READY = "Chief"
"""Who has a title with this word qualifies; nobody else does by it."""

OF_CRM = "  tasks: {kind: activity, about: to do, pull: false, push: [create], brief: true}\n"
OF_MAIL = "  forms: {kind: activity, about: what people sent}\n"

MAPPED_MAIL = """\
      - {remote: title, field: title}
      - {remote: ready, field: qualified, direction: push}
      - {remote: handed, field: handed_off_at, direction: push}
      - {remote: status, field: lead_status, direction: push}
"""
MAPPED_CRM = """\
      - {remote: title, field: title, direction: push}
      - {remote: status, field: lead_status}
"""
MAPPED_FORMS = """  forms:
    kind: activity
    fields:
      - {constant: form, field: type}
      - {remote: at, field: at}
      - {remote: person, field: person}
      - {constant: contacts, field: person_object}
      - {remote: name, field: title}
"""
PROJECT = """\
qualification:
  score:
    - {{when: "lead.title.contains('Chief')", points: 40, because: decides}}
    - {{when: "activity.form > 0", points: 40, because: asked}}
  qualified_when: "score >= 40"
handoff: {{to: beta, object: {object}}}
"""


def drawn(seed: int) -> str:
    """The object that the people of this seed's world are handed to sales as; "" where nobody is."""
    return Random(f"{seed}-hand-offs").choice(("", "", "contacts", TOLD_APART))


@dataclass
class Sales:
    """The people who hand leads over and who take them, beside those of `trade`."""

    trade: Trade
    rng: Random
    object: str
    converted: int = 0
    forms: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)  # by person: the form's name, and when

    def __post_init__(self) -> None:
        self.mail, self.crm, self.say = self.trade.mail, self.trade.crm, self.trade.say

    def begin(self) -> None:
        """Somebody is known to marketing alone, or is a lead already."""
        self._join(self.mail, "contacts")
        if self.object == TOLD_APART and self.rng.random() < 0.6:
            self._join(self.crm, TOLD_APART)

    def act(self) -> None:
        """Marketing or sales does something."""
        what = self.rng.random()
        known = sorted(self.mail.standing("contacts"))
        if what < 0.15 or not known:
            self._join(self.mail, "contacts")
        elif what < 0.45:
            self._rate(self.rng.choice(known))
        elif what < 0.53:
            self._send_form(self.rng.choice(known))
        elif what < 0.58 and self.object == TOLD_APART:
            self._join(self.crm, TOLD_APART)
        else:
            self._sell()

    def _join(self, side: Desk, object: str) -> None:
        email = f"{self.rng.choice('pqq')}{self.rng.randrange(3)}@x.example"
        if any(side.whose[id] == email for id in (*side.every("contacts"), *side.every(TOLD_APART))):
            return
        id = side.put({"email": email, "consent": "subscribed"}, object)
        self.say(f"{side.name}/{id} ({object}) joins as {email}")

    def _rate(self, id: str) -> None:
        """They qualify by their title, or do no longer. Each title is given once."""
        self.trade.given += 1
        word = READY if self.rng.random() < 0.6 else "Intern"
        self._edit(self.mail, id, {"title": f"{word} {self.trade.given}"})

    def _send_form(self, id: str) -> None:
        self.trade.given += 1
        now = self.mail.clock.now()
        name = f"Form {self.trade.given}"
        self.mail.put({"at": stamp(now), "person": id, "name": name}, "forms")
        self.forms.setdefault(self.mail.whose[id], []).append((name, now))
        self.say(f"{self.mail.name}/{id} sends {name}")

    def _sell(self) -> None:
        """Sales says how it stands with somebody: taken up, rejected, sent back; converts, deletes or puts away."""
        leads = sorted(self.crm.standing(TOLD_APART))
        live = [*sorted(self.crm.standing("contacts")), *leads]
        away = sorted(id for id, row in self.crm.every(TOLD_APART).items() if row.gone is Gone.ARCHIVED)
        what = self.rng.random()
        if leads and what < 0.45:
            self._convert(self.rng.choice(leads))
        elif live and what < 0.85:
            self.trade.given += 1
            word = self.rng.choice(("Working", "Rejected", "Sent back"))
            self._edit(self.crm, self.rng.choice(live), {"status": f"{word} {self.trade.given}"})
        elif away and what < 0.92:
            self.crm.restore(self._chosen(away, "is brought back"))
        elif leads and what < 0.97:
            self.crm.remove(self._chosen(leads, "is put away"), Gone.ARCHIVED)
        elif leads:
            self.crm.remove(self._chosen(leads, "is deleted"))

    def _convert(self, id: str) -> None:
        """A lead becomes a contact, or is found to be one that is there; with a deal and a company made by it."""
        values = self.crm.history[id][-1].values
        person = self.crm.whose[id]
        twins = sorted(one for one in self.crm.standing("contacts") if self.crm.whose[one] == person)
        into = twins[0] if twins else self.crm.put(dict(values), "contacts", person)
        self.say(f"{self.crm.name}/{id} is converted into {into}")
        self.converted += 1
        company = self.crm.put({"title": f"Company of {into}"}, "companies")
        tied = {"from_object": "contacts", "from_id": into, "to_object": "companies", "to_ids": [company]}
        self.crm.put(tied, "works")
        if self.rng.random() < 0.8:
            self._open(into)
        Desk.remove(self.crm, id, Gone.CONVERTED, into, "contacts")

    def _open(self, person: str) -> None:
        self.trade.given += 1
        facts: dict[str, Any] = {"title": f"Deal {self.trade.given}", "worth": self.trade.amount()}
        facts |= {"stage": self.rng.choice(STAGES), "until": self.trade.day(), **OPEN}
        id = self.crm.put(facts, "deals")
        self.say(f"{self.crm.name}/{id} is made by it: {facts}")
        self.crm.tie(id, [person])

    def _edit(self, side: Desk, id: str, values: dict[str, Any]) -> None:
        side.edit(id, values)
        self.say(f"{side.name}/{id} is {values}")

    def _chosen(self, ids: list[str], what: str) -> str:
        id = self.rng.choice(ids)
        self.say(f"{self.crm.name}/{id} {what}")
        return id
