"""The project file `closedloop.yaml`: connections, the definition of a qualified lead, the hand-off, the daemon."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from config import secrets, yaml
from config.errors import Misconfigured, Problem
from config.secrets import Secret

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: Any) -> Any:
    """`30s`, `5m`, `2h`, `1d` as seconds; a bare number is seconds already."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+)\s*([smhd])", value.strip())
        if not found:
            raise ValueError("write a duration like 30s, 5m, 2h or 1d")
        return int(found[1]) * _UNITS[found[2]]
    return value


Duration = Annotated[int, BeforeValidator(seconds), Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConnectionConfig(_Part):
    """A configured account of a platform."""

    platform: str = Field("", description="Which platform; the connection's name when left out.")
    auth: dict[str, str] = Field(
        default_factory=dict,
        description="How to log in: `mode` and its members. A secret is env:NAME, file:PATH or keyring:SERVICE/NAME.",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="The platform's own settings; see its README.")
    base_url: str = Field("", description="Another address than the platform's own: a sandbox, a proxy.")
    ca_file: str = Field("", description="Certificate authority to trust instead of the system's, for base_url.")
    mapping: str = Field("", description="The mapping file; mappings/<connection>.yaml when left out.")
    objects: list[str] = Field(default_factory=list, description="Pull only these objects; all mapped ones when empty.")
    every: Duration = Field(300, description="How often the daemon syncs: 30s, 5m, 2h, 1d.")
    cron: str = Field("", description="When the daemon syncs, as a cron expression, instead of `every`.")
    jitter: Duration = Field(0, description="At most this much later, drawn anew each time.")
    push: bool = Field(True, description="false: read only, nothing is ever written there.")
    on_delete: Literal["ignore", "unlink", "archive", "opt_out"] = Field(
        "ignore", description="What it means for a person's other records when one is deleted or archived there."
    )

    def resolve_auth(self, folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, Secret | str]:
        """The `auth:` block with every reference resolved; Misconfigured names all secrets that are missing."""
        found: dict[str, Secret | str] = {}
        missing: list[str] = []
        for name, value in self.auth.items():
            if not secrets.is_reference(value):
                found[name] = value
                continue
            try:
                found[name] = secrets.resolve(value, folder=folder, environ=environ)
            except Misconfigured as error:
                missing.append(f"auth.{name}: {error.what} {error.fix}")
        if missing:
            raise Misconfigured("Secrets are missing. " + " ".join(missing))
        return found


class CustomField(_Part):
    """A field of the user's own on the lead."""

    type: Literal[
        "text",
        "email",
        "phone",
        "integer",
        "decimal",
        "money",
        "boolean",
        "date",
        "datetime",
        "choice",
        "country",
        "list",
    ] = Field("text", description="The type of its values.")
    about: str = Field("", description="What it means.")
    rule: Literal[
        "prefer", "prefer_unless_blank", "most_recent", "furthest", "most_restrictive", "first_seen", "union", "ask"
    ] = Field("most_recent", description="Which of several records' values survives.")
    order: list[str] = Field(default_factory=list, description="For the prefer rules: connections, best first.")
    options: list[str] = Field(default_factory=list, description="For a choice: its values, least to furthest.")


class Survivorship(_Part):
    """Which of several records' values becomes the lead's."""

    rule: Literal[
        "prefer", "prefer_unless_blank", "most_recent", "furthest", "most_restrictive", "first_seen", "union", "ask"
    ] = Field(description="The rule.")
    order: list[str] = Field(default_factory=list, description="For the prefer rules: connections, best first.")


class LeadConfig(_Part):
    """The unified lead: the user's own fields, and rules other than the usual ones."""

    fields: dict[str, CustomField] = Field(default_factory=dict, description="Fields of your own, by name.")
    survivorship: dict[str, Survivorship] = Field(default_factory=dict, description="Rules, by field.")


class Signal(_Part):
    """Points for a lead that meets a condition."""

    when: str = Field(description="A CEL condition over `lead` and `activity`.")
    points: int = Field(description="Points, may be negative.")
    because: str = Field("", description="The reason a salesperson reads.")


class Qualification(_Part):
    """The definition of a qualified lead that marketing and sales agreed on."""

    score: list[Signal] = Field(default_factory=list, description="Weighed signals.")
    qualified_when: str = Field("", description="A CEL condition over `lead`, `activity` and `score`.")


class Handoff(_Part):
    """Where qualified leads go."""

    to: str = Field(description="The connection of the CRM.")
    object: str = Field(description="The object a new lead is created as.")
    brief: bool = Field(True, description="Write the lead's story beside it (a task or note).")


class HooksConfig(_Part):
    """Where webhooks come in."""

    listen: str = Field("", description="host:port that takes webhooks; empty for none.")
    public_url: str = Field("", description="The https address that platforms reach it at: https://hooks.example.com.")
    connections: list[str] = Field(
        default_factory=list, description="Take webhooks of these only; of all whose platform has them when empty."
    )
    max_body: int = Field(1_048_576, ge=1024, description="Bytes of the largest delivery that is taken.")
    public: bool = Field(
        False, description="Let `listen` be another address than loopback: deliveries then pass your network in clear."
    )


class DaemonConfig(_Part):
    """The scheduled sync."""

    metrics: str = Field("127.0.0.1:9464", description="host:port of /healthz and /metrics; empty for none.")
    tick: Duration = Field(15, description="How often it looks what is due.")
    hooks: HooksConfig = Field(default_factory=HooksConfig, description="Where webhooks come in.")


class FirstRun(_Part):
    """The first writes to an account."""

    canary: int = Field(10, ge=0, description="So many writes first, checked before the rest follows; 0 for none.")


def share(value: Any) -> Any:
    """`50%` as 0.5; a bare number from 0 to 1 is a share already."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())
        if not found:
            raise ValueError("write a share like 5% or 50%")
        return float(found[1]) / 100
    return value


_SHARE = {
    "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}]
}
Share = Annotated[float, BeforeValidator(share), Field(ge=0, le=1), WithJsonSchema(_SHARE)]


class Limit(_Part):
    """How much a run may do to a connection before a person has to let it through."""

    share: Share = Field(description="Of the people there: 5%, 50%; 100% for no limit by share.")
    over: int = Field(ge=0, description="Up to this number nothing is held, whatever the share.")
    number: int = Field(0, ge=0, description="Above this number it is held, whatever the share; 0 for no such limit.")

    def allowed(self, total: int) -> int:
        """The most that is let through where `total` people stand."""
        by_share = max(self.over, int(self.share * total))
        return min(by_share, max(self.number, 0)) if self.number else by_share

    def breaks(self, number: int, total: int) -> bool:
        """Whether `number` is too much where `total` people stand; all of nobody is not."""
        if self.share >= 1 and not self.number:
            return False
        return number > self.allowed(total)


class Guards(_Part):
    """What holds a run before it does harm."""

    changed: Limit = Field(Limit(share=0.5, over=200), description="Records made or changed.")
    opted_out: Limit = Field(Limit(share=0.1, over=50), description="People opted out of mail, calls or texts.")
    deleted: Limit = Field(Limit(share=0.05, over=20), description="Records put away.")
    emptied: Limit = Field(
        Limit(share=0.2, over=100), description="A full pull brings less than this share of the records known."
    )
    rolled_back: Limit = Field(
        Limit(share=0.01, over=10), description="Records that come back older than they were known."
    )
    flapping: int = Field(
        3, ge=0, description="So often a day a value is written over what came back instead, then a person is asked."
    )
    pages: int = Field(
        1_000_000,
        ge=0,
        description="Pages of one object, or calls for a page, after which a run stops; 0 for no bound.",
    )
    clock: Duration = Field(
        6 * 3600, description="How far this machine's clock may be from a platform's; 0 for no bound."
    )
    describe_every: Duration = Field(3600, description="How often the mapped fields are compared with the account's.")


Count = Literal["leads", "qualified", "handed_off", "followed_up", "opportunities", "customers", "revenue", "win_rate"]
_OF_LEADS = ("leads", "qualified", "handed_off", "followed_up", "customers")


def _number(value: Any) -> Any:
    return share(value) if isinstance(value, str) and value.strip().endswith("%") else value


_NUMBER = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}]}
Number = Annotated[float, BeforeValidator(_number), Field(ge=0), WithJsonSchema(_NUMBER)]


class Goal(_Part):
    """What marketing and sales promised each other, counted per period."""

    name: str = Field("", description="What it is called; what is counted when left out.")
    count: Count = Field(description="What is counted; followed_up and win_rate are shares.")
    at_least: Number | None = Field(None, description="A number, an amount in the project's currency, or a share: 25%.")
    at_most: Number | None = Field(None, description="The same, as an upper bound.")
    every: Literal["week", "month", "quarter", "year"] = Field("month", description="The period.")
    within: Duration = Field(86_400, description="Of followed_up: how soon after the hand-off sales does something.")
    where: str = Field("", description="A CEL condition over `lead`: only these leads count.")

    @property
    def title(self) -> str:
        return self.name or self.count.replace("_", " ")

    @property
    def is_rate(self) -> bool:
        return self.count in ("followed_up", "win_rate")

    @model_validator(mode="after")
    def _whole(self) -> Goal:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("say at_least or at_most")
        bound = self.at_least if self.at_most is None else self.at_most
        if self.is_rate and (bound or 0) > 1:
            raise ValueError(f"{self.count} is a share: write 25% or 0.25")
        if self.where and self.count not in _OF_LEADS:
            raise ValueError(f"`where` asks about leads, and {self.count} counts deals")
        return self


class JournalConfig(_Part):
    """What is kept of every write."""

    keep_days: int = Field(365, ge=0, description="So many days values are kept; then an undo is over. 0: for ever.")


class Project(_Part):
    """A whole project file."""

    version: Literal[1] = Field(1, description="Version of this file's format.")
    state: str = Field("sqlite:///closedloop.db", description="Where the state is: sqlite:///FILE or postgresql://...")
    state_password: str = Field("", description="Reference to the password of a PostgreSQL state: env:NAME, ...")
    time_zone: str = Field("UTC", description="IANA zone of dates and times that name none.")
    country: str = Field("", pattern="^([A-Z]{2})?$", description="Country of phone numbers that name none, like DE.")
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="Currency of amounts that name none, like EUR.")
    connections: dict[str, ConnectionConfig] = Field(description="The accounts to keep in step, by a name of your own.")
    lead: LeadConfig = Field(default_factory=LeadConfig, description="The unified lead.")
    qualification: Qualification = Field(default_factory=Qualification, description="When a lead is qualified.")
    goals: list[Goal] = Field(default_factory=list, description="What marketing and sales promised each other.")
    handoff: Handoff | None = Field(None, description="Where qualified leads go.")
    daemon: DaemonConfig = Field(default_factory=DaemonConfig, description="The scheduled sync.")
    first_run: FirstRun = Field(default_factory=FirstRun, description="The first writes to an account.")
    channels: dict[str, list[str]] = Field(
        default_factory=dict, description="One name per channel of the report: what platforms call it."
    )
    journal: JournalConfig = Field(default_factory=JournalConfig, description="What is kept of every write.")
    guards: Guards = Field(default_factory=Guards, description="What holds a run before it does harm.")

    @model_validator(mode="before")
    @classmethod
    def _names(cls, data: Any) -> Any:
        """What a connection leaves out follows from its name."""
        if not isinstance(data, dict) or not isinstance(data.get("connections"), dict):
            return data
        named = {}
        for name, settings in data["connections"].items():
            if isinstance(settings, dict) or settings is None:
                defaults = {"platform": name, "mapping": f"mappings/{name}.yaml"}
                settings = {**defaults, **(settings or {})}
            named[name] = settings
        return {**data, "connections": named}

    def state_url(self, folder: Path) -> str:
        """The state's address: a relative SQLite path starts at `folder`, the password is filled in."""
        prefix = "sqlite:///"
        if self.state.startswith(prefix):
            return prefix + str(folder / self.state.removeprefix(prefix))
        if not self.state_password:
            return self.state
        password = secrets.resolve(self.state_password, folder=folder).reveal()
        parts = urlsplit(self.state)
        host = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
        return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{quote(password, safe='')}@{host}"))


def load_project(path: Path) -> Project:
    """The project in `path`. Raises one Misconfigured with every mistake found, each at its place."""
    document = yaml.load(path)
    project = project_of(document)
    if problems := list(cross_checks(project, document)):
        raise Misconfigured(f"{document.file} has mistakes.", problems=problems)
    return project


def project_of(document: yaml.Document) -> Project:
    """The project of a file, each part for itself. Raises Misconfigured with every mistake, each at its place."""
    if not isinstance(document.data, dict):
        problem = Problem(document.file, 1, 1, "The project file is empty.", "make one with `closedloop init`")
        raise Misconfigured(f"{document.file} has mistakes.", problems=[problem])
    try:
        return Project.model_validate(document.data)
    except ValidationError as error:
        raise Misconfigured(
            f"{document.file} has mistakes.", problems=yaml.problems_of(error, document, Project)
        ) from error


def cross_checks(project: Project, document: yaml.Document) -> Iterable[Problem]:
    """What one part of the project says and another does not bear out."""
    names = list(project.connections)
    yield from _channels(project, document)
    if not names:
        yield document.problem(("connections",), "There is no connection.", "add one, or run `closedloop init`")
    if project.handoff and project.handoff.to not in names:
        yield document.problem(
            ("handoff", "to"), f"There is no connection {project.handoff.to!r}.", near(project.handoff.to, names)
        )
    rules = [(("lead", "survivorship", name), rule.order) for name, rule in project.lead.survivorship.items()]
    rules += [(("lead", "fields", name), field.order) for name, field in project.lead.fields.items()]
    for where, order in rules:
        for number, name in enumerate(order):
            if name not in names:
                yield document.problem(
                    (*where, "order", number), f"There is no connection {name!r}.", near(name, names)
                )
    for name, settings in project.connections.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,40}", name):
            yield document.problem(
                ("connections", name), f"{name!r} is no name.", "lower-case letters, digits, - and _"
            )
        yield from _base_url(name, settings, document)
        yield from _cron(name, settings, document)
    yield from _zone(project, document)
    yield from _hooks(project.daemon.hooks, names, document)
    if project.state and not re.match(r"(sqlite:///.+|postgresql(\+psycopg)?://)", project.state):
        yield document.problem(("state",), "The state is neither SQLite nor PostgreSQL.", "sqlite:///closedloop.db")


