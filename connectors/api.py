"""The port between the engine and a platform.

A connector turns one platform's HTTP into five verbs over records. It knows paths, payload shapes, limits and errors
of its platform; it knows nothing of leads, mappings, state or other platforms. Values pass through it untouched: what
`pull` and `read` give as a field of `raw`, `push` takes in `values` under the same name and in the same form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from config.clock import Clock
from config.errors import ClosedloopError
from config.secrets import Secret


class Gone(StrEnum):
    """Why a record is no longer a live record of its object."""

    DELETED = "deleted"  # in the bin or erased by a person
    ARCHIVED = "archived"  # put away, may come back
    MERGED = "merged"  # lives on as `into`
    CONVERTED = "converted"  # lives on as `into` of `into_object` (a Salesforce Lead that became a Contact)
    ERASED = "erased"  # removed for good, by right


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Why a record cannot be taken: which member, what sort of mistake, what is wrong with it (never its value), and
    what a person can do."""

    field: str
    code: str
    reason: str
    fix: str


class Record(msgspec.Struct, frozen=True, gc=False):
    """One remote thing as the platform told it.

    `raw` is a JSON object, the platform's own bytes where they can be had: field name -> value. Members may nest; a
    mapping reaches into them with dots (`merge_fields.FNAME`). `version` is the platform's modification time as
    `config.clock.stamp` writes it, so that versions compare as text. A gone record may have `raw=b"{}"`.

    An activity is written once: what comes again under its id is no news. Only one that is `revised` (a meeting that
    can be moved) takes the place of what was told before; its connector never tells an older state after a newer one.

    One that its source tells against its own rules has a `fault` and `raw=b""`: it goes to quarantine, and what was
    known of it stays.
    """

    id: str
    raw: bytes
    version: str = ""
    gone: Gone | None = None
    into: str = ""
    into_object: str = ""
    revised: bool = False
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A bounded number of records, and the cursor to store in the same transaction as they are.

    Pulling again with `cursor` goes on after this page (while `more`) or asks for what changed since (on the last
    one). `total` is how many records this pull will bring in all, where the platform says so.
    """

    records: Sequence[Record]
    cursor: str
    more: bool
    total: int | None = None


class Verb(StrEnum):
    """What a write does. A connector gets only the verbs that its manifest lists in the object's `push`."""

    CREATE = "create"
    UPDATE = "update"
    ARCHIVE = "archive"  # put away as a person would (bin, archive): what takes a create back
    ERASE = "erase"  # removed for good with all that hangs on it, by the person's right


