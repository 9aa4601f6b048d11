"""What goes wrong on the way, and the SDK's defects that must stay outside."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest
from simple_salesforce.api import Salesforce

from config.clock import ManualClock
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RetryLater,
)
from config.secrets import Secret
from connectors.api import Account, Operation, Surroundings, Verb
from connectors.salesforce import errors, platform
from connectors.salesforce.client import Session
from connectors.salesforce.push import HEADERS
from connectors.salesforce.sandbox import SalesforceSandbox
from connectors.sandbox import Answer, Call, FaultKind
from tests.connectors.salesforce.conftest import Budget, Open

FIELDS = ["Email"]


def pull(connector: Any) -> list[Any]:
    return [record for page in connector.pull("leads", None, FIELDS) for record in page.records]


def put(org: SalesforceSandbox, n: int = 1, last: str = "L") -> str:
    return org.put("leads", {"Email": f"p{n}@example.com", "LastName": last, "Company": "C"})


@pytest.mark.parametrize("kind", ["html", "truncated", "charset", "no_answer", "lost_answer"])
def test_a_broken_answer_is_asked_for_again(org: SalesforceSandbox, open_org: Open, kind: str) -> None:
    put(org, last="Müller")
    connector = open_org()
    org.inject(kind, "/query")
    [record] = next(iter(connector.pull("leads", None, ["LastName"]))).records
    assert orjson.loads(record.raw)["LastName"] == "Müller"


@pytest.mark.parametrize("kind", ["html", "truncated", "charset", "no_answer"])
def test_an_answer_that_stays_broken_is_a_retry_later(org: SalesforceSandbox, open_org: Open, kind: str) -> None:
    put(org, last="Müller")
    org.inject(kind, "/query", times=99)
    with pytest.raises(RetryLater) as caught:
        list(open_org().pull("leads", None, ["LastName"]))
    assert caught.value.connection == "sf"


def test_sdk_charset_defect_706(org: SalesforceSandbox, open_org: Open) -> None:
    """The SDK trusts the charset that a header claims; we decode the bytes, which are always UTF-8."""
    id = put(org, last="Žižek")

    def mislabelled(call: Call) -> Answer:
        answer = org.answer(call)
        return Answer(answer.status, answer.body, {"content-type": "application/json;charset=ISO-8859-1"})

    org.inject("answer", "/query", answer=mislabelled)
    [record] = next(iter(open_org().pull("leads", None, ["LastName"]))).records
    assert (record.id, orjson.loads(record.raw)["LastName"]) == (id, "Žižek")


def test_concurrency_waits_and_blocks_the_budget(
    org: SalesforceSandbox, open_org: Open, surroundings: Surroundings, clock: ManualClock
) -> None:
    put(org)
    connector = open_org()
    org.concurrent_refusals = 2
    before = clock.now()
    assert len(pull(connector)) == 1
    assert (clock.now() - before).total_seconds() >= 10
    assert isinstance(surroundings.budget, Budget)
    assert surroundings.budget.blocked == [5.0, 5.0]


def test_the_daily_limit_is_a_quota(org: SalesforceSandbox, open_org: Open) -> None:
    org.daily_limit = 0
    with pytest.raises(QuotaExhausted):
        pull(open_org())
    assert len([line for line in org.log if "/query" in line.path]) == 1


@pytest.mark.parametrize("path", ["/services/data", "/services/oauth2/token"])
def test_a_redirect_is_not_followed(path: str, org: SalesforceSandbox, open_org: Open) -> None:
    """The client that the SDK builds on follows them, with what was to be written, to whatever host they name."""
    elsewhere = {"location": f"{org.base_url}/elsewhere"}
    org.inject(FaultKind.ANSWER, path, times=99, answer=Answer(307, b"", elsewhere))
    with pytest.raises(RetryLater):
        open_org().check()
    assert not [line for line in org.log if "elsewhere" in line.path]


def test_an_untrusted_certificate_is_a_setting(org: SalesforceSandbox, surroundings: Surroundings) -> None:
    account = Account("sf", "salesforce", org.account()["auth"], {}, org.base_url, "")
    connector = platform.open(account, surroundings)
    with pytest.raises(Misconfigured, match="certificate") as caught:
        connector.check()
    assert "ca_file" in caught.value.fix
    connector.close()


def test_nobody_listening_is_a_retry_later(surroundings: Surroundings) -> None:
    auth: dict[str, Secret | str] = {
        "mode": "session",
        "access_token": Secret("x"),
        "instance_url": "https://127.0.0.1:9",
    }
    connector = platform.open(Account("sf", "salesforce", auth), surroundings)
    [result] = connector.push([Operation("a", Verb.CREATE, "tasks", {"Subject": "x"})], [])
    assert isinstance(result.error, RetryLater), "never sent, so not in doubt"
    connector.close()


def test_sdk_forces_https_defect(org: SalesforceSandbox, surroundings: Surroundings) -> None:
    """The SDK turns an http address into https without a word; here it is a mistake with a name."""
    url = org.base_url.replace("https", "http")
    assert Salesforce(session_id="x", instance_url=url).base_url.startswith("https://")
    connector = platform.open(Account("sf", "salesforce", org.account()["auth"], {}, url), surroundings)
    with pytest.raises(Misconfigured, match="only https"):
        connector.check()
    connector.close()


def test_sdk_missing_timeout_defect(org: SalesforceSandbox, open_org: Open) -> None:
    """The SDK waits for ever; our session gives each call a limit, and a read that hits it is tried again."""
    put(org)
    connector = open_org(timeout=0.3)
    connector.describe("leads")
    org.inject("slow", "/query", seconds=1.0)
    assert len(pull(connector)) == 1
    assert Session(60, "").timeout == (10.0, 60)


def test_sdk_401_loop_defect(org: SalesforceSandbox, open_org: Open) -> None:
    """SFType asks again without end on 401; here there is one log-in, one more try, and the end."""
    connector = open_org()
    connector.describe("contacts")
    refused = Answer.of([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], 401)
    org.inject("answer", "/services/data", times=1000, answer=refused)
    before = connector.calls
    with pytest.raises(AuthorizationLost):
        connector.describe("leads")
    assert connector.calls - before == 3


def test_a_session_that_ends_is_renewed_once_for_each_end(org: SalesforceSandbox, open_org: Open) -> None:
    put(org)
    connector = open_org()
    assert len(pull(connector)) == 1
    org.expire_sessions()
    assert len(pull(connector)) == 1
    assert org.login.given == 2


def test_sdk_dropped_headers_defect(org: SalesforceSandbox, open_org: Open) -> None:
    """The SDK's repeat after 401 loses our headers; a duplicate rule would then answer without ids."""
    connector = open_org()
    connector.describe("leads")
    org.expire_sessions()
    seen: list[str] = []

    def noting(call: Call) -> Answer:
        seen.append(call.headers.get("sforce-duplicate-rule-header", ""))
        return org.answer(call)

    org.inject("answer", "composite", times=9, answer=noting)
    operation = Operation("a", Verb.CREATE, "leads", {"LastName": "L", "Company": "C"}, match={"Closedloop_Id__c": "1"})
    [result] = connector.push([operation], [])
    assert result.created
    assert seen == [HEADERS["Sforce-Duplicate-Rule-Header"]] * 2


