"""The objects as the connector names them, what Outreach calls them, and how a resource becomes a record's raw.

A field of `raw` is an attribute, the id that a to-one relationship points at, or one that is made here of others, so
that a mapping need not know lists and stages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from config.clock import stamp, unstamp
from connectors.api import Gone, Record
from connectors.outreach.client import Client, Resource, attribute, related_id


class Known:
    """What rarely changes and is looked up once: the stages of prospects and of opportunities."""

    def __init__(self, client: Client, won: str) -> None:
        self._client = client
        self._won = {name.strip().casefold() for name in won.split(",") if name.strip()}
        self._stages: dict[str, dict[str, Resource]] = {}

    def stage(self, path: str, type: str, id: str | None) -> Resource:
        """The stage `id` of `/stages` or `/opportunityStages`; {} where there is none."""
        if id is None:
            return {}
        if path not in self._stages:
            self._stages[path] = {str(row["id"]): row for row in self._client.all(path, {})}
        return self._stages[path].get(id, {})

    def deal_stage(self, row: Resource) -> Resource:
        return self.stage("opportunityStages", "opportunityStage", related_id(row, "opportunityStage"))

    def is_won(self, row: Resource) -> bool:
        """A stage tells only that it is closed. Won is what `won_stages` names; without it, a probability of 100 or a
        name with the word won."""
        stage = self.deal_stage(row)
        name = str(attribute(stage, "name") or "").casefold()
        if not attribute(stage, "isClosed"):
            return False
        if self._won:
            return name in self._won
        return attribute(row, "probability") == 100 or "won" in re.findall(r"\w+", name)


@dataclass(frozen=True, slots=True)
class Made:
    """A field that is made of others: those `of` which it is made, its type, and how."""

    of: tuple[str, ...]
    type: str
    make: Callable[[Resource, Known], Any]
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """`relations` are the to-one relationships that a mapping may name, each with the type it points at; `always`
    what every call asks for, and where the records' members are `fixed`, all it asks for."""

    path: str
    type: str
    relations: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Made] = field(default_factory=dict)
    always: tuple[str, ...] = ("updatedAt",)
    fixed: bool = False

    @property
    def trashes(self) -> bool:
        return "trashedAt" in self.always


def _first(name: str) -> Callable[[Resource, Known], Any]:
    return lambda row, known: next(iter(attribute(row, name) or ()), None)


def _amount(row: Resource, known: Known) -> Any:
    """`amount` is whole units only."""
    precise = attribute(row, "amountPrecise")
    return attribute(row, "amount") if precise in (None, "") else precise


def _share(row: Resource, known: Known) -> str | None:
    percent = attribute(row, "probability")
    return None if percent is None else format((Decimal(str(percent)) / 100).normalize(), "f")


def _sentiment(row: Resource, known: Known) -> str:
    """How a prospect answered a sequence: positive, negative, neutral, replied (not rated), '' (not at all)."""
    for mood in ("positive", "negative", "neutral"):
        if attribute(row, f"{mood}ReplyCount"):
            return mood
    return "replied" if attribute(row, "repliedAt") or attribute(row, "replyCount") else ""


def _earliest(*names: str) -> Callable[[Resource, Known], Any]:
    """The first of the instants that is told."""
    return lambda row, known: next((attribute(row, name) for name in names if attribute(row, name)), None)


LISTS = {"email": "emails", "workPhone": "workPhones", "mobilePhone": "mobilePhones", "homePhone": "homePhones"}
"""A prospect's first address and first numbers -> the list each stands at the head of."""
_SENTIMENTS = ("positiveReplyCount", "negativeReplyCount", "neutralReplyCount", "replyCount", "repliedAt")

