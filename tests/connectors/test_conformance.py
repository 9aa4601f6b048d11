"""Every installed platform keeps every rule of the port, or says why it cannot."""

from __future__ import annotations

import pytest

from connectors import registry
from connectors.conformance import RULES, bench
from tests.connectors.test_scopes import strays


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", registry.names())
def test_rule(name: str, rule: str) -> None:
    if reason := registry.facts(name).exemptions.get(rule):
        assert len(reason) > 20, f"{name} gives no reason why it does not keep {rule!r}"
        return
    with bench(registry.platform(name)) as made:
        RULES[rule](made)
        if made.facts.calls:
            calls = {(call.method, call.path) for call in made.sandbox.log}
            assert strays(made.facts, calls) == [], "calls that the manifest's table of scopes does not speak of"
