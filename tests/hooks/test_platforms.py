"""Each platform's own deliveries and handshakes, as its sandbox sends them, through the door of one daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.hooks.surroundings import SECRETS, House, house

NAMES = ("activecampaign", "calendly", "linkedin", "mailchimp", "outreach", "salesforce", "zoho")

Both = tuple[House, dict[str, Any]]


def fill(made: dict[str, Any]) -> None:
    made["activecampaign"].put("contacts", {"email": "a@people.example", "firstName": "Ana"})
    made["outreach"].put("prospects", {"firstName": "Ana", "emails": ["o@people.example"]})
    made["zoho"].put("leads", {"Email": "z@people.example", "Last_Name": "Z", "First_Name": "Ana"})
    made["mailchimp"].put("members", {"email_address": "m@people.example", "merge_fields": {"FNAME": "Ana"}})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with house(tmp_path_factory.mktemp("platforms"), *NAMES, fill=fill, approve=False) as found:
        yield found


def only(one: House, connection: str, object: str) -> str:
    """The id of the object's one record."""
    query = "select r.id from records r join streams s on s.id = r.stream where s.connection = ? and s.object = ?"
    with one.workspace.state.read() as tx:
        return str(tx.exec_driver_sql(query, (connection, object)).scalar_one())


def refused(one: House, name: str) -> float:
    return one.metric("closedloop_webhooks_total", connection=name, outcome="refused")


def test_activecampaign_is_believed_by_the_secret_at_the_end_of_its_address(both: Both) -> None:
    one, made = both[0], both[1]["activecampaign"]
    made.hook("update")
    id = only(one, "activecampaign", "contacts")
    made.edit("contacts", id, {"firstName": "Anna"})
    sent: list[bytes] = []

    def receive(url: str, body: bytes) -> int:
        sent.append(body)
        return one.send("activecampaign", body, tail="/" + urlsplit(url).path.rpartition("/")[2])

    made.deliver(receive)
    one.until(lambda: one.body("activecampaign", "contacts", id).get("first_name") == "Anna")
    for tail in ("", "/", "/sandbox-webhook-tokex", "?token=wrong"):
        assert one.send("activecampaign", sent[0], tail=tail) == 401
    assert refused(one, "activecampaign") == 4


def test_calendly_is_believed_by_its_signature_for_three_minutes(both: Both) -> None:
    one, made = both[0], both[1]["calendly"]
    made.hook("invitee.created")
    id = made.book("c@people.example", name="Cleo")
    sent: list[tuple[Mapping[str, str], bytes]] = []

    def receive(headers: Mapping[str, str], body: bytes) -> int:
        sent.append((headers, body))
        return one.send("calendly", body, headers)

    assert made.deliver(receive) == 1
    one.until(lambda: one.body("calendly", "invitees", id).get("email") == "c@people.example")
    [(headers, body)] = sent
    assert one.send("calendly", body, headers) == 200  # a replay inside the window: a hint, and no more
    told = headers["Calendly-Webhook-Signature"]
    old = told.replace(told.partition(",")[0], f"t={int(told.partition(',')[0][2:]) - 200}")
    assert one.send("calendly", body, {"Calendly-Webhook-Signature": old}) == 401
    assert one.send("calendly", body + b" ", headers) == 401
    assert refused(one, "calendly") == 2


