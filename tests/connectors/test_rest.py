"""The HTTP that platforms without an SDK share: what is retried, what is in doubt, where credentials go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    Misconfigured,
    RecordRejected,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Account, Surroundings
from connectors.oauth import KEPT, RenewedToken, pair_of
from connectors.rest import Lane, Platform, Rest
from connectors.retry import GATEWAYS, asked_wait
from connectors.sandbox import Answer, Call, FaultKind, Sandbox
from tests.connectors.surroundings import Budget, Tokens


class Echo(Sandbox):
    """A platform that takes one token and counts what it is told."""

    name = "echo"

    def route(self) -> None:
        self.valid, self.given, self.things, self.stubborn = "a1", 1, 0, False
        self.on("GET", "/things", lambda call: Answer.of({"things": self.things}))
        self.on("POST", "/things", self._make)
        self.on("POST", "/token", self._token)

    def _make(self, call: Call) -> Answer:
        self.things += 1
        return Answer.of({"id": self.things}, 201)

    def _token(self, call: Call) -> Answer:
        if call.form.get("refresh_token") != f"r{self.given}":
            return Answer.of({"error": "invalid_grant"}, 400)
        self.given += 1
        self.valid = f"a{self.given}"
        return Answer.of({"access_token": self.valid, "refresh_token": f"r{self.given}", "expires_in": 3600})

    def before(self, call: Call) -> Answer | None:
        good = call.headers.get("authorization") == f"Bearer {self.valid}" and not self.stubborn
        if call.path != "/token" and not good:
            return Answer.of({"error": "unauthorized"}, 401)
        return None

    def account(self) -> dict[str, Any]:
        return {}

    def refuse(self, call: Call, status: int, message: str) -> Answer:
        return Answer.of({"error": message}, status)

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None: ...


def _classify(status: int, headers: Mapping[str, str], told: Any) -> ClosedloopError:
    if status == 401:
        return AuthorizationLost("Refused.")
    if status == 429:
        return RetryLater("Slow down.", after=asked_wait(headers, 1.0), code="rate_limit")
    if status in GATEWAYS:
        return RetryLater("Broken.", code="server_error")
    return RecordRejected("No.", code=str(status))


_ECHO = Platform("Echo", "https://echo.invalid", _classify, {"general": Lane(100, 10)})


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as sandbox:
        assert isinstance(sandbox, Echo)
        yield sandbox


class World:
    def __init__(self, echo: Echo) -> None:
        self.budget, self.tokens = Budget(), Tokens()
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        account = Account("mine", "echo", _AUTH, base_url=echo.base_url)
        around = Surroundings(self.clock, self.budget, self.tokens)
        self.rest = Rest(_ECHO, account, around)
        self.rest.credentials = RenewedToken(account, around, self.exchange)

    def exchange(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            told: dict[str, Any] = self.rest.call("POST", "/token", form=form, credentials=False).told
        except RecordRejected as error:
            raise AuthorizationLost("The refresh token is refused.") from error
        return told


@pytest.fixture
def world(echo: Echo) -> Iterator[World]:
    made = World(echo)
    with closing(made.rest):
        yield made


_AUTH: dict[str, Secret | str] = {"client_id": "c", "client_secret": Secret("s"), "refresh_token": Secret("r1")}


def test_a_token_is_renewed_once_and_the_rotated_pair_is_kept(echo: Echo, world: World) -> None:
    assert world.rest.get("/things").told == {"things": 0}
    echo.valid = "revoked"
    assert world.rest.get("/things").status == 200
    assert orjson.loads(world.tokens[KEPT])["refresh"] == "r3"
    echo.stubborn, calls = True, world.rest.calls
    with pytest.raises(AuthorizationLost):
        world.rest.get("/things")  # the new token is refused too: asked for once, not for ever
    assert world.rest.calls == calls + 3


def test_a_token_that_ran_out_is_renewed_before_it_is_used(echo: Echo, world: World) -> None:
    world.rest.get("/things")
    world.clock.advance(3590)
    world.rest.get("/things")
    assert [line.path for line in echo.log] == ["/token", "/things", "/token", "/things"]


def test_what_another_process_renewed_is_used(echo: Echo, world: World) -> None:
    other = RenewedToken(
        Account("mine", "echo", _AUTH), Surroundings(world.clock, world.budget, world.tokens), world.exchange
    )
    world.rest.get("/things")
    assert other.headers() == {"authorization": "Bearer a2"}
    assert [line.path for line in echo.log].count("/token") == 1


def test_a_replaced_refresh_token_goes_before_the_stored_one(echo: Echo, world: World) -> None:
    world.rest.get("/things")
    echo.given = 7
    account = Account("mine", "echo", {**_AUTH, "refresh_token": Secret("r7")})
    world.rest.credentials = RenewedToken(
        account, Surroundings(world.clock, world.budget, world.tokens), world.exchange
    )
    assert world.rest.get("/things").status == 200


def test_a_token_that_is_said_to_live_for_ever_is_kept_for_a_year() -> None:
    told = {"access_token": "a", "expires_in": 10**18}
    kept = orjson.loads(pair_of(told, "first", "refresh", datetime(2026, 1, 1, tzinfo=UTC)))
    assert kept["expires"].startswith("2027-01-02")


def test_a_write_without_an_answer_is_in_doubt_and_not_repeated(echo: Echo, world: World) -> None:
    for kind in (FaultKind.LOST_ANSWER, FaultKind.TRUNCATED, FaultKind.HTML):
        before = len([line for line in echo.log if line.method == "POST" and line.path == "/things"])
        echo.inject(kind, "POST /things")
        with pytest.raises(InDoubt):
            world.rest.call("POST", "/things", json={})
        after = len([line for line in echo.log if line.method == "POST" and line.path == "/things"])
        assert after - before == (0 if kind is FaultKind.HTML else 1)
    echo.inject("answer", "POST /things", answer=Answer.of({}, 503))
    with pytest.raises(InDoubt):
        world.rest.call("POST", "/things", json={})


def test_a_read_and_a_repeatable_write_are_tried_again(echo: Echo, world: World) -> None:
    echo.inject("no_answer", "GET /things")
    echo.inject("answer", "POST /things", answer=Answer.of({}, 502))
    assert world.rest.get("/things").status == 200
    assert world.rest.call("POST", "/things", json={}, repeatable=True).told == {"id": 1}


@pytest.mark.parametrize(("lost", "then"), [(503, 401), (503, 429), (503, 503), (200, 401), (408, 403), (525, 409)])
def test_a_write_that_may_be_repeated_is_in_doubt_where_it_is_refused_then(
    echo: Echo, world: World, lost: int, then: int
) -> None:
    """What was done may pass for never sent otherwise, and be taken for a person's edit when it is read back."""
    echo.inject("html" if lost == 200 else "answer", "POST /things", answer=Answer.of({}, lost))
    echo.inject("answer", "POST /things", answer=Answer.of({}, then), times=9)
    with pytest.raises(InDoubt):
        world.rest.call("POST", "/things", json={}, repeatable=True, writes=True)
    assert world.rest.get("/things").told == {"things": 0}


