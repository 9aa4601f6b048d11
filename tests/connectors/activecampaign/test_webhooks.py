"""ActiveCampaign's webhooks: whom to believe."""

from __future__ import annotations

import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost
from config.secrets import Secret
from connectors.activecampaign.sandbox import HOOK_TOKEN, HOOK_URL, ActiveCampaignSandbox
from connectors.api import Connector, Request
from tests.connectors.surroundings import connect


def test_webhooks_are_believed_by_the_token_of_their_address_only(
    ac: ActiveCampaignSandbox, connector: Connector, clock: ManualClock
) -> None:
    ac.hook("update", "subscribe", "unsubscribe", "contact_tag_added", "deal_update")
    person = ac.put("contacts", {"email": "a@x.io"})
    deal = ac.deal("d", [person])
    ac.edit("contacts", person, {"firstName": "A", "lists": {ac.list: "1"}, "tags": ["t"]})
    ac.edit("deals", deal, {"title": "D"})
    got: list[list[tuple[str, str]]] = []

    def receive(url: str, body: bytes) -> int:
        got.append([(n.object, n.id) for n in connector.verify(Request("POST", url, {}, body))])
        return 500  # it comes once, whatever the answer

    assert ac.deliver(receive) == 4
    assert got == [[("contacts", person)]] * 3 + [[("deals", deal), ("deal_contacts", deal)]]
    assert ac.deliver(receive) == 0
    body = b"type=update&contact[id]=7&contact[email]=a%40x.io"
    for url in (HOOK_URL, f"https://x.example/hook?token={HOOK_TOKEN}"):
        assert [notice.id for notice in connector.verify(Request("POST", url, {}, body))] == ["7"]
    for url in ("https://x.example/hook", f"{HOOK_URL}x", f"https://{HOOK_TOKEN}/", "https://x.example/hook?token=ä"):
        with pytest.raises(AuthorizationLost):
            connector.verify(Request("POST", url, {}, body))
    bare = connect(ac, clock, auth={"url": "https://acme.api-us1.com", "api_key": Secret("k")})
    with pytest.raises(AuthorizationLost, match="webhook_token"):
        bare.verify(Request("POST", HOOK_URL, {}, body))
    bare.close()
    assert connector.verify(Request("POST", HOOK_URL, {}, b"type=list_add&contact[id]=x&deal[id]=0\xff")) == []
    ac.edit("contacts", person, {"firstName": "B"})
    assert ac.deliver(lambda url, body: 410) == 1
    assert ac.all("webhooks") == []  # the hook is gone for good
