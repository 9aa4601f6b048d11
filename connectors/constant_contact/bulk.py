"""Many contacts at once: imports and deletions that Constant Contact does in its own time.

An import tells how many rows it took and how many it did not, never which. It gives everybody new the permission
`implicit`, brings deleted contacts back, silently drops what is beyond 4 MB, and puts everybody, also who was there,
on a list. So only people go into one who are not there in any state, and each is looked for afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from config.clock import Clock, stamp, unstamp
from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.api import Operation, Result, Verb
from connectors.constant_contact.client import DELETED, PAGE, Client, Row, address_of
from connectors.constant_contact.objects import ADDRESS, CONTACTS, CORE, CUSTOM, WHOLE, moment
from connectors.constant_contact.push import FORM_EMAIL, Contacts, one_by_one, put_away

MANY = 100
"""Operations from which on an import or a deletion in bulk costs fewer calls."""
ROWS = 500
LARGEST = 3_500_000
"""Bytes of an import's rows; what is beyond 4 MB is dropped without a word."""
FIRST_LOOK, LONGEST_LOOK = 2.0, 30.0
"""Seconds between looks at an activity."""
PATIENCE = 1800.0
"""Seconds after which an activity is left alone; what it did is then looked up like any lost answer."""
OVERLAP = timedelta(seconds=300)
_ENDED = ("completed", "cancelled", "failed", "timed_out")
_PHONES = {
    "phone": "work_phone",
    "phones.mobile": "mobile_phone",
    "phones.home": "home_phone",
    "phones.work": "work_phone",
}
_ADDRESS = {"street": "street", "city": "city", "state": "state", "postal_code": "zip", "country": "country"}


# creates


def create_many(contacts: Contacts, operations: Sequence[Operation], clock: Clock) -> Iterator[Result]:
    """The creates that an import can say go into one, as long as finding out who is there already is cheap; all
    others, one by one."""
    try:
        new = _for_import(contacts, operations)
    except ClosedloopError as error:
        yield from (Result(operation.key, error=error) for operation in operations)
        return
    keys = {operation.key for operation in new}
    for portion in portions(new):
        yield from _imported(contacts, portion, clock)
    yield from one_by_one([operation for operation in operations if operation.key not in keys], contacts.push)


def _for_import(contacts: Contacts, operations: Sequence[Operation]) -> list[Operation]:
    """The operations whose people are not there in any state; none where they are too few."""
    if len(operations) < MANY:
        return []
    able = [operation for operation in operations if importable(contacts, operation)]
    there = _there(contacts.client, {_email(one) for one in able}) if len(able) >= MANY else None
    new = [] if there is None else [operation for operation in able if _email(operation) not in there]
    return new if len(new) >= MANY else []


def importable(contacts: Contacts, operation: Operation) -> bool:
    """Whether an import would make of the operation what a POST would."""
    if operation.verb is not Verb.CREATE or contacts.fallback != "implicit" or not contacts.lists:
        return False
    if not 0 < len(_email(operation)) <= FORM_EMAIL:
        return False
    return all(_sayable(contacts, name, value) for name, value in operation.values.items())


def _sayable(contacts: Contacts, name: str, value: Any) -> bool:
    """Numbers from outside North America are not taken by an import."""
    if name in _PHONES:
        return not value or str(value).startswith("+1")
    if name == "permission_to_send":
        return value in (None, "implicit", "not_set")
    if name.startswith(CUSTOM):
        custom = name.removeprefix(CUSTOM)
        return contacts.known.field(custom) is not None and contacts.known.plain(custom)
    return name in CORE or name == "email" or (name.startswith(ADDRESS) and name.removeprefix(ADDRESS) in _ADDRESS)


def _email(operation: Operation) -> str:
    return str(operation.values.get("email") or operation.match.get("email") or "").lower()


def _there(client: Client, emails: set[str]) -> set[str] | None:
    """Those of the addresses that the account has, deleted ones too; None where looking would take more calls than a
    fifth of the addresses."""
    first = client.rows(CONTACTS, CONTACTS, {"status": "all", "include_count": "true"})
    if first.total is None or first.total / PAGE > len(emails) / 5:
        return None
    found: set[str] = set()
    page = first
    while True:
        found |= emails & {address_of(row) for row in page.rows}
        if not page.next:
            return found
        page = client.following(page.next, CONTACTS)


def portions(operations: Sequence[Operation]) -> Iterator[dict[str, tuple[Operation, Row]]]:
    """Rows by address, in imports that are small enough. An address that comes twice goes into two."""
    portion: dict[str, tuple[Operation, Row]] = {}
    size = 0
    for operation in operations:
        row = _row(operation)
        length = len(orjson.dumps(row)) + 1
        if len(portion) >= ROWS or size + length > LARGEST or _email(operation) in portion:
            yield portion
            portion, size = {}, 0
        portion[_email(operation)] = (operation, row)
        size += length
    if portion:
        yield portion