def test_linkedin_challenges_the_address_first(both: Both) -> None:
    one, made = both[0], both[1]["linkedin"]

    def receive(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        query = urlsplit(url).query
        target = f"{one.base}/hooks/linkedin" + (f"?{query}" if query else "")
        answer = httpx.request(method, target, headers=dict(headers), content=body, trust_env=False)
        return answer.status_code, orjson.loads(answer.content) if answer.content else None

    made.hook()
    assert made.challenge_hooks(receive) == [200]
    [hook] = made.leads.hooks.values()
    assert hook["state"] == "valid"
    id = made.submit({"EMAIL": "l@people.example", "FIRST_NAME": "Lea"})
    assert made.deliver(receive) == 2
    one.until(lambda: one.body("linkedin", "leads", id).get("email") == "l@people.example")
    assert httpx.get(f"{one.base}/hooks/linkedin", trust_env=False).status_code == 401
    forged = httpx.get(f"{one.base}/hooks/linkedin?challengeCode=hmacsha256=[]", trust_env=False)
    assert (forged.status_code, forged.content) == (401, b"")
    assert made.account()["auth"]["client_secret"] not in str(receive("GET", "https://h/?challengeCode=abc", {}, b""))


def test_mailchimp_looks_at_the_address_and_signs(both: Both) -> None:
    one, made = both[0], both[1]["mailchimp"]
    assert httpx.get(f"{one.base}/hooks/mailchimp", trust_env=False).status_code == 200
    assert httpx.head(f"{one.base}/hooks/mailchimp", trust_env=False).status_code == 200
    id = only(one, "mailchimp", "members")
    made.edit("members", id, {"merge_fields": {"FNAME": "Mia"}})
    headers, body = made.delivery("profile", "m@people.example", SECRETS["mailchimp"][1])
    assert one.send("mailchimp", body, headers) == 200
    one.until(lambda: one.body("mailchimp", "members", id).get("first_name") == "Mia")
    assert one.send("mailchimp", body.replace(b"m%40", b"n%40"), headers) == 401


def test_outreach_signs_the_body(both: Both) -> None:
    one, made = both[0], both[1]["outreach"]
    made.hook("prospect")
    id = only(one, "outreach", "prospects")
    made.edit("prospects", id, {"firstName": "Otto"})
    sent: list[tuple[Mapping[str, str], bytes]] = []

    def receive(headers: Mapping[str, str], body: bytes) -> int:
        sent.append((headers, body))
        return one.send("outreach", body, headers)

    made.deliver(receive)
    one.until(lambda: one.body("outreach", "prospects", id).get("first_name") == "Otto")
    headers, body = sent[0]
    assert one.send("outreach", body.replace(b"Otto", b"Otta"), headers) == 401


def test_zoho_opens_its_channel_to_the_door_and_is_believed_by_its_token(both: Both) -> None:
    one, made = both[0], both[1]["zoho"]
    id = only(one, "zoho", "leads")
    made.edit("leads", id, {"First_Name": "Zoe"})
    sent: list[bytes] = []

    def receive(url: str, body: bytes) -> int:
        assert url == "https://hooks.example/hooks/zoho"
        sent.append(body)
        return one.send("zoho", body)

    assert made.deliver(receive) == 1
    one.until(lambda: one.body("zoho", "leads", id).get("first_name") == "Zoe")
    told = orjson.loads(sent[0])
    assert one.send("zoho", orjson.dumps({**told, "token": told["token"][:-1]})) == 401
    assert one.send("zoho", b"[" * 100_000) == 401  # no JSON, however deep


def test_salesforce_has_none(both: Both) -> None:
    assert both[0].send("salesforce", b"<soap/>") == 404


def test_every_platform_that_says_it_has_webhooks_is_tried_here() -> None:
    from connectors import registry

    told = {name for name in registry.names() if registry.facts(name).webhook}
    assert told == (set(NAMES) - {"salesforce"}) | {"hubspot"}
    for name in told:
        facts = registry.facts(name)
        assert facts.webhook
        assert all(set(facts.webhook.secrets) <= set(mode.secrets) for mode in facts.auth.values()), name
        assert "webhooks" not in facts.exemptions, name


def test_nothing_secret_and_nothing_personal_is_in_the_log(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = both
    one.send("outreach", b'{"data": {"type": "prospect", "id": 1, "secret": "p@people.example"}}', {"x": "y"})
    told = capsys.readouterr()
    assert "people.example" not in told.out + told.err
