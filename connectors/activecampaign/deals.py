"""Writing deals, and finding one again by what stands in a custom field.

A deal is written in the words in which it is read: stage and pipeline by their titles, the amount in whole units, won
and closed as yes and no. ActiveCampaign wants ids, cents and a status. Nothing makes a create repeatable over there: a
lost answer leaves it in doubt, and it is looked for among the newest values of custom fields, which no filter finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from config.clock import stamp
from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.activecampaign.client import Client
from connectors.activecampaign.newest import newest
from connectors.activecampaign.objects import FIELDS, LOST, OPEN, WON, Known
from connectors.activecampaign.pull import Deals
from connectors.api import Operation, Record, Result, Verb

LOOK_BACK = timedelta(days=30)
PLAIN = ("title", "description", "owner", "percent", "customerAccount")
"""Members that are written as they stand."""
MADE = ("amount", "currencyCode", "stageName", "pipelineName", "isClosed", "isWon", "person")
"""Members that are made of others, and turned back here."""
WRITABLE = (*PLAIN, *MADE)


@dataclass(frozen=True, slots=True)
class DealWriter:
    """What writing deals takes: the account, names behind ids, and how a deal is read back."""

    client: Client
    known: Known
    read: Deals

    def push(self, operations: Sequence[Operation]) -> Iterator[Result]:
        """One call for each, and a look at what it holds. An error that would meet the next one as well ends it."""
        stop: ClosedloopError | None = None
        for operation in operations:
            if stop is not None:
                yield Result(operation.key, operation.id, error=stop)
                continue
            try:
                yield self._written(operation)
            except ClosedloopError as error:
                error.object, error.record = error.object or operation.object, operation.id
                stop = None if isinstance(error, RecordRejected | InDoubt) else error
                yield Result(operation.key, operation.id, error=error)

    def _written(self, operation: Operation) -> Result:
        if operation.verb is Verb.CREATE:
            row = self.client.new_deal(self._new(operation.values))
            return Result(operation.key, str(row["id"]), True, self._held(str(row["id"])))
        try:
            self.client.change_deal(operation.id, self._body(operation.values, operation.id))
        except RecordRejected as error:
            if error.code != "404":
                raise
            raise RecordRejected("The deal is there no more.", fix="The next sync notices it.", code="gone") from error
        return Result(operation.key, operation.id, False, self._held(operation.id))

    def _held(self, id: str) -> Record | None:
        """What the deal holds now: an answer to a write tells no custom fields. None where it cannot be read now."""
        try:
            row = (self.client.found(f"deals/{id}") or {}).get("deal")
            return self.read.records([row])[0] if isinstance(row, dict) else None
        except ClosedloopError:  # it is written; what it holds is told by the next pull
            return None

    def _new(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a create, with what ActiveCampaign insists on: a contact, a title, a value and its currency, a
        pipeline or a stage, an owner (the user whose key this is, where nobody is named)."""
        body = {"status": int(OPEN), "value": 0, **self._body(values, "")}
        if not body.get("contact"):
            raise _refused("A deal needs a contact.", "Deals are made for people who stand there.", "person", "person")
        if not body.get("title"):
            raise _refused("A deal needs a title.", "Map its name to title.", "title", "field_missing")
        if "group" not in body:
            body["group"] = self._group(None)
        if "stage" not in body:
            body["stage"] = self._stage(None, str(body["group"]))
        body.setdefault("currency", self.known.currencies.get(str(body["group"])) or "usd")
        if not body.get("owner"):
            body["owner"] = self.known.me
        return body

    def _body(self, values: Mapping[str, Any], id: str) -> dict[str, Any]:
        for name in values:
            if name not in WRITABLE and not name.startswith(FIELDS):
                raise _refused(
                    f"{name} of a deal cannot be written.", "Map it with direction: pull.", name, "read_only"
                )
        body = {name: "" if values[name] is None else values[name] for name in PLAIN if name in values}
        if "customerAccount" in body:
            body["account"] = body.pop("customerAccount")
        if "person" in values:
            body["contact"] = _contact(str(values["person"]))
        if "amount" in values:
            body["value"] = _cents(values["amount"])
        if values.get("currencyCode"):
            body["currency"] = str(values["currencyCode"]).lower()
        body.update(self._place(values, id))
        if (status := _status(values, not id)) is not None:
            body["status"] = int(status)
        if custom := [self._custom(name, value) for name, value in values.items() if name.startswith(FIELDS)]:
            body["fields"] = custom
        return body

    # where it stands

    def _place(self, values: Mapping[str, Any], id: str) -> dict[str, str]:
        """Pipeline and stage by their ids. A stage is one of its pipeline's: of the deal's own where none is named."""
        body: dict[str, str] = {}
        if "pipelineName" in values:
            body["group"] = self._group(values["pipelineName"])
        if "stageName" in values:
            group = body.get("group") or self._group_of(id)
            body |= {"group": group, "stage": self._stage(values["stageName"], group)}
        elif "group" in body:  # another pipeline has other stages: its first
            body["stage"] = self._stage(None, body["group"])
        return body

    def _group_of(self, id: str) -> str:
        row = ((self.client.found(f"deals/{id}") if id else None) or {}).get("deal") or {}
        return str(row.get("group") or self._group(None))

    def _group(self, title: Any) -> str:
        """The pipeline of this title; the first there is where none is named."""
        pipelines = self.known.pipelines
        found = [id for id, name in pipelines.items() if title is None or _same(name, title)]
        if not found:
            fix = f"There are: {', '.join(pipelines.values())}. Correct the mapping."
            raise _refused("There is no such pipeline.", fix, "pipelineName", "unknown_pipeline")
        return found[0]

    def _stage(self, title: Any, group: str) -> str:
        """The pipeline's stage of this title; its first where none is named."""
        here = [row for row in self.known.stage_rows if str(row.get("group")) == group]
        here.sort(key=lambda row: int(row.get("order") or 0))
        found = [str(row["id"]) for row in here if title is None or _same(row.get("title"), title)]
        if not found:
            fix = f"The pipeline has: {', '.join(str(row.get('title')) for row in here)}. Map the stages to these."
            raise _refused("There is no such stage in the pipeline.", fix, "stageName", "unknown_stage")
        return found[0]

    def _custom(self, name: str, value: Any) -> dict[str, Any]:
        found = self.known.deal_fields.get(name.removeprefix(FIELDS))
        if found is None:
            fix = "Make it (Deals > Manage fields), or write fields.<TAG> as shown there without the percent signs."
            raise _refused("There is no such custom field of deals.", fix, name, "unknown_field")
        return {"customFieldId": int(found.id), "fieldValue": "" if value is None else str(value)}


