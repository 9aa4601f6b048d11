"""Write a new project: a commented project file, and a copy of each platform's ready mapping."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.errors import Misconfigured
from connectors import registry
from connectors.manifest import AuthMode, Manifest, Setting
from mappings.model import Kind

CRMS = ("salesforce", "zoho")
GENERIC = ("singer",)
"""Connectors to no platform of their own: nobody but the user can say to what."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A connection to write: its platform, and what is known of its account already (sandboxes know all)."""

    platform: str
    mode: str = ""
    auth: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    base_url: str = ""
    ca_file: str = ""


def write(folder: Path, connections: Mapping[str, Chosen], *, force: bool = False, tail: str = "") -> list[Path]:
    """The files written. Raises Misconfigured when one is there already and `force` is not given."""
    refuse_existing(folder, connections, force=force)
    files = {folder / "closedloop.yaml": project_text(connections, tail)}
    for name, chosen in connections.items():
        files[folder / "mappings" / f"{name}.yaml"] = mapping_text(name, chosen.platform)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [*files, *_schemas(folder)]


def refuse_existing(folder: Path, connections: Iterable[str], *, force: bool) -> None:
    """Raises Misconfigured when a file that `write` would make is there, unless `force` is given."""
    files = (folder / "closedloop.yaml", *(folder / "mappings" / f"{name}.yaml" for name in connections))
    there = next((path for path in files if path.exists()), None)
    if there and not force:
        raise Misconfigured(f"{there} is there already.", fix="Use --force to overwrite it, or another folder.")


def _schemas(folder: Path) -> list[Path]:
    """Beside the project, for completion in editors."""
    import orjson

    from mappings.schema import mapping_schema, project_schema

    place = folder / ".closedloop"
    place.mkdir(exist_ok=True)
    written = []
    for name, schema in (("project", project_schema()), ("mapping", mapping_schema())):
        path = place / f"{name}.schema.json"
        path.write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2))
        written.append(path)
    return written


def mapping_text(connection: str, platform: str) -> str:
    """The platform's ready mapping, under a heading."""
    heading = (
        "# yaml-language-server: $schema=../.closedloop/mapping.schema.json\n"
        f"# How the fields of {connection} map to the unified lead. `closedloop check` finds mistakes.\n"
        "# direction: pull (from the platform), push (to it), both. docs/mapping.md explains every word.\n"
    )
    return heading + (registry.platform(platform).folder / "mapping.yaml").read_text(encoding="utf-8")


def project_text(connections: Mapping[str, Chosen], tail: str = "") -> str:
    """A commented project file."""
    parts = [_HEAD, "connections:\n", *(connection_text(name, chosen) for name, chosen in connections.items())]
    crm = next((name for name, chosen in connections.items() if chosen.platform in CRMS), None)
    parts.append(tail or _QUALIFICATION)
    if crm is not None:
        parts.append(_handoff(crm, connections[crm].platform))
    parts.append(_TAIL)
    return "".join(parts)


_HEAD = """\
# yaml-language-server: $schema=.closedloop/project.schema.json
# A Closedloop project. `closedloop check` finds mistakes; `closedloop check --online` tests the accounts too.
version: 1

# Where the state is kept. SQLite needs nothing; for PostgreSQL: postgresql://user@host/database
# with state_password: env:CLOSEDLOOP_DB_PASSWORD
state: sqlite:///closedloop.db

# What times, phone numbers and amounts mean that do not say it themselves
time_zone: UTC
country: ""          # like DE: phone numbers without a country code
currency: USD

"""

_QUALIFICATION = """
# The definition of a qualified lead that marketing and sales agreed on. Conditions are CEL over `lead` (every unified
# field; blanks read as '' / 0 / false / []) and `activity` (counts by type, `total`, `last_at`).
qualification:
  score:
    - {when: "activity.form > 0", points: 30, because: asked for contact}
    - {when: "activity.email_click >= 2", points: 15, because: clicks in our mails}
    - {when: "lead.title.matches('(?i)chief|head|director|vp')", points: 20, because: decides}
    - {when: "lead.email_consent == 'unsubscribed'", points: -30, because: does not want mail}
  qualified_when: "score >= 40"
"""

