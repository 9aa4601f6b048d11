"""Where secrets may be sent to: an https address, or this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import Misconfigured
from config.project import load_project

SAFE = (
    "",
    "https://proxy.example.com",
    "https://proxy.example.com:8443/hubspot",
    "https://10.0.0.7",
    "https://[2001:db8::1]:8443",
    "http://127.0.0.1:9001",
    "http://localhost:9001",
    "http://[::1]:9001",
    "http://127.8.8.8",
)
UNSAFE = (
    "http://api.example.com",
    "http://10.0.0.7",
    "http://169.254.169.254/latest",
    "http://0.0.0.0:80",
    "http://[::]:80",
    "http://127.0.0.1.example.com",
    "http://127.0.0.1@evil.example",
    "https://api.hubapi.com@evil.example",
    "http://localhost.evil.example",
    "http://0x7f.1",
    "http://2130706433",
    "http://127.1",
    "http://[::ffff:10.0.0.7]",
    "ftp://127.0.0.1",
    "file:///etc/passwd",
    "gopher://127.0.0.1",
    "//evil.example",
    "evil.example",
    "https://",
    "https:///x",
    "https://[::1",
    "https://x.example?a=b",
    "https://x.example#a",
    "http:\\\\127.0.0.1",
    "http://127.0.0.1:0",
    "javascript:alert(1)",
    "https:evil.example",
)


def project(folder: Path, address: str) -> Path:
    path = folder / "closedloop.yaml"
    path.write_text(f"connections:\n  hubspot:\n    base_url: '{address}'\n")
    return path


@pytest.mark.parametrize("address", SAFE)
def test_an_https_address_or_this_machine_is_taken(tmp_path: Path, address: str) -> None:
    assert load_project(project(tmp_path, address)).connections["hubspot"].base_url == address


@pytest.mark.parametrize("address", UNSAFE)
def test_any_other_is_refused_with_its_line(tmp_path: Path, address: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_project(project(tmp_path, address))
    [problem] = caught.value.problems
    assert (problem.line, "https" in problem.message) == (3, True)


NAMES = (
    "../x",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "a.b",
    "A",
    "1a",
    "a b",
    "a\n",
    "a\x00",
    "",
    "é",
    "a" * 42,
    "con:",
    "~",
    "-a",
    "a%2f",
    "..",
    "a\u202e",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_connections_name_is_a_simple_one(tmp_path: Path, name: str) -> None:
    """It becomes a file's name, a webhook's path and a keyring's entry."""
    import json

    path = tmp_path / "closedloop.yaml"
    path.write_text(f"connections:\n  {json.dumps(name)}: {{platform: hubspot, mapping: m.yaml}}\n", encoding="utf-8")
    with pytest.raises(Misconfigured):
        load_project(path)
