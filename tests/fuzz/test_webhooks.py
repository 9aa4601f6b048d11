"""Whatever is delivered to a webhook, and wherever a pull is told to go on: notices and pages, or an error with a name.

Nothing without its platform's signature gives a notice. What bears a sound one may still be any bytes at all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import ClosedloopError
from config.secrets import Secret
from connectors import registry
from connectors.api import Notice, Request
from connectors.manifest import load as manifest_of
from connectors.sandbox import Sandbox
from connectors.sound import Sound
from mappings.compiler import read_mapping
from tests.connectors.surroundings import connect
from tests.fuzz.test_answers import JUNK

DELIVERIES = 150
"""Deliveries of each sort per platform."""
CURSORS = 60
"""Places to go on from, per platform."""

URL = "https://hooks.x.example/in"
KEY = b"shh"
WORD = Secret(KEY.decode())

Signer = Callable[[bytes, float], Mapping[str, str]]


def _hubspot(body: bytes, now: float) -> Mapping[str, str]:
    sent = str(int(now * 1000))
    digest = hmac.new(KEY, b"POST" + URL.encode() + body + sent.encode(), hashlib.sha256).digest()
    return {"X-HubSpot-Signature-v3": base64.b64encode(digest).decode(), "X-HubSpot-Request-Timestamp": sent}


def _mailchimp(body: bytes, now: float) -> Mapping[str, str]:
    sent = str(int(now))
    digest = hmac.new(KEY, sent.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Mailchimp-Signature": f"t={sent},v1={digest}"}


def _outreach(body: bytes, now: float) -> Mapping[str, str]:
    return {"Outreach-Webhook-Signature": hmac.new(KEY, body, hashlib.sha256).hexdigest()}


SIGNERS: Mapping[str, tuple[str, Signer, bytes]] = {
    "hubspot": ("client_secret", _hubspot, b'[{"subscriptionType":"contact.creation","objectId":7,"eventId":1}]'),
    "mailchimp": ("signing_secret", _mailchimp, b"type=unsubscribe&data%5Bemail%5D=ana%40x.io&data%5Breason%5D=manual"),
    "outreach": ("webhook_secret", _outreach, b'{"data":{"type":"prospect","id":1,"relationships":{}},"meta":{}}'),
}
"""Platforms whose webhooks are signed: the secret's name, how it signs, a sound delivery."""


@pytest.fixture(scope="module", params=sorted(registry.names()))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    clock = ManualClock(datetime(2026, 3, 1, 9, tzinfo=UTC))
    with registry.platform(request.param).sandbox(seed=5, clock=clock) as sandbox:
        yield sandbox


def opened(sandbox: Sandbox) -> Sound:
    name, _, _ = SIGNERS.get(sandbox.name, ("", None, None))
    auth = {**sandbox.account()["auth"], **({name: WORD} if name else {})}
    clock: Any = sandbox.clock
    return Sound(connect(sandbox, clock, auth=auth), sandbox.name, sandbox.name)


def garbled(body: bytes, random: Random) -> bytes:
    """The body with a piece cut out, doubled or replaced, one of its JSON's members made junk, or any bytes."""
    way = random.choice([0, 1, 2, 3, 3, 3, 3, 4])
    if way == 0:
        return random.randbytes(random.randrange(60))
    if way == 1:
        return orjson.dumps(random.choice(JUNK)) * random.choice([1, 1, 2]) if body[:1] in b"[{" else b"&=" * 50
    if way == 2:
        return b"[" * random.choice([5, 5000]) + body
    if way == 3 and body[:1] in b"[{" and (told := orjson.loads(body)):
        place = told[0] if isinstance(told, list) else told
        place[random.choice(list(place))] = random.choice(JUNK)
        return orjson.dumps(told)
    begin, end = sorted(random.randrange(len(body) + 1) for _ in range(2))
    return body[:begin] + random.choice([b"", body[begin:end] * 2, b"\x00", b"\xff", "é".encode()]) + body[end:]


def said(connector: Sound, request: Request) -> list[Notice] | None:
    """The notices; None where the delivery was refused by a name."""
    try:
        found = connector.verify(request)
    except ClosedloopError as error:
        assert error.what
        return None
    assert all(isinstance(notice.object, str) and isinstance(notice.id, str) for notice in found)
    return found


def test_what_bears_no_sound_signature_gives_no_notice(sandbox: Sandbox) -> None:
    connector = opened(sandbox)
    _, sign, body = SIGNERS.get(sandbox.name, ("", lambda body, now: {}, b"{}"))
    now = sandbox.clock.now().timestamp()
    for number in range(DELIVERIES):
        random = Random(f"forged/{sandbox.name}/{number}")
        headers = dict(sign(body, now))
        forged, sent = body, Request("POST", URL, headers, body)
        if headers and number % 3:
            name = random.choice(list(headers))
            junk = ["", "0", "t=,v1=", "é", "=" * 99, headers[name][:-1], f"{headers[name]}x", "x" * 5000]
            headers[name] = random.choice(junk)
            sent = Request("POST", URL, headers, body)
        else:
            while forged == body:
                forged = garbled(body, random)
            sent = Request("POST", URL, headers, forged)
        assert said(connector, sent) is None
    connector.close()


def test_any_delivery_with_a_sound_signature_is_read_or_refused(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    if sandbox.name not in SIGNERS:
        pytest.skip("no webhooks, or no signature of them to be made here")
    connector = opened(sandbox)
    _, sign, sound = SIGNERS[sandbox.name]
    now = sandbox.clock.now().timestamp()
    assert said(connector, Request("POST", URL, sign(sound, now), sound))
    told = []
    for number in range(DELIVERIES):
        body = garbled(sound, Random(f"signed/{sandbox.name}/{number}"))
        told.append(said(connector, Request("POST", URL, sign(body, now), body)))
    connector.close()
    refused = told.count(None)
    with capsys.disabled():
        print(f"\n{sandbox.name}: {2 * DELIVERIES} deliveries, {refused} of {DELIVERIES} signed ones refused", end=" ")


def test_a_pull_goes_on_from_any_cursor_or_says_why_not(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    connector = opened(sandbox)
    folder = registry.platform(sandbox.name).folder
    mapping, _ = read_mapping(folder / "mapping.yaml")
    facts = manifest_of(folder).objects
    objects = sorted(name for name in mapping.objects if name in facts and facts[name].pull)
    sound = 0
    for number in range(CURSORS):
        random = Random(f"cursor/{sandbox.name}/{number}")
        name = random.choice(objects)
        fields = [entry.remote for entry in mapping.objects[name].fields if entry.remote]
        last = [page.cursor for page in islice(connector.pull(name, None, fields), 3)][-1]
        try:
            list(islice(connector.pull(name, garbled(last.encode(), random).decode("utf-8", "replace"), fields), 3))
            sound += 1
        except ClosedloopError as error:
            assert error.what
    connector.close()
    with capsys.disabled():
        print(f"\n{sandbox.name}: {CURSORS} cursors, {sound} read on from", end=" ")
