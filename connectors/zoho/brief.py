"""The hand-off brief: an open task, due today, for the owner of the lead or contact.

Tasks have no key of ours. The brief's reference is the last line of its description, which no query can filter by: the
tasks of the last month are read and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from config.clock import stamp
from config.errors import RecordRejected
from connectors.api import Operation, Record
from connectors.zoho import coql
from connectors.zoho.client import Client, Row
from connectors.zoho.objects import Known, reader
from connectors.zoho.push import Writer, nested

LONGEST = 32_000
"""Characters of a description."""
LOOK_BACK = timedelta(days=30)
MODULES = {"leads": "Leads", "contacts": "Contacts"}


def briefs(client: Client, known: Known, operations: Sequence[Operation], now: datetime, *, workflows: bool) -> Writer:
    """The writer of briefs."""
    owners: dict[str, str] = {}
    for object, module in MODULES.items():
        people = [id for operation in operations for there, id in [_person(operation)] if there == object]
        for row in client.by_ids(module, people, ("Owner",)):
            owners[str(row["id"])] = str((row.get("Owner") or {}).get("id") or "")

    def payload(operation: Operation) -> Row:
        return _task(operation, owners.get(_person(operation)[1], ""), now)

    return Writer(client, known, "tasks", ("Description",), workflows, payload, _mentions, ("Description",))


def _person(operation: Operation) -> tuple[str, str]:
    object, _, id = str(operation.values.get("person") or "").partition("/")
    return object, id


def _task(operation: Operation, owner: str, now: datetime) -> Row:
    values = operation.values
    if "person" not in values:
        return nested(values)
    object, id = _person(operation)
    if object not in MODULES:
        raise RecordRejected(
            "A brief is about a lead or a contact.", fix="Hand off to leads or contacts.", code="person"
        )
    end = f"\n\n{values['reference']}"
    tied = {"Who_Id": {"id": id}} if object == "contacts" else {"What_Id": {"id": id}, "$se_module": "Leads"}
    return {
        "Subject": str(values.get("subject") or "Hand-off")[:255],
        "Description": str(values.get("body") or "")[: LONGEST - len(end)] + end,
        "Status": "Not Started",
        "Priority": "High",
        "Due_Date": f"{now:%Y-%m-%d}",
        **tied,
        **({"Owner": {"id": owner}} if owner else {}),
    }


def _last_line(row: Row) -> str:
    return str(row.get("Description") or "").rstrip().rpartition("\n")[2].strip()


def _mentions(operation: Operation, row: Row) -> bool:
    return _last_line(row) == operation.values.get("reference")


def find_briefs(client: Client, known: Known, references: Sequence[str], now: datetime) -> dict[str, Record]:
    """Briefs by their reference, the first made first."""
    read, waiting = reader("tasks", ("Description",), known), set(references)
    found: dict[str, Record] = {}
    where = f"(Created_Time >= {coql.time(stamp(now - LOOK_BACK))})"
    for row in client.found("Tasks", ("id", "Description", "Modified_Time"), where):
        line = _last_line(row)
        if line in waiting and line not in found:
            found[line] = read(row)
    return found
