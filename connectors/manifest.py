"""A platform's facts, as its `manifest.yaml` states them, checked once by pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from mappings.model import Kind

_SAFE: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # the same on libyaml, ten times as fast


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grant(_Strict):
    """How a person's consent is got in a browser: OAuth's authorization code (RFC 6749), as the platform wants it."""

    authorize: str  # the page that asks
    token: str  # where the code is exchanged
    gives: str = "refresh_token"  # the member of `auth:` that comes of it
    pkce: bool = False  # the platform takes a proof of possession (RFC 7636)
    client: Literal["post", "basic"] = "post"  # how the app tells its secret: in the form, or by HTTP Basic
    scopes: tuple[str, ...] = ()  # asked for beside the mode's own
    also: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)  # setting -> a word of it -> more scopes
    separator: str = " "  # between scopes
    extra: dict[str, str] = Field(default_factory=dict)  # more parameters of the page's address
    host: str = ""  # the member of `auth:` or `settings:` that names another host for both addresses
    hosts: dict[str, str] = Field(default_factory=dict)  # ... where it holds no host but a word: the host of each
    keeps: tuple[str, ...] = ("scope",)  # what else the connector wants to know of the answer that brings the tokens
    server: str = ""  # the parameter of the answer that names the host where the account lives: one of `hosts`
    loopback: str = "127.0.0.1"  # the name of this machine that apps may be called back at


class AuthMode(_Strict):
    """A way to log in: the members of the connection's `auth:` block, which are secret, and which may be left out.

    With a `grant`, the member that it gives may be left out too: `closedloop connect` gets it.
    """

    about: str
    secrets: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    grant: Grant | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """The secrets that a person must give, for a log-in cannot do without."""
        spared = (*self.optional, *([self.grant.gives] if self.grant else ()))
        return tuple(name for name in self.secrets if name not in spared)


class Webhook(_Strict):
    """How the platform tells of changes by calling us."""

    secrets: tuple[str, ...]  # members of `auth:`: a delivery is believed by the first of them that is given
    signs_url: bool = False  # the signature covers the public address


class Setting(_Strict):
    """A setting of the platform's own, beside `auth:`."""

    about: str
    required: bool = False
    default: str | int | bool | None = None
    example: str = ""


class RemoteObject(_Strict):
    """An object the connector speaks of. Objects are pulled in the order of the manifest."""

    kind: Kind
    about: str
    pull: bool = True
    push: tuple[Literal["create", "update", "archive", "erase"], ...] = ()
    cursor: str = ""  # what the incremental pull goes by, in the platform's word
    overlap: int = 0  # seconds re-read by every incremental pull, against late rows
    deletes: Literal["no", "flag", "archive", "sweep"] = "no"
    merges: bool = False
    lasting_id: str = ""  # of people, where some have none: the remote field of an id that outlasts the address
    page: int = 100
    batch: int = 100
    person_object: str = ""  # of activities: the object of the person's record
    unique: tuple[str, ...] = ()  # remote fields a record can be found by
    after: tuple[str, ...] = ()  # objects to pull first
    brief: bool = False  # the hand-off brief is written as this object
    max_age: int = 0  # of conversions: days after which the platform takes an outcome no more; 0 for no such limit
    sample: dict[str, Any] = Field(default_factory=dict)  # a believable record for the sandbox; {n} is its number
    edited: dict[str, Any] = Field(default_factory=dict)  # what somebody changes of it
    home: str = ""  # of deals that are pushed: the remote field that the name of a copy's home is kept in
    offered: dict[str, Any] = Field(default_factory=dict)  # ... and a believable create of one; {n} is its number
    repeats: bool = True  # of conversions: the platform knows a repeat by its event id, so a lost one may be resent


class Limit(_Strict):
    calls: int
    seconds: float
    burst: int = 1
    about: str = ""


class Manifest(_Strict):
    """Everything about a platform that is a fact and not code."""

    name: str
    title: str
    about: str
    api: str  # the API version spoken
    sdk: str
    hosts: tuple[str, ...]
    auth: dict[str, AuthMode]
    settings: dict[str, Setting] = Field(default_factory=dict)
    objects: dict[str, RemoteObject]
    calls: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # scope ("" for none) -> `GET|POST /path/*`
    limits: dict[str, Limit] = Field(default_factory=dict)
    webhook: Webhook | None = None
    exemptions: dict[str, str] = Field(default_factory=dict)  # rule of conformance.py, or what else it cannot -> why


def mode_of(facts: Manifest, auth: Mapping[str, object]) -> AuthMode | None:
    """The mode of a connection's `auth:` block, the first where it names none; None for a mode that there is not."""
    return facts.auth.get(str(auth.get("mode") or next(iter(facts.auth), "")))


@cache
def load(folder: Path) -> Manifest:
    """The manifest of the platform in `folder`; pydantic's ValidationError when it is wrong (a bug of ours)."""
    with (folder / "manifest.yaml").open(encoding="utf-8") as file:
        return Manifest.model_validate(yaml.load(file, Loader=_SAFE))
