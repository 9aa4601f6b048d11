"""What is built is known: a bill of materials of the lock, and a wheel that comes out the same byte for byte."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import orjson
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.house.test_house import ROOMS, ROOT, pinned, tracked, wanted
from tests.sbom import LOCK, bill

AT = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture(scope="module")
def told() -> str:
    return bill((ROOT / LOCK).read_text(), "0.1.0", AT)


def test_the_bill_of_materials_is_one(told: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told) is None
    assert told == bill((ROOT / LOCK).read_text(), "0.1.0", AT)


def test_every_package_of_the_lock_is_in_the_bill_with_its_hashes(told: str) -> None:
    listed = {part["name"]: part for part in orjson.loads(told)["components"]}
    assert {name: len(part["hashes"]) for name, part in listed.items()} == pinned(LOCK)
    lines = set(re.findall(r"^([A-Za-z0-9._-]+)(?:\[\S+\])?==([^\s;\\]+)", (ROOT / LOCK).read_text(), re.M))
    assert {(part["name"], part["version"]) for part in listed.values()} == lines


def test_the_bill_says_for_whose_sake_each_package_is_there(told: str) -> None:
    wants = {one["ref"]: set(one.get("dependsOn", ())) for one in orjson.loads(told)["dependencies"]}
    assert {ref.split("==")[0] for ref in wants["closedloop"]} == wanted()
    reached, fresh = set(), {"closedloop"}
    while fresh:
        reached |= fresh
        fresh = {other for ref in fresh for other in wants[ref]} - reached
    assert reached == set(wants)


@pytest.mark.slow
def test_a_wheel_built_twice_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    """From another folder, at another time, by a shell with other rights for new files."""
    one, two = (_wheel(tmp_path / name, umask) for name, umask in (("one", 0o022), ("another-place", 0o077)))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
    inside = {name.split("/")[0] for name in ZipFile(one).namelist()}
    assert inside == {*ROOMS, "closedloop-0.1.0.dist-info"}


def _wheel(folder: Path, umask: int) -> Path:
    before = os.umask(umask)
    try:
        for path in tracked():
            place = folder / path.relative_to(ROOT)
            if place.relative_to(folder).parts[0] in (*ROOMS, "pyproject.toml", "README.md", "LICENSE"):
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
                os.utime(place, (len(folder.name) * 1e8,) * 2)
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764201600"}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    finally:
        os.umask(before)
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel
