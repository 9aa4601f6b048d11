"""An opened project: its files read and checked, its state at hand, its connectors ready to be opened.

Everything that the stages of a run share comes from here, so that a test can open one with a clock of its own.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from config.clock import Clock, SystemClock, stamp
from config.errors import Fenced, Misconfigured, Problem
from config.project import Project, load_project
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Platform, Surroundings
from connectors.manifest import Manifest, RemoteObject, mode_of
from connectors.manifest import load as manifest_of
from connectors.oauth import CONNECTED, connected
from connectors.sound import Sound
from mappings.compiler import Defaults, LeadFields, Mapped, lead_fields, load_mapping
from mappings.expressions import Expression
from mappings.model import Field, Kind, Rule, Values
from sync.core.qualify import Definition, Signal
from sync.core.resolve import Key, keys
from sync.epoch import FileMarks, Marks
from sync.fence import Fence, FencedBudget
from sync.state.budget import StateBudget
from sync.state.database import State
from sync.state.keys import ring
from sync.state.schema import identities, records, streams
from sync.state.suppression import Suppression
from sync.state.tokens import StateTokens, kept_by

PROJECT_FILE = "closedloop.yaml"


def new_lead_id() -> str:
    """A fresh lead id: `ld_` and 25 characters, lower case, since some platforms compare external ids without case."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return "ld_" + "".join(secrets.choice(alphabet) for _ in range(25))


class Owners:
    """The owners of a connection as pulled: what a mapping's `owner` transform looks things up in."""

    def __init__(self, state: State, connection: str) -> None:
        self._state = state
        self._connection = connection
        self._by_id: dict[str, str] | None = None
        self._by_email: dict[str, str] = {}

    def owner_email(self, id: str) -> str | None:
        return self._loaded().get(id)

    def owner_id(self, email: str) -> str | None:
        self._loaded()
        return self._by_email.get(email)

    def refresh(self) -> None:
        """Look again at the next question: owners were pulled."""
        self._by_id = None

    def _loaded(self) -> dict[str, str]:
        if self._by_id is None:
            import orjson

            query = (
                select(records.c.id, records.c.body)
                .join(streams, streams.c.id == records.c.stream)
                .where(streams.c.connection == self._connection, streams.c.kind == Kind.OWNER.value)
                .where(records.c.gone.is_(None))
            )
            with self._state.read() as tx:
                found = {row.id: orjson.loads(row.body).get("email") for row in tx.execute(query)}
            self._by_id = {id: email for id, email in found.items() if email}
            self._by_email = {email: id for id, email in self._by_id.items()}
        return self._by_id