@dataclass(frozen=True, slots=True)
class Operation:
    """One write. `key` is the engine's own name for it; its result carries the same.

    An update names its record by `id`; `match` has the keys it is known by now. A create has in `match` the remote
    fields whose values identify the record should it exist already (`{"email": "ana@x.io"}`): the connector upserts by
    them where the platform can. `values` are remote field -> value in the platform's own form, only what is to change;
    None clears. A conversion is a create whose `match` has its `event_id`. Archiving and erasing name their record as
    an update does, without values; a record that is away already is done. A brief and a new deal have in `person` the
    record of whom they are about (`contacts/12`); a new deal's `match` has the name of its home. `backwards` names the
    remote fields of an update that are meant to go back along their options (an undo of a stage): a platform that moves
    such a field forward only is to be made to.
    """

    key: str
    verb: Verb
    object: str
    values: Mapping[str, Any]
    id: str = ""
    match: Mapping[str, Any] = field(default_factory=dict)
    backwards: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the operation `key`.

    Done: `id` is set, `error` is None; `record` is what the platform now holds, where its answer said so, `created`
    whether the record is new. Not done: `error` is a RecordRejected (for good), a RetryLater (never sent) or an
    InDoubt (sent, answer lost).
    """

    key: str
    id: str = ""
    created: bool = False
    record: Record | None = None
    error: ClosedloopError | None = None


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """A live field: `type` is one of text, email, phone, integer, number, boolean, date, datetime, choice, choices,
    reference, object; `options` are the values a choice takes; `length` counts characters, 0 where unlimited."""

    name: str
    type: str
    label: str = ""
    writable: bool = True
    required: bool = False
    unique: bool = False
    length: int = 0
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectSchema:
    """The live fields of an object. `open_ended` prefixes (`tags.`) take any further name."""

    object: str
    fields: Mapping[str, FieldSchema]
    open_ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quota:
    """API calls: `used` of `limit` in the current `window` ("day", "10 seconds")."""

    window: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Health:
    """What the credentials open: the account's identity, what is missing, how many calls are left.

    `extra_scopes` were granted, where the platform tells, and no call of the connector needs them. `ahead` are the
    seconds by which our clock is ahead of the platform's (negative: behind), where its answers tell.
    """

    account_id: str
    account_name: str
    missing_scopes: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    notes: tuple[str, ...] = ()
    extra_scopes: tuple[str, ...] = ()
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook delivery as it arrived: `body` is the raw bytes, `url` the full public address."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """ "Read this record": all that a webhook is trusted for."""

    object: str
    id: str


@runtime_checkable
class Connector(Protocol):
    """One configured account of one platform.

    Every method may raise RetryLater (after the connector's own bounded retries), QuotaExhausted, AuthorizationLost
    and PermissionMissing.
    """

    @property
    def calls(self) -> int:
        """HTTP requests made so far, retries included."""

    def check(self) -> Health:
        """Credentials, scopes, identity and quota, from as few calls as it takes."""

    def describe(self, object: str) -> ObjectSchema:
        """The live fields of `object`."""

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        """Pages of `object` since `cursor`, with at least `fields` of each record, ending with a page not `more`.

        Always at least one page, so that the cursor moves. Without a cursor: from the beginning, or from `since` (a
        stamp). A record may come more than once (windows overlap); none may be missed. `bulk` says that most of the
        account is expected: the connector may choose its bulk interface.
        """

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        """The records whose `key` ("id" or a unique remote field) is one of `values`, by the value asked for.

        Reads the system of record, not a lagging index, wherever the platform offers both. What does not exist is
        absent. An id that was merged or converted away answers with the survivor (`record.id` differs from the value).
        """

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        """Perform `operations` (some of one object) in the fewest calls; exactly one result for each, in any order.

        `fields` are those that a returned `record` should hold. A result whose request was never sent carries
        RetryLater. On QuotaExhausted or AuthorizationLost the remaining operations get results that carry it. Nothing
        is raised for a single operation's sake.
        """

    def verify(self, request: Request) -> list[Notice]:
        """The notices of a genuine webhook delivery; AuthorizationLost when its signature is missing, wrong or old."""

    def close(self) -> None:
        """Give the sockets back."""


@runtime_checkable
class Greeter(Protocol):
    """A connector whose platform looks at the webhooks' address, by a GET, before it delivers there."""

    def greet(self, request: Request) -> bytes:
        """The JSON to answer with; empty where any good answer will do. AuthorizationLost for what the platform would
        not ask."""


class Budget(Protocol):
    """Shared call rates per platform account; implemented over the state so that all processes share them."""

    def take(self, key: str, calls: int, *, rate: float, burst: int) -> None:
        """Wait until `calls` calls are allowed at `rate` per second with at most `burst` at once."""

    def block(self, key: str, seconds: float) -> None:
        """Nobody calls under `key` for the next `seconds` (the platform said 429)."""


class Tokens(Protocol):
    """Where short-lived or rotating tokens are kept, encrypted."""

    def get(self, name: str) -> str | None: ...

    def put(self, name: str, value: str) -> None: ...

    def alone(self, name: str) -> AbstractContextManager[None]:
        """Inside, nobody else who shares this state renews `name`. Waits; RetryLater after a minute."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a connector needs to open an account.

    `auth` holds the resolved secrets and settings of the connection's `auth:` block, `settings` the rest of its
    platform's own settings (audience, external id field, ...). `base_url` replaces the platform's host and `ca_file`
    its certificate authority: sandboxes and proxies.
    """

    connection: str
    platform: str
    auth: Mapping[str, Secret | str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    base_url: str = ""
    ca_file: str = ""


class Known(Protocol):
    """What a platform that keeps no people may be asked about: only whom the project knows already."""

    def __call__(self, key: str) -> Sequence[str]:
        """The values of an identity key (`google_client_id`) that leads have."""


def nobody(key: str) -> Sequence[str]:
    """`Known` where there are no leads."""
    return ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The world as a connector sees it, so that a test can replace it."""

    clock: Clock
    budget: Budget
    tokens: Tokens
    known: Known = nobody


class OpenConnector(Protocol):
    def __call__(self, account: Account, surroundings: Surroundings) -> Connector: ...


@dataclass(frozen=True, slots=True)
class Platform:
    """A connector as the registry sees it; the value behind an entry point of `closedloop.connectors`.

    `folder` holds `manifest.yaml`, `mapping.yaml` and `README.md`. `sandbox` makes the platform's sandbox.
    """

    name: str
    folder: Path
    open: OpenConnector
    sandbox: Any  # connectors.sandbox.SandboxFactory; Any keeps uvicorn out of every import