def _channels(project: Project, document: yaml.Document) -> Iterable[Problem]:
    """A word can mean one channel only."""
    meant: dict[str, str] = {}
    for name, words in project.channels.items():
        for number, word in enumerate(words):
            if meant.setdefault(word.casefold(), name) != name:
                message = f"{word!r} is {meant[word.casefold()]!r} already."
                yield document.problem(("channels", name, number), message, "name each word once")


def _base_url(name: str, settings: ConnectionConfig, document: yaml.Document) -> Iterable[Problem]:
    """Credentials go there: in clear only where they stay on this machine."""
    if settings.base_url and not _is_private(settings.base_url):
        message = "This is no https address of a host, and secrets would go there."
        yield document.problem(("connections", name, "base_url"), message, "like https://proxy.example.com")


def _is_private(address: str) -> bool:
    try:
        url = urlsplit(address)
        plain = url.hostname and url.username is None and not url.query and not url.fragment and url.port != 0
    except ValueError:
        return False
    return bool(plain) and (url.scheme == "https" or (url.scheme == "http" and is_here(str(url.hostname))))


def _cron(name: str, settings: ConnectionConfig, document: yaml.Document) -> Iterable[Problem]:
    if settings.cron:
        from croniter import croniter

        if not croniter.is_valid(settings.cron):
            yield document.problem(("connections", name, "cron"), "This is no cron expression.", 'like "*/5 * * * *"')