_TAIL = """
# What marketing and sales promised each other; `closedloop goals` shows how it stands
goals: []
#  - {name: Leads for sales, count: qualified, at_least: 50, every: month}
#  - {name: Sales calls within a day, count: followed_up, within: 24h, at_least: 90%, every: month}
#  - {count: win_rate, at_least: 25%, every: quarter}
#  - {count: revenue, at_least: 100000, every: quarter}

# How each field is decided when several platforms hold it; the usual rules are in docs/mapping.md
lead:
  survivorship: {}
  fields: {}         # fields of your own: favourite_colour: {type: text, about: ..., rule: most_recent}

# One name per channel, and what platforms call it where more than spelling differs; `report` counts by these names
channels:
  Organic search: [ORGANIC_SEARCH]
  Paid search: [PAID_SEARCH]
  Social: [SOCIAL_MEDIA, Organic Social]
  Paid social: [PAID_SOCIAL]
  Email: [EMAIL_MARKETING]
  Direct: [DIRECT_TRAFFIC]
  Referral: [REFERRALS]

# The first writes to an account: so many go first and are checked
first_run:
  canary: 10

# What holds a run before it does harm: more than this share of the people there, and more than this number
guards:
  changed: {share: 50%, over: 200}
  opted_out: {share: 10%, over: 50}

# How long the journal keeps the values of what was written (for undo); then they age out
journal:
  keep_days: 365

daemon:
  metrics: 127.0.0.1:9464     # /healthz and /metrics
  # hooks: {listen: 127.0.0.1:8787, public_url: https://hooks.example.com}     # webhooks, behind a proxy
"""


def _handoff(connection: str, platform: str) -> str:
    return (
        "\n# Qualified leads go to sales, with the story of what they saw\n"
        f"handoff:\n  to: {connection}\n  object: {_people(platform)}\n  brief: true\n"
    )


def _people(platform: str) -> str:
    """The object that new people of a CRM are made as: its first that takes them."""
    objects = registry.facts(platform).objects.items()
    return next(name for name, facts in objects if facts.kind is Kind.LEAD and "create" in facts.push)


def ready() -> list[str]:
    """The platforms that a new project can be written for without a question."""
    return [name for name in registry.names() if name not in GENERIC]


def connection_text(name: str, chosen: Chosen) -> str:
    """The connection as a block of the project file; secrets not known yet are named as environment variables."""
    facts = registry.facts(chosen.platform)
    mode = chosen.mode or next(iter(facts.auth))
    lines = [f"  {name}:", f"    # {facts.title}: {facts.auth[mode].about}"]
    if chosen.platform != name:
        lines.append(f"    platform: {chosen.platform}")
    lines.append("    auth:")
    lines.append(f"      mode: {mode}")
    lines += [f"      {member}: {value}" for member, value in _auth(name, facts, mode, chosen).items()]
    lines += _settings(facts, chosen)
    if chosen.base_url:
        lines.append(f"    base_url: {chosen.base_url}")
    if chosen.ca_file:
        lines.append(f"    ca_file: {chosen.ca_file}")
    lines.append('    every: 5m            # or cron: "*/5 * * * *"; jitter: 30s')
    return "\n".join(lines) + "\n"


def _auth(name: str, facts: Manifest, mode: str, chosen: Chosen) -> dict[str, str]:
    known = facts.auth[mode]
    found = {}
    wanted = _wanted(known, chosen)
    spare = [member for member in (*known.secrets, *known.optional) if member not in wanted]
    for member in (*known.settings, *wanted, *(m for m in spare if chosen.auth.get(m))):
        unknown = f"env:{variable(name, member)}" if member in known.secrets else '""'
        found[member] = _text(str(chosen.auth[member])) if chosen.auth.get(member) else unknown
    return found


def _text(value: str) -> str:
    """The value as YAML reads it back as text: an id of digits alone needs quotes."""
    return f'"{value}"' if re.fullmatch(r"[\d._+-]+", value) else value


def _settings(facts: Manifest, chosen: Chosen) -> list[str]:
    wanted = {**{n: s.default or '""' for n, s in facts.settings.items() if s.required}, **chosen.settings}
    if not wanted:
        return []
    about = [
        f"      {n}: {value}    # {_told(facts.settings.get(n), value)}".rstrip(" #") for n, value in wanted.items()
    ]
    return ["    settings:", *about]


