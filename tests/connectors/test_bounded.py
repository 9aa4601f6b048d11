"""A platform, or whoever sits in its place, that sends without end: every connector stops reading, and says so."""

from __future__ import annotations

import gzip
import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from config.clock import ManualClock
from config.errors import InDoubt, QuotaExhausted, RetryLater
from connectors import bounded, registry
from connectors.api import Connector
from connectors.bounded import Excess
from connectors.mailchimp import batches
from connectors.retry import ATTEMPTS
from connectors.sandbox import Answer, FaultKind, Sandbox
from tests.connectors.surroundings import connect

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
NAMES = [name for name in sorted(registry.names()) if name != "singer"]
"""Those that speak HTTP: a tap is a process."""
GZIP = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
"""How a gzip file begins that tells no name and no time."""
PACKED = {"content-type": "application/json", "content-encoding": "gzip"}


@cache
def bomb(megabytes: int) -> bytes:
    """So much JSON, packed to a thousandth. A million spaces are packed once: after a full flush a piece of it stands
    by itself, and may stand there again."""
    packer, million = zlib.compressobj(9, wbits=-zlib.MAX_WBITS), b" " * 1_048_576
    begins, spaces = (packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH) for part in (b'{"a":"', million))
    ends = packer.compress(b'"}') + packer.flush()
    check, size = zlib.crc32(b'{"a":"'), megabytes * len(million) + 8
    for _ in range(megabytes):
        check = zlib.crc32(million, check)
    check = zlib.crc32(b'"}', check)
    return GZIP + begins + spaces * megabytes + ends + struct.pack("<LL", check, size)


def causes(error: BaseException | None) -> set[type]:
    """The kinds of an error and of all that led to it."""
    found: set[type] = set()
    while error is not None and type(error) not in found:
        found.add(type(error))
        error = error.__cause__ or error.__context__
    return found


def _is_cut_off(error: Exception) -> bool:
    """Whether it came of that. Mailchimp's SDK hands errors on without what led to them."""
    return Excess in causes(error) or str(error).startswith("Mailchimp cannot be reached")


@pytest.fixture(params=NAMES)
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Sandbox, Connector]]:
    with (
        registry.platform(request.param).sandbox(seed=3, clock=CLOCK) as sandbox,
        closing(connect(sandbox, CLOCK)) as one,
    ):
        yield sandbox, one


def held() -> int:
    """Megabytes of memory at the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def test_what_unpacks_to_too_much_is_not_read(
    opened: tuple[Sandbox, Connector], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, one = opened
    monkeypatch.setattr(bounded, "LARGEST", 100_000)
    sandbox.inject(FaultKind.ANSWER, "", times=10**6, answer=Answer(200, bomb(1), PACKED))
    with pytest.raises((RetryLater, InDoubt)) as told:
        one.check()
    assert _is_cut_off(told.value)


@pytest.mark.parametrize("name", ["hubspot", "calendly"])
def test_a_thousand_million_bytes_out_of_one_take_no_memory(name: str) -> None:
    with registry.platform(name).sandbox(seed=3, clock=CLOCK) as sandbox, closing(connect(sandbox, CLOCK)) as one:
        before = held()
        sandbox.inject(FaultKind.ANSWER, "", times=1, answer=Answer(200, bomb(1000), PACKED))
        one.check()  # asked again
        assert held() - before < 400


@pytest.mark.parametrize("status", [200, 400, 401, 503])
@pytest.mark.parametrize("name", ["hubspot", "mailchimp", "salesforce", "outreach"])
def test_what_is_packed_twice_is_not_unpacked(name: str, status: int) -> None:
    answer = Answer(status, gzip.compress(gzip.compress(b"{}")), {**PACKED, "content-encoding": "gzip, gzip"})
    with registry.platform(name).sandbox(seed=3, clock=CLOCK) as sandbox, closing(connect(sandbox, CLOCK)) as one:
        sandbox.inject(FaultKind.ANSWER, "", times=10**6, answer=answer)
        with pytest.raises((RetryLater, InDoubt)) as told:
            one.check()
        assert _is_cut_off(told.value)


@pytest.mark.parametrize("name", ["hubspot", "mailchimp", "salesforce"])
def test_a_write_whose_answer_is_cut_off_is_in_doubt(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST", 100_000)
    large = Answer(200, b'{"a":"' + b" " * 200_000 + b'"}', {"content-type": "application/json"})
    with registry.platform(name).sandbox(seed=3, clock=CLOCK) as sandbox, closing(connect(sandbox, CLOCK)) as one:
        one.check()
        fault = sandbox.inject(FaultKind.ANSWER, "POST .*/things", times=99, answer=large)
        client: Any = one._client  # type: ignore[attr-defined]
        with pytest.raises(InDoubt):
            client.call("POST", "/things", body={"a": 1}, repeatable=False)
        assert fault.times == 98


def test_an_answer_that_drips_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LONGEST", -1.0)
    with pytest.raises(Excess, match="within"):
        list(bounded.bounded([b"a"], {}))
    assert list(bounded.bounded([], {})) == []


def test_results_of_a_batch_that_unpack_to_too_much_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LARGEST_FILE", 1_048_576)
    before = held()
    with pytest.raises(batches._BROKEN):
        list(batches._results(bomb(1000)))
    assert held() - before < 100


def test_a_wait_of_a_thousand_million_seconds_is_not_waited(opened: tuple[Sandbox, Connector]) -> None:
    sandbox, one = opened
    slow = Answer(429, b"{}", {"retry-after": "1000000000", "content-type": "application/json"})
    sandbox.inject(FaultKind.ANSWER, "", times=10**6, answer=slow)
    began = CLOCK.now()
    with pytest.raises((RetryLater, QuotaExhausted)) as told:
        one.check()
    assert _waits(told.value) <= 86_400
    assert (CLOCK.now() - began).total_seconds() <= ATTEMPTS * 60


def _waits(told: Exception) -> float:
    if isinstance(told, QuotaExhausted):
        return (told.until - CLOCK.now()).total_seconds() if told.until else 0.0
    return told.after if isinstance(told, RetryLater) else 0.0