@dataclass
class Workspace:
    """A project folder in use. Open it with `Workspace.open`; close it when done."""

    folder: Path
    project: Project
    state: State
    clock: Clock
    fields: Mapping[str, Field]
    order: Mapping[str, tuple[str, ...]]
    new_id: Callable[[], str] = new_lead_id
    find: Callable[[str], Platform] = registry.platform
    ahead: dict[str, float] = field(default_factory=dict)
    """Seconds by which our clock is ahead of each connection's platform, as `sync.timekeeping` heard it last."""
    anew: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """By (connection, object) the remote fields that came back, or are read by another entry, and since when: see
    `sync.drift`."""
    _compiled: dict[str, dict[str, Mapped]] = field(default_factory=dict)
    _mapped: dict[str, dict[str, Mapped]] = field(default_factory=dict)
    _owners: dict[str, Owners] = field(default_factory=dict)
    _connectors: dict[str, Connector] = field(default_factory=dict)
    _manifests: dict[str, Manifest] = field(default_factory=dict)
    _taking: dict[tuple[str, Kind], tuple[tuple[str, RemoteObject], ...]] = field(default_factory=dict)
    _consents: dict[str, str | None] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _closed: bool = False

    @classmethod
    def open(
        cls, folder: Path, *, clock: Clock | None = None, find: Callable[[str], Platform] = registry.platform
    ) -> Workspace:
        """The project in `folder`. Raises Misconfigured with every mistake of its files, or StateUnusable.

        `find` gives the platform of a name: the installed ones, unless a test brings its own.
        """
        clock = clock or SystemClock()
        project = load_project(folder / PROJECT_FILE)
        lead = lead_fields(project)
        state = State.open(project.state_url(folder), clock=clock)
        workspace = cls(folder, project, state, clock, lead.fields, lead.order, find=find)
        try:
            workspace._compile(lead)
        except BaseException:
            state.close()
            raise
        return workspace

    def _compile(self, lead: LeadFields) -> None:
        """Compile all mappings, gathering the mistakes of all files before giving up."""
        problems: list[Problem] = []
        defaults = Defaults(country=self.project.country, currency=self.project.currency, zone=self.project.time_zone)
        for name in self.connections:
            self._owners[name] = Owners(self.state, name)
            try:
                self.manifest(name)
                self._compiled[name] = load_mapping(
                    self.mapping_file(name), lead=lead, lookup=self._owners[name], defaults=defaults
                )
                self._mapped[name] = dict(self._compiled[name])
            except Misconfigured as error:
                problems.extend(error.problems or [Problem(PROJECT_FILE, 1, 1, error.what, error.fix)])
        if problems:
            raise Misconfigured("The project's mappings have mistakes.", problems=problems)

    @cached_property
    def connections(self) -> tuple[str, ...]:
        """The names of the configured connections, in the order of the file."""
        return tuple(self.project.connections)

    def mapping_file(self, connection: str) -> Path:
        return self.folder / self.project.connections[connection].mapping

    def manifest(self, connection: str) -> Manifest:
        """The facts of the connection's platform."""
        found = self._manifests.get(connection)
        if found is None:
            found = manifest_of(self.find(self.project.connections[connection].platform).folder)
            self._manifests[connection] = found
        return found

    def taking(self, connection: str, kind: Kind) -> tuple[tuple[str, RemoteObject], ...]:
        """The objects of this kind that the connection may be pushed, in the order of the manifest; none where the
        project lets nothing be pushed there."""
        found = self._taking.get((connection, kind))
        if found is None:
            objects = self.manifest(connection).objects if self.project.connections[connection].push else {}
            found = tuple((name, facts) for name, facts in objects.items() if facts.kind is kind)
            self._taking[(connection, kind)] = found
        return found

    def compiled(self, connection: str) -> dict[str, Mapped]:
        """The connection's mapping as its file has it, by object."""
        return self._compiled[connection]

    def mapped(self, connection: str) -> dict[str, Mapped]:
        """The connection's mapping as it is used, by object: without the fields that the account has no longer."""
        return self._mapped[connection]

    def freeze(self, connection: str, object: str, gone: Sequence[str], back: Sequence[str] = ()) -> None:
        """Leave the remote fields that are `gone` out from now on, and no others. A blank of theirs, and of those that
        are `back`, tells nothing."""
        mapped, anew = self._compiled[connection][object], self.anew.get((connection, object), {})
        doubted = [*gone, *back]
        changed = mapped.without(gone).doubting(doubted, anew) if doubted or anew else mapped
        self._mapped[connection][object] = changed

    def objects(self, connection: str) -> list[tuple[str, RemoteObject]]:
        """The objects this connection pulls, in the order of the manifest: mapped, and not left out by the project."""
        wanted = self.project.connections[connection].objects
        mapped = self.mapped(connection)
        return [
            (name, facts)
            for name, facts in self.manifest(connection).objects.items()
            if facts.pull and name in mapped and (not wanted or name in wanted)
        ]

    def refresh_owners(self, connection: str) -> None:
        self._owners[connection].refresh()

    def connector(self, connection: str) -> Connector:
        """The connection's connector, opened at the first call. Raises Misconfigured when a secret is missing.

        Raises Fenced once the workspace is closed: a slice may outlast what the daemon waits, and nobody would close
        what it opens then.
        """
        with self._lock:
            if self._closed:
                raise Fenced(
                    "This process has closed its connections.", fix="The run goes on when it is taken up again."
                )
            if connection not in self._connectors:
                self._connectors[connection] = self._open(connection)
            return self._connectors[connection]

    def heed_consents(self, connections: Sequence[str]) -> None:
        """Drop the connectors of accounts that a person connected again since they were opened: their log-ins have
        ended, and a platform may take an old refresh token for a stolen one."""
        with self._lock:
            opened = [name for name in connections if name in self._connectors]
            given = kept_by(self.state, opened, CONNECTED) if opened else set()
            for name in opened:
                consent = self.tokens(name).get(CONNECTED) if name in given else None
                if consent != self._consents[name]:
                    self._connectors.pop(name).close()

    def _open(self, name: str) -> Connector:
        settings, facts, tokens = self.project.connections[name], self.manifest(name), self.tokens(name)
        self._consents[name] = tokens.get(CONNECTED)
        auth = connected(settings.resolve_auth(self.folder), mode_of(facts, settings.auth), tokens, name)
        surroundings = Surroundings(
            clock=self.clock,
            budget=FencedBudget(StateBudget(self.state, self.clock), self.fence, name),
            tokens=tokens,
            known=self.known,
        )
        return Sound(self.find(settings.platform).open(self.account(name, auth), surroundings), name, facts.title)

    def known(self, key: str) -> list[str]:
        """The values of an identity key that leads have: what connectors may ask platforms about."""
        with self.state.read() as tx:
            return list(tx.execute(select(identities.c.value).where(identities.c.kind == key)).scalars())

    def account(self, name: str, auth: Mapping[str, Secret | str]) -> Account:
        """The connection's account, with these secrets."""
        settings = self.project.connections[name]
        return Account(
            connection=name,
            platform=settings.platform,
            auth=auth,
            settings=settings.settings,
            base_url=settings.base_url,
            ca_file=str(self.folder / settings.ca_file) if settings.ca_file else "",
        )

    def tokens(self, connection: str) -> StateTokens:
        """What is kept of the connection's log-in."""
        return StateTokens(self.state, connection, folder=self.folder)

    @property
    def calls(self) -> dict[str, int]:
        """HTTP requests made so far, by connection."""
        return {name: connector.calls for name, connector in self._connectors.items()}

    @cached_property
    def fence(self) -> Fence:
        """Who of this process may call which platform."""
        return Fence(self.state)

    @cached_property
    def marks(self) -> Marks:
        """Where it stands outside the database how far the state has gone."""
        return FileMarks.of(self.folder)

    @cached_property
    def suppression(self) -> Suppression:
        """The people who were forgotten and are not to be taken in again."""
        return Suppression(lambda: ring(self.folder))

    @cached_property
    def definition(self) -> Definition:
        """The project's definition of a qualified lead, compiled."""
        agreed = self.project.qualification
        signals = tuple(
            Signal(Expression(signal.when), signal.points, signal.because or signal.when) for signal in agreed.score
        )
        condition = Expression(agreed.qualified_when) if agreed.qualified_when else None
        return Definition(signals, condition, agreed.qualified_when)

    @cached_property
    def deal_sources(self) -> tuple[str, ...]:
        """The connections whose deals count as outcomes: where leads are handed off to, or all without a hand-off."""
        return (self.project.handoff.to,) if self.project.handoff else ()

    def keys(self, connection: str, record_id: str, values: Values) -> tuple[Key, ...]:
        """The identity keys of a person record of the connection, strongest first."""
        return keys(self.project.connections[connection].platform, record_id, values, self._vague)

    @cached_property
    def _vague(self) -> frozenset[str]:
        platforms = [settings.platform for settings in self.project.connections.values()]
        return frozenset(name for name in platforms if platforms.count(name) > 1)

    @cached_property
    def asks(self) -> bool:
        """Whether any field is left to a person when its records differ."""
        return any(field.rule is Rule.ASK for field in self.fields.values())

    @cached_property
    def rules(self) -> str:
        """By what leads are decided and planned, as a person wrote it: by field the rule and the order it goes by, by
        connection and object the mapping."""
        told: dict[str, Any] = {
            name: [known.rule.value, *self.order.get(name, ())]
            for name, known in self.fields.items()
            if not known.derived
        }
        for name in self.connections:
            told[f"{name}/"] = {object: mapped.fingerprint for object, mapped in self.compiled(name).items()}
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()

    def now(self) -> str:
        """The present instant as a stamp."""
        return stamp(self.clock.now())

    def close(self) -> None:
        """Everything is closed, also where closing one of them failed, which is raised at the end."""
        with self._lock, ExitStack() as stack:
            self._closed = True
            stack.callback(self.state.close)
            for connector in self._connectors.values():
                stack.callback(connector.close)
            self._connectors.clear()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
