"""Take pages of raw records into the state: what is new, what changed, which fields, since when.

A record whose bytes are the same costs a hash and a comparison. Otherwise its mapping reads it and its values are
compared with the baseline, field by field. Everything of a group of pages, the cursor included, is written in the
caller's transaction: the cursor never stands for records that are not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from connectors.api import Gone, Page, Record
from mappings.compiler import Mapped
from mappings.model import Kind
from sync.arrivals import Arrivals, Back, Loss
from sync.happened import Happened
from sync.reader import Reader
from sync.state import rows
from sync.state.schema import records
from sync.state.suppression import Suppression
from sync.streams import StreamRow, save_cursor, stream_for
from sync.timekeeping import theirs
from sync.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What became of pulled records: each is in exactly one of the counts from `new` to `suppressed`. `older` are the
    ids of those of the unchanged that were rolled back; `lost` is what a platform lost and is to be kept; `loosened`
    are consents that a record took back."""

    pulled: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    filtered: int = 0
    quarantined: int = 0
    suppressed: int = 0
    older: tuple[str, ...] = ()
    lost: tuple[Loss, ...] = ()
    loosened: tuple[Loss, ...] = ()

    def __add__(self, other: Absorbed) -> Absorbed:
        return Absorbed(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def absorb(tx: Connection, stream: StreamRow, page: Page, mapped: Mapped, *, run: str, at: str) -> Absorbed:
    """Absorb one page of `stream` and store its cursor."""
    return absorb_pages(tx, stream, [page], mapped, run=run, at=at)


def absorb_pages(
    tx: Connection,
    stream: StreamRow,
    pages: Sequence[Page],
    mapped: Mapped,
    *,
    run: str,
    at: str,
    there: str = "",
    forgotten: Suppression | None = None,
    keep_gone: bool = False,
    back: Back | None = None,
) -> Absorbed:
    """Absorb some pages of `stream`, read `at` (`there`: by the platform's clock, where that is another), and store the
    cursor of the last."""
    arrived = [record for page in pages for record in page.records]
    counts = absorb_records(
        tx, stream, arrived, mapped, run=run, at=at, there=there, forgotten=forgotten, keep_gone=keep_gone, back=back
    )
    save_cursor(tx, stream, pages[-1], at)
    return counts


def absorb_found(
    tx: Connection,
    workspace: Workspace,
    connection: str,
    object: str,
    found: Iterable[Record],
    *,
    run: str,
    back: Back | None = None,
) -> Absorbed:
    """Absorb records of a connection's object that were asked for by key: they come with no page and no cursor."""
    mapped, at = workspace.mapped(connection)[object], workspace.now()
    stream = stream_for(tx, connection, object, mapped.kind)
    there, forgotten = theirs(workspace, connection, at), workspace.suppression
    return absorb_records(tx, stream, list(found), mapped, run=run, at=at, there=there, forgotten=forgotten, back=back)


def absorb_asked(
    tx: Connection, workspace: Workspace, connection: str, object: str, asked: Mapping[str, Record], *, run: str
) -> Absorbed:
    """Absorb records of a connection's object by the ids that they were asked for by. A known one that another answers
    for lives on as that one, and is taken in as ended: what is given to the other later would pass for carried over
    once a pull told of that end."""
    stream = stream_for(tx, connection, object, workspace.mapped(connection)[object].kind)
    others = {id: record for id, record in asked.items() if record.id != id and record.gone is None}
    known = rows.find(tx, records, stream.id, ("id", "gone"), "id", list(others)) if others else ()
    living = [id for id, gone in known if gone is None]
    ended = [Record(id, b"{}", others[id].version, Gone.MERGED, into=others[id].id) for id in sorted(living)]
    found = {record.id: record for record in (*asked.values(), *ended)}
    return absorb_found(tx, workspace, connection, object, found.values(), run=run)


def absorb_records(
    tx: Connection,
    stream: StreamRow,
    arrived: Sequence[Record],
    mapped: Mapped,
    *,
    run: str,
    at: str,
    there: str = "",
    forgotten: Suppression | None = None,
    keep_gone: bool = False,
    back: Back | None = None,
) -> Absorbed:
    """Absorb records without moving any cursor. Of one id that comes twice the last counts; the other is unchanged. But
    one that lived when it came first, and is gone by the last, was known while it lived.

    With `keep_gone` records are taken in too that were deleted before we knew of them: a restored state knew them once.
    Those told older than they are known are not, but as `back` has it: see `sync.rollback`.

    Records of people who are `forgotten` are not taken in, by whatever of them is recognised: the record or an address.
    """
    if not arrived:
        return Absorbed()
    by_id = {record.id: record for record in arrived}
    if lived := _lived(arrived, by_id):
        ids = {record.id for record in lived}
        ended = [record for record in arrived if record.gone is not None or record.id not in ids]
        take = partial(absorb_records, tx, stream, mapped=mapped, run=run, at=at, there=there, forgotten=forgotten)
        return take(lived, keep_gone=keep_gone, back=back) + take(ended, keep_gone=keep_gone, back=back)
    reader = Reader(tx, stream, mapped, run, at)
    reader.forgotten = forgotten if forgotten is not None and forgotten.refresh(tx) else None
    for id in [id for id in by_id if not id.isprintable() or not id]:
        reader.refuse(by_id.pop(id), "bad_id", "has an id that is empty or holds control characters")
    if stream.kind is Kind.ACTIVITY:
        happened = Happened(tx, stream.id, reader)
        happened.take(by_id)
        happened.store()
        counts = _counts(len(arrived), reader, (happened.new, happened.changed, 0), _Back())
    else:
        arrivals = Arrivals(tx, stream, mapped, at, there or at, reader, keep_gone, back)
        arrivals.take(by_id)
        arrivals.store()
        taken = (arrivals.new, arrivals.changed, arrivals.gone)
        back_again = _Back(tuple(arrivals.older), tuple(arrivals.lost), tuple(arrivals.loosened))
        counts = _counts(len(arrived), reader, taken, back_again)
    reader.complaints.store()
    return counts


def _lived(arrived: Sequence[Record], last: Mapping[str, Record]) -> list[Record]:
    """Those that are gone by the `last` that is told of them here, as they were before."""
    if len(last) == len(arrived):
        return []
    return [record for record in arrived if record.gone is None and last[record.id].gone is not None]


class _Back(NamedTuple):
    """What went back: see `Absorbed`."""

    older: tuple[str, ...] = ()
    lost: tuple[Loss, ...] = ()
    loosened: tuple[Loss, ...] = ()


def _counts(arrived: int, reader: Reader, taken: tuple[int, int, int], back: _Back) -> Absorbed:
    """The accounts: what was none of the others was unchanged, ids that came again included."""
    told = (*taken, reader.filtered, reader.quarantined, reader.suppressed)
    return Absorbed(arrived, *told[:2], arrived - sum(told), *told[2:], back.older, back.lost, back.loosened)
