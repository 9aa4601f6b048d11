"""A platform that was rolled back: a sandbox refreshed, a CRM restored from its backup.

Its records are told older than they are known, and those made since are not there any more. That is no person's edit:
nothing of it is taken in, and from the first sign of it on nothing is written anywhere, until a person says which way
it is to go. The sign is noted before anything else is done: whoever is cut off after it goes on knowing.
ACCEPT: the platform is right, and its older values count from now. PUT_BACK: what it lost is written to it again.
Consents and stages are put back in either case: they tighten and go forward only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, update

from config.clock import stamp, unstamp
from config.errors import Misconfigured, PermissionMissing, RecordRejected
from connectors.api import Gone, Record
from mappings.model import Field, Kind, Rule, Values
from sync.absorb import absorb_found
from sync.arrivals import LAGS, Back, Loss, went_back
from sync.core.merge import Voice, speaking
from sync.core.views import Provenance, RecordView
from sync.guards import known_records
from sync.load import chunks, provenances, record_views
from sync.parked import OLDER, ROLLED_BACK
from sync.state.database import upsert
from sync.state.schema import conflicts, leads, meta, records, streams
from sync.timekeeping import theirs
from sync.withheld import contest, note
from sync.workspace import Workspace

ACCEPT, PUT_BACK = "accept", "put-back"
WAYS = (ACCEPT, PUT_BACK)
PROBED = 20
"""Records that are looked at now and then: the newest of those that every index shows by now."""
LATER = "The next run that can read the account looks again; nothing is written anywhere until then."
_LASTING = (Rule.MOST_RESTRICTIVE, Rule.FURTHEST)
_NOTHING: Any = object()


def back(fields: Iterable[Field], way: str) -> Back | None:
    """How older records are taken in; None where nobody has said."""
    if way not in WAYS:
        return None
    lasting = frozenset(known.name for known in fields if known.rule in _LASTING)
    return Back(anew=way == ACCEPT, kept=lasting if way == ACCEPT else None, listed=True)


@dataclass(frozen=True, slots=True)
class Lost:
    """What the newest `looked` of the records `known` are found to have lost: told older, or not there any more."""

    known: int
    looked: int = 0
    older: int = 0
    missing: int = 0
    newer: tuple[Record, ...] = ()  # those told alive and newer: no pull has brought that yet
    back: tuple[Record, ...] = ()  # those told older

    @property
    def number(self) -> int:
        """All of it. Where only records are missing, nothing but a person tells a roll-back from deletions that nothing
        told of."""
        return self.older + self.missing


def why(object: str, lost: Lost) -> str:
    """Why the connection is held, for a person."""
    if not lost.older:
        return (
            f"{object}: {lost.missing:,} of the newest {lost.looked:,} records are not there any more, and nothing "
            "told that they were deleted: the account looks rolled back"
        )
    gone = f", {lost.missing:,} are not there any more" if lost.missing else ""
    return (
        f"{object}: {lost.older:,} of the newest {lost.looked:,} records came back older than they were{gone}: "
        "the account looks rolled back"
    )


def fix(connection: str) -> str:
    """What is to be done about it."""
    return (
        f"Nothing is written anywhere until you say which way: `closedloop backfill {connection} --rolled-back accept` "
        "takes the account for what it shows now, `--rolled-back put-back` writes to it again what it lost."
    )


# looking now and then


_NEWEST = (
    select(records.c.id, records.c.version, records.c.gone)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.version != "", records.c.version < bindparam("until"))
    .order_by(records.c.version.desc())
)
_THESE = (
    select(records.c.id, records.c.version, records.c.gone)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.id.in_(bindparam("some", expanding=True)))
)
_LIVING = _NEWEST.where(records.c.gone.is_(None)).limit(PROBED)


def looks_rolled_back(lost: Lost) -> bool:
    """Whether most of the records that were looked at are gone, or told older than they are known. A pull of news would
    not tell: their times have gone back, too."""
    return (lost.older + lost.missing) * 2 > lost.looked


def newest(workspace: Workspace, connection: str, object: str) -> Lost:
    """What the newest living records have lost, of people."""
    known = []
    if workspace.mapped(connection)[object].kind is Kind.LEAD:
        known = _known(workspace, connection, object, _LIVING)
    try:
        return _look(workspace, connection, object, known) if known else Lost(0)
    except PermissionMissing:  # pulling will tell
        return Lost(0)


def look(workspace: Workspace, connection: str, object: str, told: Collection[str]) -> Lost:
    """What the account has lost of the object, the newest records first, until it is more than a guard lets pass. Of
    others than people it is what a pull `told` older: of those few are asked for by their ids, as what they show."""
    with workspace.state.read() as tx:
        known = known_records(tx, connection, object)
    guard = workspace.project.guards.rolled_back
    if workspace.mapped(connection)[object].kind is not Kind.LEAD:
        few = told and not guard.breaks(len(told), known)
        return Lost(known, known, len(told), back=_still_older(workspace, connection, object, told) if few else ())
    found = Lost(known)
    for some in chunks(_known(workspace, connection, object, _NEWEST)):
        more = _look(workspace, connection, object, some)
        looked, older, missing = found.looked + len(some), found.older + more.older, found.missing + more.missing
        found = replace(found, looked=looked, older=older, missing=missing)
        found = replace(found, newer=(*found.newer, *more.newer), back=(*found.back, *more.back))
        if guard.breaks(found.number, found.known):
            break
    return found


def _still_older(workspace: Workspace, connection: str, object: str, told: Collection[str]) -> tuple[Record, ...]:
    """Those of the records `told` older that are so when they are asked for; none where a platform cannot be."""
    back: list[Record] = []
    for some in chunks(sorted(told)):
        with workspace.state.read() as tx:
            known = tx.execute(_THESE, {"of": connection, "named": object, "some": some}).all()
        try:
            back.extend(_look(workspace, connection, object, known).back)
        except (Misconfigured, RecordRejected):
            break
    return tuple(back)


def _known(workspace: Workspace, connection: str, object: str, which: Any) -> list[Any]:
    """(id, version, gone) of the records that every index shows by now, by the platform's clock; the newest first."""
    until = stamp(unstamp(theirs(workspace, connection, stamp(workspace.clock.now()))) - LAGS)
    with workspace.state.read() as tx:
        return list(tx.execute(which, {"of": connection, "named": object, "until": until}).all())