def _zone(project: Project, document: yaml.Document) -> Iterable[Problem]:
    if not is_zone(project.time_zone):
        yield document.problem(("time_zone",), f"There is no time zone {project.time_zone!r}.", "like Europe/Berlin")


def is_zone(name: str) -> bool:
    """Whether there is a time zone of that name."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _hooks(hooks: HooksConfig, names: list[str], document: yaml.Document) -> Iterable[Problem]:
    where = ("daemon", "hooks")
    if hooks.listen and not _is_place(hooks.listen):
        yield document.problem((*where, "listen"), "This is no host:port.", "like 127.0.0.1:8787")
    elif hooks.listen and not is_loopback(hooks.listen) and not hooks.public:
        hint = "listen on 127.0.0.1 behind a reverse proxy, or say `public: true`"
        yield document.problem((*where, "listen"), "Webhooks would be taken from the network, in clear.", hint)
    url = urlsplit(hooks.public_url)
    if hooks.public_url and (url.scheme != "https" or not url.netloc or url.query or url.fragment):
        yield document.problem((*where, "public_url"), "This is no https address.", "like https://hooks.example.com")
    for number, name in enumerate(hooks.connections):
        if name not in names:
            yield document.problem(
                (*where, "connections", number), f"There is no connection {name!r}.", near(name, names)
            )


def is_loopback(listen: str) -> bool:
    """Whether only this machine reaches `host:port`."""
    return is_here(listen.rpartition(":")[0].strip("[]"))


def is_here(host: str) -> bool:
    """Whether the name or address is this machine's own, reached by nobody else."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_place(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and int(port) < 65_536


def near(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant, as a hint; else all there are."""
    close = get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