OBJECTS: Mapping[str, ObjectFacts] = {
    "users": ObjectFacts(
        "users",
        "user",
        made={"active": Made(("locked",), "boolean", lambda row, known: not attribute(row, "locked"))},
        always=("updatedAt", "email", "name", "locked"),
        fixed=True,
    ),
    "accounts": ObjectFacts("accounts", "account", {"owner": "user"}),
    "sequences": ObjectFacts(
        "sequences",
        "sequence",
        {"owner": "user"},
        {"status": Made(("enabled",), "text", lambda row, known: "on" if attribute(row, "enabled") else "off")},
    ),
    "prospects": ObjectFacts(
        "prospects",
        "prospect",
        {"owner": "user", "account": "account", "stage": "stage", "persona": "persona"},
        {
            **{
                name: Made((list,), "email" if name == "email" else "phone", _first(list), True)
                for name, list in LISTS.items()
            },
            "otherEmails": Made(("emails",), "choices", lambda row, known: (attribute(row, "emails") or [])[1:]),
            "stageName": Made(
                ("stage",),
                "text",
                lambda row, known: attribute(known.stage("stages", "stage", related_id(row, "stage")), "name"),
            ),
        },
        ("updatedAt", "trashedAt"),
    ),
    "opportunities": ObjectFacts(
        "opportunities",
        "opportunity",
        {"owner": "user", "account": "account", "opportunityStage": "opportunityStage", "primaryProspect": "prospect"},
        {
            "value": Made(("amount", "amountPrecise"), "number", _amount),
            "winProbability": Made(("probability",), "number", _share),
            "stageName": Made(
                ("opportunityStage",), "text", lambda row, known: attribute(known.deal_stage(row), "name")
            ),
            "stageClosed": Made(
                ("opportunityStage",),
                "boolean",
                lambda row, known: bool(attribute(known.deal_stage(row), "isClosed")),
            ),
            "stageWon": Made(("opportunityStage", "probability"), "boolean", lambda row, known: known.is_won(row)),
        },
        ("updatedAt", "trashedAt"),
    ),
    "opportunity_prospects": ObjectFacts(
        "opportunityProspectRoles",
        "opportunityProspectRole",
        always=("opportunity", "prospect", "role", "primary", "updatedAt"),
        fixed=True,
    ),
    "mailings": ObjectFacts(
        "mailings",
        "mailing",
        always=(
            "updatedAt",
            "subject",
            "deliveredAt",
            "openedAt",
            "clickedAt",
            "repliedAt",
            "bouncedAt",
            "unsubscribedAt",
            "prospect",
            "sequence",
        ),
        fixed=True,
    ),
    "sequence_states": ObjectFacts(
        "sequenceStates",
        "sequenceState",
        {"prospect": "prospect", "sequence": "sequence"},
        {"sentiment": Made(_SENTIMENTS, "text", _sentiment)},
    ),
    "calls": ObjectFacts(
        "calls",
        "call",
        {"prospect": "prospect", "sequence": "sequence", "user": "user"},
        {
            "at": Made(
                ("answeredAt", "dialedAt", "completedAt", "createdAt"),
                "datetime",
                _earliest("answeredAt", "dialedAt", "completedAt", "createdAt"),
            )
        },
    ),
    "tasks": ObjectFacts(
        "tasks",
        "task",
        {"prospect": "prospect", "sequence": "sequence", "owner": "user"},
        {"at": Made(("completedAt", "dueAt", "createdAt"), "datetime", _earliest("completedAt", "dueAt", "createdAt"))},
    ),
}

SEQUENCES = "sequences."
"""`sequences.7` of a prospect: whether it is, or ever was, in the sequence 7."""


def wanted(object: str, fields: Sequence[str]) -> list[str]:
    """The attributes and relationships to ask for, so that `fields` can be told."""
    facts = OBJECTS[object]
    names: list[str] = list(facts.always)
    for name in () if facts.fixed else fields:
        if name != "id" and not (object == "prospects" and name.startswith(SEQUENCES)):
            names.extend(facts.made[name].of if name in facts.made else (name,))
    return list(dict.fromkeys(names))


def reader(object: str, fields: Sequence[str], known: Known) -> Callable[[Resource], Record]:
    """What turns a resource into a record with just `fields`; a trashed one is gone."""
    facts = OBJECTS[object]
    if object == "users":
        fields = ("id", "email", "name", "active")
    made = {name: facts.made[name].make for name in fields if name in facts.made}
    relations = [name for name in fields if name in facts.relations]
    plain = [name for name in fields if name not in made and name not in facts.relations and "." not in name]

    def read(row: Resource) -> Record:
        version = moment(attribute(row, "updatedAt"))
        id = str(row["id"])
        if facts.trashes and attribute(row, "trashedAt"):
            return Record(id, b"{}", version, Gone.DELETED)
        attributes = row.get("attributes") or {}
        raw = {name: attributes[name] for name in plain if name in attributes}
        raw |= {name: related_id(row, name) for name in relations}
        raw |= {name: make(row, known) for name, make in made.items()}
        if "id" in fields:
            raw["id"] = id
        return Record(id, orjson.dumps(raw), version)

    return read


def moment(told: Any) -> str:
    """An instant as a stamp; Outreach's own form already, but for one with other than three digits."""
    text = str(told or "")
    return text if len(text) in (0, 24) else stamp(unstamp(text))


_HAPPENED = {
    "deliveredAt": "email_sent",
    "openedAt": "email_open",
    "clickedAt": "email_click",
    "repliedAt": "campaign_response",
    "bouncedAt": "email_bounce",
    "unsubscribedAt": "email_unsubscribe",
}


def mailing_records(row: Resource) -> Iterator[Record]:
    """What happened to a mailing, one record each. Of opens and clicks Outreach keeps the latest time only: each new
    one that a pull sees is a further record."""
    for name, type in _HAPPENED.items():
        at = attribute(row, name)
        if not at:
            continue
        raw = {
            "type": type,
            "at": at,
            "prospect": related_id(row, "prospect"),
            "sequence": related_id(row, "sequence"),
            "subject": attribute(row, "subject"),
        }
        yield Record(f"{row['id']}:{name.removesuffix('At')}:{at}", orjson.dumps(raw), moment(at))
