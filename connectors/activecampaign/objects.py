"""The objects as the connector names them, and how a row becomes a record's raw.

A field of `raw` is a member of the row, or one that is made here of others, so that a mapping need not know statuses,
stages and the ids of custom fields. A contact's and a deal's custom fields are `fields.<tag>`, by the tag that mails
use for them, which a change of label leaves as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import orjson

from config.clock import stamp, unstamp
from connectors.activecampaign.client import Client, Row
from connectors.api import Gone, Record

FIELDS = "fields."
"""`fields.JOB_TITLE` of a contact or a deal: a custom field, by its tag."""
SEVERAL = ("checkbox", "listbox", "multiselect")
"""Types of custom fields that hold several values, as `||a||b||`."""


@dataclass(frozen=True, slots=True)
class CustomField:
    id: str
    tag: str
    type: str
    label: str = ""
    options: tuple[str, ...] = ()


class Known:
    """What rarely changes and is looked up once per pull or push: names behind ids."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @cached_property
    def fields(self) -> dict[str, CustomField]:
        """The custom fields of contacts by tag."""
        found: dict[str, CustomField] = {}
        for page, _ in self.client.pages("fields", "fields"):
            options = _options(page.beside.get("fieldOptions"))
            for row in page.rows:
                id, tag = str(row["id"]), str(row.get("perstag") or "")
                found[tag] = CustomField(
                    id, tag, str(row.get("type")), str(row.get("title") or ""), tuple(options.get(id, ()))
                )
        return found

    @cached_property
    def deal_fields(self) -> dict[str, CustomField]:
        """The custom fields of deals by tag."""
        return {
            (tag := str(row.get("personalization") or "")): CustomField(
                str(row["id"]), tag, str(row.get("fieldType")), str(row.get("fieldLabel") or "")
            )
            for row in self.client.all("dealCustomFieldMeta", "dealCustomFieldMeta")
        }

    @cached_property
    def tags(self) -> dict[str, str]:
        """The names of tags by id."""
        return self._names("tags", "tag")

    @cached_property
    def lists(self) -> dict[str, str]:
        """The names of lists by id."""
        return self._names("lists", "name")

    @cached_property
    def stage_rows(self) -> list[Row]:
        return list(self.client.all("dealStages", "dealStages"))

    @cached_property
    def pipeline_rows(self) -> list[Row]:
        return list(self.client.all("dealGroups", "dealGroups"))

    @cached_property
    def stages(self) -> dict[str, str]:
        return {str(row["id"]): str(row.get("title") or "") for row in self.stage_rows}

    @cached_property
    def pipelines(self) -> dict[str, str]:
        return {str(row["id"]): str(row.get("title") or "") for row in self.pipeline_rows}

    @cached_property
    def currencies(self) -> dict[str, str]:
        """The currency of each pipeline, in lower case, by the pipeline's id."""
        return {str(row["id"]): str(row.get("currency") or "").lower() for row in self.pipeline_rows}

    @cached_property
    def me(self) -> str:
        """The id of the user whose key this is."""
        return str((self.client.get("users/me").get("user") or {}).get("id") or "")

    @cached_property
    def accounts(self) -> dict[str, str]:
        return self._names("accounts", "name")

    @cached_property
    def campaigns(self) -> dict[str, str]:
        return self._names("campaigns", "name")

    @cached_property
    def forms(self) -> dict[str, str]:
        return self._names("forms", "name")

    def tag_name(self, id: str) -> str:
        """The tag's name, also of one that was made after the tags were looked up; '' where there is none."""
        if id not in self.tags:
            vars(self).pop("tags")
        return self.tags.setdefault(id, "")

    def _names(self, path: str, name: str) -> dict[str, str]:
        return {str(row["id"]): str(row.get(name) or "") for row in self.client.all(path, path)}


def _options(rows: Any) -> dict[str, list[str]]:
    """The choices of custom fields by the field's id."""
    found: dict[str, list[str]] = {}
    for row in rows or ():
        found.setdefault(str(row.get("field")), []).append(str(row.get("value") or ""))
    return found


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """`stamped` is the member that tells when the row changed last, `made` what is made of others."""

    path: str
    one: str
    stamped: str = ""
    made: Mapping[str, Callable[[Row, Known], Any]] = field(default_factory=dict)


