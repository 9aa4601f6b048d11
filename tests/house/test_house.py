"""The house's own rules, held by machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, entry_points
from pathlib import Path

import pytest

from connectors import registry

ROOT = Path(__file__).parents[2]
ROOMS = ("config", "mappings", "connectors", "sync")
TAPS = tuple(f"tests/connectors/singer/taps/{tap}.lock" for tap in ("jsonl", "rest-api"))
LOCKS = ("requirements.lock", "requirements-dev.lock", "benchmarks/requirements-peers.lock", *TAPS)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).is_file()]


def pinned(lock: str) -> dict[str, int]:
    """The packages that a lock pins, each with the number of its hashes."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", (ROOT / lock).read_text(), flags=re.M)
    named = {block.split("==")[0].split("[")[0]: block.count("--hash=sha256:") for block in blocks if "==" in block}
    return {re.sub(r"[-_.]+", "-", name).lower(): hashes for name, hashes in named.items()}


def wanted(*extras: str) -> set[str]:
    """The packages that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", line)[0]).lower() for line in lines}


def test_no_dependency_owns_one_of_our_four_names() -> None:
    seen = 0
    for found in distributions():
        if found.metadata["Name"] == "closedloop":
            continue
        tops = {str(path).split("/")[0].removesuffix(".py") for path in found.files or ()}
        assert not tops & set(ROOMS), found.metadata["Name"]
        seen += 1
    assert seen > 50


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


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_hashes_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert len(pinned(lock)) > 10
    assert not [name for name, hashes in pinned(lock).items() if not hashes]


def test_the_locks_hold_what_the_project_asks_for() -> None:
    runs, builds = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert wanted() <= set(runs)
    assert wanted("dev") <= set(builds)
    assert set(runs) <= set(builds)


@pytest.mark.parametrize("name", registry.names())
def test_a_platform_folder_holds_what_every_other_does(name: str) -> None:
    folder = registry.platform(name).folder
    for file in ("manifest.yaml", "client.py", "connector.py", "mapping.yaml", "sandbox.py", "README.md"):
        assert (folder / file).is_file(), f"{name}/{file}"
    assert registry.facts(name).name == name


def test_the_entry_points_load() -> None:
    names = {entry.name for entry in entry_points(group=registry.GROUP)}
    assert names >= {"hubspot", "mailchimp", "salesforce"}
    for name in names:
        assert registry.platform(name).name == name


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 kept, 0 broken" in done.stdout


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
        "for m in ('run', 'act', 'setup', 'connect', 'connector', 'look', 'demo'): __import__('sync.cli.' + m)\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_function_outside_the_tests_is_longer_than_seventy_lines() -> None:
    import ast

    long = []
    for path in tracked():
        if path.suffix != ".py" or path.relative_to(ROOT).parts[0] not in ROOMS or "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 70:
                long.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert not long


def test_nothing_is_left_to_do_in_the_code() -> None:
    mark = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X ")))
    for path in tracked():
        if path.suffix in {".py", ".yaml", ".toml"} and "cassettes" not in path.parts:
            assert not mark.search(path.read_text(encoding="utf-8")), path
