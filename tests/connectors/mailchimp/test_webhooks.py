"""Mailchimp's webhooks: whom to believe."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost
from config.secrets import Secret
from connectors.api import Request
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.mailchimp.sandbox_login import KEY
from tests.connectors.surroundings import connect


def test_a_webhook_is_believed_only_with_its_signature(chimp: MailchimpSandbox, clock: ManualClock) -> None:
    connector = connect(chimp, clock, auth={"api_key": KEY, "signing_secret": Secret("shh")})
    headers, body = chimp.delivery("unsubscribe", "ana@x.io", "shh", action="unsub", reason="manual")
    assert connector.verify(Request("POST", "u", headers, body))[0].id == "ana@x.io"
    for wrong in (Request("POST", "u", headers, body + b"x"), Request("POST", "u", {}, body)):
        with pytest.raises(AuthorizationLost):
            connector.verify(wrong)
    clock.advance(400)
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", headers, body))
    connector.close()


def test_a_webhook_without_a_signature_is_believed_by_the_token_of_its_address(
    chimp: MailchimpSandbox, clock: ManualClock
) -> None:
    _, body = chimp.delivery("profile", "ana@x.io", "shh")
    connector = connect(chimp, clock, auth={"api_key": KEY, "webhook_token": Secret("long-and-random")})
    assert connector.verify(Request("POST", "https://h/hooks/m/long-and-random", {}, body))[0].id == "ana@x.io"
    for url in ("https://h/hooks/m", "https://h/hooks/m/long-and-randon", "https://h/hooks/m/?token=long-and-random"):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", url, {}, body))
    connector.close()
    secrets = {"signing_secret": Secret("shh"), "webhook_token": Secret("long-and-random")}
    both = connect(chimp, clock, auth={"api_key": KEY, **secrets})
    with pytest.raises(AuthorizationLost):  # signed ones are to come: the token alone proves nothing any more
        both.verify(Request("POST", "https://h/hooks/m/long-and-random", {}, body))
    both.close()


@pytest.mark.parametrize("header", ["t=²,v1=x", "t=1,v1=ü", "", "t=,v1=", "nonsense"])
def test_a_hostile_signature_is_refused_by_name(chimp: MailchimpSandbox, clock: ManualClock, header: str) -> None:
    connector = connect(chimp, clock, auth={"api_key": KEY, "signing_secret": Secret("shh")})
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "u", {"X-Mailchimp-Signature": header}, b"x"))
    connector.close()
