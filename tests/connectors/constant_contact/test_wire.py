"""Constant Contact's wire format, pinned; what is sent and what the sandbox answers fit the published description."""

from __future__ import annotations

from pathlib import Path

from config.clock import ManualClock
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Surroundings
from connectors.constant_contact.sandbox import ConstantContactSandbox
from tests.connectors.constant_contact.tour import tour, world
from tests.connectors.constant_contact.truth import EXPLAINED, described_differences, operations, traffic
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import RECORDING, play

CASSETTES = Path(__file__).parent / "cassettes"


def connector(sandbox: ConstantContactSandbox, clock: ManualClock, base: str) -> Connector:
    told = sandbox.account()
    secret = registry.facts("constant_contact").auth["oauth"].secrets
    auth = {name: Secret(value) if name in secret else value for name, value in told["auth"].items()}
    settings = {**told["settings"], "permission_if_new": "implicit"}
    account = Account("constant_contact", "constant_contact", auth, settings, base)
    return registry.platform("constant_contact").open(account, Surroundings(clock, Budget(), Tokens()))


def test_the_wire_format_stands() -> None:
    sandbox, clock = world()
    if RECORDING:
        sandbox.start()
    made = connector(sandbox, clock, sandbox.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(made, world()[0], clock))
    made.close()
    sandbox.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    assert "uthorization" not in text
    assert "sandbox-app" not in text
    assert "refresh-" not in text
    assert "access-" not in text


def test_every_request_fits_the_published_description() -> None:
    """Paths, query parameters with their options and limits, bodies with no member that is not described."""
    found = operations()
    print(f"{len(found)} operations, {len(traffic()[0])} requests")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert {
        "POST /contacts", "PUT /contacts/{contact_id}", "DELETE /contacts/{contact_id}", "POST /contacts/sign_up_form",
        "POST /activities/contacts_json_import", "POST /activities/contact_delete", "POST /contact_tags",
    } <= set(found)  # fmt: skip
    assert len(found) >= 20
    assert len(traffic()[0]) >= 40


def test_the_sandbox_answers_as_is_described() -> None:
    answered = [answer for _, answer in traffic()[1] if answer.body]
    print(f"{len(answered)} answers, {sorted(described_differences())}")
    assert described_differences() <= set(EXPLAINED)
    assert len(answered) >= 40
