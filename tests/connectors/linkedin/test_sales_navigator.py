"""Sales Navigator's interfaces, which LinkedIn opens to partners only."""

from __future__ import annotations

import orjson
import pytest

from config.clock import ManualClock
from config.errors import (
    Misconfigured,
    PermissionMissing,
)
from connectors.api import Connector
from connectors.linkedin.sandbox import INSTANCE, LinkedInSandbox
from tests.connectors.linkedin.kit import opened, raws
from tests.connectors.surroundings import pulled


def test_validation_of_crm_data_is_for_partners_and_takes_its_time(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    before = connector.calls
    assert pulled(connector, "crm_flags", None, [])[0] == []  # switched off
    assert connector.calls == before
    with pytest.raises(Misconfigured, match="crm_instance"):
        opened(linkedin, clock, sales_navigator_partner=True)
    linkedin.flag("003A")
    clock.advance(60)
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    assert "SNAP partners" in partner.check().notes[0]
    records, cursor = pulled(partner, "crm_flags", None, [])
    assert records == []
    clock.advance(600)
    linkedin.flag("003B", "Lead")
    records, cursor = pulled(partner, "crm_flags", cursor, [])
    assert records == []
    clock.advance(1800)
    records, cursor = pulled(partner, "crm_flags", cursor, [])
    assert [raw["salesforceId"] for raw in raws(records)] == ["003A"]
    assert raws(records)[0]["flag"] == "not at company (LinkedIn)"
    _, cursor = pulled(partner, "crm_flags", cursor, [])
    clock.advance(1801)
    assert [record.id for record in pulled(partner, "crm_flags", cursor, [])[0]] == ["003B"]
    _, cursor = pulled(partner, "crm_flags", cursor, [])
    clock.advance(1801)
    _, cursor = pulled(partner, "crm_flags", cursor, [])
    clock.advance(1801)
    assert pulled(partner, "crm_flags", cursor, [])[0] == []  # a file of its head alone
    linkedin.partner = False
    with pytest.raises(PermissionMissing):
        pulled(partner, "crm_flags", None, [])
    partner.close()


def test_an_export_that_fails_or_grows_old_is_made_anew(
    linkedin: LinkedInSandbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    for number in range(3):
        linkedin.flag(f"003{number}")
    clock.advance(60)
    linkedin.exports.fails, linkedin.exports.per_file = True, 2
    _, cursor = pulled(partner, "crm_flags", None, [])
    clock.advance(3600)
    _, cursor = pulled(partner, "crm_flags", cursor, [])  # failed: another is asked for
    clock.advance(26 * 3600)
    _, cursor = pulled(partner, "crm_flags", cursor, [])  # its addresses have ended
    clock.advance(3600)
    pages = list(partner.pull("crm_flags", cursor, []))
    assert [[record.id for record in page.records] for page in pages] == [["0030", "0031"], ["0032"]]
    assert [record.id for record in pulled(partner, "crm_flags", pages[0].cursor, [])[0]] == ["0032"]
    assert not [line for line in linkedin.log if line.path.startswith("/ambry") and line.status != 200]
    partner.close()


def test_profiles_are_looked_up_by_the_crm_s_records_for_partners_only(
    linkedin: LinkedInSandbox, connector: Connector, clock: ManualClock
) -> None:
    with pytest.raises(PermissionMissing) as told:
        connector.read("crm_profiles", "id", ["003A"], [])
    for word in ("existing partner", "r_sales_nav_profiles", "CRM Sync", "sales_navigator_partner"):
        assert word in str(told.value.fix)
    linkedin.match("003A", "ACoAna")
    linkedin.match("003 B,(x)", "ACoBob")
    many = [f"00Q{number:03}" for number in range(60)]
    partner = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE)
    before = partner.calls
    found = partner.read("crm_profiles", "id", ["003A", *many, "003 B,(x)", "003A"], [])
    assert partner.calls - before == 2
    assert [(id, orjson.loads(one.raw)["profile"]) for id, one in found.items()] == [
        ("003A", "https://www.linkedin.com/sales/people/ACoAna"),
        ("003 B,(x)", "https://www.linkedin.com/sales/people/ACoBob"),
    ]
    assert orjson.loads(found["003A"].raw)["salesforceId"] == "003A"
    assert "Photo" not in found["003A"].raw.decode()
    with pytest.raises(Misconfigured, match="linkedin profiles"):
        partner.pull("crm_profiles", None, [])
    linkedin.login.scopes = linkedin.login.scopes.replace(",r_sales_nav_profiles", "")
    assert any("r_sales_nav_profiles" in note for note in partner.check().notes)
    assert partner.check().missing_scopes == ()
    with pytest.raises(PermissionMissing) as told:
        partner.read("crm_profiles", "id", ["003A"], [])
    assert "salesNavigatorProfileAssociations" in str(told.value)
    assert "r_sales_nav_profiles" in str(told.value.fix)
    partner.close()
    other = opened(linkedin, clock, sales_navigator_partner=True, crm_instance=INSTANCE, crm_partner="salesforce")
    linkedin.login.scopes += ",r_sales_nav_profiles"
    assert other.read("crm_profiles", "id", ["003A"], []) == {}  # the partner's word is another here
    other.close()