def test_a_limit_blocks_the_shared_budget(echo: Echo, world: World) -> None:
    echo.inject("answer", "GET /things", answer=Answer.of({}, 429, {"retry-after": "7"}))
    world.rest.get("/things")
    assert world.budget.blocked == [7.0]
    assert world.budget.taken == world.rest.calls


def test_a_link_to_another_host_is_not_followed(echo: Echo, world: World) -> None:
    with pytest.raises(RetryLater, match="another host"):
        world.rest.get("https://evil.invalid/next")
    assert world.rest.get(echo.base_url + "/things").status == 200


def test_a_redirect_is_not_followed_and_blames_no_record(echo: Echo, world: World) -> None:
    world.rest.get("/things")
    elsewhere = {"location": "https://evil.invalid/things"}
    echo.inject(FaultKind.ANSWER, "/things", times=99, answer=Answer(302, b"", elsewhere))
    for method in ("GET", "POST"):
        with pytest.raises(RetryLater, match="redirect"):
            world.rest.call(method, "/things", json={} if method == "POST" else None)
    assert echo.things == 0


def test_an_untrusted_certificate_is_a_matter_of_the_settings() -> None:
    class Secure(Echo):
        tls = True

    with Secure() as sandbox:
        assert isinstance(sandbox, Echo)
        world = World(sandbox)
        with closing(world.rest), pytest.raises(Misconfigured, match="certificate"):
            world.rest.call("GET", "/things", credentials=False)


@pytest.mark.parametrize(
    ("told", "seconds"), [("5", 5.0), ("", 2.0), ("-3", 2.0), ("99999999999", 3600.0), ("Wed, 21 Oct", 2.0)]
)
def test_what_retry_after_may_say(told: str, seconds: float) -> None:
    assert asked_wait({"retry-after": told}, 2.0) == seconds