def _look(workspace: Workspace, connection: str, object: str, known: Sequence[Any]) -> Lost:
    """Of these records. One that is known to be gone has lost something where it is told alive as it was before."""
    ids, fields = sorted(row.id for row in known), workspace.mapped(connection)[object].remote_fields
    found = workspace.connector(connection).read(object, "id", ids, fields)
    told = [(row, found[row.id]) for row in known if row.id in found]
    back = tuple(one for row, one in told if went_back(one.version, row.version) and not (row.gone and one.gone))
    missing = sum(row.id not in found for row in known if not row.gone)
    newer = tuple(one for row, one in told if one.gone is None and one.version > row.version)
    return Lost(len(known), len(known), len(back), missing, newer, back)


# what is known of it: from the first sign on until a whole look finds nothing, or a person says which way

SUSPECTED = "suspected"
_NOTES = select(meta.c.name, meta.c.value).where(meta.c.name.like(literal_column("'rolled_back:%'")))


def suspect(tx: Connection, connection: str, object: str) -> None:
    """Nothing is written anywhere from now on, until it is known better."""
    tx.execute(upsert(meta, tx), [{"name": _name(connection, object), "value": SUSPECTED}])


def hold(tx: Connection, connection: str, object: str, why: str) -> None:
    """Nothing is written anywhere until a person says which way it is to go."""
    tx.execute(upsert(meta, tx, update=["value"]), [{"name": _name(connection, object), "value": why}])


def absolve(tx: Connection, connection: str, object: str) -> None:
    """Nothing speaks against the object any more."""
    tx.execute(delete(meta).where(meta.c.name == _name(connection, object)))


def notes(tx: Connection) -> dict[tuple[str, str], str]:
    """What stands against which (connection, object): SUSPECTED, or why all writes are held."""
    return {_place(row.name): row.value for row in tx.execute(_NOTES)}


def _name(connection: str, object: str) -> str:
    return f"rolled_back:{connection}/{object}"


def _place(name: str) -> tuple[str, str]:
    connection, _, object = name.removeprefix("rolled_back:").partition("/")
    return connection, object


# a few records alone


_UNDECIDED = (
    select(records.c.id)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(streams.c.kind == Kind.LEAD.value, records.c.lead.is_(None), records.c.dirty)
    .where(records.c.id.in_(bindparam("some", expanding=True)))
)


def ask(tx: Connection, workspace: Workspace, connection: str, object: str, found: Sequence[Record], run: str) -> bool:
    """Take in what these few records are told to hold, older than they are known though no index lags so long: somebody
    restored them, or their times had been ahead. Of people it may be an edit or a loss, so a person is asked; consents
    and stages are put back. What is no person has one home, and is what stands there.

    False where some were left alone: what was stored of them is decided first. Of what a record loses that is no lead's
    yet nothing would tell any more."""
    undecided: set[str] = set()
    for some in chunks([record.id for record in found]):
        undecided.update(tx.execute(_UNDECIDED, {"of": connection, "named": object, "some": some}).scalars())
    found = [record for record in found if record.id not in undecided]
    lost = absorb_found(tx, workspace, connection, object, found, run=run, back=Back(anew=True, kept=None)).lost
    lasting = [loss for loss in lost if workspace.fields[loss.field].rule in _LASTING]
    keep(tx, workspace, f"{connection}/{object}", lasting)
    asked = [loss for loss in lost if workspace.fields[loss.field].rule not in _LASTING]
    if asked:
        note(tx, workspace.now())
        fields = [(loss.lead, loss.field) for loss in asked]
        contest(tx, fields, workspace.now(), OLDER, _eligible(tx, workspace, f"{connection}/{object}", asked))
    return not undecided


def _eligible(
    tx: Connection, workspace: Workspace, place: str, lost: Sequence[Loss]
) -> dict[tuple[str, str], list[Voice]]:
    """What a person may take of what records of `place` lost, by lead and field: a value that no record holds any more
    may be the last word all the same. One that somebody had overtaken by then is not."""
    views = record_views(tx, workspace, sorted({loss.lead for loss in lost}))
    names = {f"{place}/{loss.record}" for loss in lost}
    found: dict[tuple[str, str], list[Voice]] = defaultdict(list)
    for loss in lost:
        known, about = workspace.fields[loss.field], views.get(loss.lead, ())
        if loss.said in (None, []) or _is_overtaken(known, about, loss.said, loss.at, names):
            continue
        source, connection = f"{place}/{loss.record}", place.partition("/")[0]
        voice = Voice(source, connection, loss.said, loss.at, loss.at, lost=True)
        found[(loss.lead, loss.field)].append(voice)
    return found


# what a person said


_LEADS = select(leads.c.id, leads.c.body, leads.c.reasons).where(leads.c.id.in_(bindparam("some", expanding=True)))
_KEY = ["kind", "connection", "object", "record", "lead", "field"]
_DECIDED = ["options", "state", "decision", "last_at", "why"]