def _told(setting: Setting | None, value: object) -> str:
    """What a setting is; where nobody knows its value yet, what one looks like."""
    if setting is None:
        return ""
    return (
        f"{setting.about.rstrip('.')}, like {setting.example}." if value == '""' and setting.example else setting.about
    )


def blanks(connections: Mapping[str, Chosen]) -> list[str]:
    """What of the project file a person has to fill in, beside the secrets."""
    found: list[str] = []
    for name, chosen in connections.items():
        facts = registry.facts(chosen.platform)
        mode = facts.auth[chosen.mode or next(iter(facts.auth))]
        members = [member for member in mode.settings if member not in mode.optional and not chosen.auth.get(member)]
        settings = [n for n, s in facts.settings.items() if s.required and not s.default and n not in chosen.settings]
        found += [f"connections.{name}.auth.{member}" for member in members]
        found += [f"connections.{name}.settings.{setting}" for setting in settings]
    return found


def variable(connection: str, member: str) -> str:
    """The environment variable that a new project names for a secret."""
    return f"{connection}_{member}".upper().replace("-", "_")


def variables(connections: Mapping[str, Chosen]) -> list[str]:
    """The environment variables a new project needs."""
    found: list[str] = []
    for name, chosen in connections.items():
        facts = registry.facts(chosen.platform)
        mode = chosen.mode or next(iter(facts.auth))
        found += [variable(name, m) for m in _wanted(facts.auth[mode], chosen) if not chosen.auth.get(m)]
    return found


def _wanted(mode: AuthMode, chosen: Chosen) -> tuple[str, ...]:
    """The secrets that a project must name: those of the log-in, and the app's where it is to be connected."""
    app = ("client_secret",) if to_connect(mode, chosen) and "client_secret" in mode.secrets else ()
    return tuple(dict.fromkeys((*mode.needed, *app)))


def to_connect(mode: AuthMode, chosen: Chosen) -> bool:
    """Whether `closedloop connect` gets what is not known yet."""
    return mode.grant is not None and not chosen.auth.get(mode.grant.gives)


def unconnected(connections: Mapping[str, Chosen]) -> list[str]:
    """The connections that wait for `closedloop connect`."""
    modes = {name: registry.facts(one.platform).auth for name, one in connections.items()}
    return [
        name for name, one in connections.items() if to_connect(modes[name][one.mode or next(iter(modes[name]))], one)
    ]


def sandbox_account(sandbox: Any, *, app: bool = False) -> Mapping[str, Any]:
    """The `auth:` and `settings:` for a sandbox. With `app` it has the OAuth app only, where the platform has one:
    `closedloop connect` does the rest."""
    account: Mapping[str, Any] = sandbox.account()
    if not app or sandbox.consents is None:
        return account
    mode, members = next(iter(sandbox.consents.apps.items()))
    return {"auth": {"mode": mode, **members}, "settings": account["settings"]}


def sandbox_connection(folder: Path, name: str, sandbox: Any, *, app: bool = False) -> Chosen:
    """A connection to a running sandbox; its secrets go into files of the project's folder."""
    account = sandbox_account(sandbox, app=app)
    mode = account["auth"]["mode"]
    secret = registry.facts(sandbox.name).auth[mode].secrets
    auth: dict[str, str] = {}
    place = folder / "secrets"
    place.mkdir(parents=True, exist_ok=True)
    for member, value in account["auth"].items():
        if member == "mode":
            continue
        if member in secret:
            (place / f"{name}_{member}").touch(mode=0o600)
            (place / f"{name}_{member}").write_text(str(value), encoding="utf-8")
            auth[member] = f"file:secrets/{name}_{member}"
        else:
            auth[member] = str(value)
    ca_file = ""
    if sandbox.ca_file:
        ca_file = f"secrets/{name}-ca.pem"
        (folder / ca_file).write_bytes(Path(sandbox.ca_file).read_bytes())
    return Chosen(sandbox.name, mode, auth, account["settings"], sandbox.base_url, ca_file)


def names(platforms: Sequence[str]) -> dict[str, Chosen]:
    """Connections named after their platforms. Raises Misconfigured for a platform that is not installed."""
    for platform in platforms:
        registry.platform(platform)
    return {platform: Chosen(platform) for platform in platforms}
