"""A new connector keeps every rule as it was written, installed by hand or by pip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import Misconfigured
from connectors.conformance import RULES
from sync import connector_scaffold

EXEMPT = ("bulk", "brief")


def installed(name: str, folder: Path) -> dict[str, str]:
    """The environment in which the package in `folder` counts as installed, as by `pip install -e`."""
    told = folder / "installed" / f"closedloop_{name}-0.1.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: closedloop-{name}\nVersion: 0.1.0\n")
    (told / "entry_points.txt").write_text(f"[closedloop.connectors]\n{name} = closedloop_{name}:platform\n")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{told.parent}"}


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def closedloop(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run("-c", "from sync.cli.app import main; main()", *arguments, cwd=cwd, env=env)


def test_what_was_written_keeps_the_rules_and_its_own_tests_pass(tmp_path: Path) -> None:
    folder = tmp_path / "closedloop-my-crm"
    made = closedloop("connector", "new", "my_crm", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    env = installed("my_crm", folder)
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder), cwd=folder, env=env)
    assert done.returncode == 0, done.stdout
    assert f"{len(RULES) - len(EXEMPT) + 2} passed, {len(EXEMPT)} skipped" in done.stdout
    told = closedloop("connectors", cwd=tmp_path, env=env)
    assert "My Crm (my_crm), API v1, by httpx\n  reads    contacts\n" in told.stdout


def test_a_project_can_be_made_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    connector_scaffold.write("acme2", folder)
    env = installed("acme2", folder)
    made = closedloop("-C", str(tmp_path / "p"), "init", "-p", "acme2", "--sandbox", cwd=tmp_path, env=env)
    assert made.returncode == 0, made.stderr
    checked = closedloop("-C", str(tmp_path / "p"), "check", cwd=tmp_path, env=env)
    assert "No mistakes found" in checked.stdout


@pytest.mark.slow
def test_pip_installs_it(tmp_path: Path) -> None:
    pytest.importorskip("pip", reason="this environment has no pip")
    folder, target = tmp_path / "pack", tmp_path / "target"
    connector_scaffold.write("my_crm", folder)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target))
    done = run("-m", "pip", "install", *options, str(folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = {path.name for path in (target / "closedloop_my_crm").iterdir()}
    assert files >= set(connector_scaffold.FILES)
    code = "from connectors import registry; print(registry.facts('my_crm').title)"
    told = run("-c", code, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(target)})
    assert told.stdout == "My Crm\n", told.stderr


def test_nothing_of_the_templates_name_is_left(tmp_path: Path) -> None:
    for path in connector_scaffold.write("my_crm", tmp_path / "pack"):
        text = path.read_text()
        assert "acme" not in text.lower(), path
        assert "api.my_crm" not in text
        if path.suffix == ".py":
            compile(text, str(path), "exec")


@pytest.mark.parametrize("name", ["My", "1st", "a b", "x-y", "_x", "x__y", "", "x" * 41])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is no name"):
        connector_scaffold.write(name, tmp_path / "pack")


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="There is a connector 'hubspot' already"):
        connector_scaffold.write("hubspot", tmp_path / "pack")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Misconfigured, match="is not empty"):
        connector_scaffold.write("my_crm", tmp_path)
    told = closedloop("connector", "new", "my_crm", "--folder", str(tmp_path), cwd=tmp_path)
    assert told.returncode == 2
    assert "is not empty" in told.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
