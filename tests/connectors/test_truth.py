"""No platform has lost a recorded value, sends what its vendor does not allow, or differs without an explanation."""

from __future__ import annotations

import pytest

from tests.truth import measure, platforms, sound


@pytest.mark.parametrize("name", platforms())
def test_it_is_sound(name: str) -> None:
    truth = measure(name)
    assert truth.bodies or truth.operations, "nothing was held against anything"
    assert sound(truth), truth
