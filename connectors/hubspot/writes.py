"""Writing to HubSpot: batches of a hundred with one result per row, whatever the answer looks like.

HubSpot has told partial failures in three ways over its versions: 207 with `errors`, 200 with `errors`, and rows that
are silently missing. Results are matched by the trace id sent with each row, then by id, then by e-mail; what is
matched by none is looked up, never taken for done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson

from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.api import Operation, Record, Result, Verb
from connectors.hubspot.client import BATCH, VERSION, Client, Item, Items, objects, rejection
from connectors.retry import half_done, last_word

NOTE_TO = {"contacts": 202, "companies": 190, "deals": 214}
"""HUBSPOT_DEFINED association types of a note."""

DEAL_TO = {"contacts": 3, "companies": 341}
"""HUBSPOT_DEFINED association types of a deal."""

PERSON = "person"
"""Of a new deal: `contacts/12`, whom it is about. An association, and no property."""

CONSENT = "hs_email_optout"
"""Calculated by HubSpot. `true` is written as an opt-out of all e-mail in the communication preferences."""

STAGE = "lifecyclestage"
"""HubSpot moves it forward only: a stage before the one that stands is answered as if it was taken, and is not. From
blank it goes anywhere."""

SECOND = "hs_additional_emails"
"""The further addresses of a contact."""

AWAY = (Verb.ARCHIVE, Verb.ERASE)


def push_records(client: Client, operations: Sequence[Operation]) -> Iterator[Result]:
    """Upsert by e-mail, update by id; a batch holds a record at most once."""
    stop: ClosedloopError | None = None
    good = []
    for operation in operations:
        if operation.verb is Verb.CREATE or _text(operation.values.get(CONSENT)) in ("", "true"):
            good.append(operation)
        else:
            yield Result(operation.key, error=_opt_in())
    for batch in _batches(good):
        if stop is not None:
            yield from (Result(operation.key, error=stop) for operation in batch)
            continue
        for result in _push(client, batch, set()):
            if result.error is not None and not isinstance(result.error, RecordRejected | InDoubt):
                stop = result.error
            yield result


def _batches(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Runs of one verb, at most a hundred, none with two operations on one record."""
    for verb in (Verb.UPDATE, Verb.CREATE):
        waiting = [operation for operation in operations if operation.verb is verb]
        while waiting:
            batch: list[Operation] = []
            later: list[Operation] = []
            seen: set[str] = set()
            for operation in waiting:
                place = _place(operation)
                if len(batch) < BATCH and (not place or place not in seen):
                    batch.append(operation)
                    seen.add(place)
                else:
                    later.append(operation)
            yield batch
            waiting = later


def _place(operation: Operation) -> str:
    return operation.id or str(operation.match.get("email") or "").lower()


def _push(client: Client, batch: list[Operation], blanked: set[str]) -> Iterator[Result]:
    """One batch; split in halves when HubSpot refuses it as a whole, down to the row that is to blame. `blanked` are
    those whose stage was blanked on the way."""
    try:
        answer = _send(client, batch, blanked)
    except ClosedloopError as error:
        if isinstance(error, RecordRejected) and len(batch) > 1:
            middle = len(batch) // 2
            yield from _push(client, batch[:middle], blanked)
            yield from _push(client, batch[middle:], blanked)
        else:
            yield from (_failed(operation, error, operation.key in blanked) for operation in batch)
        return
    yield from _results(client, batch, answer, blanked)


def _failed(operation: Operation, error: ClosedloopError, half: bool) -> Result:
    """The result of what was refused, or not sent; in doubt where `half` of it is done already."""
    return Result(operation.key, error=half_done(error) if half else error)


def _send(client: Client, batch: list[Operation], blanked: set[str]) -> Items:
    """HubSpot's answer; into `blanked` those whose stage was blanked before."""
    object = batch[0].object
    inputs: list[dict[str, Any]]
    if batch[0].verb is Verb.UPDATE:
        blanked.update(_clear_stages(client, batch))
        inputs = [{"id": op.id, "objectWriteTraceId": op.key, "properties": _properties(op)} for op in batch]
        return client.written(client.post(f"{objects(object)}/batch/update", {"inputs": inputs}))
    if batch[0].match and object != "deals":
        [(name, _)] = list(batch[0].match.items())[:1]
        inputs = [
            {"id": str(op.match[name]), "idProperty": name, "objectWriteTraceId": op.key, "properties": _properties(op)}
            for op in batch
        ]
        return client.written(client.post(f"{objects(object)}/batch/upsert", {"inputs": inputs}))
    inputs = [
        {"objectWriteTraceId": op.key, "properties": _properties(op), "associations": _associations(op)} for op in batch
    ]
    return client.written(client.post(f"{objects(object)}/batch/create", {"inputs": inputs}, repeatable=False))


