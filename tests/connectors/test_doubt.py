"""Every kind of write of every platform: done, answered by a gateway alone, and refused when it is sent again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.errors import InDoubt, RetryLater
from connectors import manifest, registry
from connectors.api import Connector, Operation, Verb
from connectors.conformance import bench
from connectors.conformance_bench import START, Bench, numbered
from connectors.sandbox import Answer, Call, Sandbox
from connectors.template import platform as template
from mappings.model import Kind

PLATFORMS = {name: registry.platform(name) for name in registry.names()} | {"template": template}
KINDS = [
    (name, object, verb)
    for name, platform in PLATFORMS.items()
    for object, facts in manifest.load(platform.folder).objects.items()
    for verb in facts.push
]
ASKED_AGAIN = {("google_analytics", "erase")}
"""Erasures whose fate nothing tells: what is lost of one is not done yet, and asked for again by the next `forget`."""
OF_CALLS = ("used", "random", "login", "tokens", "quotas", "habits")
"""What of a sandbox's state changes by being called."""
AT = "2026-03-02T08:00:00.000Z"
OUTCOMES: dict[str, dict[str, Any]] = {
    "linkedin": {"event": "won", "at": AT, "email": "a@people.example", "consent": "subscribed"},
    "google_analytics": {"name": "qualify_lead", "client_id": "1234567890.1700000000", "at": AT},
}


class Strike:
    """The first call that changes anything is done, and a gateway answers; what is asked so again is refused."""

    def __init__(self, sandbox: Sandbox, status: int) -> None:
        self.sandbox, self.status = sandbox, status
        self.met: tuple[str, str] | None = None

    def __call__(self, call: Call) -> Answer:
        line = (call.method, call.path)
        if self.met is not None:
            return Answer.of({}, self.status) if line == self.met else self.sandbox.answer(call)
        before = self._state()
        answer = self.sandbox.answer(call)
        if self._state() == before:
            return answer
        self.met = line
        return Answer.of({}, 504)

    def _state(self) -> dict[str, Any]:
        return {name: told for name, told in self.sandbox.snapshot().items() if name not in OF_CALLS}


def operation(bench: Bench, connector: Connector, object: str, verb: Verb) -> Operation:
    """A write of this kind that goes well; what it needs is made first."""
    facts = bench.facts.objects[object]
    if verb is Verb.CREATE:
        return _create(bench, connector, object)
    if (facts.kind is Kind.LEAD and "create" not in facts.push) or facts.kind is Kind.CONVERSION:
        ids = bench.ids.get(object)
        return Operation("w", verb, object, {}, id=ids[0] if ids else "1234567890.1700000000/cl_1")
    made = _create(bench, connector, object)
    result = bench.push(connector, made)[made.key]
    assert result.error is None
    values = {}
    if verb is Verb.UPDATE and facts.kind is Kind.LEAD:
        entry = bench.mapping[object].entries["first_name"]
        values = {entry.remote: "Other"}
    elif verb is Verb.UPDATE:
        values = dict([next(iter(numbered(facts.offered, 9).items()))])
    return Operation("w", verb, object, values, id=result.id, match=made.match if facts.kind is Kind.LEAD else {})


def _create(bench: Bench, connector: Connector, object: str) -> Operation:
    facts = bench.facts.objects[object]
    if facts.kind is Kind.CONVERSION:
        values = {**OUTCOMES[bench.platform.name], "event_id": "e1"}
        return Operation("w", Verb.CREATE, object, values, match={"event_id": "e1"})
    if facts.kind is Kind.LEAD:
        person, named = bench.person(3), {entry.remote for entry in bench.mapping[object].entries.values()}
        values = {name: value for name, value in person.values.items() if name in named}
        return replace(person, object=object, values=values)
    person = bench.person(7)
    about = f"{bench.people}/{bench.push(connector, person)['op7'].id}"
    if facts.kind is Kind.DEAL:
        values = {**numbered(facts.offered, 1), facts.home: "crm/deals/1", "person": about}
        return Operation("w", Verb.CREATE, object, values, match={facts.home: values[facts.home]})
    values = {"subject": "Qualified", "body": "The story.", "person": about, "reference": "ref-1"}
    return Operation("w", Verb.CREATE, object, values, match={"reference": "ref-1"})


@pytest.mark.parametrize("status", [403, 409, 429])
@pytest.mark.parametrize(("name", "object", "verb"), KINDS)
def test_a_write_that_only_a_gateway_answered_is_in_doubt_however_its_repeat_is_refused(
    name: str, object: str, verb: str, status: int
) -> None:
    with bench(PLATFORMS[name]) as made, made.connected() as connector:
        wish = operation(made, connector, object, Verb(verb))
        strike = Strike(made.sandbox, status)
        made.sandbox.inject("answer", "^(POST|PUT|PATCH|DELETE) ", times=10**6, answer=strike)
        error = made.push(connector, wish)[wish.key].error
        assert strike.met is not None, "nothing was written"
        assert type(error) is (RetryLater if (name, verb) in ASKED_AGAIN else InDoubt)


def test_every_platform_that_can_be_written_to_is_struck() -> None:
    assert {name for name, _, _ in KINDS} == PLATFORMS.keys() - {"singer"}
    assert START.isoformat() > AT
