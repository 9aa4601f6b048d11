"""Every call of a connector stands in its manifest's table of scopes, and no log-in asks for more than calls need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from connectors import registry
from connectors.manifest import Manifest
from connectors.scopes import beyond, known, needed

SCOPED = [name for name in registry.names() if any(mode.scopes for mode in registry.facts(name).auth.values())]
FREE = {"offline_access", "refresh_token"}
"""Scopes that a log-in needs for itself, so that it lasts: no call needs them."""


def toured(name: str) -> Iterator[tuple[str, str]]:
    """Method and path of each call in the recorded tour of a connector."""
    held = (Path(__file__).parent / name / "cassettes" / "tour.yaml").read_text(encoding="utf-8")
    for exchange in yaml.load(held, Loader=yaml.CSafeLoader)["interactions"]:
        yield exchange["request"]["method"], unquote(urlsplit(exchange["request"]["uri"]).path)


def strays(facts: Manifest, calls: Iterable[tuple[str, str]]) -> list[str]:
    return sorted({f"{method} {path}" for method, path in calls if needed(facts, method, path) is None})


def test_the_platforms_with_scopes_are_these() -> None:
    assert SCOPED == [
        "calendly",
        "constant_contact",
        "google_analytics",
        "hubspot",
        "linkedin",
        "outreach",
        "salesforce",
        "zoho",
    ]


@pytest.mark.parametrize("name", SCOPED)
def test_every_call_of_the_tour_has_its_scope(name: str) -> None:
    assert strays(registry.facts(name), toured(name)) == []


@pytest.mark.parametrize("name", SCOPED)
def test_every_scope_that_is_asked_for_is_needed_by_a_call(name: str) -> None:
    facts = registry.facts(name)
    asked = {scope for mode in facts.auth.values() for scope in mode.scopes}
    assert asked - set(facts.calls) - FREE == set()


@pytest.mark.parametrize("name", SCOPED)
def test_the_readme_names_every_scope(name: str) -> None:
    text = (registry.platform(name).folder / "README.md").read_text(encoding="utf-8")
    named = {scope.rpartition("/")[2] for scope in known(registry.facts(name))} - {"oauth"}
    assert sorted(scope for scope in named if f"`{scope}`" not in text) == []


def test_a_call_that_is_in_no_line_is_a_stray() -> None:
    facts = registry.facts("hubspot")
    assert needed(facts, "GET", "/crm/objects/2026-09/contacts") == frozenset({"crm.objects.contacts.read"})
    assert needed(facts, "POST", "/oauth/2026-09/token") == frozenset()
    assert needed(facts, "DELETE", "/crm/objects/2026-09/contacts") is None
    assert needed(facts, "GET", "/crm/objects/2026-09/contacts/1") is None


def test_what_was_granted_beyond_is_told() -> None:
    facts = registry.facts("hubspot")
    assert beyond(facts, known(facts)) == ()
    assert beyond(facts, {"oauth", "crm.objects.contacts.read", "tickets", "files"}) == ("files", "tickets")
