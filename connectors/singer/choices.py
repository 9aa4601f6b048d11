"""The connection's settings: which tap, how it is started, and which of its streams is which object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from config import secrets
from config.errors import Misconfigured
from config.secrets import Secret
from connectors import manifest
from connectors.api import Account
from connectors.singer import platform

LARGEST_PAGE = 1000
_SECRET = re.compile(r"(.*_)?(password|passwd|secret|token|api_?key|private_key)", re.I)
"""Names whose values are secrets wherever they stand."""
NO_CATALOG = "none"
"""In `settings.catalog`: the tap takes none, and tells all its streams."""


def _words(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StreamChoice(_Strict):
    """Which stream an object is, and how its records are told apart.

    `id` stands in for the stream's key properties, `changed` for its bookmark. `method` and `beside` go into the
    catalog: the replication method, and streams that this one cannot be read without (its parents).
    """

    stream: str = Field(min_length=1)
    id: Words = ()
    changed: str = ""
    method: Literal["", "INCREMENTAL", "FULL_TABLE", "LOG_BASED"] = ""
    beside: Words = ()
    revised: bool = False


class Choices(_Strict):
    """The whole of `settings:`."""

    tap: Words = Field(min_length=1)
    config: dict[str, Any] = Field(default_factory=dict)
    config_file: str = ""
    catalog: str = ""
    properties: bool = False
    streams: dict[str, StreamChoice] = Field(min_length=1)
    timeout: float = Field(600, gt=0)
    page: int = Field(LARGEST_PAGE, ge=1, le=LARGEST_PAGE)
    account: str = ""

    @property
    def name(self) -> str:
        """The tap's name, for people."""
        return Path(self.tap[-1] if len(self.tap) > 1 else self.tap[0]).name


def choices(account: Account) -> Choices:
    """The settings of `account`. Raises one Misconfigured with every mistake, without a value."""
    try:
        made = Choices.model_validate(dict(account.settings))
    except ValidationError as error:
        told = "; ".join(f"settings.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise Misconfigured(f"The tap's settings are wrong. {told}.", connection=account.connection) from None
    known = manifest.load(platform.folder).objects
    if strange := sorted(set(made.streams) - set(known)):
        raise Misconfigured(
            f"settings.streams has {', '.join(strange)}, which is no object.",
            fix=f"There are: {', '.join(known)}.",
            connection=account.connection,
        )
    return made


def tap_config(account: Account, made: Choices) -> tuple[dict[str, Any], frozenset[str]]:
    """What the tap is to be configured with, secrets in clear, and the texts of it that nobody may see.

    The config file, then `settings.config` with its references resolved, then the members of `auth:`.
    """
    hidden: set[str] = set()
    try:
        base = orjson.loads(Path(made.config_file).read_bytes()) if made.config_file else {}
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"settings.config_file cannot be read as JSON: {type(error).__name__}.", connection=account.connection
        ) from None
    if clear := sorted(set(_in_clear(made.config))):
        raise Misconfigured(
            f"A secret stands in clear: settings.config {', '.join(clear)}.",
            fix="Write env:NAME, file:PATH or keyring:SERVICE/NAME.",
            connection=account.connection,
        )
    if not isinstance(base, dict):
        raise Misconfigured("settings.config_file is no JSON object.", connection=account.connection)
    hidden.update(_texts(base))
    for name, value in account.auth.items():
        if name != "mode":
            base[name] = _clear(value, hidden)
    return {**base, **{name: _resolved(value, hidden) for name, value in made.config.items()}}, frozenset(hidden)


def plain(account: Account, made: Choices) -> bool:
    """Whether the user's own config file says all there is to say: then the tap gets it as it is."""
    return bool(made.config_file) and not made.config and not set(account.auth) - {"mode"}


def _clear(value: Secret | str, hidden: set[str]) -> str:
    text = value.reveal() if isinstance(value, Secret) else value
    hidden.add(text)
    return text


def _resolved(value: Any, hidden: set[str]) -> Any:
    if isinstance(value, str) and secrets.is_reference(value) and "://" not in value:
        return _clear(secrets.resolve(value, folder=Path()), hidden)
    if isinstance(value, Mapping):
        return {name: _resolved(member, hidden) for name, member in value.items()}
    return [_resolved(item, hidden) for item in value] if isinstance(value, list) else value


def _in_clear(value: Any) -> Iterator[str]:
    """The names of members that are secrets by their name and no references."""
    for name, member in value.items() if isinstance(value, Mapping) else ():
        if isinstance(member, str) and member and _SECRET.fullmatch(name) and not secrets.is_reference(member):
            yield name
        yield from _in_clear(member)
    for item in value if isinstance(value, list) else ():
        yield from _in_clear(item)


def _texts(value: Any) -> set[str]:
    """Every text in a config file: nobody said which of them are secret."""
    if isinstance(value, str):
        return {value}
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {text for member in members for text in _texts(member)}
