"""Looking up, describing, checking."""

from __future__ import annotations

import orjson
import pytest

from config.errors import AuthorizationLost, Misconfigured, PermissionMissing
from connectors import manifest
from connectors.api import Connector, Gone, Request
from connectors.salesforce import platform
from connectors.salesforce.connector import PUSHED, SalesforceConnector
from connectors.salesforce.objects import OBJECTS
from connectors.salesforce.sandbox import SalesforceSandbox
from mappings.compiler import load_mapping
from tests.connectors.salesforce.conftest import Open


def lead(org: SalesforceSandbox, n: int) -> str:
    return org.put("leads", {"Email": f"p{n}@example.com", "LastName": f"L{n}", "Company": "C"})


def test_by_id_in_both_lengths(org: SalesforceSandbox, connector: Connector) -> None:
    id = lead(org, 1)
    found = connector.read("leads", "id", [id, id[:15], "00Q5g00000000zzEAA", "nonsense", ""], ["Email"])
    assert set(found) <= {id, id[:15]}
    assert {record.id for record in found.values()} == {id}


def test_by_email_without_case_and_the_oldest_first(org: SalesforceSandbox, connector: Connector) -> None:
    first, _, other = lead(org, 1), lead(org, 1), lead(org, 2)
    found = connector.read("leads", "Email", ["P1@Example.com", "p2@example.com", "no@example.com"], ["LastName"])
    assert {value: record.id for value, record in found.items()} == {"P1@Example.com": first, "p2@example.com": other}


def test_many_values_are_read_in_a_few_calls(org: SalesforceSandbox, connector: Connector) -> None:
    ids = [lead(org, n) for n in range(1000)]
    assert set(connector.read("leads", "id", ids, [])) == set(ids)
    assert connector.calls <= 1 + 5


def test_gone_records(org: SalesforceSandbox, connector: Connector) -> None:
    a, b, c, d, e = (lead(org, n) for n in range(5))
    org.merge("leads", b, a)
    org.merge("leads", c, b)
    org.remove("leads", d)
    made = org.convert(e)
    found = connector.read("leads", "id", [a, b, c, d, e], ["Email"])
    assert {value: record.id for value, record in found.items()} == {a: c, b: c, c: c, e: e}
    converted = found[e]
    assert (converted.gone, converted.into, converted.into_object) == (Gone.CONVERTED, made["contacts"], "contacts")


def test_a_live_record_goes_before_a_converted_one(org: SalesforceSandbox, connector: Connector) -> None:
    org.convert(lead(org, 1))
    live = lead(org, 1)
    assert connector.read("leads", "Email", ["p1@example.com"], [])["p1@example.com"].id == live


def test_describe(org: SalesforceSandbox, connector: Connector) -> None:
    fields = connector.describe("leads").fields
    assert (fields["Email"].type, fields["Email"].length) == ("email", 80)
    assert [name for name, field in fields.items() if field.required] == ["LastName", "Company"]
    assert fields["Status"].options, "restricted"
    assert not fields["LeadSource"].options, "an open picklist takes anything"
    assert fields["Closedloop_Id__c"].unique
    assert not fields["IsConverted"].writable
    assert connector.describe("contacts").fields["Account"].type == "object"
    assert "to_ids" in connector.describe("contact_roles").fields


def test_the_ready_mapping_fits_the_org(connector: Connector) -> None:
    maps = load_mapping(platform.folder / "mapping.yaml")
    for object, mapped in maps.items():
        live = connector.describe(object).fields
        assert {name.partition(".")[0] for name in mapped.remote_fields} <= set(live), object
        if object in PUSHED:
            for field in mapped.pushed:
                assert live[mapped.entries[field].remote].writable


def test_the_ready_mapping_writes_what_it_reads(org: SalesforceSandbox, connector: Connector) -> None:
    mapped = load_mapping(platform.folder / "mapping.yaml")["leads"]
    remote, problems = mapped.write(
        {"email": "a@example.com", "country": "DE", "email_consent": "unsubscribed"}, creating=True
    )
    assert problems == []
    assert (remote["LastName"], remote["Company"], remote["HasOptedOutOfEmail"]) == ("[not provided]",) * 2 + (True,)
    id = org.put("leads", remote)
    [page] = connector.pull("leads", None, mapped.remote_fields)
    values, _ = mapped.read(orjson.loads(page.records[0].raw))
    assert (page.records[0].id, values["country"], values["email_consent"]) == (id, "DE", "unsubscribed")
    assert values["last_name"] is None, "the filler is no name"


def test_manifest_and_code_agree() -> None:
    facts = manifest.load(platform.folder)
    assert list(facts.objects) == list(OBJECTS)
    assert {name: one.push for name, one in facts.objects.items() if one.push} == PUSHED
    assert [name for name, one in facts.objects.items() if one.brief] == ["tasks"]
    assert {name for name, one in facts.objects.items() if one.merges} == {n for n, o in OBJECTS.items() if o.merges}


def test_check_names_what_is_missing(org: SalesforceSandbox, connector: Connector) -> None:
    del org.store.facts["CampaignMember"]
    org.hide("contacts", "HasOptedOutOfEmail")
    org.hide("leads", "Closedloop_Id__c")
    health = connector.check()
    assert set(health.missing_scopes) == {
        "CampaignMember: read",
        "Contact.HasOptedOutOfEmail (field-level security)",
    }
    assert any("Lead has no field Closedloop_Id__c" in note for note in health.notes)


def test_an_object_that_is_not_there_stops_only_itself(org: SalesforceSandbox, connector: Connector) -> None:
    del org.store.facts["CampaignMember"]
    with pytest.raises(PermissionMissing):
        list(connector.pull("campaign_members", None, []))
    with pytest.raises(Misconfigured, match="no object 'deals'"):
        connector.describe("deals")
    assert next(iter(connector.pull("leads", None, []))).records == []


def test_no_webhooks(connector: Connector) -> None:
    with pytest.raises((Misconfigured, AuthorizationLost)):
        connector.verify(Request("POST", "https://example.com", {}, b""))


def test_it_is_a_connector(open_org: Open) -> None:
    assert isinstance(open_org(), SalesforceConnector)
    assert isinstance(open_org(), Connector)
