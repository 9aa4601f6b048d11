"""`pytest --connector NAME`: the conformance suite over an installed platform, a test for each rule.

Comes with the package as a pytest plugin, so that a third party's connector is held to the same rules as ours by one
option. Without the option it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("closedloop")
    group.addoption("--connector", action="append", default=[], metavar="NAME", help="hold this platform to the port")


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    for name in session.config.getoption("--connector"):
        suite = Suite.from_parent(session, name=f"connector {name}", nodeid=f"connector {name}", path=session.path)
        suite.platform = name
        items.extend(suite.collect())


class Suite(pytest.Collector):
    """One platform's rules."""

    platform = ""

    def collect(self) -> Iterator[pytest.Item]:
        from connectors.conformance import RULES

        for rule in RULES:
            yield Promise.from_parent(self, name=rule)


class Promise(pytest.Item):
    """One rule: kept, or exempt with a reason."""

    def runtest(self) -> None:
        from connectors import registry
        from connectors.conformance import RULES, bench

        assert isinstance(self.parent, Suite)
        platform = registry.platform(self.parent.platform)
        if reason := registry.facts(platform.name).exemptions.get(self.name):
            pytest.skip(reason)
        with bench(platform) as made:
            RULES[self.name](made)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.parent.name if self.parent else ''}: {self.name}"

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        return super().repr_failure(excinfo, style="short")
