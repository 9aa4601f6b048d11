"""What the documents say is what the program has, no more and no less."""

from __future__ import annotations

import re
import subprocess
import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

from config.project import Project
from connectors import registry
from mappings.model import LEAD_FIELDS, Kind
from mappings.schema import mapping_schema, project_schema
from mappings.transforms import TRANSFORMS
from sync.cli.app import Exit, app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PLATFORMS = tuple(registry.names())


def table_rows(text: str) -> dict[str, str]:
    """The rows of a document's tables, by the text of their first cell."""
    return {row.split("|")[1].strip(): row for row in text.splitlines() if row.startswith("| ")}


def commands() -> dict[str, list[list[str]]]:
    """Every command's name and its options' spellings, groups walked into."""
    for module in ("run", "act", "setup", "connect", "connector", "look", "conflicts", "linkedin", "demo"):
        __import__(f"sync.cli.{module}")
    found: dict[str, list[list[str]]] = {}

    def walk(command: object, name: str) -> None:
        inner = getattr(command, "commands", None)
        for child, below in (inner or {}).items():
            walk(below, f"{name} {child}".strip())
        if inner is None:
            shown = [one for one in command.params if one.param_type_name == "option"]  # type: ignore[attr-defined]
            found[name] = [[*one.opts, *one.secondary_opts] for one in shown if one.name != "help"]

    walk(typer.main.get_command(app), "")
    return found


def documented_commands() -> dict[str, str]:
    """The row of each documented command, by its name without its arguments."""
    section = (DOCS / "commands.md").read_text().split("## ")[0]
    rows = {}
    for cell, row in table_rows(section).items():
        if cell.startswith("`"):
            rows[" ".join(word for word in cell.strip("`").split() if word.islower())] = row
    return rows


def test_the_documented_commands_are_the_ones_there_are() -> None:
    assert set(documented_commands()) == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_commands_options_are_documented_and_no_others(name: str) -> None:
    row = documented_commands()[name]
    written = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row))
    for spellings in commands()[name]:
        assert written & set(spellings), f"{name} {spellings}"
    assert written <= {spelling for spellings in commands()[name] for spelling in spellings}


def test_the_options_before_every_command_are_documented() -> None:
    head = (DOCS / "commands.md").read_text().split("| command |")[0]
    for parameter in typer.main.get_command(app).params:
        for spelling in parameter.opts:
            assert f"`{spelling}" in head, spelling


def test_every_exit_code_is_documented_and_no_other() -> None:
    section = (DOCS / "commands.md").read_text().split("## Exit codes")[1].split("\n## ")[0]
    assert {int(cell) for cell in table_rows(section) if cell.isdigit()} == {code.value for code in Exit}


def test_every_transform_is_documented_and_no_other() -> None:
    section = (DOCS / "mapping.md").read_text().split("## Transforms")[1].split("\n## ")[0]
    written = {name for cell in table_rows(section) for name in re.findall(r"`(\w+)`", cell)}
    assert written == set(TRANSFORMS)


def test_every_key_of_a_mapping_entry_is_documented() -> None:
    from mappings.language import Entry, MappingFile, ObjectMapping

    text = (DOCS / "mapping.md").read_text()
    section = text.split("## An entry")[1].split("\n## ")[0]
    for key in Entry.model_fields:
        assert f"`{key}`" in section or f"`{key}:" in section, key
    for key in (*MappingFile.model_fields, *ObjectMapping.model_fields):
        assert re.search(rf"^\s*{key}:", text, re.M), key
    for kind in Kind:
        assert kind.value in text, kind


def keys(model: type[BaseModel]) -> set[str]:
    """The keys of a part of the project file and of every part within it."""
    found = set(model.model_fields)
    for field in model.model_fields.values():
        for inner in re.findall(r"config\.project\.(\w+)", repr(field.annotation)):
            found |= keys(getattr(__import__("config.project", fromlist=[inner]), inner))
    return found


def test_every_key_of_the_project_file_is_documented_and_no_other() -> None:
    cells = table_rows((DOCS / "project-file.md").read_text().split("## The unified lead's fields")[0])
    written = {re.split(r"[.`]", cell.strip("`"))[-1] for cell in cells if cell.startswith("`")}
    assert written == keys(Project) - {"fields", "survivorship"}  # these two are shown by their members
    assert {"canary", "jitter", "because", "options"} <= written


