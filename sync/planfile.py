"""A plan as a file: made, read by a person, applied exactly, refused where the world moved since.

`apply` writes the operations of the file and nothing else. Before it writes it reads every record that would change
from its platform: one that no longer holds what the plan saw in the fields it touches is stale and left alone, as is a
person who exists there by now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, select

from config.errors import Misconfigured
from connectors.api import Record
from sync.core.plan import Change, Planned
from sync.planning import beside_leads, plan_batches
from sync.runs import Options, Report, Runner
from sync.state.schema import meta
from sync.workspace import Workspace

FORMAT = 1


@dataclass(slots=True)
class Plan:
    """What a sync would write, at `made_at`, by the state `state_id`."""

    made_at: str
    state_id: str
    operations: list[Planned] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """connection -> object -> verb -> number."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for op in self.operations:
            verbs = found.setdefault(op.connection, {}).setdefault(op.object, {"create": 0, "update": 0})
            verbs[op.verb] = verbs.get(op.verb, 0) + 1
        return found


def make_plan(workspace: Workspace, connections: Sequence[str], *, run: str = "plan") -> Plan:
    """The plan for `connections`, derived from the state as it is; nothing is written anywhere."""
    with workspace.state.read() as tx:
        plan = Plan(workspace.now(), state_id(tx))
    for batch in plan_batches(workspace, run):
        plan.operations.extend(op for op in batch.operations if op.connection in connections)
    for connection in connections:
        plan.operations.extend(beside_leads(workspace, connection))
    return plan


def state_id(tx: Connection) -> str:
    """The name of the state, by which a plan knows where it belongs."""
    return str(tx.execute(select(meta.c.value).where(meta.c.name == "state_id")).scalar_one())


def save(plan: Plan, path: Path) -> None:
    """Write the plan to `path`, readable by its owner alone: it holds personal data."""
    path.touch(mode=0o600)
    if path.is_file():
        path.chmod(0o600)  # it may have been there, for everybody to read
    path.write_bytes(dump(plan))


def dump(plan: Plan) -> bytes:
    """The plan as JSON text."""
    return orjson.dumps(as_json(plan), option=orjson.OPT_INDENT_2)


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON."""
    return {
        "closedloop_plan": FORMAT,
        "made_at": plan.made_at,
        "state_id": plan.state_id,
        "counts": plan.counts,
        "operations": [_operation_json(operation) for operation in plan.operations],
    }


def _operation_json(op: Planned) -> dict[str, Any]:
    return {
        "connection": op.connection,
        "object": op.object,
        "verb": op.verb,
        "record": op.record,
        "lead": op.lead,
        "why": op.why,
        "handoff": op.handoff,
        "changes": [
            {
                "field": c.field,
                "remote": c.remote,
                "old": c.old,
                "new": c.new,
                "reason": c.reason,
                "at": c.at,
                "since": c.since,
            }
            for c in op.changes
        ],
        "values": op.values,
        "match": op.match,
        "seen": str(op.seen),
        "about": op.about,
    }


def load(path: Path) -> Plan:
    """The plan in `path`. Raises Misconfigured when it is none of ours, or cannot be read."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}.", fix="Check the path.") from error


def parse(raw: bytes) -> Plan:
    """The same for bytes at hand."""
    try:
        content = orjson.loads(raw)
        if content["closedloop_plan"] != FORMAT:
            raise Misconfigured("This plan has another format.", fix="Make it anew with `closedloop plan --out`.")
        operations = [_operation(entry) for entry in content["operations"]]
        return Plan(str(content["made_at"]), str(content["state_id"]), operations)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Misconfigured("This file is no plan.", fix="Make one with `closedloop plan --out FILE`.") from error


def _operation(entry: dict[str, Any]) -> Planned:
    if entry["verb"] not in ("create", "update", "archive"):
        raise ValueError("verb")
    changes = tuple(_change(c) for c in entry["changes"])
    return Planned(
        connection=str(entry["connection"]),
        object=str(entry["object"]),
        verb=entry["verb"],
        lead=str(entry["lead"]),
        record=str(entry["record"]),
        changes=changes,
        values=_named(entry["values"]),
        match=_named(entry["match"]),
        seen=int(entry["seen"]),
        why=str(entry["why"]),
        handoff=bool(entry["handoff"]),
        about=str(entry.get("about", "")),
    )


def _named(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise TypeError("values")
    return values


def _change(entry: dict[str, Any]) -> Change:
    words = {name: str(entry.get(name, "")) for name in ("at", "since")}
    return Change(str(entry["field"]), str(entry["remote"]), entry["old"], entry["new"], str(entry["reason"]), **words)


@dataclass(slots=True)
class Applied:
    """What applying a plan did: the run's report, and the operations refused as stale."""

    report: Report
    stale: list[Planned] = field(default_factory=list)


def apply(workspace: Workspace, plan: Plan, runner: Runner, *, command: str = "apply", choice: str = "") -> Applied:
    """Write exactly `plan`, as a run of `command` (`choice` says what it undoes or forgets).

    Raises Misconfigured when the plan was made on another state, or names what is not configured.
    """
    with workspace.state.read() as tx:
        here = state_id(tx)
    if plan.state_id != here:
        raise Misconfigured(
            "This plan was made on another state.", fix="Make it anew with `closedloop plan --out FILE`."
        )
    names = sorted({op.connection for op in plan.operations})
    missing = [name for name in names if name not in workspace.connections]
    if missing:
        raise Misconfigured(f"The plan names the connection {missing[0]!r}, which the project has not.")
    stale = _stale(workspace, plan.operations)
    moved = {op.key for op in stale}
    fresh = [op for op in plan.operations if op.key not in moved]
    report = runner.send(command, names, fresh, stale, Options(approve=True, choice=choice))
    return Applied(report, stale)


def _stale(workspace: Workspace, operations: Sequence[Planned]) -> list[Planned]:
    """The operations whose target is not as the plan saw it."""
    groups: dict[tuple[str, str], list[Planned]] = defaultdict(list)
    for op in operations:
        groups[(op.connection, op.object)].append(op)
    found: list[Planned] = []
    for (connection, object), group in groups.items():
        mapped = workspace.mapped(connection).get(object)
        if mapped is None:
            continue
        updates = {op.record: op for op in group if op.record}
        live = (
            workspace.connector(connection).read(object, "id", sorted(updates), mapped.remote_fields) if updates else {}
        )
        found.extend(op for id, op in updates.items() if _moved(mapped, op, live.get(id)))
        found.extend(_existing(workspace, connection, object, [op for op in group if not op.record]))
    return found


def _moved(mapped: Any, op: Planned, record: Record | None) -> bool:
    if record is None or record.id != op.record or record.gone is not None:
        return True
    values, _ = mapped.read(mapped.decode(record.raw))
    # what the platform does not say (a member left out) is as blank as the plan saw it
    return any(values.get(change.field) != change.old for change in op.changes)


def _existing(workspace: Workspace, connection: str, object: str, creates: Sequence[Planned]) -> list[Planned]:
    keyed: dict[str, dict[str, Planned]] = defaultdict(dict)
    for op in creates:
        for key, value in list(op.match.items())[:1]:
            keyed[key][str(value)] = op
    found: list[Planned] = []
    for key, wanted in keyed.items():
        there = workspace.connector(connection).read(object, key, sorted(wanted), [key])
        found.extend(op for value, op in wanted.items() if value in there and there[value].gone is None)
    return found