def keep(tx: Connection, workspace: Workspace, place: str, lost: Iterable[Loss]) -> None:
    """The leads keep the values that records of `place` (connection/object) lost, until somebody says something new of
    them. What only tightens or goes forward is not taken back to a value that lies behind what stands there now; and
    whoever has said something newer by now is heard."""
    at = workspace.now()
    losses: dict[tuple[str, str], list[Loss]] = defaultdict(list)
    for loss in lost:
        losses[(loss.lead, loss.field)].append(loss)
    ids = sorted({lead for lead, _ in losses})
    views, known = record_views(tx, workspace, ids), _as_decided(tx, ids)
    rows = []
    for lead, name in sorted(losses):
        field, (body, reasons) = workspace.fields[name], known.get(lead, ({}, {}))
        value, since = _held(field, body, reasons.get(name), losses[(lead, name)])
        if value is _NOTHING or _goes_on(field, views[lead], value):
            continue
        lost_by = {f"{place}/{loss.record}" for loss in losses[(lead, name)]}
        if _is_overtaken(field, views[lead], value, since, lost_by):
            continue
        those = [view for view in views[lead] if view.name in lost_by or _may_take_back(field, view)]
        heard = [[view.name, said] for view in those for said in _said(field, view)]
        decided = max([at, *(voice.at for voice in speaking(field, views[lead]))])
        decision = {"value": value, "at": decided, "since": since, "source": "", "always": False, "heard": heard}
        rows.append(_decided(lead, name, decision, at))
    if rows:
        note(tx, at)
        tx.execute(upsert(conflicts, tx, key=_KEY, update=_DECIDED), rows)
        for some in chunks(ids):
            tx.execute(update(leads).where(leads.c.id.in_(some), leads.c.state == "live").values(dirty=1))


def _held(known: Field, body: Values, why: Provenance | None, lost: Sequence[Loss]) -> tuple[Any, str]:
    """What the lead held of a field, and since when that counts ('' where nobody knows), or _NOTHING: as it was decided
    last; where it only tightens or goes forward, what a record had said after that, too, of which nothing was decided
    yet. To keep it is no word of now, and what was said before, and is heard after, may be newer."""
    value, since = body.get(known.name, _NOTHING), why.at if why else ""
    if known.rule not in _LASTING:
        return value, since
    rank: dict[Any, int] = {option: number for number, option in enumerate(known.options)}
    more = [loss for loss in lost if rank.get(loss.value, -1) > rank.get(value, -1)]
    last = max(more, key=lambda loss: (rank[loss.value], loss.at), default=None)
    return (last.value, last.at) if last else (value, since)


def _as_decided(tx: Connection, ids: Sequence[str]) -> dict[str, tuple[dict[str, Any], dict[str, Provenance]]]:
    """The values of these leads and where they come from, as they were decided last."""
    found = {}
    for some in chunks(ids):
        for row in tx.execute(_LEADS, {"some": some}):
            found[row.id] = (orjson.loads(row.body), provenances(row.reasons))
    return found


def _is_overtaken(known: Field, views: Iterable[RecordView], value: Any, at: str, lost: Collection[str]) -> bool:
    """Whether a record that lost nothing says something newer than `value`, which counts from `at`: it may have come in
    the same answer."""
    if known.rule is not Rule.MOST_RECENT or not at:
        return False
    told = [voice for voice in speaking(known, views) if voice.source not in lost]
    return any(voice.at > at and voice.value != value for voice in told)


def _goes_on(known: Field, views: Sequence[RecordView], value: Any) -> bool:
    """Whether a record says more than `value` of a field that only tightens or goes forward."""
    rank: dict[Any, int] = {option: number for number, option in enumerate(known.options)}
    told = max((rank.get(view.body.get(known.name), -1) for view in views if not view.gone), default=-1)
    return known.rule in _LASTING and told > rank.get(value, -1)


def _may_take_back(known: Field, view: RecordView) -> bool:
    """Whether a record may take back what is kept by saying something else. Where a field only tightens or goes forward
    one that said nothing of it does not, by saying less."""
    return known.rule not in _LASTING or view.body.get(known.name) not in (None, [])


def _said(known: Field, view: RecordView) -> list[Any]:
    """What a record says of the field: as it holds it, and as it was sent what the platform made that of. A blank that
    says nothing so far may turn out to be somebody's word, when a write of unknown fate has been looked up."""
    value, held = view.body.get(known.name), view.held.get(known.name)
    if value in (None, []) and known.rule not in _LASTING and not speaking(known, [view]):
        return []
    return [value, *([held[0]] if held else [])]


def _decided(lead: str, name: str, decision: dict[str, Any], at: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(("connection", "object", "record"), ""),
        "kind": "field",
        "lead": lead,
        "field": name,
        "options": "[]",
        "state": "decided",
        "decision": orjson.dumps(decision).decode(),
        "first_at": at,
        "last_at": at,
        "why": ROLLED_BACK,
    }


