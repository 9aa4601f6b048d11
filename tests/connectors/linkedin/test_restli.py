"""Rest.li's way of writing addresses, against a strict reader and the examples that LinkedIn gives."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.linkedin.restli import crm_instance, encoded, form_version, key_member, query, urn_id
from connectors.linkedin.sandbox_restli import BadSyntax, members, parsed, projected

OWNER = "urn:li:sponsoredAccount:1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"sponsoredAccount": OWNER}, "(sponsoredAccount:urn%3Ali%3AsponsoredAccount%3A1)"),
        ({"leadType": "SPONSORED"}, "(leadType:SPONSORED)"),
        ({"status": {"values": ["ACTIVE", "DRAFT"]}}, "(status:(values:List(ACTIVE,DRAFT)))"),
        ({"start": 1, "end": 2}, "(start:1,end:2)"),
        (False, "false"),
        ("", "''"),
        ([], "List()"),
        ("a/b c", "a%2Fb%20c"),
        ("urn:li:crmInstance:(DYNAMICS,362a)", "urn%3Ali%3AcrmInstance%3A%28DYNAMICS%2C362a%29"),
    ],
)
def test_structure_stays_raw_and_values_are_encoded(value: Any, text: str) -> None:
    assert encoded(value) == text


@pytest.mark.parametrize("word", ["a(b)", "a,b:c", "O'Hara", "ä €", "50%", "a&b=c", "List(x)", "%28", "a/b?c#d"])
def test_what_is_written_is_read_back(word: str) -> None:
    value = {"k": word, "list": [word, {"inner": word}], word: "v"}
    assert parsed(encoded(value)) == {"k": word, "list": [word, {"inner": word}], word: "v"}


@pytest.mark.parametrize(
    "text", ["%28leadType%3ASPONSORED%29", "(owner:urn:li:x:1)", "(a:1", "List(a", "a,b", "(a)", "urn:li:x:1"]
)
def test_what_a_client_encodes_as_a_whole_is_refused(text: str) -> None:
    with pytest.raises(BadSyntax):
        parsed(text)


def test_a_query_with_its_projection() -> None:
    text = query({"q": "owner", "owner": {"sponsoredAccount": OWNER}}, "id,form:(name,id)")
    assert text == "q=owner&owner=(sponsoredAccount:urn%3Ali%3AsponsoredAccount%3A1)&fields=id,form:(name,id)"
    assert members(text) == {"q": "owner", "owner": {"sponsoredAccount": OWNER}, "fields": "id,form:(name,id)"}
    row = {"id": 1, "x": 2, "form": {"name": "n", "id": 3, "secret": 4}}
    assert projected(row, "id,form:(name,id)") == {"id": 1, "form": {"name": "n", "id": 3}}


def test_what_a_urn_names() -> None:
    assert urn_id("urn:li:leadGenForm:7") == "7"
    assert urn_id("urn:li:versionedLeadGenForm:(urn:li:leadGenForm:7,2)") == "(urn:li:leadGenForm:7,2)"
    assert [urn_id(word) for word in ("7", None, "", "urn:li:x", 7)] == [""] * 5
    assert form_version("urn:li:versionedLeadGenForm:(urn:li:leadGenForm:7234246,1)") == ("7234246", "1")
    assert form_version("urn%3Ali%3AversionedLeadGenForm%3A(urn%3Ali%3AleadGenForm%3A7,1)") == ("7", "1")
    assert form_version("nothing") == ("", "")


def test_complex_keys_as_answers_tell_them() -> None:
    for key in ("(instanceId:i,partner:p,recordId:00%283)", "(recordId:00%283,instanceId:i)", "(i,p,00%283)"):
        assert key_member(key, "recordId", 2) == "00(3"
    assert [key_member(key, "recordId", 2) for key in ("", "(a,b)", "(partner:p)")] == ["", "", ""]


def test_a_crm_s_urn_names_its_partner_and_its_id() -> None:
    assert crm_instance("urn:li:crmInstance:(SFDC,00D1)") == ("SFDC", "00D1")
    assert crm_instance("urn:li:crmInstance:362a") == ("", "362a")
