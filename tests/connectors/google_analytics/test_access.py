"""Google Analytics' log-in, and what the connector says of itself and of the property."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured, PermissionMissing
from config.secrets import Secret
from connectors import registry
from connectors.api import Connector, Request
from connectors.google_analytics.login import EDIT, INGEST, READ
from connectors.google_analytics.sandbox import API_SECRET, GoogleAnalyticsSandbox
from mappings.compiler import read_mapping
from tests.connectors.google_analytics.kit import FIELDS, asked, opened, raws, spread
from tests.connectors.surroundings import connect, pulled


def test_a_token_is_renewed_when_it_ends_or_is_refused(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    connector.check()
    clock.advance(3590)
    connector.check()
    assert len(site.login.access) == 2
    site.login.access.clear()
    connector.check()
    site.login.withdrawn = True
    site.login.access.clear()
    with pytest.raises(AuthorizationLost, match="invalid_grant"):
        connector.check()


def test_a_service_account_logs_in_by_its_key(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    auth = {n: Secret(v) if n != "mode" else v for n, v in site.service_account().items()}
    connector = connect(site, clock, auth=auth)
    assert connector.check().missing_scopes == ()
    clock.advance(3600)
    spread(site, 2)
    assert len(pulled(connector, "figures", None, FIELDS)[0]) == 2
    assert {scopes for _, scopes in site.login.access.values()} == {f"{READ} {EDIT}"}
    connector.close()
    wider = connect(site, clock, auth=auth, send_by="data_manager")
    wider.check()
    assert f"{READ} {EDIT} {INGEST}" in {scopes for _, scopes in site.login.access.values()}
    wider.close()


@pytest.mark.parametrize("key", ["no json", "[]", '{"client_email": "a"}'])
def test_what_is_no_key_file_is_said_at_once(site: GoogleAnalyticsSandbox, clock: ManualClock, key: str) -> None:
    with pytest.raises(Misconfigured, match="no key file"):
        connect(site, clock, auth={"mode": "service_account", "service_account_key": Secret(key)})


def test_a_key_that_cannot_sign_and_one_that_is_unknown(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    told = orjson.loads(site.login.key_file())
    for change, kind in (({"private_key": "x"}, Misconfigured), ({"client_email": "no@x.example"}, AuthorizationLost)):
        key = Secret(orjson.dumps({**told, **change}).decode())
        connector = connect(site, clock, auth={"mode": "service_account", "service_account_key": key})
        with pytest.raises(kind):
            connector.check()
        connector.close()


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"property": "G-1"}, "number of a property"), ({"send_by": "pigeon"}, "none that there is")],
)
def test_wrong_settings_are_said_at_once(
    site: GoogleAnalyticsSandbox, clock: ManualClock, settings: dict[str, Any], what: str
) -> None:
    with pytest.raises(Misconfigured, match=what):
        opened(site, clock, **settings)


def test_a_property_that_is_not_there_is_named(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    connector = opened(site, clock, property="987")
    with pytest.raises(Misconfigured, match="no property 987"):
        connector.check()
    connector.close()


def test_settings_of_days_are_days(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    for name, value in (("start", "soon"), ("trailing_days", "x")):
        connector = opened(site, clock, **{name: value})
        with pytest.raises(Misconfigured, match=name):
            pulled(connector, "figures", None, FIELDS)
        connector.close()


def test_missing_log_in_members_are_named(site: GoogleAnalyticsSandbox, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured, match=r"auth\.client_secret, auth\.refresh_token"):
        connect(site, clock, auth={"mode": "oauth", "client_id": "a"})


def test_check_tells_the_property_its_tokens_and_what_is_not_ready(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    health = connector.check()
    assert (health.account_id, health.account_name) == ("123456789", "Example site")
    assert (health.missing_scopes, health.notes) == ((), ())
    assert {(quota.window, quota.used, quota.limit) for quota in health.quotas} == {
        ("tokens a day", 5, 200_000),
        ("tokens an hour", 5, 40_000),
        ("tokens of this project an hour", 5, 14_000),
    }
    site.key_events.remove("qualify_lead")
    assert connector.check().notes == ("qualify_lead: no key events of the property, so they count as no conversions",)


@pytest.mark.parametrize(
    ("auth", "settings", "note"),
    [
        ({}, {"measurement_id": ""}, "no measurement_id"),
        ({}, {"measurement_id": "G-OTHER"}, "no web stream G-OTHER"),
        ({"api_secret": Secret("other")}, {}, "none of the stream's"),
        ({"api_secret": ""}, {}, "no api_secret"),
    ],
)
def test_check_finds_what_the_measurement_protocol_would_swallow(
    site: GoogleAnalyticsSandbox, clock: ManualClock, auth: dict[str, Any], settings: dict[str, Any], note: str
) -> None:
    connector = connect(site, clock, auth={**site.account()["auth"], **auth}, **settings)
    [told] = connector.check().notes
    assert note in told
    assert API_SECRET not in told
    connector.close()


def test_scopes_and_roles_that_are_missing_are_named(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    site.login.scopes = READ
    assert connector.check().missing_scopes == (EDIT,)
    for change, code in (
        ({"role": "none"}, "PERMISSION_DENIED"),
        ({"role": "viewer", "enabled": False}, "SERVICE_DISABLED"),
    ):
        for name, value in change.items():
            setattr(site, name, value)
        with pytest.raises(PermissionMissing) as caught:
            connector.check()
        assert caught.value.code == code
    site.login.scopes, site.login.access = "", {}
    with pytest.raises(PermissionMissing) as caught:
        connector.check()
    assert caught.value.code == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


def test_describe_tells_what_the_property_has_and_the_log_in_may_see(
    site: GoogleAnalyticsSandbox, connector: Connector
) -> None:
    site.blocked = ["advertiserAdCost"]
    fields = connector.describe("figures").fields
    assert {"customEvent:lead_ref", "keyEvents", "campaign", "sampled"} <= set(fields)
    assert "advertiserAdCost" not in fields
    assert (fields["date"].type, fields["sessions"].type, fields["totalRevenue"].type) == ("date", "integer", "number")
    assert not any(field.writable for field in fields.values())
    events = connector.describe("lead_events")
    assert events.open_ended == ("params.",)
    assert events.fields["name"].required


def test_the_ready_mapping_fits_a_report(site: GoogleAnalyticsSandbox, connector: Connector) -> None:
    mapping, _ = read_mapping(registry.platform("google_analytics").folder / "mapping.yaml")
    fields = [entry.remote for entry in mapping.objects["figures"].fields]
    assert set(fields) <= set(connector.describe("figures").fields)
    site.visit("Spring", advertiserAdCost=1)
    records, _ = pulled(connector, "figures", None, fields)
    assert sorted(row["report"] for row in raws(records)) == ["cost", "visits"]
    assert all(len(orjson.loads(line.body)["metrics"]) <= 10 for line in asked(site))


def test_there_are_no_webhooks_and_no_other_objects(connector: Connector) -> None:
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "https://x.example", {}, b"{}"))
    with pytest.raises(Misconfigured):
        connector.describe("people")
    with pytest.raises(Misconfigured):
        connector.pull("lead_events", None, [])
    with pytest.raises(Misconfigured):
        connector.read("figures", "campaign", ["x"], FIELDS)


def test_the_sandbox_takes_its_state_back_and_repeats_itself(
    site: GoogleAnalyticsSandbox, connector: Connector, clock: ManualClock
) -> None:
    spread(site, 3)
    records, _ = pulled(connector, "figures", None, FIELDS)
    state = site.snapshot()
    other = GoogleAnalyticsSandbox(seed=9, clock=clock)
    other.restore(state)
    assert other.snapshot() == state
    with other:
        second = opened(other, clock)
        assert pulled(second, "figures", None, FIELDS)[0] == records
        second.close()