def test_every_unified_field_of_the_lead_is_documented_and_no_other() -> None:
    section = (DOCS / "project-file.md").read_text().split("## The unified lead's fields")[1]
    assert {cell.strip("`") for cell in table_rows(section) if cell.startswith("`")} == set(LEAD_FIELDS)


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_connectors_readme_names_every_setting_and_log_in_mode(name: str) -> None:
    facts = registry.facts(name)
    readme = (registry.platform(name).folder / "README.md").read_text()
    for setting in facts.settings:
        assert re.search(rf"`(settings\.)?{setting}[:`]", readme), setting
    for mode in facts.auth:
        assert re.search(rf"`(mode: )?{mode}`", readme), mode


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_connectors_readme_names_every_object_and_member_of_the_log_in(name: str) -> None:
    facts = registry.facts(name)
    text = (registry.platform(name).folder / "README.md").read_text(encoding="utf-8")
    members = {member for mode in facts.auth.values() for member in (*mode.secrets, *mode.settings, *mode.optional)}
    missing = [word for word in (*facts.objects, *sorted(members)) if not re.search(rf"`[^`\n]*\b{word}\b", text)]
    assert missing == []


def test_the_published_schemas_are_current() -> None:
    import orjson

    for name, schema in (("closedloop", project_schema()), ("mapping", mapping_schema())):
        published = orjson.loads((DOCS / "schema" / f"{name}.schema.json").read_bytes())
        assert published == orjson.loads(orjson.dumps(schema)), "run make schema"


def test_the_reading_order_names_at_most_eight_files_that_exist() -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().split("## Read these files")[1].split("\n## ")[0]
    named = re.findall(r"^\d+\. `([^`]+)`", section, re.M)
    assert 0 < len(named) <= 8
    for name in named:
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize(
    "document", sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *DOCS.glob("*.md")))
)
def test_a_documents_links_lead_to_files_that_exist(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_every_direct_dependency_is_listed_with_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[^\w.-]", line)[0] for line in wanted}
    listed = table_rows((DOCS / "dependencies.md").read_text())
    written = {name for cell in listed for name in cell.split(", ")}
    assert names <= written
    assert written - names <= {"package"}
    assert not [row for row in listed.values() if "UNKNOWN" in row]


def test_the_changelog_has_an_unreleased_section() -> None:
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()


def test_every_task_of_the_makefile_that_a_document_names_exists() -> None:
    tasks = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for path in (*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / ".ci" / "run"):
        for task in re.findall(r"(?:`|^)make ([a-z]+)\b", path.read_text(), re.M):
            assert task in tasks, f"{path.name}: make {task}"


def test_what_is_said_to_be_tested_is_there() -> None:
    """The table of what holds names tests that exist, and every property that the simulation judges."""
    text = (DOCS / "reliability.md").read_text()
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    told = set(re.findall(r"^\| (P\d+[bc]?) \|", text, re.MULTILINE))
    judged = {
        name
        for path in (ROOT / "tests" / "simulation").glob("*.py")
        for name in re.findall(r"\b(P\d+[bc]?)\b", path.read_text())
        if name != "P0"
    }
    assert judged - told == set()


def test_what_is_said_to_be_secured_is_tested_by_what_is_there() -> None:
    """Every rule has its row, and every row names tests that exist."""
    text = (DOCS / "security.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| F\d", line)]
    told = {int(number) for row in rows for number in re.findall(r"\bF(\d+)\b", row[1])}
    assert told == set(range(1, 29))
    for row in rows:
        named = re.findall(r"`(tests/[\w/.]+)`", row[3])
        assert named, row[1]
        assert [name for name in named if not (ROOT / name).is_file()] == [], row[1]


def test_the_page_on_security_was_looked_through_within_half_a_year() -> None:
    """Of the day of the last change: an old release's tests do not turn red by themselves."""
    text = (ROOT / "SECURITY.md").read_text()
    reviewed = date.fromisoformat(re.findall(r"Reviewed: (\d{4}-\d\d-\d\d)\.", text)[0])
    asked = subprocess.run(["git", "log", "-1", "--format=%cs"], cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode or not asked.stdout.strip():
        pytest.skip("not a git checkout")
    assert timedelta(-2) <= date.fromisoformat(asked.stdout.strip()) - reviewed < timedelta(180)
    assert "privately" in text
