"""The Calendly sandbox itself: its habits, and that it repeats itself."""

from __future__ import annotations

from typing import Any

import orjson

from config.clock import ManualClock
from connectors.calendly.sandbox import CalendlySandbox
from connectors.sandbox import Call
from tests.connectors.calendly.kit import ahead


def call(calendly: CalendlySandbox, method: str, path: str, body: Any = None, **query: str) -> Any:
    token = {"authorization": f"Bearer {calendly.account()['auth']['access_token']}"}
    answer = calendly.answer(Call(method, path, query, token, orjson.dumps(body) if body is not None else b""))
    return answer.status, orjson.loads(answer.body) if answer.body else None


def test_the_sandbox_has_the_habits_of_calendly(calendly: CalendlySandbox) -> None:
    whose = {"organization": calendly.get("users", calendly.user)["current_organization"]}
    status, body = call(calendly, "GET", "/scheduled_events", **whose, count="101")
    assert (status, body["details"][0]["parameter"]) == (400, "count")
    assert call(calendly, "GET", "/scheduled_events")[0] == 400
    assert call(calendly, "GET", "/scheduled_events", **whose, sort="updated_at:asc")[0] == 400
    for n in range(3):
        calendly.book(f"p{n}@x.io")
    _, body = call(calendly, "GET", "/scheduled_events", **whose, count="2")
    token = body["pagination"]["next_page_token"]
    assert call(calendly, "GET", "/scheduled_events", **whose, count="2", page_token=token)[0] == 200
    assert call(calendly, "GET", "/scheduled_events", **whose, count="1", page_token=token)[0] == 400
    hook = {"url": "https://x.example/", "events": ["invitee.created"], **whose, "scope": "organization"}
    status, body = call(calendly, "POST", "/webhook_subscriptions", hook)
    assert (status, "signing_key" in body["resource"]) == (201, False)
    assert call(calendly, "POST", "/webhook_subscriptions", hook)[0] == 409
    path = body["resource"]["uri"].removeprefix("https://api.calendly.com")
    assert call(calendly, "DELETE", path) == (204, None)
    assert call(calendly, "DELETE", path)[0] == 404
    missed = {"invitee": calendly.all("invitees")[0]["uri"]}
    _, body = call(calendly, "POST", "/invitee_no_shows", missed)
    assert call(calendly, "POST", "/invitee_no_shows", missed)[0] == 409
    assert call(calendly, "DELETE", body["resource"]["uri"].removeprefix("https://api.calendly.com"))[0] == 204
    assert calendly.all("invitees")[0]["no_show"] is None


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled() -> CalendlySandbox:
        sandbox = CalendlySandbox(seed=4, clock=clock)
        sandbox.move(sandbox.put("invitees", {"email": "a@x.io"}), ahead(clock, days=1))
        return sandbox

    one, two = filled(), filled()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    one.book("b@x.io")
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state
