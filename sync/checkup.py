"""Every mistake of a project at once: in its files, and with the accounts behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from config.errors import ClosedloopError, Misconfigured, Problem
from config.project import ConnectionConfig, Project, cross_checks, is_zone, near, project_of
from config.secrets import is_reference
from config.yaml import Document, Where, load
from connectors import registry
from connectors.api import Health, ObjectSchema
from connectors.manifest import Manifest
from mappings.check import Held, LiveField, check_condition, check_facts, check_live
from mappings.compiler import LeadFields, lead_fields, load_mapping, read_mapping
from mappings.expressions import lead_context
from mappings.language import MappingFile
from mappings.model import ACTIVITY_TYPES, Kind
from mappings.transforms import Defaults
from sync.hooks import problems as hook_problems
from sync.state.schema import leads
from sync.timekeeping import heed
from sync.workspace import PROJECT_FILE, Workspace


@dataclass(slots=True)
class Findings:
    """What a check found: problems with their places, and what each account said."""

    problems: list[Problem] = field(default_factory=list)
    accounts: dict[str, Health] = field(default_factory=dict)
    errors: dict[str, ClosedloopError] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return not self.problems and not self.errors


def check(folder: Path) -> Findings:
    """The project's files. What one part of it gets wrong keeps no other part from being looked at."""
    found = Findings()
    try:
        document = load(folder / PROJECT_FILE)
        project = project_of(document)
    except Misconfigured as error:
        found.problems.extend(error.problems or [Problem(PROJECT_FILE, 1, 1, error.what, error.fix)])
        for file in sorted((folder / "mappings").glob("*.yaml")):
            found.problems.extend(_unread(file, f"mappings/{file.name}"))
        return found
    found.problems.extend(cross_checks(project, document))
    found.problems.extend(_conditions(project, document))
    for name, connection in project.connections.items():
        found.problems.extend(_connection(folder, project, name, connection, document))
    found.problems.extend(_handoff(project, document))
    found.problems.extend(_hooks(project, document))
    found.problems.sort(key=lambda problem: (problem.file != PROJECT_FILE, problem.file, problem.line, problem.column))
    return found


def _unread(file: Path, name: str) -> list[Problem]:
    """What a mapping gets wrong by itself, where the project around it cannot be read."""
    try:
        read_mapping(file, name)
    except Misconfigured as error:
        return list(error.problems) or [Problem(name, 1, 1, error.what, error.fix)]
    return []


def _facts(project: Project) -> dict[str, Manifest]:
    """The facts of each connection's platform, where there is such a platform."""
    known = set(registry.names())
    return {name: registry.facts(one.platform) for name, one in project.connections.items() if one.platform in known}


def _hooks(project: Project, document: Document) -> list[Problem]:
    facts = {name: known.webhook for name, known in _facts(project).items()}
    return list(hook_problems(project, facts, document))


def _handoff(project: Project, document: Document) -> Iterator[Problem]:
    """Where qualified leads go must be there, and take new people."""
    facts = _facts(project).get(project.handoff.to) if project.handoff else None
    if project.handoff is None or facts is None or not project.handoff.object:
        return
    takes = [name for name, one in facts.objects.items() if one.kind is Kind.LEAD and "create" in one.push]
    if project.handoff.object not in takes:
        message = f"{facts.title} makes no new people as {project.handoff.object!r}."
        yield document.problem(("handoff", "object"), message, near(project.handoff.object, takes))


def _conditions(project: Project, document: Document) -> Iterator[Problem]:
    """The definition of a qualified lead, and who counts for a goal, tried on somebody of whom nothing is known."""
    try:
        fields = lead_fields(project).fields
    except Misconfigured as error:
        yield document.problem(("lead",), error.what, error.fix)
        return
    activity: dict[str, Any] = {**dict.fromkeys(ACTIVITY_TYPES, 0), "total": 0, "last_at": ""}
    sample: dict[str, Any] = {"lead": lead_context({}, fields), "activity": activity, "score": 0}
    agreed = project.qualification
    asked: list[tuple[Where, str]] = [(("score", n, "when"), signal.when) for n, signal in enumerate(agreed.score)]
    for where, text in (*asked, (("qualified_when",), agreed.qualified_when)):
        yield from check_condition(("qualification", *where), text, document, sample)
    for number, goal in enumerate(project.goals):
        yield from check_condition(("goals", number, "where"), goal.where, document, {"lead": sample["lead"]})


def _lead(project: Project) -> LeadFields | None:
    """None where the project gets the lead's fields wrong: that is told once, of the project."""
    try:
        return lead_fields(project)
    except Misconfigured:
        return None


def _connection(
    folder: Path, project: Project, name: str, connection: ConnectionConfig, document: Document
) -> Iterator[Problem]:
    """What is wrong with a connection: its log-in, its settings, its objects, its mapping."""
    where = ("connections", name)
    facts = _facts(project).get(name)
    if facts is None:
        message = f"There is no connector for {connection.platform!r}."
        yield document.problem((*where, "platform"), message, near(connection.platform, registry.names()))
        yield from _unread(folder / connection.mapping, connection.mapping)
        return
    yield from _auth(connection, facts, document, where)
    yield from _settings(connection, facts, document, where)
    for number, object in enumerate(connection.objects):
        if object not in facts.objects:
            message = f"{facts.title} has no object {object!r}."
            yield document.problem((*where, "objects", number), message, near(object, facts.objects))
    try:
        mapping, mapped = read_mapping(folder / connection.mapping, connection.mapping)
        if (lead := _lead(project)) is not None:
            load_mapping(folder / connection.mapping, lead=lead, defaults=_defaults(project))
    except Misconfigured as error:
        yield from error.problems or [Problem(connection.mapping, 1, 1, error.what, error.fix)]
        return
    yield from check_facts(mapping, mapped, {n: o.kind for n, o in facts.objects.items()})
    yield from _unwritten_deals(mapping, mapped, facts)


def _auth(connection: ConnectionConfig, facts: Manifest, document: Document, where: Where) -> Iterator[Problem]:
    """The log-in: a mode there is, all that it needs, nothing that it does not know, and no secret in clear."""
    at, given = (*where, "auth"), connection.auth
    mode = facts.auth.get(given.get("mode") or next(iter(facts.auth)))
    if mode is None:
        yield document.problem(
            (*at, "mode"), f"{facts.title} has no log-in {given['mode']!r}.", near(given["mode"], facts.auth)
        )
        return
    for member in (*mode.needed, *(one for one in mode.settings if one not in mode.optional)):
        elsewhere = connection.base_url and member.endswith("url")  # the address that is needed is another one
        if not given.get(member) and not elsewhere:
            hint = "write env:NAME, file:PATH or keyring:SERVICE/NAME" if member in mode.secrets else mode.about
            yield document.problem((*at, member), f"auth.{member} is missing.", hint)
    known = {"mode", *mode.secrets, *mode.settings, *mode.optional}
    for member, value in given.items():
        if member not in known:
            yield document.problem(
                (*at, member), f"{facts.title} has no auth.{member}.", near(member, known - {"mode"})
            )
        elif value and member in mode.secrets and not is_reference(value):
            hint = "write env:NAME, file:PATH or keyring:SERVICE/NAME"
            yield document.problem((*at, member), f"auth.{member} is a secret.", hint)


def _settings(connection: ConnectionConfig, facts: Manifest, document: Document, where: Where) -> Iterator[Problem]:
    at = (*where, "settings")
    for name, known in facts.settings.items():
        if known.required and not connection.settings.get(name):
            hint = f"like {known.example}" if known.example else ""
            yield document.problem((*at, name), f"settings.{name} is missing: {known.about}", hint)
    for name in connection.settings:
        if name not in facts.settings:
            yield document.problem((*at, name), f"{facts.title} has no setting {name!r}.", near(name, facts.settings))


def _unwritten_deals(mapping: MappingFile, document: Document, facts: Manifest) -> list[Problem]:
    """Deals that a mapping pushes to a platform on which they are not written."""
    pushed = [
        name
        for name, object in mapping.objects.items()
        if object.kind is Kind.DEAL and any(entry.direction != "pull" for entry in object.fields)
    ]
    return [
        document.problem(("objects", name), f"Deals are not written to {facts.title}.", "direction: pull")
        for name in pushed
        if name in facts.objects and not facts.objects[name].push
    ]


def _defaults(project: Project) -> Defaults:
    """What the transforms go by; a time zone that does not exist is told once, not by each of them."""
    zone = project.time_zone if is_zone(project.time_zone) else "UTC"
    return Defaults(country=project.country, currency=project.currency, zone=zone)


def check_online(workspace: Workspace) -> Findings:
    """Credentials, scopes, identity and quota of every account, and every mapping against its live fields."""
    found = Findings()
    held = _held(workspace)
    for name in workspace.connections:
        try:
            found.accounts[name] = workspace.connector(name).check()
            heed(workspace, name, found.accounts[name])
            _check_mapping(workspace, name, held, found)
        except ClosedloopError as error:
            error.connection = error.connection or name
            found.errors[name] = error
    return found


def _held(workspace: Workspace) -> dict[str, Held]:
    """The unified lead's fields, with the length of the longest text that any lead holds in each."""
    longest: dict[str, int] = {}
    with workspace.state.read() as tx:
        for body in tx.execute(select(leads.c.body).where(leads.c.state == "live")).scalars():
            for name, value in orjson.loads(body).items():
                if isinstance(value, str):
                    longest[name] = max(longest.get(name, 0), len(value))
    return {name: Held(field.type, longest.get(name, 0)) for name, field in workspace.fields.items()}


def _check_mapping(workspace: Workspace, name: str, held: Mapping[str, Held], found: Findings) -> None:
    settings = workspace.project.connections[name]
    mapping, document = read_mapping(workspace.mapping_file(name), settings.mapping)
    for object in mapping.objects:
        schema = workspace.connector(name).describe(object)
        if schema.fields:
            found.problems.extend(_live(object, mapping, document, schema, workspace, name, held))


def _live(
    object: str,
    mapping: MappingFile,
    document: Document,
    schema: ObjectSchema,
    workspace: Workspace,
    name: str,
    held: Mapping[str, Held],
) -> list[Problem]:
    live = {
        field_name: LiveField(f.type, f.writable, f.required, f.length, f.options)
        for field_name, f in schema.fields.items()
    }
    handoff = workspace.project.handoff
    creates = bool(handoff and (handoff.to, handoff.object) == (name, object))
    of_leads = held if mapping.objects[object].kind is Kind.LEAD else {}
    return check_live(object, mapping.objects[object], document, live, schema.open_ended, creates, of_leads)
