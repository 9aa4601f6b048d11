"""Every mistake of a project at once: in its files, and with the accounts behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from config.errors import ClosedloopError, Misconfigured, Problem
from config.project import Project, load_project, secret_problems
from config.yaml import Document
from connectors import registry
from connectors.api import Health, ObjectSchema
from mappings.check import Held, LiveField, check_facts, check_live
from mappings.compiler import lead_fields, load_mapping, read_mapping
from mappings.expressions import Expression, lead_context
from mappings.language import MappingFile
from mappings.model import ACTIVITY_TYPES, Kind
from mappings.transforms import Defaults
from sync.hooks import problems as hook_problems
from sync.state.schema import leads
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
    """The project's files."""
    found = Findings()
    try:
        project = load_project(folder / PROJECT_FILE)
    except Misconfigured as error:
        found.problems.extend(error.problems or [Problem(PROJECT_FILE, 1, 1, error.what, error.fix)])
        return found
    _check_conditions(project, found)
    for name, connection in project.connections.items():
        _check_connection(folder, project, name, connection, found)
    _check_hooks(project, found)
    return found


def _check_hooks(project: Project, found: Findings) -> None:
    try:
        told = hook_problems(project)
    except Misconfigured:
        return  # of an unknown platform, which is a problem told already
    found.problems.extend(Problem(PROJECT_FILE, 1, 1, what, hint) for what, hint in told)


def _check_conditions(project: Project, found: Findings) -> None:
    try:
        fields = lead_fields(project).fields
    except Misconfigured as error:
        found.problems.append(Problem(PROJECT_FILE, 1, 1, error.what, error.fix))
        return
    activity: dict[str, Any] = {**dict.fromkeys(ACTIVITY_TYPES, 0), "total": 0, "last_at": ""}
    context = {"lead": lead_context({}, fields), "activity": activity, "score": 0}
    agreed = project.qualification
    for text in (*(signal.when for signal in agreed.score), agreed.qualified_when):
        if text:
            try:
                Expression(text).truth(context)
            except Misconfigured as error:
                found.problems.append(Problem(PROJECT_FILE, 1, 1, f"qualification: {error.what}", error.fix))


def _check_connection(folder: Path, project: Project, name: str, connection: Any, found: Findings) -> None:
    try:
        facts = registry.facts(connection.platform)
    except Misconfigured as error:
        found.problems.append(Problem(PROJECT_FILE, 1, 1, f"connections.{name}: {error.what}", error.fix))
        return
    mode = connection.auth.get("mode") or next(iter(facts.auth))
    if mode not in facts.auth:
        known = ", ".join(facts.auth)
        found.problems.append(
            Problem(PROJECT_FILE, 1, 1, f"connections.{name}: no auth mode {mode!r}", f"there are: {known}")
        )
    else:
        told = secret_problems(name, connection, facts.auth[mode].secrets)
        found.problems.extend(Problem(PROJECT_FILE, 1, 1, problem) for problem in told)
    for setting, known_setting in facts.settings.items():
        if known_setting.required and not connection.settings.get(setting):
            message = f"connections.{name}.settings.{setting} is missing: {known_setting.about}"
            found.problems.append(Problem(PROJECT_FILE, 1, 1, message))
    for setting in connection.settings:
        if setting not in facts.settings:
            message = f"connections.{name}.settings.{setting}: {facts.title} has no such setting"
            found.problems.append(Problem(PROJECT_FILE, 1, 1, message, f"there are: {', '.join(facts.settings)}"))
    try:
        mapping, document = read_mapping(folder / connection.mapping, connection.mapping)
        load_mapping(folder / connection.mapping, lead=lead_fields(project), defaults=_defaults(project))
        found.problems.extend(check_facts(mapping, document, {n: o.kind for n, o in facts.objects.items()}))
    except Misconfigured as error:
        found.problems.extend(error.problems or [Problem(connection.mapping, 1, 1, error.what, error.fix)])


def _defaults(project: Project) -> Defaults:
    return Defaults(country=project.country, currency=project.currency, zone=project.time_zone)


def check_online(workspace: Workspace) -> Findings:
    """Credentials, scopes, identity and quota of every account, and every mapping against its live fields."""
    found = Findings()
    held = _held(workspace)
    for name in workspace.connections:
        try:
            found.accounts[name] = workspace.connector(name).check()
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