def test_long_lists_are_split_below_the_uri_limit(org: SalesforceSandbox, open_org: Open) -> None:
    values = [f"somebody-with-a-long-name-{n}'+&%@example-with-a-long-domain.com" for n in range(600)]
    assert open_org().read("leads", "Email", values, ["Email", "LastName"]) == {}
    assert {line.status for line in org.log} == {200}
    assert len([line for line in org.log if "/query" in line.path]) > 3


@pytest.mark.parametrize(
    "value", ["' OR Name LIKE '%", "\\", "\\' OR Id != '", "a'b", 'x"y', "%", "_", "line\nbreak", "{0}", "{value}"]
)
def test_values_cannot_break_out_of_a_query(org: SalesforceSandbox, open_org: Open, value: str) -> None:
    put(org, last="Somebody")
    assert open_org().read("leads", "LastName", [value], []) == {}
    org.put("leads", {"LastName": value, "Company": "C"})
    assert len(open_org().read("leads", "LastName", [value], [])) == 1


@pytest.mark.parametrize("name", ["Id FROM User --", "a b", "Name)", "(SELECT Id FROM Contacts)", "", "1a"])
def test_names_cannot_break_out_of_a_query(org: SalesforceSandbox, open_org: Open, name: str) -> None:
    with pytest.raises(Misconfigured, match="no name of a Salesforce field"):
        list(open_org().pull("leads", None, [name]))
    assert not [line for line in org.log if "/query" in line.path]


def test_an_unknown_field_is_named(org: SalesforceSandbox, open_org: Open) -> None:
    with pytest.raises(PermissionMissing) as caught:
        list(open_org().pull("leads", None, ["Email", "Nope__c"]))
    assert (caught.value.field, caught.value.object) == ("Nope__c", "leads")


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", PermissionMissing),
        (503, "SERVER_UNAVAILABLE", "maintenance", RetryLater),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long.", RetryLater),
        (401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", AuthorizationLost),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", QuotaExhausted),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", RetryLater),
        (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred", RetryLater),
        (410, "UNSUPPORTED_API_VERSION", "gone", PermissionMissing),
    ],
)
def test_every_code_has_its_class(status: int, code: str, message: str, kind: type[ClosedloopError]) -> None:
    body = [{"message": message, "errorCode": code}]
    error = errors.of_call(status, body, connection="sf", object="leads", is_read=True)
    assert type(error) is kind


def test_secrets_do_not_show(org: SalesforceSandbox, open_org: Open, capsys: pytest.CaptureFixture[str]) -> None:
    connector = open_org(auth={"client_secret": Secret("very-secret-1")})
    with pytest.raises(AuthorizationLost) as caught:
        connector.check()
    told = capsys.readouterr()
    assert "very-secret-1" not in f"{caught.value} {caught.value!r} {told.out} {told.err}"
    assert threading.active_count() < 50
