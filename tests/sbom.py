"""The bill of materials, in CycloneDX: what the lock installs, at which version, by which hashes, and for whose sake.

`make sbom` prints it. The same lock and SOURCE_DATE_EPOCH give the same bytes.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).parents[1]
LOCK = "requirements.lock"
PROJECT = "closedloop"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A package of the lock: its normalised name, its SHA-256 sums, and the packages that want it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    wanted_by: tuple[str, ...]


def pinned(lock: str) -> Iterator[Pinned]:
    """The packages of a lock as uv writes it."""
    for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M):
        if head := re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", block):
            via = re.findall(r"#\s+(?:via )?([A-Za-z0-9._-]+)(?: \(pyproject\.toml\))?$", block, re.M)
            wanted_by = tuple(normal(name) for name in via if name != "via")
            yield Pinned(normal(head[1]), head[2], tuple(re.findall(r"sha256:(\w{64})", block)), wanted_by)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bill(lock: str, version: str, at: datetime) -> str:
    """The bill of materials of what `lock` installs, as JSON."""
    whole = Component(name=PROJECT, version=version, type=ComponentType.APPLICATION, bom_ref=PROJECT)
    whole.licenses.add(LicenseFactory().make_from_string("Apache-2.0"))
    packages = list(pinned(lock))
    parts = {one.name: _part(one) for one in packages}
    made = Bom(components=parts.values(), serial_number=uuid5(NAMESPACE_OID, f"{version}\n{lock}"))
    made.metadata.component, made.metadata.timestamp = whole, at
    known = {PROJECT: whole, **parts}
    for name, part in known.items():
        made.register_dependency(part, [parts[one.name] for one in packages if name in one.wanted_by])
    return str(JsonV1Dot6(made).output_as_string(indent=2))


def _part(one: Pinned) -> Component:
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{one.name}=={one.version}",
        purl=PackageURL("pypi", name=one.name, version=one.version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in one.hashes],
    )


def main() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    at = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    sys.stdout.write(bill((ROOT / LOCK).read_text(), version, at) + "\n")


if __name__ == "__main__":
    main()