def moment(told: Any) -> str:
    """An instant as a stamp; '' for none. The `*_utc_timestamp` members are not read: recorded ones hold local time."""
    text = str(told or "")
    if not text or text.startswith("0000"):
        return ""
    return stamp(unstamp(text))


def _share(row: Row, known: Known) -> str | None:
    """The probability of winning, 0 to 1: ActiveCampaign's estimate, else the salesperson's."""
    percent = row.get("winProbability")
    percent = row.get("percent") if percent is None else percent
    return None if percent in (None, "") else _decimal(percent, 100)


def _decimal(told: Any, over: int) -> str | None:
    try:
        return format((Decimal(str(told)) / over).normalize(), "f")
    except InvalidOperation:
        return None


def _status(*these: str) -> Callable[[Row, Known], bool]:
    return lambda row, known: str(row.get("status")) in these


def _domain(row: Row, known: Known) -> str | None:
    """The domain of the account's web address."""
    url = str(row.get("accountUrl") or "").strip()
    host = urlsplit(url if "//" in url else f"//{url}").hostname if url else None
    return host.removeprefix("www.") if host else None


def _sum(*names: str) -> Callable[[Row, Known], int]:
    return lambda row, known: sum(int(row.get(name) or 0) for name in names)


OPEN, WON, LOST = "0", "1", "2"
CAMPAIGN_STATUS = {"0": "draft", "1": "scheduled", "2": "sending", "3": "paused", "4": "stopped", "5": "sent"}

OBJECTS: Mapping[str, ObjectFacts] = {
    "users": ObjectFacts(
        "users",
        "user",
        "udate",
        {
            "name": lambda row, known: " ".join(str(row.get(n)) for n in ("firstName", "lastName") if row.get(n)),
            "active": lambda row, known: True,
        },
    ),
    "accounts": ObjectFacts("accounts", "account", "updatedTimestamp", {"domain": _domain}),
    "campaigns": ObjectFacts(
        "campaigns",
        "campaign",
        "mdate",
        {
            "bounces": _sum("hardbounces", "softbounces"),
            "statusName": lambda row, known: CAMPAIGN_STATUS.get(str(row.get("status"))),
        },
    ),
    "contacts": ObjectFacts("contacts", "contact", "udate"),
    "deals": ObjectFacts(
        "deals",
        "deal",
        "mdate",
        {
            "amount": lambda row, known: _decimal(row.get("value"), 100),
            "currencyCode": lambda row, known: str(row.get("currency") or "").upper() or None,
            "stageName": lambda row, known: known.stages.get(str(row.get("stage"))),
            "pipelineName": lambda row, known: known.pipelines.get(str(row.get("group"))),
            "isClosed": _status(WON, LOST),
            "isWon": _status(WON),
            "probability": _share,
        },
    ),
    "deal_contacts": ObjectFacts("deals", "deal", "mdate"),
    "activities": ObjectFacts("activities", "activity"),
    "notes": ObjectFacts("notes", "note", "mdate"),
}


def blank(value: Any) -> Any:
    """The value; None for a date of zeros."""
    return None if isinstance(value, str) and value.startswith("0000-00-00") else value


def reader(object: str, fields: Sequence[str], known: Known) -> Callable[[Row], Record]:
    """What turns a row into a record with just `fields`. What the row leaves out stays out."""
    facts = OBJECTS[object]
    made = {name: facts.made[name] for name in fields if name in facts.made}
    plain = [name for name in fields if name not in made and "." not in name]

    def read(row: Row) -> Record:
        raw = {name: blank(row[name]) for name in plain if name in row}
        if "isDisabled" not in row or not row["isDisabled"]:
            raw |= {name: make(row, known) for name, make in made.items()}
        return Record(str(row["id"]), orjson.dumps(raw), moment(row.get(facts.stamped)))

    return read


def vanished(id: int | str) -> Record:
    return Record(str(id), b"{}", gone=Gone.DELETED)