def _clear_stages(client: Client, batch: list[Operation]) -> set[str]:
    """Blank the stages that are meant to go back, so that they can; the operations whose stages may be blank now. A row
    that is refused here is refused again below, where it is told."""
    back = [op for op in batch if _steps_back(op)]
    if not back:
        return set()
    inputs = [{"id": op.id, "objectWriteTraceId": op.key, "properties": {STAGE: ""}} for op in back]
    answer = client.written(client.post(f"{objects(batch[0].object)}/batch/update", {"inputs": inputs}))
    waiting = {op.key: op for op in back}
    refused = [_blamed(told, waiting, {op.id: op for op in back}, {}) for told in answer.errors]
    return waiting.keys() - {key for keys in refused for key in keys}


def _steps_back(operation: Operation) -> bool:
    return STAGE in operation.backwards and bool(operation.values.get(STAGE))


def _associations(operation: Operation) -> list[dict[str, Any]]:
    """Whom a new deal is about."""
    object, _, id = str(operation.values.get(PERSON) or "").partition("/")
    if not id:
        return []
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": DEAL_TO[object]}]
    return [{"to": {"id": id}, "types": types}]


def _properties(operation: Operation) -> dict[str, str]:
    """Values as HubSpot takes them: text, `true`/`false`, '' to clear."""
    return {name: _text(value) for name, value in operation.values.items() if name not in (CONSENT, PERSON)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ";".join(value) if isinstance(value, list) else str(value)


def _results(client: Client, batch: list[Operation], answer: Items, blanked: set[str]) -> Iterator[Result]:
    waiting = {operation.key: operation for operation in batch}
    further = _further(client, batch)
    by_id = {operation.id: operation for operation in batch if operation.id}
    by_email = {place: operation for operation in batch if not operation.id and (place := _place(operation))}
    for item in answer.results:
        operation = waiting.get(item.objectWriteTraceId or "") or by_id.get(item.id) or by_email.get(_email(item))
        if operation is not None and waiting.pop(operation.key, None) is not None:
            yield _with_further(_done(client, operation, item), operation, further)
    for told in answer.errors:
        for key in _blamed(told, waiting, by_id, by_email):
            error = rejection(told, 400, str(told.get("category") or ""), "")
            yield _failed(waiting.pop(key), error, key in blanked)
    if waiting:
        yield from _missing(client, list(waiting.values()), further)


def _further(client: Client, batch: Sequence[Operation]) -> dict[str, Item] | None:
    """The contacts of a batch whose address was to change, with all addresses that they have now: HubSpot keeps what
    was the main one as a further one, finds them by it, and does not say so. None where that cannot be read."""
    moved = [operation.id for operation in batch if _moves(operation)]
    try:
        return client.read(batch[0].object, moved, ("email", SECOND)) if moved else {}
    except ClosedloopError:
        return None


def _moves(operation: Operation) -> bool:
    return operation.verb is Verb.UPDATE and operation.object == "contacts" and "email" in operation.values


def _with_further(result: Result, operation: Operation, further: dict[str, Item] | None) -> Result:
    """The result, with the further addresses of a contact whose address was changed."""
    if result.record is None or not _moves(operation):
        return result
    item = (further or {}).get(result.id)
    if item is None:
        return Result(operation.key, result.id, error=_unclear(operation))
    told = {**orjson.loads(result.record.raw), SECOND: orjson.loads(bytes(item.properties)).get(SECOND)}
    record = Record(result.id, orjson.dumps(told), result.record.version)
    return Result(operation.key, result.id, created=result.created, record=record)


def _email(item: Item) -> str:
    return str(orjson.loads(bytes(item.properties)).get("email") or "").lower()


def _blamed(
    told: dict[str, Any], waiting: dict[str, Operation], by_id: dict[str, Operation], by_email: dict[str, Operation]
) -> list[str]:
    """The operations that an entry of `errors` speaks of."""
    context = told.get("context") or {}
    keys = [key for key in context.get("objectWriteTraceId") or [] if key in waiting]
    for name in [*(context.get("ids") or []), *(context.get("id") or [])]:
        operation = by_id.get(str(name)) or by_email.get(str(name).lower())
        if operation is not None and operation.key in waiting:
            keys.append(operation.key)
    return list(dict.fromkeys(keys))


def _done(client: Client, operation: Operation, item: Item) -> Result:
    """The result of what was written; an opt-out is another call, after it."""
    if _text(operation.values.get(CONSENT)) == "true":
        email = str(operation.values.get("email") or operation.match.get("email") or _email(item) or "")
        try:
            _unsubscribe(client, email or _read_email(client, operation.object, item.id))
        except ClosedloopError as error:
            wrote = operation.verb is Verb.CREATE or bool(_properties(operation))
            return replace(_failed(operation, error, wrote), id=item.id)
    record = Record(item.id, bytes(item.properties), item.updatedAt)
    return Result(operation.key, item.id, created=item.new, record=record)


def _read_email(client: Client, object: str, id: str) -> str:
    found = client.read(object, [id], ("email",))
    return _email(found[id]) if id in found else ""


def _opt_in() -> RecordRejected:
    """An opt-out travels; an opt-in never does: only the person can come back."""
    return RecordRejected(
        "Only an opt-out can be written to HubSpot.", fix="The person must subscribe.", field=CONSENT, code="consent"
    )


def _unsubscribe(client: Client, email: str) -> None:
    path = f"/communication-preferences/{VERSION}/statuses/{quote(email, safe='')}/unsubscribe-all"
    client.call("POST", path, {"channel": "EMAIL"})


def push_away(client: Client, operations: Sequence[Operation]) -> Iterator[Result]:
    """Archive in batches, erase one by one. HubSpot answers alike for what is away already."""
    archived = [operation for operation in operations if operation.verb is Verb.ARCHIVE]
    for start in range(0, len(archived), BATCH):
        batch = archived[start : start + BATCH]
        inputs = {"inputs": [{"id": operation.id} for operation in batch]}
        error = _done_or(client, f"{objects(batch[0].object)}/batch/archive", inputs)
        yield from (Result(operation.key, operation.id, error=error) for operation in batch)
    for operation in operations:
        if operation.verb is Verb.ERASE:
            path = f"{objects(operation.object)}/gdpr-delete"
            yield Result(operation.key, operation.id, error=_done_or(client, path, {"objectId": operation.id}))


def _done_or(client: Client, path: str, body: Any) -> ClosedloopError | None:
    """None when it is done; asked for twice, it stays done."""
    try:
        client.post(path, body)
    except ClosedloopError as error:
        return None if last_word(error).code in ("object_not_found", "not_found") else error
    return None


def _missing(client: Client, operations: list[Operation], further: dict[str, Item] | None) -> Iterator[Result]:
    """Rows that the answer says nothing of: read what stands there now."""
    ids = [operation.id for operation in operations if operation.id]
    names = sorted({name for operation in operations for name in _properties(operation)})
    try:
        found = client.read(operations[0].object, ids, names) if ids else {}
    except ClosedloopError:
        yield from (Result(operation.key, error=_unclear(operation)) for operation in operations)
        return
    for operation in operations:
        item = found.get(operation.id)
        if item is None:
            yield Result(operation.key, error=_merged_away(operation) if operation.id else _unclear(operation))
            continue
        held = orjson.loads(bytes(item.properties))
        same = all((held.get(name) or "") == value for name, value in _properties(operation).items())
        if same:
            yield _with_further(_done(client, operation, item), operation, further)
        else:
            yield Result(operation.key, error=_unclear(operation))


def _merged_away(operation: Operation) -> RecordRejected:
    return RecordRejected(
        "The record was merged into another or deleted.",
        fix="The next sync follows the merge.",
        object=operation.object,
        record=operation.id,
        code="merged_away",
    )


def _unclear(operation: Operation) -> InDoubt:
    return InDoubt("HubSpot's answer leaves this row out.", object=operation.object, record=operation.id)


def push_briefs(client: Client, operations: Sequence[Operation], now: str) -> Iterator[Result]:
    """Hand-off briefs as notes on the contact. Creating is not repeatable: a lost answer leaves the row in doubt."""
    for operation in operations:
        values = operation.values
        object, _, id = str(values["person"]).partition("/")
        title, text = _html(values["subject"]), _html(values["body"])
        body = f"<p><strong>{title}</strong></p><p>{text}</p><p>{values['reference']}</p>"
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE_TO[object]}]
        payload = {
            "properties": {"hs_timestamp": now, "hs_note_body": body[:65_000]},
            "associations": [{"to": {"id": id}, "types": types}],
        }
        try:
            told = orjson.loads(client.post(objects("notes"), payload, repeatable=False))
        except orjson.JSONDecodeError:
            yield Result(operation.key, error=_unclear(operation))
            continue
        except ClosedloopError as error:
            yield Result(operation.key, error=error)
            continue
        yield Result(operation.key, str(told["id"]), created=True)


def _html(text: Any) -> str:
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\n", "<br>", escaped)
