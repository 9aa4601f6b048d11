"""The Zoho sandbox itself: it is as narrow as Zoho, and repeats itself."""

from __future__ import annotations

from datetime import UTC, datetime

from config.clock import ManualClock, stamp
from connectors.api import Connector
from connectors.zoho.sandbox import ZohoSandbox
from tests.connectors.zoho.kit import asked, lead, queried


def test_lists_and_queries_are_as_narrow_as_zoho_s(zoho: ZohoSandbox, connector: Connector) -> None:
    connector.check()
    for number in range(3):
        lead(zoho, f"p{number}@x.io")
    assert asked(zoho, "Leads")[1]["code"] == "REQUIRED_PARAM_MISSING"
    assert asked(zoho, "Leads", fields=",".join(["Email"] * 51))[1]["code"] == "LIMIT_EXCEEDED"
    assert asked(zoho, "Leads", fields="Email", page="11")[1]["code"] == "DISCRETE_PAGINATION_LIMIT_EXCEEDED"
    assert asked(zoho, "Contacts", fields="Email") == (204, None)
    assert asked(zoho, "Nosuch", fields="Email")[1]["code"] == "INVALID_MODULE"
    token = asked(zoho, "Leads", fields="Email", per_page="2")[1]["info"]["next_page_token"]
    told = asked(zoho, "Leads", fields="Last_Name", per_page="2", page_token=token)
    assert told[1]["code"] == "TOKEN_BOUND_DATA_MISMATCH"
    assert asked(zoho, "Leads", fields="Email", page="1", page_token=token)[1]["code"] == "AMBIGUITY_DURING_PROCESSING"
    three = "id is not null and Email is not null and City is null"
    assert queried(zoho, f"select id from Leads where {three}")[1]["code"] == "SYNTAX_ERROR"
    nested = "(id is not null and (Email != 'x' and Email like 'p'))"
    assert queried(zoho, f"select id from Leads where {nested}")[1]["details"] == {"operator": "like"}
    assert queried(zoho, "select id from Leads where (Email = 'P1@x.io') limit 2001")[1]["code"] == "INVALID_QUERY"
    assert queried(zoho, "select Tag from Leads where (id > 1)")[1]["details"] == {"column_name": "Tag"}
    assert queried(zoho, "select id from Leads where (id > 1) order by id, id")[1]["code"] == "DUPLICATE_DATA"
    assert queried(zoho, "select id from Leads where (Email = 'P1@x.io')")[1]["info"]["count"] == 1
    assert queried(zoho, "drop table Leads")[1]["code"] == "SYNTAX_ERROR"


def test_the_sandbox_is_the_same_for_the_same_seed_and_after_a_restore(clock: ManualClock) -> None:
    def filled_twice() -> ZohoSandbox:
        sandbox = ZohoSandbox(seed=4, clock=clock)
        sandbox.convert(lead(sandbox, "a@x.io"), deal="d")
        return sandbox

    one, two = filled_twice(), filled_twice()
    assert one.snapshot() == two.snapshot()
    state = one.snapshot()
    lead(one, "b@x.io")
    assert one.snapshot() != state
    one.restore(state)
    assert one.snapshot() == state


def test_the_day_s_credits_are_those_of_the_edition(zoho: ZohoSandbox, connector: Connector) -> None:
    zoho.credits, zoho.used = 20, [(stamp(datetime(2026, 11, 23, 9, tzinfo=UTC)), 10)]
    [quota] = connector.check().quotas
    assert (quota.window, quota.used, quota.limit) == ("24 hours", 51_000 - 9, 51_000)
    assert connector.check().missing_scopes == ()
