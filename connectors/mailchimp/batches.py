"""Batch operations: up to a thousand calls handed over at once, done by Mailchimp in its own time.

They are for what the batch of members cannot say exactly: opt-outs and new addresses, one call each. The answer is a
link to a packed file, valid for some minutes; it is fetched without our credentials.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from config.clock import Clock
from config.errors import ClosedloopError, InDoubt
from connectors.mailchimp.client import Client, classify

JOB = 1000
"""Operations in one request."""
FIRST_LOOK, LONGEST_LOOK = 1.0, 30.0
"""Seconds between looks at a job: it starts in seconds or in minutes."""
PATIENCE = 3600.0
"""Seconds after which a job is left alone; what it did is then looked up like any lost answer."""
LARGEST_FILE = 64 * 1024 * 1024
"""Bytes of the unpacked results; a thousand members are a few."""

_BROKEN = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, KeyError)
"""What reading a packed file raises that is cut off, or is something else."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One call of a job; `key` comes back with its result."""

    key: str
    method: str
    path: str
    body: Any


Outcome = dict[str, Any] | ClosedloopError


def perform(client: Client, clock: Clock, pieces: Sequence[Piece]) -> dict[str, Outcome]:
    """What became of every piece, by key: its answer's body, or our error. One that no result names is in doubt."""
    found: dict[str, Outcome] = {}
    for start in range(0, len(pieces), JOB):
        some = pieces[start : start + JOB]
        try:
            found.update(_job(client, clock, some))
        except ClosedloopError as error:
            found.update({piece.key: error for piece in some})
    missing = InDoubt("Mailchimp's batch tells nothing of this operation.", connection=client.connection)
    return {piece.key: found.get(piece.key, missing) for piece in pieces}


def _job(client: Client, clock: Clock, pieces: Sequence[Piece]) -> dict[str, Outcome]:
    rows = [
        {"method": p.method, "path": p.path, "operation_id": p.key, "body": orjson.dumps(p.body).decode()}
        for p in pieces
    ]
    told = client.call("POST", "/batches", None, {"operations": rows}, repeatable=False)
    try:
        finished = _finished(client, clock, str(told["id"]))
        results = list(_results(client.fetch(finished["response_body_url"])))
    except InDoubt:
        raise
    except (ClosedloopError, *_BROKEN) as error:
        # handed over, and done or still to be done: whatever went wrong after that is no refusal
        raise InDoubt("Mailchimp's batch gives no result.", connection=client.connection) from error
    return {str(row["operation_id"]): _outcome(row, client.connection) for row in results}


def _finished(client: Client, clock: Clock, id: str) -> dict[str, Any]:
    wait, waited = FIRST_LOOK, 0.0
    while waited < PATIENCE:
        told: dict[str, Any] = client.call("GET", f"/batches/{id}")
        if told["status"] == "finished":
            return told
        clock.sleep(wait)
        waited, wait = waited + wait, min(wait * 2, LONGEST_LOOK)
    raise InDoubt("Mailchimp's batch is not done after an hour.", connection=client.connection)


def _results(packed: bytes) -> Iterator[dict[str, Any]]:
    """The rows of every JSON file in the archive. Nothing is written to disk, and no more is unpacked than may be."""
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    archived = unpacking.decompress(packed, LARGEST_FILE)
    if not unpacking.eof:
        raise tarfile.TarError("cut off, or larger than may be")
    with tarfile.open(fileobj=io.BytesIO(archived), mode="r:") as archive:
        for entry in archive:
            if not entry.isfile() or not entry.name.endswith(".json"):
                continue
            content = archive.extractfile(entry)
            assert content is not None
            yield from orjson.loads(content.read())


def _outcome(row: dict[str, Any], connection: str) -> Outcome:
    told = orjson.loads(row["response"]) if row.get("response") else {}
    status = int(row["status_code"])
    if status >= 400:
        return classify(status, told if isinstance(told, dict) else {}, connection)
    return told if isinstance(told, dict) else {}
