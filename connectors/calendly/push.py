"""Erasing: Calendly deletes all data of an invitee by the address, on request, within seven days."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.api import Operation, Result
from connectors.calendly.client import EMAILS, Client, invitee_path


def push_erasures(client: Client, operations: Sequence[Operation]) -> Iterator[Result]:
    """Ask for the erasure of whoever the operations name. A booking that is not there any more is done. After an error
    that would meet the next request as well, the rest carry it."""
    stop: ClosedloopError | None = None
    for start in range(0, len(operations), EMAILS // 2):
        some = operations[start : start + EMAILS // 2]
        if stop is None:
            stop = yield from _asked(client, some)
        else:
            yield from (Result(operation.key, operation.id, error=stop) for operation in some)


def _asked(client: Client, operations: Sequence[Operation]) -> Generator[Result, None, ClosedloopError | None]:
    """One request for all of `operations`; returns the error that would meet the next one as well."""
    error: ClosedloopError | None = None
    try:
        addresses = sorted({address for operation in operations for address in _addresses(client, operation)})
        if addresses:
            client.erase(addresses)
    except ClosedloopError as met:
        error = met
    if isinstance(error, RecordRejected) and len(operations) > 1:
        stop: ClosedloopError | None = None
        for operation in operations:  # one address that is none must not stop the others
            if stop is None:
                stop = yield from _asked(client, [operation])
            else:
                yield Result(operation.key, operation.id, error=stop)
        return stop
    for operation in operations:
        yield Result(operation.key, operation.id, error=error)
    return None if isinstance(error, RecordRejected | InDoubt) else error


def _addresses(client: Client, operation: Operation) -> set[str]:
    """The address that the booking was made with, and the one that the person is known by."""
    path = invitee_path(operation.id)
    invitee = client.found(path) if path else None
    told = (invitee or {}).get("email"), operation.match.get("email")
    return {str(address) for address in told if address}
