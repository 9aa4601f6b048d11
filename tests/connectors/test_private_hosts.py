"""A host that an answer names is never an address of this machine or of a private network, however it is spelt."""

from __future__ import annotations

import pytest

from config.errors import AuthorizationLost
from connectors.salesforce.login import HOSTS
from connectors.zoho.client import _FILE_HOST, api_host

PRIVATE = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "localhost",
    "LOCALHOST.",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "10.0.0.7",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "[fe80::1]",
    "[fd00::1]",
    "metadata.google.internal",
    "127.0.0.1.nip.io",
    "salesforce.com.127.0.0.1.nip.io",
    "www.zohoapis.com@127.0.0.1",
    "127.0.0.1#.salesforce.com",
    "127.0.0.1/.salesforce.com",
    "127.0.0.1\\.salesforce.com",
    "127.0.0.1:443",
    "salesforce.com\n127.0.0.1",
)


@pytest.mark.parametrize("host", PRIVATE)
def test_no_private_address_is_a_vendors_host(host: str) -> None:
    assert not HOSTS.fullmatch(host)
    assert not _FILE_HOST.fullmatch(f"https://{host}")
    with pytest.raises(AuthorizationLost):
        api_host(f"https://{host}")


def test_a_vendors_host_is_one() -> None:
    assert HOSTS.fullmatch("acme.my.salesforce.com")
    assert api_host("https://www.zohoapis.eu") == "https://www.zohoapis.eu"
