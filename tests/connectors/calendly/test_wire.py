"""Calendly's wire format, pinned; what is sent fits the published description."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.clock import ManualClock
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Connector, Operation, Surroundings, Verb
from connectors.calendly.sandbox import CalendlySandbox
from tests.connectors.calendly import truth
from tests.connectors.surroundings import Budget, Tokens
from tests.connectors.wire import RECORDING, play, shown, told

CASSETTES = Path(__file__).parent / "cassettes"


def world() -> tuple[CalendlySandbox, ManualClock, list[str]]:
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    sandbox = CalendlySandbox(seed=1, clock=clock)
    sandbox.oauth = True
    question = {"question": "Your number", "answer": "+49 30 1", "position": 0}
    link = {"utm_source": "newsletter", "utm_campaign": "spring"}
    start = [f"2026-12-0{n}T15:00:00Z" for n in range(1, 6)]
    ids = [sandbox.book(f"p{n}@x.example", start[n], name="Žofia Nováková", tracking=link) for n in range(3)]
    ids.append(sandbox.book("group@x.example", start[3], seats=9, questions_and_answers=[question]))
    ids.append(sandbox.move(ids[0], start[4]))
    sandbox.cancel(ids[1], reason="ill")
    sandbox.miss(ids[2])
    return sandbox, clock, ids


def connector(sandbox: CalendlySandbox, clock: ManualClock, base: str) -> Connector:
    told = sandbox.account()
    secret = registry.facts("calendly").auth["oauth"].secrets
    auth = {name: Secret(value) if name in secret else value for name, value in told["auth"].items()}
    account = Account("calendly", "calendly", auth, told["settings"], base)
    return registry.platform("calendly").open(account, Surroundings(clock, Budget(), Tokens()))


def tour(calendly: Connector, clock: ManualClock, ids: list[str]) -> list[Any]:
    """Every sort of call once."""
    out: list[Any] = [calendly.check().account_id, len(calendly.describe("invitees").fields)]
    cursors = {}
    for object in ("users", "event_types", "invitees", "meetings"):
        for page in calendly.pull(object, None, []):
            out += [shown(record) for record in page.records]
            cursors[object] = page.cursor
    for seconds in (3600, 86_400, 7 * 86_400):  # the usual sweep, a deep and a wide one
        clock.advance(seconds)
        for object in ("invitees", "meetings"):
            for page in calendly.pull(object, cursors[object], []):
                out += [shown(record) for record in page.records]
                cursors[object] = page.cursor
    out += sorted(calendly.read("meetings", "id", [ids[4]], []))
    out += sorted(calendly.read("invitees", "email", ["p1@x.example", "no@x.example"], []))
    out += [told(result) for result in calendly.push([Operation("e", Verb.ERASE, "invitees", {}, id=ids[2])], [])]
    return out


def test_the_wire_format_stands() -> None:
    sandbox, clock, ids = world()
    if RECORDING:
        sandbox.start()
    calendly = connector(sandbox, clock, sandbox.base_url if RECORDING else "http://127.0.0.1")
    play(CASSETTES, lambda: tour(calendly, clock, ids))
    calendly.close()
    sandbox.stop()


def test_the_cassette_holds_no_secret() -> None:
    text = (CASSETTES / "tour.yaml").read_text(encoding="utf-8")
    for word in ("uthorization", "sandbox-app-secret", "refresh-", "access-"):
        assert word not in text


def test_what_is_sent_fits_the_published_description() -> None:
    """Paths, query parameters by name and value, bodies by schema."""
    found = truth.sent()
    print(f"{len(found.kinds)} kinds of calls: {sorted(found.kinds)}")
    assert found.invalid == ()
    assert "POST /data_compliance/deletion/invitees" in found.kinds
    assert len(found.kinds) == 10


def test_the_measure_counts_what_these_tests_judge() -> None:
    told = truth.measure()
    print(told)
    assert (told.unread, told.invalid) == (0, 0)
    assert told.differences == told.explained
    assert told.bodies == truth.replay().bodies
