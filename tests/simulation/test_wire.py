"""Every fault of the wire on every platform's first call: what a connector makes of it, and whom it speaks to."""

from __future__ import annotations

from contextlib import closing
from random import Random

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RetryLater,
)
from connectors import registry
from connectors.api import Account, Operation, Surroundings, Verb
from tests.connectors.surroundings import Budget, Tokens
from tests.simulation.pairs import START
from tests.simulation.wire import FAULTS, Wire, wired

NAMES = [name for name in registry.names() if name != "singer"]
PASSING = (RetryLater, InDoubt, QuotaExhausted)
REFUSED = {"login_lost": (AuthorizationLost, PermissionMissing), "expired": (AuthorizationLost,)}
"""Where the platform itself says that the credential is none."""
MOVED = {"activecampaign": (Misconfigured,)}
"""Where each account has an address of its own, which a redirect says to be wrong."""


def first_call(name: str, fault: str) -> tuple[ClosedloopError | None, Wire]:
    """What becomes of the first calls of a connector that was logged in before, each struck by the fault."""
    clock = ManualClock(START)
    sandbox = registry.platform(name).sandbox(seed=5, clock=clock, port=1)
    wire, told, tokens = Wire({name: sandbox}), sandbox.account(), Tokens()
    account = Account(name, name, told["auth"], told["settings"], sandbox.base_url)
    with wired(wire), closing(registry.platform(name).open(account, Surroundings(clock, Budget(), tokens))) as one:
        one.check()
        clock.advance(120)  # some platforms give no second token within the minute
        wire.reset(Random(1), {name: {fault: 1.0}})
        wire.calm = False
        try:
            one.check()
        except ClosedloopError as error:
            return error, wire
    return None, wire


@pytest.mark.parametrize("name", NAMES)
def test_no_fault_of_the_wire_is_taken_for_anything_but_a_bad_moment(name: str) -> None:
    """Nobody is sent to the settings or to the record for it, waits for ever, or follows a redirect to a stranger."""
    for fault in FAULTS:
        found, wire = first_call(name, fault)
        assert wire.met, fault
        assert wire.wrong == [], fault
        told = REFUSED.get(fault, MOVED.get(name, ()) if fault == "redirected" else ())
        assert found is None or isinstance(found, PASSING + told), (fault, found)


@pytest.mark.parametrize(
    ("name", "object", "field", "made"),
    [
        ("activecampaign", "contacts", "lastName", {"email": "p@x.example", "lastName": "Before"}),
        ("zoho", "leads", "Last_Name", {"Email": "p@x.example", "Last_Name": "Before", "Company": "C"}),
    ],
)
def test_an_edit_between_a_write_and_its_reading_back_is_not_taken_for_what_became_of_it(
    name: str, object: str, field: str, made: dict[str, str]
) -> None:
    clock = ManualClock(START)
    sandbox = registry.platform(name).sandbox(seed=5, clock=clock, port=1)
    wire, told = Wire({name: sandbox}), sandbox.account()
    id = sandbox.put(object, made)
    account = Account(name, name, told["auth"], told["settings"], sandbox.base_url)

    def meanwhile(where: str) -> None:
        if where == "call.after" and wire.doing == "write":
            clock.advance(5)
            sandbox.edit(object, id, {field: "Theirs"})

    around = Surroundings(clock, Budget(), Tokens())
    with wired(wire), closing(registry.platform(name).open(account, around)) as one:
        for between, holds in ((lambda where: None, "Ours"), (meanwhile, None)):
            wire.calm, wire.between = False, between
            [result] = one.push([Operation("u", Verb.UPDATE, object, {field: "Ours"}, id=id)], [field])
            assert result.error is None
            assert (result.record and orjson.loads(result.record.raw)[field]) == holds


def test_who_has_no_end_to_its_waiting_or_asks_a_stranger_is_noted() -> None:
    import httpx
    import urllib3

    wire = Wire({})
    with wired(wire):
        with pytest.raises(httpx.ConnectError), httpx.Client(timeout=None) as client:
            client.get("https://elsewhere.example/")
        with pytest.raises(urllib3.exceptions.HTTPError):
            urllib3.PoolManager(retries=False, timeout=3.0).request("GET", "https://elsewhere.example/")
    assert [one.partition(":")[0] for one in wire.wrong] == ["P25", "F7", "F7"]


def test_a_certificate_is_a_matter_of_the_settings_and_a_broken_connection_is_not() -> None:
    from connectors.retry import is_of_certificate

    assert is_of_certificate(Exception("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    assert not is_of_certificate(Exception("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"))