def _row(operation: Operation) -> dict[str, Any]:
    """The operation in the words of an import."""
    row: dict[str, Any] = {"email": operation.values.get("email") or operation.match.get("email")}
    for name, value in operation.values.items():
        if value is None or name == "permission_to_send":
            continue
        if name in _PHONES:
            row[_PHONES[name]] = str(value)
        elif name.startswith(CUSTOM):
            row[f"cf:{name.removeprefix(CUSTOM)}"] = str(value).lower() if isinstance(value, bool) else str(value)
        elif name.startswith(ADDRESS):
            row[f"work_{_ADDRESS[name.removeprefix(ADDRESS)]}"] = str(value)
        else:
            row[name] = value
    return row


def _imported(contacts: Contacts, portion: Mapping[str, tuple[Operation, Row]], clock: Clock) -> Iterator[Result]:
    """What became of each row: it is looked for among all that changed since the import began."""
    client = contacts.client
    body = {"import_data": [row for _, row in portion.values()], "list_ids": contacts.lists}
    try:
        ended = _run(client, clock, "contacts_json_import", body)
        found = _changed(client, {"status": "all", "include": ",".join(WHOLE)}, ended)
    except ClosedloopError as error:
        yield from (Result(operation.key, error=error) for operation, _ in portion.values())
        return
    for email, (operation, _) in portion.items():
        row = found.get(email)
        if row is not None and not row.get(DELETED):
            yield Result(operation.key, str(row["contact_id"]), _is_new(row, ended), contacts.read(row))
        else:
            yield Result(operation.key, error=_left_out(client, ended))


def _is_new(row: Row, activity: Row) -> bool:
    return moment(row.get("created_at")) >= moment(activity.get("created_at"))


def _left_out(client: Client, activity: Row) -> ClosedloopError:
    """A row that a completed import did not take was refused by it; of any other nobody knows."""
    if activity.get("state") != "completed":
        return InDoubt("Constant Contact's import did not end well.", connection=client.connection)
    return RecordRejected(
        "Constant Contact's import left this contact out, without saying why.",
        fix="It may have unsubscribed before, or its address is not taken: look it up in Constant Contact.",
        code="import",
    )


# deletions


def delete_many(client: Client, operations: Sequence[Operation], clock: Clock) -> Iterator[Result]:
    """Deleted, or refused: few by a call each, many in bulk, and then looked for among the deleted."""
    if len(operations) < MANY:
        yield from one_by_one(operations, lambda operation: put_away(client, operation))
        return
    for start in range(0, len(operations), ROWS):
        yield from _deleted(client, operations[start : start + ROWS], clock)


def _deleted(client: Client, operations: Sequence[Operation], clock: Clock) -> Iterator[Result]:
    """What the list of the deleted does not show may have been there before: it is deleted by a call of its own."""
    try:
        ended = _run(client, clock, "contact_delete", {"contact_ids": [operation.id for operation in operations]})
        found = {str(row["contact_id"]) for row in _changed(client, {"status": "deleted"}, ended).values()}
    except ClosedloopError as error:
        yield from (Result(operation.key, error=error) for operation in operations)
        return
    yield from (Result(operation.key, operation.id) for operation in operations if operation.id in found)
    left = [operation for operation in operations if operation.id not in found]
    yield from one_by_one(left, lambda operation: put_away(client, operation))


# activities


def _run(client: Client, clock: Clock, kind: str, body: Mapping[str, Any]) -> Row:
    """The activity as it ended. InDoubt where it was handed over and its end is not known."""
    began = client.write("POST", f"activities/{kind}", body)
    wait, waited = FIRST_LOOK, 0.0
    while waited < PATIENCE:
        clock.sleep(wait)
        waited, wait = waited + wait, min(wait * 2, LONGEST_LOOK)
        try:
            told = client.one(f"activities/{began['activity_id']}")
        except ClosedloopError as error:
            raise InDoubt("Constant Contact's activity tells no end.", connection=client.connection) from error
        if told.get("state") in _ENDED:
            return {"created_at": began.get("created_at"), **told}
    raise InDoubt("Constant Contact's activity is not done after half an hour.", connection=client.connection)


def _changed(client: Client, query: Mapping[str, str], activity: Row) -> dict[str, Row]:
    """Contacts by address, of all that changed since the activity began. InDoubt where they cannot be listed."""
    since = stamp(unstamp(str(activity["created_at"])) - OVERLAP)
    try:
        rows = client.all(CONTACTS, CONTACTS, {**query, "updated_after": since})
        return {address_of(row): row for row in rows}
    except ClosedloopError as error:
        raise InDoubt("What Constant Contact's activity did cannot be seen.", connection=client.connection) from error
