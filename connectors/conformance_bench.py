"""What a connector is held to the rules on: its sandbox, filled with samples, and the mapping that comes with it.

Records are made out of the manifest's `sample:` of an object (`{n}` is a number).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson

from config.clock import ManualClock
from connectors import manifest
from connectors.api import Account, Connector, Operation, Platform, Record, Result, Surroundings, Verb
from connectors.sandbox import Sandbox
from connectors.sound import Sound
from mappings.compiler import Mapped, load_mapping
from mappings.model import Kind

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
NUMBER = 3
"""Records made of each object."""


class _Budget:
    def take(self, key: str, calls: int, *, rate: float, burst: int) -> None: ...

    def block(self, key: str, seconds: float) -> None: ...


class _Owners:
    """Every id is an owner's."""

    def owner_email(self, id: str) -> str | None:
        return "owner@people.example"

    def owner_id(self, email: str) -> str | None:
        return None


class _Tokens(dict[str, str]):
    def put(self, name: str, value: str) -> None:
        self[name] = value

    def alone(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class Bench:
    """A platform, its sandbox filled with samples, and a clock that only the suite moves."""

    platform: Platform
    sandbox: Sandbox
    clock: ManualClock
    ids: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def facts(self) -> manifest.Manifest:
        return manifest.load(self.platform.folder)

    @cached_property
    def mapping(self) -> dict[str, Mapped]:
        """The ready mapping. Raises Misconfigured with its mistakes."""
        return load_mapping(self.platform.folder / "mapping.yaml", lookup=_Owners())

    @property
    def sampled(self) -> list[str]:
        """The objects that have a sample."""
        return [name for name, facts in self.facts.objects.items() if facts.sample and facts.pull]

    @property
    def people(self) -> str:
        """The object whose records are people and are written; "" where there is none."""
        objects = self.facts.objects.items()
        return next((name for name, facts in objects if facts.kind is Kind.LEAD and "create" in facts.push), "")

    def fields(self, object: str) -> tuple[str, ...]:
        mapped = self.mapping.get(object)
        return mapped.remote_fields if mapped else ()

    def fill(self) -> None:
        """NUMBER samples of each object that has one."""
        for object in self.sampled:
            self.ids[object] = [self.put(object, number) for number in range(NUMBER)]

    def put(self, object: str, number: int) -> str:
        return str(self.sandbox.put(object, numbered(self.facts.objects[object].sample, number)))  # type: ignore[attr-defined]

    @contextmanager
    def connected(self, auth: Mapping[str, Any] | None = None) -> Iterator[Connector]:
        told = self.sandbox.account()
        account = Account(
            self.platform.name,
            self.platform.name,
            auth or told["auth"],
            told["settings"],
            self.sandbox.base_url,
            self.sandbox.ca_file,
        )
        connector = self.platform.open(account, Surroundings(self.clock, _Budget(), _Tokens()))
        try:
            yield Sound(connector, self.platform.name, self.facts.title)
        finally:
            connector.close()

    def pulled(self, connector: Connector, object: str, cursor: str | None = None, **more: Any) -> Pull:
        pages = list(connector.pull(object, cursor, self.fields(object), **more))
        assert pages, f"{object}: a pull has at least one page"
        assert not pages[-1].more, f"{object}: the last page says that more follows"
        assert all(page.more for page in pages[:-1]), f"{object}: a page before the last says that none follows"
        records = [record for page in pages for record in page.records]
        for record in records:
            _whole(object, record)
        return Pull(records, [page.cursor for page in pages])

    def person(self, number: int, **more: Any) -> Operation:
        """A create of somebody new, in the words of the ready mapping."""
        mapped = self.mapping[self.people]
        values = {
            "email": f"new{number}@people.example",
            "first_name": f"Given{number}",
            "last_name": f"Family{number}",
            "company": "Example Ltd",
            **more,
        }
        remote, problems = mapped.write({k: v for k, v in values.items() if k in mapped.pushed}, creating=True)
        assert not problems, f"the ready mapping cannot write {problems[0].field}"
        key = mapped.entries["email"].remote
        return Operation(f"op{number}", Verb.CREATE, self.people, remote, match={key: remote[key]})

    def push(self, connector: Connector, *operations: Operation) -> dict[str, Result]:
        results = list(connector.push(operations, self.fields(operations[0].object)))
        keys = sorted(result.key for result in results)
        assert keys == sorted(operation.key for operation in operations), "there is not one result for each operation"
        return {result.key: result for result in results}

    def read(self, connector: Connector, object: str, key: str, *values: str) -> dict[str, Record]:
        return connector.read(object, key, list(values), self.fields(object))

    def unified(self, record: Record) -> dict[str, Any]:
        mapped = self.mapping[self.people]
        return mapped.read(mapped.decode(record.raw))[0]


@dataclass(frozen=True, slots=True)
class Pull:
    """What a pull brought: its records, and the cursor of each page."""

    records: list[Record]
    cursors: list[str]

    @property
    def ids(self) -> set[str]:
        return {record.id for record in self.records if record.gone is None}


def numbered(value: Any, number: int) -> Any:
    """`value` with `{n}` in every text replaced."""
    if isinstance(value, str):
        return value.replace("{n}", str(number))
    if isinstance(value, Mapping):
        return {name: numbered(member, number) for name, member in value.items()}
    return [numbered(item, number) for item in value] if isinstance(value, list) else value


def _whole(object: str, record: Record) -> None:
    assert isinstance(record.id, str), f"{object}: an id is text"
    assert record.id, f"{object}: a record has an id"
    assert isinstance(orjson.loads(record.raw), dict), f"{object}: `raw` is a JSON object"
    assert not record.version or (len(record.version) == 24 and record.version.endswith("Z")), (
        f"{object}: a version is a stamp, not {record.version!r}"
    )
