"""Every installed platform keeps every rule of the port, or says why it cannot."""

from __future__ import annotations

import pytest

from connectors import registry
from connectors.conformance import RULES, bench


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", registry.names())
def test_rule(name: str, rule: str) -> None:
    if reason := registry.facts(name).exemptions.get(rule):
        assert len(reason) > 20, f"{name} gives no reason why it does not keep {rule!r}"
        return
    with bench(registry.platform(name)) as made:
        RULES[rule](made)
