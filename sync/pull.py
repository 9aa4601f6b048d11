"""Pull one object of one connection into the state: page by page, data and cursor in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, delete, update

from config.clock import Clock
from config.errors import ClosedloopError
from connectors.api import Connector, Page
from mappings.compiler import Mapped
from mappings.model import Kind
from sync.absorb import Absorbed, absorb_pages
from sync.arrivals import Back
from sync.state.database import State
from sync.state.schema import records, streams
from sync.state.suppression import Suppression
from sync.streams import StreamRow, known_stream, stream_for

GROUP = 5000
"""Records per transaction, at least: several small pages share one commit, and one look-up."""
PATIENCE = 5.0
"""Seconds after which what a slow platform gave so far is stored all the same: a stop, a lease and a watcher wait."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought: the counts, and whether it went to the end (or was told to stop before)."""

    counts: Absorbed
    finished: bool
    pages: int


def restart(tx: Connection, connection: str, object: str, kind: str) -> None:
    """Forget how far the object was pulled: the next pull begins at the beginning. What is known stays known."""
    if not tx.execute(_RESTART, {"of": connection, "named": object}).rowcount:
        stream_for(tx, connection, object, kind)


_READ_BY = update(streams).where(streams.c.id == bindparam("stream")).values(mapping=bindparam("by"))
_RESTART = (
    update(streams)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .values(cursor=None, complete=False)
)


def pull_object(
    state: State,
    connector: Connector,
    mapped: Mapped,
    connection: str,
    *,
    run: str,
    now: Callable[[], str],
    there: Callable[[str], str] = lambda at: at,
    since: str = "",
    bulk: bool = False,
    forgotten: Suppression | None = None,
    keep_gone: bool = False,
    back: Back | None = None,
    stop: Callable[[], bool] = lambda: False,
    page_limit: int = 0,
    known: StreamRow | None = None,
    enter: Callable[[Connection], None] = lambda tx: None,
    inside: Callable[[Connection, Absorbed], None] = lambda tx, counts: None,
    on_group: Callable[[Absorbed, int | None], None] = lambda counts, total: None,
) -> Pulled:
    """Pull `mapped.object` from where it stands until nothing more is to come, `stop()` says so or `page_limit` pages.

    Each group of pages commits with its cursor. `inside(tx, counts)` is called in every such transaction with what the
    group brought, and may raise Fenced, or to have it taken again; `on_group` after it, with the sum so far. `enter`
    begins the transaction that makes the stream, or has it read anew, and may raise Fenced.
    A stream whose mapping changed since is read anew from the beginning: the new mapping fills old records too. And all
    leads are decided anew: of a field that goes another way now no record need be another.
    A pull that was cut off goes on where it stood, which ends where it would have ended then; what came since follows.
    `known` is the stream where it has just been looked up. `there` tells a moment of ours by the platform's clock.
    """
    counts, pages = Absorbed(), 0
    for catching_up in (False, True):
        stream = _stream(state, connection, mapped, None if catching_up else known, enter)
        resumed = not catching_up and stream.cursor is not None and not stream.complete
        arriving = connector.pull(mapped.object, stream.cursor, mapped.remote_fields, since=since, bulk=bulk)
        for group in _groups(arriving, state.clock):
            with state.begin(durable=False) as tx:  # a power cut takes cursor and records back together: read again
                at = now()
                brought = absorb_pages(
                    tx,
                    stream,
                    group,
                    mapped,
                    run=run,
                    at=at,
                    there=there(at),
                    forgotten=forgotten,
                    keep_gone=keep_gone,
                    back=back,
                )
                inside(tx, brought)
            counts = counts + brought if pages else brought
            pages += len(group)
            on_group(counts, next((page.total for page in group if page.total is not None), None))
            if stop() or (page_limit and pages >= page_limit):
                return Pulled(counts, not (group[-1].more or resumed), pages)
        if not resumed:
            break
    return Pulled(counts, True, pages)


def _stream(
    state: State, connection: str, mapped: Mapped, known: StreamRow | None, enter: Callable[[Connection], None]
) -> StreamRow:
    if known is None:
        with state.read() as tx:
            known = known_stream(tx, connection, mapped.object)
    if known is not None and known.mapping == mapped.fingerprint:
        return known
    with state.begin() as tx:
        enter(tx)
        stream = stream_for(tx, connection, mapped.object, mapped.kind)
        if stream.mapping:
            tx.execute(update(streams).where(streams.c.id == stream.id).values(cursor=None, complete=False))
            if mapped.kind is Kind.FIGURE:  # other dimensions make other rows; the old ones would count twice
                tx.execute(delete(records).where(records.c.stream == stream.id))
            tx.execute(update(records).where(records.c.stream == stream.id).values(raw_hash=0))
            stream = replace(stream, cursor=None, complete=False)
        tx.execute(_READ_BY, {"stream": stream.id, "by": mapped.fingerprint})
        return replace(stream, mapping=mapped.fingerprint)


def _groups(pages: Iterator[Page], clock: Clock) -> Iterator[list[Page]]:
    """The pages in lists of at least GROUP records, or of what came in PATIENCE; the last list may hold less. What came
    before an error comes before it here: a platform that stops us every hour is still read to its end."""
    group: list[Page] = []
    held, began = 0, clock.now()
    try:
        for page in pages:
            group.append(page)
            held += len(page.records)
            if held >= GROUP or not page.more or (clock.now() - began).total_seconds() >= PATIENCE:
                whole, group, held = group, [], 0
                yield whole
                began = clock.now()
    except ClosedloopError:
        if group:
            yield group
        raise
    if group:
        yield group
