"""What each connection takes: the planner's targets, made of mapping, manifest and project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from connectors.manifest import RemoteObject
from mappings.compiler import Mapped
from mappings.model import Kind, Values
from sync.core.copies import DealTarget
from sync.core.plan import Target
from sync.core.views import LeadView
from sync.workspace import Workspace


def targets(workspace: Workspace, names: Sequence[str] | None = None) -> list[Target]:
    """The pushable person objects of the connections `names` (all when None), in the manifests' order."""
    found = []
    for connection in names if names is not None else workspace.connections:
        for object, facts in workspace.taking(connection, Kind.LEAD):
            mapped = workspace.mapped(connection).get(object)
            if mapped is not None and facts.push and mapped.pushed:
                found.append(_target(workspace, connection, object, facts, mapped))
    return found


def _target(workspace: Workspace, connection: str, object: str, facts: RemoteObject, mapped: Mapped) -> Target:
    handoff = workspace.project.handoff
    is_handoff = bool(handoff and handoff.to == connection and handoff.object == object)
    return Target(
        connection=connection,
        object=object,
        pushed=mapped.pushed,
        match=mapped.match,
        remote={name: entry.remote for name, entry in mapped.entries.items()},
        express=lambda values, creating: express(mapped, values, creating),
        creates=_creates(mapped, is_handoff),
        can_create="create" in facts.push,
        can_update="update" in facts.push,
        can_archive="archive" in facts.push,
        handoff=is_handoff,
    )


def deal_targets(workspace: Workspace, names: Sequence[str] | None = None) -> list[DealTarget]:
    """The objects of the connections `names` (all when None) that take copies of deals, in the manifests' order. One
    whose account has no field for the home's name takes none: they could not be told from deals of its own."""
    found = []
    for connection in names if names is not None else workspace.connections:
        for object, facts in workspace.taking(connection, Kind.DEAL):
            mapped = workspace.mapped(connection).get(object)
            if mapped is not None and facts.push and "home" in mapped.pushed:
                found.append(DealTarget(_target(workspace, connection, object, facts, mapped), mapped.copies))
    return found


def _creates(mapped: Mapped, is_handoff: bool) -> Callable[[LeadView], str]:
    def why(lead: LeadView) -> str:
        if is_handoff and lead.qualified_at:
            return "handed off: the lead meets the agreed definition"
        return f"create_when of {mapped.object}" if mapped.creates(lead.values) else ""

    return why


def express(mapped: Mapped, values: Values, creating: bool) -> tuple[dict[str, Any], Values, dict[str, str]]:
    """`values` in the platform's form, the unified values they would read back as, and what cannot be said."""
    remote, problems = mapped.write(values, creating=creating)
    said = {name: value for name, value in values.items() if name in mapped.pushed}
    back, unread = mapped.read(nest(remote))
    refused = {problem.field: problem.reason for problem in (*problems, *unread)}
    known = {name: back.get(name, value) for name, value in said.items() if name not in refused}
    return remote, known, refused


def expressed(workspace: Workspace, record: str, name: str, value: Any) -> Any:
    """What a record (connection/object/id) would tell of `value` if it were written to its field `name`; None where
    that is not written there."""
    connection, _, place = record.partition("/")
    if connection not in workspace.connections:
        return None
    mapped = workspace.mapped(connection).get(place.partition("/")[0])
    if mapped is None or name not in mapped.pushed:
        return None
    return express(mapped, {name: value}, False)[1].get(name)


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested
