"""The house's own rules, held by machine."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distributions, entry_points
from pathlib import Path

import pytest
import typer.main

from connectors import registry
from mappings.schema import mapping_schema, project_schema
from mappings.transforms import TRANSFORMS

ROOT = Path(__file__).parents[2]
ROOMS = ("config", "mappings", "connectors", "sync")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).is_file()]


def test_no_dependency_owns_one_of_our_four_names() -> None:
    for found in distributions():
        if found.metadata["Name"] == "closedloop":
            continue
        tops = {str(path).split("/")[0] for path in found.files or () if str(path).endswith(".py")}
        assert not tops & set(ROOMS), found.metadata["Name"]


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    registries = re.compile("|".join(("py" + "pi.org", "python" + "hosted", "npm" + "js.org", "index" + "-url http")))
    machine = re.compile(r"(?<![\w.\-{}/])/(?:work|root|home/\w+)/")
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        assert not registries.search(text), path
        assert not machine.search(text), path


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "http" not in text
    pinned = re.findall(r"^([A-Za-z0-9_.\-\[\]]+)==", text, re.M)
    assert len(pinned) > 50
    assert text.count("--hash=sha256:") >= len(pinned)


def commands() -> dict[str, object]:
    """Every command's name and parameters, groups walked into."""
    for module in ("run", "setup", "look", "demo"):
        __import__(f"sync.cli.{module}")
    from sync.cli.app import app

    found: dict[str, object] = {}

    def walk(command: object, name: str) -> None:
        for child, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{name} {child}".strip())
        if not getattr(command, "commands", None):
            found[name] = command

    walk(typer.main.get_command(app), "")
    return found


def test_every_command_and_option_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    for name, command in commands().items():
        assert f"`{name}" in text, name
        for parameter in command.params:  # type: ignore[attr-defined]
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert option in text, f"{name} {option}"


def test_every_exit_code_is_documented() -> None:
    from sync.cli.app import Exit

    text = (ROOT / "docs" / "commands.md").read_text()
    for code in Exit:
        assert f"| {code.value} |" in text


def test_every_transform_is_documented() -> None:
    text = (ROOT / "docs" / "mapping.md").read_text()
    for name in TRANSFORMS:
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("name", ["hubspot", "mailchimp", "salesforce"])
def test_a_platform_folder_holds_what_every_other_does(name: str) -> None:
    folder = registry.platform(name).folder
    for file in ("manifest.yaml", "client.py", "connector.py", "mapping.yaml", "sandbox.py", "README.md"):
        assert (folder / file).is_file(), f"{name}/{file}"
    facts = registry.facts(name)
    assert facts.name == name
    readme = (folder / "README.md").read_text()
    for setting in facts.settings:
        assert setting in readme, f"{name}: {setting}"
    for mode in facts.auth:
        assert mode in readme, f"{name}: {mode}"


def test_the_entry_points_load() -> None:
    assert {entry.name for entry in entry_points(group=registry.GROUP)} >= {"hubspot", "mailchimp", "salesforce"}


def test_the_published_schemas_are_current() -> None:
    import orjson

    for name, schema in (("closedloop", project_schema()), ("mapping", mapping_schema())):
        published = orjson.loads((ROOT / "docs" / "schema" / f"{name}.schema.json").read_bytes())
        assert published == orjson.loads(orjson.dumps(schema)), "run make schema"


def test_the_reading_order_names_at_most_eight_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.split("## Read these files")[1].split("\n## ")[0]
    named = re.findall(r"^\d+\. `([^`]+)`", section, re.M)
    assert 0 < len(named) <= 8
    for name in named:
        assert (ROOT / name).is_file(), name


def test_the_changelog_has_an_unreleased_section() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = [
        "hubspot",
        "simple_salesforce",
        "mailchimp_marketing",
        "dbos",
        "alembic",
        "phonenumbers",
        "uvicorn",
        "sqlalchemy",
    ]
    code = (
        "import sys, sync.cli.app as a\n"
        "for m in ('run', 'setup', 'look', 'demo'): __import__('sync.cli.' + m)\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