def find_deals(
    client: Client, known: Known, read: Deals, name: str, values: Sequence[str], now: datetime
) -> dict[str, Record]:
    """The deals whose custom field `name` was given one of `values` in the last thirty days."""
    one = known.deal_fields.get(name.removeprefix(FIELDS))
    if one is None:
        return {}
    waiting, places = set(values), dict[str, str]()
    for row in newest(client, "dealCustomFieldData", "createdTimestamp", stamp(now - LOOK_BACK)):
        told = str(row.get("fieldValue"))
        if told in waiting and str(row.get("customFieldId")) == one.id:
            places[told] = str(row.get("dealId"))
        if len(places) == len(waiting):
            break
    rows = {value: (client.found(f"deals/{id}") or {}).get("deal") for value, id in places.items()}
    return {value: read.records([row])[0] for value, row in rows.items() if isinstance(row, dict)}


def _contact(person: str) -> str:
    object, _, id = person.partition("/")
    if object != "contacts" or not id:
        raise _refused("A deal's person has to be a contact.", "Look at the mapping of people.", "person", "person")
    return id


def _cents(amount: Any) -> int:
    if amount in (None, ""):
        return 0
    try:
        cents = (Decimal(str(amount)) * 100).quantize(Decimal(1), ROUND_HALF_UP)
    except InvalidOperation as error:
        raise _refused("The amount is no number.", "Map it with `money`.", "amount", "field_invalid") from error
    if cents < 0:
        raise _refused("ActiveCampaign takes no negative amount.", "Correct it at home.", "amount", "field_invalid")
    return int(cents)


def _status(values: Mapping[str, Any], creating: bool) -> str | None:
    """The status that `isWon` and `isClosed` come to; None where neither is told. Of an update that tells one of the
    two, the other stands as it stood: what is won no more, and is not opened again, is lost."""
    if values.get("isWon"):
        return WON
    if "isClosed" in values:
        return LOST if values["isClosed"] else OPEN
    return LOST if "isWon" in values and not creating else None


def _same(told: Any, title: Any) -> bool:
    return str(told or "").strip().casefold() == str(title or "").strip().casefold()


def _refused(what: str, fix: str, field: str, code: str) -> RecordRejected:
    return RecordRejected(what, fix=fix, field=field, code=code)
