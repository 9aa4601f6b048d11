"""`check` finds every mistake of a project at once, each at its place, with what was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.project import is_zone
from connectors import registry
from sync import scaffold
from sync.checkup import check

FILE = "closedloop.yaml"


def project(folder: Path, *changes: tuple[str, str]) -> list[tuple[str, int, str, str]]:
    """What is found in a project of three platforms after these (old, new): file, line, message, hint."""
    auth = {"client_id": "id", "username": "u@x.example"}
    chosen = {name: scaffold.Chosen(name) for name in ("hubspot", "salesforce")}
    chosen["mailchimp"] = scaffold.Chosen("mailchimp", settings={"audience": "a1"})
    chosen["salesforce"] = scaffold.Chosen("salesforce", auth=auth)
    scaffold.write(folder, chosen, force=True)
    file = folder / FILE
    for old, new in changes:
        assert old in file.read_text(), old
        file.write_text(file.read_text().replace(old, new, 1))
    return [(p.file, p.line, p.message, p.hint) for p in check(folder).problems]


def line_of(folder: Path, text: str) -> int:
    return next(n for n, line in enumerate((folder / FILE).read_text().splitlines(), 1) if text in line)


def test_a_project_that_is_filled_in_has_no_mistake(tmp_path: Path) -> None:
    assert project(tmp_path) == []


MISTAKES = [
    ("mode: token", "mode: tokn", "tokn", "HubSpot has no log-in 'tokn'.", "did you mean 'token'?"),
    ("  api_key: env", "  apikey: env", "apikey", "Mailchimp has no auth.apikey.", "did you mean 'api_key'?"),
    ("audience: a1", "audiens: a1", "audiens", "Mailchimp has no setting 'audiens'.", "did you mean 'audience'?"),
    ("audience: a1", 'audience: ""', "audience", "settings.audience is missing: Id of", "like a6b5da1054"),
    ("client_id: id", 'client_id: ""', "client_id", "auth.client_id is missing.", "JWT bearer"),
    ("env:HUBSPOT_TOKEN", "pat-na1-secret", "pat-na1", "auth.token is a secret.", "write env:NAME"),
    ("every: 5m", "objects: [contcts]\n    every: 5m", "contcts", "HubSpot has no object 'contcts'.", "'contacts'?"),
    ("activity.form", "activity.frm", "frm", "`activity.frm > 0`: activity has no 'frm'.", "did you mean 'form'?"),
    ('"score >= 40"', "\"lead.titel == 'x'\"", "titel", "lead has no 'titel'.", "did you mean 'title'?"),
    ('"score >= 40"', '"score"', "qualified_when", "gives neither true nor false", ""),
    ('"score >= 40"', '"score >= "', "qualified_when", "This is not CEL", ""),
    ("object: leads", "object: deals", "object: deals", "Salesforce makes no new people as 'deals'.", "leads"),
    ("to: salesforce", "to: salesfroce", "to: salesfroce", "There is no connection 'salesfroce'.", "'salesforce'?"),
    ("  hubspot:\n", "  hubspot:\n    platform: hubspott\n", "hubspott", "There is no connector for", "'hubspot'?"),
]


@pytest.mark.parametrize(("old", "new", "at", "message", "hint"), MISTAKES)
def test_each_mistake_is_told_at_its_line(tmp_path: Path, old: str, new: str, at: str, message: str, hint: str) -> None:
    found = project(tmp_path, (old, new))
    assert any(message in said and hint in meant and line == line_of(tmp_path, at) for _, line, said, meant in found)


def test_no_mistake_hides_another(tmp_path: Path) -> None:
    apart = ("audience", "score >=", "to: sales", "hubspot:")  # two changes of one place, or whose facts are then gone
    together = [mistake for mistake in MISTAKES if not mistake[0].strip(' "').startswith(apart)]
    found = project(tmp_path, *((old, new) for old, new, *_ in together), ("time_zone: UTC", "time_zone: Here/There"))
    told = " ".join(message for _, _, message, _ in found)
    assert [message for *_, message, _ in together if message not in told] == ["auth.token is a secret."]
    assert told.count("Here/There") == 1, "a zone is one mistake, not one for each date of each mapping"
    places = [(file != FILE, file, line) for file, line, *_ in found]
    assert places == sorted(places)


def test_mappings_are_looked_at_though_the_project_cannot_be_read(tmp_path: Path) -> None:
    project(tmp_path)
    mapping = tmp_path / "mappings" / "hubspot.yaml"
    mapping.write_text(mapping.read_text().replace("direction: both", "direction: bth", 1))
    found = project_with(tmp_path, lambda text: text.replace("currency:", "curency:"))
    assert [(file, hint) for file, hint in found] == [(FILE, "did you mean 'currency'?"), ("mappings/hubspot.yaml", "")]


def project_with(folder: Path, change: Callable[[str], str]) -> list[tuple[str, str]]:
    file = folder / FILE
    file.write_text(change(file.read_text()))
    return [(p.file, p.hint) for p in check(folder).problems]


def test_a_name_within_quotes_and_a_call_are_no_members(tmp_path: Path) -> None:
    asked = "lead.email.endsWith('lead.nobody') || lead.title.matches('(?i)activity.none')"
    assert project(tmp_path, ('"score >= 40"', f'"{asked}"')) == []


def test_a_new_project_says_what_has_to_be_filled_in(tmp_path: Path) -> None:
    """What `init` names is exactly what `check` misses, on every platform."""
    chosen = {name: scaffold.Chosen(name) for name in scaffold.ready()}
    scaffold.write(tmp_path, chosen)
    missed = check(tmp_path).problems
    assert all("is missing" in problem.message for problem in missed)
    told = sorted(name.rpartition(".")[2] for name in scaffold.blanks(chosen))
    assert told == sorted(problem.message.partition(" ")[0].partition(".")[2] for problem in missed)
    assert set(chosen) <= set(registry.names())


def test_zones() -> None:
    assert is_zone("Europe/Berlin")
    assert not is_zone("Europe/Berlon")
    assert not is_zone("../etc/passwd")