# what is not there any more


_LIVE = (
    select(records.c.stream, records.c.id, records.c.lead, records.c.body, records.c.changed, records.c.first_at)
    .add_columns(records.c.version)
    .join(streams, streams.c.id == records.c.stream)
    .where(streams.c.connection == bindparam("of"), streams.c.object == bindparam("named"))
    .where(records.c.gone.is_(None))
    .order_by(records.c.id)
)
_STANDING = (
    select(records.c.lead, func.count())
    .where(records.c.lead.in_(bindparam("some", expanding=True)), records.c.gone.is_(None))
    .group_by(records.c.lead)
)


@dataclass(slots=True)
class Found:
    """The people's records known to live: those that are not there any more, those that are older than they are known,
    and those that are newer."""

    lost: list[Any] = field(default_factory=list)
    back: list[Record] = field(default_factory=list)
    newer: list[Record] = field(default_factory=list)


def ask_each(workspace: Workspace, connection: str, object: str) -> Found:
    """What the records known to live are when they are asked for one by one: what a listing leaves out is not taken for
    gone, nor what it may show late for older, or for what stands there now. Raises what a connector raises."""
    mapped, asked = workspace.mapped(connection)[object], Found()
    if mapped.kind is not Kind.LEAD:
        return asked
    with workspace.state.read() as tx:
        known = tx.execute(_LIVE, {"of": connection, "named": object}).all()
    for some in chunks(known):
        found = workspace.connector(connection).read(object, "id", [row.id for row in some], mapped.remote_fields)
        asked.lost += [row for row in some if row.id not in found]
        told = [(row, found[row.id]) for row in some if row.id in found]
        asked.back += [one for row, one in told if one.gone is None and one.version and one.version < row.version]
        asked.newer += [one for row, one in told if one.gone is None and one.version > row.version]
    return asked


def let_go(tx: Connection, workspace: Workspace, place: str, lost: Sequence[Any], way: str) -> int:
    """Records of `place` that are not there any more count as deleted; to be put back they are as if they had never
    been, so that they are made again, where their person stands elsewhere, with all that only they said. How many were
    let go so."""
    for some in chunks(lost):
        elsewhere = _elsewhere(tx, some) if way == PUT_BACK else set()
        for row in some:
            mine = (records.c.stream == row.stream) & (records.c.id == row.id)
            if row.lead in elsewhere:
                tx.execute(delete(records).where(mine))
            else:
                tx.execute(update(records).where(mine).values(gone=Gone.DELETED.value, raw_hash=0, dirty=True))
        ids = [row.lead for row in some if row.lead]
        tx.execute(update(leads).where(leads.c.id.in_(ids), leads.c.state == "live").values(dirty=1))
        keep(tx, workspace, place, _said_alone(tx, workspace, place, [row for row in some if row.lead in elsewhere]))
    return len(lost)


def _said_alone(tx: Connection, workspace: Workspace, place: str, lost: Sequence[Any]) -> list[Loss]:
    """What the leads of these records have from them, or would have once it was decided."""
    known = _as_decided(tx, sorted({row.lead for row in lost}))
    found = []
    for row in lost:
        body, changed = orjson.loads(row.body), orjson.loads(row.changed or "{}")
        reasons, name_of = known[row.lead][1], f"{place}/{row.id}"
        for name in {*body, *reasons} & set(workspace.fields):
            why, at = reasons.get(name), changed.get(name, row.first_at)
            if why is None or why.source == name_of or at > why.at or workspace.fields[name].rule in _LASTING:
                found.append(Loss(row.lead, name, row.id, body.get(name), at, body.get(name)))
    return found


def _elsewhere(tx: Connection, lost: Sequence[Any]) -> set[str]:
    """The leads of these records that stand on others, too."""
    mine: dict[str, int] = {}
    for row in lost:
        if row.lead:
            mine[row.lead] = mine.get(row.lead, 0) + 1
    standing = tx.execute(_STANDING, {"some": sorted(mine)}).all()
    return {lead for lead, number in standing if number > mine[lead]}
