"""Whose certificates are believed is read once, and again when the file is another."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest

from config.clock import ManualClock
from connectors.salesforce.sandbox import SalesforceSandbox
from connectors.trust import trust


def issuers(context: ssl.SSLContext) -> set[str]:
    return {str(certificate["serialNumber"]) for certificate in context.get_ca_certs()}


def test_it_is_read_once_and_again_when_the_file_is_another(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "ca.pem"
    with SalesforceSandbox(seed=1, clock=clock) as one, SalesforceSandbox(seed=2, clock=clock) as other:
        shutil.copyfile(one.ca_file, kept)
        first = trust(str(kept))
        assert trust(str(kept)) is first
        assert issuers(first) == issuers(trust(one.ca_file))
        shutil.copyfile(other.ca_file, kept)
        assert issuers(trust(str(kept))) == issuers(trust(other.ca_file)) != issuers(first)
        monkeypatch.setenv("SSL_CERT_FILE", str(kept))
        assert issuers(trust()) == issuers(trust(other.ca_file))


def test_by_itself_it_is_what_httpx_believes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert trust() is trust("")
    assert trust().verify_mode is ssl.CERT_REQUIRED
    assert trust().check_hostname
    assert len(issuers(trust())) > 50


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(OSError, match="No such file"):
        trust("/nowhere/ca.pem")
