"""Writing to Google Analytics: outcomes of leads are sent once, and what it holds of a client is erased on demand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.api import Operation, Result
from connectors.google_analytics.client import Client
from connectors.google_analytics.events import CLIENT_ID, Event, event_of
from connectors.google_analytics.senders import Sender


def push_events(open: Callable[[], Sender], operations: Sequence[Operation], now: datetime) -> Iterator[Result]:
    """Send the outcomes. What must not leave is refused here; after an error that would meet the next body as well,
    the rest carry it."""
    events: list[Event] = []
    for operation in operations:
        try:
            events.append(event_of(operation, now))
        except RecordRejected as error:
            error.object = operation.object
            yield Result(operation.key, error=error)
    if not events:
        return
    try:
        sender = open()
    except ClosedloopError as error:
        yield from (Result(event.key, error=error) for event in events)
        return
    yield from _sent(sender, events)


def _sent(sender: Sender, events: Sequence[Event]) -> Iterator[Result]:
    stop: ClosedloopError | None = None
    for portion in sender.portions(events):
        waiting = {event.key: event for event in portion}
        error = stop
        if stop is None:
            try:
                for result in sender.send(portion):
                    waiting.pop(result.key)
                    yield result
            except ClosedloopError as met:
                error = met
                stop = None if isinstance(met, InDoubt | RecordRejected) else met
        for event in waiting.values():
            yield Result(event.key, error=error)


def push_erasures(client: Client, operations: Sequence[Operation]) -> Iterator[Result]:
    """Have Google delete what it holds of the clients that the operations name, each asked for once."""
    done: set[str] = set()
    stop: ClosedloopError | None = None
    for operation in operations:
        whose, error = _client_of(operation), stop
        if error is None and not whose:
            error = RecordRejected("No client id is known here.", field="client_id", code="missing")
        elif error is None and whose not in done:
            try:
                client.forget(whose)
                done.add(whose)
            except ClosedloopError as met:
                error = met
                stop = None if isinstance(met, RecordRejected) else met
        yield Result(operation.key, operation.id, error=error)


def _client_of(operation: Operation) -> str:
    """The client id: `match` names it, or it stands before the event's id."""
    told = str(operation.match.get("client_id") or operation.id.partition("/")[0])
    return told if re.fullmatch(CLIENT_ID, told, re.ASCII) else ""
